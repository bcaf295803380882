package terminology

import (
	"context"
	"slices"
	"strings"

	"zhiwei/domain/terminology/internal/content"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

// maxNear is how many codes directly below one a lookup tells.
const maxNear = 1000

// Looked is what is known of one code: FHIR R4 CodeSystem/$lookup.
type Looked struct {
	Found
	Definition string   // empty: none
	SystemName string   // name of the system for people
	Children   []string // codes directly below, at most 1,000; only where asked for
}

// Lookup tells what is known of a code. NotFound where the system or the code is
// not here. children asks for the codes below it too.
func (s *Service) Lookup(ctx context.Context, p *identity.Principal, system, version, code string, children bool) (Looked, error) {
	e := s.ask(p)
	x, err := e.lookup(ctx, system, version, code)
	if err != nil {
		return Looked{}, err
	}
	if x == nil {
		held, err := e.lib.systems(ctx, system, version)
		if err != nil {
			return Looked{}, err
		}
		if len(held) == 0 {
			return Looked{}, noSystem(system)
		}
		return Looked{}, noCode(system, code)
	}
	about := x.held.about()
	out := Looked{Found: *x, SystemName: about.Title}
	if out.SystemName == "" {
		out.SystemName = about.Name
	}
	out.Definition = x.held.definition(x.Concept)
	if children {
		held, err := e.lib.systems(ctx, system, version)
		if err != nil {
			return Looked{}, err
		}
		for _, h := range held { // an imported system may hang below embedded codes
			below, err := h.children(ctx, x.Concept.Code, maxNear)
			if err != nil {
				return Looked{}, err
			}
			for _, c := range below {
				if len(out.Children) < maxNear && !slices.Contains(out.Children, c) {
					out.Children = append(out.Children, c)
				}
			}
		}
	}
	return out, nil
}

func noCode(system, code string) error {
	return errs.E(errs.NotFound, "terminology", system+"|"+code, "代码系统 "+system+" 中没有代码 "+code+"；请核对拼写和大小写。", "The code system "+system+" has no code "+code+"; check spelling and case.").At("code")
}

// Name is what a concept is called in a language (BCP 47; empty: the system's
// own): the designation in that language, else one in its base language, else
// the display.
func (x Found) Name(language string) string {
	if language == "" {
		return x.Display
	}
	for _, wanted := range []string{language, base(language)} {
		if x.held != nil && strings.EqualFold(x.held.about().Language, wanted) {
			return x.Display
		}
		for _, d := range x.Concept.Designations {
			if strings.EqualFold(d.Language, wanted) && d.Names() {
				return d.Value
			}
		}
	}
	for _, d := range x.Concept.Designations {
		if strings.EqualFold(base(d.Language), base(language)) && d.Names() {
			return d.Value
		}
	}
	return x.Display
}

func base(language string) string {
	b, _, _ := strings.Cut(language, "-")
	return b
}

// CodeCheck asks whether a code is right: FHIR R4 $validate-code of CodeSystem
// and ValueSet.
type CodeCheck struct {
	ValueSet string // canonical; or
	Resource []byte // the ValueSet itself in JSON; neither: the code must be one of its system
	System   []byte // a CodeSystem in JSON that is asked in place of the one that is here; nil: none
	Coding   Coding // System may be empty where a value set or a CodeSystem is given; Display empty: any will do
	Concrete bool   // a code that only groups others is not right
}

// CodeAnswer is the answer. Why is empty where the code is right.
type CodeAnswer struct {
	OK      bool
	Display string // what the code is called; empty where it was not found
	Why     errs.Text
}

// Validate tells whether a code is right. It answers No with a reason where the
// system is not here, so that it cannot be told. Errors: NotFound where the
// value set is not here; Invalid where it cannot be evaluated.
func (s *Service) Validate(ctx context.Context, p *identity.Principal, c CodeCheck) (CodeAnswer, error) {
	e := s.ask(p)
	system, code := c.Coding.System, c.Coding.Code
	if len(c.System) > 0 {
		sys, err := content.ReadSystem(c.System)
		if err != nil {
			return CodeAnswer{}, err
		}
		if system == "" {
			system = sys.URL
		}
		e.lib = given{e.lib, sys}
	}
	if c.ValueSet != "" || len(c.Resource) > 0 {
		v, err := e.requested(ctx, c.ValueSet, c.Resource)
		if err != nil {
			return CodeAnswer{}, err
		}
		a, err := e.contains(ctx, v, system, code, 0)
		if err != nil {
			return CodeAnswer{}, err
		}
		if a != yes {
			return CodeAnswer{Why: refusal(a, v, system, code)}, nil
		}
		if system == "" {
			if system, err = e.systemOf(ctx, v, code); err != nil {
				return CodeAnswer{}, err
			}
		}
		if display := listedDisplay(v, system, code); display != "" && (c.Coding.Display == "" || c.Coding.Display == display) {
			return CodeAnswer{OK: true, Display: display}, nil
		}
	}
	x, err := e.lookup(ctx, system, c.Coding.Version, code)
	if err != nil {
		return CodeAnswer{}, err
	}
	if x == nil {
		if c.ValueSet != "" || len(c.Resource) > 0 { // the value set names a code that its system, not being here, cannot tell more of
			return CodeAnswer{OK: true}, nil
		}
		held, err := e.lib.systems(ctx, system, c.Coding.Version)
		if err != nil {
			return CodeAnswer{}, err
		}
		if len(held) == 0 {
			return CodeAnswer{Why: errs.Text{ZH: "没有代码系统 " + system + "，无法判断；可用 zhiwei import codes 导入。", EN: "The code system " + system + " is not here, so it cannot be told; import it with zhiwei import codes."}}, nil
		}
		return CodeAnswer{Why: errs.Text{ZH: "代码系统 " + system + " 中没有代码 " + code + "。", EN: "The code system " + system + " has no code " + code + "."}}, nil
	}
	out := CodeAnswer{OK: true, Display: x.Display}
	if c.Concrete && x.Concept.Abstract {
		out.OK = false
		out.Why = errs.Text{ZH: "代码 " + code + " 只用于分组，不能直接使用。", EN: "The code " + code + " only groups others and is not for use itself."}
		return out, nil
	}
	if c.Coding.Display != "" && !x.called(c.Coding.Display) {
		out.OK = false
		out.Why = errs.Text{ZH: "代码 " + code + " 的名称不是“" + c.Coding.Display + "”，而是“" + x.Display + "”。", EN: "The code " + code + " is not called \"" + c.Coding.Display + "\" but \"" + x.Display + "\"."}
	}
	return out, nil
}

// given is a library in which one system is that of a request.
type given struct {
	library
	system *content.System
}

func (g given) systems(ctx context.Context, url, version string) ([]holding, error) {
	if url == g.system.URL {
		return []holding{inMemory{g.system}}, nil
	}
	return g.library.systems(ctx, url, version)
}

func refusal(a answer, v *content.ValueSet, system, code string) errs.Text {
	what := code
	if system != "" {
		what = system + "|" + code
	}
	name := v.Title
	if name == "" {
		name = v.Name
	}
	if v.URL != "" {
		name += " (" + v.URL + ")"
	}
	if a == unknown {
		return errs.Text{ZH: "值集 " + name + " 取自本机没有的代码系统，无法判断 " + what + "。", EN: "The value set " + name + " takes codes from a system that is not here, so it cannot be told of " + what + "."}
	}
	return errs.Text{ZH: "代码 " + what + " 不在值集 " + name + " 中。", EN: "The code " + what + " is not in the value set " + name + "."}
}

// systemOf finds the system by which a code without one is in a value set.
func (e *evaluation) systemOf(ctx context.Context, v *content.ValueSet, code string) (string, error) {
	for i := range v.Include {
		in := &v.Include[i]
		a, err := e.includes(ctx, v, in, in.System, code, 0)
		if err != nil {
			return "", err
		}
		if a != yes {
			continue
		}
		if in.System != "" {
			return in.System, nil
		}
		for _, name := range in.ValueSets {
			other, err := e.named(ctx, name)
			if err != nil || other == nil {
				return "", err
			}
			if system, err := e.systemOf(ctx, other, code); err != nil || system != "" {
				return system, err
			}
		}
	}
	return "", nil
}

// listedDisplay is what a value set itself calls a code; empty where it leaves
// that to the system.
func listedDisplay(v *content.ValueSet, system, code string) string {
	for _, in := range v.Include {
		if in.System != system {
			continue
		}
		for _, l := range in.Concepts {
			if l.Code == code {
				return l.Display
			}
		}
	}
	return ""
}

// called tells whether a concept goes by a name: its display or another name,
// ignoring case and punctuation.
func (x Found) called(name string) bool {
	want := fold(name)
	if fold(x.Display) == want || fold(x.Concept.Display) == want {
		return true
	}
	return slices.ContainsFunc(x.Concept.Designations, func(d Designation) bool { return fold(d.Value) == want && d.Names() })
}

// Subsumption is how two codes stand to each other: FHIR R4
// concept-subsumption-outcome.
type Subsumption string

// The outcomes of Subsumes, of the first code towards the second.
const (
	Equivalent  Subsumption = "equivalent"
	Above       Subsumption = "subsumes"
	Beneath     Subsumption = "subsumed-by"
	NotSubsumed Subsumption = "not-subsumed"
)

// Subsumes tells how code a stands to code b of the same system. NotFound where
// the system or one of the codes is not here.
func (s *Service) Subsumes(ctx context.Context, p *identity.Principal, system, version, a, b string) (Subsumption, error) {
	e := s.ask(p)
	held, err := e.lib.systems(ctx, system, version)
	if err != nil {
		return "", err
	}
	if len(held) == 0 {
		return "", noSystem(system)
	}
	var found [2]*Found
	for i, code := range []string{a, b} {
		if found[i], err = e.lookup(ctx, system, version, code); err != nil {
			return "", err
		}
		if found[i] == nil {
			return "", noCode(system, code)
		}
	}
	x, y := found[0], found[1]
	switch {
	case x.Concept.Code == y.Concept.Code:
		return Equivalent, nil
	case x.held.isA(x.Concept, y.Concept.Code):
		return Beneath, nil
	case y.held.isA(y.Concept, x.Concept.Code):
		return Above, nil
	}
	return NotSubsumed, nil
}
