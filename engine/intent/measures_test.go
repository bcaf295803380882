package intent

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/series/local"
)

// Every measure asks for metrics that something tells, in PromQL that is
// understood, and names runbooks that ship.
func TestMeasuresAreReal(t *testing.T) {
	store, err := local.Open(filepath.Join(t.TempDir(), "series"), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var host strings.Builder
	files, err := filepath.Glob("../../drive/host/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		host.Write(b)
	}
	tells := regexp.MustCompile(`\b(up|[a-z]+(_[a-z0-9A-Z]+)+)\{`)
	seen := map[string]bool{}
	for _, m := range measures {
		if seen[m.Code] || m.Title.ZH == "" || m.Title.EN == "" || m.Title.EN != strings.ToLower(m.Title.EN) {
			t.Errorf("%s: %+v", m.Code, m.Title)
		}
		seen[m.Code] = true
		for _, book := range append(m.Low, m.High...) {
			if _, err := os.Stat("../automation/runbooks/" + book + ".yaml"); err != nil {
				t.Errorf("%s: no runbook %s", m.Code, book)
			}
		}
		if m.cases() {
			continue
		}
		for _, found := range tells.FindAllStringSubmatch(m.Query, -1) {
			name := found[1]
			_, ok := engine.MetricNamed(name)
			told := strings.Contains(host.String(), `"`+name+`"`) || strings.HasPrefix(name, "node_memory_Mem")
			if !ok && !told {
				t.Errorf("%s: nothing tells %s", m.Code, name)
			}
		}
		g := engine.Goal{Subject: engine.Subject{Part: engine.PartData}}
		for _, match := range matchers(m, g, []group{{things: []string{"a.b"}, key: "thing/a.b"}, {service: `it's "x"`, key: "service/1"}, {}}) {
			if _, err := store.Query(t.Context(), m.query(match), time.Now()); err != nil {
				t.Errorf("%s: %v", m.Code, err)
			}
		}
	}
	for book := range actions {
		if _, err := os.Stat("../automation/runbooks/" + book + ".yaml"); err != nil {
			t.Errorf("an action names %s, which is no runbook", book)
		}
	}
}

// Hours are those of the zone's week, also over midnight.
func TestHoursAreOfTheWeek(t *testing.T) {
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, time.UTC) } // the 2nd is a Monday
	work := &engine.Hours{Days: []int{1, 2, 3, 4, 5}, From: "08:00", Until: "18:00"}
	night := &engine.Hours{Days: []int{5}, From: "22:00", Until: "06:00"}
	for _, c := range []struct {
		h    *engine.Hours
		at   time.Time
		want bool
	}{
		{nil, at(1, 3, 0), true},
		{work, at(2, 8, 0), true},
		{work, at(2, 7, 59), false},
		{work, at(6, 17, 59), true},
		{work, at(6, 18, 0), false},
		{work, at(7, 12, 0), false},
		{work, at(8, 12, 0), false},
		{night, at(6, 22, 0), true},
		{night, at(7, 5, 59), true},
		{night, at(7, 6, 0), false},
		{night, at(6, 5, 0), false},
		{&engine.Hours{Days: []int{7}}, at(8, 23, 59), true},
		{&engine.Hours{Days: []int{7}}, at(9, 0, 0), false},
		{&engine.Hours{From: "22:00"}, at(3, 23, 0), true},
		{&engine.Hours{From: "22:00"}, at(3, 1, 0), false},
	} {
		if got := (times{Hours: c.h, zone: time.UTC}).asked(c.at); got != c.want {
			t.Errorf("%+v at %s: %v", c.h, c.at.Format("Mon 15:04"), got)
		}
	}
	if n := (&meter{step: time.Minute}).steps(times{Hours: work, zone: time.UTC}, 7*24*time.Hour, at(16, 0, 0)); n != 5*600 {
		t.Errorf("%v minutes of a week", n)
	}
}
