package rootcause

import (
	"cmp"
	"math"
	"slices"
)

// symptom is what is followed over the calls.
type symptom int

const (
	none    symptom = iota // no user felt it: metrics of resources alone
	slow                   // answers take longer
	failing                // answers fail
)

// walked is a ranking with what it took to explain it.
type walked struct {
	symptom symptom
	nodes   map[string]*node
	ranked  []Service
	usual   float64 // requests of a service whose traffic was not measured; 0: nobody's was
	chain   []string
	accused []string // services with the symptom that the first one calls
}

// walk ranks the services. With calls and a symptom it follows that symptom:
// failures before delays, since who fails at once answers faster or slower for
// that reason alone. A service's burden is how much of the symptom its callers
// got from it: requests × the share that fails, or requests × the delay. What the
// services it calls can account for is theirs, the rest its own; the largest own
// burden is the likeliest cause. Where no traffic was measured it is the service
// that can account for most others. Without calls each is ranked by its most
// changed metric, which is BARO's ranking.
func walk(nodes []*node, calls []Edge) *walked {
	w := &walked{nodes: map[string]*node{}}
	for _, n := range nodes {
		w.nodes[n.name] = n
		if n.failing {
			w.symptom = failing
		} else if n.slow && w.symptom == none {
			w.symptom = slow
		}
	}
	var known []float64
	for _, n := range nodes {
		if n.requests > 0 {
			known = append(known, n.requests)
		}
	}
	if len(known) > 0 {
		slices.Sort(known)
		w.usual = known[len(known)/2]
	}
	score := map[string]float64{}
	for _, n := range nodes {
		if s := n.strongest(); s > 0 {
			score[n.name] = s
		}
	}
	switch {
	case len(calls) == 0 || w.symptom == none:
	case w.usual > 0:
		score = w.own(calls)
	default:
		score = w.explaining(calls)
	}
	for name, s := range score {
		w.ranked = append(w.ranked, Service{Service: name, Score: s})
	}
	slices.SortFunc(w.ranked, func(a, b Service) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Service, b.Service))
	})
	if len(calls) > 0 && len(w.ranked) > 0 {
		first := w.ranked[0].Service
		w.chain = w.path(calls, first)
		for _, c := range calls {
			if c.From == first && w.has(c.To) {
				w.accused = append(w.accused, c.To)
			}
		}
	}
	return w
}

// strongest is the score of the service's most changed metric, 0 where none
// changed.
func (n *node) strongest() float64 {
	best := 0.0
	for _, m := range n.metrics {
		if m.real && m.class != traffic {
			best = math.Max(best, m.score)
		}
	}
	return best
}

// has tells whether the service shows the symptom that is followed.
func (w *walked) has(name string) bool {
	n := w.nodes[name]
	return n != nil && (w.symptom == failing && n.failing || w.symptom == slow && n.slow)
}

// rise is what the symptom added: the share of requests that fail, or the delay
// of an answer.
func (w *walked) rise(name string) float64 {
	if w.symptom == failing {
		return w.nodes[name].failed
	}
	return w.nodes[name].delay
}

// burden is how much of the symptom a service's callers got from it.
func (w *walked) burden(name string) float64 {
	return w.rise(name) * cmp.Or(w.nodes[name].requests, w.usual)
}

// cleared is what remains of the score of a service whose symptom those it calls
// account for. Nobody is cleared wholly: estimates scatter, and the order of the
// cleared among themselves is still worth telling.
const cleared = 0.01

// own scores each service with the symptom by that part of its burden which the
// services it calls do not account for.
func (w *walked) own(calls []Edge) map[string]float64 {
	out := map[string]float64{}
	for name := range w.nodes {
		if !w.has(name) {
			continue
		}
		all := w.burden(name)
		rest := all
		for _, c := range calls {
			if c.From == name && w.has(c.To) {
				rest -= w.burden(c.To)
			}
		}
		out[name] = math.Max(rest, cleared*all)
	}
	return out
}

// fanOut is how many calls of one service a request is thought to make at most,
// where traffic was not measured: a callee that got slower by less than this part
// of its caller's delay does not account for it.
const fanOut = 10

// explaining scores each service with the symptom where no traffic was measured
// and burdens are not known: by how many services, itself among them, its symptom
// can account for along the calls; between equals by how far it changed.
func (w *walked) explaining(calls []Edge) map[string]float64 {
	out := map[string]float64{}
	for name, n := range w.nodes {
		if !w.has(name) {
			continue
		}
		reached := map[string]bool{}
		w.climb(calls, name, reached)
		z := n.telling(w.symptom).score
		out[name] = float64(len(reached)) + z/(1+z)
		if slices.ContainsFunc(calls, func(c Edge) bool { return c.From == name && w.accounts(c) }) {
			out[name] *= cleared
		}
	}
	return out
}

// accounts tells whether the callee's symptom can account for the caller's.
func (w *walked) accounts(c Edge) bool {
	return w.has(c.From) && w.has(c.To) && fanOut*w.rise(c.To) >= w.rise(c.From)
}

// climb collects a service and those upstream whose symptom it can account for.
func (w *walked) climb(calls []Edge, name string, reached map[string]bool) {
	if reached[name] {
		return
	}
	reached[name] = true
	for _, c := range calls {
		if c.To == name && w.accounts(c) {
			w.climb(calls, c.From, reached)
		}
	}
}

// path is the chain from a service that nobody calls, or nobody with the
// symptom, down to the cause: the callers with the symptom and the largest burden.
func (w *walked) path(calls []Edge, to string) []string {
	chain := []string{to}
	for {
		best, burden := "", -1.0
		for _, c := range calls {
			if c.To == chain[0] && !slices.Contains(chain, c.From) && w.has(c.From) && w.burden(c.From) > burden {
				best, burden = c.From, w.burden(c.From)
			}
		}
		if best == "" {
			return chain
		}
		chain = slices.Insert(chain, 0, best)
	}
}
