package alert

import (
	"slices"
	"strings"
	"time"
	"unicode"
)

const (
	// alike is how much of the words of two texts must be the same (Jaccard) for
	// alerts of the same sign, and of different ones, to say the same.
	alike, alikeOther = 0.5, 0.75
	// crowd is how many things must say the same at once: fewer happen by chance.
	crowd = 4
	// patterns bounds what is compared each with each; beyond only equal ones meet.
	patterns = 300
	// slot is how finely rises are told apart in the neighbourhood of words.
	slot = 15 * time.Second
)

// union is disjoint sets of alerts.
type union struct {
	up    map[*item]*item
	order []*item
}

func newUnion() *union { return &union{up: map[*item]*item{}} }

func (u *union) knows(a *item) bool { return u.up[a] != nil }

func (u *union) find(a *item) *item {
	if u.up[a] == nil {
		u.up[a] = a
		u.order = append(u.order, a)
	}
	for u.up[a] != a {
		u.up[a] = u.up[u.up[a]]
		a = u.up[a]
	}
	return a
}

func (u *union) join(a, b *item) {
	if a, b = u.find(a), u.find(b); a != b {
		u.up[b] = a
	}
}

// sets are the members of each, in order of their rise, and the sets by their
// first.
func (u *union) sets() [][]*item {
	by := map[*item][]*item{}
	list := slices.Clone(u.order)
	slices.SortFunc(list, byRise)
	var heads []*item
	for _, a := range list {
		h := u.find(a)
		if by[h] == nil {
			heads = append(heads, h)
		}
		by[h] = append(by[h], a)
	}
	out := make([][]*item, len(heads))
	for i, h := range heads {
		out[i] = by[h]
	}
	return out
}

// linkWords joins the sets whose topmost alerts say the same at the same time on
// at least crowd things: an expired certificate, a lost time source. Sets with
// several tops have a cause of their own, unless it is such a crowd.
func (g *Grouper) linkWords(near []*item, u *union) {
	type point struct {
		pattern int
		slot    int64
	}
	seen := map[string]int{}
	var signs []string
	var words []map[string]bool
	at := map[point][]*item{}
	var points []point
	for _, set := range u.sets() {
		tops := g.tops(set)
		if gr := g.groups[set[0].Group]; len(tops) > 1 && (gr == nil || !gr.Common) {
			continue
		}
		for _, a := range set {
			if !tops[a.Thing] {
				continue
			}
			w := wordsOf(a, g.index.name(a.Thing))
			key := a.Sign + "\x00" + strings.Join(w, " ")
			n, ok := seen[key]
			if !ok {
				n = len(words)
				seen[key] = n
				m := map[string]bool{}
				for _, t := range w {
					m[t] = true
				}
				signs, words = append(signs, a.Sign), append(words, m)
			}
			p := point{n, a.Rose.UnixNano() / int64(slot)}
			if at[p] == nil {
				points = append(points, p)
			}
			at[p] = append(at[p], a)
		}
	}
	same := make([][]int, len(words)) // patterns that say the same, itself among them
	for i := range words {
		same[i] = append(same[i], i)
		for j := range min(i, patterns) {
			if i >= patterns {
				break
			}
			least := alikeOther
			if signs[i] == signs[j] {
				least = alike
			}
			if jaccard(words[i], words[j]) >= least {
				same[i], same[j] = append(same[i], j), append(same[j], i)
			}
		}
	}
	of := make([][]int, len(words)) // points of a pattern
	weight := make([]int, len(points))
	for i, p := range points {
		of[p.pattern] = append(of[p.pattern], i)
		weight[i] = len(at[p])
	}
	reach := int64(g.o.Window / slot)
	cluster := dbscan(weight, crowd, func(i int) []int {
		var out []int
		for _, p := range same[points[i].pattern] {
			for _, j := range of[p] {
				if d := points[i].slot - points[j].slot; d <= reach && -d <= reach {
					out = append(out, j)
				}
			}
		}
		return out
	})
	head := map[int]*item{}
	for i, c := range cluster {
		if c == noise {
			continue
		}
		for _, a := range at[points[i]] {
			if head[c] == nil {
				head[c] = a
			} else {
				u.join(head[c], a)
			}
			a.crowd = true
		}
	}
}

// tops are the things of a set that stand on no other of it.
func (g *Grouper) tops(set []*item) map[string]bool {
	in := map[int32]bool{}
	for _, a := range set {
		in[a.node] = true
	}
	out := map[string]bool{}
	for _, a := range set {
		if out[a.Thing] {
			continue
		}
		if !slices.ContainsFunc(g.index.over(a.node), func(p reach) bool { return in[p.at] && g.index.ring[p.at] != g.index.ring[a.node] }) {
			out[a.Thing] = true
		}
	}
	return out
}

// wordsOf are the words of an alert's text in order, each once: without the name
// of its thing, digits as 0, Chinese by pairs of characters.
func wordsOf(a *item, name string) []string {
	text := a.Title.EN + " " + a.Title.ZH
	for _, n := range []string{name, a.Thing} {
		if len(n) > 1 {
			text = strings.ReplaceAll(text, n, " ")
		}
	}
	var out []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			out = append(out, string(word))
		}
		word = word[:0]
	}
	var before rune // the Chinese character before
	for _, r := range strings.ToLower(text) {
		switch {
		case unicode.Is(unicode.Han, r):
			end()
			if before != 0 {
				out = append(out, string([]rune{before, r}))
			}
			before = r
			continue
		case unicode.IsDigit(r):
			if len(word) == 0 || word[len(word)-1] != '0' {
				word = append(word, '0')
			}
		case unicode.IsLetter(r):
			word = append(word, r)
		default:
			end()
		}
		before = 0
	}
	end()
	slices.Sort(out)
	return slices.Compact(out)
}

// jaccard is the share of common words of all; 1 where neither has any.
func jaccard(a, b map[string]bool) float64 {
	both := 0
	for w := range a {
		if b[w] {
			both++
		}
	}
	all := len(a) + len(b) - both
	if all == 0 {
		return 1
	}
	return float64(both) / float64(all)
}
