package graphql

import (
	"slices"
	"strings"

	"zhiwei/domain/clinical/fhirpath"
)

// The fields by which a client asks for the schema (GraphQL §4, "Introspection").
const (
	schemaField = "__schema"
	typeField   = "__type"
)

// introspective tells whether a type is one of those that describe the schema.
func introspective(t *fhirpath.Type) bool { return strings.HasPrefix(t.Name, "__") }

// describing makes the types that describe the schema (GraphQL §4.2).
func describing(text, truth *fhirpath.Type) map[string]*fhirpath.Type {
	out := map[string]*fhirpath.Type{}
	for _, name := range []string{"__Schema", "__Type", "__Field", "__InputValue", "__EnumValue", "__Directive"} {
		out[name] = &fhirpath.Type{Name: name}
	}
	out["text"], out["truth"] = text, truth
	for name, elements := range map[string]string{
		"__Schema":     "description:text types:*__Type queryType:__Type mutationType:__Type subscriptionType:__Type directives:*__Directive",
		"__Type":       "kind:text name:text description:text specifiedByURL:text specifiedByUrl:text fields:*__Field interfaces:*__Type possibleTypes:*__Type enumValues:*__EnumValue inputFields:*__InputValue ofType:__Type isOneOf:truth",
		"__Field":      "name:text description:text args:*__InputValue type:__Type isDeprecated:truth deprecationReason:text",
		"__InputValue": "name:text description:text type:__Type defaultValue:text isDeprecated:truth deprecationReason:text",
		"__EnumValue":  "name:text description:text isDeprecated:truth deprecationReason:text",
		"__Directive":  "name:text description:text isRepeatable:truth locations:*text args:*__InputValue",
	} {
		t := out[name]
		for e := range strings.FieldsSeq(elements) {
			name, typ, _ := strings.Cut(e, ":")
			typ, many := strings.CutPrefix(typ, "*")
			t.Elements = append(t.Elements, fhirpath.Element{Name: name, Many: many, Forms: []fhirpath.Property{{Name: name, Type: out[typ]}}})
		}
		t.Ready()
	}
	delete(out, "text")
	delete(out, "truth")
	return out
}

// description is the schema as introspection tells it, made for one request: the
// parameters that answer may change. A list or connection inside a resource is
// described where the parameter names the resource's type, and with the arguments
// that do not choose among the records alone: those of the search are described
// at the root, and told again at every type they would make a hundred megabytes.
type description struct {
	x     *run
	types map[string]map[string]any
	names []string // in the order they were made
}

// describe makes the answer of __schema.
func (x *run) describe() *description {
	if x.described != nil {
		return x.described
	}
	d := &description{x: x, types: map[string]map[string]any{}}
	x.described = d
	for _, name := range []string{"String", "Boolean", "Int", "Float", "ID"} {
		d.scalar(name)
	}
	d.resource()
	query := d.object(queryType)
	var fields []any
	for _, name := range x.engine.schema.resources {
		t := x.engine.schema.resource(name)
		args := d.searchArguments(name)
		fields = append(fields,
			fieldOf(name, d.object(typeName(d.fill(t))), input(idArgument, required(d.scalar("ID")))),
			fieldOf(name+listSuffix, listOf(d.object(name)), args...),
			fieldOf(name+connectionSuffix, d.connection(name), append(args[:len(args):len(args)], input(cursorArgument, d.scalar("String")))...))
	}
	query["fields"] = fields
	return d
}

// schema is the object of __schema.
func (d *description) schema() map[string]any {
	types := make([]any, 0, len(d.names))
	for _, name := range d.names {
		types = append(types, d.types[name])
	}
	directive := func(name string, args []any, locations ...any) map[string]any {
		return map[string]any{"name": name, "args": args, "locations": locations, "isRepeatable": false}
	}
	condition := []any{input("if", required(d.scalar("Boolean")))}
	return map[string]any{
		"types": types, "queryType": d.types[queryType],
		"directives": []any{
			directive("include", condition, "FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"),
			directive("skip", condition, "FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"),
			directive("flatten", []any{}, "FIELD"), directive("first", []any{}, "FIELD"), directive("singleton", []any{}, "FIELD"),
			directive("slice", []any{input("path", required(d.scalar("String")))}, "FIELD"),
		},
	}
}

func (d *description) named(kind, name string) map[string]any {
	t := d.types[name]
	if t == nil {
		t = map[string]any{"kind": kind, "name": name}
		d.types[name] = t
		d.names = append(d.names, name)
	}
	return t
}

func (d *description) scalar(name string) map[string]any { return d.named("SCALAR", name) }

func (d *description) object(name string) map[string]any {
	t := d.named("OBJECT", name)
	if t["interfaces"] == nil {
		t["interfaces"] = []any{}
	}
	return t
}

// scalarNames are GraphQL's own names of primitives; the others keep FHIR's.
var scalarNames = map[string]string{"string": "String", "id": "ID", "boolean": "Boolean", "integer": "Int", "positiveInt": "Int", "unsignedInt": "Int", "decimal": "Float"}

func (d *description) primitive(name string) map[string]any {
	if own := scalarNames[name]; own != "" {
		name = own
	}
	return d.scalar(name)
}

// resource describes what stands where any resource may.
func (d *description) resource() {
	t := d.named("INTERFACE", "Resource")
	var fields, possible []any
	s := d.x.engine.schema
	for _, name := range s.resources {
		possible = append(possible, d.object(name))
	}
	general := s.resource(s.resources[0])
	for _, name := range []string{idArgument, "meta", "implicitRules", "language"} {
		if m, ok := s.member(general, name); ok {
			fields = append(fields, fieldOf(name, d.of(m)))
		}
	}
	t["fields"], t["possibleTypes"], t["interfaces"] = append(fields, fieldOf(resourceTypeName, required(d.scalar("String")))), possible, []any{}
}

// of is the type of an element.
func (d *description) of(m member) map[string]any {
	var t map[string]any
	switch {
	case m.typ == nil:
		t = d.types["Resource"]
	case m.primitive():
		t = d.primitive(m.typ.Name)
	default:
		t = d.object(typeName(d.fill(m.typ)))
	}
	if m.many {
		return listOf(t)
	}
	return t
}

// fill describes the fields of a type, once.
func (d *description) fill(t *fhirpath.Type) *fhirpath.Type {
	self := d.object(typeName(t))
	if self["fields"] != nil {
		return t
	}
	self["fields"] = []any{} // types refer to each other
	s := d.x.engine.schema
	var fields []any
	for i := range t.Elements {
		for _, f := range t.Elements[i].Forms {
			m, ok := s.member(t, f.Name)
			if !ok {
				continue
			}
			fields = append(fields, fieldOf(f.Name, d.of(m), d.elementArguments(m)...))
			if extra, ok := s.member(t, "_"+f.Name); ok {
				fields = append(fields, fieldOf("_"+f.Name, d.of(extra)))
			}
		}
	}
	if t.Name == "Reference" {
		fields = append(fields, fieldOf(resourceField, d.types["Resource"], input(optionalArgument, d.scalar("Boolean")), input(typeArgument, d.primitive("code"))))
	}
	if t.Class == fhirpath.ResourceType {
		self["interfaces"] = []any{d.types["Resource"]}
		fields = append(fields, fieldOf(resourceTypeName, required(d.scalar("String"))))
		fields = append(fields, d.reverse(t.Name)...)
	}
	self["fields"] = fields
	return t
}

// elementArguments are those by which the values of an element are chosen.
func (d *description) elementArguments(m member) []any {
	if m.primitive() {
		return nil
	}
	out := d.general(offsetArgument, d.scalar("Int"))
	if m.typ == nil {
		return append(out, input(idArgument, d.scalar("ID")))
	}
	if m.typ.Name == "Extension" {
		return append(out, input("url", d.primitive("uri")))
	}
	for i := range m.typ.Elements {
		for _, f := range m.typ.Elements[i].Forms {
			if f.Type != nil && f.Type.Class == fhirpath.PrimitiveType {
				out = append(out, input(f.Name, d.primitive(f.Type.Name)))
			}
		}
	}
	return out
}

// general are fhirpath and _count, and one more.
func (d *description) general(name string, typ map[string]any) []any {
	return []any{input(pathArgument, d.scalar("String")), input(countArgument, d.scalar("Int")), input(name, typ)}
}

// searchArguments are those of a list at the root.
func (d *description) searchArguments(typ string) []any {
	out := d.general(sortArgument, d.scalar("String"))
	for _, p := range d.x.parameters(typ) {
		out = append(out, input(argument(p.Name), listOf(d.primitive(p.Type))))
	}
	return out
}

// reverse are the lists and connections of what refers to a type by name.
func (d *description) reverse(typ string) []any {
	var out []any
	args := append(d.general(sortArgument, d.scalar("String")), input(referenceArgument, required(d.primitive("code"))))
	for _, name := range d.x.engine.schema.resources {
		if slices.ContainsFunc(d.x.parameters(name), func(p Parameter) bool { return p.Reference && slices.Contains(p.Targets, typ) }) {
			out = append(out, fieldOf(name+listSuffix, listOf(d.object(name)), args...), fieldOf(name+connectionSuffix, d.connection(name), args...))
		}
	}
	return out
}

// connection describes the pages of a type.
func (d *description) connection(typ string) map[string]any {
	t := d.x.engine.schema.added[typ+connectionSuffix]
	if self := d.types[t.Name]; self != nil {
		return self
	}
	self, edge := d.object(t.Name), d.object(typ+edgeSuffix)
	plain := func(of *fhirpath.Type) (fields []any) {
		for _, e := range of.Elements {
			if f := e.Forms[0]; f.Type.Class == fhirpath.PrimitiveType {
				fields = append(fields, fieldOf(f.Name, d.primitive(f.Type.Name)))
			}
		}
		return fields
	}
	edge["fields"] = append(plain(d.x.engine.schema.added[typ+edgeSuffix]), fieldOf(resourceField, d.object(typ)))
	self["fields"] = append(plain(t), fieldOf("edges", listOf(edge)))
	return self
}

func fieldOf(name string, typ map[string]any, args ...any) map[string]any {
	if args == nil {
		args = []any{}
	}
	return map[string]any{"name": name, "args": args, "type": typ, "isDeprecated": false}
}

func input(name string, typ map[string]any) map[string]any {
	return map[string]any{"name": name, "type": typ, "isDeprecated": false}
}

func listOf(t map[string]any) map[string]any { return map[string]any{"kind": "LIST", "ofType": t} }

func required(t map[string]any) map[string]any {
	return map[string]any{"kind": "NON_NULL", "ofType": t}
}
