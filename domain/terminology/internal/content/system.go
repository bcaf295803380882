// Package content holds code systems, value sets and concept maps in memory: it
// reads them from the JSON of FHIR R4 and from the packed table the program
// carries. It asks no store and decides nothing about who may see what.
package content

import (
	"slices"
	"strings"
	"sync"
)

// The values of CodeSystem.content (FHIR R4 codesystem-content-mode).
const (
	Complete   = "complete"
	Fragment   = "fragment"
	NotPresent = "not-present"
)

// System is one code system. It must not be changed once it is asked.
type System struct {
	URL      string
	Version  string
	Name     string
	Title    string
	Content  string // how much of the system is here: complete, fragment, example, not-present, supplement
	ValueSet string // canonical of the value set of all its codes; empty: none is named
	Language string // BCP 47, of the displays; empty: not said
	FoldCase bool   // caseSensitive is false: codes that differ in case alone are the same
	Concepts []Concept

	// define gives the definition of a concept; nil: there are none.
	define func(i int) string

	once     sync.Once
	byCode   map[string]int32
	byFold   map[string]int32 // by lower case, where FoldCase
	children map[string][]int32
	texts    sync.Once
	folds    []Folded
}

// Concept is one code of a system, as it stands in it.
type Concept struct {
	Code         string
	Display      string
	Definition   string // empty for a concept of a packed system: see System.Definition
	Parents      []string
	Ancestors    []string // all above it; nil where the system is in memory and is climbed instead
	Inactive     bool     // retired or deprecated: not for new use
	Abstract     bool     // groups others and is not for use itself
	Designations []Designation
	Properties   []Property
}

// Designation is another name of a concept.
type Designation struct {
	Language string
	Use      Coding
	Value    string
}

// Coding is a code in a system.
type Coding struct {
	System  string
	Version string
	Code    string
	Display string
}

// Property is one further statement about a concept. Type is that of the value
// in FHIR: code, string, integer, boolean, dateTime, decimal, Coding.
type Property struct {
	Code  string
	Type  string
	Value string // as written in JSON; of a Coding its system|code
}

// Whole tells whether a code that is not here is not in the system at all.
func (s *System) Whole() bool { return s.Content == Complete }

// Definition is the definition of the i-th concept; empty: none.
func (s *System) Definition(i int) string {
	if s.define != nil {
		return s.define(i)
	}
	return s.Concepts[i].Definition
}

func (s *System) index() {
	s.once.Do(func() {
		s.byCode = make(map[string]int32, len(s.Concepts))
		if s.FoldCase {
			s.byFold = make(map[string]int32, len(s.Concepts))
		}
		s.children = map[string][]int32{}
		for i := range s.Concepts {
			c := &s.Concepts[i]
			if _, twice := s.byCode[c.Code]; !twice {
				s.byCode[c.Code] = int32(i)
			}
			if s.FoldCase {
				s.byFold[strings.ToLower(c.Code)] = int32(i)
			}
			for _, p := range c.Parents {
				s.children[p] = append(s.children[p], int32(i))
			}
		}
	})
}

// Find gives the place of a code among the concepts; -1 where it is not here.
func (s *System) Find(code string) int {
	s.index()
	if i, ok := s.byCode[code]; ok {
		return int(i)
	}
	if s.FoldCase {
		if i, ok := s.byFold[strings.ToLower(code)]; ok {
			return int(i)
		}
	}
	return -1
}

// Children lists the places of the concepts directly below a code.
func (s *System) Children(code string) []int32 {
	s.index()
	return s.children[code]
}

// Ancestors lists all codes above a code, nearest first, each once.
func (s *System) Ancestors(code string) []string {
	var out []string
	s.climb(code, func(c string) bool {
		out = append(out, c)
		return true
	})
	return out
}

// IsA tells whether code is ancestor or stands below it.
func (s *System) IsA(code, ancestor string) bool {
	if code == ancestor {
		return true
	}
	found := false
	s.climb(code, func(c string) bool {
		found = c == ancestor
		return !found
	})
	return found
}

// climb tells every code above code once, until f says false. A circle in the
// hierarchy is walked once.
func (s *System) climb(code string, f func(string) bool) {
	i := s.Find(code)
	if i < 0 {
		return
	}
	var buf [16]string
	queue := append(buf[:0], s.Concepts[i].Parents...)
	for at := 0; at < len(queue); at++ {
		c := queue[at]
		if c == code || slices.Contains(queue[:at], c) {
			continue
		}
		if !f(c) {
			return
		}
		if i := s.Find(c); i >= 0 {
			queue = append(queue, s.Concepts[i].Parents...)
		}
	}
}

// Property finds the first property of a code; ok false where there is none.
func (c *Concept) Property(code string) (p Property, ok bool) {
	for _, p := range c.Properties {
		if p.Code == code {
			return p, true
		}
	}
	return Property{}, false
}

// defines is the use of a designation that is a definition in another language
// and no name.
const defines = "definition"

// Names tells whether a designation is a name of the concept.
func (d Designation) Names() bool { return d.Use.Code != defines }
