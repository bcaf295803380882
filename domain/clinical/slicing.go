package clinical

import (
	"slices"
	"strings"
)

// verdict is what a discriminator says of a value.
type verdict uint8

const (
	undecided verdict = iota // what the slice asks is not known here
	native
	foreign
)

// slices sorts the values of an element into the slices of a profile (FHIR R4
// §5.1.0.11) and checks each by its slice. up is what holds the element.
func (c *check) slices(s *elementDef, items []item, up *place) {
	by := s.discriminators()
	members := make([]int, len(s.slices)) // how many values each slice has
	unclear := make([]bool, len(s.slices))
	last, loose := -1, false
	for _, x := range items {
		found, sure := -1, true
		for i, slice := range s.slices {
			switch c.belongs(slice, by, x) {
			case native:
				if found < 0 {
					found = i
				}
			case undecided:
				sure, unclear[i] = false, true
			}
		}
		if found < 0 {
			if sure && s.slicing != nil && s.slicing.closed {
				c.breach(s, "structure", x.at, "此值不属于任何切片，而切片是封闭的", "The value is in none of the slices, and no others are allowed")
			}
			loose = loose || sure
			continue
		}
		if s.slicing != nil && (s.slicing.atEnd && loose || s.slicing.ordered && found < last) {
			c.breach(s.slices[found], "structure", x.at, "值的先后次序与切片不符", "The values do not stand in the order of the slices")
		}
		last = max(last, found)
		members[found]++
		inner := s.slices[found]
		c.conform(inner, x)
		if len(inner.slices) > 0 {
			c.slices(inner, []item{x}, up)
		}
	}
	for i, slice := range s.slices {
		at := &place{up, s.name, -1}
		if !unclear[i] {
			c.count(slice, members[i], at)
			continue
		}
		ofZH, ofEN := slice.of()
		c.say(SeverityInformation, "not-supported", at, "此切片的区分方式无法判断，未作校验。"+ofZH, "This slice cannot be told apart and was not checked."+ofEN)
	}
}

// discriminators are those of the slicing, or what the standard implies: an
// extension is told by its url, a choice by its type.
func (s *elementDef) discriminators() []discriminator {
	if s.slicing != nil && len(s.slicing.by) > 0 {
		return s.slicing.by
	}
	switch {
	case s.name == "extension" || s.name == "modifierExtension":
		return []discriminator{{kind: "value", path: []step{{name: "url"}}}}
	case slices.ContainsFunc(s.slices, func(x *elementDef) bool { return len(x.types) > 0 }):
		return []discriminator{{kind: "type"}}
	}
	return nil
}

// belongs tells whether a value belongs to a slice: every discriminator must
// say so.
func (c *check) belongs(slice *elementDef, by []discriminator, x item) verdict {
	if len(by) == 0 {
		return undecided
	}
	out := native
	for _, d := range by {
		switch c.discriminate(slice, d, x) {
		case foreign:
			return foreign
		case undecided:
			out = undecided
		}
	}
	return out
}

// discriminate asks one discriminator.
func (c *check) discriminate(slice *elementDef, d discriminator, x item) verdict {
	switch d.kind {
	case "exists":
		there := len(c.walk(x, d.path)) > 0
		for _, s := range along(slice, d.path) {
			switch {
			case s.max == 0:
				return verdictOf(!there)
			case s.min > 0:
				return verdictOf(there)
			}
		}
		return undecided
	case "type":
		return c.byType(slice, d.path, x)
	case "profile":
		return c.byProfile(slice, d.path, x)
	case "value", "pattern": // pattern is the older name of value
		return c.byValue(slice, d.path, x)
	}
	return undecided
}

func verdictOf(b bool) verdict {
	if b {
		return native
	}
	return foreign
}

// byValue compares the value at the path with what the slice fixes there, or at
// the nearest element above that fixes something.
func (c *check) byValue(slice *elementDef, path []step, x item) verdict {
	if len(path) == 1 && path[0].name == "url" && x.typ == c.v.def.extension {
		if v := c.byURL(slice, x); v != undecided {
			return v
		}
	}
	here := withSlices([]*elementDef{slice})
	for i := 0; len(here) > 0; i++ {
		if v := c.fits(here, x, path[:i]); v != undecided {
			return v
		}
		if i == len(path) {
			break
		}
		here = follow(here, path[i])
	}
	for _, s := range here {
		switch {
		case s.binding != nil && s.binding.strength == "required" && c.v.o.Contains != nil:
			return c.byBinding(s, x, path)
		case s.max == 0: // an element that may not be there is told by its absence
			return verdictOf(len(c.walk(x, path)) == 0)
		}
	}
	return undecided
}

// fits compares the values at a path with what the definitions there fix;
// undecided where they fix nothing. Of several, as of the slices of a coding,
// one is enough.
func (c *check) fits(here []*elementDef, x item, path []step) verdict {
	out := undecided
	for _, s := range here {
		if s.fixed == nil && s.pattern == nil {
			continue
		}
		out = foreign
		for _, y := range c.walk(x, path) {
			if (s.fixed == nil || same(s.fixed, y.value)) && (s.pattern == nil || includes(s.pattern, y.value)) {
				return native
			}
		}
	}
	return out
}

// byBinding tells the slice by the value set it binds the element to.
func (c *check) byBinding(s *elementDef, x item, path []step) verdict {
	for _, y := range c.walk(x, path) {
		in, known := c.member(s.binding.valueSet, y.typ, y.value)
		if in {
			return native
		}
		if !known {
			return undecided
		}
	}
	return foreign
}

// byURL tells the slice of an extension: by the url it fixes, or by that of its
// definition.
func (c *check) byURL(slice *elementDef, x item) verdict {
	doc, _ := x.value.(map[string]any)
	url := str(doc, "url")
	for _, child := range slice.children {
		if want, ok := child.fixed.(string); ok && child.name == "url" {
			return verdictOf(url == want)
		}
	}
	for _, r := range slice.types {
		for _, p := range r.profiles {
			want, _, _ := strings.Cut(p, "|")
			return verdictOf(url == want)
		}
	}
	return undecided
}

// byType compares the type at the path with the types of the slice there.
func (c *check) byType(slice *elementDef, path []step, x item) verdict {
	resolved := len(path) > 0 && path[len(path)-1].resolve
	if resolved {
		path = path[:len(path)-1]
	}
	s := typedAlong(slice, path)
	if s == nil {
		return undecided
	}
	for _, y := range c.walk(x, path) {
		t := y.typ
		if resolved {
			t = c.targetType(y)
		}
		if t == nil {
			return undecided
		}
		for _, r := range s.types {
			names := []string{r.code}
			if resolved {
				names = r.targets
			}
			for _, n := range names {
				if n, _, _ = strings.Cut(n[strings.LastIndexByte(n, '/')+1:], "|"); n == t.name {
					return native
				}
				if p, ok := c.find(n); ok && resolved && p.Type == t.name {
					return native
				}
			}
		}
	}
	return foreign
}

// byProfile tries the value at the path against the profiles of the slice there.
func (c *check) byProfile(slice *elementDef, path []step, x item) verdict {
	resolved := len(path) > 0 && path[len(path)-1].resolve
	if resolved {
		path = path[:len(path)-1]
	}
	s := typedAlong(slice, path)
	if s == nil || c.depth >= maxConformDepth {
		return undecided
	}
	for _, y := range c.walk(x, path) {
		doc, _ := y.value.(map[string]any)
		t := y.typ
		if resolved {
			var ok bool
			if doc, ok = c.target(str(doc, "reference")); !ok {
				return undecided
			}
			t = c.v.def.byName[str(doc, "resourceType")]
		}
		for _, r := range s.types {
			names := r.profiles
			if resolved {
				names = r.targets
			}
			for _, url := range names {
				if isCore(url) {
					if t != nil && strings.HasSuffix(url, "/"+t.name) {
						return native
					}
					continue
				}
				p, ok := c.find(url)
				if !ok {
					return undecided
				}
				if t != nil && p.Type == t.name && !c.breaks(p, t, doc) {
					return native
				}
			}
		}
	}
	return foreign
}

// targetType is the type of what a reference names; nil where nobody knows.
func (c *check) targetType(x item) *typeDef {
	m, _ := x.value.(map[string]any)
	ref := str(m, "reference")
	if l, ok := ParseReference(ref); ok && l.Type != "" {
		return c.v.def.byName[l.Type]
	}
	if doc, ok := c.target(ref); ok && ref != "" {
		return c.v.def.byName[str(doc, "resourceType")]
	}
	return c.v.def.byName[str(m, "type")]
}

// walk gives the values that a discriminator's path leads to.
func (c *check) walk(x item, path []step) []item {
	found := []item{x}
	for _, st := range path {
		var next []item
		for _, y := range found {
			if c.work++; c.work > maxConformWork {
				return nil
			}
			switch {
			case st.resolve:
				m, _ := y.value.(map[string]any)
				if doc, ok := c.target(str(m, "reference")); ok {
					next = append(next, item{typ: c.v.def.byName[str(doc, "resourceType")], value: doc, at: y.at})
				}
			case st.extension != "":
				for _, e := range c.items(y, "extension") {
					if m, ok := e.value.(map[string]any); ok && m["url"] == st.extension {
						next = append(next, e)
					}
				}
			case st.ofType != "":
				if y.typ != nil && y.typ.name == st.ofType {
					next = append(next, y)
				}
			default:
				next = append(next, c.items(y, st.name)...)
			}
		}
		found = next
	}
	return found
}

// along follows a discriminator's path through what a slice asks, and gives the
// definitions there; none where it asks nothing.
func along(slice *elementDef, path []step) []*elementDef {
	here := withSlices([]*elementDef{slice})
	for _, st := range path {
		here = follow(here, st)
	}
	return here
}

// typedAlong is the first definition at the path that names types.
func typedAlong(slice *elementDef, path []step) *elementDef {
	for _, s := range along(slice, path) {
		if len(s.types) > 0 {
			return s
		}
	}
	return nil
}

// follow takes one step from definitions to those below them.
func follow(here []*elementDef, st step) []*elementDef {
	if st.ofType != "" {
		return here
	}
	var next []*elementDef
	for _, s := range here {
		for _, child := range s.children {
			switch {
			case st.resolve: // what is referred to is not part of the slice
			case st.extension != "" && child.name == "extension":
				for _, x := range child.slices {
					if x.hasURL(st.extension) {
						next = append(next, x)
					}
				}
			case st.name != "" && child.name == st.name:
				next = append(next, child)
			}
		}
	}
	return withSlices(next)
}

// withSlices adds the slices that must be there: what one of them fixes, the
// element has.
func withSlices(here []*elementDef) []*elementDef {
	out := here
	for _, s := range here {
		for _, x := range s.slices {
			if x.min > 0 && x.slice != "" {
				out = append(out, x)
			}
		}
	}
	return out
}

// hasURL tells whether a slice is that of an extension.
func (s *elementDef) hasURL(url string) bool {
	for _, r := range s.types {
		for _, p := range r.profiles {
			if p, _, _ = strings.Cut(p, "|"); p == url {
				return true
			}
		}
	}
	return s.slice == url
}
