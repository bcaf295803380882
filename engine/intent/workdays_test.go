package intent_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/calendar"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// Proves A11: an intent of working days is measured on the days that people work:
// not on a public holiday, but on the Saturday that is worked for it; which days
// these are is told before it is confirmed, and a site may change them.
func TestWorkingDaysCount(t *testing.T) {
	h := open(t, nil)
	h.thing(engine.Thing{ID: "opd", Name: "门诊服务", Class: engine.ClassApplication})
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	h.must(err)
	// The last week of the Spring Festival of 2026: Monday the 23rd is a holiday,
	// Saturday the 28th is worked. The clock stands on Monday, March 2nd, 16:00 there.
	holiday, worked := time.Date(2026, 2, 23, 0, 0, 0, 0, shanghai), time.Date(2026, 2, 28, 0, 0, 0, 0, shanghai)
	labels := map[string]string{"thing": "opd", "check": "web"}
	from := monday.Add(-7*24*time.Hour + 2*time.Hour)
	h.feed("probe_success", labels, from, monday, steady(1))
	h.feed("probe_duration_seconds", labels, from, monday, func(at time.Time) float64 {
		switch day := at.In(shanghai); {
		case day.Day() == holiday.Day():
			return 5 // closed: nobody minds
		case day.Day() == worked.Day() && day.Hour() == 10:
			return 5 // an hour in which people waited
		}
		return 0.1
	})
	key := h.intent("opd", "工作日 8:00–18:00，门诊服务 99% 的时间在 300 毫秒内应答，按 7 天计", 5)
	var said struct{ Taken []string }
	h.must(json.Unmarshal(h.read(key).Data, &said))
	if all := strings.Join(said.Taken, "\n"); !strings.Contains(all, "2025–2026 年") || !strings.Contains(all, "2027 年的节假日安排没有收录") || !strings.Contains(all, "the public holidays of 2027 are not in the calendar") {
		t.Errorf("taken: %s", all)
	}
	s := h.noted(key, func(s engine.Standing) bool { return s.Goals[0].Attainment != nil && s.Goals[0].Coverage > 0.9 })
	g := s.Goals[0]
	// Tuesday to Saturday and eight hours of Monday, 60 minutes of them slow.
	const measured = 5*600 + 8*60
	if want := 1 - 60./measured; *g.Attainment < want-0.002 || *g.Attainment > want+0.002 {
		t.Errorf("attainment %v, want %v: %s", *g.Attainment, want, g.Say.EN)
	}
	if want := 1 - 60/(0.01*measured); *g.BudgetLeft > want+0.1 || *g.BudgetLeft < want-0.1 {
		t.Errorf("budget left %v, want %v", *g.BudgetLeft, want)
	}

	// What comes with the program stands in the records, where a site changes it.
	rec := h.read(engine.CalendarChina)
	var d calendar.Data
	h.must(json.Unmarshal(rec.Data, &d))
	if len(d.Holidays) != 28+33 || len(d.Workdays) != 5+6 {
		t.Fatalf("%+v", d)
	}
	d.Holidays = append(d.Holidays, "2026-03-02")
	raw, err := json.Marshal(d)
	h.must(err)
	_, err = h.k.Write(t.Context(), identity.Root(), kernel.Change{Op: record.Update, Key: rec.Key, Expect: rec.Version, Data: raw})
	h.must(err)
	h.noted(key, func(s engine.Standing) bool { return strings.Contains(s.Goals[0].Say.ZH, "不在要求的时段内") })
}

// A year that a site wrote stays as it is; years it has nothing of are added.
func TestTheCalendarOfASiteStays(t *testing.T) {
	h := open(t, nil)
	h.thing(engine.Thing{ID: "opd", Name: "门诊服务", Class: engine.ClassApplication})
	week := []calendar.Hours{{Day: 1, From: "08:00", To: "12:00"}}
	h.put(engine.CalendarChina, calendar.Data{Name: "本院日历", Zone: "Asia/Shanghai", Week: week, Holidays: []string{"2026-05-08"}})
	key := h.intent("opd", "工作日门诊服务 99% 的时间可用", 5)
	var d calendar.Data
	h.must(json.Unmarshal(h.read(engine.CalendarChina).Data, &d))
	in2026 := 0
	for _, s := range d.Holidays {
		if strings.HasPrefix(s, "2026") {
			in2026++
		}
	}
	if len(d.Holidays) != 1+28 || in2026 != 1 || len(d.Workdays) != 5 || d.Name != "本院日历" || len(d.Week) != 1 {
		t.Errorf("%+v", d)
	}
	var said struct{ Taken []string }
	h.must(json.Unmarshal(h.read(key).Data, &said))
	if !strings.Contains(strings.Join(said.Taken, ""), "本院日历") {
		t.Errorf("taken %v", said.Taken)
	}
}
