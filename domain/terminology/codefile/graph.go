package codefile

import (
	"slices"

	"zhiwei/domain/terminology"
)

// graph is what stands above what in a list: codes as numbers, so that 350,000
// of them take some 40 MB.
type graph struct {
	number  map[string]int32
	codes   []string
	parents [][]int32
	state   []uint8 // of a code: named as a parent only, defined, handed out
	defined int
}

const (
	named uint8 = iota
	defined
	handed
)

func newGraph() *graph { return &graph{number: map[string]int32{}} }

func (g *graph) of(code string) int32 {
	if n, ok := g.number[code]; ok {
		return n
	}
	n := int32(len(g.codes))
	g.number[code] = n
	g.codes = append(g.codes, code)
	g.parents = append(g.parents, nil)
	g.state = append(g.state, named)
	return n
}

// add notes a concept and its place. FHIR may say a place from above, by the
// property child.
func (g *graph) add(c *terminology.Imported) {
	n := g.of(c.Code)
	if g.state[n] == named {
		g.state[n] = defined
		g.defined++
	}
	for _, p := range c.Parents {
		g.link(n, g.of(p))
	}
	for _, p := range c.Properties {
		if isChild(p) {
			g.link(g.of(p.Value), n)
		}
	}
}

func isChild(p terminology.ImportedProperty) bool { return p.Code == "child" && p.Type == "code" }

func (g *graph) link(below, above int32) {
	if below != above && !slices.Contains(g.parents[below], above) {
		g.parents[below] = append(g.parents[below], above)
	}
}

// complete gives a concept its parents and all that stands above them. False
// where the code was given before. A circle is walked once.
func (g *graph) complete(c *terminology.Imported) bool {
	n := g.of(c.Code)
	if g.state[n] == handed {
		return false
	}
	g.state[n] = handed
	c.Properties = slices.DeleteFunc(c.Properties, isChild)
	if len(c.Properties) == 0 {
		c.Properties = nil
	}
	c.Parents, c.Ancestors = nil, nil
	queue := slices.Clone(g.parents[n])
	for at := 0; at < len(queue); at++ {
		if queue[at] == n || slices.Contains(queue[:at], queue[at]) {
			continue
		}
		c.Ancestors = append(c.Ancestors, g.codes[queue[at]])
		queue = append(queue, g.parents[queue[at]]...)
	}
	for _, p := range g.parents[n] {
		c.Parents = append(c.Parents, g.codes[p])
	}
	return true
}

// outside lists the codes above these concepts that the list does not define.
func (g *graph) outside(list []*terminology.Imported) []string {
	var out []string
	seen := map[string]bool{}
	for _, c := range list {
		for _, a := range c.Ancestors {
			if !seen[a] {
				seen[a] = true
				if g.state[g.number[a]] == named {
					out = append(out, a)
				}
			}
		}
	}
	return out
}
