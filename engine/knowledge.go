package engine

import (
	"zhiwei/kernel/kind"
)

// The kinds of knowledge.
const (
	FailureModeKind = "failure-mode"
	CaseKind        = "case"
	DocumentKind    = "document"
)

// The states of knowledge beside Proposed, in which it waits for a person's
// review. Only what is Live is reasoned with.
const (
	Live     = "live"
	Rejected = "rejected"
	Outdated = "outdated" // replaced or withdrawn
)

// The verbs of knowledge beside Restore, which puts it up for review again.
const (
	Approve  = "approve"  // a person reviewed it
	Reject   = "reject"   // a person found it wrong
	Withdraw = "withdraw" // it no longer holds
	Revise   = "revise"   // a newer pack replaced it
)

// Verdict is what the knowledge engine makes of symptoms: the faults that
// explain them and what to look at next.
type Verdict struct {
	// Hypotheses are those held to be so first, of them what others stand on before
	// these, then the others; all else being equal the most probable first. Those of
	// one fault exclude each other; Faults tells how many faults hold at once.
	Hypotheses []Hypothesis `json:"hypotheses"`
	// Faults are the indexes in Hypotheses of the faults held to be present
	// together: empty where nothing known explains what is seen, two or more for
	// independent faults.
	Faults []int `json:"faults"`
	// Known is false where the evidence is too weak or fits nothing known; then Say
	// says so and nothing may be done by itself.
	Known bool `json:"known"`
	// Next are the checks worth most for their cost, best first; empty where no
	// check would change the ranking.
	Next []Check `json:"next"`
	// Say is the verdict in a sentence.
	Say kind.Text `json:"say"`
	// Unexplained are the symptoms (indexes of what was handed in) that are signs
	// of something and that no held fault accounts for.
	Unexplained []int `json:"unexplained,omitempty"`
	// Pack is the version of the knowledge that spoke.
	Pack string `json:"pack"`
}

// Hypothesis is one failure mode on one thing.
type Hypothesis struct {
	Thing string    `json:"thing"`
	Mode  string    `json:"mode"`  // id of the failure mode
	Title kind.Text `json:"title"` // of the failure mode
	// Probability that this is so, among the alternatives for the same symptoms and
	// the case that it is none of what is known: 0 to 1.
	Probability float64 `json:"probability"`
	// Weight is the logarithm (base e) of the evidence: how much likelier the
	// symptoms are with this fault than without.
	Weight float64 `json:"weight"`
	// Causes of the mode, most probable first; their probabilities sum to 1.
	Causes []Cause `json:"causes,omitempty"`
	// Chain is the reasoning, step by step, from the cause to what is seen.
	Chain []Step `json:"chain"`
	// Remedies in the order in which they are worth trying. Those whose
	// precondition does not hold are there too, with Refused saying so.
	Remedies []Remedy `json:"remedies,omitempty"`
	// Say explains it in a sentence.
	Say kind.Text `json:"say"`
	// Source is the clause, manual or ticket the knowledge comes from.
	Source kind.Text `json:"source"`
}

// Cause is why a failure mode came about.
type Cause struct {
	ID          string    `json:"id"`
	Title       kind.Text `json:"title"`
	Probability float64   `json:"probability"`
}

// Evidence for or against a hypothesis.
const (
	EvidenceFor     = "for"     // expected and seen
	EvidenceAgainst = "against" // expected, looked at and not there
	EvidenceUnknown = "unknown" // expected, not looked at
)

// Step is one line of the drawn chain: a sign on a thing, how the fault reaches
// it, and what it weighs.
type Step struct {
	Thing string    `json:"thing"`
	Via   []string  `json:"via,omitempty"` // things between the fault and this one, from the fault outwards
	Sign  string    `json:"sign"`          // id of the sign
	Title kind.Text `json:"title"`
	State string    `json:"state"` // EvidenceFor, EvidenceAgainst or EvidenceUnknown
	// Weight in logarithms base e: positive speaks for the hypothesis.
	Weight float64 `json:"weight"`
	// Symptoms are the indexes of the symptoms it was read from.
	Symptoms []int `json:"symptoms,omitempty"`
}

// Check is something to look at next.
type Check struct {
	Thing string    `json:"thing"`
	Sign  string    `json:"sign"`
	Title kind.Text `json:"title"`
	How   kind.Text `json:"how"` // where and how to look
	// Query is what a machine can ask by itself: PromQL of a metric, a property of
	// a state; empty where a person has to look.
	Query string `json:"query,omitempty"`
	// Ask is a POSIX shell script that looks and changes nothing, for the thing's own
	// shell: it exits with 0 where the sign shows, 1 where it does not, anything else
	// where it cannot tell. Empty where there is none, or where the ledger lacks what
	// it needs. Its answer is handed back as a Symptom from a state with the Name
	// AnswerName and the sign as Text.
	Ask  string            `json:"ask,omitempty"`
	With map[string]string `json:"with,omitempty"` // environment of Ask
	// Cost is the effort: 1 a query, 3 a command on the thing, 10 a person's look
	// at a page, 30 a walk to the machine room.
	Cost float64 `json:"cost"`
	// Gain is what the answer is expected to tell, in bits.
	Gain float64   `json:"gain"`
	Yes  kind.Text `json:"yes"` // what it means if it is so
	No   kind.Text `json:"no"`
}

// AnswerName is the property by which a Symptom from a state tells what a look
// at a sign gave: Text is the sign's id, Absent that it does not show.
const AnswerName = "sign"

// Risks of a remedy.
const (
	RiskNone   = "none"   // changes nothing that serves
	RiskLow    = "low"    // can be undone at once
	RiskMedium = "medium" // interrupts what it is done to
	RiskHigh   = "high"   // interrupts others too, or cannot be undone
)

// Remedy is what may be done: a runbook of the automation engine with its
// inputs.
type Remedy struct {
	ID      string            `json:"id"`      // within the failure mode
	Runbook string            `json:"runbook"` // id of a runbook; "call-person" where only people can act
	Inputs  map[string]string `json:"inputs,omitempty"`
	Title   kind.Text         `json:"title"`
	Risk    string            `json:"risk"`
	// Radius are the things that feel it, the thing itself first.
	Radius []string `json:"radius"`
	Undo   string   `json:"undo,omitempty"` // runbook that takes it back; empty: cannot or need not be
	// Proof are the signs that must be gone (on the thing) for it to have worked.
	Proof []string `json:"proof"`
	// Within is how long the proof may take, a Go duration.
	Within string `json:"within"`
	// Success is how often it worked, Laplace-smoothed; Tried how often it was tried.
	Success float64 `json:"success"`
	Tried   int     `json:"tried"`
	// Certainty is how probable it is that it is the right thing to do: its fault is so,
	// or another of the alternatives for which the same is done.
	Certainty float64 `json:"certainty,omitempty"`
	// Refused says why it must not be done now; empty: it may.
	Refused kind.Text `json:"refused,omitzero"`
}

// Allowed tells whether nothing speaks against doing it.
func (r Remedy) Allowed() bool { return r.Refused == kind.Text{} }

// judged are the states that knowledge goes through, and what people may say.
// The fields in delivered are those a newer pack replaces.
func judged(delivered ...string) *kind.Lifecycle {
	why := func(must bool) []kind.Evidence {
		return []kind.Evidence{{Name: "reason", Title: tr("理由", "Reason"), Required: must}}
	}
	l := &kind.Lifecycle{Start: Proposed, States: []kind.State{
		{Name: Proposed, Title: tr("待审核", "Waits for review"), Tone: "warn", Edit: true},
		{Name: Live, Title: tr("在用", "Live"), Tone: "good"},
		{Name: Rejected, Title: tr("已否决", "Rejected"), Tone: "idle"},
		{Name: Outdated, Title: tr("已停用", "Outdated"), Tone: "idle"},
	}, Verbs: []kind.Verb{
		{Name: Approve, Title: tr("审核通过", "Approve"), From: []string{Proposed}, To: Live, Primary: true, Evidence: why(false), Set: map[string]string{"reviewer": "actor.name"}},
		{Name: Reject, Title: tr("否决", "Reject"), From: []string{Proposed}, To: Rejected, Evidence: why(true), Set: map[string]string{"reviewer": "actor.name"}},
		{Name: Withdraw, Title: tr("停用", "Withdraw"), From: []string{Live}, To: Outdated, Evidence: why(true), Undo: Restore},
		{Name: Restore, Title: tr("恢复使用", "Use again"), From: []string{Outdated, Rejected}, To: Proposed, Evidence: why(true)},
	}}
	if len(delivered) > 0 {
		l.Verbs = append(l.Verbs, kind.Verb{Name: Revise, Title: tr("更新版本", "Revise"), From: []string{"*"}, To: Live, Input: delivered, Clock: true})
	}
	return l
}

// both is a field with a Chinese and an English line.
func both(name, zh, en string) kind.Field {
	return kind.Field{Name: name, Type: kind.Object, Title: tr(zh, en), Fields: []kind.Field{
		{Name: "zh", Type: kind.Markdown, Title: tr("中文", "Chinese")},
		{Name: "en", Type: kind.Markdown, Title: tr("英文", "English")},
	}}
}

var teaches = kind.Grant{Role: RoleOps, Can: []string{"read", "history", "create", "update", Approve, Reject, Withdraw, Restore}}

// FailureMode declares the kind of one known way to fail: how it shows, why it
// comes, what tells it from its look-alikes, what helps. Modes of the delivered
// pack and modes a hospital adds are records of it; its body has the schema of
// engine/knowledge.
func FailureMode() kind.Kind {
	return kind.Kind{
		Name: FailureModeKind, Plural: "failure-modes", Title: tr("故障模式", "Failure mode"),
		Help: tr("一种已知的故障：怎样表现、因何而起、如何与相似的区分、怎样处置。", "A known way to fail: how it shows, why it comes, what tells it from others, what helps."),
		Fields: []kind.Field{
			kind.Line("mode", "编号", "Identifier").Must(),
			both("title", "名称", "Name"),
			both("help", "说明", "Explanation"),
			{Name: "class", Type: kind.String, Many: true, Title: tr("设备类别", "Class of thing")},
			{Name: "version", Type: kind.Int, Title: tr("版本", "Version"), Min: "1"},
			kind.Line("pack", "知识包", "Pack").Auto(),
			both("source", "出处", "Source"),
			{Name: "body", Type: kind.Markdown, Title: tr("内容", "Content"), Required: true, Help: tr("YAML，格式见 engine/knowledge。", "YAML; the schema is that of engine/knowledge.")},
			kind.Line("reviewer", "审核人", "Reviewer").Auto(),
		},
		Search: []kind.Param{
			kind.ByToken("mode"), kind.ByToken("class"), kind.ByToken("pack"),
			{Name: "title", Type: kind.WordsParam, Path: "title.zh", Title: tr("名称", "Name")},
			{Name: "title-en", Type: kind.WordsParam, Path: "title.en", Title: tr("英文名", "English name")},
		},
		Access: []kind.Grant{teaches, mgr},
		View: kind.View{
			TitleField: "title", Columns: []string{"mode", "title", "class", "version", "state"}, Filters: []string{"title", "class", "_state"},
			Sort: "mode", Menu: "ops", Icon: "Collection", Order: 60,
		},
		Lifecycle: judged("body", "version", "pack", "title", "help", "class", "source"),
	}
}

// Case declares the kind of what one closed incident teaches: what was seen,
// what it turned out to be, what worked. It counts only when a person approved
// it.
func Case() kind.Kind {
	return kind.Kind{
		Name: CaseKind, Plural: "cases", Title: tr("案例", "Case"),
		Help: tr("一次已了结的故障教会我们的：当时所见、真正的原因、有效的处置。", "What a closed incident teaches: what was seen, what it was, what worked."),
		Fields: []kind.Field{
			kind.Line("title", "名称", "Title").Must(),
			{Name: "incident", Type: kind.Ref, To: []string{IncidentKind}, Title: tr("事件", "Incident")},
			kind.Line("thing", "对象", "Thing"),
			kind.Line("class", "设备类别", "Class of thing"),
			kind.Line("mode", "故障模式", "Failure mode").Must(),
			kind.Line("cause", "原因", "Cause"),
			{Name: "seen", Type: kind.String, Many: true, Title: tr("所见征象", "Signs seen")},
			{Name: "missing", Type: kind.String, Many: true, Title: tr("查过而没有的征象", "Signs looked for and not there")},
			{Name: "tried", Type: kind.Object, Many: true, Title: tr("处置", "Remedies tried"), Fields: []kind.Field{
				kind.Line("remedy", "处置", "Remedy").Must(),
				{Name: "worked", Type: kind.Bool, Title: tr("有效", "It worked"), Required: true},
			}},
			{Name: "note", Type: kind.Markdown, Title: tr("说明", "Note")},
			{Name: "runbook", Type: kind.Ref, To: []string{RunbookKind}, Title: tr("有效的处置手册", "Runbook that helped"), Help: tr("审核通过后，同样的征象再出现时，系统按自主等级照此处置。", "Once approved, the same signs are answered with it as far as the level of autonomy allows.")},
			{Name: "inputs", Type: kind.Any, Title: tr("它的输入", "Its inputs"), Help: tr("{thing} 代表对象。", "{thing} stands for the thing.")},
			{Name: "risk", Type: kind.Code, Title: tr("风险", "Risk"), Options: riskOptions()},
			{Name: "lines", Type: kind.String, Many: true, Title: tr("随之出现的日志", "Log lines that came with it"), MaxLen: 1000},
			kind.Line("reviewer", "审核人", "Reviewer").Auto(),
		},
		Search: []kind.Param{
			kind.ByWords("title"), kind.ByToken("mode"), kind.ByToken("class"), kind.ByToken("thing"),
			{Name: "incident", Type: kind.ReferenceParam, Path: "incident", To: []string{IncidentKind}},
		},
		Access: []kind.Grant{teaches, mgr},
		View: kind.View{
			TitleField: "title", Columns: []string{"title", "mode", "thing", "state", "reviewer", "updatedAt"}, Filters: []string{"title", "mode", "_state"},
			Menu: "ops", Icon: "Notebook", Order: 62,
		},
		Lifecycle: judged(),
	}
}

// Document declares the kind of what people wrote: manuals, procedures, tickets,
// minutes, each tied to the failure modes it speaks of.
func Document() kind.Kind {
	return kind.Kind{
		Name: DocumentKind, Plural: "documents", Title: tr("资料", "Document"),
		Help: tr("手册、规程、工单与经验，与故障模式相连，可按词查找。", "Manuals, procedures, tickets and experience, tied to failure modes and found by words."),
		Fields: []kind.Field{
			kind.Line("title", "标题", "Title").Must(),
			{Name: "genre", Type: kind.Code, Title: tr("类型", "Genre"), Required: true, Options: []kind.Option{
				{Code: "manual", Title: tr("手册", "Manual")},
				{Code: "procedure", Title: tr("规程", "Procedure")},
				{Code: "ticket", Title: tr("工单", "Ticket")},
				{Code: "note", Title: tr("经验", "Note")},
				{Code: "standard", Title: tr("标准", "Standard")},
			}},
			{Name: "text", Type: kind.Markdown, Title: tr("正文", "Text"), Required: true},
			{Name: "modes", Type: kind.String, Many: true, Title: tr("故障模式", "Failure modes")},
			{Name: "things", Type: kind.String, Many: true, Title: tr("对象", "Things")},
			kind.Line("origin", "来源", "Origin"),
			kind.Line("reviewer", "审核人", "Reviewer").Auto(),
		},
		Search: []kind.Param{kind.ByWords("title"), kind.ByToken("genre"), kind.ByToken("modes"), kind.ByToken("things")},
		Access: []kind.Grant{teaches, mgr},
		View: kind.View{
			TitleField: "title", Columns: []string{"title", "genre", "modes", "state", "updatedAt"}, Filters: []string{"title", "genre", "modes", "_state"},
			Menu: "ops", Icon: "Document", Order: 64,
		},
		Lifecycle: judged(),
	}
}
