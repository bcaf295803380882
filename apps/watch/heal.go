package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

const (
	// glance is how often a service under treatment is looked at: no more than a
	// read in memory where nothing happened.
	glance = 100 * time.Millisecond

	// The breaker: where more than half of at least breakerLeast services fell from
	// up within breakerSpan, the cause is likely one they share (network, disk,
	// power), and starting them all again at once makes it worse. Remedies then wait
	// until nothing fell for breakerSpan; checks go on.
	breakerLeast = 4
	breakerSpan  = 30 * time.Second

	// flapping is how many occurrences of one incident bring a person to look, once,
	// although each of them was healed.
	flapping = 5
)

// look compares a service with what is wanted of it, and takes the next step. It
// decides from the records and from what the sensor saw, so it may be killed
// anywhere and called at any time.
func (a *App) look(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	rec, there, err := h.Read(ctx, key)
	if err != nil {
		return 0, err
	}
	if !there || rec.State == engine.Retired {
		a.forget(key)
		return 0, nil
	}
	var svc service
	if err := json.Unmarshal(rec.Data, &svc); err != nil {
		return 0, errs.Wrap("look", key.String(), err)
	}
	s := a.ensure(ctx, h, rec, svc.declaration)
	switch rec.State {
	case engine.Up:
		return 0, a.callOff(ctx, h, key)
	case engine.Down:
		return a.treat(ctx, h, s)
	case engine.Healing:
		return a.verify(ctx, h, s)
	case engine.Failed:
		return 0, a.call(ctx, h, s)
	}
	return 0, nil
}

// treat takes one step for a service that is down: finish what was begun,
// diagnose, wait, hold back, apply the remedy, or give up.
func (a *App) treat(ctx context.Context, h *loop.Handle, s *sensor) (time.Duration, error) {
	now, err := peek(ctx, h, s.key)
	if err != nil || now.rec.State != engine.Down {
		return glance, err
	}
	o := now.current()
	if o == nil { // tried again by a person in a former incident: it counts anew
		_, err := step(ctx, h, s.key, func(sc *scene) {
			if sc.rec.State == engine.Down && sc.current() == nil {
				sc.svc.DownSince = some(at(a.clock.Now()))
				sc.serviceVerb = engine.Note
				sc.begin(*sc.svc.DownSince)
			}
		})
		return glance, err
	}
	next := automation.Attempt{About: s.key, Occurrence: o.DetectedAt.Time, Number: o.Attempts + 1}
	remedy := now.svc.Remedy
	if remedy != nil {
		begun, err := a.operator.Begun(ctx, h, next)
		if err != nil {
			return 0, err
		}
		if begun { // and broken off, when we were killed
			return a.act(ctx, h, s.key, next, *remedy)
		}
	}
	seen, _ := s.observed()
	switch {
	case seen.checks == 0:
		return glance, nil // this process has not looked yet
	case seen.last.OK:
		_, err := step(ctx, h, s.key, func(sc *scene) { sc.rise(seen.last, byItself) })
		return glance, err
	case o.DiagnosedAt == nil:
		if now.incident.Times >= flapping {
			if err := a.callFlapping(ctx, h, now); err != nil {
				return 0, err
			}
		}
		return glance / 2, a.writeDiagnosis(ctx, h, s, now.svc)
	case remedy == nil || now.svc.Failures >= remedy.Attempts:
		_, err := step(ctx, h, s.key, giveUp)
		return glance, err
	}
	if now.svc.TriedAt != nil {
		if left := now.svc.TriedAt.Add(automation.Wait(now.svc.Failures)).Sub(a.clock.Now()); left > 0 {
			return min(left, 2*glance), nil // not longer: it may come back by itself meanwhile
		}
	}
	if halted, err := engine.Halted(ctx, h.Kernel(), h.Principal()); err != nil || halted {
		return time.Second, err // a person stopped all that the system does by itself
	}
	until, err := a.heldUntil(ctx, h)
	if err != nil {
		return 0, err
	}
	if o.HeldUntil != nil && o.HeldUntil.After(until) {
		until = o.HeldUntil.Time // said once, it stands: the first to fall must not run ahead of the last
	}
	if left := until.Sub(a.clock.Now()); left > 0 {
		return min(left, time.Second), a.writeHeld(ctx, h, now, until)
	}
	if now.svc.Action != nil {
		out, err := a.operator.Clear(ctx, h, next, *now.svc.Action)
		if err != nil || out.Busy {
			return time.Second, err
		}
		if out.Failed != "" {
			return glance, a.writeTried(ctx, h, s.key, next, automation.Started{}, out.Failed)
		}
	}
	return a.act(ctx, h, s.key, next, *remedy)
}

// act applies the remedy once and writes what came of it.
func (a *App) act(ctx context.Context, h *loop.Handle, key record.Key, try automation.Attempt, r remedyData) (time.Duration, error) {
	started, out, err := a.operator.Start(ctx, h, try, r.remedy())
	if err != nil {
		return 0, err
	}
	if out.Busy {
		return time.Second, nil
	}
	return glance, a.writeTried(ctx, h, key, try, started, out.Failed)
}

// writeTried notes an attempt: with a program started the service is healing,
// else it stays down.
func (a *App) writeTried(ctx context.Context, h *loop.Handle, key record.Key, try automation.Attempt, st automation.Started, failed string) error {
	_, err := step(ctx, h, key, func(sc *scene) {
		o := sc.current()
		if sc.rec.State != engine.Down || o == nil || o.Attempts >= try.Number {
			return
		}
		o.Attempts = try.Number
		sc.svc.Failures++
		sc.incidentVerb = engine.Note
		if failed != "" {
			sc.svc.TriedAt, sc.svc.Seen = some(at(a.clock.Now())), some(failed)
			o.ActedAt, o.Diagnosis = sc.svc.TriedAt, o.Diagnosis+"\n"+failed
			sc.serviceVerb = engine.Note
			return
		}
		sc.svc.TriedAt, sc.svc.Action, sc.svc.PID = some(at(st.At)), some(st.Token), some(st.PID)
		o.ActedAt, o.Action, o.PID = sc.svc.TriedAt, st.Token, st.PID
		sc.serviceVerb = engine.Heal
	})
	return err
}

// verify waits for the check to succeed after a remedy.
func (a *App) verify(ctx context.Context, h *loop.Handle, s *sensor) (time.Duration, error) {
	now, err := peek(ctx, h, s.key)
	if err != nil || now.rec.State != engine.Healing || now.svc.TriedAt == nil {
		return glance, err
	}
	seen, _ := s.observed()
	if seen.checks == 0 || seen.last.At.Before(now.svc.TriedAt.Time) {
		return glance, nil // what was seen before the remedy tells nothing of it
	}
	if seen.last.OK {
		_, err := step(ctx, h, s.key, func(sc *scene) {
			if sc.rec.State == engine.Healing {
				sc.rise(seen.last, healed)
			}
		})
		return glance, err
	}
	why := ""
	exit := a.operator.Ended(deref(now.svc.Action))
	switch {
	case exit != nil && !exit.OK: // a command that ends well may have started the service elsewhere
		f := a.operator.Facts(s.key, deref(now.svc.Action), 0)
		why = fmt.Sprintf("启动的程序已退出（%s）。The started program ended (%s).", exit.Text, exit.Text) + lastLine(f.Last)
	case now.svc.Remedy == nil || a.clock.Now().Sub(now.svc.TriedAt.Time) > time.Duration(now.svc.Remedy.Within) && seen.failures >= s.decl.Check.DownAfter:
		why = "启动后没有在期限内恢复。It was not up in time after the start. " + both(seen.last.Detail)
	default:
		return glance, nil
	}
	_, err = step(ctx, h, s.key, func(sc *scene) {
		if sc.rec.State != engine.Healing {
			return
		}
		sc.serviceVerb, sc.svc.Seen = engine.Miss, &why
		if o := sc.current(); o != nil {
			o.Diagnosis += "\n" + why
			sc.incidentVerb = engine.Note
		}
	})
	return glance, err
}

// giveUp says that no attempts are left.
func giveUp(sc *scene) {
	if sc.rec.State != engine.Down {
		return
	}
	sc.serviceVerb = engine.GiveUp
	if o := sc.current(); o != nil {
		o.Outcome = personCalled
		sc.incidentVerb = engine.Note
		if sc.inc.State == engine.Open {
			sc.incidentVerb = engine.Escalate
		}
	}
}

// call asks a person once for each occurrence that could not be healed.
func (a *App) call(ctx context.Context, h *loop.Handle, s *sensor) error {
	now, err := peek(ctx, h, s.key)
	if err != nil || now.inc == nil || now.rec.State != engine.Failed {
		return err
	}
	o := now.incident.last()
	zh := fmt.Sprintf("服务“%s”自 %s 起故障，已自动尝试 %d 次，没有恢复。\n\n诊断：%s\n\n请处理后在服务页选“再试一次”，或在事件页了结。", now.svc.Name, o.DetectedAt.Local().Format("2006-01-02 15:04:05"), o.Attempts, o.Diagnosis)
	en := fmt.Sprintf("The service “%s” is down since %s; %d automatic attempts did not bring it back. See to it, then choose “Try again” on the service's page or resolve the incident.", now.svc.Name, o.DetectedAt.Local().Format("2006-01-02 15:04:05"), o.Attempts)
	return h.Call(ctx, loop.Task{
		Title: "服务“" + now.svc.Name + "”需要人工处理", Text: zh + "\n\n" + en, Role: engine.RoleOps, About: now.inc.Key.String(), Cause: "call",
	}, "failed", now.inc.Key.String(), o.DetectedAt.Format(time.RFC3339Nano), fmt.Sprint(o.Attempts))
}

// callFlapping asks a person once for each incident that keeps coming back.
func (a *App) callFlapping(ctx context.Context, h *loop.Handle, now *scene) error {
	return h.Call(ctx, loop.Task{
		Title: "服务“" + now.svc.Name + "”反复故障",
		Text: fmt.Sprintf("同一事件内已故障 %d 次以上，每次都自动恢复；请查明根本原因。自动恢复继续进行，此事件不再提醒。\n\n"+
			"It failed %d times or more within one incident and was healed each time; find the cause behind it. Healing goes on, and this incident does not call again.", flapping, flapping),
		Role: engine.RoleOps, About: now.inc.Key.String(), Cause: "call",
	}, "flapping", now.inc.Key.String())
}

// callOff settles the tasks of a service that is up again: nobody needs to see
// to it any more. Those about flapping stay.
func (a *App) callOff(ctx context.Context, h *loop.Handle, key record.Key) error {
	now, err := peek(ctx, h, key)
	if err != nil || now.inc == nil || now.rec.State != engine.Up {
		return err
	}
	return h.CallOff(ctx, now.inc.Key, kind.T("服务已恢复正常。", "The service is up again."), "flapping", now.inc.Key.String())
}

// heldUntil is when remedies may go on: the past where the breaker is not open.
// It is read from the records, so every process and every start sees the same.
func (a *App) heldUntil(ctx context.Context, h *loop.Handle) (time.Time, error) {
	now := a.clock.Now()
	total, fell := 0, 0
	var newest time.Time
	q := search.Query{Kind: serviceKind, Limit: 1000}
	for {
		page, err := h.Kernel().Search(ctx, h.Principal(), q)
		if err != nil {
			return time.Time{}, err
		}
		for _, rec := range page.Records {
			if rec.State == engine.Retired {
				continue
			}
			total++
			var l learnt
			if err := json.Unmarshal(rec.Data, &l); err != nil {
				return time.Time{}, errs.Wrap("look", rec.Key.String(), err)
			}
			if rec.State != engine.Up && l.WasUp && l.DownSince != nil && now.Sub(l.DownSince.Time) < breakerSpan {
				fell++
				if l.DownSince.After(newest) {
					newest = l.DownSince.Time
				}
			}
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if total < breakerLeast || fell*2 <= total {
		return time.Time{}, nil
	}
	return newest.Add(breakerSpan), nil
}

// writeHeld says on the incident that its remedy waits, and why.
func (a *App) writeHeld(ctx context.Context, h *loop.Handle, now *scene, until time.Time) error {
	held := at(until)
	news := func(o *occurrence) bool { return o != nil && (o.HeldUntil == nil || o.HeldUntil.Before(held.Time)) }
	if !news(now.current()) {
		return nil
	}
	_, err := step(ctx, h, now.rec.Key, func(sc *scene) {
		o := sc.current()
		if !news(o) {
			return
		}
		if o.HeldUntil == nil {
			o.Diagnosis += "\n多数服务同时故障，先暂停自动恢复，以免雪上加霜；检查照常。Most services failed at once: remedies wait, checks go on."
		}
		o.HeldUntil = &held
		sc.incidentVerb = engine.Note
	})
	return err
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
