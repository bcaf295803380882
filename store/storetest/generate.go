package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// generator makes random records, queries and views of the test kinds. Values
// come from small sets, so that queries find something and orders have ties;
// the sets hold what breaks queries that are glued together from text.
type generator struct {
	*rand.Rand
	defs  Defs
	live  func() []record.Key // what may be referred to
	ids   int                 // how many ids there are of each kind
	depth int                 // how many references a clause follows
	wide  int                 // how much further values spread than the sets; 0: not
	fresh int                 // how many words were coined: see word
	long  bool                // this query has its long list
}

var (
	genKinds   = []string{Person, Ward, Reading, Tie, Ban}
	genSystems = []string{"", "", "s1", "s2", "http://系统"}
	genCodes   = []string{"a", "b", "c", "A", "a%", "a_b", "it's", "代码", "x|y"}
	genUnits   = []string{"kg", "g", "mm[Hg]", "次"}
	genStates  = []string{"", "active", "done", "等待"}
	genPlaces  = []string{"", "p1", "p2", "p3"}
	genHomes   = []string{Site, "edge"}
	genTexts   = []string{
		"张三", "张三丰", "李四", "Zhang San", "zhang", "O'Brien", "Müller Zoë", "muller", "三病区 ICU", "ICU", "a%b", "a_b",
		"heart failure, chronic", "chronic heart disease", "急性心肌梗死", "心力衰竭 heart", "100% sure", "Ärzte Übung", "ﬁne ＡＢＣ", "重庆 银行",
	}
)

// code is one of the codes; where values spread, one of many like it.
func (g *generator) code() string {
	c := pick(g, genCodes)
	if g.wide > 0 {
		c += fmt.Sprint(g.IntN(g.wide))
	}
	return c
}

// word is one of a set, or a newly coined one, or the one that will be coined
// next: a store numbers words when it first meets them, and is asked for them
// in the very transaction that brings them.
func (g *generator) word(from []string) string {
	if g.chance(16) {
		return fmt.Sprint("new", g.fresh+g.IntN(2))
	}
	return pick(g, from)
}

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

// chance is true once in n times.
func (g *generator) chance(n int) bool { return g.IntN(n) == 0 }

func (g *generator) key(kindName string) record.Key {
	return record.Key{Kind: kindName, ID: fmt.Sprintf("%s%d", kindName[:1], g.IntN(g.ids))}
}

// target is mostly a live record, for then the reference is accepted.
func (g *generator) target() record.Key {
	if live := g.live(); len(live) > 0 && !g.chance(50) {
		return pick(g, live)
	}
	return record.Key{Kind: pick(g, genKinds), ID: fmt.Sprint("ghost", g.IntN(3))}
}

func (g *generator) draft() Draft {
	k := pick(g, genKinds)
	if g.chance(2) {
		g.fresh++
	}
	d := Draft{
		Key: g.key(k), State: g.word(genStates), Home: pick(g, genHomes), Loose: g.chance(10), Deleted: g.chance(8),
		Data:  fmt.Sprintf(`{"n":%d}`, g.IntN(1000)),
		Place: g.place(),
		Index: g.index(k),
	}
	if g.chance(3) {
		d.Next = time.UnixMilli(1 + int64(g.IntN(20)))
	}
	return d
}

func (g *generator) index(kindName string) search.Index {
	var ix search.Index
	names := make([]string, 0, len(g.defs[kindName]))
	for name := range g.defs[kindName] {
		names = append(names, name)
	}
	slices.Sort(names) // a map's order would not be the seed's
	for _, name := range names {
		p := g.defs[kindName][name]
		switch {
		case len(p.Over) > 0 || len(p.Parts) > 0 && len(p.Parts[0]) > 1:
			continue // answered by the entries of others
		case p.Type == string(kind.NearParam):
			for occ := range int32(g.IntN(3)) {
				at := pick(g, genPlacesOnEarth)
				for i, part := range p.Parts {
					ix.Quantities = append(ix.Quantities, search.Quantity{Param: part[0], Lo: at[i], Hi: at[i], Occ: occ + 1})
				}
			}
			continue
		case p.Type == string(kind.CompositeParam):
			for occ := range int32(g.IntN(4)) {
				for i, part := range p.Parts {
					if !g.chance(6) {
						g.entry(&ix, pick(g, part), p.PartTypes[i], occ+1)
					}
				}
			}
			continue
		}
		n := []int{0, 1, 1, 1, 2, 3}[g.IntN(6)]
		if name == g.defs.About(kindName) {
			n = min(n, 1)
		}
		for range n {
			g.entry(&ix, name, p.Type, 0)
		}
		for _, b := range beside(p.Type) {
			if g.chance(3) {
				g.entry(&ix, search.BesideName(name, b), besideType(b), 0)
			}
		}
	}
	if kindName == Ban {
		g.bans(&ix)
	}
	if kindName == Tie && !g.chance(4) { // one that can be active
		ix.Refs = append(ix.Refs, ref("member", person(fmt.Sprint("p", g.IntN(3)))), ref("whom", person(fmt.Sprint("p", g.IntN(5)))))
	}
	return ix
}

// beside lists what may be kept beside the values of a type.
func beside(typ string) []search.Beside {
	switch kind.ParamType(typ) {
	case kind.TokenParam:
		return []search.Beside{search.Words, search.Typed}
	case kind.ReferenceParam:
		return []search.Beside{search.Identifier}
	}
	return nil
}

func besideType(b search.Beside) string {
	if b == search.Words {
		return string(kind.StringParam)
	}
	return string(kind.TokenParam)
}

// genPlacesOnEarth are points of the unit sphere: 上海, 苏州, either side of the
// date line, and a pole.
var genPlacesOnEarth = func() (out [][3]float64) {
	for _, at := range [][2]float64{{31.23, 121.47}, {31.3, 120.6}, {-18, 179.9}, {-18, -179.9}, {90, 0}} {
		x, y, z, _ := search.Sphere(at[0], at[1])
		out = append(out, [3]float64{x, y, z})
	}
	return out
}()

func (g *generator) near() *search.Near {
	at := pick(g, genPlacesOnEarth)
	return &search.Near{X: at[0], Y: at[1], Z: at[2], Chord: []float64{0, 0.001, 0.02, 0.5, 2}[g.IntN(5)]}
}

func (g *generator) entry(ix *search.Index, param, typ string, occ int32) {
	switch kind.ParamType(typ) {
	case kind.TokenParam:
		ix.Tokens = append(ix.Tokens, search.Token{Param: param, System: g.word(genSystems), Code: g.code(), Occ: occ})
	case kind.URIParam:
		ix.Tokens = append(ix.Tokens, search.Token{Param: param, Code: "http://u/" + g.code(), Occ: occ})
	case kind.StringParam, kind.WordsParam:
		ix.Texts = append(ix.Texts, search.TextEntries(param, pick(g, genTexts), typ == string(kind.WordsParam), occ)...)
	case kind.DateParam:
		lo, hi := g.period()
		ix.Dates = append(ix.Dates, search.Date{Param: param, Lo: lo, Hi: hi, Occ: occ})
	case kind.NumberParam:
		lo, hi := g.interval()
		ix.Quantities = append(ix.Quantities, search.Quantity{Param: param, Lo: lo, Hi: hi, Occ: occ})
	case kind.QuantityParam:
		lo, hi := g.interval()
		ix.Quantities = append(ix.Quantities, search.Quantity{Param: param, System: g.word(genSystems), Unit: g.word(genUnits), Lo: lo, Hi: hi, Occ: occ})
	case kind.ReferenceParam:
		r := search.Ref{Param: param, Target: g.target(), Occ: occ}
		if g.chance(8) {
			r.Target, r.URL = record.Key{}, "https://x/"+g.code()
			if g.chance(2) {
				r.URL += "|1." + g.code()
			}
		}
		ix.Refs = append(ix.Refs, r)
	}
}

// period is an instant or a short while among few, or the day, month, year or
// days of a date as people write it.
func (g *generator) period() (lo, hi int64) {
	lo = int64(g.IntN(20*(g.wide+1))) - 5
	hi = lo + []int64{1, 1, 5, 10}[g.IntN(4)]
	if g.chance(3) {
		day := time.Date(2029, 12, 30, 0, 0, 0, 0, time.UTC).AddDate(0, 0, g.IntN(5))
		month := time.Date(2029, time.Month(11+g.IntN(4)), 1, 0, 0, 0, 0, time.UTC)
		year := time.Date(2029+g.IntN(2), 1, 1, 0, 0, 0, 0, time.UTC)
		switch g.IntN(4) {
		case 0:
			lo, hi = day.UnixMilli(), day.AddDate(0, 0, 1).UnixMilli()
		case 1:
			lo, hi = month.UnixMilli(), month.AddDate(0, 1, 0).UnixMilli()
		case 2:
			lo, hi = year.UnixMilli(), year.AddDate(1, 0, 0).UnixMilli()
		case 3: // just about what a store may think short: see any bound on the length of a month
			lo, hi = day.UnixMilli(), day.AddDate(0, 0, 31+g.IntN(3)).UnixMilli()+int64(g.IntN(3))-1
		}
	}
	switch g.IntN(12) {
	case 0:
		lo = search.MinTime
	case 1:
		hi = search.MaxTime
	}
	return lo, hi
}

func (g *generator) interval() (lo, hi float64) {
	lo = float64(g.IntN(13*(g.wide+1))-6) / 2
	return lo, lo + []float64{0, 0, 0.5, 1.5}[g.IntN(4)]
}

func (g *generator) value(typ string) search.Value {
	v := search.Value{Compare: search.Compare(g.IntN(int(search.Ap) + 1))}
	switch kind.ParamType(typ) {
	case kind.TokenParam:
		v = search.Value{Code: g.code(), System: g.word(genSystems)}
		switch g.IntN(4) {
		case 0, 1:
			v.AnySystem, v.System = true, ""
		case 2:
			v.Code = ""
		}
	case kind.URIParam:
		v = search.Value{AnySystem: true, Code: "http://u/" + g.code(), Under: g.chance(3)}
	case kind.NearParam:
		v = search.Value{Near: g.near()}
	case kind.StringParam, kind.WordsParam:
		v = search.Value{Text: g.text(), Match: search.Match(g.IntN(int(search.AnyWord) + 1))}
	case kind.DateParam:
		v.Lo, v.Hi = g.period()
	case kind.NumberParam:
		v.Min, v.Max = g.interval()
	case kind.QuantityParam:
		v.Min, v.Max = g.interval()
		if !g.chance(3) {
			v.Unit = g.word(genUnits)
			v.System = g.word(genSystems)
		}
	case kind.ReferenceParam:
		v = search.Value{Ref: g.target()}
		if g.chance(8) {
			v = search.Value{URL: "https://x/" + g.code()}
			if g.chance(4) {
				v.URL += "|1." + g.code()
			}
		}
	}
	return v
}

// text is a value, or a part, a spelling or a shuffling of one.
func (g *generator) text() string {
	s := pick(g, genTexts)
	folded := search.Fold(s)
	full, initials, _ := search.Spell(folded)
	r := []rune(s)
	switch g.IntN(8) {
	case 0, 1:
		return string(r[:1+g.IntN(len(r))])
	case 2:
		return string(r[g.IntN(len(r)):])
	case 3:
		return full[:1+g.IntN(len(full))]
	case 4:
		return initials
	case 5:
		w := strings.Fields(folded)
		g.Shuffle(len(w), func(i, j int) { w[i], w[j] = w[j], w[i] })
		return strings.Join(w, "  ")
	case 6:
		return strings.ToUpper(s)
	}
	return s
}

// builtinTypes are the types of the parameters every kind has.
var builtinTypes = []struct{ name, typ string }{
	{search.ParamID, "token"},
	{search.ParamState, "token"},
	{search.ParamHome, "token"},
	{search.ParamUpdated, "date"},
	{search.ParamCreated, "date"},
	{search.ParamNext, "date"},
}

// param picks a parameter of a kind among those that fit.
func (g *generator) param(kindName string, fits func(typ string) bool) (name, typ string, ok bool) {
	type named struct{ name, typ string }
	var all []named
	for n, d := range g.defs[kindName] {
		if fits(d.Type) {
			all = append(all, named{n, d.Type})
		}
	}
	slices.SortFunc(all, func(a, b named) int { return strings.Compare(a.name, b.name) })
	if len(all) == 0 {
		return "", "", false
	}
	one := pick(g, all)
	return one.name, one.typ, true
}

func (g *generator) clause(kindName string, depth int) search.Clause {
	if g.chance(10) {
		or := search.Clause{Not: g.chance(4)}
		for range 2 + g.IntN(2) {
			or.Or = append(or.Or, g.clause(kindName, depth))
		}
		return or
	}
	isRef := func(t string) bool { return t == string(kind.ReferenceParam) }
	switch g.IntN(8) {
	case 0:
		return g.builtin()
	case 1:
		name, _, _ := g.param(kindName, func(string) bool { return true })
		return missing(name, g.chance(2))
	case 2:
		if name, _, ok := g.param(kindName, isRef); ok && depth > 0 {
			k := pick(g, genKinds)
			c := chained(name, k, g.where(k, depth-1, 2)...)
			c.Not = g.chance(6)
			return c
		}
	case 3:
		k := pick(g, genKinds)
		if name, _, ok := g.param(k, isRef); ok && depth > 0 {
			c := has(k, name, g.where(k, depth-1, 2)...)
			c.Not = g.chance(6)
			return c
		}
	}
	name, typ, _ := g.param(kindName, func(string) bool { return true })
	c := search.Clause{Param: name, Not: g.chance(4)}
	if kept := beside(typ); len(kept) > 0 && g.chance(5) {
		c.Beside = pick(g, kept)
		typ = besideType(c.Beside)
	}
	n := 1 + g.IntN(3)
	if g.depth > 0 && !g.long && g.chance(80) {
		n, g.long = 500, true // as those ask who have a list
	}
	for range n {
		v := search.Value{}
		if d := g.defs[kindName][name]; typ == string(kind.CompositeParam) {
			for _, t := range d.PartTypes {
				v.Parts = append(v.Parts, g.value(t))
			}
		} else {
			v = g.value(typ)
		}
		c.Any = append(c.Any, v)
	}
	return c
}

func (g *generator) builtin() search.Clause {
	b := pick(g, builtinTypes)
	if g.chance(5) {
		return missing(b.name, g.chance(2))
	}
	c := search.Clause{Param: b.name, Not: g.chance(4)}
	for range 1 + g.IntN(3) {
		v := g.value(b.typ)
		switch b.name {
		case search.ParamID:
			v = code(g.key(pick(g, genKinds)).ID)
		case search.ParamState:
			v = code(g.word(genStates[1:]))
		case search.ParamHome:
			v = code(pick(g, genHomes))
		case search.ParamUpdated, search.ParamCreated:
			// The clock of the property test runs from judgeStart on.
			lo := judgeStart.UnixMilli() + int64(g.IntN(4000))
			v.Lo, v.Hi = lo, lo+1+int64(g.IntN(500))
		}
		c.Any = append(c.Any, v)
	}
	return c
}

func (g *generator) where(kindName string, depth, most int) []search.Clause {
	var out []search.Clause
	for range g.IntN(most + 1) {
		out = append(out, g.clause(kindName, depth))
	}
	return out
}

func (g *generator) query() search.Query {
	q := search.Query{Kind: pick(g, genKinds), Limit: []int{0, 1, 2, 3, 7, 1000}[g.IntN(6)], Total: g.chance(2)}
	g.long = false
	depth := g.depth
	if depth > 0 && g.chance(40) {
		depth += 1 + g.IntN(2)
	}
	q.Where = g.where(q.Kind, depth, 3)
	if about := g.defs.About(q.Kind); about != "" && g.chance(3) { // what is kept together
		q.Where = append(q.Where, search.Clause{Param: about, Any: []search.Value{{Ref: g.target()}}})
		if g.chance(3) {
			q.Where[len(q.Where)-1] = search.Clause{Param: about, Chain: &search.Chain{Kind: Person, Where: g.where(Person, 0, 2)}}
		}
		name, typ, _ := g.param(q.Kind, func(t string) bool { return t == string(kind.TokenParam) })
		q.Where = append(q.Where, search.Clause{Param: name, Any: []search.Value{g.value(typ)}})
	}
	for range []int{0, 0, 1, 1, 2, 3}[g.IntN(6)] {
		s := search.Sort{Desc: g.chance(2)}
		if g.chance(4) {
			s.Param = pick(g, builtinTypes).name
		} else {
			s.Param, _, _ = g.param(q.Kind, func(t string) bool {
				return t != string(kind.CompositeParam) && t != string(kind.NearParam)
			})
		}
		if s.Param != "" && !slices.ContainsFunc(q.Sort, func(o search.Sort) bool { return o.Param == s.Param }) {
			q.Sort = append(q.Sort, s)
		}
	}
	return q
}
