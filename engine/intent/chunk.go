package intent

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/engine"
)

// piece is what tokens that belong together say.
type piece struct {
	token // a phrase or a name, where what is plain
	what  what

	min, max *amount
	// flips says that a negation elsewhere in the clause turns the bound round: "no
	// backup older than a day".
	flips  bool
	share  string // percentage
	period string
	hours  *engine.Hours
	days   []int
	on     string // days of a calendar
	word   bool   // the days were told by a word that may mean those of the calendar
	say    problem
}

type what int

const (
	plain  what = iota
	bound       // min, max
	bare        // a number without a direction: min
	shares      // of the time, or of the cases
	over        // a period
	within      // hours, days
	denial      // a negation that stands alone
	split       // a comma, an "and"
	ended       // the end of a sentence
	broken      // say
)

// problem is something that cannot be understood.
type problem int

const (
	noProblem problem = iota
	notUnderstood
	halfHours
	twoDirections
)

// pending is a comparison that waits for its number.
type pending struct {
	most, set, flips bool
	from             int
}

// chunk puts numbers together with what is said of them.
func chunk(tokens []token) []piece {
	c := chunker{}
	for i, t := range tokens { // what was read into the time of day behind it
		if !(t.is(forenoon) || t.is(afternoon)) || i+1 == len(tokens) || tokens[i+1].form != clockTime {
			c.tokens = append(c.tokens, t)
		}
	}
	tokens = c.tokens
	for c.i = 0; c.i < len(tokens); {
		c.step()
	}
	return c.out
}

type chunker struct {
	tokens  []token
	i       int
	out     []piece
	waits   pending
	between bool
}

func (c *chunker) put(n int, p piece) {
	last := min(c.i+n, len(c.tokens)) - 1
	p.from, p.to = c.tokens[c.i].from, c.tokens[last].to
	if p.what == plain {
		p.token = c.tokens[c.i]
	}
	c.out = append(c.out, p)
	c.i += n
}

// peek gives the token n ahead; an empty name where there is none.
func (c *chunker) peek(n int) token {
	if c.i+n >= len(c.tokens) {
		return token{form: hard}
	}
	return c.tokens[c.i+n]
}

// past gives how many tokens ahead the first one stands that is no filler.
func (c *chunker) past(n int) int {
	for t := c.peek(n); t.form == phrase && t.is(filler) && len(t.meanings) == 1; t = c.peek(n) {
		n++
	}
	return n
}

func (c *chunker) step() {
	t := c.peek(0)
	switch {
	case t.form == hard:
		c.waits, c.between = pending{}, false
		c.put(1, piece{what: ended})
	case t.form == soft:
		c.waits = pending{}
		c.put(1, piece{what: split})
	case t.form == number, t.form == clockTime:
		c.number(t)
	case t.form == name:
		c.put(1, piece{})
	case t.is(between):
		c.between = true
		c.i++
	case t.is(and):
		c.waits = pending{}
		c.put(1, piece{what: split})
	case t.is(judged) && c.peek(1).form == number && c.peek(1).amount.dim() == seconds:
		n := 2
		if c.peek(2).is(judged) {
			n = 3
		}
		c.put(n, piece{what: over, period: c.peek(1).amount.period()})
	case t.is(quantifier) && c.peek(1).form == number && c.peek(1).amount.dim() == seconds:
		c.put(2, piece{what: over, period: c.peek(1).amount.period()})
	case t.is(always):
		c.put(1, piece{what: shares, share: "100"})
	case t.is(period):
		v, _ := t.value(period)
		c.put(1, piece{what: over, period: v})
	case t.is(days):
		c.days()
	case t.is(calendarDays):
		v, _ := t.value(calendarDays)
		c.put(1, piece{what: within, on: v})
	case t.is(negation):
		n := c.past(1)
		if next := c.peek(n); next.is(above) || next.is(below) {
			c.waits = pending{set: true, most: next.is(above), from: t.from}
			c.i += n + 1
			return
		}
		c.put(1, piece{what: denial})
	case (t.is(atMost) || t.is(atLeast)) && !c.after(t):
		c.waits = pending{set: true, most: t.is(atMost), from: t.from}
		c.i++
	case t.is(above), t.is(below):
		c.waits = pending{set: true, most: t.is(below), flips: true, from: t.from}
		c.i++
	case t.is(filler) && strings.EqualFold(t.text, "in") && c.peek(1).form == number && c.peek(1).amount.dim() == seconds:
		c.waits = pending{set: true, most: true, from: t.from}
		c.i++
	case t.is(filler) && strings.EqualFold(t.text, "with") && c.peek(1).form == number:
		c.waits = pending{}
		c.put(1, piece{what: split})
	default:
		c.put(1, piece{})
	}
}

// after tells whether a comparison was written behind its number and taken.
func (c *chunker) after(t token) bool {
	last := len(c.out) - 1
	return last >= 0 && c.out[last].what == bound && c.out[last].to == t.to
}

// number takes a number and what stands around it.
func (c *chunker) number(t token) {
	next := c.peek(1)
	ranged := next.is(through) || next.is(and) && c.between
	switch {
	case ranged && c.peek(2).form == clockTime && (t.form == clockTime || t.amount.unit == nil):
		from := t.minutes
		if t.form == number {
			h, err := strconv.Atoi(t.amount.number)
			if err != nil || h < 0 || h > 24 {
				c.put(3, piece{what: broken, say: halfHours})
				return
			}
			from = h % 24 * 60
		}
		c.put(3, piece{what: within, hours: &engine.Hours{From: hourText(from), Until: hourText(c.peek(2).minutes)}})
	case t.form == clockTime:
		c.put(1, piece{what: broken, say: halfHours})
	case ranged && c.peek(2).form == number:
		lo, hi := t.amount, c.peek(2).amount
		if lo.unit == nil {
			lo.unit = hi.unit
		}
		c.between = false
		if c.peek(3).is(ofTime) && lo.unit == percent {
			c.put(4, piece{what: broken, say: notUnderstood})
			return
		}
		c.bound(3, piece{what: bound, min: &lo, max: &hi})
	case next.is(plusMinus) && c.peek(2).form == number:
		mid, width := t.amount, c.peek(2).amount
		if mid.unit == nil {
			mid.unit = width.unit
		}
		lo, hi := around(mid, width)
		c.bound(3, piece{what: bound, min: &lo, max: &hi})
	case t.amount.unit == percent && len(t.meanings) > 0:
		n := 1
		if next.is(ofTime) {
			n = 2
		}
		c.waits = pending{}
		c.put(n, piece{what: shares, share: t.amount.number})
	case t.amount.unit == percent && (next.is(ofTime) || next.is(ofCases)):
		c.waits = pending{} // "at least 99.9 % of the time" says no more than the share
		c.put(2, piece{what: shares, share: t.amount.number})
	default:
		a := t.amount
		c.bound(1, piece{what: bare, min: &a})
	}
}

// bound gives a number its direction, by what stands before or behind it.
func (c *chunker) bound(n int, p piece) {
	w := c.waits
	next := c.peek(n)
	behind := next.is(orLess) || next.is(orMore)
	if behind && (next.is(atMost) || next.is(atLeast)) && c.peek(n+1).form == number {
		behind = false
	}
	if behind {
		most := next.is(orLess)
		switch {
		case p.what == bound: // "20–28 ℃ 以内": the range stands
		case w.set && w.most != most:
			p.what, p.say = broken, twoDirections
		default:
			w = pending{set: true, most: most}
		}
		n++
	}
	if p.what == bare && w.set {
		p.what, p.flips = bound, w.flips
		if w.most {
			p.min, p.max = nil, p.min
		}
	}
	c.waits = pending{}
	c.put(n, p)
}

// days takes 周一至周五, Monday to Friday, or one word.
func (c *chunker) days() {
	v, _ := c.peek(0).value(days)
	list := dayList(v)
	n := 1
	for c.peek(n).is(days) || c.peek(n).is(through) && c.peek(n+1).is(days) {
		if c.peek(n).is(through) {
			to, _ := c.peek(n + 1).value(days)
			first, last := list[len(list)-1], dayList(to)[0]
			for d := first; d != last; {
				d = d%7 + 1
				list = append(list, d)
			}
			n += 2
			continue
		}
		more, _ := c.peek(n).value(days)
		list = append(list, dayList(more)...)
		n++
	}
	slices.Sort(list)
	c.put(n, piece{what: within, days: slices.Compact(list), word: v == "12345"})
}

func dayList(v string) []int {
	var out []int
	for _, r := range v {
		out = append(out, int(r-'0'))
	}
	return out
}

func hourText(minutes int) string {
	if minutes == 0 {
		return ""
	}
	return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60)
}

func (a amount) dim() dimension {
	if a.unit == nil {
		return ""
	}
	return a.unit.dim
}

// period is a time as a Go duration in whole hours where it is that long.
func (a amount) period() string {
	d := time.Duration(a.value() * float64(time.Second)).Round(time.Minute)
	if d > maxPeriod || d < minPeriod {
		return ""
	}
	return hours(d)
}

// The periods that goals can be judged over: below the least nothing could be
// said of a share, and nothing is kept for longer than the most.
const (
	minPeriod = time.Hour
	maxPeriod = 366 * 24 * time.Hour
)

// hours writes a duration as "720h", or "90m" where it is no whole hours.
func hours(d time.Duration) string {
	if d%time.Hour == 0 {
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	}
	return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
}
