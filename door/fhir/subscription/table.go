package subscription

import (
	"zhiwei/kernel"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
)

// table finds the lines that a version may concern without holding it against
// each of them: a line stands under the values of one of its conditions that ask
// for a code or a reference, and only lines without such a condition are always
// asked.
type table struct {
	registry *kernel.Registry
	byKind   map[string]*shelf
}

// shelf holds the lines of one type.
type shelf struct {
	keyed  map[value][]*line
	always []*line
}

// value is an index entry that a condition asks for.
type value struct {
	name string // of the index
	what string // the code, or the reference "Kind/id"
	ref  bool
}

func newTable(r *kernel.Registry) *table { return &table{registry: r, byKind: map[string]*shelf{}} }

// put enters a line for every type its definition is about.
func (t *table) put(l *line) {
	def := l.def.Load()
	for _, g := range def.topic.triggers {
		kinds := []string{g.kind}
		if g.kind == "" {
			kinds = kinds[:0]
			if def.every {
				kinds = append(kinds, "")
			}
			for typ := range def.where {
				kinds = append(kinds, typ)
			}
		}
		for _, typ := range kinds {
			s := t.byKind[typ]
			if s == nil {
				s = &shelf{keyed: map[value][]*line{}}
				t.byKind[typ] = s
			}
			keys := t.keys(typ, def.where[typ])
			if keys == nil {
				s.always = append(s.always, l)
			}
			for _, k := range keys {
				s.keyed[k] = append(s.keyed[k], l)
			}
		}
	}
}

// keys are the values of the condition that tells most; nil where none asks for
// a code or a reference.
func (t *table) keys(typ string, where []search.Clause) []value {
	var best []value
	for _, c := range where {
		if c.Not || c.Missing != nil || c.Chain != nil || c.Has != nil || len(c.Or) > 0 || c.Beside != "" || len(c.Any) == 0 {
			continue
		}
		p, ok := t.registry.Param(typ, c.Param)
		if !ok || p.Type != string(kind.TokenParam) && p.Type != string(kind.ReferenceParam) {
			continue
		}
		names := p.Over
		if len(names) == 0 {
			names = []string{c.Param}
		}
		keys := valuesOf(names, c.Any)
		// A reference tells more than a code; of the same sort, fewer values do.
		if keys != nil && (best == nil || keys[0].ref && !best[0].ref || keys[0].ref == best[0].ref && len(keys) < len(best)) {
			best = keys
		}
	}
	return best
}

// valuesOf are the index entries that a condition's values ask for; nil where one
// of them asks for something else than a code or a reference.
func valuesOf(names []string, list []search.Value) []value {
	var out []value
	for _, v := range list {
		for _, name := range names {
			switch {
			case v.Code != "" && !v.Under:
				out = append(out, value{name: name, what: v.Code})
			case !v.Ref.IsZero():
				out = append(out, value{name: name, what: v.Ref.String(), ref: true})
			default:
				return nil
			}
		}
	}
	return out
}

// concerns tells whether any line is about a type.
func (t *table) concerns(typ string) bool {
	return t.byKind[typ] != nil || t.byKind[""] != nil
}

// candidates yields the lines that a version with these entries may concern;
// some of them twice.
func (t *table) candidates(typ string, ix *search.Index) func(func(*line) bool) {
	return func(yield func(*line) bool) {
		if s := t.byKind[""]; s != nil {
			for _, l := range s.always {
				if !yield(l) {
					return
				}
			}
		}
		s := t.byKind[typ]
		if s == nil {
			return
		}
		for _, l := range s.always {
			if !yield(l) {
				return
			}
		}
		if len(s.keyed) == 0 || ix == nil {
			return
		}
		for i := range ix.Tokens {
			for _, l := range s.keyed[value{name: ix.Tokens[i].Param, what: ix.Tokens[i].Code}] {
				if !yield(l) {
					return
				}
			}
		}
		for i := range ix.Refs {
			if r := &ix.Refs[i]; r.URL == "" {
				for _, l := range s.keyed[value{name: r.Param, what: r.Target.String(), ref: true}] {
					if !yield(l) {
						return
					}
				}
			}
		}
	}
}
