package watch

import (
	"context"
	"fmt"

	"zhiwei/engine"
	"zhiwei/engine/automation"
	"zhiwei/engine/data"
	"zhiwei/kernel/loop"
)

// cause is why a service failed, as far as this machine can tell; the options
// of the field in engine.Incident.
type cause string

const (
	gone        cause = "gone"        // nothing runs
	exited      cause = "exited"      // what we started ended
	hung        cause = "hung"        // it runs and does not answer
	portTaken   cause = "port-taken"  // another program has its port
	wrongAnswer cause = "answer"      // it answers, but wrongly
	unreachable cause = "unreachable" // the check itself cannot be made
)

// conclude names the cause from what the check saw and what the machine shows,
// and says it in Chinese and English. port is the service's on this machine; 0:
// none.
func conclude(seen data.Seen, port int, f automation.Facts) (cause, string) {
	held := "（看不到是哪个 cannot be seen）"
	mine := false
	if f.Holder.PID != 0 {
		held = fmt.Sprintf("%d（%s）", f.Holder.PID, f.Holder.Command)
		for _, p := range f.Ours {
			mine = mine || p.PID == f.Holder.PID
		}
	}
	switch {
	case seen == data.Unusable:
		return unreachable, "检查本身无法进行。The check itself cannot be made."
	case len(f.Ours) > 0 && f.Holder.PID != 0 && !mine:
		return portTaken, fmt.Sprintf("端口 %d 被进程 %s 占用，我们启动的进程 %d 没有拿到它。Port %d is held by process %s; the one we started, %d, has not got it.", port, held, f.Ours[0].PID, port, held, f.Ours[0].PID)
	case seen == data.Answer || seen == data.Failed:
		return wrongAnswer, "服务有应答，但应答不对。It answers, but wrongly."
	case len(f.Ours) > 0:
		return hung, fmt.Sprintf("进程 %d 仍在运行但不应答。Process %d still runs but does not answer.", f.Ours[0].PID, f.Ours[0].PID)
	case f.Held:
		return hung, fmt.Sprintf("端口 %d 由进程 %s 监听但不应答；它不是本系统启动的，不会被结束。Port %d is held by process %s, which does not answer; we did not start it and do not end it.", port, held, port, held)
	case f.Exit != nil:
		when := f.Exit.At.Local().Format("15:04:05")
		return exited, fmt.Sprintf("我们启动的进程已退出（%s，%s）。The process we started ended (%s, %s).", f.Exit.Text, when, f.Exit.Text, when) + lastLine(f.Last)
	case port != 0:
		return gone, fmt.Sprintf("端口 %d 没有进程监听：服务没有在运行。Nobody listens on port %d: the service does not run.", port, port)
	case seen == data.Timeout:
		return hung, "服务没有应答。It does not answer."
	}
	return gone, "服务没有在运行。The service does not run."
}

// lastLine is what a program said last, as part of a diagnosis.
func lastLine(s string) string {
	if s == "" {
		return ""
	}
	return " 日志末行 Last line of its log: " + s
}

// writeDiagnosis looks why the service is down and notes it.
func (a *App) writeDiagnosis(ctx context.Context, h *loop.Handle, s *sensor, svc service) error {
	seen, _ := s.observed()
	port := svc.Check.check().Port()
	why, text := conclude(seen.last.Seen, port, a.operator.Facts(s.key, deref(svc.Action), port))
	text = both(seen.last.Detail) + "\n" + text
	_, err := step(ctx, h, s.key, func(sc *scene) {
		if o := sc.current(); o != nil && o.DiagnosedAt == nil {
			o.DiagnosedAt, o.Cause, o.Diagnosis = some(at(a.clock.Now())), why, text
			sc.incidentVerb = engine.Note
		}
	})
	return err
}
