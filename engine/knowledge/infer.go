package knowledge

import (
	"cmp"
	"math"
	"slices"

	"zhiwei/engine"
)

// The constants of the reasoning; probabilities, and logarithms base e.
const (
	// mostFaults is how many faults at once are looked for. Four independent faults
	// that all show in one window are a day for people.
	mostFaults = 4
	// fade is how much of a fault's effect is left after each link but the first.
	fade = 0.95
	// spare is how much is left where another link of the same type can take over.
	spare = 0.1
	// A fault of unknown nature: how probable it is, and how probable it makes any
	// sign, at most (half of it on others) and in multiples of what the sign is
	// without a fault. It
	// competes with what is known, which has to explain one sign that proves much or
	// several that prove little.
	unknownPrior = 0.004
	unknownShows = 0.2
	unknownTimes = 30
	// enough is the weight by which a fault has to beat its absence.
	enough = 0.5
	// shown is how many alternatives of one fault a verdict keeps, and least the
	// probability below which one is not worth showing.
	shown = 8
	least = 0.01
	// A fault less probable than this among its alternatives is not held: many
	// explain the same, and which it is, is not known.
	leastHeld = 0.2
	// A fault is held only where its thing shows a principal sign, one whose
	// probability is at least this share of its most probable one's, or manyOwn of
	// its signs, or where manyOthers things show its effects. Else it is named, and
	// the principal sign is what to look at next.
	principal  = 0.92
	manyOwn    = 3
	manyOthers = 3
	// What a fault does to others has one cause, and so has what it spares them, so
	// that the weights do not simply add up: beyond steep they count by their
	// logarithm. Where nothing is seen on others, it is one question whether it
	// reached them, and its weight half that of the surest effect: there may be another
	// way to them. That more than few things show it at once is no chance where it
	// shows on its own thing: each further one, by more than a hint, adds to what
	// counts in full.
	steep, steepMissing  = 6.0, 3.0
	few, steepEach, hint = 2, 3.0, 1.0
	// A sign is explained where what is held leaves it no more unlikely than this.
	explained = 0.7
)

// item is a fact that a hypothesis speaks of, and how probable it makes the sign.
type item struct {
	fact int
	p    float64
	not  float64 // ln(1−p), for facts that are absent
}

func newItem(fact int, p float64) item { return item{fact, p, math.Log1p(-p)} }

// candidate is a mode on a thing, with what is known for and against it.
type candidate struct {
	mode, thing int
	items       []item
	causes      [][]change // by cause
	gain        float64    // in the last round
	none        float64    // what an unknown fault would gain there
	shows       bool       // a principal sign is seen on its own thing
	telling     bool       // it may be held: see principal
}

// change is where a cause differs from its mode.
type change struct {
	fact     int
	from, to item
}

// Infer finds the faults that explain the symptoms. It has no effects and gives
// the same verdict for the same input; the order of the symptoms matters only
// for the indexes in it. Things that the topology does not know are reasoned
// about by themselves. Where things are named, the verdict tells only of faults
// that have to do with what is seen on them; all that is seen is still weighed.
func (b *Base) Infer(topo *engine.Topology, symptoms []engine.Symptom, things ...string) engine.Verdict {
	if topo == nil {
		topo = engine.NewTopology(nil)
	}
	s := b.look(topo, symptoms)
	r := &reasoning{scene: s, index: map[place]int{}}
	if len(things) > 0 {
		r.asked = map[int]bool{}
		for t, id := range s.things {
			if slices.Contains(things, id) {
				r.asked[t] = true
			}
		}
	}
	r.collect()
	r.background(nil)
	r.search()
	return r.verdict()
}

// reasoning is one inference.
type reasoning struct {
	*scene
	cands []candidate
	index map[place]int // mode on thing → candidate
	held  []int         // candidates held to be so
	asked map[int]bool  // things that the verdict is about; nil: all
	rival []rival       // the alternatives of the fault that is being explained
	// by fact: 1 − P(seen) by what is held and by nothing known, and ln(1 − that)
	quiet, lnShown []float64
}

// collect lists the hypotheses that at least one seen sign speaks for.
func (r *reasoning) collect() {
	links := r.base.ways
	for pass, want := range []truth{seen, absent} {
		create := pass == 0
		for f := range r.facts {
			if r.facts[f].state == want {
				r.collectFact(f, create, links)
			}
		}
	}
	// What is known of a candidate's own thing counts although another thing
	// brought it up.
	for i := range r.cands {
		c := &r.cands[i]
		m := &r.base.modes[c.mode]
		for _, of := range m.signs {
			if f, ok := r.at[place{c.thing, of.sign}]; ok && f >= 0 {
				c.put(f, of.p)
			}
		}
		c.causes = make([][]change, len(m.causes))
		for k, list := range m.causes {
			for _, of := range list {
				f, ok := r.at[place{c.thing, of.sign}]
				if !ok || f < 0 {
					continue
				}
				ch := change{fact: f, to: newItem(f, of.p)}
				if j := slices.IndexFunc(c.items, func(it item) bool { return it.fact == f }); j >= 0 {
					ch.from = c.items[j]
				}
				c.causes[k] = append(c.causes[k], ch)
			}
		}
		c.shows, c.telling = r.tells(c)
	}
}

// tells tells whether a principal sign of a fault is seen on its thing, and whether
// enough of it is seen to hold it.
func (r *reasoning) tells(c *candidate) (shows, enough bool) {
	m := &r.base.modes[c.mode]
	most := 0.0
	for _, of := range m.signs {
		most = max(most, of.p)
	}
	own := 0
	others := map[int]bool{}
	for _, it := range c.items {
		fact := &r.facts[it.fact]
		switch {
		case fact.state != seen || it.p <= 2*r.base.signs[fact.sign].Otherwise:
		case fact.thing != c.thing:
			others[fact.thing] = true
		case it.p >= principal*most:
			return true, true
		default:
			own++
		}
	}
	return false, own >= manyOwn || len(others) >= manyOthers
}

// put adds an item, or raises the one there is.
func (c *candidate) put(fact int, p float64) {
	for i := range c.items {
		if c.items[i].fact == fact {
			if p > c.items[i].p {
				c.items[i] = newItem(fact, p)
			}
			return
		}
	}
	c.items = append(c.items, newItem(fact, p))
}

// reach is one way in which a mode shows a sign elsewhere.
type reach struct {
	mode   int
	p      float64
	spread *spread
}

// outward are the ways out of modes by sign, down and up, with the longest way.
type outward struct {
	down, up           [][]reach
	downDepth, upDepth []int
}

func (b *Base) links() *outward {
	n := len(b.signs)
	o := &outward{make([][]reach, n), make([][]reach, n), make([]int, n), make([]int, n)}
	for m := range b.modes {
		for k := range b.modes[m].spreads {
			sp := &b.modes[m].spreads[k]
			for _, c := range sp.signs {
				if sp.up {
					o.up[c.sign] = append(o.up[c.sign], reach{m, c.p, sp})
					o.upDepth[c.sign] = max(o.upDepth[c.sign], sp.depth)
				} else {
					o.down[c.sign] = append(o.down[c.sign], reach{m, c.p, sp})
					o.downDepth[c.sign] = max(o.downDepth[c.sign], sp.depth)
				}
			}
		}
	}
	return o
}

func (r *reasoning) collectFact(f int, create bool, links *outward) {
	fact := r.facts[f]
	if create {
		for _, m := range r.base.bySign[fact.sign] {
			if suits(r.base.modes[m].classes, r.class[fact.thing]) {
				r.candidate(m, fact.thing, true)
			}
		}
	}
	walk := func(down bool, depth int, ways []reach) {
		if depth == 0 {
			return
		}
		for _, at := range r.around(fact.thing, down, depth) {
			t := r.thing(at.thing)
			for i := range ways {
				w := &ways[i]
				if at.depth > w.spread.depth || at.over&^w.spread.over != 0 ||
					!suits(w.spread.classes, r.class[fact.thing]) || !suits(r.base.modes[w.mode].classes, r.class[t]) {
					continue
				}
				p := w.p * math.Pow(fade, float64(at.depth-1))
				if at.spared {
					p *= spare
				}
				if c := r.candidate(w.mode, t, create); c != nil {
					c.put(f, p)
				}
			}
		}
	}
	walk(false, links.downDepth[fact.sign], links.down[fact.sign])
	walk(true, links.upDepth[fact.sign], links.up[fact.sign])
}

// candidate finds a hypothesis; nil where it is not there and not to be created.
func (r *reasoning) candidate(m, t int, create bool) *candidate {
	if i, there := r.index[place{t, m}]; there {
		return &r.cands[i]
	}
	if !create {
		return nil
	}
	r.index[place{t, m}] = len(r.cands)
	r.cands = append(r.cands, candidate{mode: m, thing: t})
	return &r.cands[len(r.cands)-1]
}

// background reckons how far each fact is explained by the held candidates but
// the one in slot without; nil leaves none out.
func (r *reasoning) background(held []int) {
	if r.quiet == nil {
		r.quiet, r.lnShown = make([]float64, len(r.facts)), make([]float64, len(r.facts))
	}
	for f := range r.facts {
		r.quiet[f] = 1 - r.base.signs[r.facts[f].sign].Otherwise
	}
	for _, i := range held {
		for f, p := range r.shows(i) {
			r.quiet[f] *= 1 - p
		}
	}
	for f := range r.facts {
		r.lnShown[f] = math.Log1p(-r.quiet[f])
	}
}

// shows is how probable a candidate makes each fact, its causes averaged.
func (r *reasoning) shows(i int) map[int]float64 {
	c := &r.cands[i]
	out := make(map[int]float64, len(c.items))
	for _, it := range c.items {
		out[it.fact] = it.p
	}
	share := r.causes(c)
	for k := range c.causes {
		for _, ch := range c.causes[k] {
			out[ch.fact] += share[k] * (ch.to.p - ch.from.p)
		}
	}
	return out
}

// weigh is what one item adds to the evidence. A fault that makes a sign less
// probable than it is without any excludes what else would show it, but for what is
// held already.
func (r *reasoning) weigh(it item) float64 {
	fact := &r.facts[it.fact]
	otherwise := r.base.signs[fact.sign].Otherwise
	excludes := it.p > 0 && it.p < otherwise
	switch {
	case fact.state == absent && excludes:
		return it.not - math.Log1p(-otherwise)
	case fact.state == absent:
		return it.not
	case it.p == 0:
		return 0
	case excludes:
		return math.Log1p(-r.quiet[it.fact]*(1-it.p)/(1-otherwise)) - r.lnShown[it.fact]
	}
	return math.Log1p(-r.quiet[it.fact]*(1-it.p)) - r.lnShown[it.fact]
}

// score reckons what a candidate gains against the background, and what a fault
// of unknown nature would gain on the same facts.
func (r *reasoning) score(c *candidate) {
	sum, effects, strongest := 0.0, 0.0, 0.0
	none, elsewhere := math.Log(unknownPrior), 0.0
	var missing, spared, shown once
	for _, it := range c.items {
		fact := &r.facts[it.fact]
		w := r.weigh(it)
		switch {
		case fact.thing == c.thing:
			sum += w
		case w > 0:
			effects += w
			if w > hint {
				shown.add(fact.thing, w)
			}
		default:
			missing.add(fact.sign, w)
			strongest = max(strongest, it.p)
		}
		otherwise := r.base.signs[fact.sign].Otherwise
		if it.p <= otherwise {
			continue
		}
		shows := unknownShows
		if fact.thing != c.thing {
			shows /= 2
		}
		w = r.weigh(newItem(it.fact, min(it.p, shows, unknownTimes*otherwise)))
		switch {
		case fact.thing == c.thing:
			none += w
		case w > 0:
			elsewhere += w
		default:
			spared.add(fact.sign, w)
		}
	}
	lacks, unaffected := missing.sum(), spared.sum()
	if effects == 0 { // it may have done nothing to others at all
		lacks = max(lacks, math.Log1p(-strongest)/2)
		unaffected = max(unaffected, lacks)
	}
	full := steep
	if c.shows {
		full += steepEach * float64(max(0, len(shown)-few))
	}
	sum += tempered(effects, full) - tempered(-lacks, steepMissing)
	// What is not known explains what others suffer only so far: which of them, and
	// how, it does not tell.
	none += min(elsewhere, steep) - tempered(-unaffected, steepMissing)
	m := &r.base.modes[c.mode]
	if len(m.causes) > 0 {
		best := math.Inf(-1)
		parts := make([]float64, 0, 8)
		for k := range m.causes {
			part := math.Log(m.shares[k])
			for _, ch := range c.causes[k] {
				part += r.weigh(ch.to) - r.weighFrom(ch)
			}
			parts = append(parts, part)
			best = max(best, part)
		}
		total := 0.0
		for _, part := range parts {
			total += math.Exp(part - best)
		}
		sum += best + math.Log(total)
	}
	c.gain, c.none = sum+math.Log(m.Prior), none
}

// once adds up what speaks against a fault, each sign once with its most: that many
// things spared one sign has one reason, such as another way to where it is
// measured. Of what speaks for it, it counts the things.
type once []struct {
	of int // a sign or a thing
	w  float64
}

func (o *once) add(of int, w float64) {
	for i := range *o {
		if (*o)[i].of == of {
			(*o)[i].w = min((*o)[i].w, w)
			return
		}
	}
	*o = append(*o, struct {
		of int
		w  float64
	}{of, w})
}

func (o once) sum() (w float64) {
	for i := range o {
		w += o[i].w
	}
	return w
}

// tempered is the weight of effects that have one cause: in full up to steep.
func tempered(w, steep float64) float64 {
	if w <= steep {
		return w
	}
	return steep + 2*math.Log1p((w-steep)/2)
}

func (r *reasoning) weighFrom(ch change) float64 {
	if ch.from.p == 0 {
		return 0
	}
	return r.weigh(ch.from)
}

// causes gives the probabilities of a candidate's causes.
func (r *reasoning) causes(c *candidate) []float64 {
	m := &r.base.modes[c.mode]
	out := make([]float64, len(m.causes))
	best := math.Inf(-1)
	for k := range m.causes {
		out[k] = math.Log(m.shares[k])
		for _, ch := range c.causes[k] {
			out[k] += r.weigh(ch.to) - r.weighFrom(ch)
		}
		best = max(best, out[k])
	}
	total := 0.0
	for k := range out {
		out[k] = math.Exp(out[k] - best)
		total += out[k]
	}
	for k := range out {
		out[k] /= total
	}
	return out
}

// search finds the set of faults.
func (r *reasoning) search() {
	for len(r.held) < mostFaults {
		r.background(r.held)
		best := r.best(r.held)
		if best < 0 {
			break
		}
		before := slices.Clone(r.held)
		r.held = append(r.held, best)
		r.exchange()
		if len(r.held) <= len(before) { // what came went, or took another's place: it would come again
			if !slices.Contains(r.held, best) {
				r.held = before
			}
			break
		}
	}
	// What too many alternatives explain as well is let go, the least certain first.
	for len(r.held) > 0 {
		weakest, p := -1, leastHeld
		for k := range r.held {
			list, _ := r.rivals(k)
			i := slices.IndexFunc(list, func(x rival) bool { return x.cand == r.held[k] })
			if i >= 0 && list[i].p < p {
				weakest, p = k, list[i].p
			}
		}
		if weakest < 0 {
			break
		}
		r.held = slices.Delete(r.held, weakest, weakest+1)
	}
	r.background(r.held)
}

// exchange replaces each held fault by a better one with the others fixed, and
// drops what the others have made needless.
func (r *reasoning) exchange() {
	for range mostFaults {
		changed := false
		for k := 0; k < len(r.held); k++ {
			others := slices.Delete(slices.Clone(r.held), k, k+1)
			r.background(others)
			best := r.best(others)
			switch {
			case best < 0:
				r.held, changed = others, true
				k--
			case best != r.held[k]:
				// Only what explains part of the same is an exchange.
				r.score(&r.cands[r.held[k]])
				if r.cands[best].gain > r.cands[r.held[k]].gain+1e-9 && r.overlap(best, r.held[k]) {
					r.held[k], changed = best, true
				}
			}
		}
		if !changed {
			return
		}
	}
}

// best is the candidate that gains most and more than nothing or something
// unknown would; −1 where there is none.
func (r *reasoning) best(held []int) int {
	best := -1
	for i := range r.cands {
		if slices.Contains(held, i) {
			continue
		}
		c := &r.cands[i]
		if !c.telling {
			continue
		}
		r.score(c)
		if c.gain > enough && c.gain > c.none && r.adds(c) && (best < 0 || r.before(i, best) < 0) {
			best = i
		}
	}
	return best
}

// adds tells whether a candidate explains something that is not explained yet: a
// further fault is not for making likely more likely.
func (r *reasoning) adds(c *candidate) bool {
	open := func(f int) bool { return r.facts[f].state == seen && r.quiet[f] > explained }
	return slices.ContainsFunc(c.items, func(it item) bool { return open(it.fact) }) ||
		slices.ContainsFunc(c.causes, func(list []change) bool {
			return slices.ContainsFunc(list, func(ch change) bool { return open(ch.fact) })
		})
}

// before orders candidates: by gain, then by names so that equals have an order.
func (r *reasoning) before(i, j int) int {
	a, b := &r.cands[i], &r.cands[j]
	if math.Abs(a.gain-b.gain) > 1e-9 {
		return cmp.Compare(b.gain, a.gain)
	}
	return cmp.Or(cmp.Compare(r.base.modes[a.mode].ID, r.base.modes[b.mode].ID), cmp.Compare(r.things[a.thing], r.things[b.thing]))
}

// overlap tells whether two candidates speak of the same seen sign.
func (r *reasoning) overlap(i, j int) bool {
	for _, a := range r.cands[i].items {
		if r.facts[a.fact].state == seen && slices.ContainsFunc(r.cands[j].items, func(b item) bool { return a.fact == b.fact }) {
			return true
		}
	}
	return r.sharesCause(i, j) || r.sharesCause(j, i)
}

func (r *reasoning) sharesCause(i, j int) bool {
	for _, list := range r.cands[i].causes {
		for _, ch := range list {
			if r.facts[ch.fact].state == seen && slices.ContainsFunc(r.cands[j].items, func(b item) bool { return ch.fact == b.fact }) {
				return true
			}
		}
	}
	return false
}

// concerns tells whether a candidate has to do with the things asked about: it is
// on one, or explains what is seen there.
func (r *reasoning) concerns(i int) bool {
	c := &r.cands[i]
	return r.asked == nil || r.asked[c.thing] || slices.ContainsFunc(c.items, func(it item) bool {
		fact := &r.facts[it.fact]
		return fact.state == seen && r.asked[fact.thing] && it.p > 2*r.base.signs[fact.sign].Otherwise
	})
}

// rival is a candidate for one fault, with its probability.
type rival struct {
	cand int
	p    float64
	gain float64
}

// rivals lists the candidates for a slot, most probable first, and how probable
// it is that none of them is so.
func (r *reasoning) rivals(slot int) (list []rival, none float64) {
	others := r.held
	if slot >= 0 {
		others = slices.Delete(slices.Clone(r.held), slot, slot+1)
	}
	r.background(others)
	unknowns := 0.0 // nothing at all: gain 0
	for i := range r.cands {
		if slices.Contains(others, i) || !r.concerns(i) || slot >= 0 && i != r.held[slot] && !r.overlap(i, r.held[slot]) {
			continue
		}
		c := &r.cands[i]
		r.score(c)
		list = append(list, rival{cand: i, gain: c.gain})
		if slot < 0 || i == r.held[slot] {
			unknowns = max(unknowns, c.none)
		}
	}
	slices.SortFunc(list, func(a, b rival) int { return r.before(a.cand, b.cand) })
	top := max(unknowns, 0)
	for _, x := range list {
		top = max(top, x.gain)
	}
	sum := math.Exp(-top) + math.Exp(unknowns-top)
	for _, x := range list {
		sum += math.Exp(x.gain - top)
	}
	for i := range list {
		list[i].p = math.Exp(list[i].gain-top) / sum
	}
	none = (math.Exp(-top) + math.Exp(unknowns-top)) / sum
	return list, none
}
