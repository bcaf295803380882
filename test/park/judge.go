package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"zhiwei/engine"
)

// judge breaks one thing after the other and writes down what the program under
// test made of it. What is broken and what works it asks of the world; what the
// program thought and did it reads from the program's own records, and compares
// with the orders that reached the world.
type judge struct {
	w     *World
	p     *Product
	limit time.Duration // for each fault
	calm  time.Duration // before each
	seed  uint64
	kill  *rand.Rand // nil: the program is never killed

	out    []outcome
	quiet  quietness
	alerts int // raised in all
	shown  int // incidents made of them
}

// outcome is what became of one fault.
type outcome struct {
	fault     Fault
	lack      string        // what this machine lacks for it: not injected
	err       error         // the park itself failed
	detected  time.Duration // until the first incident; 0: not detected
	diagnosed time.Duration // until a known cause
	acted     time.Duration // until the first run that changes something
	proven    time.Duration // until the program saw that a remedy worked
	cured     time.Duration // until the world works by itself; 0: it did not
	called    time.Duration // until a person was called; 0: nobody was
	rank      int           // of the truth among the causes found (see both); 0: not among them
	thought   string        // the cause the program thought first
	remedies  []string
	wrong     []string // runs on what was not broken
	repeated  []string // orders that came twice from one action
	incidents int
}

// healed tells whether the world was put right by the program.
func (o outcome) healed() bool { return o.cured > 0 && len(o.remedies) > 0 }

// right tells whether the program did what a good operator would: put right what
// can be put right, called a person for what cannot, touched nothing else.
func (o outcome) right() bool {
	if len(o.wrong) > 0 || o.detected == 0 {
		return false
	}
	if o.fault.Person {
		return o.called > 0 || o.cured > 0
	}
	return o.cured > 0
}

// quietness is what happened while nothing was broken.
type quietness struct {
	time      time.Duration
	incidents []string
	actions   []string
}

// sit goes through the faults.
func (j *judge) sit(ctx context.Context, list []Fault) error {
	j.w.Load.Busy.Store(true)
	if err := j.settle(ctx, 3*time.Minute); err != nil {
		fmt.Println("before the first fault:", err)
	}
	for i, f := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.Needs != nil {
			if lack := f.Needs(j.w); lack != "" {
				j.out = append(j.out, outcome{fault: f, lack: lack})
				continue
			}
		}
		if err := j.rest(ctx); err != nil {
			return err
		}
		began := time.Now()
		o := j.try(ctx, f, began)
		err := j.settle(ctx, 3*time.Minute)
		j.account(ctx, &o, began) // what was done while it died away is of the fault too
		j.out = append(j.out, o)
		fmt.Printf("%2d/%d %s\n", i+1, len(list), o.line())
		if err != nil {
			fmt.Println("  afterwards:", err)
		}
	}
	if err := j.rest(ctx); err != nil {
		return err
	}
	var err error
	j.alerts, j.shown, err = j.p.Raised(ctx)
	return err
}

// each asks once a second until ask says that it is enough, or the limit.
func each(ctx context.Context, limit time.Duration, ask func() (enough bool)) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if ask() {
				return
			}
		}
	}
}

// byHand is for how many looks, one a second, the person who mended something looks
// whether it stays so before saying that it is done.
const byHand = 15

// under tells whether an incident still asks for something to be done.
func under(state string) bool {
	return state == engine.Open || state == engine.Escalated || state == engine.Acknowledged
}

// settle waits until the world works and the program has no incident open. What
// a person was called for and has mended that person resolves, once it was seen to
// work for a while.
func (j *judge) settle(ctx context.Context, limit time.Duration) error {
	err := errors.New("not asked yet")
	good, works := 0, 0
	each(ctx, limit, func() bool {
		if err = j.w.Works(ctx); err != nil {
			good, works = 0, 0
			return false
		}
		works++
		list, e := j.p.Incidents(ctx)
		if e != nil {
			err, good = e, 0
			return false
		}
		for _, t := range list {
			if !under(t.State) {
				continue
			}
			good, err = 0, fmt.Errorf("the incident “%s” (%s) stays %s", t.Service, t.ID, t.State)
			if works > byHand && t.State == engine.Escalated {
				_ = j.p.do(ctx, "POST", "/api/incidents/"+t.ID+"/do/"+engine.Resolve, map[string]any{"evidence": map[string]string{"result": "put right by hand"}}, nil)
			}
			return false
		}
		good++
		return good > 3
	})
	if good > 0 {
		return nil
	}
	return err
}

// rest lets noisy, faultless time pass and notes whatever the program does in it.
func (j *judge) rest(ctx context.Context) error {
	began := time.Now()
	each(ctx, j.calm, func() bool { return false })
	j.quiet.time += time.Since(began)
	list, err := j.p.Incidents(ctx)
	if err != nil {
		return err
	}
	for _, t := range list {
		if o := t.Last(); o != nil && o.DetectedAt.After(began) {
			j.quiet.incidents = append(j.quiet.incidents, t.Service)
		}
	}
	runs, err := j.p.Runs(ctx)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.At.After(began) && r.acts() {
			j.quiet.actions = append(j.quiet.actions, r.Runbook+" "+r.Thing)
		}
	}
	for _, q := range j.w.Orders.Since(began) {
		j.quiet.actions = append(j.quiet.actions, q.Verb+" "+q.Name)
	}
	return nil
}

// try injects a fault and watches until the world works again, a person is
// called, or the time is over.
func (j *judge) try(ctx context.Context, f Fault, began time.Time) (o outcome) {
	o.fault = f
	if err := f.Inject(ctx, j.w); err != nil {
		o.err = errors.Join(err, f.Undo(ctx, j.w), j.w.Mend(ctx))
		return o
	}
	well, ill := 0, false
	killAt := time.Duration(0)
	if j.kill != nil {
		killAt = time.Second + time.Duration(j.kill.Int64N(int64(25*time.Second)))
	}
	each(ctx, j.limit, func() bool {
		if err := f.Healthy(ctx, j.w); err != nil {
			well, ill = 0, true
		} else if ill || time.Since(began) > noticeWithin/2 {
			well++
		}
		if killAt > 0 && time.Since(began) > killAt {
			killAt = 0
			o.err = errors.Join(o.err, j.w.Units.Kill("zhiwei"), j.w.Units.Start(ctx, "zhiwei"))
		}
		if well == 1 {
			o.cured = time.Since(began)
		}
		j.look(ctx, &o, began)
		switch {
		case well > 3 && (o.detected > 0 || time.Since(began) > j.limit/2):
			return true
		case o.called > 0 && f.Person:
			return time.Since(began) > o.called+5*time.Second
		case o.called > 0: // it may still find a way
			return time.Since(began) > o.called+j.limit/4
		}
		return false
	})
	if well == 0 {
		o.cured = 0
	}
	j.look(ctx, &o, began)
	if err := errors.Join(f.Undo(ctx, j.w), j.w.Mend(ctx)); err != nil {
		o.err = fmt.Errorf("undo: %w", err)
	}
	return o
}

// look reads what the program thinks and has done of the fault so far.
func (j *judge) look(ctx context.Context, o *outcome, began time.Time) {
	list, err := j.p.Incidents(ctx)
	if err != nil {
		return
	}
	o.incidents = 0
	best, also := 0, 0
	for _, t := range list {
		last := t.Last()
		if last == nil {
			continue
		}
		seen := last.DetectedAt
		if seen.Before(began) { // an older incident that is open counts where something new was tried for it
			if seen = tried(t, began); seen.IsZero() {
				continue
			}
		}
		o.incidents++
		first(&o.detected, began, &seen)
		if last.DiagnosedAt != nil {
			first(&o.diagnosed, began, last.DiagnosedAt)
		}
		if last.ActedAt != nil {
			first(&o.acted, began, last.ActedAt)
		}
		if t.State == engine.Escalated || t.State == engine.Acknowledged || last.Outcome == engine.OutcomeCalled {
			if o.called == 0 {
				o.called = time.Since(began)
			}
		}
		v := decided(t)
		if v == nil {
			continue
		}
		best = better(best, j.rank(v, o.fault.Truth))
		also = better(also, j.rank(v, o.fault.Also))
		if len(v.Hypotheses) > 0 {
			h := v.Hypotheses[0]
			o.thought = h.Title.EN + " @ " + j.p.name(h.Thing)
		}
	}
	o.rank = best
	if len(o.fault.Also) > 0 {
		o.rank = both(best, also)
	}
}

// tried is when the first remedy of an incident after a time was begun; zero where
// there is none.
func tried(t Trouble, after time.Time) time.Time {
	for _, x := range t.Tries {
		if x.At.After(after) {
			return x.At
		}
	}
	return time.Time{}
}

// first keeps the earliest time since the fault; a time before it counts as at
// once.
func first(into *time.Duration, began time.Time, at *time.Time) {
	if d := max(at.Sub(began), time.Millisecond); *into == 0 || d < *into {
		*into = d
	}
}

// both is the place of two causes at once: they come first where they have the
// first two places of one verdict, or the first of two. 0 where one was not found.
func both(a, b int) int {
	if a == 0 || b == 0 {
		return 0
	}
	return max(1, max(a, b)-1)
}

// better is the smaller rank; 0 is none.
func better(a, b int) int {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// decided is the verdict on which the program acted or called: the last before
// its first try, or the last of all.
func decided(t Trouble) *engine.Verdict {
	last := t.Last()
	var v *engine.Verdict
	for i := range t.Thoughts {
		if t.Thoughts[i].At.Before(last.DetectedAt.Add(-time.Minute)) {
			continue
		}
		if v != nil && last.ActedAt != nil && t.Thoughts[i].At.After(*last.ActedAt) {
			break
		}
		v = &t.Thoughts[i].Verdict
	}
	return v
}

// rank is the place of the first hypothesis that names one of the things. Each
// thing counts once: two failure modes of one thing are one place. 0: none does.
func (j *judge) rank(v *engine.Verdict, truth []string) int {
	var seen []string
	for _, h := range v.Hypotheses {
		name := j.p.name(h.Thing)
		if slices.Contains(truth, name) {
			return len(seen) + 1
		}
		if !slices.Contains(seen, name) {
			seen = append(seen, name)
		}
	}
	return 0
}

// account notes what was done because of the fault, whether it was right, and when
// it was proven.
func (j *judge) account(ctx context.Context, o *outcome, began time.Time) {
	list, err := j.p.Incidents(ctx)
	o.err = errors.Join(o.err, err)
	for _, t := range list {
		for _, m := range t.Moments {
			if m.What == engine.MomentProven && m.At.After(began) {
				first(&o.proven, began, &m.At)
			}
		}
	}
	runs, err := j.p.Runs(ctx)
	if err != nil {
		o.err = errors.Join(o.err, err)
	}
	truth := slices.Concat(o.fault.Truth, o.fault.Also)
	slices.SortFunc(runs, func(a, b Run) int { return a.At.Compare(b.At) })
	for _, r := range runs {
		if r.At.Before(began) || !r.acts() {
			continue
		}
		what := fmt.Sprintf("%s %s %s", r.Runbook[len(engine.RunbookKind)+1:], r.Thing, r.State)
		o.remedies = append(o.remedies, what)
		if !slices.Contains(truth, r.Thing) {
			o.wrong = append(o.wrong, what)
		}
	}
	seen := map[[3]string]bool{}
	for _, q := range j.w.Orders.Since(began) {
		key := [3]string{q.Token, q.Verb, q.Name}
		if q.Token != "" && seen[key] {
			o.repeated = append(o.repeated, q.Verb+" "+q.Name)
		}
		seen[key] = true
	}
}
