// Package seriestest is the conformance suite of the series port: what passes
// it may keep the product's measurements. It knows no adapter. Its answers are
// worked out by hand from the PromQL documentation, not taken from an engine.
package seriestest

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Bounds are what a test asks an adapter to hold itself to; zero: its default.
type Bounds struct {
	MaxSeries  int64
	MaxSamples int
	Late       time.Duration
}

// Adapter is what the suite needs of the one it tests.
type Adapter struct {
	// Open gives an empty store.
	Open func(t *testing.T, b Bounds) series.Store
	// Reopen closes s and opens it again over the same data.
	Reopen func(t *testing.T, s series.Store) series.Store
}

// Run tests every sentence of the contract in kernel/series.
func Run(t *testing.T, a Adapter) {
	t.Run("Instant", a.instant)
	t.Run("Range", a.queryRange)
	t.Run("SpecialValues", a.specialValues)
	t.Run("Lists", a.lists)
	t.Run("Refusals", a.refusals)
	t.Run("DropsAreCounted", a.drops)
	t.Run("TooManySeries", a.tooManySeries)
	t.Run("TooManySamples", a.tooManySamples)
	t.Run("LateSamples", a.late)
	t.Run("Twice", a.twice)
	t.Run("Reopen", a.reopen)
	t.Run("Concurrent", a.concurrent)
	t.Run("Closed", a.closed)
}

// t0 is when all tests begin; a whole minute, so steps are easy to read.
var t0 = time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

func sample(name string, d time.Duration, v float64, labels ...string) series.Sample {
	s := series.Sample{Name: name, At: at(d), Value: v, Labels: map[string]string{}}
	for i := 0; i < len(labels); i += 2 {
		s.Labels[labels[i]] = labels[i+1]
	}
	return s
}

func mustAppend(t *testing.T, s series.Store, samples ...series.Sample) {
	t.Helper()
	if dropped, err := s.Append(context.Background(), samples); err != nil || dropped != 0 {
		t.Fatalf("append of %d: %d dropped, %v", len(samples), dropped, err)
	}
}

// text shows a result in one line, labels sorted, for comparison.
func text(r series.Result) string {
	switch r.Type {
	case "scalar":
		return fmt.Sprintf("scalar %v@%d", r.Scalar.Value, (r.Scalar.At-t0.UnixMilli())/1000)
	case "string":
		return "string " + r.Text
	}
	var lines []string
	for _, p := range r.Series {
		var labels []string
		for k, v := range p.Labels {
			labels = append(labels, k+"="+v)
		}
		slices.Sort(labels)
		line := strings.Join(labels, ",") + ":"
		for _, v := range p.Points {
			line += fmt.Sprintf(" %v@%d", v.Value, (v.At-t0.UnixMilli())/1000)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return r.Type + " " + strings.Join(lines, " | ")
}

func (a Adapter) instant(t *testing.T) {
	s := a.Open(t, Bounds{})
	for i := range 5 {
		d := time.Duration(i) * 15 * time.Second
		mustAppend(t, s,
			sample("jobs_total", d, float64(10*i), "host", "a"),
			sample("jobs_total", d, float64(30*i), "host", "b"),
			sample("room_celsius", d, 20+float64(i), "room", "药库 1"))
	}
	for _, c := range []struct{ expr, want string }{
		{`jobs_total`, `vector __name__=jobs_total,host=a: 40@60 | __name__=jobs_total,host=b: 120@60`},
		{`sum(jobs_total)`, `vector : 160@60`},
		{`round(rate(jobs_total[1m]) * 3)`, `vector host=a: 2@60 | host=b: 6@60`},
		{`room_celsius{room="药库 1"} > 23`, `vector __name__=room_celsius,room=药库 1: 24@60`},
		{`room_celsius > 99`, `vector `},
		{`room_celsius offset 30s`, `vector __name__=room_celsius,room=药库 1: 22@60`},
		{`jobs_total{host="a"}[30s]`, `matrix __name__=jobs_total,host=a: 30@45 40@60`},
		{`1 + 2`, `scalar 3@60`},
		{`"so"`, `string so`},
		{`nothing_here`, `vector `},
	} {
		r, err := s.Query(context.Background(), c.expr, at(time.Minute))
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
		} else if got := text(r); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.expr, got, c.want)
		}
	}
	// A series is looked for 5 minutes back and no further.
	if r, err := s.Query(context.Background(), `room_celsius`, at(7*time.Minute)); err != nil || len(r.Series) != 0 {
		t.Errorf("7 minutes on: %s, %v", text(r), err)
	}
}

func (a Adapter) queryRange(t *testing.T) {
	s := a.Open(t, Bounds{})
	for i := range 4 {
		mustAppend(t, s, sample("load", time.Duration(i)*time.Minute, float64(i), "host", "a"))
	}
	r, err := s.QueryRange(context.Background(), `load * 2`, at(0), at(3*time.Minute), time.Minute)
	if got, want := text(r), `matrix host=a: 0@0 2@60 4@120 6@180`; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	r, err = s.QueryRange(context.Background(), `7`, at(0), at(time.Minute), 30*time.Second)
	if got, want := text(r), `matrix : 7@0 7@30 7@60`; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	r, err = s.QueryRange(context.Background(), `load`, at(-time.Hour), at(-time.Minute), time.Minute)
	if got := text(r); err != nil || got != "matrix " {
		t.Errorf("before anything: %s, %v", got, err)
	}
}

func (a Adapter) specialValues(t *testing.T) {
	s := a.Open(t, Bounds{})
	mustAppend(t, s,
		sample("v", 0, math.NaN(), "is", "nan"), sample("v", 0, math.Inf(1), "is", "inf"),
		sample("v", 0, math.Inf(-1), "is", "-inf"), sample("v", 0, math.SmallestNonzeroFloat64, "is", "tiny"))
	r, err := s.Query(context.Background(), `v`, at(0))
	want := `vector __name__=v,is=-inf: -Inf@0 | __name__=v,is=inf: +Inf@0 | __name__=v,is=nan: NaN@0 | __name__=v,is=tiny: 5e-324@0`
	if got := text(r); err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
	// The stale marker ends a series at once instead of after 5 minutes.
	mustAppend(t, s, sample("gone", 0, 1), sample("gone", time.Second, math.Float64frombits(0x7ff0000000000002)))
	if r, err := s.Query(context.Background(), `gone`, at(2*time.Second)); err != nil || len(r.Series) != 0 {
		t.Errorf("after the stale marker: %s, %v", text(r), err)
	}
}

func (a Adapter) lists(t *testing.T) {
	s := a.Open(t, Bounds{})
	mustAppend(t, s, sample("up", 0, 1, "job", "x", "host", "a"), sample("up", 0, 1, "job", "y"), sample("load", 0, 1, "host", "b"))
	ctx, from, to := context.Background(), at(-time.Minute), at(time.Minute)
	got, err := s.Series(ctx, []string{`up`, `{host="a"}`}, from, to)
	want := []map[string]string{{"__name__": "up", "job": "x", "host": "a"}, {"__name__": "up", "job": "y"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Series: %v, %v", got, err)
	}
	names, err := s.LabelNames(ctx, nil, from, to)
	if want := []string{"__name__", "host", "job"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("LabelNames: %v, %v", names, err)
	}
	names, err = s.LabelNames(ctx, []string{"load"}, from, to)
	if want := []string{"__name__", "host"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("LabelNames of load: %v, %v", names, err)
	}
	values, err := s.LabelValues(ctx, "host", nil, from, to)
	if want := []string{"a", "b"}; err != nil || !slices.Equal(values, want) {
		t.Errorf("LabelValues: %v, %v", values, err)
	}
	values, err = s.LabelValues(ctx, "host", []string{"up", `{job="y"}`}, from, to)
	if want := []string{"a"}; err != nil || !slices.Equal(values, want) {
		t.Errorf("LabelValues of up: %v, %v", values, err)
	}
	if values, err := s.LabelValues(ctx, "nothing", nil, from, to); err != nil || len(values) != 0 {
		t.Errorf("LabelValues of nothing: %v, %v", values, err)
	}
	// The ends of time as protocols write them must not overflow.
	if got, err := s.Series(ctx, []string{"up"}, time.Unix(math.MinInt64/1000+62135596801, 0), time.Unix(math.MaxInt64/1000-62135596801, 0)); err != nil || len(got) != 2 {
		t.Errorf("Series over all time: %v, %v", got, err)
	}
}

func (a Adapter) refusals(t *testing.T) {
	s := a.Open(t, Bounds{})
	mustAppend(t, s, sample("l", 0, 1, "k", "1", "s", "x"), sample("l", 0, 1, "k", "2", "s", "x"), sample("r", 0, 1, "k", "1", "s", "x"), sample("r", 0, 1, "k", "2", "s", "x"))
	ctx := context.Background()
	for _, c := range []struct {
		what string
		err  error
		want errs.Kind
	}{
		{"no expression", second(s.Query(ctx, ``, at(0))), errs.Invalid},
		{"half an expression", second(s.Query(ctx, `sum(`, at(0))), errs.Invalid},
		{"unknown function", second(s.Query(ctx, `median(l)`, at(0))), errs.Invalid},
		{"many to many", second(s.Query(ctx, `l * on(s) r`, at(0))), errs.Conflict},
		{"step of nothing", second(s.QueryRange(ctx, `l`, at(0), at(1), 0)), errs.Invalid},
		{"range backwards", second(s.QueryRange(ctx, `l`, at(1), at(0), time.Second)), errs.Invalid},
		{"range of a matrix", second(s.QueryRange(ctx, `l[5m]`, at(0), at(1), time.Second)), errs.Invalid},
		{"Series without a selector", second(s.Series(ctx, nil, at(0), at(1))), errs.Invalid},
		{"Series of everything", second(s.Series(ctx, []string{`{a=~".*"}`}, at(0), at(1))), errs.Invalid},
		{"Series of half a selector", second(s.Series(ctx, []string{`{`}, at(0), at(1))), errs.Invalid},
	} {
		if !errs.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, c.err, c.want)
		} else if errs.Sentence(c.err, "zh") == errs.Sentence(c.err, "en") {
			t.Errorf("%s: one language only: %s", c.what, errs.Sentence(c.err, "zh"))
		}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Query(gone, `l`, at(0)); !errs.Is(err, errs.Unavailable) {
		t.Errorf("cancelled: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func (a Adapter) drops(t *testing.T) {
	s := a.Open(t, Bounds{Late: time.Hour})
	mustAppend(t, s, sample("m", 0, 1))
	many := sample("m", 0, 1)
	for i := range 50 {
		many.Labels[fmt.Sprint("l", i)] = "x"
	}
	bad := []series.Sample{
		{Name: "", At: at(0)},
		sample("no spaces", 0, 1),
		sample("m", 0, 1, "1st", "x"),
		sample("m", 0, 1, "__name__", "other"),
		sample("m", 0, 1, "l", "\xff"),
		sample("m", 0, 1, "l", strings.Repeat("x", 10_000)),
		many,
	}
	late := sample("m", -2*time.Hour, 1)
	other := sample("m", 0, 2)
	good := sample("m", time.Second, 3)
	dropped, err := s.Append(context.Background(), append(slices.Clone(bad), late, other, good))
	if err != nil || dropped != len(bad)+2 {
		t.Fatalf("%d dropped, %v; want %d", dropped, err, len(bad)+2)
	}
	total := int64(0)
	for _, n := range s.Stats().Dropped {
		total += n
	}
	if total != int64(dropped) || len(s.Stats().Dropped) != 3 {
		t.Errorf("counted %v", s.Stats().Dropped)
	}
	if st := s.Stats(); st.Samples != 2 || st.Series != 1 {
		t.Errorf("stats %+v, want 2 samples of 1 series", st)
	}
	r, err := s.Query(context.Background(), `m`, at(time.Second))
	if got, want := text(r), `vector __name__=m: 3@1`; err != nil || got != want {
		t.Errorf("the good one beside them: %s, %v", got, err)
	}
}

func (a Adapter) tooManySeries(t *testing.T) {
	s := a.Open(t, Bounds{MaxSeries: 10})
	var in []series.Sample
	for i := range 15 {
		in = append(in, sample("m", 0, 1, "i", fmt.Sprint(i)))
	}
	if dropped, err := s.Append(context.Background(), in); err != nil || dropped != 5 {
		t.Fatalf("15 series of 10: %d dropped, %v", dropped, err)
	}
	// Those that are there go on.
	if dropped, err := s.Append(context.Background(), []series.Sample{sample("m", time.Second, 2, "i", "3")}); err != nil || dropped != 0 {
		t.Fatalf("one that is there: %d dropped, %v", dropped, err)
	}
	if st := s.Stats(); st.Series != 10 || len(st.Dropped) != 1 {
		t.Errorf("stats %+v", st)
	}
}

func (a Adapter) tooManySamples(t *testing.T) {
	s := a.Open(t, Bounds{MaxSamples: 100})
	for i := range 200 {
		mustAppend(t, s, sample("m", time.Duration(i)*time.Second, 1))
	}
	if _, err := s.Query(context.Background(), `m[10m]`, at(199*time.Second)); !errs.Is(err, errs.TooLarge) {
		t.Errorf("200 samples of 100: %v", err)
	}
}

func (a Adapter) late(t *testing.T) {
	s := a.Open(t, Bounds{Late: 7 * 24 * time.Hour})
	mustAppend(t, s, sample("m", 0, 1), sample("m", -6*24*time.Hour, 6), sample("m", -time.Hour, 2), sample("new", -5*24*time.Hour, 5))
	for _, c := range []struct {
		d    time.Duration
		expr string
		want string
	}{
		{-6 * 24 * time.Hour, `m`, `vector __name__=m: 6@-518400`},
		{-time.Hour, `m`, `vector __name__=m: 2@-3600`},
		{-5 * 24 * time.Hour, `new`, `vector __name__=new: 5@-432000`},
		{0, `m`, `vector __name__=m: 1@0`},
	} {
		r, err := s.Query(context.Background(), c.expr, at(c.d))
		if got := text(r); err != nil || got != c.want {
			t.Errorf("%s at %v: %s, %v; want %s", c.expr, c.d, got, err, c.want)
		}
	}
}

func (a Adapter) twice(t *testing.T) {
	s := a.Open(t, Bounds{})
	mustAppend(t, s, sample("m", 0, 1))
	mustAppend(t, s, sample("m", 0, 1))
	r, err := s.Query(context.Background(), `count_over_time(m[1m])`, at(0))
	if got, want := text(r), `vector : 1@0`; err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
}

func (a Adapter) reopen(t *testing.T) {
	s := a.Open(t, Bounds{})
	mustAppend(t, s, sample("m", 0, 1, "k", "v"))
	s = a.Reopen(t, s)
	mustAppend(t, s, sample("m", time.Second, 2, "k", "v"))
	r, err := s.Query(context.Background(), `m[1m]`, at(time.Second))
	if got, want := text(r), `matrix __name__=m,k=v: 1@0 2@1`; err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
	if st := s.Stats(); st.Series != 1 || !st.Oldest.Equal(t0) {
		t.Errorf("stats %+v", st)
	}
}

func (a Adapter) concurrent(t *testing.T) {
	s := a.Open(t, Bounds{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 100 {
				if _, err := s.Append(context.Background(), []series.Sample{sample("m", time.Duration(i)*time.Second, 1, "w", fmt.Sprint(w))}); err != nil {
					t.Error(err)
					return
				}
				if i%10 == 0 {
					if _, err := s.Query(context.Background(), `sum(m)`, at(0)); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	r, err := s.Query(context.Background(), `sum(count_over_time(m[100s]))`, at(99*time.Second))
	if got, want := text(r), `vector : 800@99`; err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
}

func (a Adapter) closed(t *testing.T) {
	s := a.Open(t, Bounds{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := s.Query(context.Background(), `m`, at(0)); !errs.Is(err, errs.Unavailable) {
		t.Errorf("Query: %v", err)
	}
	if dropped, err := s.Append(context.Background(), []series.Sample{sample("m", 0, 1)}); !errs.Is(err, errs.Unavailable) || dropped != 1 {
		t.Errorf("Append: %d, %v", dropped, err)
	}
	_ = s.Stats()
}
