package engine

import (
	"zhiwei/kernel"
	"zhiwei/kernel/kind"
)

// The kinds of the automation engine. A runbook says what may be done, a run is
// one doing of it, a run-step one step of that on one target. A credential opens
// targets; a run-schedule asks for runs by the clock.
const (
	RunbookKind     = "runbook"
	RunKind         = "run"
	RunStepKind     = "run-step"
	CredentialKind  = "access-credential"
	RunScheduleKind = "run-schedule"
)

// The states of a runbook.
const (
	RunbookDraft   = "draft"
	RunbookLive    = "live"
	RunbookRetired = "retired"
)

// The states of a run. It rests in RunWaiting while a person has to approve a
// step or to say what became of one; the step says which.
const (
	RunPlanned    = "planned"          // not begun: the loop has not come to it, or its window is not open
	RunRunning    = "running"          // steps are done
	RunWaiting    = "waiting-approval" // a step waits for a person
	RunUndoing    = "undoing"          // what was done is taken back, last first
	RunCancelling = "cancelling"       // told to stop; the step under way is ended
	RunSucceeded  = "succeeded"
	RunFailed     = "failed"
	RunUndone     = "undone"
	RunCancelled  = "cancelled"
)

// The verbs of a run that people and other engines say. The rest are its loop's.
const (
	RunCancel = "cancel"
	RunUndo   = "undo" // take back what a run that ended has done
)

// The states of a step of a run.
const (
	StepWaiting   = "waiting"   // for an approval
	StepDue       = "due"       // may be done
	StepRunning   = "running"   // is being done
	StepUnclear   = "unclear"   // it was broken off and is unsafe to repeat: a person looks whether it happened
	StepSucceeded = "succeeded" // done and its assertions hold
	StepFailed    = "failed"
	StepSkipped   = "skipped" // its condition did not hold, or the run is dry
	StepRefused   = "refused" // a person did not approve it
	StepUndone    = "undone"  // succeeded, and taken back afterwards
)

// The verbs of a step that people say.
const (
	StepApprove  = "approve"
	StepRefuse   = "refuse"
	StepHappened = "happened" // an unclear step did take effect
	StepRepeat   = "repeat"   // it did not: do it
	StepAbandon  = "abandon"  // leave it: the run fails there
)

// Runbook is what may be done, as data: read from YAML or from a record. Strings
// in RunbookStep.With hold ${…} parts, and If, Each, Targets and the like are CEL, over
// data: {inputs, target, item, steps}, where steps has an entry for every step that
// ended, by its id: {state, output, code, detail}; and over now.
type Runbook struct {
	Name  string    `json:"name"` // lower case with hyphens; the id of its record
	Title kind.Text `json:"title"`
	Help  kind.Text `json:"help,omitzero"`
	Risk  string    `json:"risk"` // RiskNone … RiskHigh

	Tags    []string       `json:"tags,omitempty"`   // by which pages group them: TagOneClick
	Source  string         `json:"source,omitempty"` // clause, manual or ticket it comes from
	Inputs  []RunbookInput `json:"inputs,omitempty"`
	Roles   []string       `json:"roles,omitempty"`   // who may start it; none: ops
	Targets string         `json:"targets,omitempty"` // CEL giving the names of targets; empty: once, on this machine
	Rollout *Rollout       `json:"rollout,omitempty"` // over the targets; nil: one after the other, stop at the first failure
	Window  *RunWindow     `json:"window,omitempty"`  // when steps may begin
	Timeout string         `json:"timeout,omitempty"` // of a whole run, Go duration; empty: 24h
	OnFail  string         `json:"onFail,omitempty"`  // "undo": take back what was done; empty: stop, a person decides
	Steps   []RunbookStep  `json:"steps"`
}

// TagOneClick marks the runbooks that people start by hand every day: backup,
// restore, inspect, upgrade, power on and off, initialise.
const TagOneClick = "one-click"

// RunbookInput is one input of a runbook.
type RunbookInput struct {
	Name     string    `json:"name"`
	Title    kind.Text `json:"title"`
	Type     string    `json:"type"` // string, int, bool, duration, list (of strings), target, secret (the name of a credential)
	Required bool      `json:"required,omitempty"`
	Default  any       `json:"default,omitempty"`
	Options  []string  `json:"options,omitempty"` // of a string: the values allowed
	Pattern  string    `json:"pattern,omitempty"` // of a string: RE2 that matches the whole of it
	Min      *int64    `json:"min,omitempty"`     // of an int
	Max      *int64    `json:"max,omitempty"`
}

// RunbookStep is one step or a block. Exactly one of Type, Serial and Parallel is set.
type RunbookStep struct {
	ID    string    `json:"id"` // lower case with hyphens; unique in the runbook
	Title kind.Text `json:"title,omitzero"`

	Type   string         `json:"type,omitempty"`   // a step type of the automation engine's registry
	With   map[string]any `json:"with,omitempty"`   // its parameters; {secret: NAME} stands for a credential's secret where the type allows one
	Target string         `json:"target,omitempty"` // where, with ${…}; empty: the target the run is at

	Serial   []RunbookStep `json:"serial,omitempty"`   // a block: one after the other
	Parallel []RunbookStep `json:"parallel,omitempty"` // a block: at once
	Each     string        `json:"each,omitempty"`     // CEL giving a list: the step is done for every item, one after the other, as data.item

	If      string          `json:"if,omitempty"`      // CEL; where false the step is skipped
	Assert  []StepAssertion `json:"assert,omitempty"`  // must hold of data.result {output, code, detail} for the step to have succeeded
	Done    *StepLook       `json:"done,omitempty"`    // looks whether the step has taken effect
	Repeat  string          `json:"repeat,omitempty"`  // "safe" or "unsafe" to do again; empty: as its type says
	Retry   *StepRetry      `json:"retry,omitempty"`   // only for what is safe to repeat or has Done
	Timeout string          `json:"timeout,omitempty"` // Go duration; empty: 1m
	Approve *StepApproval   `json:"approve,omitempty"` // before it is done
	Undo    *RunbookStep    `json:"undo,omitempty"`    // takes it back; it has no id of its own
	OnFail  string          `json:"onFail,omitempty"`  // "go-on": a failure does not end the run
}

// StepLook is a read-only step by which the engine finds out whether a step has
// taken effect: it has where If holds over data.result.
type StepLook struct {
	Type string         `json:"type"`
	With map[string]any `json:"with,omitempty"`
	If   string         `json:"if"`
}

// StepAssertion is what must hold, and what is said where it does not.
type StepAssertion struct {
	If  string    `json:"if"`
	Say kind.Text `json:"say"`
}

// StepRetry does a step again that failed.
type StepRetry struct {
	Times int    `json:"times"`          // at most so often again
	Wait  string `json:"wait,omitempty"` // before the first; doubles; empty: 1s
	Most  string `json:"most,omitempty"` // the longest wait; empty: 1m
}

// StepApproval is who lets a step be done.
type StepApproval struct {
	Role   string    `json:"role"`
	Say    kind.Text `json:"say,omitzero"`     // what the person should look at
	Within string    `json:"within,omitempty"` // after that it is refused; empty: it waits
	Other  bool      `json:"other,omitempty"`  // must be another person than who started the run
}

// Rollout is how a run spreads over many targets: first Canary of them one by
// one, then Percent of all at once, then the rest; after each wave no more than
// StopAt-1 may have failed.
type Rollout struct {
	Canary  int           `json:"canary,omitempty"`
	Percent int           `json:"percent,omitempty"` // of all; 0: no such wave
	AtOnce  int           `json:"atOnce,omitempty"`  // how many targets at the same time; 0: 8
	StopAt  int           `json:"stopAt,omitempty"`  // failures at which nothing more begins; 0: 1
	Approve *StepApproval `json:"approve,omitempty"` // after the canary
}

// RunWindow is when steps may begin: within the hours of a calendar record, or
// from–to of every day.
type RunWindow struct {
	Calendar string `json:"calendar,omitempty"` // id of a calendar record
	From     string `json:"from,omitempty"`     // "22:00"
	To       string `json:"to,omitempty"`       // "05:00": of the next day where it is not after From
	Zone     string `json:"zone,omitempty"`     // IANA; empty: the machine's
}

// RunOrder asks for a run. It is the data of a run record that people and other
// engines write; the rest of a run is its loop's.
type RunOrder struct {
	Runbook string         `json:"runbook"` // "runbook/NAME"
	Inputs  map[string]any `json:"inputs,omitempty"`
	Dry     bool           `json:"dry,omitempty"`     // say what would happen, change nothing
	Because string         `json:"because,omitempty"` // the record that asks for it: an incident, an intent, a schedule
	Why     string         `json:"why,omitempty"`     // a sentence for people
}

// RunTarget is something steps are done on.
type RunTarget struct {
	Name       string            `json:"name"`
	Thing      string            `json:"thing,omitempty"`      // "thing/ID" it belongs to
	Via        string            `json:"via,omitempty"`        // how commands reach it: "local", "ssh", "winrm"; empty: local without an Address, else ssh
	Address    string            `json:"address,omitempty"`    // host, or host:port
	User       string            `json:"user,omitempty"`       // empty: the credential's
	Credential string            `json:"credential,omitempty"` // name of the credential that opens it
	HostKey    string            `json:"hostKey,omitempty"`    // of SSH: "ssh-ed25519 AAAA…"
	Labels     map[string]string `json:"labels,omitempty"`
}

var (
	filledIn  = func(f kind.Field) kind.Field { return f.Auto() }
	instantOf = func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Time, Title: tr(zh, en), ReadOnly: true}
	}
	tallyOf = func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Int, Title: tr(zh, en), ReadOnly: true}
	}
)

// AutomationKinds declares the kinds of the automation engine.
func AutomationKinds() []kind.Kind {
	return []kind.Kind{runbookKind(), runKind(), runStepKind(), credentialKind(), runScheduleKind()}
}

func riskOptions() []kind.Option {
	return []kind.Option{
		{Code: RiskNone, Title: tr("只查看", "Looks only")},
		{Code: RiskLow, Title: tr("可随时撤销", "Can be undone at once")},
		{Code: RiskMedium, Title: tr("会中断所处置的对象", "Interrupts what it is done to")},
		{Code: RiskHigh, Title: tr("影响他者或不可撤销", "Interrupts others or cannot be undone")},
	}
}

func runbookKind() kind.Kind {
	declared := []string{"name", "title", "titleEn", "risk", "tags", "definition", "shipped"}
	return kind.Kind{
		Name: RunbookKind, Plural: "runbooks", Title: tr("处置手册", "Runbook"),
		Help: tr("机器可以照做的一套步骤：输入、条件、审批、时限与撤销办法。", "A set of steps a machine can follow: inputs, conditions, approvals, time limits and how they are undone."),
		Fields: []kind.Field{
			kind.Line("name", "标识", "Identifier").Must(),
			kind.Line("title", "名称", "Title").Must(),
			kind.Line("titleEn", "英文名称", "English title"),
			{Name: "risk", Type: kind.Code, Title: tr("风险", "Risk"), Required: true, Options: riskOptions()},
			{Name: "tags", Type: kind.String, Many: true, Title: tr("分组", "Tags"), Pattern: `[a-z][a-z0-9-]*`, MaxLen: 40},
			{Name: "definition", Type: kind.Any, Title: tr("内容", "Definition"), Required: true},
			{Name: "shipped", Type: kind.Bool, Title: tr("随程序提供", "Comes with the program"), ReadOnly: true},
		},
		Search: []kind.Param{kind.ByToken("name"), kind.ByWords("title"), kind.ByToken("risk"), kind.ByToken("tags")},
		Access: []kind.Grant{
			{Role: RoleOps, Can: []string{"read", "history", "create", "update", "publish", "retire", "revise"}},
			mgr,
			{Role: kernel.RoleSystemAdmin, Can: []string{"*"}},
		},
		View: kind.View{TitleField: "title", Columns: []string{"title", "name", "risk", "state", "updatedAt"}, Filters: []string{"title", "risk", "_state"}, Sort: "name", Menu: "ops", Icon: "Notebook", Order: 40},
		Lifecycle: &kind.Lifecycle{Start: RunbookDraft, States: []kind.State{
			{Name: RunbookDraft, Title: tr("草稿", "Draft"), Tone: "idle", Edit: true},
			{Name: RunbookLive, Title: tr("可用", "Live"), Tone: "good"},
			{Name: RunbookRetired, Title: tr("停用", "Retired"), Tone: "idle"},
		}, Verbs: []kind.Verb{
			{Name: "publish", Title: tr("发布", "Publish"), From: []string{RunbookDraft, RunbookRetired}, To: RunbookLive, Primary: true},
			{Name: "revise", Title: tr("改为草稿", "Revise"), From: []string{RunbookLive}, To: RunbookDraft},
			{Name: "retire", Title: tr("停用", "Retire"), From: []string{RunbookDraft, RunbookLive}, To: RunbookRetired, Confirm: true},
			{Name: "deliver", Title: tr("随程序更新", "Deliver"), From: []string{RunbookDraft, RunbookLive}, To: RunbookLive, Input: declared, Clock: true},
		}},
	}
}

// mayStart holds for the roles a runbook names, and for what the program does by
// itself: how much of that is allowed is decided where it is ordered.
const mayStart = `actor.id.startsWith("loop/") || actor.id == "system" || (record(data.runbook) != null && (` +
	`has(record(data.runbook).data.definition.roles) ? record(data.runbook).data.definition.roles.exists(r, r in actor.roles) : "` + RoleOps + `" in actor.roles))`

func runKind() kind.Kind {
	facts := []string{"title", "risk", "plan", "targets", "startedAt", "endedAt", "result", "total", "done", "failures", "heldUntil", "by", "undo"}
	return kind.Kind{
		Name: RunKind, Plural: "runs", Title: tr("执行", "Run"),
		Help: tr("一次处置：按哪本手册、为什么、每一步做到哪里。", "One execution: by which runbook, why, and how far each step is."),
		Fields: []kind.Field{
			kind.Link(RunbookKind, "处置手册", "Runbook"),
			{Name: "inputs", Type: kind.Any, Title: tr("输入", "Inputs")},
			{Name: "dry", Type: kind.Bool, Title: tr("演练（不做改动）", "Dry run")},
			{Name: "because", Type: kind.Ref, Title: tr("起因", "Because of")},
			kind.Line("why", "原因", "Why"),
			filledIn(kind.Line("title", "名称", "Title")),
			filledIn(kind.Field{Name: "risk", Type: kind.Code, Title: tr("风险", "Risk"), Options: riskOptions()}),
			filledIn(kind.Field{Name: "plan", Type: kind.Any, Title: tr("开始时的手册内容", "The runbook as it was at the start")}),
			filledIn(kind.Field{Name: "targets", Type: kind.String, Many: true, Title: tr("目标", "Targets")}),
			instantOf("startedAt", "开始于", "Started"),
			instantOf("endedAt", "结束于", "Ended"),
			instantOf("heldUntil", "等到", "Held until"),
			tallyOf("total", "步骤数", "Steps"),
			tallyOf("done", "已完成", "Done"),
			tallyOf("failures", "失败", "Failed"),
			filledIn(kind.Field{Name: "result", Type: kind.Markdown, Title: tr("结果", "Result")}),
			filledIn(kind.Field{Name: "undo", Type: kind.Bool, Title: tr("要求撤销", "Undo asked for")}),
			filledIn(kind.Line("by", "发起人", "Started by")),
		},
		Search: []kind.Param{
			kind.ByLink(RunbookKind),
			{Name: "because", Type: kind.ReferenceParam, Path: "because"},
			kind.ByWords("title"),
			{Name: "started", Type: kind.DateParam, Path: "startedAt", Title: tr("开始于", "Started")},
		},
		Guards: []kind.Guard{{If: mayStart, Say: tr("没有这本处置手册，或您的角色不能执行它。", "There is no such runbook, or your roles may not run it.")}},
		Access: []kind.Grant{{Role: RoleOps, Can: []string{"read", "history", "create", RunCancel, RunUndo}}, mgr},
		View: kind.View{
			TitleField: "title", Columns: []string{"title", "state", "why", "done", "total", "by", "startedAt", "endedAt"},
			Filters: []string{"title", "_state", "started"}, Menu: "ops", Icon: "VideoPlay", Order: 45,
		},
		Lifecycle: &kind.Lifecycle{Start: RunPlanned, States: []kind.State{
			{Name: RunPlanned, Title: tr("待执行", "Planned"), Tone: "info"},
			{Name: RunRunning, Title: tr("执行中", "Running"), Tone: "info"},
			{Name: RunWaiting, Title: tr("等待人员", "Waits for a person"), Tone: "warn"},
			{Name: RunUndoing, Title: tr("撤销中", "Undoing"), Tone: "warn"},
			{Name: RunCancelling, Title: tr("正在取消", "Cancelling"), Tone: "warn"},
			{Name: RunSucceeded, Title: tr("成功", "Succeeded"), Tone: "good", Final: true},
			{Name: RunFailed, Title: tr("失败", "Failed"), Tone: "bad", Final: true},
			{Name: RunUndone, Title: tr("已撤销", "Undone"), Tone: "idle", Final: true},
			{Name: RunCancelled, Title: tr("已取消", "Cancelled"), Tone: "idle", Final: true},
		}, Verbs: []kind.Verb{
			{Name: "begin", Title: tr("开始", "Begin"), From: []string{RunPlanned}, To: RunRunning, Input: facts, Clock: true},
			{Name: "note", Title: tr("记下进展", "Note"), From: []string{"*"}, Input: facts, Clock: true},
			{Name: "ask", Title: tr("等待人员", "Ask"), From: []string{RunRunning, RunUndoing}, To: RunWaiting, Input: facts, Clock: true},
			{Name: "resume", Title: tr("继续", "Resume"), From: []string{RunWaiting}, To: RunRunning, Input: facts, Clock: true},
			{Name: "resume-undo", Title: tr("继续撤销", "Resume the undoing"), From: []string{RunWaiting}, To: RunUndoing, Input: facts, Clock: true},
			{Name: "succeed", Title: tr("成功", "Succeed"), From: []string{RunRunning}, To: RunSucceeded, Input: facts, Clock: true},
			{Name: "fail", Title: tr("失败", "Fail"), From: []string{RunPlanned, RunRunning, RunWaiting, RunUndoing, RunCancelling}, To: RunFailed, Input: facts, Clock: true},
			{Name: "take-back", Title: tr("开始撤销", "Take back"), From: []string{RunRunning}, To: RunUndoing, Input: facts, Clock: true},
			{Name: "undone", Title: tr("撤销完成", "Undone"), From: []string{RunUndoing}, To: RunUndone, Input: facts, Clock: true},
			{Name: "stopped", Title: tr("已停止", "Stopped"), From: []string{RunCancelling}, To: RunCancelled, Input: facts, Clock: true},
			{Name: RunCancel, Title: tr("取消", "Cancel"), From: []string{RunPlanned, RunRunning, RunWaiting, RunUndoing}, To: RunCancelling, Confirm: true, Evidence: []kind.Evidence{{Name: "reason", Title: tr("原因", "Reason"), Required: true}}},
			{
				Name: RunUndo, Title: tr("撤销", "Undo"), From: []string{RunSucceeded, RunFailed, RunCancelled}, To: RunUndoing, Confirm: true,
				Guards: []kind.Guard{{If: "!has(data.dry) || !data.dry", Say: tr("演练没有改动什么，不用撤销。", "A dry run has changed nothing that could be undone.")}},
				Set:    map[string]string{"undo": "true"},
			},
		}},
		Retain: kind.Retention{Years: 3, Rule: tr("处置记录保存三年，与安全日志的最低六个月相比从长。", "Executions are kept three years, longer than the six months asked of security logs.")},
	}
}

func runStepKind() kind.Kind {
	facts := []string{"startedAt", "endedAt", "attempt", "message", "output", "dropped", "log", "code", "detail", "forecast"}
	forRole := []kind.Guard{
		{If: `actor.id.startsWith("loop/") || !has(data.role) || data.role in actor.roles`, Say: tr("这一步要由指定的角色来定。", "This step is for another role to decide.")},
		{If: `!has(data.other) || !data.other || !has(data.startedBy) || data.startedBy != actor.id`, Say: tr("这一步要由发起人以外的人批准。", "Somebody else than who started the run must approve this step.")},
	}
	reason := []kind.Evidence{{Name: "reason", Title: tr("依据", "On what grounds"), Required: true}}
	return kind.Kind{
		Name: RunStepKind, Plural: "run-steps", Title: tr("执行步骤", "Step of a run"),
		Help: tr("一次执行中在一个目标上的一步：做了什么、输出、结果。", "One step of a run on one target: what was done, its output, its outcome."),
		Fields: []kind.Field{
			kind.Link(RunKind, "执行", "Run").Auto(),
			kind.Line("path", "位置", "Place in the run").Must().Auto(),
			kind.Line("step", "步骤标识", "Step").Must().Auto(),
			kind.Line("title", "名称", "Title").Auto(),
			kind.Line("type", "类型", "Type").Auto(),
			kind.Line("target", "目标", "Target").Auto(),
			filledIn(kind.Field{Name: "item", Type: kind.Any, Title: tr("对象", "Item")}),
			tallyOf("order", "顺序", "Order"),
			tallyOf("attempt", "次数", "Attempt"),
			instantOf("startedAt", "开始于", "Started"),
			instantOf("endedAt", "结束于", "Ended"),
			filledIn(kind.Field{Name: "message", Type: kind.Markdown, Title: tr("说明", "Message")}),
			filledIn(kind.Field{Name: "forecast", Type: kind.Markdown, Title: tr("会做什么", "What would happen")}),
			filledIn(kind.Field{Name: "output", Type: kind.Markdown, Title: tr("输出", "Output"), MaxLen: 70_000}),
			tallyOf("dropped", "未保留的字节", "Bytes not kept"),
			kind.Line("log", "完整输出", "Whole output").Auto(),
			tallyOf("code", "退出码", "Exit code"),
			filledIn(kind.Field{Name: "detail", Type: kind.Any, Title: tr("结果数据", "Result")}),
			kind.Line("role", "由谁决定", "Who decides").Auto(),
			filledIn(kind.Field{Name: "other", Type: kind.Bool, Title: tr("须他人批准", "By another person")}),
			kind.Line("startedBy", "发起人", "Started by").Auto(),
			kind.Line("by", "决定人", "Decided by").Auto(),
		},
		Search: []kind.Param{
			kind.ByLink(RunKind), kind.ByToken("step"), kind.ByToken("target"), kind.ByToken("type"), kind.ByNumber("order"), kind.ByToken("role"),
		},
		Access: []kind.Grant{
			{Role: RoleOps, Can: []string{"read", "history", StepApprove, StepRefuse, StepHappened, StepRepeat, StepAbandon}},
			{Role: RoleManager, Can: []string{"read", "history", StepApprove, StepRefuse}},
			{Role: kernel.RoleSystemAdmin, Can: []string{"read", "history", StepApprove, StepRefuse, StepHappened, StepRepeat, StepAbandon}},
		},
		View: kind.View{
			TitleField: "title", Columns: []string{"order", "title", "type", "target", "state", "message", "startedAt", "endedAt"},
			Filters: []string{"run", "_state", "target", "type"}, Sort: "order",
		},
		Lifecycle: &kind.Lifecycle{Start: StepDue, States: []kind.State{
			{Name: StepDue, Title: tr("将执行", "Due"), Tone: "info"},
			{Name: StepWaiting, Title: tr("等待审批", "Waits for approval"), Tone: "warn"},
			{Name: StepRunning, Title: tr("执行中", "Running"), Tone: "info"},
			{Name: StepUnclear, Title: tr("结果不明，等人查看", "Unclear, a person looks"), Tone: "warn"},
			{Name: StepSucceeded, Title: tr("成功", "Succeeded"), Tone: "good", Final: true},
			{Name: StepFailed, Title: tr("失败", "Failed"), Tone: "bad", Final: true},
			{Name: StepSkipped, Title: tr("跳过", "Skipped"), Tone: "idle", Final: true},
			{Name: StepRefused, Title: tr("未批准", "Refused"), Tone: "bad", Final: true},
			{Name: StepUndone, Title: tr("已撤销", "Undone"), Tone: "idle", Final: true},
		}, Verbs: []kind.Verb{
			{Name: "wait", Title: tr("请求审批", "Ask for approval"), From: []string{StepDue}, To: StepWaiting, Input: append([]string{"role", "other", "startedBy"}, facts...), Clock: true},
			{Name: "start", Title: tr("开始", "Start"), From: []string{StepDue, StepRunning}, To: StepRunning, Input: facts, Clock: true},
			{Name: "note", Title: tr("记下进展", "Note"), From: []string{"*"}, Input: facts, Clock: true},
			{Name: "succeed", Title: tr("成功", "Succeed"), From: []string{StepRunning}, To: StepSucceeded, Input: facts, Clock: true},
			{Name: "fail", Title: tr("失败", "Fail"), From: []string{StepDue, StepRunning, StepUnclear, StepWaiting}, To: StepFailed, Input: facts, Clock: true},
			{Name: "skip", Title: tr("跳过", "Skip"), From: []string{StepDue}, To: StepSkipped, Input: facts, Clock: true},
			{Name: "doubt", Title: tr("结果不明", "Doubt"), From: []string{StepRunning}, To: StepUnclear, Input: append([]string{"role"}, facts...), Clock: true},
			{Name: "undone", Title: tr("已撤销", "Undone"), From: []string{StepSucceeded}, To: StepUndone, Input: facts, Clock: true},
			{Name: StepApprove, Title: tr("批准", "Approve"), From: []string{StepWaiting}, To: StepDue, Primary: true, Guards: forRole, Set: map[string]string{"by": "actor.name"}},
			{Name: StepRefuse, Title: tr("不批准", "Refuse"), From: []string{StepWaiting}, To: StepRefused, Guards: forRole[:1], Evidence: reason, Set: map[string]string{"by": "actor.name"}},
			{Name: StepHappened, Title: tr("确已完成", "It did happen"), From: []string{StepUnclear}, To: StepSucceeded, Evidence: reason, Set: map[string]string{"by": "actor.name"}},
			{Name: StepRepeat, Title: tr("没有完成，再做一次", "It did not: do it again"), From: []string{StepUnclear}, To: StepDue, Confirm: true, Evidence: reason, Set: map[string]string{"by": "actor.name"}},
			{Name: StepAbandon, Title: tr("放弃这一步", "Abandon"), From: []string{StepUnclear}, To: StepFailed, Evidence: reason, Set: map[string]string{"by": "actor.name"}},
		}},
	}
}

func credentialKind() kind.Kind {
	return kind.Kind{
		Name: CredentialKind, Plural: "access-credentials", Title: tr("访问凭据", "Access credential"),
		Help: tr("登录目标用的账号与密码或密钥；写入后不再显示。", "The account and the password or key that open targets; never shown again once written."),
		Fields: []kind.Field{
			kind.Line("name", "名称", "Name").Must(),
			kind.Line("user", "账号", "Account"),
			{Name: "use", Type: kind.Code, Title: tr("类型", "Type"), Required: true, Options: []kind.Option{
				{Code: "password", Title: tr("密码", "Password")},
				{Code: "key", Title: tr("私钥", "Private key")},
				{Code: "token", Title: tr("令牌", "Token")},
			}},
			{Name: "secret", Type: kind.Secret, Title: tr("密码或密钥", "Password or key"), Required: true, MaxLen: 16_384},
		},
		Search: []kind.Param{kind.ByToken("name")},
		Access: []kind.Grant{{Role: kernel.RoleSystemAdmin, Can: []string{"read", "create", "update", "delete"}}, {Role: RoleOps, Can: []string{"read"}}},
		View:   kind.View{TitleField: "name", Columns: []string{"name", "user", "use", "updatedAt"}, Filters: []string{"name"}, Menu: "ops", Icon: "Key", Order: 60},
	}
}

func runScheduleKind() kind.Kind {
	return kind.Kind{
		Name: RunScheduleKind, Plural: "run-schedules", Title: tr("定时执行", "Run schedule"),
		Help: tr("按时间执行一本处置手册：几点、哪些天、错过了怎么办。", "A runbook by the clock: at what time, on which days, and what happens where it was missed."),
		Fields: []kind.Field{
			kind.Line("name", "名称", "Name").Must(),
			kind.Link(RunbookKind, "处置手册", "Runbook"),
			{Name: "inputs", Type: kind.Any, Title: tr("输入", "Inputs")},
			{Name: "cron", Type: kind.String, Title: tr("时间", "Time"), Required: true, Help: tr("分 时 日 月 星期，例如 30 2 * * 1-5", "minute hour day month weekday, such as 30 2 * * 1-5")},
			{Name: "zone", Type: kind.String, Title: tr("时区", "Time zone"), Default: "Asia/Shanghai"},
			{Name: "calendar", Type: kind.Ref, To: []string{kernel.CalendarKind}, Title: tr("只在此日历的工作时间", "Only in the hours of this calendar")},
			{Name: "late", Type: kind.Duration, Title: tr("错过后多久内仍补做", "Still done when missed by at most"), Default: "1h"},
			instantOf("last", "上次应执行于", "Last due"),
			instantOf("next", "下次执行于", "Next due"),
			filledIn(kind.Field{Name: "message", Type: kind.Markdown, Title: tr("说明", "Message")}),
		},
		Search: []kind.Param{kind.ByWords("name"), kind.ByLink(RunbookKind)},
		Access: []kind.Grant{{Role: RoleOps, Can: []string{"read", "history", "create", "update", "pause", "resume"}}, mgr},
		View:   kind.View{TitleField: "name", Columns: []string{"name", "runbook", "cron", "state", "last", "next"}, Filters: []string{"name", "_state"}, Menu: "ops", Icon: "AlarmClock", Order: 50},
		Lifecycle: &kind.Lifecycle{Start: "active", States: []kind.State{
			{Name: "active", Title: tr("启用", "Active"), Tone: "good", Edit: true},
			{Name: "paused", Title: tr("暂停", "Paused"), Tone: "idle", Edit: true},
		}, Verbs: []kind.Verb{
			{Name: "fire", Title: tr("到时", "Fire"), From: []string{"active"}, Input: []string{"last", "next", "message"}, Clock: true},
			{Name: "pause", Title: tr("暂停", "Pause"), From: []string{"active"}, To: "paused"},
			{Name: "resume", Title: tr("启用", "Resume"), From: []string{"paused"}, To: "active", Primary: true},
		}},
	}
}
