package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Figure is one thing measured, beside its goal.
type Figure struct {
	Area    string
	Store   string // sqlite, postgres; empty where it depends on neither
	Name    string
	Goal    Goal
	Got     float64
	Unit    string
	Command string // how it was measured, as one can do by hand
	Note    string // what else was seen
	Cause   string // why it is not reached, as measured
}

// Goal is a bound. The zero Goal bounds nothing: the figure is information.
type Goal struct {
	AtLeast, AtMost float64 // one of them
	Stretch         float64 // the better bound, where there is one
	Later           bool    // a goal of a later issue
}

// verdict says in two words what came of it.
func (f *Figure) verdict() string {
	ok, far := false, false
	switch {
	case f.Unit == "":
		return "not measured"
	case f.Goal.AtLeast > 0:
		ok, far = f.Got >= f.Goal.AtLeast, f.Goal.Stretch > 0 && f.Got >= f.Goal.Stretch
	case f.Goal.AtMost > 0:
		ok, far = f.Got <= f.Goal.AtMost, f.Goal.Stretch > 0 && f.Got <= f.Goal.Stretch
	default:
		return "information"
	}
	out := "not reached"
	if far {
		out = "reached, stretch too"
	} else if ok {
		out = "reached"
	}
	if f.Goal.Later {
		out += " (later issue)"
	}
	return out
}

// text writes the goal with its unit.
func (g Goal) text(unit string) string {
	sign, bound := "≥ ", g.AtLeast
	if g.AtMost > 0 {
		sign, bound = "≤ ", g.AtMost
	}
	if bound == 0 {
		return "–"
	}
	s := sign + number(bound) + " " + unit
	if g.Stretch > 0 {
		s += " (stretch " + number(g.Stretch) + ")"
	}
	return s
}

// number writes three significant digits, whole numbers with thousands.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		s := strconv.FormatFloat(v, 'f', 0, 64)
		for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case a >= 10:
		return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
	default:
		return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
	}
}

func (f *Figure) got() string {
	if f.Unit == "" {
		return "–"
	}
	return number(f.Got) + " " + f.Unit
}

func (f *Figure) line() string {
	s := fmt.Sprintf("  %-9s %-52s %-22s goal %-28s %s", f.Store, f.Name, f.got(), f.Goal.text(f.Unit), f.verdict())
	if f.Note != "" {
		s += "\n            " + f.Note
	}
	return s
}
