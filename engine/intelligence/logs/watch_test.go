package logs_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/logs"
	"zhiwei/kernel/errs"
)

// day writes a service's ordinary log into a Watch, minute by minute: polls that
// come regularly, queries by chance, and rare notes.
type day struct {
	w     *logs.Watch
	at    time.Time
	rand  *rand.Rand
	found []logs.Finding
}

func newDay(t *testing.T) *day {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return &day{w: logs.NewWatch(logs.New(0)), at: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC), rand: rand.New(rand.NewPCG(seed, 2))}
}

func (d *day) say(format string, args ...any) {
	_, found := d.w.Read(d.at, fmt.Sprintf(format, args...))
	d.found = append(d.found, found...)
}

// minutes passes n ordinary minutes; extra is called in each.
func (d *day) minutes(n int, polls bool, extra func(i int)) {
	for i := range n {
		if polls {
			d.say("poll of device %d answered in %d ms", d.rand.IntN(9), d.rand.IntN(50))
			d.say("poll of device %d answered in %d ms", d.rand.IntN(9), d.rand.IntN(50))
		}
		for range d.rand.IntN(12) {
			d.say("query %d returned %d rows", d.rand.IntN(1e6), d.rand.IntN(100))
		}
		d.say("heartbeat %d sent", i)
		if d.rand.IntN(10) == 0 {
			d.say("connection from 10.0.0.%d refused", d.rand.IntN(200))
		}
		if extra != nil {
			extra(i)
		}
		d.at = d.at.Add(time.Minute)
		d.found = append(d.found, d.w.Tick(d.at)...)
	}
}

func (d *day) take() []logs.Finding {
	out := d.found
	d.found = nil
	return out
}

// TestOrdinaryDays: of two ordinary days nothing is told.
func TestOrdinaryDays(t *testing.T) {
	d := newDay(t)
	d.minutes(2*24*60, true, nil)
	for _, f := range d.take() {
		t.Errorf("%s at %v: %s", f.What, f.At, f.Say.EN)
	}
}

func TestFindings(t *testing.T) {
	d := newDay(t)
	d.minutes(200, true, nil)

	d.say("disk /dev/sdb is corrupted at sector 1234")
	novel := d.take()
	if len(novel) != 1 || novel[0].What != logs.Novel || novel[0].Severity != engine.Critical {
		t.Fatalf("a new template: %+v", novel)
	}
	if s := novel[0].Symptom("thing/1"); s.Source != engine.FromLog || s.Thing != "thing/1" || s.Text != "disk <*> is corrupted at sector <*>" || s.Name != "log-novel" {
		t.Errorf("symptom %+v", s)
	}

	d.minutes(3, true, func(int) {
		for range 60 {
			d.say("connection from 10.0.0.%d refused", d.rand.IntN(200))
		}
	})
	burst := d.take()
	if len(burst) != 1 || burst[0].What != logs.Burst || burst[0].Count < 60 || burst[0].Usual > 2 || burst[0].Severity != engine.Major {
		t.Fatalf("a burst of three minutes is told once: %+v", burst)
	}

	d.minutes(30, true, nil)
	d.minutes(10, false, nil)
	silent := d.take()
	if len(silent) != 1 || silent[0].What != logs.Silent || silent[0].Template.Text != "poll of device <*> answered in <*>" {
		t.Fatalf("a poll that comes no more: %+v", silent)
	}

	stopped := d.at
	for range 15 {
		d.at = d.at.Add(time.Minute)
		d.found = append(d.found, d.w.Tick(d.at)...)
	}
	mute := d.take()
	if len(mute) != 1 || mute[0].What != logs.Mute || mute[0].Since.Before(stopped.Add(-2*time.Minute)) || mute[0].Severity != engine.Major {
		t.Fatalf("a log that stops: %+v", mute)
	}
}

// TestWatchRestart: what is usual is still known after a restart, and what was told
// is not told again.
func TestWatchRestart(t *testing.T) {
	d := newDay(t)
	d.minutes(200, true, nil)
	flood := func(int) {
		for range 60 {
			d.say("connection from 10.0.0.%d refused", d.rand.IntN(200))
		}
	}
	d.minutes(1, true, flood)
	if n := len(d.take()); n != 1 {
		t.Fatalf("%d findings before the restart", n)
	}
	state, err := json.Marshal(d.w)
	if err != nil {
		t.Fatal(err)
	}
	d.w = logs.NewWatch(logs.New(0))
	if err := json.Unmarshal(state, d.w); err != nil {
		t.Fatal(err)
	}
	d.minutes(2, true, flood)
	d.minutes(20, true, nil)
	if found := d.take(); len(found) != 0 {
		t.Errorf("told again after the restart: %+v", found)
	}
	d.minutes(1, true, flood)
	if found := d.take(); len(found) != 1 || found[0].What != logs.Burst {
		t.Errorf("a burst after the restart: %+v", found)
	}
	if err := json.Unmarshal([]byte(`{"miner":{},"rates":{}}`), d.w); !errs.Is(err, errs.Invalid) {
		t.Errorf("a damaged state: %v", err)
	}
}

// TestManyNovelties: a storm of new templates is told in part and counted in whole,
// and nothing that sounds bad is left out.
func TestManyNovelties(t *testing.T) {
	d := newDay(t)
	d.minutes(200, true, nil)
	for i := range 100 {
		d.say("module-%s loaded %s", letters(i), letters(i*7+1))
		d.say("%s failed %s badly", letters(i*31+5), letters(i*17+3))
	}
	var bad, other uint64
	for _, f := range d.take() {
		if f.Severity == engine.Major {
			bad++
		} else {
			other++
		}
	}
	if other > 20 || other+d.w.Untold() == 0 || bad == 0 {
		t.Errorf("%d told, %d untold, %d bad", other, d.w.Untold(), bad)
	}
}

func letters(i int) string {
	out := ""
	for range 4 {
		out += string(rune('a' + i%26))
		i = i/26 + i%7
	}
	return out
}

func TestWording(t *testing.T) {
	for text, want := range map[string]engine.Severity{
		"kernel panic - not syncing":         engine.Critical,
		"Out of memory: OOM killer":          engine.Critical,
		"数据文件损坏":                             engine.Critical,
		"ERROR reading block":                engine.Major,
		"connection refused":                 engine.Major,
		"连接超时，请重试":                           engine.Major,
		"retrying in 5 s":                    engine.Warning,
		"finished with no errors, 0 failed":  "",
		"同步完成，无错误":                           "",
		"terror in the erratic mirror":       "",
		"certificate expires in 5 days":      engine.Warning,
		"Warning: corrupt page, see the log": engine.Critical,
	} {
		if got := logs.Wording(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzWatchState: no bytes make a Watch that fails later.
func FuzzWatchState(f *testing.F) {
	w := logs.NewWatch(logs.New(64))
	at := time.Unix(1e9, 0)
	for i := range 600 {
		w.Read(at.Add(time.Duration(i)*10*time.Second), fmt.Sprintf("open %d by user x%c", i, 'a'+i%5))
	}
	state, _ := json.Marshal(w)
	f.Add(state, int64(2e9), "error a 1")
	f.Fuzz(func(t *testing.T, state []byte, seconds int64, message string) {
		w := logs.NewWatch(logs.New(64))
		if w.UnmarshalJSON(state) != nil {
			return
		}
		w.Read(time.Unix(seconds%1e12, 0), message)
		w.Tick(time.Unix(seconds%1e12+3600, 0))
	})
}
