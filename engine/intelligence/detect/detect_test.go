package detect

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"
)

type point struct {
	at    time.Time
	value float64
}

var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// made makes n points that are five minutes apart.
func made(n int, value func(i int) float64) []point {
	out := make([]point, n)
	for i := range out {
		out[i] = point{start.Add(time.Duration(i) * 5 * time.Minute), value(i)}
	}
	return out
}

// wild makes a series with everything in it that may come: seasons, trends, jumps,
// gaps, late, double and absurd points.
func wild(seed uint64, n int) []point {
	r := rand.New(rand.NewPCG(seed, 1))
	at, level, out := start, 100*r.NormFloat64(), []point(nil)
	for range n {
		at = at.Add(time.Duration(1+r.IntN(3)) * time.Minute)
		v := level + 10*math.Sin(float64(at.Unix())/86400*2*math.Pi) + r.NormFloat64()
		switch r.IntN(60) {
		case 0:
			level += 50 * r.NormFloat64()
		case 1:
			at = at.Add(time.Duration(r.IntN(100)) * time.Hour)
		case 2:
			at = at.Add(-time.Duration(r.IntN(100)) * time.Minute)
		case 3:
			v = math.NaN()
		case 4:
			v = math.Inf(1 - 2*r.IntN(2))
		case 5:
			v = 1e300
		case 6:
			v = 0
		}
		out = append(out, point{at, v})
	}
	return out
}

func judge(d *Detector, points []point) []Verdict {
	out := make([]Verdict, len(points))
	for i, p := range points {
		out[i] = d.Next(p.at, p.value)
	}
	return out
}

var sizes = []Size{Small, Large}

func alarms(verdicts []Verdict) (at []int) {
	for i, v := range verdicts {
		if v.Alarm {
			at = append(at, i)
		}
	}
	return at
}

// Whatever comes, scores are from 0 to 1 and an alarm is a score of at least one
// half; what is said of a prefix is the prefix of what is said; and a detector that
// was written down and read back in the middle goes on as if nothing had happened.
//
// Proves A10
func TestVerdictsDependOnThePastAloneAndSurviveRestarts(t *testing.T) {
	for _, size := range sizes {
		for seed := range uint64(6) {
			points := wild(seed, 4000)
			whole := judge(New(size), points)
			for i, v := range whole {
				if !(v.Score >= 0 && v.Score <= 1) || v.Alarm != (v.Score >= 0.5) {
					t.Fatalf("size %d seed %d point %d %v: %+v", size, seed, i, points[i], v)
				}
			}
			cut := int(seed*613+1) % len(points)
			if prefix := judge(New(size), points[:cut]); !slices.Equal(prefix, whole[:cut]) {
				t.Fatalf("size %d seed %d: the prefix of %d points was judged otherwise", size, seed, cut)
			}
			first := New(size)
			judge(first, points[:cut])
			state, err := first.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			var second Detector
			if err := second.UnmarshalBinary(state); err != nil {
				t.Fatal(err)
			}
			again, _ := second.MarshalBinary()
			if !slices.Equal(again, state) {
				t.Fatalf("size %d seed %d: written again, the state is another", size, seed)
			}
			if rest := judge(&second, points[cut:]); !slices.Equal(rest, whole[cut:]) {
				t.Fatalf("size %d seed %d: after a restart at %d it goes on otherwise", size, seed, cut)
			}
		}
	}
}

// The bounds of memory hold for the state and for what lies in memory.
//
// Proves A10
func TestADetectorStaysInItsBounds(t *testing.T) {
	for size, bound := range map[Size]int{Small: 1 << 10, Large: 50 << 10} {
		d := New(size)
		judge(d, wild(1, 3000))
		state, _ := d.MarshalBinary()
		held := int(unsafe.Sizeof(*d))
		for _, v := range d.views {
			held += int(unsafe.Sizeof(v)) + cap(v.cells)*int(unsafe.Sizeof(cell{})) + len(v.tails)*int(unsafe.Sizeof(tail{}))
			for _, t := range v.tails {
				held += cap(t.count) * 2
			}
		}
		if d.large != nil {
			held += int(unsafe.Sizeof(*d.large)) + cap(d.large.tail.count)*2
		}
		if len(state) > bound || held > bound {
			t.Errorf("size %d: state of %d bytes, %d in memory, bound %d", size, len(state), held, bound)
		}
	}
}

// What happens to a series, and whether somebody should be called: within so many
// points of the event, and how often in all.
//
// Proves A10
func TestEventsAreFoundWithoutTuning(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	noise := make([]float64, 5000)
	for i := range noise {
		noise[i] = r.NormFloat64()
	}
	day := func(i int) float64 { return 50 + 20*math.Sin(float64(i%288)/288*2*math.Pi) }
	const event = 4000
	for _, c := range []struct {
		name   string
		value  func(i int) float64
		within int // points after the event; 0: there is none
		other  int // alarms allowed elsewhere
	}{
		{"constant", func(int) float64 { return 45 }, 0, 0},
		{"zero", func(int) float64 { return 0 }, 0, 0},
		{"noise", func(i int) float64 { return 100 + 5*noise[i] }, 0, 12},
		{"day", func(i int) float64 { return day(i) + noise[i] }, 0, 12},
		{"day without noise", day, 0, 0},
		{"constant, then another", func(i int) float64 { return 45 + float64(i/event) }, 1, 0},
		{"spike", func(i int) float64 {
			if i == event {
				return 200
			}
			return day(i) + noise[i]
		}, 1, 12},
		{"level shift", func(i int) float64 { return day(i) + noise[i] + 30*float64(i/event) }, 3, 12},
		{"drop to zero", func(i int) float64 {
			if i >= event {
				return 0
			}
			return day(i) + noise[i]
		}, 3, 12},
		{"a wave that does not come", func(i int) float64 {
			if i >= event && i < event+200 {
				return 30 + noise[i]
			}
			return day(i) + noise[i]
		}, 40, 12},
		{"hundred times as much", func(i int) float64 {
			if i >= event {
				return 100 * day(i)
			}
			return day(i) + noise[i]
		}, 1, 12},
		{"level shift on a trend", func(i int) float64 { return float64(i)/20 + noise[i] + 100*float64(i/event) }, 3, 12},
	} {
		for _, size := range sizes {
			verdicts := judge(New(size), made(5000, c.value))
			found, other := false, 0
			for _, at := range alarms(verdicts) {
				switch {
				case c.within > 0 && at >= event && at < event+c.within:
					found = true
				case c.within > 0 && at >= event:
				default:
					other++
				}
			}
			if c.within > 0 && !found || other > c.other {
				t.Errorf("%s, size %d: alarms at %v, want one within %d points of %d and at most %d before", c.name, size, alarms(verdicts), c.within, event, c.other)
			}
		}
	}
}

// An event is told once or a few times, not at each of its points.
func TestAnEventIsToldOnce(t *testing.T) {
	for _, size := range sizes {
		verdicts := judge(New(size), made(3000, func(i int) float64 {
			if i >= 2500 && i < 2600 {
				return 90 + float64(i%7)
			}
			return 20 + float64(i%7)
		}))
		if n := len(alarms(verdicts[2500:2600])); n < 1 || n > 3 {
			t.Errorf("size %d: %d alarms in one event of 100 points", size, n)
		}
	}
}

// Gaps and what is no number are not judged; the sign says which way it went.
func TestWhatIsNotJudged(t *testing.T) {
	for _, size := range sizes {
		d := New(size)
		points := made(1000, func(i int) float64 { return 20 + float64(i%7) })
		judge(d, points)
		last := points[len(points)-1].at
		before, _ := d.MarshalBinary()
		for _, p := range []point{{last, 5000}, {last.Add(-time.Hour), 5000}, {last.Add(time.Minute), math.NaN()}} {
			if v := d.Next(p.at, p.value); v != (Verdict{}) {
				t.Errorf("%v was judged: %+v", p, v)
			}
		}
		if after, _ := d.MarshalBinary(); !slices.Equal(before, after) {
			t.Error("it learnt from what it did not judge")
		}
		// A gap of a month is no alarm by itself.
		if v := d.Next(last.Add(30*24*time.Hour), 23); v.Alarm {
			t.Errorf("a gap is told as an anomaly: %+v", v)
		}
		if v := d.Next(last.Add(30*24*time.Hour+5*time.Minute), -400); !v.Alarm || v.Signed() >= 0 {
			t.Errorf("a fall: %+v", v)
		}
		if v := d.Next(last.Add(30*24*time.Hour+10*time.Minute), math.Inf(1)); v.Signed() <= 0 {
			t.Errorf("a rise: %+v", v)
		}
	}
}

// What is unusually low reaches the knowledge engine with a minus.
func TestASymptomHasASign(t *testing.T) {
	s := Verdict{Score: 0.75, Alarm: true, Low: true}.Symptom("host-1", "node_load1", nil, start)
	if s.Thing != "host-1" || s.Name != "anomaly(node_load1)" || s.Value != -0.75 || !s.At.Equal(start) {
		t.Errorf("%+v", s)
	}
}

// One absurd reading does not make the detector blind to what comes later.
func TestAnAbsurdReadingDoesNotBlind(t *testing.T) {
	for _, size := range sizes {
		verdicts := judge(New(size), made(6000, func(i int) float64 {
			switch {
			case i == 1000:
				return 1e300
			case i >= 5000:
				return 90
			}
			return 20 + float64(i%7)
		}))
		if at := alarms(verdicts); !slices.ContainsFunc(at, func(i int) bool { return i >= 5000 && i < 5005 }) {
			t.Errorf("size %d: alarms at %v, none at 5000", size, at)
		}
	}
}

// Damaged states are refused and leave the detector as it was.
func FuzzUnmarshal(f *testing.F) {
	for _, size := range sizes {
		d := New(size)
		judge(d, wild(3, 500))
		state, _ := d.MarshalBinary()
		f.Add(state)
		f.Add(state[:len(state)/2])
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		d := New(Small)
		d.Next(start, 1)
		if d.UnmarshalBinary(state) != nil {
			if d.n != 1 || d.base != 1 {
				t.Fatal("a refused state changed the detector")
			}
			return
		}
		again, err := d.MarshalBinary()
		if err != nil || !slices.Equal(again, state) {
			t.Fatal("an accepted state is written otherwise")
		}
	})
}

func BenchmarkNext(b *testing.B) {
	points := wild(9, 20_000)
	for _, size := range sizes {
		b.Run([]string{"small", "large"}[size], func(b *testing.B) {
			d := New(size)
			i := 0
			for b.Loop() {
				p := points[i%len(points)]
				d.Next(p.at.Add(time.Duration(i/len(points))*10_000*time.Hour), p.value)
				i++
			}
		})
	}
}
