package logs

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
)

// What is unusual about a template.
const (
	Novel  = "novel"  // it was not seen before
	Burst  = "burst"  // it comes far more often than it did
	Silent = "silent" // it came regularly and comes no more
	Mute   = "mute"   // no message at all comes any more
)

// Finding is something unusual in a stream of messages.
type Finding struct {
	What     string // Novel, Burst, Silent or Mute
	Template Template
	At       time.Time // when it was found, in the time of the messages
	Since    time.Time // when it began
	Count    uint64    // messages in the period that was judged; Silent and Mute: periods without one
	Usual    float64   // messages usual in a period
	Score    float64   // of a Burst: standard deviations above the usual
	Severity engine.Severity
	Say      errs.Text
}

// Symptom is the finding as the knowledge engine takes it: its name is the kind
// of finding, its text the template.
func (f *Finding) Symptom(thing string) engine.Symptom {
	return engine.Symptom{
		Thing: thing, Source: engine.FromLog, Name: "log-" + f.What, Value: f.Score, Since: f.Since, At: f.At,
		Labels:   map[string]string{"template": strconv.FormatUint(uint64(f.Template.ID), 10)},
		Severity: f.Severity, Text: f.Template.Text,
	}
}

// The constants of a Watch.
const (
	// Period is what messages are counted by.
	Period = time.Minute

	learning   = 60   // periods with messages before anything is found
	learnLines = 500  // and messages
	memory     = 120  // periods that the usual is remembered for
	burstScore = 6.0  // deviations that make a burst; a Poisson count passes six once in 10⁹
	burstEnd   = 3.0  // and below which it is over
	burstLeast = 10   // messages in the period
	regular    = 0.9  // share of periods with a message that makes a template regular
	impossible = 1e-6 // chance of the silence, were all well
	muteAfter  = 10   // periods
	novelties  = 20   // told in one period, those that are Major or worse aside
	jump       = 240  // a gap of more periods is none of the log's: the host was off
)

// Watch learns templates and how often each comes, and finds what is unusual. It
// takes messages with their times, about in order. It is for one goroutine at a
// time.
//
// Counts are judged by the square root, which makes the deviation of a Poisson
// count the same at any rate (Anscombe 1948): 2√(c+3/8) has deviation 1. Where
// counts are wilder than Poisson's, their own deviation is taken.
type Watch struct {
	*Miner
	rates   map[ID]*rate
	period  int64 // the one that is being counted, in Periods since 1970; 0 before the first message
	learnt  int   // periods with messages
	any     uint64
	still   int64 // periods without a message
	told    int   // novelties in this period
	untold  uint64
	pending []Finding
}

// rate is how often one template comes.
type rate struct {
	Now    uint64  `json:"now"`              // in the current period
	N      int     `json:"n"`                // periods learnt from, up to memory
	Mean   float64 `json:"mean"`             // of 2√(c+3/8)
	Var    float64 `json:"var"`              // of the same
	Share  float64 `json:"share"`            // of periods with a message
	Gap    int64   `json:"gap,omitempty"`    // periods without, the last ones
	Burst  bool    `json:"burst,omitempty"`  // told and not over
	Silent bool    `json:"silent,omitempty"` // told and not over
}

// NewWatch makes a Watch over a Miner, new or restored.
func NewWatch(m *Miner) *Watch { return &Watch{Miner: m, rates: map[ID]*rate{}} }

// Untold is how many new templates were not told since more than twenty came
// within a minute.
func (w *Watch) Untold() uint64 { return w.untold }

// Read takes a message and gives the ID of its template and what was found by now.
func (w *Watch) Read(at time.Time, message string) (ID, []Finding) {
	w.pending = nil
	w.advance(at)
	id, created := w.Add(message)
	r := w.rates[id]
	if r == nil {
		r = &rate{}
		w.rates[id] = r
	}
	r.Now++
	w.any++
	if created && w.ready() {
		w.novel(at, id, message)
	}
	return id, w.pending
}

// Tick says that it is at now, and gives what was found by that: what does not
// come is found only if somebody looks.
func (w *Watch) Tick(at time.Time) []Finding {
	w.pending = nil
	w.advance(at)
	return w.pending
}

func (w *Watch) ready() bool { return w.learnt >= learning && w.clock >= learnLines }

func (w *Watch) novel(at time.Time, id ID, message string) {
	severity := Wording(message)
	if severity == "" {
		severity = engine.Warning
	}
	if w.told++; w.told > novelties && severity.Rank() < engine.Major.Rank() {
		w.untold++
		return
	}
	t, _ := w.Template(id)
	w.pending = append(w.pending, Finding{
		What: Novel, Template: t, At: at, Since: at, Count: 1, Severity: severity,
		Say: errs.Text{ZH: "出现从未见过的日志：" + message, EN: "A message never seen before: " + message},
	})
}

// advance closes the periods that are over at the time at.
func (w *Watch) advance(at time.Time) {
	now := at.Unix() / int64(Period/time.Second)
	switch {
	case w.period == 0:
		w.period = now
	case now-w.period > jump:
		w.settle()
		w.period = now
		for _, r := range w.rates {
			r.Gap = 0
		}
	}
	for w.period < now {
		w.settle()
		w.close(time.Unix((w.period+1)*int64(Period/time.Second), 0).UTC())
		w.period++
	}
}

// settle moves the rates of templates that were found to be others.
func (w *Watch) settle() {
	for id, r := range w.rates {
		to := w.Resolve(id)
		if _, known := w.Template(to); !known {
			delete(w.rates, id)
			continue
		}
		if to == id {
			continue
		}
		delete(w.rates, id)
		if o := w.rates[to]; o != nil {
			r.join(o)
		}
		w.rates[to] = r
	}
}

// join adds what o counted of the same template.
func (r *rate) join(o *rate) {
	r.Now += o.Now
	r.Mean = 2 * math.Sqrt(usual(r.Mean)+usual(o.Mean)+0.375)
	r.Var, r.Share, r.N, r.Gap = max(r.Var, o.Var), max(r.Share, o.Share), max(r.N, o.N), min(r.Gap, o.Gap)
	r.Burst, r.Silent = r.Burst || o.Burst, false
}

// usual is the count whose root is mean.
func usual(mean float64) float64 { return max(0, mean*mean/4-0.375) }

// close judges the period that ends at end.
func (w *Watch) close(end time.Time) {
	w.told = 0
	if w.any == 0 {
		w.still++
		if w.still == muteAfter && w.ready() {
			w.pending = append(w.pending, Finding{
				What: Mute, At: end, Since: end.Add(-muteAfter * Period), Count: muteAfter, Severity: engine.Major,
				Say: errs.Text{
					ZH: "10 分钟没有任何日志，请检查日志采集与被管对象。",
					EN: "No message at all for ten minutes: check the collection of logs and the thing itself.",
				},
			})
		}
		return // what is not read says nothing of single templates
	}
	w.any, w.still = 0, 0
	w.learnt++
	ids := make([]ID, 0, len(w.rates))
	for id := range w.rates {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		w.judge(id, w.rates[id], end)
	}
}

// judge compares a template's count in the period that ends at end with the usual.
func (w *Watch) judge(id ID, r *rate, end time.Time) {
	count := r.Now
	r.Now = 0
	y := 2 * math.Sqrt(float64(count)+0.375)
	sigma := math.Sqrt(max(1, r.Var))
	score := (y - r.Mean) / sigma
	t, _ := w.Template(id)
	if r.N >= learning/2 {
		switch {
		case !r.Burst && score >= burstScore && count >= burstLeast:
			r.Burst = true
			severity := Wording(t.Text)
			if !severity.Calls() {
				severity = engine.Minor
			}
			w.pending = append(w.pending, Finding{
				What: Burst, Template: t, At: end, Since: end.Add(-Period), Count: count, Usual: usual(r.Mean), Score: score, Severity: severity,
				Say: errs.Text{
					ZH: fmt.Sprintf("一分钟内出现 %d 次，平时约 %.1f 次：%s", count, usual(r.Mean), t.Text),
					EN: fmt.Sprintf("%d times in a minute, usually about %.1f: %s", count, usual(r.Mean), t.Text),
				},
			})
		case r.Burst && score < burstEnd:
			r.Burst = false
		}
	}
	if count > 0 {
		r.Gap, r.Silent = 0, false
	} else {
		r.Gap++
		long := math.Ceil(math.Log(impossible) / math.Log(1-min(r.Share, 0.99)))
		if r.N >= learning/2 && !r.Silent && r.Share >= regular && float64(r.Gap) >= max(5, long) {
			r.Silent = true
			w.pending = append(w.pending, Finding{
				What: Silent, Template: t, At: end, Since: end.Add(-time.Duration(r.Gap) * Period), Count: uint64(r.Gap), Usual: usual(r.Mean), Severity: engine.Minor,
				Say: errs.Text{
					ZH: fmt.Sprintf("已有 %d 分钟不再出现，平时每分钟约 %.1f 次：%s", r.Gap, usual(r.Mean), t.Text),
					EN: fmt.Sprintf("Not seen for %d minutes, usually about %.1f a minute: %s", r.Gap, usual(r.Mean), t.Text),
				},
			})
		}
	}
	if r.Gap > 0 && r.Share >= regular && r.N >= learning/2 && !r.Silent {
		return // it is not known yet whether this is an absence or the new usual
	}
	r.learn(count, y, sigma)
}

// learn takes a period's count into the usual. A burst counts no more than three
// deviations, so that it moves the usual slowly if it stays.
func (r *rate) learn(count uint64, y, sigma float64) {
	if r.N > 0 {
		y = min(y, r.Mean+3*sigma)
	}
	r.N = min(r.N+1, memory)
	a := 1 / float64(r.N)
	d := y - r.Mean
	r.Mean += a * d
	r.Var = (1 - a) * (r.Var + a*d*d)
	present := 0.0
	if count > 0 {
		present = 1
	}
	r.Share += a * (present - r.Share)
}
