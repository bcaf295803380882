package search

import (
	"slices"
	"strings"
)

// Answers says which entries of an Index answer a parameter.
type Answers struct {
	Over  []string   // index names, any of them
	Only  []string   // kinds that a reference is limited to; empty: no limit
	Parts [][]string // of a composite: the index names of each part
}

// Holds tells whether what a record is found by satisfies a clause, as a store
// would answer it over that record alone.
//
// known is false for a clause that looks at other records (Chain, Has), has
// alternatives of its own (Or), or asks what only a store knows how to tell:
// that is for the caller.
func (ix *Index) Holds(c Clause, a Answers) (holds, known bool) {
	if !tellable(c) {
		return false, false
	}
	if c.Beside != "" {
		beside := make([]string, len(a.Over))
		for i, name := range a.Over {
			beside[i] = BesideName(name, c.Beside)
		}
		a.Over = beside
	}
	switch {
	case c.Missing != nil:
		holds = ix.has(a) != *c.Missing
	case len(a.Parts) > 0:
		holds = slices.ContainsFunc(c.Any, func(v Value) bool { return ix.tied(v, a.Parts) })
	default:
		holds = slices.ContainsFunc(c.Any, func(v Value) bool {
			for range ix.matching(a.Over, a.Only, v) {
				return true
			}
			return false
		})
	}
	return holds != c.Not, true
}

// tellable tells whether an Index alone answers the clause.
func tellable(c Clause) bool {
	return c.Chain == nil && c.Has == nil && len(c.Or) == 0 && !slices.ContainsFunc(c.Any, func(v Value) bool { return v.Near != nil })
}

// has tells whether there is any entry of the parameter; for a composite, an
// element with every part.
func (ix *Index) has(a Answers) bool {
	if len(a.Parts) == 0 {
		for range ix.entries(a.Over, a.Only) {
			return true
		}
		return false
	}
	return inOne(len(a.Parts), func(part int) func(func(int32) bool) { return ix.entries(a.Parts[part], nil) })
}

// tied tells whether one element has a match for every part of a composite.
func (ix *Index) tied(v Value, parts [][]string) bool {
	if len(v.Parts) != len(parts) {
		return false
	}
	return inOne(len(parts), func(part int) func(func(int32) bool) {
		return func(yield func(int32) bool) {
			if !ix.values(parts[part], nil, v.Parts[part], yield) {
				return
			}
			// Of one element the texts are looked at together, not those of several.
			for occ := range ix.entries(parts[part], nil) {
				if ix.text(parts[part], v.Parts[part], func(e *Text) bool { return e.Occ == occ }) && !yield(occ) {
					return
				}
			}
		}
	})
}

// inOne tells whether one occurrence number is among those of every part.
func inOne(parts int, of func(part int) func(func(int32) bool)) bool {
	count := map[int32]int{}
	for i := range parts {
		for occ := range of(i) {
			if count[occ] == i { // in every part before this one, and not counted twice
				count[occ] = i + 1
			}
		}
	}
	for _, n := range count {
		if n == parts {
			return true
		}
	}
	return false
}

// entries yields the occurrence numbers of the entries under some names.
func (ix *Index) entries(names, only []string) func(func(int32) bool) {
	return func(yield func(int32) bool) {
		for i := range ix.Tokens {
			if slices.Contains(names, ix.Tokens[i].Param) && !yield(ix.Tokens[i].Occ) {
				return
			}
		}
		for i := range ix.Texts {
			if slices.Contains(names, ix.Texts[i].Param) && !yield(ix.Texts[i].Occ) {
				return
			}
		}
		for i := range ix.Dates {
			if slices.Contains(names, ix.Dates[i].Param) && !yield(ix.Dates[i].Occ) {
				return
			}
		}
		for i := range ix.Quantities {
			if slices.Contains(names, ix.Quantities[i].Param) && !yield(ix.Quantities[i].Occ) {
				return
			}
		}
		for i := range ix.Refs {
			if slices.Contains(names, ix.Refs[i].Param) && among(only, &ix.Refs[i]) && !yield(ix.Refs[i].Occ) {
				return
			}
		}
	}
}

// matching yields the occurrence numbers of the entries under some names that a
// value matches.
func (ix *Index) matching(names, only []string, v Value) func(func(int32) bool) {
	return func(yield func(int32) bool) {
		if ix.values(names, only, v, yield) && ix.text(names, v, func(*Text) bool { return true }) {
			yield(0)
		}
	}
}

// values yields those of matching that are no texts; false where yield ended it.
func (ix *Index) values(names, only []string, v Value, yield func(int32) bool) bool {
	for i := range ix.Tokens {
		if e := &ix.Tokens[i]; slices.Contains(names, e.Param) && e.is(v) && !yield(e.Occ) {
			return false
		}
	}
	for i := range ix.Dates {
		if e := &ix.Dates[i]; slices.Contains(names, e.Param) && compare(v.Compare, e.Lo, e.Hi, v.Lo, v.Hi, true) && !yield(e.Occ) {
			return false
		}
	}
	for i := range ix.Quantities {
		e := &ix.Quantities[i]
		if slices.Contains(names, e.Param) && (v.Unit == "" || v.Unit == e.Unit) && (v.System == "" || v.System == e.System) &&
			compare(v.Compare, e.Lo, e.Hi, v.Min, v.Max, false) && !yield(e.Occ) {
			return false
		}
	}
	for i := range ix.Refs {
		if e := &ix.Refs[i]; slices.Contains(names, e.Param) && among(only, e) && e.is(v) && !yield(e.Occ) {
			return false
		}
	}
	return true
}

// is tells whether a token is what was asked for: the code in the system asked
// for, any code of a system, or the code in any system.
func (e *Token) is(v Value) bool {
	switch {
	case v.Under:
		return v.Code != "" && strings.HasPrefix(e.Code, v.Code)
	case v.AnySystem:
		return v.Code != "" && e.Code == v.Code
	case v.Code == "":
		return v.System != "" && e.System == v.System
	}
	return e.Code == v.Code && e.System == v.System
}

func (e *Ref) is(v Value) bool {
	if v.URL != "" {
		rest, ok := strings.CutPrefix(e.URL, v.URL)
		return ok && (rest == "" || rest[0] == '|' && !strings.Contains(v.URL, "|"))
	}
	return e.URL == "" && !v.Ref.IsZero() && e.Target == v.Ref
}

// among tells whether a reference points to a record of one of the kinds; none
// limits nothing, and an address outside is not limited.
func among(kinds []string, e *Ref) bool {
	return len(kinds) == 0 || e.URL != "" || slices.Contains(kinds, e.Target.Kind)
}

// compare is FHIR R4 §3.1.1.4.5 over the record's interval [lo, hi] and the
// value's [from, to]. Dates are half open: what ends where another begins does
// not meet it.
func compare[N int64 | float64](c Compare, lo, hi, from, to N, halfOpen bool) bool {
	within := lo >= from && hi <= to
	switch c {
	case Eq:
		return within
	case Ne:
		return !within
	case Gt:
		return hi > to
	case Lt:
		return lo < from
	case Ge:
		return hi > to || within
	case Le:
		return lo < from || within
	case Sa:
		return lo > to || halfOpen && lo == to
	case Eb:
		return hi < from || halfOpen && hi == from
	case Ap:
		if halfOpen {
			return lo < to && hi > from
		}
		return lo <= to && hi >= from
	}
	return false
}

// text tells whether the texts under some names, as far as they count, match
// together: the words of a query may stand in several of them.
func (ix *Index) text(names []string, v Value, counts func(*Text) bool) bool {
	some := func(f func(e *Text) bool) bool {
		for i := range ix.Texts {
			if e := &ix.Texts[i]; slices.Contains(names, e.Param) && counts(e) && f(e) {
				return true
			}
		}
		return false
	}
	if v.Match == Exact {
		return some(func(e *Text) bool { return e.Form == Whole && e.Exact == v.Text })
	}
	if v.Text == "" {
		return false
	}
	q := Fold(v.Text)
	if q == "" {
		return false // what folds to nothing matches nothing
	}
	begins := func(word string, inner bool) bool {
		latin := strings.ReplaceAll(word, " ", "")
		return some(func(e *Text) bool {
			switch e.Form {
			case Whole:
				return strings.HasPrefix(e.Fold, word)
			case Inner:
				return inner && strings.HasPrefix(e.Fold, word)
			}
			return strings.HasPrefix(e.Fold, latin)
		})
	}
	switch v.Match {
	case Starts:
		return begins(q, false)
	case Contains:
		return some(func(e *Text) bool { return e.Form == Whole && strings.Contains(e.Fold, q) })
	case AnyWord:
		for word := range strings.SplitSeq(q, " ") {
			if !begins(word, true) {
				return false
			}
		}
		return true
	}
	return false
}
