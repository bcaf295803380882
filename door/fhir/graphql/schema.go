package graphql

import (
	"strings"

	"zhiwei/domain/clinical/fhirpath"
)

// Names FHIR's page gives to types and fields that are not of a resource.
const (
	queryType        = "Query"
	listSuffix       = "List"
	connectionSuffix = "Connection"
	edgeSuffix       = "Edge"
	typeNameField    = "__typename"
	resourceTypeName = "resourceType"
	resourceField    = "resource"
)

// schema is the types a query can reach: those of the model, and those FHIR's
// page adds for searches.
type schema struct {
	model     fhirpath.Model
	resources []string
	known     map[string]bool
	query     *fhirpath.Type
	added     map[string]*fhirpath.Type // connections and their edges, by name
	text      *fhirpath.Type            // of what is a string and no element: resourceType
	describes map[string]*fhirpath.Type // the types of introspection, by name
}

func newSchema(m fhirpath.Model, resources []string) *schema {
	s := &schema{model: m, resources: resources, known: map[string]bool{}, added: map[string]*fhirpath.Type{}, text: m.Type("string")}
	s.describes = describing(s.text, m.Type("boolean"))
	s.query = &fhirpath.Type{Name: queryType}
	s.query.Ready()
	one := func(name string, t *fhirpath.Type) fhirpath.Element {
		return fhirpath.Element{Name: name, Forms: []fhirpath.Property{{Name: name, Type: t}}}
	}
	whole, id := m.Type("integer"), m.Type("id")
	for _, name := range resources {
		s.known[name] = true
		edge := &fhirpath.Type{Name: name + edgeSuffix, Elements: []fhirpath.Element{one("mode", m.Type("code")), one("score", m.Type("decimal")), one(resourceField, m.Type(name))}}
		edges := one("edges", edge)
		edges.Many = true
		page := &fhirpath.Type{Name: name + connectionSuffix, Elements: []fhirpath.Element{
			one("count", whole), one("offset", whole), one("pagesize", whole), one("first", id), one("previous", id), one("next", id), one("last", id), edges,
		}}
		for _, t := range []*fhirpath.Type{edge, page} {
			t.Ready()
			s.added[t.Name] = t
		}
	}
	return s
}

// resource is the type of a resource; nil where it cannot be asked for.
func (s *schema) resource(name string) *fhirpath.Type {
	if !s.known[name] {
		return nil
	}
	return s.model.Type(name)
}

// named finds a type by its name in GraphQL; nil where there is none.
func (s *schema) named(name string) *fhirpath.Type {
	if name == queryType {
		return s.query
	}
	if t := s.added[name]; t != nil {
		return t
	}
	if t := s.describes[name]; t != nil {
		return t
	}
	if t := s.model.Type(name); t != nil {
		return t
	}
	return nil
}

// typeName is the name of a type in GraphQL, where no dot may stand: the type
// Patient.contact is PatientContact.
func typeName(t *fhirpath.Type) string {
	if !strings.Contains(t.Name, ".") {
		return t.Name
	}
	var b strings.Builder
	for part := range strings.SplitSeq(t.Name, ".") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// is tells whether t is of the named type.
func is(t *fhirpath.Type, name string) bool { return t.Is(name) || typeName(t) == name }

// member is one element of a type as a query names it: by its name in JSON, with
// an underscore before it for what a primitive has beside its value.
type member struct {
	name   string         // in JSON
	typ    *fhirpath.Type // nil: any resource
	many   bool
	shadow bool // id and extensions of a primitive
}

func (m member) primitive() bool { return m.typ != nil && m.typ.Class == fhirpath.PrimitiveType }

// member finds a field of a type.
func (s *schema) member(t *fhirpath.Type, name string) (member, bool) {
	plain, shadow := strings.CutPrefix(name, "_")
	for i := range t.Elements {
		e := &t.Elements[i]
		for _, f := range e.Forms {
			if f.Name != plain {
				continue
			}
			m := member{name: name, typ: f.Type, many: e.Many, shadow: shadow}
			if shadow {
				if !m.primitive() {
					return member{}, false
				}
				m.typ = s.model.Type("Element")
			}
			return m, true
		}
	}
	return member{}, false
}

// anywhere tells whether some resource has a field.
func (s *schema) anywhere(name string) bool {
	for _, r := range s.resources {
		if _, ok := s.member(s.model.Type(r), name); ok {
			return true
		}
	}
	return false
}

// searched reads "PatientList" and "PatientConnection".
func (s *schema) searched(field string) (typ string, connection, ok bool) {
	if typ, ok = strings.CutSuffix(field, listSuffix); ok && s.known[typ] {
		return typ, false, true
	}
	if typ, ok = strings.CutSuffix(field, connectionSuffix); ok && s.known[typ] {
		return typ, true, true
	}
	return "", false, false
}

// argument is how a parameter is written as an argument.
func argument(parameter string) string { return strings.ReplaceAll(parameter, "-", "_") }
