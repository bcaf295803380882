package intent

import (
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// foresight is how far ahead a goal is looked at that has no trend of its own.
const foresight = 24 * time.Hour

// outlook says what state a goal is in next: where its measure goes by its trend;
// else when its error budget is spent, if that goes on as in the last hour; else
// that it stays as it is. nil where the present is not known.
func (e *Engine) outlook(one *measured, now time.Time) *engine.Outlook {
	s := &one.standing
	if s.Present == engine.GoalUnknown {
		return nil
	}
	if x := s.Expected; x != nil && x.State != engine.GoalUnknown && x.State != s.Present {
		at := x.Crosses
		if at.IsZero() {
			at = x.At
		}
		when := e.clock(at)
		if x.State == engine.GoalMissed {
			return &engine.Outlook{State: x.State, At: at, By: engine.ByTrend, Say: kind.T("照此趋势 "+x.Name+" 将在 "+when+" 越界", "as it goes, "+x.Name+" leaves its bounds at "+when)}
		}
		return &engine.Outlook{State: x.State, At: at, By: engine.ByTrend, Say: kind.T("照此趋势 "+when+" 前将重新达到", "as it goes, it is met again by "+when)}
	}
	if at := e.spent(one.goal, s, now); !at.IsZero() && at.Sub(now) <= foresight {
		when := e.clock(at)
		return &engine.Outlook{State: engine.GoalMissed, At: at, By: engine.ByBudget, Say: kind.T("照近一小时的消耗，容许量将在 "+when+" 用完", "as in the last hour, the error budget is spent at "+when)}
	}
	at := now.Add(foresight)
	if x := s.Expected; x != nil {
		at = x.At
	}
	return e.stays(s.Present, at)
}

// stays is the outlook of what does not move.
func (e *Engine) stays(state string, at time.Time) *engine.Outlook {
	when := e.clock(at)
	if state == engine.GoalMet {
		return &engine.Outlook{State: state, At: at.UTC(), By: engine.ByStay, Say: kind.T("预计到 "+when+" 保持达到", "expected to stay met until "+when)}
	}
	return &engine.Outlook{State: state, At: at.UTC(), By: engine.ByStay, Say: kind.T("没有好转的迹象", "nothing shows that it gets better")}
}

// spent is when the error budget will be gone; zero where it is gone, or is not
// being spent.
func (e *Engine) spent(g engine.Goal, s *engine.GoalStanding, now time.Time) time.Time {
	if s.BudgetLeft == nil || *s.BudgetLeft <= 0 || len(s.Burns) == 0 || s.Burns[0].Long == nil || *s.Burns[0].Long <= 0 {
		return time.Time{}
	}
	// A rate of 1 spends a whole budget in a period.
	wait := *s.BudgetLeft / *s.Burns[0].Long * float64(periodOf(g))
	if wait > float64(10*foresight) {
		return time.Time{}
	}
	return now.Add(time.Duration(wait))
}

func (e *Engine) clock(at time.Time) string { return at.In(e.o.Zone).Format("01-02 15:04") }

// worstNext is the outlook of an intent: the worst of its goals', the soonest of
// those.
func worstNext(goals []engine.GoalStanding) *engine.Outlook {
	var out *engine.Outlook
	for _, g := range goals {
		n := g.Next
		if n == nil {
			continue
		}
		worse := out == nil || n.State == engine.GoalMissed && out.State != engine.GoalMissed
		if worse || n.State == out.State && n.At.Before(out.At) {
			out = n
		}
	}
	return out
}
