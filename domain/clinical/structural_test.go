package clinical

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/kernel/shape"
)

// What the reader keeps itself, as the definitions of R4 write it.
var inPath = map[string]*fhirpath.Expr{
	"ele-1": fhirpath.MustCompile(`hasValue() or (children().count() > id.count())`),
	"ext-1": fhirpath.MustCompile(`extension.exists() != value.exists()`),
	"dom-2": fhirpath.MustCompile(`contained.contained.empty()`),
	"dom-3": fhirpath.MustCompile("contained.where((('#'+id in (%resource.descendants().reference | %resource.descendants().as(canonical) | %resource.descendants().as(uri) | %resource.descendants().as(url))) or descendants().where(reference = '#').exists() or descendants().where(as(canonical) = '#').exists() or descendants().where(as(canonical) = '#').exists()).not()).trace('unmatched', id).empty()"),
	"dom-4": fhirpath.MustCompile(`contained.meta.versionId.empty() and contained.meta.lastUpdated.empty()`),
	"dom-5": fhirpath.MustCompile(`contained.meta.security.empty()`),
	// By the letter of R4 a Reference without a literal breaks ref-1, since empty is
	// not true, and so does one to the container; this is what R5 made of it.
	"ref-1": fhirpath.MustCompile(`reference.exists() implies (reference.startsWith('#').not() or (reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids')) or (reference='#' and %rootResource!=%resource))`),
}

// letters judges a document by those expressions alone.
type letters struct {
	t      *testing.T
	env    fhirpath.Env
	broken []string
}

func (l *letters) test(key string, focus fhirpath.Value) {
	ok, err := inPath[key].Test(&l.env, focus)
	if err != nil {
		l.t.Errorf("%s: %v", key, err)
	}
	if !ok && !slices.Contains(l.broken, key) {
		l.broken = append(l.broken, key)
	}
}

func (l *letters) resource(doc map[string]any, contained bool) {
	outer := l.env
	node := fhirpath.Resource(l.env.Model, doc)
	l.env.Resource = node
	if !contained {
		l.env.RootResource = node
		for _, key := range []string{"dom-2", "dom-3", "dom-4", "dom-5"} {
			l.test(key, node)
		}
	}
	l.element(r4().byName[str(doc, "resourceType")], doc)
	l.env = outer
}

func (l *letters) element(t *typeDef, doc map[string]any) {
	for i := range t.props {
		p := &t.props[i]
		shadows := doc["_"+p.name]
		if doc[p.name] == nil && shadows == nil {
			continue
		}
		values, many := doc[p.name].([]any)
		exts, _ := shadows.([]any)
		if !many && exts == nil {
			values, exts = []any{doc[p.name]}, []any{shadows}
		}
		for j := range max(len(values), len(exts)) {
			var v, ext any
			if j < len(values) {
				v = values[j]
			}
			if j < len(exts) {
				ext = exts[j]
			}
			l.one(p, v, ext)
		}
	}
}

func (l *letters) one(p *property, v, ext any) {
	m, isObject := v.(map[string]any)
	if p.typ == nil {
		l.resource(m, p.name == "contained")
		return
	}
	shadow, _ := ext.(map[string]any)
	node := fhirpath.NodeOf(l.env.Model.Type(p.typ.name), v, shadow)
	l.test("ele-1", node)
	if shadow != nil {
		l.element(r4().element, shadow)
	}
	if !isObject {
		return
	}
	switch p.typ {
	case r4().extension:
		l.test("ext-1", node)
	case r4().reference:
		l.test("ref-1", node)
	}
	l.element(p.typ, m)
}

func byLetter(t *testing.T, raw string) []string {
	t.Helper()
	doc, err := shape.Object(json.RawMessage(raw))
	if err != nil {
		t.Fatal(err)
	}
	l := &letters{t: t, env: fhirpath.Env{Model: FHIRPathModel(), Lenient: true, MaxSteps: 1 << 30}}
	l.resource(doc, false)
	slices.Sort(l.broken)
	return l.broken
}

// The reader says of every document what the expressions say of it: over the
// examples of the standard, over Synthea's, and over documents broken on
// purpose.
func TestStructuralConstraintsByTheLetter(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examplesDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(raw))
	}
	if s, err := synthea(); err == nil {
		for i := 0; i < len(s); i += 29 {
			all = append(all, string(s[i].raw))
		}
	}
	for _, c := range structurallyBroken {
		all = append(all, c.raw)
	}
	all = append(all, structurallySound...)
	broken := 0
	for _, raw := range all {
		name, _ := Head([]byte(raw))
		var got []string
		for _, f := range faultsOf(t, name, raw) {
			if f.key == "" {
				got = nil // broken otherwise: the reader does not look further everywhere
				break
			}
			if !slices.Contains(got, f.key) {
				got = append(got, f.key)
			}
		}
		slices.Sort(got)
		want := byLetter(t, raw)
		if len(want) > 0 {
			broken++
		}
		if got == nil && len(want) == 0 {
			continue
		}
		if !slices.Equal(got, want) {
			t.Errorf("%.300s: the reader says %q, the expressions %q", strings.Join(strings.Fields(raw), " "), got, want)
		}
	}
	if broken < 10 {
		t.Errorf("only %d broken documents were compared", broken)
	}
}

// faultsOf gives all that the reader finds.
func faultsOf(t *testing.T, typeName, raw string) []*fault {
	t.Helper()
	r := &reader{def: r4(), src: raw}
	if _, f := r.root(r4().byName[typeName], []byte(raw)); f != nil {
		again := &reader{def: r4(), src: raw}
		return again.all(r4().byName[typeName], []byte(raw), f)
	}
	return nil
}
