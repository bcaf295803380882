package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/drive/remotewrite"
	"zhiwei/engine"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/series"
)

// desks are ten services that another program measures: their processor and their
// time to answer follow their visits, but for those that are upset.
type desks struct {
	*testing.T
	queue *remotewrite.Queue

	mu    sync.Mutex
	rng   *rand.Rand
	slow  []float64
	down  map[int]bool // does not answer, and its processor goes against its visits
	upset map[int]bool // has visits as never before
}

const deskCount = 10

func desk(i int) string { return fmt.Sprintf("desk-%d", i) }

// measure pushes the rows after from until an instant, one a second.
func (d *desks) measure(from, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []series.Sample
	for at := from.Truncate(time.Second).Add(time.Second); !at.After(until); at = at.Add(time.Second) {
		for i := range deskCount {
			d.slow[i] = 0.9*d.slow[i] + 3*d.rng.NormFloat64()
			visits := 60 + 50*math.Sin(float64(at.Unix()%200)/200*2*math.Pi) + d.slow[i] + 2*d.rng.NormFloat64() + 3*float64(i)
			load, wait, up := 10+0.6*visits+d.rng.NormFloat64(), 40+0.01*visits*visits+2*d.rng.NormFloat64(), 1.0
			if d.down[i] {
				load, wait, up = 76-0.6*visits, 40+0.01*(120-visits)*(120-visits), 0 // each as ever, and not together
			}
			if d.upset[i] {
				visits = 900
			}
			for name, v := range map[string]float64{"desk_visits": visits, "desk_load": load, "desk_wait": wait} {
				out = append(out, series.Sample{Name: name, Labels: map[string]string{"thing": desk(i)}, At: at, Value: v})
			}
			out = append(out, series.Sample{Name: "probe_success", Labels: map[string]string{"thing": desk(i), "check": "desk"}, At: at, Value: up})
		}
	}
	if _, err := d.queue.Append(context.Background(), out); err != nil {
		d.Error(err)
	}
}

func (d *desks) change(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// newDesks begins to measure, ten minutes ago, and goes on until the test ends.
func newDesks(t *testing.T, p *program) *desks {
	t.Helper()
	d := &desks{T: t, rng: rand.New(rand.NewPCG(5, 5)), slow: make([]float64, deskCount), down: map[int]bool{}, upset: map[int]bool{}}
	var err error
	if d.queue, err = remotewrite.Open(t.TempDir(), 0, clock.System()); err != nil {
		t.Fatal(err)
	}
	s := &remotewrite.Sender{Queue: d.queue, URL: p.url + "/api/v1/write", Authorization: "Bearer " + newToken(t, p.dir, "--name", "desks", "--scope", "system/series.c"), Clock: clock.System(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	last := time.Now()
	d.measure(last.Add(-10*time.Minute), last)
	wait.Go(func() { s.Run(ctx) })
	wait.Go(func() {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case now := <-tick.C:
				d.measure(last, now)
				last = now
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		wait.Wait()
		if err := d.queue.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

type dataset struct {
	Version int
	Rows    int
	Digest  string
	Content string
	Message string
	Lineage []string
	Labels  []engine.DatasetLabel
	Quality map[string]string
}

// frozen orders a data set of all desks and waits until it is fixed.
func (p *program) frozen(id string, version int, former string, from time.Time) dataset {
	p.Helper()
	columns := []map[string]string{}
	for name, expr := range map[string]string{"http_requests_total": "desk_visits", "load": "desk_load", "wait": "desk_wait"} {
		columns = append(columns, map[string]string{"name": "*|" + name, "expr": expr, "min": "-1000", "max": "100000"})
	}
	slices.SortFunc(columns, func(a, b map[string]string) int { return strings.Compare(a["name"], b["name"]) })
	data := map[string]any{"name": "窗口负载", "version": version, "columns": columns, "from": from.UTC(), "until": time.Now().UTC().Add(time.Second), "step": "1s", "purpose": "看窗口是否异常"}
	if former != "" {
		data["former"] = "data-set/" + former
	}
	send[any](p, "POST", "/api/data-sets", map[string]any{"id": id, "data": data})
	p.say("data-sets/"+id, engine.Finish, nil)
	var got kept[dataset]
	p.until("data set "+id, time.Minute, func() bool {
		got = read[dataset](p, "/api/data-sets/"+id)
		return got.State == engine.Frozen
	})
	return got.Data
}

// Proves A06, A10: measurements that come in are cut to a data set that is frozen
// with a digest, labelled by an incident of its time, with what it is made of and
// how good it is; a new version takes its place; a model ordered on it learns,
// proves itself on rows it never saw and on live ones, becomes champion by itself,
// and what it finds is told and calls nobody.
func TestADataSetTeachesAModel(t *testing.T) {
	t.Parallel()
	p := startProgram(t, goalPace)
	p.allow(engine.LevelObserve)
	begin := time.Now()
	for i := range deskCount {
		p.thing(desk(i), engine.Thing{Name: "窗口 " + fmt.Sprint(i), Class: engine.ClassApplication})
	}
	d := newDesks(t, p)
	about := func(thing string, states ...string) *kept[engine.Trouble] {
		for _, i := range list[engine.Trouble](p, "incidents") {
			if i.Data.About == engine.ThingKind+"/"+thing && slices.Contains(states, i.State) {
				return &i
			}
		}
		return nil
	}
	open := []string{engine.Open, engine.Escalated, engine.Acknowledged}
	d.change(func() { d.down[3] = true })
	p.until("an incident of desk 3", 2*time.Minute, func() bool { return about(desk(3), open...) != nil })
	p.until("twenty rows of it", time.Minute, func() bool { // enough to be judged by
		code, raw := p.asked("GET", "/api/v1/query?query="+url.QueryEscape(`sum_over_time((probe_success{thing="desk-3"} < bool 0.5)[2m:1s]) >= 20`), nil)
		return code == http.StatusOK && strings.Contains(string(raw), "desk-3")
	})
	d.change(func() { delete(d.down, 3) })
	var over *kept[engine.Trouble]
	p.until("its end", 2*time.Minute, func() bool { over = about(desk(3), engine.Recovered, engine.Resolved); return over != nil })

	// The data set: labelled by the incident, with lineage, digest and quality.
	from := begin.Add(-9 * time.Minute)
	first := p.frozen("desks-1", 1, "", from)
	l := slices.IndexFunc(first.Labels, func(l engine.DatasetLabel) bool { return l.Source == engine.IncidentKind+"/"+over.ID })
	if l < 0 || first.Labels[l].Thing != desk(3) || first.Labels[l].By != engine.ByIncident || !slices.Contains(first.Lineage, engine.IncidentKind+"/"+over.ID) ||
		!slices.Contains(first.Lineage, "desk-3|load = desk_load") || first.Rows < 500 || len(first.Digest) != 64 || first.Content == "" || first.Quality["score"] < "0.9" {
		t.Fatalf("%+v", first)
	}
	second := p.frozen("desks-2", 2, "desks-1", from)
	if second.Digest == first.Digest || second.Rows <= first.Rows || !slices.Contains(second.Lineage, "data-set/desks-1") {
		t.Errorf("%+v", second)
	}
	p.until("that version 1 is outdated", 10*time.Second, func() bool { return read[dataset](p, "/api/data-sets/desks-1").State == engine.Outdated })
	if code, raw := p.asked("PUT", "/api/data-sets/desks-2", map[string]any{"data": map[string]any{"name": "anders"}}); code < 400 {
		t.Errorf("what is frozen was changed: %s", raw)
	}

	// The model.
	send[any](p, "POST", "/api/models", map[string]any{"id": "desks", "data": engine.ModelOrder{
		Name: "窗口负载 1", Task: "desk load", Purpose: engine.ForAnomaly, Algorithm: engine.ByClusters, Data: "data-set/desks-2",
		Shadow: "12s", Soak: "12s", Grey: []int{50}, Settings: engine.ModelSettings{Seed: 1, Members: 12},
	}})
	type model struct {
		Why, Message  string
		Metrics, Live *engine.ModelMetrics
		Lineage       []string
	}
	var m kept[model]
	p.until("a champion", 4*time.Minute, func() bool {
		m = read[model](p, "/api/models/desks")
		if slices.Contains([]string{engine.Rejected, engine.Failed, engine.ModelRolledBack}, m.State) {
			t.Fatalf("%s: %+v", m.State, m.Data)
		}
		return m.State == engine.ModelChampion
	})
	if m.Data.Metrics.Merit <= m.Data.Metrics.Baseline || m.Data.Live.Merit < m.Data.Live.Baseline || len(m.Data.Lineage) != 1 || !strings.Contains(m.Data.Lineage[0], "desks-2 version 2") {
		t.Errorf("%+v", m.Data)
	}
	t.Logf("held out %.3f (trivial %.3f), live %.3f (trivial %.3f)", m.Data.Metrics.Merit, m.Data.Metrics.Baseline, m.Data.Live.Merit, m.Data.Live.Baseline)

	// What it finds is told, and calls nobody by itself.
	d.change(func() { d.upset[7] = true })
	p.until("its finding", time.Minute, func() bool {
		at := read[struct{ Threshold string }](p, "/api/models/desks").Data.Threshold
		code, raw := p.asked("GET", "/api/v1/query?query="+url.QueryEscape(`model_score{model="desks",thing="desk-7"} > `+at), nil)
		return code == http.StatusOK && strings.Contains(string(raw), "desk-7")
	})
	if i := about(desk(7), open...); i != nil {
		t.Errorf("%+v", i)
	}

	// In an incident of its thing it stands among the evidence.
	d.change(func() { d.down[7] = true })
	p.until("its finding among the evidence of the incident", 2*time.Minute, func() bool {
		i := about(desk(7), open...)
		return i != nil && slices.ContainsFunc(i.Data.Evidence, func(e engine.Evidence) bool {
			return strings.HasPrefix(e.Sign, "anomaly(") && strings.Contains(e.Text, "desk load") && e.Query != ""
		})
	})
}
