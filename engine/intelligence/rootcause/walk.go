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
	chain   []string
	accused []string // services with the symptom that the first one calls
}

// walk ranks the services. With calls and a symptom it follows that symptom:
// failures before delays, since who fails at once answers faster or slower for
// that reason alone. A service's burden is how much of the symptom its callers
// got from it: requests × the share that fails, or requests × the delay. What the
// services it calls can account for is theirs, the rest its own; the largest own
// burden is the likeliest cause. Without calls each is ranked by its most
// changed metric.
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
	score := map[string]float64{}
	for _, n := range nodes {
		if s := n.strongest(); s > 0 {
			score[n.name] = s
		}
	}
	if len(calls) > 0 && w.symptom != none {
		score = w.own(calls)
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

func (w *walked) burden(name string) float64 {
	n := w.nodes[name]
	rise := n.delay
	if w.symptom == failing {
		rise = n.failed
	}
	if n.requests > 0 {
		return rise * n.requests
	}
	return rise
}

// own is what of each service's burden is its own.
func (w *walked) own(calls []Edge) map[string]float64 {
	out := map[string]float64{}
	for name := range w.nodes {
		if w.has(name) {
			out[name] = w.burden(name)
		}
	}
	left := map[string]float64{}
	for name, b := range out {
		rest := b
		for _, c := range calls {
			if c.From == name && w.has(c.To) {
				rest -= w.burden(c.To)
			}
		}
		// Nobody is cleared wholly: estimates of burdens scatter, and the order of the
		// explained among themselves is still worth telling.
		left[name] = math.Max(rest, 0.01*b)
	}
	return left
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
