package calendar

import (
	"math/rand/v2"
	"testing"
	"time"
)

var office = Data{
	Zone: "Asia/Shanghai",
	Week: []Hours{
		{1, "08:00", "12:00"}, {1, "13:30", "17:30"}, {2, "08:00", "17:00"}, {3, "08:00", "17:00"}, {4, "08:00", "17:00"}, {5, "08:00", "17:00"},
	},
	Holidays: []string{"2026-10-01", "2026-10-02"}, // National Day
	Workdays: []string{"2026-10-10"},               // a Saturday made up for it
}

func must(t *testing.T, d Data) *Calendar {
	t.Helper()
	c, err := Parse(d)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func at8(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, time.FixedZone("CST", 8*3600))
	if err != nil {
		panic(err)
	}
	return t
}

func TestBusinessTime(t *testing.T) {
	c := must(t, office)
	for _, x := range []struct {
		from   string
		length string
		want   string
	}{
		{"2026-09-28 09:00", "2h", "2026-09-28 11:00"},  // Monday morning
		{"2026-09-28 11:00", "2h", "2026-09-28 14:30"},  // over lunch
		{"2026-09-30 16:00", "2h", "2026-10-05 09:00"},  // over the holidays and a week-end
		{"2026-09-27 10:00", "30m", "2026-09-28 08:30"}, // from a Sunday
		{"2026-10-09 16:30", "1h", "2026-10-10 08:30"},  // the made-up Saturday works
		{"2026-09-30 10:00", "1d", "2026-10-05 10:00"},  // a working day later
		{"2026-09-29 10:00", "1d2h", "2026-09-30 12:00"},
	} {
		l, err := ParseLength(x.length)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.After(at8(x.from), l, 0); !got.Equal(at8(x.want)) {
			t.Errorf("%s + %s = %s, want %s", x.from, x.length, got.In(c.Zone).Format("2006-01-02 15:04"), x.want)
		}
	}
	var always *Calendar
	if got := always.After(at8("2026-10-01 03:00"), Length{Days: 2}, time.Hour); !got.Equal(at8("2026-10-03 04:00")) {
		t.Errorf("7×24: %v", got)
	}
}

// Add and Between are each other's inverse, whatever the instant.
func TestAddAndBetweenAgree(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	c := must(t, office)
	for range 2000 {
		from := at8("2026-09-01 00:00").Add(time.Duration(r.Int64N(int64(90 * 24 * time.Hour)))).Truncate(time.Second)
		d := time.Duration(r.Int64N(int64(200 * time.Hour))).Truncate(time.Second)
		end := c.Add(from, d)
		if got := c.Between(from, end); got != d {
			t.Fatalf("from %v, %v later is %v, but between them are %v", from, d, end, got)
		}
	}
}

func TestWrongCalendars(t *testing.T) {
	for _, d := range []Data{
		{Zone: "Nowhere/City"},
		{Zone: "UTC", Week: []Hours{{1, "18:00", "08:00"}}},
		{Zone: "UTC", Week: []Hours{{8, "08:00", "09:00"}}},
		{Zone: "UTC", Week: []Hours{{1, "8", "09:00"}}},
		{Zone: "UTC", Holidays: []string{"1 May"}},
	} {
		if _, err := Parse(d); err == nil {
			t.Errorf("%+v: accepted", d)
		}
	}
	none := must(t, Data{Zone: "UTC", Week: []Hours{{1, "08:00", "09:00"}}})
	none.Week[1] = nil
	none.Week[2] = []Span{{0, 0}}
	if got := none.Add(at8("2026-01-01 00:00"), time.Hour); !got.IsZero() {
		t.Errorf("a calendar without working time gave %v", got)
	}
	for _, s := range []string{"", "d", "-1d", "1w", "9999d", "1d-2h"} {
		if _, err := ParseLength(s); err == nil {
			t.Errorf("length %q: accepted", s)
		}
	}
}
