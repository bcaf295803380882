package operations

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/data"
	"zhiwei/engine/intelligence/detect"
	"zhiwei/engine/intelligence/logs"
	"zhiwei/engine/intelligence/predict"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/series"
)

// Bounds of what is kept in memory.
const (
	// maxDetectors is how many series are watched for the unusual, maxLarge how many
	// of them closely: 1 KB and 50 KB each (engine/intelligence/detect).
	maxDetectors = 50_000
	maxLarge     = 1_000
	// unusualFor is how long a detector's judgement counts as present.
	unusualFor = 3 * time.Minute
	// saidFor is how long a log line counts as present, and maxSaid how many a
	// thing are kept.
	saidFor = 5 * time.Minute
	maxSaid = 40
	// maxCallers is of how many things lines are taken in from outside: of the
	// others only those that a sign knows are heard.
	maxCallers = 20_000
)

// senses keep what cannot be asked of the series store: what detectors find
// unusual, what logs say.
type senses struct {
	models  func(now time.Time) []engine.Symptom // what trained models find unusual
	clock   clock.Clock
	pool    *detect.Pool
	unusual map[string]bool             // metrics that the knowledge asks about
	signs   atomic.Pointer[logs.Screen] // lines that tell of something

	mu      sync.Mutex
	felt    map[string]engine.Symptom   // by series: newest judgement that stood out
	last    map[string]counted          // by series: of counters, to feel their rate
	said    map[string][]engine.Symptom // by thing, newest last
	tails   map[string]*tail            // by thing: its files
	callers map[string]*tail            // by thing: what it or others send of it
	answers map[signOf]asked            // to checks
	mends   map[string]time.Time        // things that were, or stand on what was, put right then
	lines   int64
	memory  predict.MemoryLog                  // errors that machines’ memory still corrects
	marks   map[string]map[string]data.LogMark // by thing and file: how far it was read
	news    bool                               // something was heard that is not kept yet
	unkept  bool                               // of keepHeard

	common sync.Mutex  // held where miner is used: the mu of every caller
	miner  *logs.Miner // of all callers: thousands of devices say much the same
}

type counted struct {
	at    time.Time
	value float64
}

// tail is what follows the logs of one thing.
type tail struct {
	files string
	stop  context.CancelFunc
	mu    *sync.Mutex
	watch *logs.Watch
	// What the log said for the first time lately: what a case is learnt from.
	fresh  []fresh
	newest logs.ID
}

func newSenses(b *knowledge.Base, models func(time.Time) []engine.Symptom, clk clock.Clock) *senses {
	s := &senses{
		models: models, clock: clk, pool: detect.NewPool(maxDetectors, maxLarge), unusual: map[string]bool{},
		felt: map[string]engine.Symptom{}, last: map[string]counted{}, said: map[string][]engine.Symptom{}, tails: map[string]*tail{}, callers: map[string]*tail{}, marks: map[string]map[string]data.LogMark{}, miner: logs.New(0), answers: map[signOf]asked{}, mends: map[string]time.Time{},
	}
	for _, term := range b.Terms() {
		if metric, ok := strings.CutPrefix(term, "anomaly("); ok {
			s.unusual[strings.TrimSuffix(metric, ")")] = true
		}
	}
	s.know(b)
	return s
}

// know takes over which log lines tell of something. The metrics that detectors
// judge are those of the start: cases teach none.
func (s *senses) know(b *knowledge.Base) {
	var list []*regexp.Regexp
	for _, sign := range b.Signs() {
		for _, l := range sign.Log {
			if re, err := regexp.Compile(l); err == nil { // packs were checked when they were read
				list = append(list, re)
			}
		}
	}
	s.signs.Store(logs.NewScreen(list))
}

// feel judges samples of the metrics that somebody asks about.
func (s *senses) feel(samples []series.Sample) {
	for _, m := range samples {
		thing := m.Labels["thing"]
		if thing == "" || !s.unusual[m.Name] {
			continue
		}
		key := identify(m)
		value, ok := m.Value, true
		if strings.HasSuffix(m.Name, "_total") || m.Type == series.Counter {
			value, ok = s.rate(key, m)
		}
		if !ok {
			continue
		}
		v, err := s.pool.Next(key, 1, m.At, value)
		if err != nil {
			continue // full: counted by the pool
		}
		s.mu.Lock()
		switch {
		case v.Alarm:
			labels := map[string]string{}
			for k, val := range m.Labels {
				if k != "thing" {
					labels[k] = val
				}
			}
			s.felt[key] = v.Symptom(thing, m.Name, labels, m.At)
		case !s.felt[key].At.IsZero() && m.At.Sub(s.felt[key].At) > unusualFor:
			delete(s.felt, key)
		}
		s.mu.Unlock()
	}
}

// rate is how fast a counter rises; ok is false at its first sample and where it
// began anew.
func (s *senses) rate(key string, m series.Sample) (value float64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, there := s.last[key]
	s.last[key] = counted{m.At, m.Value}
	took := m.At.Sub(before.at).Seconds()
	if !there || took <= 0 || m.Value < before.value {
		return 0, false
	}
	return (m.Value - before.value) / took, true
}

func identify(m series.Sample) string {
	names := make([]string, 0, len(m.Labels))
	for n := range m.Labels {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(m.Name)
	for _, n := range names {
		b.WriteByte(0)
		b.WriteString(n)
		b.WriteByte(1)
		b.WriteString(m.Labels[n])
	}
	return b.String()
}

// hear takes in one log line of a thing.
func (s *senses) hear(thing string, at time.Time, text string) {
	tells, found := s.listen(at, text, s.caller(thing))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take(thing, at, text, tells, found)
}

// hearFile takes in one line of a log file of a thing, at the time when it was
// written: what was said while nobody listened is not said now.
func (s *senses) hearFile(thing, path string, l data.LogLine, w *tail) {
	tells, found := s.listen(l.Written, l.Text, w)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take(thing, l.Written, l.Text, tells, found)
	s.reached(thing, path, l.Next)
}

// listen tells whether a line is one of those that signs look for, and what is
// unusual about it.
func (s *senses) listen(at time.Time, text string, w *tail) (tells bool, found []logs.Finding) {
	if w != nil {
		w.mu.Lock()
		var id logs.ID
		id, found = w.watch.Read(at, text)
		w.notice(at, id)
		w.mu.Unlock()
	}
	return s.signs.Load().Any(text), found
}

// take keeps what a line tells. s.mu is held.
func (s *senses) take(thing string, at time.Time, text string, tells bool, found []logs.Finding) {
	s.lines++
	if s.memory.Read(thing, at, text) {
		s.news = true
	}
	if tells {
		s.say(engine.Symptom{Thing: thing, Source: engine.FromLog, Text: text, Since: at, At: at})
	}
	for i := range found {
		s.say(found[i].Symptom(thing))
	}
}

// caller is what watches the lines that come in of a thing; nil where there are
// too many things.
func (s *senses) caller(thing string) *tail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calling(thing)
}

// calling makes a caller of a thing, where it is none. s.mu is held.
func (s *senses) calling(thing string) *tail {
	w := s.callers[thing]
	if w == nil && len(s.callers) < maxCallers {
		w = &tail{mu: &s.common, watch: logs.NewWatch(s.miner)}
		s.callers[thing] = w
		s.news = true
	}
	return w
}

// say keeps a symptom of a log, once for each text.
func (s *senses) say(y engine.Symptom) {
	list := s.said[y.Thing]
	if i := slices.IndexFunc(list, func(o engine.Symptom) bool { return o.Name == y.Name && o.Text == y.Text }); i >= 0 {
		if list[i].Absent == y.Absent {
			y.Since = list[i].Since
		}
		list = slices.Delete(list, i, i+1)
	}
	list = append(list, y)
	s.said[y.Thing] = list[max(0, len(list)-maxSaid):]
	s.news = true
}

// follow reads the log files that a thing's labels name, or no longer.
func (s *senses) follow(ctx context.Context, wait *sync.WaitGroup, a *App, t engine.Thing) {
	files, err := data.LogFiles(t)
	if err != nil {
		a.log.Warn("the logs of a thing are not followed", "thing", t.Name, "err", err)
	}
	all := strings.Join(files, "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.tails[t.ID]; old != nil {
		if old.files == all {
			return
		}
		old.stop()
		delete(s.tails, t.ID)
	}
	for path := range s.marks[t.ID] { // whoever names a file again begins at its end
		if !slices.Contains(files, path) {
			delete(s.marks[t.ID], path)
			s.news = true
		}
	}
	if all == "" {
		delete(s.marks, t.ID)
		return
	}
	following, stop := context.WithCancel(a.running)
	w := &tail{files: all, stop: stop, mu: &sync.Mutex{}, watch: logs.NewWatch(logs.New(0))}
	s.tails[t.ID] = w
	for _, path := range files {
		wait.Go(func() {
			for failures := 0; ; failures++ {
				err := data.Follow(following, &data.LogFollower{
					Path: path, Clock: a.clock, From: s.mark(t.ID, path),
					Line: func(l data.LogLine) { s.hearFile(t.ID, path, l, w) },
					Begin: func(at data.LogMark) {
						s.mu.Lock()
						defer s.mu.Unlock()
						s.reached(t.ID, path, at)
					},
				}, a.log)
				if err == nil || following.Err() != nil {
					return
				}
				a.log.Warn("a log file is not followed", "file", path, "err", err)
				due, stop := a.clock.After(loop.Backoff(failures))
				select {
				case <-due:
				case <-following.Done():
				}
				stop()
			}
		})
	}
}

// present are the symptoms of the things that are kept here and still count;
// with answers those that checks gave, too: they are evidence, but nobody goes on
// looking for them, so that they make no alert.
func (s *senses) present(ids map[string]bool, now time.Time, answers bool) (out []engine.Symptom) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, y := range s.felt {
		if ids[y.Thing] && now.Sub(y.At) <= unusualFor && y.At.After(s.putRight(y.Thing, now)) {
			out = append(out, y)
		}
	}
	for _, y := range s.models(now) {
		if ids[y.Thing] && y.At.After(s.putRight(y.Thing, now)) {
			out = append(out, y)
		}
	}
	for k, a := range s.answers {
		switch {
		case now.Sub(a.at) > 2*answered:
			delete(s.answers, k)
		case answers && ids[k.thing] && a.symptom != nil && now.Sub(a.at) <= answered:
			out = append(out, *a.symptom)
		}
	}
	for id := range ids {
		list := slices.DeleteFunc(s.said[id], func(y engine.Symptom) bool { return now.Sub(y.At) > saidFor })
		s.said[id] = list
		if len(list) == 0 {
			delete(s.said, id)
		}
		out = append(out, list...)
		if s.tails[id] != nil || s.callers[id] != nil { // its logs are read: what is not there was not said
			out = append(out, engine.Symptom{Thing: id, Source: engine.FromLog, Absent: true, At: now})
		}
	}
	return out
}

// heard are the things whose logs say something now.
func (s *senses) heard() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, list := range s.said {
		if len(list) > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// mended says that a thing was put right: from now on what was seen before, of it
// and of what stands on it, is an echo and no evidence. Rates over minutes and lines
// of logs show a fault of the past for as long, and what is done because of them is
// done to what is well.
func (a *App) mended(topo *engine.Topology, id string, t time.Time) {
	a.senses.mend(touched(topo, id), t)
}

// touched are the things on which a fault of a thing shows.
func touched(topo *engine.Topology, id string) []string {
	ids := []string{id}
	if t, _ := topo.Thing(id); t.Class == engine.ClassPort { // its device tells of it
		for _, l := range topo.Parents(id) {
			if l.Type == engine.MemberOf {
				ids = append(ids, l.Thing)
			}
		}
	}
	if serves(topo, id) {
		for _, r := range topo.Below(id) {
			ids = append(ids, r.Thing)
		}
	}
	return ids
}

func (s *senses) mend(ids []string, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.news = true
	for id := range s.mends {
		if s.putRight(id, s.clock.Now()).IsZero() {
			delete(s.mends, id)
		}
	}
	for k, a := range s.answers {
		if slices.Contains(ids, k.thing) && !a.at.After(t) {
			delete(s.answers, k)
		}
	}
	for _, id := range ids {
		if t.After(s.mends[id]) {
			s.mends[id] = t
		}
		if list := slices.DeleteFunc(s.said[id], func(y engine.Symptom) bool { return !y.At.After(t) }); len(list) == 0 {
			delete(s.said, id)
		} else {
			s.said[id] = list
		}
	}
}

// putRight is when a thing was put right lately; zero where it was not. A time to come
// was written before the clock was set back, and counts no more. s.mu is held.
func (s *senses) putRight(id string, now time.Time) time.Time {
	if at := s.mends[id]; !at.After(now) && now.Sub(at) <= knowledge.MaxEcho {
		return at
	}
	return time.Time{}
}

// apart tells the things whose present may be asked for as far back as signs look
// from those that were put right lately, and when the last of these was.
func (s *senses) apart(ids []string, now time.Time) (calm, mended []string, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		at := s.putRight(id, now)
		if at.IsZero() {
			calm = append(calm, id)
			continue
		}
		mended = append(mended, id)
		if at.After(since) {
			since = at
		}
	}
	return calm, mended, since
}

// failing is what the memory of machines foretells.
func (s *senses) failing(now time.Time) []engine.Prediction {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory.Look(now)
}

// heardLines is how many log lines were read.
func (s *senses) heardLines() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines
}
