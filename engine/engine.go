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

var (
	tr  = kind.T
	ops = kind.Grant{Role: RoleOps, Can: []string{"read", "history", Retry, Acknowledge, Resolve, ApproveRemedy, DeclineRemedy}}
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
