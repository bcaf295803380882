package terminology

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"zhiwei/domain/terminology/internal/content"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// The resource types a Service reads. Their kinds are those of domain/clinical.
const (
	codeSystemKind = "CodeSystem"
	valueSetKind   = "ValueSet"
	conceptMapKind = "ConceptMap"
)

// Service answers over what is embedded and what the kernel has: CodeSystem,
// ValueSet and ConceptMap resources, as soon as they are written, and imported
// concepts. A resource of the hospital goes before an embedded one of the same
// URL. Everything is read as the principal may see it. It is safe for
// concurrent use.
type Service struct {
	k *kernel.Kernel

	mu     sync.Mutex
	parsed map[versionKey]any // resources by version: a version never changes
}

type versionKey struct {
	record.Key
	version int64
}

// maxParsed is how many resources are kept ready.
const maxParsed = 512

// NewService makes a Service over a kernel.
func NewService(k *kernel.Kernel) *Service {
	return &Service{k: k, parsed: map[versionKey]any{}}
}

// Contains tells whether a code is in a value set, as Embedded.Contains does.
// Errors are those of reading; known is false where a value set or a system is
// not here.
func (s *Service) Contains(ctx context.Context, p *identity.Principal, valueSet, system, code string) (in, known bool, err error) {
	e := s.ask(p)
	v, err := e.named(ctx, valueSet)
	if v == nil || err != nil {
		return false, false, err
	}
	a, err := e.contains(ctx, v, system, code, 0)
	return a == yes, a != unknown, err
}

// Codes lists at most limit codes of a value set; more tells that there are
// others, or that some cannot be told from what is here. NotFound where the
// value set is not here.
func (s *Service) Codes(ctx context.Context, p *identity.Principal, valueSet string, limit int) (list []Coding, more bool, err error) {
	e := s.ask(p)
	v, err := e.named(ctx, valueSet)
	if err != nil {
		return nil, false, err
	}
	if v == nil {
		return nil, false, noValueSet(valueSet)
	}
	err = e.walk(ctx, v, selection{}, 0, func(x Found) (bool, error) {
		if len(list) == limit {
			more = true
			return false, nil
		}
		list = append(list, Coding{System: x.System, Version: x.Version, Code: x.Concept.Code, Display: x.Display})
		return true, nil
	})
	return list, more || e.open, err
}

// Below lists a code and at most limit-1 codes that stand below it. Only the
// code itself where the system is not here.
func (s *Service) Below(ctx context.Context, p *identity.Principal, system, code string, limit int) ([]string, error) {
	e := s.ask(p)
	out := []string{code}
	in := content.Include{System: system, Filters: []content.Filter{{Property: "concept", Op: "descendent-of", Value: code}}}
	err := e.walkInclude(ctx, &in, selection{}, 0, func(x Found) (bool, error) {
		if len(out) < limit {
			out = append(out, x.Concept.Code)
		}
		return len(out) < limit, nil
	})
	return out, err
}

// Above lists a code and at most limit-1 codes that stand above it. Only the
// code itself where the system is not here.
func (s *Service) Above(ctx context.Context, p *identity.Principal, system, code string, limit int) ([]string, error) {
	e := s.ask(p)
	out := []string{code}
	x, err := e.lookup(ctx, system, "", code)
	if err != nil || x == nil {
		return out, err
	}
	above := x.Concept.Ancestors
	if m, ok := x.held.(inMemory); ok {
		above = m.Ancestors(x.Concept.Code)
	}
	for _, c := range above {
		if len(out) < limit {
			out = append(out, c)
		}
	}
	return out, nil
}

// Held is one code system that is here.
type Held struct {
	URL, Version, Title, Language string
	Concepts                      int    // -1: not known
	Source                        string // where its content is from
}

// Systems lists the code systems of the hospital that p may see, then the
// embedded ones, each in the order of its URLs.
func (s *Service) Systems(ctx context.Context, p *identity.Principal) ([]Held, error) {
	var out []Held
	if s.k.Registry().Find(codeSystemKind) != nil {
		q := search.Query{Kind: codeSystemKind, Limit: 200}
		for {
			page, err := s.k.Search(ctx, p, q)
			if err != nil {
				return nil, err
			}
			for i := range page.Records {
				r, err := parsed(s, &page.Records[i], readSystem)
				if err != nil {
					return nil, err
				}
				h := Held{URL: r.system.URL, Version: r.system.Version, Title: cmp.Or(r.system.Title, r.system.Name), Language: r.system.Language, Concepts: len(r.system.Concepts), Source: page.Records[i].Key.String()}
				if h.Concepts == 0 {
					h.Concepts = r.count
				}
				out = append(out, h)
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		slices.SortFunc(out, func(a, b Held) int { return cmp.Compare(a.URL, b.URL) })
	}
	for _, url := range slices.Sorted(slices.Values(Standard().packed.Systems())) {
		sys := Standard().packed.System(url)
		h := Held{URL: url, Version: sys.Version, Title: cmp.Or(sys.Title, sys.Name), Language: sys.Language, Concepts: len(sys.Concepts), Source: Standard().source(url)}
		out = append(out, h)
	}
	return out, nil
}

func noValueSet(name string) error {
	return errs.E(errs.NotFound, "terminology", name, "没有值集 "+name+"；请核对 URL，或先上传 ValueSet 资源。", "There is no value set "+name+"; check its URL, or upload the ValueSet resource first.").At("url")
}

func noSystem(url string) error {
	return errs.E(errs.NotFound, "terminology", url, "没有代码系统 "+url+"；请核对 URL，或用 zhiwei import codes 导入。", "There is no code system "+url+"; check its URL, or import it with zhiwei import codes.").At("system")
}

// lookup finds a code of a system; nil where the system has no such code, or is
// not here.
func (e *evaluation) lookup(ctx context.Context, system, version, code string) (*Found, error) {
	held, err := e.lib.systems(ctx, system, version)
	if err != nil {
		return nil, err
	}
	for _, h := range held {
		c, err := h.find(ctx, code)
		if err != nil {
			return nil, err
		}
		if c != nil {
			return &Found{System: system, Version: h.about().Version, Concept: c, Display: c.Display, held: h}, nil
		}
	}
	return nil, nil
}

// ask begins one question of a principal. What it reads of a system it reads
// once.
func (s *Service) ask(p *identity.Principal) *evaluation {
	return &evaluation{lib: &seen{s: s, p: p, held: map[string][]holding{}, sets: map[string]*content.ValueSet{}}}
}

// seen is the library of one question.
type seen struct {
	s    *Service
	p    *identity.Principal
	held map[string][]holding
	sets map[string]*content.ValueSet
}

var (
	_ library = (*seen)(nil)
	_ library = (*Embedded)(nil)
)

func (l *seen) systems(ctx context.Context, url, version string) ([]holding, error) {
	name := url + "|" + version
	if held, ok := l.held[name]; ok {
		return held, nil
	}
	found, err := l.s.systems(ctx, l.p, url, version)
	if err == nil {
		l.held[name] = found
	}
	return found, err
}

// systems gives where a system's concepts are kept: in the resource, or, where
// that says they are not in it, in records; and what is embedded, unless the
// resource has concepts of its own.
func (s *Service) systems(ctx context.Context, p *identity.Principal, url, version string) ([]holding, error) {
	v, err := resource(ctx, s, p, codeSystemKind, url, version, readSystem)
	if err != nil {
		return nil, err
	}
	var out []holding
	if v != nil {
		if len(v.system.Concepts) > 0 {
			return []holding{inMemory{v.system}}, nil
		}
		if v.system.Content == content.NotPresent {
			out = append(out, stored{k: s.k, p: p, system: v.imported, total: v.count})
		}
	}
	if version != "" && v == nil {
		if e := Standard().packed.System(url); e == nil || e.Version != "" && e.Version != version {
			return out, nil
		}
	}
	held, err := Standard().systems(ctx, url, version)
	return append(out, held...), err
}

func (l *seen) valueSet(ctx context.Context, url, version string) (*content.ValueSet, error) {
	name := url + "|" + version
	if v, ok := l.sets[name]; ok {
		return v, nil
	}
	v, err := resource(ctx, l.s, l.p, valueSetKind, url, version, content.ReadValueSet)
	if err != nil {
		return nil, err
	}
	if v == nil {
		if v, err = Standard().valueSet(ctx, url, version); err != nil {
			return nil, err
		}
	}
	l.sets[name] = v
	return v, nil
}

func (l *seen) conceptMaps(ctx context.Context, url, version string) ([]*content.ConceptMap, error) {
	if url != "" {
		m, err := resource(ctx, l.s, l.p, conceptMapKind, url, version, content.ReadConceptMap)
		if err != nil {
			return nil, err
		}
		if m != nil {
			return []*content.ConceptMap{m}, nil
		}
		return Standard().conceptMaps(ctx, url, version)
	}
	var out []*content.ConceptMap
	q := search.Query{Kind: conceptMapKind, Limit: 1000}
	page, err := l.s.k.Search(ctx, l.p, q)
	if err != nil {
		return nil, err
	}
	for i := range page.Records {
		m, err := parsed(l.s, &page.Records[i], content.ReadConceptMap)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	rest, err := Standard().conceptMaps(ctx, "", "")
	return append(out, rest...), err
}

// systemResource is a CodeSystem as it is kept.
type systemResource struct {
	system   *content.System
	imported *content.System // what it says of its concepts, where they are records: together they are complete
	count    int             // CodeSystem.count; -1: not said
}

func readSystem(raw []byte) (*systemResource, error) {
	sys, err := content.ReadSystem(raw)
	if err != nil {
		return nil, err
	}
	head := struct {
		Count *int `json:"count"`
	}{}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, errs.Wrap("terminology", sys.URL, err)
	}
	out := &systemResource{system: sys, count: -1}
	if head.Count != nil {
		out.count = *head.Count
	}
	out.imported = &content.System{URL: sys.URL, Version: sys.Version, Name: sys.Name, Title: sys.Title, Language: sys.Language, Content: content.Complete}
	return out, nil
}

// resource finds the resource of a canonical URL that p may see; nil where
// there is none. Of several, the version asked for, else an active one, else the
// newest written.
func resource[T any](ctx context.Context, s *Service, p *identity.Principal, kindName, url, version string, read func([]byte) (*T, error)) (*T, error) {
	if url == "" || s.k.Registry().Find(kindName) == nil {
		return nil, nil
	}
	page, err := s.k.Search(ctx, p, search.Query{
		Kind: kindName, Limit: 100,
		Where: []search.Clause{{Param: "url", Any: []search.Value{{AnySystem: true, Code: url}}}},
	})
	if err != nil {
		return nil, err
	}
	type head struct {
		Version string `json:"version"`
		Status  string `json:"status"`
	}
	var best *record.Record
	var of head
	better := func(h head, r *record.Record) bool {
		if best == nil {
			return true
		}
		rank := func(h head) int { return slices.Index([]string{"", "retired", "draft", "active"}, h.Status) }
		return cmp.Or(cmp.Compare(rank(h), rank(of)), r.UpdatedAt.Compare(best.UpdatedAt)) > 0
	}
	for i := range page.Records {
		r := &page.Records[i]
		var h head
		if err := json.Unmarshal(r.Data, &h); err != nil {
			return nil, errs.Wrap("terminology", r.Key.String(), err)
		}
		if version != "" && h.Version != version && !strings.HasPrefix(h.Version, version+".") {
			continue
		}
		if better(h, r) {
			best, of = r, h
		}
	}
	if best == nil {
		return nil, nil
	}
	return parsed(s, best, read)
}

// parsed reads a version of a resource, or gives what reading it gave before.
func parsed[T any](s *Service, r *record.Record, read func([]byte) (*T, error)) (*T, error) {
	at := versionKey{r.Key, r.Version}
	s.mu.Lock()
	v, ok := s.parsed[at]
	s.mu.Unlock()
	if ok {
		return v.(*T), nil
	}
	out, err := read(r.Data)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parsed) >= maxParsed {
		clear(s.parsed)
	}
	s.parsed[at] = out
	return out, nil
}
