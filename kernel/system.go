package kernel

import (
	"zhiwei/kernel/kind"
)

// Names of the kernel's own kinds.
const (
	KindKind     = "kind"
	CalendarKind = "calendar"
	TaskKind     = "task"
	ActionKind   = "action"
	ClaimKind    = "claim"
	AnswerKind   = "claim-answer"
	PeerKind     = "peer"
)

// RoleSystemAdmin is the administrator of the system (等保 2.0: system, security
// and audit administrators are three persons).
const (
	RoleSystemAdmin   = "system-admin"
	RoleSecurityAdmin = "security-admin"
	RoleAuditAdmin    = "audit-admin"
)

func systemKinds() []kind.Kind {
	T := kind.T
	return []kind.Kind{
		{
			Name: KindKind, Plural: "kind-definitions", App: "kernel", Title: T("类别定义", "Kind definition"),
			Help: T("系统里有哪些记录，以及它们的字段、状态与权限。", "What records there are, with their fields, states and permissions."),
			Fields: []kind.Field{
				{Name: "name", Type: kind.String, Title: T("名称", "Name"), Required: true},
				{Name: "app", Type: kind.String, Title: T("应用", "Application")},
				{Name: "definition", Type: kind.Any, Title: T("定义", "Definition"), Required: true},
			},
			Search: []kind.Param{{Name: "name", Type: kind.StringParam, Path: "name"}, {Name: "app", Type: kind.TokenParam, Path: "app"}},
			Access: []kind.Grant{{Role: RoleSystemAdmin, Can: []string{"read", "history"}}},
			View:   kind.View{TitleField: "name", Columns: []string{"name", "app", "updatedAt"}, Filters: []string{"name", "app"}},
		},
		{
			Name: CalendarKind, Plural: "calendars", App: "kernel", Title: T("工作日历", "Calendar"),
			Help: T("工作时间、节假日与调休；时限按它计算。", "Working hours, holidays and make-up days; time limits run by it."),
			Fields: []kind.Field{
				{Name: "name", Type: kind.String, Title: T("名称", "Name"), Required: true},
				{Name: "zone", Type: kind.String, Title: T("时区", "Time zone"), Required: true, Default: "Asia/Shanghai", Help: T("例如 Asia/Shanghai", "such as Asia/Shanghai")},
				{Name: "week", Type: kind.Object, Many: true, Title: T("每周工作时间", "Working hours"), Help: T("不填则为 7×24", "none means 7×24"), Fields: []kind.Field{
					{Name: "day", Type: kind.Int, Title: T("星期（1–7）", "Day (1 Monday – 7 Sunday)"), Required: true, Min: "1", Max: "7"},
					{Name: "from", Type: kind.String, Title: T("开始", "From"), Required: true, Pattern: `[0-2][0-9]:[0-5][0-9]`, Help: T("08:00", "08:00")},
					{Name: "to", Type: kind.String, Title: T("结束", "To"), Required: true, Pattern: `[0-2][0-9]:[0-5][0-9]`, Help: T("17:30", "17:30")},
				}},
				{Name: "holidays", Type: kind.Date, Many: true, Title: T("节假日", "Holidays")},
				{Name: "workdays", Type: kind.Date, Many: true, Title: T("调休上班日", "Make-up working days")},
			},
			Search: []kind.Param{{Name: "name", Type: kind.WordsParam, Path: "name"}},
			Access: []kind.Grant{{Role: RoleSystemAdmin, Can: []string{"*"}}, {Role: "*", Can: []string{"read"}}},
			View:   kind.View{TitleField: "name", Columns: []string{"name", "zone", "updatedAt"}, Menu: "system", Icon: "Calendar", Order: 40},
		},
		{
			Name: TaskKind, Plural: "tasks", App: "kernel", Title: T("待办", "Task"),
			Help: T("等一个人来做的事：提醒、超时、需要人判断的情况。", "Something that waits for a person: a reminder, an overrun, a case that needs judgement."),
			Fields: []kind.Field{
				{Name: "title", Type: kind.String, Title: T("事项", "Title"), Required: true},
				{Name: "text", Type: kind.Markdown, Title: T("说明", "Details")},
				{Name: "role", Type: kind.String, Title: T("由谁处理", "For role"), Required: true},
				{Name: "about", Type: kind.Ref, Title: T("关于", "About")},
				{Name: "cause", Type: kind.Code, Title: T("原因", "Cause"), Options: []kind.Option{
					{Code: "reminder", Title: T("提醒", "Reminder")},
					{Code: "overdue", Title: T("超时", "Overdue")},
					{Code: "refused", Title: T("自动步骤被拒绝", "Automatic step refused")},
					{Code: "claim", Title: T("异地申报被拒绝", "Claim refused")},
					{Code: "call", Title: T("呼叫人员", "Person called")},
				}},
				{Name: "by", Type: kind.String, Title: T("认领人", "Taken by"), ReadOnly: true},
				{Name: "result", Type: kind.Markdown, Title: T("处理结果", "Result")},
			},
			Search: []kind.Param{
				{Name: "title", Type: kind.WordsParam, Path: "title"},
				{Name: "role", Type: kind.TokenParam, Path: "role"},
				{Name: "about", Type: kind.ReferenceParam, Path: "about"},
				{Name: "cause", Type: kind.TokenParam, Path: "cause"},
			},
			Access: []kind.Grant{
				{Role: "*", Can: []string{"read", "claim", "finish", "release"}, When: kind.Addressed},
				{Role: RoleSystemAdmin, Can: []string{"read", "history", "claim", "finish", "release"}},
			},
			Place: kind.Place{Dept: "role"},
			Lifecycle: &kind.Lifecycle{Start: "open", States: []kind.State{
				{Name: "open", Title: T("待处理", "Open"), Tone: "warn"},
				{Name: "claimed", Title: T("处理中", "Claimed"), Tone: "info"},
				{Name: "done", Title: T("已完成", "Done"), Tone: "good", Final: true},
			}, Verbs: []kind.Verb{
				{Name: "claim", Title: T("认领", "Claim"), From: []string{"open"}, To: "claimed", Set: map[string]string{"by": "actor.name"}, Primary: true, Undo: "release"},
				{Name: "release", Title: T("放回", "Release"), From: []string{"claimed"}, To: "open", Set: map[string]string{"by": "null"}},
				{Name: "finish", Title: T("完成", "Finish"), From: []string{"open", "claimed"}, To: "done", Input: []string{"result"}},
				{Name: "settle", Title: T("自动了结", "Settle"), From: []string{"open", "claimed"}, To: "done", Clock: true, Input: []string{"result"}},
			}},
			View: kind.View{TitleField: "title", Columns: []string{"title", "role", "about", "state", "updatedAt"}, Filters: []string{"title", "_state", "cause"}, Menu: "home", Icon: "Bell", Order: 10},
		},
		{
			Name: ActionKind, Plural: "actions", App: "kernel", Title: T("自动动作", "Action"),
			Help: T("系统自己做的每一步：租约、心跳、结果。", "Every step the system takes by itself: lease, heartbeat, result."),
			Fields: []kind.Field{
				{Name: "loop", Type: kind.String, Title: T("回路", "Loop"), Required: true},
				{Name: "about", Type: kind.Ref, Title: T("关于", "About"), Required: true},
				{Name: "step", Type: kind.String, Title: T("步骤", "Step"), Required: true},
				{Name: "token", Type: kind.String, Title: T("标记", "Token"), Required: true},
				{Name: "owner", Type: kind.String, Title: T("执行者", "Owner")},
				{Name: "tries", Type: kind.Int, Title: T("次数", "Tries")},
				{Name: "detail", Type: kind.Any, Title: T("结果", "Result")},
				{Name: "error", Type: kind.Markdown, Title: T("出错原因", "Error")},
			},
			Search: []kind.Param{
				{Name: "loop", Type: kind.TokenParam, Path: "loop"},
				{Name: "about", Type: kind.ReferenceParam, Path: "about"},
				{Name: "step", Type: kind.TokenParam, Path: "step"},
			},
			Access: []kind.Grant{{Role: RoleSystemAdmin, Can: []string{"read", "history"}}, {Role: "ops", Can: []string{"read", "history"}}},
			Lifecycle: &kind.Lifecycle{Start: "leased", States: []kind.State{
				{Name: "leased", Title: T("执行中", "Running"), Tone: "info"},
				{Name: "done", Title: T("已完成", "Done"), Tone: "good", Final: true},
				{Name: "failed", Title: T("失败", "Failed"), Tone: "bad", Final: true},
				{Name: "lost", Title: T("结果不明", "Unknown"), Tone: "warn"},
			}, Verbs: []kind.Verb{
				{Name: "retake", Title: T("接手", "Take over"), From: []string{"leased", "lost"}, To: "leased", Clock: true, Input: []string{"owner", "tries"}},
				{Name: "finish", Title: T("完成", "Finish"), From: []string{"leased", "lost"}, To: "done", Clock: true, Input: []string{"detail"}},
				{Name: "fail", Title: T("失败", "Fail"), From: []string{"leased", "lost"}, To: "failed", Clock: true, Input: []string{"error"}},
				{Name: "lose", Title: T("失联", "Lose"), From: []string{"leased"}, To: "lost", Clock: true},
			}},
			View: kind.View{TitleField: "step", Columns: []string{"loop", "about", "step", "state", "updatedAt"}, Filters: []string{"loop", "about", "_state"}, Menu: "ops", Icon: "Operation", Order: 30},
		},
		{
			Name: ClaimKind, Plural: "claims", App: "kernel", Title: T("异地申报", "Claim"),
			Help: T("不在保管站点的人所做的动作，等保管站点执行或拒绝。", "A verb said away from the record's home; the home applies or refuses it."),
			Fields: []kind.Field{
				{Name: "about", Type: kind.Ref, Title: T("关于", "About"), Required: true},
				{Name: "verb", Type: kind.String, Title: T("动作", "Verb"), Required: true},
				{Name: "state", Type: kind.String, Title: T("当时的状态", "State it was said in")},
				{Name: "epoch", Type: kind.Int, Title: T("保管纪元", "Home epoch"), Required: true},
				{Name: "evidence", Type: kind.Any, Title: T("凭据", "Evidence")},
				{Name: "data", Type: kind.Any, Title: T("内容", "Data")},
				{Name: "late", Type: kind.Bool, Title: T("旧纪元下的写入", "Written under an old epoch")},
			},
			Search: []kind.Param{{Name: "about", Type: kind.ReferenceParam, Path: "about"}, {Name: "verb", Type: kind.TokenParam, Path: "verb"}},
			Access: []kind.Grant{{Role: RoleSystemAdmin, Can: []string{"read", "history"}}, {Role: "*", Can: []string{"read"}, When: kind.Own}},
			Place:  kind.Place{Owner: "@creator"},
			View:   kind.View{TitleField: "verb", Columns: []string{"about", "verb", "state", "createdAt"}, Filters: []string{"about", "verb"}, Menu: "system", Icon: "Promotion", Order: 60},
		},
		{
			Name: AnswerKind, Plural: "claim-answers", App: "kernel", Title: T("申报答复", "Answer to a claim"),
			Help: T("保管站点对申报的答复。", "What the home did with a claim."),
			Fields: []kind.Field{
				{Name: "claim", Type: kind.Ref, To: []string{ClaimKind}, Title: T("申报", "Claim"), Required: true},
				{Name: "applied", Type: kind.Bool, Title: T("已执行", "Applied"), Required: true},
				{Name: "why", Type: kind.Markdown, Title: T("拒绝原因", "Why not")},
			},
			Search: []kind.Param{{Name: "claim", Type: kind.ReferenceParam, Path: "claim", To: []string{ClaimKind}}, {Name: "applied", Type: kind.TokenParam, Path: "applied"}},
			Access: []kind.Grant{{Role: RoleSystemAdmin, Can: []string{"read", "history"}}},
			View:   kind.View{Columns: []string{"claim", "applied", "createdAt"}},
		},
		{
			Name: PeerKind, Plural: "peers", App: "kernel", Title: T("对端站点", "Peer site"),
			Help: T("已从哪个站点收到哪里。", "How far another site's feed has been applied here."),
			Fields: []kind.Field{
				{Name: "epoch", Type: kind.Int, Title: T("纪元", "Epoch"), Required: true},
				{Name: "seq", Type: kind.Int, Title: T("序号", "Position"), Required: true},
			},
			Access: []kind.Grant{{Role: RoleSystemAdmin, Can: []string{"read"}}},
			View:   kind.View{Columns: []string{"epoch", "seq", "updatedAt"}, Menu: "system", Icon: "Connection", Order: 50},
		},
	}
}
