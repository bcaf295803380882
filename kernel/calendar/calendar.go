// Package calendar computes business time: when a limit ends that runs only
// while people work. It does not know who works; it knows hours, holidays and
// the working days that make up for them (调休).
package calendar

import (
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/errs"
)

// Calendar is working time. The zero value is 7×24.
type Calendar struct {
	Zone    *time.Location  // nil: UTC
	Week    [7][]Span       // by time.Weekday; all empty: 7×24
	Off     map[string]bool // holidays, YYYY-MM-DD
	On      map[string]bool // working days in spite of the week, with Make's hours
	MakeDay time.Weekday    // whose hours an On day has
}

// Span is working time within a day, minutes from midnight, [From, To).
type Span struct{ From, To int }

// maxDays bounds every search: a calendar that has no working day in three
// years never answers.
const maxDays = 3 * 366

// Data is a calendar as a record holds it.
type Data struct {
	Name     string   `json:"name"`
	Zone     string   `json:"zone"`               // IANA, e.g. Asia/Shanghai
	Week     []Hours  `json:"week,omitempty"`     // none: 7×24
	Holidays []string `json:"holidays,omitempty"` // YYYY-MM-DD
	Workdays []string `json:"workdays,omitempty"` // YYYY-MM-DD, with Monday's hours
}

// Hours are working hours of a weekday.
type Hours struct {
	Day  int    `json:"day"`  // 1 Monday … 7 Sunday (ISO 8601)
	From string `json:"from"` // "08:00"
	To   string `json:"to"`   // "17:30"; "24:00" is the end of the day
}

// Parse reads a calendar. It fails with Invalid naming what is wrong.
func Parse(d Data) (*Calendar, error) {
	bad := func(subject, zh, en string) error {
		return errs.E(errs.Invalid, "calendar", subject, zh, en)
	}
	c := &Calendar{Off: map[string]bool{}, On: map[string]bool{}, MakeDay: time.Monday}
	zone, err := time.LoadLocation(d.Zone)
	if err != nil {
		return nil, bad(d.Zone, "时区不存在："+d.Zone+"，例如 Asia/Shanghai。", "There is no time zone "+d.Zone+"; an example is Asia/Shanghai.")
	}
	c.Zone = zone
	for _, h := range d.Week {
		from, ok1 := clockMinutes(h.From)
		to, ok2 := clockMinutes(h.To)
		if !ok1 || !ok2 || from >= to || h.Day < 1 || h.Day > 7 {
			return nil, bad(h.From+"–"+h.To, "工作时间应为 星期 1–7、开始早于结束，例如 08:00–17:30。", "Working hours need a day 1–7 and a start before the end, such as 08:00–17:30.")
		}
		day := h.Day % 7
		c.Week[day] = insertSpan(c.Week[day], Span{from, to})
	}
	for list, into := range map[*[]string]map[string]bool{&d.Holidays: c.Off, &d.Workdays: c.On} {
		for _, s := range *list {
			if _, err := time.Parse(time.DateOnly, s); err != nil {
				return nil, bad(s, "日期格式应为 2026-01-31。", "A date has the form 2026-01-31.")
			}
			into[s] = true
		}
	}
	return c, nil
}

func clockMinutes(s string) (int, bool) {
	h, m, ok := strings.Cut(s, ":")
	hh, err1 := strconv.Atoi(h)
	mm, err2 := strconv.Atoi(m)
	if !ok || err1 != nil || err2 != nil || hh < 0 || hh > 24 || mm < 0 || mm > 59 || hh == 24 && mm != 0 {
		return 0, false
	}
	return hh*60 + mm, true
}

// insertSpan keeps spans sorted and merged.
func insertSpan(list []Span, s Span) []Span {
	var out []Span
	for _, o := range list {
		switch {
		case o.To < s.From:
			out = append(out, o)
		case s.To < o.From:
			out = append(out, s)
			s = o
		default:
			s = Span{min(s.From, o.From), max(s.To, o.To)}
		}
	}
	return append(out, s)
}

func (c *Calendar) always() bool {
	if c == nil {
		return true
	}
	for _, d := range c.Week {
		if len(d) > 0 {
			return false
		}
	}
	return true
}

func (c *Calendar) zone() *time.Location {
	if c == nil || c.Zone == nil {
		return time.UTC
	}
	return c.Zone
}

// spans gives the working time of the day that t falls on.
func (c *Calendar) spans(day time.Time) []Span {
	key := day.Format(time.DateOnly)
	switch {
	case c.Off[key]:
		return nil
	case c.On[key]:
		return c.Week[c.MakeDay]
	default:
		return c.Week[day.Weekday()]
	}
}

func at(day time.Time, minutes int) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day(), 0, minutes, 0, 0, day.Location())
}

// Add gives the instant at which d of working time has passed since from. It
// returns the zero time where the calendar has no such instant in three years.
func (c *Calendar) Add(from time.Time, d time.Duration) time.Time {
	if c.always() {
		return from.Add(d)
	}
	t := from.In(c.zone())
	for range maxDays {
		for _, s := range c.spans(t) {
			start, end := at(t, s.From), at(t, s.To)
			if t.After(start) {
				start = t
			}
			if !start.Before(end) {
				continue
			}
			if left := end.Sub(start); d <= left {
				return start.Add(d).UTC()
			} else {
				d -= left
			}
		}
		t = at(t, 24*60)
	}
	return time.Time{}
}

// AddDays gives the same time of day n working days later, brought into working
// time. On a 7×24 calendar a day is 24 h.
func (c *Calendar) AddDays(from time.Time, n int) time.Time {
	if c.always() {
		return from.Add(time.Duration(n) * 24 * time.Hour)
	}
	t := from.In(c.zone())
	for range maxDays {
		if n <= 0 {
			return c.Add(t, 0)
		}
		t = t.AddDate(0, 0, 1)
		if len(c.spans(t)) > 0 {
			n--
		}
	}
	return time.Time{}
}

// Between is the working time from a to b; 0 where b is not after a.
func (c *Calendar) Between(a, b time.Time) time.Duration {
	if !b.After(a) {
		return 0
	}
	if c.always() {
		return b.Sub(a)
	}
	var sum time.Duration
	t, end := a.In(c.zone()), b.In(c.zone())
	for t.Before(end) {
		for _, s := range c.spans(t) {
			from, to := at(t, s.From), at(t, s.To)
			if t.After(from) {
				from = t
			}
			if to.After(end) {
				to = end
			}
			if from.Before(to) {
				sum += to.Sub(from)
			}
		}
		t = at(t, 24*60)
	}
	return sum
}

// Length is the length of a declared limit: whole days and the rest.
type Length struct {
	Days int
	Rest time.Duration
}

// ParseLength reads "36h", "14d", "1d12h", "90m". It fails with Invalid.
func ParseLength(s string) (Length, error) {
	var l Length
	rest := s
	if d, r, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(d)
		if err != nil || n < 0 || n > maxDays {
			return l, badLength(s)
		}
		l.Days, rest = n, r
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 {
			return l, badLength(s)
		}
		l.Rest = d
	} else if s == "" {
		return l, badLength(s)
	}
	return l, nil
}

func badLength(s string) error {
	return errs.E(errs.Invalid, "duration", s, "时长应写作 30m、36h、14d 或 1d12h，且不超过三年。", "A duration is written 30m, 36h, 14d or 1d12h and is at most three years.")
}

// After gives the end of a limit that began at from and stood still for paused.
func (c *Calendar) After(from time.Time, l Length, paused time.Duration) time.Time {
	t := from
	if l.Days > 0 {
		t = c.AddDays(from, l.Days)
	}
	return c.Add(t, l.Rest+paused)
}
