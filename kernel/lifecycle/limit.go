package lifecycle

import (
	"time"

	"zhiwei/kernel/calendar"
	"zhiwei/kernel/expr"
	"zhiwei/kernel/kind"
)

// Clock is what the time limit of a state says at one version of a record.
type Clock struct {
	Due    time.Time     // when the state's time is over; zero: no limit, or the clock stands still
	Paused bool          // the clock stands still now
	Stood  time.Duration // calendar time it has stood still in this state so far
}

// Stood carries the pause forward from one version to the next: a state's clock
// is derived from the record's own events, so a changed priority or a restart
// loses none of it.
func Stood(state *kind.State, cal *calendar.Calendar, before expr.Scope, stood time.Duration, from, to time.Time) (time.Duration, error) {
	paused, err := isPaused(state, before)
	if err != nil || !paused {
		return stood, err
	}
	return stood + cal.Between(from, to), nil
}

func isPaused(state *kind.State, s expr.Scope) (bool, error) {
	if state == nil || state.Limit == nil || state.Limit.Pause == "" {
		return false, nil
	}
	p, err := expr.Compile(state.Limit.Pause)
	if err != nil {
		return false, err
	}
	return p.True(s)
}

// Limit computes the clock of a state entered at s.Entered.
func Limit(state *kind.State, cal *calendar.Calendar, s expr.Scope, stood time.Duration) (Clock, error) {
	c := Clock{Stood: stood}
	if state == nil || state.Limit == nil {
		return c, nil
	}
	paused, err := isPaused(state, s)
	if err != nil || paused {
		c.Paused = paused
		return c, err
	}
	if state.Limit.At != "" {
		p, err := expr.Compile(state.Limit.At)
		if err != nil {
			return c, err
		}
		v, err := p.Value(s)
		if err != nil {
			return c, err
		}
		if t, ok := v.(time.Time); ok {
			c.Due = cal.Add(t, stood)
		}
		return c, nil
	}
	length, err := calendar.ParseLength(state.Limit.After)
	if err != nil {
		return c, err
	}
	c.Due = cal.After(s.Entered, length, stood)
	return c, nil
}

// Reminders gives when reminders are due before the end, in declared order.
// Lengths before the end are wall-clock time.
func Reminders(state *kind.State, due time.Time) []time.Time {
	if state == nil || state.Limit == nil || due.IsZero() {
		return nil
	}
	var out []time.Time
	for _, r := range state.Limit.Remind {
		l, err := calendar.ParseLength(r)
		if err != nil {
			continue // Validate refused it
		}
		out = append(out, due.Add(-kind.Days(l.Days)-l.Rest))
	}
	return out
}
