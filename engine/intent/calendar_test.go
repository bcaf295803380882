package intent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
)

// What is published is what the notices say: the number of days of each year and
// what days they are.
func TestThePublishedCalendar(t *testing.T) {
	d, err := china()
	if err != nil {
		t.Fatal(err)
	}
	a := almanacOf(d)
	if a.fault.ZH != "" || a.cal.Zone.String() != "Asia/Shanghai" {
		t.Fatalf("%+v", a)
	}
	count := func(list []string, year string) (n int) {
		for _, s := range list {
			if strings.HasPrefix(s, year) {
				n++
			}
		}
		return n
	}
	// Notices of 2024-11-12 and 2025-11-04: 28 days off and 5 made up for in 2025, 33
	// and 6 in 2026.
	for _, c := range []struct {
		year      string
		off, work int
	}{{"2025", 28, 5}, {"2026", 33, 6}, {"2027", 0, 0}} {
		if off, work := count(d.Holidays, c.year), count(d.Workdays, c.year); off != c.off || work != c.work {
			t.Errorf("%s: %d holidays and %d made up for, want %d and %d", c.year, off, work, c.off, c.work)
		}
	}
	for _, s := range d.Workdays { // what is made up for is a weekend, and no holiday
		day, _ := time.Parse(time.DateOnly, s)
		if w := day.Weekday(); w != time.Saturday && w != time.Sunday || slices.Contains(d.Holidays, s) {
			t.Errorf("%s is made up for on a %s", s, w)
		}
	}
	for _, text := range []string{
		"years: [{year: 2027, holidays: [{name: x, from: 2027-01-01, to: 2027-01-01}]}]",            // of no source
		"years: [{year: 2027, source: s, holidays: [{name: x, from: 2026-12-31, to: 2027-01-01}]}]", // of another year
		"years: [{year: 2027, source: s, holidays: [{name: x, from: 2027-01-02, to: 2027-01-01}]}]", // backwards
		"years: [{year: 2027, source: s, holidays: [{name: x, from: 2027-02-30, to: 2027-03-01}]}]", // no day
		"zone: Nowhere", "extra: 1", "[",
	} {
		if _, err := readPublished([]byte(text)); err == nil {
			t.Errorf("read: %s", text)
		}
	}
}

// FuzzReadPublished: no bytes make the reader fail otherwise than by saying so.
func FuzzReadPublished(f *testing.F) {
	f.Add(chinaFile)
	f.Add([]byte("years: [{year: 1, source: s, holidays: [{from: 0001-01-01, to: 0001-01-02}]}]"))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = readPublished(text) })
}

func TestDaysOfTheCalendar(t *testing.T) {
	d, err := china()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{days: almanacOf(d)}
	shanghai := w.days.cal.Zone
	at := func(s string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04", s, shanghai)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		at                             string
		working, off, holiday, workday bool // of 08:00–18:00
	}{
		{"2026-02-13 09:00", true, false, false, true}, // Friday
		{"2026-02-14 09:00", true, false, false, true}, // Saturday, made up for
		{"2026-02-14 18:00", false, false, false, false},
		{"2026-02-15 09:00", false, true, true, false}, // Sunday, holiday
		{"2026-02-16 09:00", false, true, true, false}, // Monday, holiday
		{"2026-02-24 09:00", true, false, false, true}, // Tuesday
		{"2026-03-01 09:00", false, true, false, true}, // Sunday, no holiday
		{"2026-10-10 17:59", true, false, false, true}, // Saturday, made up for
		{"2027-01-01 09:00", true, false, false, true}, // Friday of a year not published
		{"2027-01-02 09:00", false, true, false, true}, // Saturday of it
	} {
		for on, want := range map[string]bool{engine.OnWorking: c.working, engine.OnOff: c.off, engine.OnHoliday: c.holiday, engine.ButNotHoliday: c.workday} {
			// The zone of the calendar counts and not that of the machine.
			tm := w.times(&engine.Hours{On: on, From: "08:00", Until: "18:00"}, time.UTC)
			if got := tm.asked(at(c.at).UTC()); got != want {
				t.Errorf("%s on %s: %v", c.at, on, got)
			}
		}
	}
	work := w.times(&engine.Hours{On: engine.OnWorking, From: "08:00", Until: "18:00"}, time.UTC)
	// February 2026: 20 days from Monday to Friday, 6 of them holidays, 2 made up for.
	if n := (&meter{step: time.Minute}).steps(work, at("2026-03-01 00:00").Sub(at("2026-02-01 00:00")), at("2026-03-01 00:00")); n != 16*600 {
		t.Errorf("%v minutes of February", n)
	}
	// Over midnight the night belongs to the day it began on.
	night := w.times(&engine.Hours{On: engine.OnWorking, From: "22:00", Until: "06:00"}, time.UTC)
	for s, want := range map[string]bool{"2026-02-14 23:00": true, "2026-02-15 05:59": true, "2026-02-15 23:00": false, "2026-02-24 05:00": false} {
		if got := night.asked(at(s)); got != want {
			t.Errorf("the night at %s: %v", s, got)
		}
	}
	always, holiday := w.times(nil, time.UTC), w.times(&engine.Hours{On: engine.OnHoliday}, time.UTC)
	now := at("2026-01-05 00:00")
	for _, c := range []struct {
		a, b times
		want bool
	}{{always, always, true}, {always, work, true}, {work, night, false}, {work, holiday, false}, {night, holiday, true}, {holiday, always, true}} {
		if got := meets(c.a, c.b, now); got != c.want || meets(c.b, c.a, now) != c.want {
			t.Errorf("%+v meets %+v: %v", c.a.Hours, c.b.Hours, got)
		}
	}
	if s := work.unpublished(at("2027-01-04 09:00")); !strings.Contains(s.ZH, "2027") || !strings.Contains(s.EN, "2027") {
		t.Errorf("%+v", s)
	}
	if s := work.unpublished(at("2026-01-04 09:00")); s.ZH != "" {
		t.Errorf("%+v", s)
	}
	d.Zone = "Nowhere"
	lost := (&world{days: almanacOf(d)}).times(&engine.Hours{On: engine.OnOff}, time.UTC)
	if lost.asked(now) || !strings.Contains(lost.broken().EN, "Nowhere") {
		t.Errorf("%+v", lost.broken())
	}
}
