package fhir

import (
	"slices"
	"strings"
)

// cursorParam carries the place of a page; its value is the store's and opaque.
const cursorParam = "_after"

// trailParam carries the places of the pages before, the nearest last: a cursor
// of the store knows only the way on.
const trailParam = "_before"

// firstPage stands in a trail for the page that has no cursor.
const firstPage = "0"

// maxTrail is how many pages back a client is led by links alone; it bounds the
// length of an address. Behind them the link "first" leads to the beginning.
const maxTrail = 8

// trailOf reads a trail.
func trailOf(value string) []string {
	if value == "" {
		return nil
	}
	list := strings.Split(value, ",")
	return list[max(len(list)-maxTrail, 0):]
}

// appendLinks writes self, first, previous and next (R4 §3.1.1.5.4). There is no
// last: nothing leads to it but reading all before it.
func appendLinks(b []byte, address string, a asked, next string) []byte {
	b = append(b, `,"link":[`...)
	page := func(relation, after string, trail []string) {
		query := selfLink(a)
		if after != "" {
			query.Set(cursorParam, after)
		}
		if len(trail) > 0 {
			query.Set(trailParam, strings.Join(trail, ","))
		}
		if b[len(b)-1] != '[' {
			b = append(b, ',')
		}
		b = appendLink(b, relation, address, query)
	}
	after := a.query.After
	page("self", after, a.trail)
	if a.countOnly {
		return append(b, ']')
	}
	page("first", "", nil)
	if n := len(a.trail); after != "" && n > 0 {
		before := a.trail[n-1]
		if before == firstPage {
			before = ""
		}
		page("previous", before, a.trail[:n-1])
	}
	if next != "" {
		here := after
		if here == "" {
			here = firstPage
		}
		trail := append(slices.Clone(a.trail), here)
		page("next", next, trail[max(len(trail)-maxTrail, 0):])
	}
	return append(b, ']')
}
