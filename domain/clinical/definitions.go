package clinical

import (
	_ "embed"
	"strings"
	"sync"

	"zhiwei/domain/clinical/internal/table"
)

//go:generate go run ./internal/gen -definitions ${FHIR_DEFINITIONS} -out .

//go:embed r4.table
var packed []byte

// definitions is the table of R4 in the form the reader and the extraction use.
type definitions struct {
	types     []typeDef
	byName    map[string]*typeDef
	resources []*typeDef // in the order of the definitions
	params    map[string][]*table.Param
	targets   [][]string

	// types the reader knows by heart
	element, extension, reference *typeDef
	extensionValue                int // slot of Extension.value[x]
}

// typeDef is one type: a resource, a data type or a nested element.
type typeDef struct {
	name      string
	class     table.Class
	primitive primitive // for primitives: which rules its value follows
	props     []property
	byName    map[string]int
	required  []int // slots that must be filled
}

// property is one property of a type as written in JSON.
type property struct {
	name    string
	path    string   // name in expressions: a choice element without its type
	typ     *typeDef // nil: any resource
	slot    int      // elements of one choice share a slot: at most one of them may stand
	many    bool
	codes   map[string]struct{} // required binding; nil: none
	targets []string            // resource types a reference may name; nil: any
	summary bool                // stands in a summary of the resource
}

// r4 inflates the embedded table on first use: about 4 ms and 2 MB.
var r4 = sync.OnceValue(load)

func load() *definitions {
	t, err := table.Decode(packed)
	if err != nil {
		panic(err) // the table is part of the program
	}
	return build(t)
}

func build(t *table.Table) *definitions {
	d := &definitions{
		types:   make([]typeDef, len(t.Types)),
		byName:  make(map[string]*typeDef, len(t.Types)),
		params:  map[string][]*table.Param{},
		targets: t.Targets,
	}
	codes := make([]map[string]struct{}, len(t.Codes))
	for i, l := range t.Codes {
		if i == 0 {
			continue
		}
		codes[i] = make(map[string]struct{}, len(l))
		for _, c := range l {
			codes[i][c] = struct{}{}
		}
	}
	for i := range t.Types {
		src, dst := &t.Types[i], &d.types[i]
		dst.name, dst.class = src.Name, src.Class
		d.byName[src.Name] = dst
		if src.Class == table.Primitive {
			dst.primitive = primitives[src.Name]
		}
		if src.Class == table.Resource {
			d.resources = append(d.resources, dst)
		}
		dst.props = make([]property, len(src.Props))
		dst.byName = make(map[string]int, len(src.Props))
		slots := map[string]int{}
		for j := range src.Props {
			p := &src.Props[j]
			path := p.Name
			if p.Choice != "" {
				path = p.Choice
			}
			slot, ok := slots[path]
			if !ok {
				slot = len(slots)
				slots[path] = slot
				if p.Min > 0 {
					dst.required = append(dst.required, slot)
				}
			}
			q := property{name: p.Name, path: path, slot: slot, many: p.Many, codes: codes[p.Codes], targets: t.Targets[p.Targets], summary: p.Summary}
			if p.Type >= 0 {
				q.typ = &d.types[p.Type]
			}
			dst.props[j] = q
			dst.byName[p.Name] = j
		}
	}
	d.element, d.extension, d.reference = d.byName["Element"], d.byName["Extension"], d.byName["Reference"]
	d.extensionValue = d.extension.props[d.extension.byName["valueString"]].slot
	for i := range t.Params {
		p := &t.Params[i]
		for _, b := range p.Bases {
			switch b {
			case "Resource", "DomainResource": // _id, _lastUpdated and the like: the kernel has them for every kind
			default:
				d.params[b] = append(d.params[b], p)
			}
		}
	}
	return d
}

// slotName is what to call a slot in a message.
func (t *typeDef) slotName(slot int) string {
	for i := range t.props {
		if t.props[i].slot == slot {
			if t.props[i].path != t.props[i].name {
				return t.props[i].path + "[x]"
			}
			return t.props[i].path
		}
	}
	return ""
}

// segment is how FHIRPath names what JSON calls key: valueQuantity is value, and
// _birthDate is birthDate. A key that t does not have stays as it is.
func (t *typeDef) segment(key string) string {
	if i, ok := t.byName[strings.TrimPrefix(key, "_")]; ok {
		return t.props[i].path
	}
	return key
}

// isResource tells whether t is a resource type.
func (t *typeDef) isResource() bool { return t.class == table.Resource }

// ResourceTypes lists the resource types of R4, in the order of the standard.
func ResourceTypes() []string {
	out := make([]string, 0, len(r4().resources))
	for _, t := range r4().resources {
		out = append(out, t.name)
	}
	return out
}

// IsResourceType tells whether name is a resource type of R4.
func IsResourceType(name string) bool {
	t := r4().byName[name]
	return t != nil && t.isResource()
}
