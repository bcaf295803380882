package terminology

import (
	"context"
	"strings"

	"zhiwei/domain/terminology/internal/content"
	"zhiwei/kernel/errs"
)

// Bounds of one evaluation. A value set may name others, and a filter may have
// to look at every concept of a large system.
const (
	maxNesting = 20        // value sets inside value sets
	maxLooked  = 2_000_000 // concepts in memory looked at
)

// holding is where concepts of one code system are kept.
type holding interface {
	about() *content.System // without concepts where they are records
	// find gives a concept; nil where the code is not here.
	find(ctx context.Context, code string) (*Concept, error)
	// isA tells whether c is the code or stands below it.
	isA(c *Concept, code string) bool
	// children gives the codes directly below one.
	children(ctx context.Context, code string, limit int) ([]string, error)
	// definition of a concept that find or each gave; empty: none.
	definition(c *Concept) string
	// each calls f for the concepts of a selection until it says false.
	each(ctx context.Context, s selection, f func(*Concept) (bool, error)) error
	// count tells how many concepts each would give; -1 where only reading them
	// tells.
	count(s selection) int
}

// selection narrows a system down to what its holding can find by itself.
type selection struct {
	text     string   // words, pinyin or initials of a display, or the start of a code
	under    string   // only this code and what stands below it
	below    bool     // not the code under itself
	parent   string   // only what stands directly below it
	top      bool     // only what nothing stands above
	active   bool     // no inactive concepts
	property Property // only what has it; Code empty: any
	first    int      // about how many will be looked at; 0: nobody knows
}

// library is what can be evaluated over: the embedded content, or that of a
// service as one principal may see it.
type library interface {
	// systems gives where the concepts of a system are kept; none: it is not here.
	systems(ctx context.Context, url, version string) ([]holding, error)
	// valueSet gives a value set that is declared; nil: it is not here.
	valueSet(ctx context.Context, url, version string) (*content.ValueSet, error)
	// conceptMaps gives the maps that may be asked: the one of a URL, or all.
	conceptMaps(ctx context.Context, url, version string) ([]*content.ConceptMap, error)
}

// answer is yes, no, or that it cannot be told from what is here.
type answer uint8

const (
	no answer = iota
	unknown
	yes
)

// evaluation is one question asked of a library.
type evaluation struct {
	lib    library
	looked int
	strict bool // what is not here is an error
	open   bool // something that the value set takes is not here
}

// lacks notes that something is not here, or gives the error that says so.
func (e *evaluation) lacks(err error) error {
	if e.strict {
		return err
	}
	e.open = true
	return nil
}

// named finds a value set by its canonical; nil where there is none. Those
// that a code system implies need no declaration: "<system>?fhir_vs", all of it,
// "<system>?fhir_vs=isa/CODE", a code and what stands below it (FHIR R4 §4.9,
// snomedct.html and loinc.html, used for every system).
func (e *evaluation) named(ctx context.Context, name string) (*content.ValueSet, error) {
	url, version := canonical(name)
	if system, rest, ok := strings.Cut(url, "?fhir_vs"); ok {
		v := &content.ValueSet{URL: url, Version: version, Status: "active", Include: []content.Include{{System: system, Version: version}}}
		switch code, isa := strings.CutPrefix(rest, "=isa/"); {
		case rest == "":
		case isa && code != "":
			v.Include[0].Filters = []content.Filter{{Property: "concept", Op: "is-a", Value: code}}
		default:
			return nil, errs.E(errs.Invalid, "terminology", name, "隐含值集只支持 ?fhir_vs 和 ?fhir_vs=isa/代码。", "Of implicit value sets, ?fhir_vs and ?fhir_vs=isa/CODE are known.").At("url")
		}
		held, err := e.lib.systems(ctx, system, version)
		if err != nil || len(held) == 0 {
			return nil, err
		}
		return v, nil
	}
	return e.lib.valueSet(ctx, url, version)
}

// contains tells whether a code is in a value set. An empty system means any.
func (e *evaluation) contains(ctx context.Context, v *content.ValueSet, system, code string, depth int) (answer, error) {
	if depth > maxNesting {
		return unknown, nested(v.URL)
	}
	found := no
	for i := range v.Include {
		a, err := e.includes(ctx, v, &v.Include[i], system, code, depth)
		if err != nil {
			return unknown, err
		}
		if found = max(found, a); found == yes {
			break
		}
	}
	if found == no {
		return no, nil
	}
	for i := range v.Exclude {
		a, err := e.includes(ctx, v, &v.Exclude[i], system, code, depth)
		if err != nil || a == yes {
			return no, err
		}
		if a == unknown {
			found = unknown
		}
	}
	return found, nil
}

func nested(url string) error {
	return errs.E(errs.Invalid, "terminology", url, "值集互相引用成环或嵌套超过 20 层，请检查 compose。", "The value sets name each other in a circle or are nested deeper than 20 levels; check compose.")
}

// includes tells whether one include or exclude takes a code.
func (e *evaluation) includes(ctx context.Context, v *content.ValueSet, in *content.Include, system, code string, depth int) (answer, error) {
	a := yes
	if in.System != "" {
		if system != "" && system != in.System {
			return no, nil
		}
		var err error
		if a, err = e.systemTakes(ctx, v, in, code); a == no || err != nil {
			return a, err
		}
	}
	for _, name := range in.ValueSets {
		other, err := e.named(ctx, name)
		if err != nil {
			return unknown, err
		}
		b := unknown
		if other != nil {
			if b, err = e.contains(ctx, other, system, code, depth+1); err != nil {
				return unknown, err
			}
		}
		if a = min(a, b); a == no {
			return no, nil
		}
	}
	if in.System == "" && len(in.ValueSets) == 0 {
		return no, nil
	}
	return a, nil
}

// systemTakes looks at the system part of an include.
func (e *evaluation) systemTakes(ctx context.Context, v *content.ValueSet, in *content.Include, code string) (answer, error) {
	if len(in.Concepts) > 0 {
		listed := no
		for i := range in.Concepts {
			if in.Concepts[i].Code == code {
				listed = yes
				break
			}
		}
		if listed == no || len(in.Filters) == 0 && !activeOnly(v) {
			return listed, nil
		}
	}
	held, err := e.lib.systems(ctx, in.System, in.Version)
	if err != nil {
		return unknown, err
	}
	conditions, err := compile(in)
	if err != nil {
		return unknown, err
	}
	whole := len(held) > 0
	for _, h := range held {
		c, err := h.find(ctx, code)
		if err != nil {
			return unknown, err
		}
		if c == nil {
			whole = whole && h.about().Whole()
			continue
		}
		if activeOnly(v) && c.Inactive {
			return no, nil
		}
		if ok, err := all(ctx, conditions, h, c); err != nil || !ok {
			return no, err
		}
		return yes, nil
	}
	if whole {
		return no, nil
	}
	return unknown, nil
}

func activeOnly(v *content.ValueSet) bool { return v.Inactive != nil && !*v.Inactive }

// walk calls f for every code of a value set that is here, each once, until f
// says false. What cannot be told from what is here leaves e.open set.
func (e *evaluation) walk(ctx context.Context, v *content.ValueSet, s selection, depth int, f func(Found) (bool, error)) error {
	if depth > maxNesting {
		return nested(v.URL)
	}
	s.active = s.active || activeOnly(v)
	visit := f
	if len(v.Include) > 1 || len(v.Include) == 1 && len(v.Include[0].ValueSets) > 0 {
		seen := map[[2]string]struct{}{}
		visit = func(x Found) (bool, error) {
			at := [2]string{x.System, x.Concept.Code}
			if _, twice := seen[at]; twice {
				return true, nil
			}
			seen[at] = struct{}{}
			return f(x)
		}
	}
	if len(v.Exclude) > 0 {
		taken := visit
		visit = func(x Found) (bool, error) {
			for i := range v.Exclude {
				a, err := e.includes(ctx, v, &v.Exclude[i], x.System, x.Concept.Code, depth)
				if err != nil {
					return false, err
				}
				if e.open = e.open || a == unknown; a != no {
					return true, nil
				}
			}
			return taken(x)
		}
	}
	going := true
	for i := range v.Include {
		err := e.walkInclude(ctx, &v.Include[i], s, depth, func(x Found) (bool, error) {
			var err error
			going, err = visit(x)
			return going, err
		})
		if err != nil || !going {
			return err
		}
	}
	return nil
}

// walkInclude walks one include.
func (e *evaluation) walkInclude(ctx context.Context, in *content.Include, s selection, depth int, f func(Found) (bool, error)) error {
	rest := in.ValueSets
	if in.System == "" {
		if len(rest) == 0 {
			return nil
		}
		first, err := e.named(ctx, rest[0])
		if err != nil {
			return err
		}
		if first == nil {
			return e.lacks(noValueSet(rest[0]))
		}
		return e.walk(ctx, first, s, depth+1, e.alsoIn(ctx, rest[1:], depth, f))
	}
	f = e.alsoIn(ctx, rest, depth, f)
	held, err := e.lib.systems(ctx, in.System, in.Version)
	if err != nil {
		return err
	}
	if len(in.Concepts) > 0 {
		return e.walkList(ctx, in, held, s, f)
	}
	if len(held) == 0 {
		return e.lacks(noSystem(in.System))
	}
	conditions, err := compile(in)
	if err != nil {
		return err
	}
	narrow(&s, in.Filters)
	going := true
	for i, h := range held {
		e.open = e.open || !h.about().Whole()
		about := h.about()
		err := h.each(ctx, s, func(c *Concept) (bool, error) {
			if e.looked++; e.looked > maxLooked {
				return false, costly(in.System)
			}
			if ok, err := all(ctx, conditions, h, c); err != nil || !ok {
				return err == nil, err
			}
			for _, before := range held[:i] { // what an earlier holding has, it has said
				if other, err := before.find(ctx, c.Code); err != nil || other != nil {
					return err == nil, err
				}
			}
			var err error
			going, err = f(Found{System: in.System, Version: about.Version, Concept: c, Display: c.Display, held: h})
			return going, err
		})
		if err != nil || !going {
			return err
		}
	}
	return nil
}

// walkList walks the codes that an include lists. What the system says of them
// (inactive, other names) is added where the system is here; a code it does not
// have is still taken, since the value set names it.
func (e *evaluation) walkList(ctx context.Context, in *content.Include, held []holding, s selection, f func(Found) (bool, error)) error {
	conditions, err := compile(in)
	if err != nil {
		return err
	}
	query := fold(s.text)
	for i := range in.Concepts {
		l := &in.Concepts[i]
		if e.looked++; e.looked > maxLooked {
			return costly(in.System)
		}
		x := Found{System: in.System, Version: in.Version, Display: l.Display}
		for _, h := range held {
			c, err := h.find(ctx, l.Code)
			if err != nil {
				return err
			}
			if c != nil {
				x.Concept, x.held = c, h
				x.Version = h.about().Version
				break
			}
		}
		switch {
		case x.Concept != nil:
			if s.active && x.Concept.Inactive {
				continue
			}
			ok, err := all(ctx, conditions, x.held, x.Concept)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if len(l.Designations) > 0 {
				c := *x.Concept
				c.Designations = append(append([]Designation{}, l.Designations...), c.Designations...)
				x.Concept = &c
			}
			if x.Display == "" {
				x.Display = x.Concept.Display
			}
		case len(conditions) > 0:
			e.open = true
			continue
		default:
			x.Concept = &Concept{Code: l.Code, Display: l.Display, Designations: l.Designations}
		}
		if query != "" {
			named := *x.Concept
			named.Display = x.Display
			if !content.FoldConcept(&named).Has(query) {
				continue
			}
		}
		if going, err := f(x); err != nil || !going {
			return err
		}
	}
	return nil
}

// alsoIn passes on to f only what is in all the value sets named.
func (e *evaluation) alsoIn(ctx context.Context, names []string, depth int, f func(Found) (bool, error)) func(Found) (bool, error) {
	if len(names) == 0 {
		return f
	}
	both := content.Include{ValueSets: names}
	return func(x Found) (bool, error) {
		a, err := e.includes(ctx, &content.ValueSet{}, &both, x.System, x.Concept.Code, depth)
		if err != nil {
			return false, err
		}
		e.open = e.open || a == unknown
		if a != yes {
			return true, nil
		}
		return f(x)
	}
}
