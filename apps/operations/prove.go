package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

// pursue follows a try: a person's decision, its run, its proof.
func (s *step) pursue(ctx context.Context, try *engine.Try) error {
	switch try.State {
	case engine.TryWaiting:
		s.decided(try)
	case engine.TryRunning:
		return s.ran(ctx, try)
	case engine.TryProving:
		return s.prove(ctx, try)
	}
	return nil
}

func (s *step) decided(try *engine.Try) {
	by := s.t.Decider
	switch s.t.Decision {
	case "approve":
		s.t.Decision, try.By, try.State = "", by, engine.TryRunning
		s.tell(engine.MomentApproval, "", by+" 批准了处置。", by+" approved it.")
	case "decline":
		s.t.Decision, try.By = "", by
		try.State, try.EndedAt = engine.TryDeclined, some(s.now)
		s.tell(engine.MomentApproval, "", by+" 没有批准处置。", by+" declined it.")
	}
}

func (s *step) ran(ctx context.Context, try *engine.Try) error {
	if try.Run == "" {
		if halted, err := engine.Halted(ctx, s.app.kernel, s.h.Principal()); err != nil || halted {
			s.hold("红色按钮已按下：不自动处置。", "The red button is pressed: nothing is done automatically.", engine.AutopilotMain.String())
			return err
		}
		return s.order(ctx, try)
	}
	key, _ := record.ParseKey(try.Run)
	run, there, err := s.h.Read(ctx, key)
	if err != nil {
		return err
	}
	state := engine.RunFailed
	var d struct{ Result string }
	if there {
		state = run.State
		if err := json.Unmarshal(run.Data, &d); err != nil {
			return errs.Wrap("read run", try.Run, err)
		}
	}
	switch state {
	case engine.RunSucceeded:
		try.State, try.EndedAt = engine.TryProving, some(s.now)
		s.tell(engine.MomentEnded, try.Run, "执行完成，等待证明。", "The run succeeded; proof is looked for.")
		s.app.mended(s.topo, try.Thing, s.now)
	case engine.RunFailed, engine.RunUndone, engine.RunCancelled:
		try.State, try.EndedAt = engine.TryFailed, some(s.now)
		try.Why = kind.T("执行没有成功。"+cut(d.Result, 300), "The run did not succeed. "+cut(d.Result, 300))
		s.tell(engine.MomentDisproven, try.Run, try.Why.ZH, try.Why.EN)
	}
	return nil
}

// prove looks whether the signs that a remedy should end are gone.
func (s *step) prove(ctx context.Context, try *engine.Try) error {
	within, err := time.ParseDuration(try.Within)
	if err != nil {
		within = 2 * time.Minute
	}
	th, err := s.app.think(ctx, s.topo, []string{try.Thing})
	if err != nil {
		return err
	}
	missing := s.app.mind.base().Missing(s.topo, th.symptoms)
	measured := s.now.Sub(*try.EndedAt) >= s.app.config.every
	gone, open, there := 0, 0, false
	for i := range try.Proof {
		p := &try.Proof[i]
		now := false
		switch {
		case th.shows(try.Thing, p.Sign):
			there = true
		case measured && slices.ContainsFunc(missing, func(m knowledge.Seen) bool { return m.Thing == try.Thing && m.Sign == p.Sign }):
			now = true
			gone++
		default:
			open++ // nobody could look for it yet
		}
		if now != p.Gone {
			p.Gone = now
			s.note()
		}
	}
	// What cannot be looked for proves nothing; it is waited for a while, and then
	// what could be looked for decides.
	all := !there && gone > 0 && (open == 0 || s.now.Sub(*try.EndedAt) > 3*s.app.config.measure)
	switch {
	case all:
		try.State = engine.TryWorked
		s.tell(engine.MomentProven, try.Run, fmt.Sprintf("有效：“%s”上的征象已消失。", s.name(try.Thing)), fmt.Sprintf("It worked: the signs on “%s” are gone.", s.name(try.Thing)))
	case s.now.Sub(*try.EndedAt) > within:
		try.State = engine.TryFailed
		try.Why = kind.T("征象在期限内没有消失。", "The signs were not gone in time.")
		s.tell(engine.MomentDisproven, try.Run, try.Why.ZH, try.Why.EN)
	}
	return nil
}

// call asks a person once an occurrence, reason and thing at fault, with all that
// was thought and tried: what turns out to be ill while a person is at something
// else is told too.
func (s *step) call(ctx context.Context, why, zh, en string, th *thought) error {
	s.again = 5 * glance
	o := s.t.Last()
	cause := ""
	if v := th.verdict; v.Known && len(v.Faults) > 0 {
		cause = v.Hypotheses[s.rootFirst(v)[0]].Thing
		zh, en = zh+"（"+s.name(cause)+"）", en+" ("+s.name(cause)+")"
	}
	zh, en = "呼叫值班人员："+zh, "A person is called: "+en
	switch {
	case s.rec.State == engine.Open && s.verb != engine.Recover:
		o.Outcome = engine.OutcomeCalled
		s.tell(engine.MomentCalled, "", zh, en)
		s.verb = engine.Escalate
	case s.rec.State == engine.Escalated && !slices.ContainsFunc(s.t.Moments, func(m engine.Moment) bool {
		return m.What == engine.MomentCalled && m.Say.ZH == zh && !m.At.Before(o.DetectedAt)
	}):
		s.tell(engine.MomentCalled, "", zh, en)
	}
	return s.h.Call(ctx, loop.Task{
		Title: "“" + s.t.Service + "”需要人工处理", Text: s.reasons(th, zh, en), Role: engine.RoleOps, About: s.rec.Key.String(), Cause: "call",
	}, why, s.rec.Key.String(), cause, o.DetectedAt.Format(time.RFC3339Nano))
}

// reasons is what a person reads first.
func (s *step) reasons(th *thought, zh, en string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n判断：%s\n", zh, th.verdict.Say.ZH)
	for _, t := range s.t.Tries {
		fmt.Fprintf(&b, "已试：%s（%s）%s\n", t.Title.ZH, s.name(t.Thing), t.Why.ZH)
	}
	for i, c := range th.verdict.Next {
		if i == 3 {
			break
		}
		fmt.Fprintf(&b, "建议查看：%s，%s\n", c.Title.ZH, c.How.ZH)
	}
	fmt.Fprintf(&b, "\n%s\n\nThought: %s\n", en, th.verdict.Say.EN)
	for i, c := range th.verdict.Next {
		if i == 3 {
			break
		}
		fmt.Fprintf(&b, "Look next: %s, %s\n", c.Title.EN, c.How.EN)
	}
	return b.String()
}
