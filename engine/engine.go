// Package engine declares the kinds in which the engines meet: what measures a
// service, what finds the cause and what repairs it write and read the same two
// records and never each other. It measures and repairs nothing itself, and
// knows nothing of hospitals.
package engine

import (
	"zhiwei/kernel/kind"
)

// The names of the kinds.
const (
	ServiceKind  = "service"
	IncidentKind = "incident"
)

// Roles of those who operate the system and of those who answer for it.
const (
	RoleOps     = "ops"
	RoleManager = "manager"
)

// The states of a service.
const (
	Unknown = "unknown" // not checked yet
	Up      = "up"
	Down    = "down"    // a remedy is due
	Healing = "healing" // a remedy was applied and is to be verified
	Failed  = "failed"  // no remedy is left: a person's turn
	Retired = "retired" // no longer watched
)

// The verbs of a service. All but Retry are said by the loop.
const (
	Rise    = "rise"    // a check succeeded
	Fall    = "fall"    // down_after checks failed in a row
	Heal    = "heal"    // a remedy was applied
	Miss    = "miss"    // it was not verified in time
	GiveUp  = "give-up" // no attempts are left
	Note    = "note"    // something was learnt; the state stays
	Declare = "declare" // the configuration changed
	Retire  = "retire"  // it left the configuration
	Watch   = "watch"   // it came back into it
	Retry   = "retry"   // a person asks to try again
)

// The states of an incident.
const (
	Open         = "open"
	Recovered    = "recovered"    // verified; closed after the quiet time
	Closed       = "closed"       // it stayed quiet
	Escalated    = "escalated"    // a person was called
	Acknowledged = "acknowledged" // a person is at it
	Resolved     = "resolved"     // a person ended it
)

// The verbs of an incident beside Note. People say Acknowledge and Resolve.
const (
	Recover     = "recover"
	Reopen      = "reopen" // it happened again within the quiet time
	Close       = "close"
	Escalate    = "escalate"
	Acknowledge = "acknowledge"
	Resolve     = "resolve"
)

// Quiet is how long a recovered service must stay up before its incident is
// closed, and how close two occurrences must be to belong to one incident.
const Quiet = "10m"

var (
	tr  = kind.T
	ops = kind.Grant{Role: RoleOps, Can: []string{"read", "history", Retry, Acknowledge, Resolve}}
	mgr = kind.Grant{Role: RoleManager, Can: []string{"read", "history"}}
)

// facts are what the loop learns of a service.
var facts = []string{"downSince", "upSince", "wasUp", "seen", "failures", "triedAt", "action", "pid"}

// Service declares the kind of what is watched. Its state changes only when the
// service does, not with every check: checks go to the series.
func Service() kind.Kind {
	instant := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Time, Title: tr(zh, en), ReadOnly: true}
	}
	declared := []string{"name", "check", "remedy"}
	return kind.Kind{
		Name: ServiceKind, Plural: "services", Title: tr("服务", "Service"),
		Help: tr("被看护的服务：怎样检查它，坏了怎样恢复它。", "A service that is watched: how it is checked and how it is brought back."),
		Fields: []kind.Field{
			kind.Line("name", "名称", "Name").Must().Auto(),
			{Name: "check", Type: kind.Object, Title: tr("检查", "Check"), Required: true, ReadOnly: true, Fields: []kind.Field{
				kind.Line("http", "网址", "Web address"),
				kind.Line("expect", "应答应含", "Answer must hold"),
				kind.Line("tcp", "端口", "TCP port"),
				kind.Line("process", "进程", "Process"),
				{Name: "command", Type: kind.String, Many: true, Title: tr("命令", "Command")},
				{Name: "every", Type: kind.Duration, Title: tr("间隔", "Every"), Required: true},
				{Name: "timeout", Type: kind.Duration, Title: tr("超时", "Timeout"), Required: true},
				{Name: "downAfter", Type: kind.Int, Title: tr("连续失败几次算故障", "Failures in a row that mean down"), Required: true, Min: "1"},
			}},
			{Name: "remedy", Type: kind.Object, Title: tr("恢复办法", "Remedy"), ReadOnly: true, Fields: []kind.Field{
				{Name: "start", Type: kind.String, Many: true, Title: tr("启动命令", "Start command"), Required: true},
				kind.Line("dir", "工作目录", "Working directory"),
				{Name: "attempts", Type: kind.Int, Title: tr("连续尝试上限", "Attempts in a row"), Required: true, Min: "1"},
				{Name: "within", Type: kind.Duration, Title: tr("须在多久内恢复", "Must be up within"), Required: true},
			}},
			instant("downSince", "故障发现于", "Down since"),
			instant("upSince", "恢复于", "Up since"),
			{Name: "wasUp", Type: kind.Bool, Title: tr("此前正常", "Was up before"), ReadOnly: true},
			{Name: "seen", Type: kind.Markdown, Title: tr("最近一次失败所见", "What the last failure showed"), ReadOnly: true},
			{Name: "failures", Type: kind.Int, Title: tr("已连续尝试", "Attempts made in a row"), ReadOnly: true},
			instant("triedAt", "最近一次尝试", "Last attempt"),
			kind.Line("action", "最近一次启动的标记", "Token of the last start").Auto(),
			{Name: "pid", Type: kind.Int, Title: tr("最近一次启动的进程号", "Process of the last start"), ReadOnly: true},
		},
		Search: []kind.Param{kind.ByWords("name"), {Name: "down-since", Type: kind.DateParam, Path: "downSince", Title: tr("故障发现于", "Down since")}},
		Access: []kind.Grant{ops, mgr},
		View: kind.View{
			TitleField: "name", Columns: []string{"name", "state", "seen", "downSince", "upSince"}, Filters: []string{"name", "_state"},
			Sort: "name", Menu: "ops", Icon: "Cpu", Order: 10,
		},
		Lifecycle: &kind.Lifecycle{Start: Unknown, States: []kind.State{
			{Name: Unknown, Title: tr("未知", "Unknown"), Tone: "idle"},
			{Name: Up, Title: tr("正常", "Up"), Tone: "good"},
			{Name: Down, Title: tr("故障", "Down"), Tone: "bad"},
			{Name: Healing, Title: tr("恢复中", "Healing"), Tone: "warn"},
			{Name: Failed, Title: tr("等待人工", "Waits for a person"), Tone: "bad"},
			{Name: Retired, Title: tr("不再看护", "No longer watched"), Tone: "idle"},
		}, Verbs: []kind.Verb{
			{Name: Rise, Title: tr("恢复正常", "Rise"), From: []string{Unknown, Down, Healing, Failed}, To: Up, Input: facts, Clock: true},
			{Name: Fall, Title: tr("判定故障", "Fall"), From: []string{Unknown, Up}, To: Down, Input: facts, Clock: true},
			{Name: Heal, Title: tr("施行恢复", "Heal"), From: []string{Down}, To: Healing, Input: facts, Clock: true},
			{Name: Miss, Title: tr("未能恢复", "Miss"), From: []string{Healing}, To: Down, Input: facts, Clock: true},
			{Name: GiveUp, Title: tr("停止尝试", "Give up"), From: []string{Down}, To: Failed, Input: facts, Clock: true},
			{Name: Note, Title: tr("记下情况", "Note"), From: []string{"*"}, Input: facts, Clock: true},
			{Name: Declare, Title: tr("更改配置", "Declare"), From: []string{Unknown, Up, Down, Healing, Failed}, Input: declared, Clock: true},
			{Name: Retire, Title: tr("停止看护", "Retire"), From: []string{Unknown, Up, Down, Healing, Failed}, To: Retired, Clock: true},
			{Name: Watch, Title: tr("重新看护", "Watch again"), From: []string{Retired}, To: Unknown, Input: append(declared, facts...), Clock: true},
			{
				Name: Retry, Title: tr("再试一次", "Try again"), From: []string{Failed}, To: Down, Primary: true,
				Set:      map[string]string{"failures": "0"},
				Evidence: []kind.Evidence{{Name: "reason", Title: tr("做了什么、为何再试", "What was done, why try again")}},
			},
		}},
	}
}

// Incident declares the kind of what went wrong with one service, with every
// occurrence that came within the quiet time of the former.
func Incident() kind.Kind {
	instant := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Time, Title: tr(zh, en)}
	}
	told := []string{"occurrences", "times"}
	return kind.Kind{
		Name: IncidentKind, Plural: "incidents", Title: tr("事件", "Incident"),
		Help: tr("一项服务出的事：每次故障何时发现、诊断、处置、验证。", "What happened to a service: when each failure was detected, diagnosed, acted on and verified."),
		Fields: []kind.Field{
			kind.Line("service", "服务", "Service").Must().Auto(),
			{Name: "about", Type: kind.Ref, To: []string{ServiceKind}, Title: tr("服务记录", "Service record"), ReadOnly: true},
			{Name: "times", Type: kind.Int, Title: tr("发生次数", "Occurrences"), ReadOnly: true},
			{Name: "occurrences", Type: kind.Object, Many: true, Title: tr("经过", "What happened"), ReadOnly: true, Fields: []kind.Field{
				instant("detectedAt", "发现于", "Detected"),
				instant("diagnosedAt", "诊断于", "Diagnosed"),
				{Name: "cause", Type: kind.Code, Title: tr("原因类别", "Cause"), Options: []kind.Option{
					{Code: "gone", Title: tr("进程不在", "Not running")},
					{Code: "exited", Title: tr("进程退出", "Exited")},
					{Code: "hung", Title: tr("进程无应答", "Hung")},
					{Code: "port-taken", Title: tr("端口被占用", "Port taken")},
					{Code: "answer", Title: tr("应答错误", "Wrong answer")},
					{Code: "unreachable", Title: tr("无法检查", "Cannot be reached")},
				}},
				{Name: "diagnosis", Type: kind.Markdown, Title: tr("诊断", "Diagnosis")},
				instant("heldUntil", "暂停处置至", "Held until"),
				instant("actedAt", "处置于", "Acted"),
				kind.Line("action", "动作标记", "Action"),
				{Name: "pid", Type: kind.Int, Title: tr("进程号", "Process")},
				{Name: "attempts", Type: kind.Int, Title: tr("尝试次数", "Attempts")},
				instant("verifiedAt", "验证于", "Verified"),
				{Name: "outcome", Type: kind.Code, Title: tr("结果", "Outcome"), Options: []kind.Option{
					{Code: "healed", Title: tr("自动恢复", "Healed")},
					{Code: "by-itself", Title: tr("自行恢复", "Came back by itself")},
					{Code: "person-called", Title: tr("已呼叫人员", "Person called")},
					{Code: "by-person", Title: tr("人工恢复", "Brought back by a person")},
				}},
			}},
			kind.Line("by", "处理人", "Handled by").Auto(),
		},
		Search: []kind.Param{
			kind.ByToken("service"),
			{Name: "about", Type: kind.ReferenceParam, Path: "about", To: []string{ServiceKind}},
			{Name: "outcome", Type: kind.TokenParam, Path: "occurrences.outcome", Title: tr("结果", "Outcome")},
			{Name: "detected", Type: kind.DateParam, Path: "occurrences.detectedAt", Title: tr("发现于", "Detected")},
		},
		Access: []kind.Grant{ops, mgr},
		View: kind.View{
			TitleField: "service", Columns: []string{"service", "state", "times", "by", "createdAt", "updatedAt"},
			Filters: []string{"service", "_state", "detected", "outcome"}, Menu: "ops", Icon: "Warning", Order: 20,
		},
		Lifecycle: &kind.Lifecycle{Start: Open, States: []kind.State{
			{Name: Open, Title: tr("处理中", "Open"), Tone: "bad"},
			{
				Name: Recovered, Title: tr("已恢复", "Recovered"), Tone: "good",
				Limit: &kind.Limit{After: Quiet, Then: Close, Who: RoleOps, Rule: tr("恢复后平稳 10 分钟即关闭。", "Closed after ten quiet minutes.")},
			},
			{Name: Closed, Title: tr("已关闭", "Closed"), Tone: "idle"},
			{Name: Escalated, Title: tr("已呼叫人员", "Person called"), Tone: "bad"},
			{Name: Acknowledged, Title: tr("人工处理中", "A person is at it"), Tone: "warn"},
			{Name: Resolved, Title: tr("人工了结", "Resolved by a person"), Tone: "good"},
		}, Verbs: []kind.Verb{
			{Name: Note, Title: tr("记下进展", "Note"), From: []string{"*"}, Input: told, Clock: true},
			{Name: Recover, Title: tr("验证恢复", "Recover"), From: []string{Open, Escalated, Acknowledged}, To: Recovered, Input: told, Clock: true},
			{Name: Reopen, Title: tr("再次发生", "Reopen"), From: []string{Recovered, Closed, Resolved}, To: Open, Input: told, Clock: true},
			{Name: Close, Title: tr("关闭", "Close"), From: []string{Recovered}, To: Closed, Clock: true},
			{Name: Escalate, Title: tr("呼叫人员", "Escalate"), From: []string{Open}, To: Escalated, Input: told, Clock: true},
			{Name: Acknowledge, Title: tr("接手", "Acknowledge"), From: []string{Escalated}, To: Acknowledged, Primary: true, Set: map[string]string{"by": "actor.name"}},
			{
				Name: Resolve, Title: tr("了结", "Resolve"), From: []string{Escalated, Acknowledged}, To: Resolved, Set: map[string]string{"by": "actor.name"},
				Evidence: []kind.Evidence{{Name: "result", Title: tr("原因与处理结果", "Cause and what was done"), Required: true}},
			},
		}},
	}
}
