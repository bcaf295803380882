package predict

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"zhiwei/drive/smart"
	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

var now = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)

// healthy is a disk without a sign.
func healthy(at time.Time) Health {
	return Health{At: at, Protocol: "ATA", Wear: math.NaN(), Spare: math.NaN(), SpareFloor: math.NaN()}
}

// Disks are ranked as the studies rank them: one without a sign is not told of,
// what grows before what stands still, several signs before one, a disk that says
// so itself before all.
//
// Proves A10
func TestDisksAreRanked(t *testing.T) {
	p := func(history ...Health) float64 {
		got, ok := Disk(now, "h", "sda", history)
		if !ok {
			return 0
		}
		if len(got.Evidence) == 0 || got.Title.ZH == "" || got.Advice.EN == "" {
			t.Errorf("%+v", got)
		}
		return got.Probability
	}
	old, fine := healthy(now.Add(-70*day)), healthy(now.Add(-30*day))
	one := healthy(now)
	one.Reallocated = 1
	oldOne := old
	oldOne.Reallocated = 1
	scan := healthy(now)
	scan.Uncorrectable = 1
	several := scan
	several.Reallocated, several.Pending = 20, 8
	more := scan
	more.Uncorrectable = 100
	failing := healthy(now)
	failing.Failing = true
	order := []float64{
		p(healthy(now)), p(oldOne, one), p(fine, one), p(fine, scan), p(fine, more), p(fine, several), p(failing),
	}
	if order[0] != 0 || order[1] != 0 || !slices.IsSorted(order) || order[6] < 0.5 || order[3] == 0 {
		t.Errorf("%v", order)
	}
	// A fresh scan error: the study's 39 times of 1.5 % a year is about 5 % a month.
	if got := order[3]; got < 0.04 || got > 0.06 {
		t.Errorf("a scan error foresees a failure with %v", got)
	}
	if p() != 0 {
		t.Error("a disk that tells nothing fails")
	}
	// What a report does not tell is no sign.
	if h := smart.Unknown(); p(h, h) != 0 {
		t.Error("absence is a sign")
	}
}

// A solid-state disk's life ends when its wear says, by the rate of the last weeks.
func TestWear(t *testing.T) {
	before, last := smart.Unknown(), smart.Unknown()
	before.At, before.Wear, last.At, last.Wear = now.Add(-30*day), 0.80, now, 0.86
	p, ok := Disk(now, "h", "nvme0", []Health{before, last})
	if ok {
		t.Errorf("70 days ahead: %+v", p)
	}
	last.Wear = 0.92
	p, ok = Disk(now, "h", "nvme0", []Health{before, last})
	if want := now.Add(20 * day); !ok || p.When.Sub(want).Abs() > time.Hour {
		t.Errorf("%v %v, want %v", ok, p.When, want)
	}
}

// The real reports: of each kind of disk the reader finds what it says, and the
// disks that are broken are told of.
func TestRealReports(t *testing.T) {
	folder := filepath.Join("..", "..", "..", "..", "shared", "data", "smart")
	files, _ := filepath.Glob(filepath.Join(folder, "*.json"))
	if len(files) == 0 {
		t.Skip("the reports of smartctl are not at hand: ../shared/data/smart")
	}
	want := map[string]struct {
		foreseen bool
		protocol string
		hours    float64
	}{
		"smart-ata-full.json":            {false, "ATA", 14551},
		"smart-ata-failed-scrutiny.json": {false, "ATA", 19497}, // link errors only: the cable
		"smart-fail2.json":               {true, "ATA", 65592},
		"smart-nvme.json":                {false, "NVMe", 2401},
		"smart-nvme-failed.json":         {true, "NVMe", 12798},
		"smart-sat.json":                 {false, "ATA", math.NaN()},
		"smart-scsi.json":                {false, "SCSI", 43549},
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h, err := smart.Read(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		w, known := want[filepath.Base(name)]
		if !known {
			continue
		}
		p, ok := Disk(now, "h", "sda", []Health{h})
		if ok != w.foreseen || h.Protocol != w.protocol || h.Hours != w.hours && !(math.IsNaN(h.Hours) && math.IsNaN(w.hours)) {
			t.Errorf("%s: %+v, foreseen %v: %+v", filepath.Base(name), h, ok, p)
		}
	}
}

func FuzzDisk(f *testing.F) {
	f.Add([]byte(`{"device":{"protocol":"ATA"},"smart_status":{"passed":false},"rotation_rate":0,"ata_smart_attributes":{"table":[{"id":5,"value":1,"when_failed":"now","flags":{"prefailure":true},"raw":{"value":1975}}]}}`))
	f.Add([]byte(`{"nvme_smart_health_information_log":{"critical_warning":4,"available_spare":3,"available_spare_threshold":10,"percentage_used":112,"media_errors":7}}`))
	f.Add([]byte(`{"scsi_grown_defect_list":56,"scsi_error_counter_log":{"read":{"total_uncorrected_errors":2}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := smart.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, s := range signs {
			if v := s.value(h); v < 0 || math.IsInf(v, 0) {
				t.Fatalf("%s: %v", s.id, v)
			}
		}
		if p, ok := Disk(now, "h", "d", []Health{h}); ok {
			if !(p.Probability > 0 && p.Probability < 1) {
				t.Fatalf("%+v", p)
			}
			if _, err := json.Marshal(p); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Lines of the kernel as its drivers write them, and what is none.
func TestReadEDAC(t *testing.T) {
	for line, want := range map[string]MemoryError{
		`EDAC MC1: 1 CE memory read error on CPU_SrcID#0_MC#1_Chan#0_DIMM#1 (channel:0 slot:1 page:0x1f offset:0x40 grain:32 syndrome:0x0 -  OVERFLOW err_code:0x0101:0x0090 socket:0 imc:1 rank:1 bg:2 ba:3 row:0x1c3d col:0x3f8)`: {
			Module: "CPU_SrcID#0_MC#1_Chan#0_DIMM#1", Rank: 1, Bank: -1, Row: 0x1c3d, Column: 0x3f8, Count: 1,
		},
		`kernel: EDAC MC0: 12 CE error on CPU#0Channel#1_DIMM#0 (channel:1 slot:0 page:0x0 offset:0x0 grain:8 syndrome:0x0 - area:DRAM err_code:0000:009f channel:1 rank:0 row:100 col:7 bank_addr:1 bank_group:2)`: {
			Module: "CPU#0Channel#1_DIMM#0", Rank: 0, Bank: 2<<8 + 1, Row: 100, Column: 7, Count: 12,
		},
		`EDAC MC0: 1 UE memory scrubbing error on unknown memory (channel:0 page:0x0)`: {Module: "unknown memory", Rank: -1, Bank: -1, Row: -1, Column: -1, Count: 1, Uncorrectable: true},
	} {
		e, ok := ReadEDAC(now, line)
		want.At = now
		if !ok || e != want {
			t.Errorf("%s\n%v %+v\nwant %+v", line, ok, e, want)
		}
	}
	for _, line := range []string{"", "EDAC MC0: Giving out device to module", "EDAC sbridge: Driver loaded"} {
		if _, ok := ReadEDAC(now, line); ok {
			t.Errorf("%q is an error", line)
		}
	}
}

func FuzzReadEDAC(f *testing.F) {
	f.Add("EDAC MC0: 12 CE error on CPU#0Channel#1_DIMM#0 (channel:1 slot:0 rank:0 row:0100 col:7 bank_addr:1 bank_group:2)")
	f.Fuzz(func(t *testing.T, line string) {
		if e, ok := ReadEDAC(now, line); ok && (e.Count < 0 || e.Row < -1 || e.Bank < -1 || e.Module == "") {
			t.Fatalf("%+v", e)
		}
	})
}

// Memory is ranked by how fast and how far errors spread; a cell that errs now and
// then is nobody's work; and one that grows is told of before it breaks.
func TestMemory(t *testing.T) {
	at := func(ago time.Duration, bank, row, column, n int) MemoryError {
		return MemoryError{At: now.Add(-ago), Bank: bank, Row: row, Column: column, Count: n}
	}
	p := func(list ...MemoryError) float64 {
		got, ok := Memory(now, "h", "DIMM1", list)
		if !ok {
			return 0
		}
		return got.Probability
	}
	few := p(at(5*time.Hour, 1, 10, 10, 3))
	cell := p(at(5*time.Hour, 1, 10, 10, 200))
	var row, banks []MemoryError
	for i := range 20 {
		row = append(row, at(time.Duration(i)*time.Hour, 1, 10, i, 10))
		banks = append(banks, at(time.Duration(i)*time.Hour, i%4, i*7, i*3, 10))
	}
	lost := append(slices.Clone(banks), MemoryError{At: now.Add(-time.Hour), Uncorrectable: true, Rank: -1, Bank: -1, Row: -1, Column: -1})
	if order := []float64{few, cell, p(row...), p(banks...), p(lost...)}; few != 0 || !slices.IsSorted(order) || slices.Index(order[1:], 0) >= 0 || order[4] < 0.3 {
		t.Errorf("%v", order)
	}
	// A burst over many banks is told of at once, with time left.
	var storm []MemoryError
	for i := range 100 {
		storm = append(storm, at(time.Duration(i)*600*time.Millisecond, i%8, i, i, 20))
	}
	got, ok := Memory(now, "h", "DIMM1", storm)
	if !ok || got.Severity != engine.Major || got.Earliest.Sub(now) < 15*time.Minute {
		t.Errorf("%v %+v", ok, got)
	}
	// What is long over, or lies ahead, tells nothing.
	if p(at(40*day, 1, 1, 1, 5000), at(-time.Hour, 1, 1, 1, 5000)) != 0 {
		t.Error("errors of another time count")
	}
}

// The log of a machine is read into modules, within bounds, and survives as JSON.
func TestMemoryLog(t *testing.T) {
	l := &MemoryLog{}
	for i := range 5000 {
		s := fmt.Sprintf("EDAC MC0: 9 CE memory read error on DIMM_A1 (channel:0 rank:0 bank:%d row:%d col:%d)", i%8, i%9, i%7)
		if !l.Read("host-1", now.Add(time.Duration(i-5000)*time.Second), s) {
			t.Fatal(s)
		}
	}
	if n := len(l.Modules["host-1"]["DIMM_A1"]); n > keptErrors {
		t.Errorf("%d errors are kept", n)
	}
	data, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var again MemoryLog
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if out := again.Look(now); len(out) != 1 || out[0].Part != "DIMM_A1" || out[0].Thing != "host-1" || out[0].Severity != engine.Major {
		t.Errorf("%+v", out)
	}
	if out := again.Look(now.Add(40 * day)); len(out) != 0 || len(again.Modules) != 0 {
		t.Errorf("after a month: %v, %v", out, again.Modules)
	}
}

// filling makes a used share: growth a day, a swing within the day and the week,
// noise, and clean-ups at certain days.
type filling struct {
	start, perDay, daily, weekly, noise float64
	cleanups                            map[int]float64 // day → what is freed
}

func (f filling) samples(r *rand.Rand, days int, every time.Duration) []Sample {
	var out []Sample
	level, n := f.start, int(time.Duration(days)*day/every)
	perStep := float64(every) / float64(day)
	for i := range n {
		at := now.Add(-time.Duration(n-1-i) * every)
		d := float64(i) * perStep
		if n := time.Duration(i) * every; i > 0 && n/day != (n-every)/day {
			level -= f.cleanups[int(n/day)]
		}
		// What is added is random: a walk with drift.
		level += perStep*f.perDay + math.Sqrt(perStep)*f.noise*r.NormFloat64()
		v := level + f.daily*math.Sin(2*math.Pi*d) + f.weekly*math.Sin(2*math.Pi*d/7) + f.noise/3*r.NormFloat64()
		out = append(out, Sample{at, v})
	}
	return out
}

// The growth is found whatever the season, the noise and the clean-ups.
func TestTrend(t *testing.T) {
	for name, c := range map[string]struct {
		f    filling
		days int
		tol  float64
	}{
		"straight":             {filling{start: 0.5, perDay: 0.01}, 30, 1e-6},
		"one day":              {filling{start: 0.5, perDay: 0.05}, 1, 1e-6},
		"daily season":         {filling{start: 0.5, perDay: 0.01, daily: 0.05}, 10, 0.001},
		"daily and weekly":     {filling{start: 0.3, perDay: 0.01, daily: 0.03, weekly: 0.05}, 30, 0.001},
		"noise":                {filling{start: 0.5, perDay: 0.01, noise: 0.004}, 30, 0.003},
		"one clean-up":         {filling{start: 0.3, perDay: 0.02, noise: 0.001, cleanups: map[int]float64{17: 0.25}}, 30, 0.002},
		"clean-up, seasons":    {filling{start: 0.3, perDay: 0.02, daily: 0.01, weekly: 0.01, noise: 0.001, cleanups: map[int]float64{12: 0.2}}, 30, 0.004},
		"falling":              {filling{start: 0.9, perDay: -0.01, noise: 0.001}, 30, 0.002},
		"standing still":       {filling{start: 0.9, noise: 0.0005}, 30, 0.001},
		"nothing ever changes": {filling{start: 0.9}, 30, 1e-9},
	} {
		r := rand.New(rand.NewPCG(1, 2))
		got, ok := TrendOf(c.f.samples(r, c.days, time.Hour))
		if !ok || math.Abs(got.PerDay-c.f.perDay) > c.tol || got.Cleanups != len(c.f.cleanups) {
			t.Errorf("%s: %v %+v, want %v a day", name, ok, got, c.f.perDay)
		}
	}
	// Logs that are cleaned up every week do not fill the disk; their peaks may.
	clean := map[int]float64{}
	for d := 4; d < 30; d += 4 {
		clean[d] = 0.08
	}
	saw := filling{start: 0.5, perDay: 0.02, noise: 0.0005, cleanups: clean}
	got, ok := TrendOf(saw.samples(rand.New(rand.NewPCG(3, 4)), 30, time.Hour))
	if !ok || !got.Sawtooth || math.Abs(got.PerDay) > 0.001 {
		t.Errorf("saw tooth: %v %+v", ok, got)
	}
	if p, ok := Capacity(now, "h", "/", kind.T("一", "one"), "", saw.samples(rand.New(rand.NewPCG(3, 4)), 30, time.Hour)); ok {
		t.Errorf("a saw tooth fills the disk: %+v", p)
	}
	for d := range clean {
		clean[d] = 0.05 // less is freed than comes
	}
	got, _ = TrendOf(saw.samples(rand.New(rand.NewPCG(3, 4)), 30, time.Hour))
	if !got.Sawtooth || math.Abs(got.PerDay-0.0075) > 0.0015 {
		t.Errorf("saw tooth that climbs: %+v", got)
	}
}

// The range holds the true day about as often as it says, the middle is not off to
// one side, and what does not fill is not said to: over 200 seeded worlds.
//
// Proves B20
func TestCapacityIsHonest(t *testing.T) {
	inside, told, early, false_ := 0, 0, 0, 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 9))
		f := filling{perDay: 0.006 + 0.008*r.Float64(), daily: 0.01 * r.Float64(), weekly: 0.01 * r.Float64(), noise: 0.001 + 0.003*r.Float64()}
		f.start = 0.9 - 0.3*r.Float64() - 30*f.perDay // 10 to 40 % are left now
		if seed%4 == 0 {
			f.cleanups = map[int]float64{5 + r.IntN(15): 0.15}
			f.start += 0.15
		}
		still := seed%5 == 1
		if still {
			f.perDay, f.cleanups, f.start = 0, nil, 0.6+0.2*r.Float64()
		}
		// The world goes on for 150 days after now: when is it really full?
		all := f.samples(r, 180, time.Hour)
		var past []Sample
		full := math.Inf(1)
		for i, s := range all {
			if i < 30*24 {
				past = append(past, s)
			} else if s.Value >= 1 && math.IsInf(full, 1) {
				full = s.At.Sub(all[30*24-1].At).Hours() / 24
			}
		}
		tr, ok := TrendOf(past)
		if !ok {
			t.Fatalf("seed %d: no trend", seed)
		}
		p := tr.Reach(1)
		if still {
			if p.Within30 >= 0.1 && p.Drift > 1.2816 {
				false_++
			}
			continue
		}
		if math.IsInf(full, 1) {
			t.Fatalf("seed %d: the world never fills", seed)
		}
		told++
		if p.Early <= full && full <= p.Late {
			inside++
		}
		if full < p.Days {
			early++
		}
	}
	t.Logf("of %d worlds that fill: %.2f within the range, %.2f before its middle; %d of 40 that do not were said to", told, float64(inside)/float64(told), float64(early)/float64(told), false_)
	if c := float64(inside) / float64(told); c < 0.7 || c > 0.95 {
		t.Errorf("the 80 %% range holds %.2f of the days", c)
	}
	if c := float64(early) / float64(told); c < 0.35 || c > 0.65 {
		t.Errorf("%.2f fill before the middle", c)
	}
	if false_ > 2 {
		t.Errorf("%d of 40 that stand still are said to fill", false_)
	}
}

// What is foreseen is said in both languages and lies in order; what is measured
// no longer, or is full, is not foreseen.
func TestCapacitySays(t *testing.T) {
	f := filling{start: 0.6, perDay: 0.012, noise: 0.001}
	used := f.samples(rand.New(rand.NewPCG(1, 1)), 25, time.Hour)
	p, ok := Capacity(now, "host-1", "/var", kind.T("host-1 /var 的文件系统", "File system host-1 /var"), "x", used)
	if !ok || p.When.IsZero() || p.Earliest.After(p.When) || p.Latest.Before(p.When) || p.Probability < 0.5 || p.Title.ZH == "" || len(p.Evidence) < 2 || p.Severity != engine.Major {
		t.Errorf("%v %+v", ok, p)
	}
	if _, ok := Capacity(now.Add(day), "h", "", kind.Text{}, "", used); ok {
		t.Error("foreseen from what is measured no longer")
	}
	if _, ok := Capacity(now, "h", "", kind.Text{}, "", used[:5]); ok {
		t.Error("foreseen from five points")
	}
}

func TestDates(t *testing.T) {
	for _, c := range []struct {
		left time.Duration
		cert engine.Severity
		warr engine.Severity
	}{
		{-time.Hour, "", ""},
		{3 * day, engine.Major, engine.Major},
		{10 * day, engine.Minor, engine.Major},
		{40 * day, "", engine.Minor},
		{100 * day, "", ""},
	} {
		p, ok := Certificate(now, "h", "https", now.Add(c.left))
		if ok != (c.cert != "") || ok && p.Severity != c.cert {
			t.Errorf("%v: %v %+v", c.left, ok, p)
		}
		p, ok = Warranty(now, "h", now.Add(c.left))
		if ok != (c.warr != "") || ok && p.Severity != c.warr {
			t.Errorf("%v: %v %+v", c.left, ok, p)
		}
	}
}
