package operations

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// mind is what is known now: the delivered packs, moved by what was learnt.
type mind struct {
	mu    sync.RWMutex
	known *knowledge.Base
	since time.Time            // when the newest reading of the records began
	read  map[record.Key]int64 // their versions then, or older ones

	learning sync.Mutex // held by relearn
}

func (a *App) newMind(ctx context.Context) (*mind, error) {
	m := &mind{}
	switch p, err := a.takenPack(ctx); {
	case err != nil:
		a.log.Error("the pack that a centre delivered cannot be read; what came with the program is used", "err", err)
	case p != nil:
		a.taken.Store(p)
	}
	return m, a.relearn(ctx, m)
}

func (m *mind) base() *knowledge.Base {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.known
}

// reviewed counts in a record that changed, once however many change together:
// the program delivers some hundred at its start.
func (a *App) reviewed(ctx context.Context, h *loop.Handle, key record.Key) error {
	rec, there, err := h.Read(ctx, key)
	if err != nil {
		return err
	}
	a.mind.mu.RLock()
	known := a.mind.read[key]
	a.mind.mu.RUnlock()
	if there && rec.Version <= known {
		return nil
	}
	return a.relearn(ctx, a.mind)
}

// relearn counts in the cases that people reviewed, and, of incidents whose case
// nobody reviewed yet, which remedies worked: that was proven without them. What
// was written before it was called is counted in when it returns.
func (a *App) relearn(ctx context.Context, m *mind) error {
	asked := a.clock.Now()
	m.learning.Lock()
	defer m.learning.Unlock()
	m.mu.RLock()
	done := m.since.After(asked)
	m.mu.RUnlock()
	if done { // by one that began while this waited
		return nil
	}
	began, read := a.clock.Now(), map[record.Key]int64{}
	for _, kind := range []string{engine.CaseKind, engine.FailureModeKind} {
		if err := each(ctx, a.kernel, a.system, search.Query{Kind: kind}, func(r record.Record) error {
			read[r.Key] = r.Version
			return nil
		}); err != nil {
			return err
		}
	}
	var cases, live []knowledge.Case
	reviewed := map[string]bool{}
	err := each(ctx, a.kernel, a.system, search.Query{Kind: engine.CaseKind}, func(r record.Record) error {
		c, err := knowledge.CaseOf(r)
		if err != nil {
			return nil // a person wrote it so: it is shown on its page, and teaches nothing
		}
		reviewed[c.Incident] = reviewed[c.Incident] || r.State != engine.Proposed
		if r.State == engine.Live {
			cases, live = append(cases, c), append(live, c)
		}
		if r.State == engine.Proposed && len(c.Tried) > 0 {
			cases = append(cases, knowledge.Case{Mode: c.Mode, Class: c.Class, Tried: c.Tried})
		}
		return nil
	})
	if err != nil {
		return err
	}
	p, original, err := a.original(ctx)
	if err != nil {
		return err
	}
	if len(live) > 0 {
		if taught, err := knowledge.New(p.Taught(live)); err == nil {
			original = taught
		} else {
			a.log.Warn("what cases teach does not fit the rest", "err", err)
		}
	}
	better, _ := original.Learn(cases)
	m.mu.Lock()
	m.known, m.since, m.read = better, began, read
	m.mu.Unlock()
	if a.senses != nil {
		a.senses.know(better)
	}
	return nil
}

// symptoms are all that is known now of the things: every term of the knowledge
// asked of the series store, and what the senses keep.
func (a *App) symptoms(ctx context.Context, topo *engine.Topology, ids []string, now time.Time, answers bool) ([]engine.Symptom, error) {
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	out := a.senses.present(wanted, now, answers)
	calm, mended, since := a.senses.apart(ids, now)
	b := a.mind.base()
	for _, ask := range append(b.Asks(topo, 0, calm...), b.Asks(topo, max(now.Sub(since), time.Second), mended...)...) {
		res, err := a.series.Query(ctx, ask.Query, now)
		if err != nil {
			return nil, errs.Wrap("ask", ask.Query, err)
		}
		for _, p := range res.Series {
			if len(p.Points) == 0 {
				continue
			}
			labels := map[string]string{}
			for k, v := range p.Labels {
				if k != "thing" && k != "__name__" {
					labels[k] = v
				}
			}
			out = append(out, engine.Symptom{
				Thing: p.Labels["thing"], Source: engine.FromMetric, Name: ask.Name, Value: p.Points[0].Value, Labels: labels, At: now,
			})
		}
	}
	return out, nil
}

// matcher is a PromQL matcher for some things.
func matcher(ids []string) string {
	quoted := make([]string, len(ids))
	for i, id := range ids {
		quoted[i] = regexp.QuoteMeta(id)
	}
	return `thing=~` + strconv.Quote(strings.Join(quoted, "|"))
}

// selector finds the metric in a term, which has one: at its beginning or behind
// a bracket, with what follows it.
var selector = regexp.MustCompile(`(^|\()([a-zA-Z_:][a-zA-Z0-9_:]*)(\{|\[|,|\)|$)`)

// restrict puts a matcher into the selector of a term.
func restrict(term, only string) string {
	at := selector.FindStringSubmatchIndex(term)
	if at == nil {
		return term
	}
	end := at[5] // behind the name of the metric
	if end < len(term) && term[end] == '{' {
		return term[:end+1] + only + "," + term[end+1:]
	}
	return term[:end] + "{" + only + "}" + term[end:]
}

// thought is one look: what shows, what it means.
type thought struct {
	now      time.Time
	topo     *engine.Topology
	ids      []string
	symptoms []engine.Symptom
	seen     []knowledge.Seen
	verdict  engine.Verdict
}

// maxAround is how many things are reasoned about at once.
const maxAround = 300

// think looks at things and what bears on them, and reasons.
func (a *App) think(ctx context.Context, topo *engine.Topology, ids []string) (thought, error) {
	now := a.clock.Now()
	t := thought{now: now, topo: topo, ids: around(topo, ids, maxAround)}
	var err error
	if t.symptoms, err = a.symptoms(ctx, topo, t.ids, now, true); err != nil {
		return t, err
	}
	b := a.mind.base()
	t.seen = b.Seen(topo, t.symptoms)
	t.verdict = b.Infer(topo, t.symptoms, ids...)
	return t, nil
}

// shows tells whether a sign shows on a thing.
func (t *thought) shows(thing, sign string) bool {
	return slices.ContainsFunc(t.seen, func(s knowledge.Seen) bool { return s.Thing == thing && s.Sign == sign })
}

// evidence are the signs that show on some things, with what draws their charts.
func (a *App) evidence(t *thought, things map[string]bool) (out []engine.Evidence) {
	for _, s := range t.seen {
		if !things[s.Thing] || len(out) == maxEvidence {
			continue
		}
		e := engine.Evidence{Thing: s.Thing, Sign: s.Sign, Title: s.Title, Since: ms(s.Since)}
		if s.Since.IsZero() {
			e.Since = ms(t.now)
		}
		if len(s.Symptoms) > 0 {
			y := t.symptoms[s.Symptoms[0]]
			e.Labels, e.Value, e.Text = y.Labels, finite(y.Value), cut(y.Text, 500)
			if y.Source == engine.FromMetric {
				e.Query = a.mind.query(y)
			}
		}
		out = append(out, e)
	}
	for _, y := range t.symptoms { // what detectors and models find, which is no sign by itself
		metric, found := strings.CutPrefix(y.Name, "anomaly(")
		if !found || !things[y.Thing] || math.Abs(y.Value) < unusual || len(out) == maxEvidence {
			continue
		}
		metric = strings.TrimSuffix(metric, ")")
		title := kind.T(metric, metric)
		if m, known := engine.MetricNamed(metric); known {
			title = m.Title
		}
		out = append(out, engine.Evidence{
			Thing: y.Thing, Sign: y.Name, Title: kind.T("异常："+title.ZH, "Unusual: "+title.EN), Since: ms(t.now),
			Labels: y.Labels, Value: finite(y.Value), Text: cut(y.Text, 500), Query: a.mind.query(y),
		})
	}
	return out
}

// unusual is from what score on a finding is shown as evidence.
const unusual = 0.8

// query is the PromQL of a metric symptom, for the thing it was seen on.
func (m *mind) query(y engine.Symptom) string {
	only := []string{`thing=` + strconv.Quote(y.Thing)}
	for _, k := range sortedKeys(y.Labels) {
		if k != "instance" && k != "job" {
			only = append(only, k+"="+strconv.Quote(y.Labels[k]))
		}
	}
	term := y.Name
	if metric, ok := strings.CutPrefix(term, "anomaly("); ok {
		if term = strings.TrimSuffix(metric, ")"); strings.HasSuffix(term, "_total") {
			term = fmt.Sprintf("rate(%s[5m])", term)
		}
	}
	return restrict(term, strings.Join(only, ","))
}

func quote(s string) string { return strconv.Quote(s) }

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

const maxEvidence = 40

// finite is v, and nought where JSON has no word for it.
func finite(v float64) float64 {
	if v != v || v > 1e300 || v < -1e300 {
		return 0
	}
	return v
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
