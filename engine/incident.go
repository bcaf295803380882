package engine

import (
	"encoding/json"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
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

// The verbs by which people decide on a remedy that waits for approval.
const (
	ApproveRemedy = "approve-remedy"
	DeclineRemedy = "decline-remedy"
)

// The states of a Try.
const (
	TryWaiting  = "waiting"  // for a person's approval
	TryHeld     = "held"     // something speaks against doing it now: Why says what
	TryRunning  = "running"  // its run is under way
	TryProving  = "proving"  // the run succeeded; its proof is looked for
	TryWorked   = "worked"   // the signs that prove it are gone
	TryFailed   = "failed"   // the run failed, or the proof did not come in time
	TryDeclined = "declined" // a person did not approve it
)

// What a Moment tells.
const (
	MomentDetected   = "detected"
	MomentThought    = "thought"
	MomentAsked      = "asked" // a check that tells causes apart was made
	MomentAdvised    = "advised"
	MomentApproval   = "approval" // asked for or given
	MomentHeld       = "held"     // an action was held back
	MomentOrdered    = "ordered"
	MomentEnded      = "ended" // a run ended
	MomentProven     = "proven"
	MomentDisproven  = "disproven"
	MomentCalled     = "called" // a person was called
	MomentSuppressed = "suppressed"
	MomentLearnt     = "learnt"
	MomentRecovered  = "recovered"
)

// Trouble is the data of an incident record that the closed loop keeps. Those of
// declared services (apps/watch) fill only Service, About, Times and Occurrences.
type Trouble struct {
	Service     string       `json:"service"`         // name of what it is about, for people
	About       string       `json:"about,omitempty"` // "thing/ID" or "service/ID"
	Group       string       `json:"group,omitempty"` // of alerts
	Severity    Severity     `json:"severity,omitempty"`
	Things      []string     `json:"things,omitempty"` // ids of what shows signs
	Times       int          `json:"times"`
	Occurrences []Occurrence `json:"occurrences"`
	Thoughts    []Thought    `json:"thoughts,omitempty"` // newest last, at most 20
	Tries       []Try        `json:"tries,omitempty"`
	Moments     []Moment     `json:"moments,omitempty"` // at most 300
	Scene       []SceneThing `json:"scene,omitempty"`   // the things around it
	Evidence    []Evidence   `json:"evidence,omitempty"`
	Decision    string       `json:"decision,omitempty"` // what a person decided of the try that waits: "approve", "decline"
	Decider     string       `json:"decider,omitempty"`
	By          string       `json:"by,omitempty"`
}

// Occurrence is one failure from detection to verification.
type Occurrence struct {
	DetectedAt  time.Time  `json:"detectedAt"`
	DiagnosedAt *time.Time `json:"diagnosedAt,omitempty"`
	Diagnosis   string     `json:"diagnosis,omitempty"`
	HeldUntil   *time.Time `json:"heldUntil,omitempty"`
	ActedAt     *time.Time `json:"actedAt,omitempty"`
	Attempts    int        `json:"attempts,omitempty"`
	VerifiedAt  *time.Time `json:"verifiedAt,omitempty"`
	Outcome     string     `json:"outcome,omitempty"`
}

// The outcomes of an occurrence.
const (
	OutcomeHealed = "healed"
	OutcomeItself = "by-itself"
	OutcomeCalled = "person-called"
	OutcomePerson = "by-person"
)

// Thought is what was made of the symptoms at one time.
type Thought struct {
	At       time.Time `json:"at"`
	Verdict  Verdict   `json:"verdict"` // with the most probable hypotheses only
	Symptoms int       `json:"symptoms"`
}

// Try is one remedy and what came of it.
type Try struct {
	ID      string            `json:"id"` // mode, thing and remedy: once an occurrence
	Mode    string            `json:"mode"`
	Thing   string            `json:"thing"`
	Remedy  string            `json:"remedy"`
	Title   kind.Text         `json:"title"`
	Runbook string            `json:"runbook"`
	Inputs  map[string]string `json:"inputs,omitempty"`
	Risk    string            `json:"risk"`
	Radius  []string          `json:"radius,omitempty"`
	Level   Level             `json:"level"` // of autonomy under which it was done
	State   string            `json:"state"` // TryWaiting …
	Why     kind.Text         `json:"why,omitzero"`
	Run     string            `json:"run,omitempty"` // "run/ID"
	At      time.Time         `json:"at"`
	EndedAt *time.Time        `json:"endedAt,omitempty"` // of the run
	Proof   []Proof           `json:"proof,omitempty"`
	Within  string            `json:"within"` // how long the proof may take, a Go duration
	By      string            `json:"by,omitempty"`
}

// Proof is one sign that must be gone for a remedy to have worked.
type Proof struct {
	Sign string `json:"sign"`
	Gone bool   `json:"gone"`
}

// Moment is one entry of the time line.
type Moment struct {
	At   time.Time `json:"at"`
	What string    `json:"what"` // MomentDetected …
	Say  kind.Text `json:"say"`
	Ref  string    `json:"ref,omitempty"` // a record it tells of
}

// What a thing of a scene is in it.
const (
	SceneCause    = "cause"
	SceneSuffers  = "suffers" // shows signs that the cause explains
	SceneSign     = "sign"    // shows signs nobody explained yet
	SceneWell     = "well"
	SceneObserved = "unknown" // nothing is measured of it
)

// SceneThing is a thing of the neighbourhood as it stood.
type SceneThing struct {
	ID    string    `json:"id"`
	Name  string    `json:"name"`
	Class Class     `json:"class"`
	State string    `json:"state"` // SceneCause …
	On    []SceneOn `json:"on,omitempty"`
}

// SceneOn is what a thing of a scene stands on.
type SceneOn struct {
	Type  LinkType `json:"type"`
	Thing string   `json:"thing"`
}

// Evidence is one sign that was seen, with what to ask the series store for its
// chart.
type Evidence struct {
	Thing  string            `json:"thing"`
	Sign   string            `json:"sign"`
	Title  kind.Text         `json:"title"`
	Query  string            `json:"query,omitempty"` // PromQL; empty where it is no metric
	Labels map[string]string `json:"labels,omitempty"`
	Value  float64           `json:"value"`
	Text   string            `json:"text,omitempty"` // a log line, a state
	Since  time.Time         `json:"since"`
}

// TroubleOf reads a record of IncidentKind. Internal where its data is of
// another shape.
func TroubleOf(r record.Record) (Trouble, error) {
	var t Trouble
	return t, errs.Wrap("read incident", r.Key.String(), json.Unmarshal(r.Data, &t))
}

// Current is the try that is not over; nil where there is none.
func (t *Trouble) Current() *Try {
	if n := len(t.Tries); n > 0 {
		switch last := &t.Tries[n-1]; last.State {
		case TryWaiting, TryRunning, TryProving:
			return last
		}
	}
	return nil
}

// Last is the newest occurrence; nil where there is none.
func (t *Trouble) Last() *Occurrence {
	if len(t.Occurrences) == 0 {
		return nil
	}
	return &t.Occurrences[len(t.Occurrences)-1]
}

// Incident declares the kind of what went wrong, with one service or with a group
// of things, with every occurrence that came within the quiet time of the former.
func Incident() kind.Kind {
	instant := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Time, Title: tr(zh, en)}
	}
	told := []string{"service", "about", "occurrences", "times", "severity", "things", "thoughts", "tries", "moments", "scene", "evidence", "decision"}
	under := []string{Open, Escalated, Acknowledged}
	waits := []kind.Guard{{
		If:  `has(data.tries) && data.tries.exists(t, t.state == "` + TryWaiting + `")`,
		Say: tr("没有等待批准的处置。", "No remedy waits for approval."),
	}}
	return kind.Kind{
		Name: IncidentKind, Plural: "incidents", Title: tr("事件", "Incident"),
		Help: tr("一项服务出的事：每次故障何时发现、诊断、处置、验证。", "What happened to a service: when each failure was detected, diagnosed, acted on and verified."),
		Fields: []kind.Field{
			kind.Line("service", "服务", "Service").Must().Auto(),
			{Name: "about", Type: kind.Ref, To: []string{ServiceKind, ThingKind}, Title: tr("对象", "About"), ReadOnly: true},
			kind.Line("group", "告警组", "Group of alerts").Auto(),
			{Name: "severity", Type: kind.Code, Title: tr("严重程度", "Severity"), Options: severities(), ReadOnly: true},
			{Name: "things", Type: kind.String, Many: true, Title: tr("有征象的对象", "Things with signs"), ReadOnly: true},
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
			filledIn(kind.Field{Name: "thoughts", Type: kind.Any, Title: tr("判断", "What was thought")}),
			filledIn(kind.Field{Name: "tries", Type: kind.Any, Title: tr("处置", "What was tried")}),
			filledIn(kind.Field{Name: "moments", Type: kind.Any, Title: tr("时间线", "Time line")}),
			filledIn(kind.Field{Name: "scene", Type: kind.Any, Title: tr("周边对象", "Things around it")}),
			filledIn(kind.Field{Name: "evidence", Type: kind.Any, Title: tr("证据", "Evidence")}),
			{Name: "decision", Type: kind.Code, Title: tr("对待批处置的决定", "Decision on the remedy that waits"), ReadOnly: true, Options: []kind.Option{
				{Code: "approve", Title: tr("批准", "Approved")}, {Code: "decline", Title: tr("不批准", "Declined")},
			}},
			kind.Line("decider", "决定人", "Decided by").Auto(),
			kind.Line("by", "处理人", "Handled by").Auto(),
		},
		Search: []kind.Param{
			kind.ByToken("service"), kind.ByToken("group"), kind.ByToken("severity"),
			{Name: "words", Type: kind.WordsParam, Path: "service", Title: tr("事件名称", "Name of the incident")},
			{Name: "thing", Type: kind.TokenParam, Path: "things", Title: tr("有征象的对象", "Things with signs")},
			{Name: "about", Type: kind.ReferenceParam, Path: "about", To: []string{ServiceKind, ThingKind}},
			{Name: "outcome", Type: kind.TokenParam, Path: "occurrences.outcome", Title: tr("结果", "Outcome")},
			{Name: "detected", Type: kind.DateParam, Path: "occurrences.detectedAt", Title: tr("发现于", "Detected")},
		},
		Access: []kind.Grant{ops, mgr},
		View: kind.View{
			TitleField: "service", Columns: []string{"service", "severity", "state", "times", "by", "createdAt", "updatedAt"},
			Filters: []string{"service", "severity", "_state", "detected", "outcome"}, Menu: "ops", Icon: "Warning", Order: 20,
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
				Name: ApproveRemedy, Title: tr("批准处置", "Approve the remedy"), From: under, Primary: true, Guards: waits, Confirm: true,
				Set: map[string]string{"decision": "'approve'", "decider": "actor.name"},
			},
			{
				Name: DeclineRemedy, Title: tr("不批准处置", "Decline the remedy"), From: under, Guards: waits,
				Set:      map[string]string{"decision": "'decline'", "decider": "actor.name"},
				Evidence: []kind.Evidence{{Name: "reason", Title: tr("理由", "Reason"), Required: true}},
			},
			{
				Name: Resolve, Title: tr("了结", "Resolve"), From: []string{Escalated, Acknowledged}, To: Resolved, Set: map[string]string{"by": "actor.name"},
				Evidence: []kind.Evidence{{Name: "result", Title: tr("原因与处理结果", "Cause and what was done"), Required: true}},
			},
		}},
	}
}
