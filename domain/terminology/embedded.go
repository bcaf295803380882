package terminology

import (
	"context"
	_ "embed"
	"slices"
	"strings"
	"sync"

	"zhiwei/domain/terminology/internal/content"
)

//go:generate go run ./internal/gen -definitions ${FHIR_DEFINITIONS} -icd10 ${ICD10_ZH} -out standard.table

//go:embed standard.table
var table []byte

// Embedded is the terminology that the program carries. It is safe for
// concurrent use; each system and value set is unpacked when it is first asked.
type Embedded struct {
	packed  *content.Packed
	members sync.Map // canonical → *membership
}

// Standard is what is embedded: the code systems, value sets and concept maps
// of FHIR R4, the v2 tables and v3 code systems published with it, and the
// ICD-10 categories in Chinese. The directory is read on first use, about 20 ms.
func Standard() *Embedded { return standard() }

var standard = sync.OnceValue(func() *Embedded {
	p, err := content.Open(table)
	if err != nil {
		panic(err) // the table is part of the program
	}
	return &Embedded{packed: p}
})

// Sources names where the content comes from, each with its licence.
func (e *Embedded) Sources() []string { return slices.Clone(e.packed.Sources) }

// source names where one of the systems comes from.
func (e *Embedded) source(url string) string {
	if url == ICD10 {
		return e.packed.Sources[1]
	}
	return e.packed.Sources[0]
}

// Systems lists the URLs of the code systems.
func (e *Embedded) Systems() []string { return e.packed.Systems() }

// ValueSets lists the URLs of the value sets.
func (e *Embedded) ValueSets() []string { return e.packed.ValueSets() }

// membership is one value set made ready for Contains.
type membership struct {
	set     *content.ValueSet // nil: not here
	systems map[string][]string
	open    bool // some of what it takes is not here
}

// Contains tells whether a code is in a value set (a canonical, with or without
// "|version"). An empty system stands for that of an element of type code: any
// system of the value set will do. known is false where the value set is not
// embedded, or where the answer depends on a system that is not (LOINC, SNOMED
// CT, UCUM, currencies, MIME types).
func (e *Embedded) Contains(valueSet, system, code string) (in, known bool) {
	if strings.Contains(valueSet, "?") { // implied by a system: there is no end of them, so none is kept ready
		ev := evaluation{lib: e}
		v, err := ev.named(context.Background(), valueSet)
		if err != nil || v == nil {
			return false, false
		}
		a, err := ev.contains(context.Background(), v, system, code, 0)
		return a == yes, err == nil && a != unknown
	}
	m := e.membership(valueSet)
	if m.set == nil {
		return false, false
	}
	if systems, ok := m.systems[code]; ok && (system == "" || slices.Contains(systems, system)) {
		return true, true
	}
	if !m.open {
		return false, true
	}
	ev := evaluation{lib: e}
	a, err := ev.contains(context.Background(), m.set, system, code, 0)
	return a == yes, err == nil && a != unknown
}

func (e *Embedded) membership(name string) *membership {
	if m, ok := e.members.Load(name); ok {
		return m.(*membership)
	}
	ctx := context.Background()
	ev := evaluation{lib: e}
	m := &membership{systems: map[string][]string{}}
	set, err := ev.named(ctx, name)
	if err != nil || set == nil {
		return m // not kept: names come from outside
	}
	m.set = set
	err = ev.walk(ctx, set, selection{}, 0, func(x Found) (bool, error) {
		m.systems[x.Concept.Code] = append(m.systems[x.Concept.Code], x.System)
		return true, nil
	})
	m.open = ev.open || err != nil
	for _, in := range append(slices.Clone(set.Include), set.Exclude...) {
		m.open = m.open || e.foldsCase(in)
	}
	kept, _ := e.members.LoadOrStore(name, m)
	return kept.(*membership)
}

// foldsCase tells whether an include takes codes of a system in which case does
// not matter, so that a code may be in the set in a form the walk did not give.
func (e *Embedded) foldsCase(in content.Include) bool {
	s := e.packed.System(in.System)
	return s != nil && s.FoldCase || len(in.ValueSets) > 0
}

// systems implements library. A value set that wants another version than the
// embedded one is answered by the embedded one: it is the one of FHIR R4.
func (e *Embedded) systems(_ context.Context, url, _ string) ([]holding, error) {
	if s := e.packed.System(url); s != nil && s.Content != content.NotPresent { // SNOMED CT is named, no more
		return []holding{inMemory{s}}, nil
	}
	return nil, nil
}

// valueSet implements library. A version that is asked for must be the embedded
// one.
func (e *Embedded) valueSet(_ context.Context, url, version string) (*content.ValueSet, error) {
	v := e.packed.ValueSet(url)
	if v == nil || version != "" && version != v.Version {
		return nil, nil
	}
	return v, nil
}

// conceptMaps implements library.
func (e *Embedded) conceptMaps(_ context.Context, url, version string) ([]*content.ConceptMap, error) {
	if url != "" {
		if m := e.packed.ConceptMap(url); m != nil && (version == "" || version == m.Version) {
			return []*content.ConceptMap{m}, nil
		}
		return nil, nil
	}
	var out []*content.ConceptMap
	for _, u := range e.packed.ConceptMaps() {
		out = append(out, e.packed.ConceptMap(u))
	}
	return out, nil
}
