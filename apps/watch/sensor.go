package watch

import (
	"context"
	"sync"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/data"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/series"
)

// healingEvery is how often a service is checked while a remedy is to be
// verified, where it is not checked more often anyway: recovery is then seen at
// once, and for a few seconds only.
const healingEvery = 250 * time.Millisecond

// sensor checks one service for as long as this process owns the loop. It says
// only what it alone can know: that a service rose or fell while nothing was
// being done about it. What is under treatment is written by look alone, which
// reads here what was seen.
type sensor struct {
	app    *App
	handle *loop.Handle
	key    record.Key
	decl   declaration
	ctx    context.Context
	stop   context.CancelFunc
	poke   chan struct{} // the state changed: check at its pace

	mu   sync.Mutex
	seen observation
	// state is the service's, as last read or written here.
	state string
}

// observation is what the checks of this process showed so far.
type observation struct {
	last     data.Result
	checks   int // made
	failures int // in a row
}

// ensure gives the sensor of a service: the one there is, or a new one where
// there is none, its owner lost the loop, or the declaration changed.
func (a *App) ensure(ctx context.Context, h *loop.Handle, rec record.Record, d declaration) *sensor {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sensors[rec.Key]
	if s == nil || s.ctx.Err() != nil || !s.decl.equal(d) {
		if s != nil {
			s.stop()
		}
		s = &sensor{app: a, handle: h, key: rec.Key, decl: d, poke: make(chan struct{}, 1), state: rec.State}
		s.ctx, s.stop = context.WithCancel(ctx)
		a.sensors[rec.Key] = s
		a.wait.Go(s.run)
		return s
	}
	s.setState(rec.State)
	return s
}

// forget stops the sensor of a service that is no longer watched.
func (a *App) forget(key record.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sensors[key]; s != nil {
		s.stop()
		delete(a.sensors, key)
	}
}

func (s *sensor) setState(state string) {
	s.mu.Lock()
	changed := s.state != state
	s.state = state
	s.mu.Unlock()
	if changed {
		select {
		case s.poke <- struct{}{}:
		default:
		}
	}
}

// observed is what was seen so far and the state it is seen in.
func (s *sensor) observed() (observation, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen, s.state
}

func (s *sensor) run() {
	check, every := s.decl.Check.check(), time.Duration(s.decl.Check.Every)
	for s.ctx.Err() == nil {
		began := s.app.clock.Now()
		r := s.app.prober.Run(s.ctx, check)
		if s.ctx.Err() != nil {
			return // it failed because we stop
		}
		s.note(r)
		if err := s.tell(); err != nil && s.ctx.Err() == nil {
			s.app.log.Warn("a service's change could not be written; it is told again with the next check", "service", s.decl.Name, "err", err)
		}
		s.rest(began, every)
	}
}

// rest waits for the next check, which begins every after the former began.
func (s *sensor) rest(began time.Time, every time.Duration) {
	for {
		_, state := s.observed()
		pace := every
		if state == engine.Healing {
			pace = min(every, healingEvery)
		}
		left := pace - s.app.clock.Now().Sub(began)
		if left <= 0 {
			return
		}
		due, stop := s.app.clock.After(left)
		select {
		case <-due:
			stop()
			return
		case <-s.poke: // the pace may be another one now
			stop()
		case <-s.ctx.Done():
			stop()
			return
		}
	}
}

// note keeps a result and measures it, under the names that Prometheus'
// blackbox exporter gave them.
func (s *sensor) note(r data.Result) {
	s.mu.Lock()
	s.seen.last = r
	s.seen.checks++
	s.seen.failures++
	if r.OK {
		s.seen.failures = 0
	}
	s.mu.Unlock()
	if s.app.series == nil {
		return
	}
	success := 0.0
	if r.OK {
		success = 1
	}
	labels := map[string]string{"service": s.decl.Name}
	when := r.At.Add(r.Latency)
	if _, err := s.app.series.Append(s.ctx, []series.Sample{
		{Name: "probe_success", Labels: labels, At: when, Value: success},
		{Name: "probe_duration_seconds", Labels: labels, At: when, Value: r.Latency.Seconds()},
	}); err != nil {
		s.app.log.Debug("a check was not measured", "service", s.decl.Name, "err", err) // dropped samples are counted by the store
	}
}

// tell writes that the service rose or fell, where that is news.
func (s *sensor) tell() error {
	seen, state := s.observed()
	var f func(*scene)
	switch {
	case seen.last.OK && (state == engine.Unknown || state == engine.Failed):
		f = func(sc *scene) { sc.rise(seen.last, byPerson) }
	case seen.failures >= s.decl.Check.DownAfter && (state == engine.Unknown || state == engine.Up):
		f = func(sc *scene) { sc.fall(seen.last) }
	default:
		return nil
	}
	now, err := step(s.ctx, s.handle, s.key, f)
	if errs.Is(err, errs.NotFound) {
		return nil // it left the configuration
	}
	if err == nil {
		s.setState(now)
	}
	return err
}

// ended is when a check had its result.
func ended(r data.Result) instant { return at(r.At.Add(r.Latency)) }

// rise says that a check succeeded, and ends the occurrence there was. how is the
// outcome where no remedy was applied.
func (s *scene) rise(r data.Result, how outcome) {
	switch s.rec.State {
	case engine.Unknown, engine.Down, engine.Healing, engine.Failed:
	default:
		return // somebody was faster
	}
	if o := s.current(); o != nil && o.VerifiedAt == nil {
		o.VerifiedAt = some(ended(r))
		switch {
		case s.rec.State == engine.Failed:
			o.Outcome = byPerson
		case o.ActedAt != nil:
			o.Outcome = healed
		default:
			o.Outcome = how
		}
		switch s.inc.State {
		case engine.Open, engine.Escalated, engine.Acknowledged:
			s.incidentVerb = engine.Recover
		default: // resolved by the person who brought it back
			s.incidentVerb = engine.Note
		}
	}
	s.serviceVerb = engine.Rise
	s.svc.DownSince, s.svc.Seen, s.svc.TriedAt = nil, nil, nil
	s.svc.UpSince, s.svc.Failures, s.svc.WasUp = some(ended(r)), 0, true
}

// fall says that the service is down, and begins an occurrence.
func (s *scene) fall(r data.Result) {
	if s.rec.State != engine.Unknown && s.rec.State != engine.Up {
		return
	}
	s.serviceVerb = engine.Fall
	s.svc.WasUp = s.rec.State == engine.Up
	s.svc.DownSince, s.svc.UpSince, s.svc.Failures, s.svc.TriedAt = some(ended(r)), nil, 0, nil
	s.svc.Seen = some(both(r.Detail))
	s.begin(*s.svc.DownSince)
}

// both is a sentence in Chinese and English.
func both(t errs.Text) string { return t.ZH + " " + t.EN }
