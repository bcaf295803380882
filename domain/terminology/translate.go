package terminology

import (
	"context"
	"slices"

	"zhiwei/domain/terminology/internal/content"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

// maxMaps is how many maps one translation follows from one to another.
const maxMaps = 10

// TranslateRequest asks for what codes are in another system: FHIR R4
// ConceptMap/$translate.
type TranslateRequest struct {
	URL          string // canonical of the map; or
	Resource     []byte // the ConceptMap itself in JSON; neither: every map that fits
	Codes        []Coding
	Source       string       // canonical of the value set the codes are from; empty: any
	Target       string       // canonical of the value set wanted; empty: any
	TargetSystem string       // empty: any
	Dependencies []Dependency // what else is known: property, system and value
	Reverse      bool         // from the target of the maps to their source
}

// Match is one translation.
type Match struct {
	Equivalence string // of FHIR R4 concept-map-equivalence
	Concept     Coding
	Comment     string
	Product     []Dependency // what results beside the code
	Source      string       // canonical of the map
}

// equals tells whether the match gives something to use in place of the code.
func (m Match) equals() bool {
	return m.Equivalence != "unmatched" && m.Equivalence != "disjoint" && m.Concept.Code != ""
}

// Translation is the answer. OK where at least one match can be used in place
// of the code.
type Translation struct {
	OK      bool
	Matches []Match
	Why     errs.Text // where not OK
}

// Translate maps codes. NotFound where the map named is not here; Invalid where
// a map is no ConceptMap or the maps name each other in a circle.
func (s *Service) Translate(ctx context.Context, p *identity.Principal, r TranslateRequest) (Translation, error) {
	e := s.ask(p)
	var maps []*content.ConceptMap
	if len(r.Resource) > 0 {
		m, err := content.ReadConceptMap(r.Resource)
		if err != nil {
			return Translation{}, err
		}
		maps = append(maps, m)
	} else {
		url, version := canonical(r.URL)
		var err error
		if maps, err = e.lib.conceptMaps(ctx, url, version); err != nil {
			return Translation{}, err
		}
		if r.URL != "" && len(maps) == 0 {
			return Translation{}, errs.E(errs.NotFound, "translate", r.URL, "没有概念映射 "+r.URL+"；请核对 URL，或先上传 ConceptMap 资源。", "There is no concept map "+r.URL+"; check its URL, or upload the ConceptMap resource first.").At("url")
		}
	}
	t := &translating{e: e, r: r}
	for _, m := range maps {
		source, target := m.Source, m.Target
		if r.Reverse {
			source, target = target, source
		}
		if !fits(r.Source, source) || !fits(r.Target, target) {
			continue
		}
		for _, c := range r.Codes {
			if err := t.follow(ctx, m, c, 0); err != nil {
				return Translation{}, err
			}
		}
	}
	out := Translation{Matches: t.matches, OK: slices.ContainsFunc(t.matches, Match.equals)}
	if !out.OK {
		out.Why = errs.Text{ZH: "没有找到可用的对应代码。", EN: "No usable translation was found."}
	}
	return out, nil
}

// fits compares a canonical that was asked for with that of a map; a version is
// compared where both have one.
func fits(want, have string) bool {
	if want == "" {
		return true
	}
	url, version := canonical(want)
	u, v := canonical(have)
	return url == u && (version == "" || v == "" || version == v)
}

type translating struct {
	e       *evaluation
	r       TranslateRequest
	matches []Match
}

func (t *translating) add(m Match) {
	if t.r.TargetSystem != "" && m.Concept.Code != "" && m.Concept.System != t.r.TargetSystem {
		return
	}
	if !slices.ContainsFunc(t.matches, func(o Match) bool {
		return o.Concept == m.Concept && o.Equivalence == m.Equivalence && o.Source == m.Source
	}) {
		t.matches = append(t.matches, m)
	}
}

func (t *translating) follow(ctx context.Context, m *content.ConceptMap, c Coding, depth int) error {
	if depth > maxMaps {
		return errs.E(errs.Invalid, "translate", m.URL, "概念映射互相引用成环，请检查 unmapped.url。", "The concept maps name each other in a circle; check unmapped.url.").At("ConceptMap.group.unmapped.url")
	}
	for i := range m.Groups {
		g := &m.Groups[i]
		if t.r.Reverse {
			t.backward(m, g, c)
			continue
		}
		if c.System != "" && g.Source != "" && g.Source != c.System {
			continue
		}
		if err := t.forward(ctx, m, g, c, depth); err != nil {
			return err
		}
	}
	return nil
}

// forward maps a code by one group, and by its unmapped where no element names
// the code.
func (t *translating) forward(ctx context.Context, m *content.ConceptMap, g *content.Group, c Coding, depth int) error {
	source := versioned(m.URL, m.Version)
	named := false
	for i := range g.Elements {
		el := &g.Elements[i]
		if el.Code != c.Code {
			continue
		}
		named = true
		for _, target := range el.Targets {
			if t.known(target.DependsOn) {
				t.add(Match{
					Equivalence: target.Equivalence, Comment: target.Comment, Product: target.Product, Source: source,
					Concept: Coding{System: g.Target, Version: g.TargetVersion, Code: target.Code, Display: target.Display},
				})
			}
		}
	}
	if named {
		return nil
	}
	switch u := g.Unmapped; u.Mode {
	case "provided":
		t.add(Match{Equivalence: "equal", Source: source, Concept: Coding{System: g.Target, Version: g.TargetVersion, Code: c.Code, Display: c.Display}})
	case "fixed":
		t.add(Match{Equivalence: "inexact", Source: source, Concept: Coding{System: g.Target, Version: g.TargetVersion, Code: u.Code, Display: u.Display}})
	case "other-map":
		url, version := canonical(u.URL)
		others, err := t.e.lib.conceptMaps(ctx, url, version)
		if err != nil || url == "" {
			return err
		}
		for _, other := range others {
			if err := t.follow(ctx, other, c, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// known tells whether the request says all that a target depends on.
func (t *translating) known(needs []Dependency) bool {
	for _, n := range needs {
		if !slices.ContainsFunc(t.r.Dependencies, func(d Dependency) bool {
			return d.Property == n.Property && d.Value == n.Value && (n.System == "" || d.System == "" || d.System == n.System)
		}) {
			return false
		}
	}
	return true
}

// inverse are the equivalences seen from the other side. The code says how the
// target stands to the source.
var inverse = map[string]string{"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}

func (t *translating) backward(m *content.ConceptMap, g *content.Group, c Coding) {
	if c.System != "" && g.Target != "" && g.Target != c.System {
		return
	}
	for i := range g.Elements {
		el := &g.Elements[i]
		for _, target := range el.Targets {
			if target.Code != c.Code {
				continue
			}
			eq := target.Equivalence
			if other, ok := inverse[eq]; ok {
				eq = other
			}
			t.add(Match{
				Equivalence: eq, Comment: target.Comment, Source: versioned(m.URL, m.Version),
				Concept: Coding{System: g.Source, Version: g.SourceVersion, Code: el.Code, Display: el.Display},
			})
		}
	}
}
