package engine

import (
	"encoding/json"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// The kinds of the intent engine. An intent is what is wanted, in a sentence; a
// knob is something that may be turned to reach it.
const (
	IntentKind = "intent"
	KnobKind   = "knob"
)

// The states of an intent beside Draft, Confirmed and Retired.
const (
	IntentActive = "active" // measured and acted for
	IntentPaused = "paused" // neither
)

// The verbs of an intent beside Confirm, Revise, Retire and Note. Its loop says
// IntentUnderstand and IntentBegin.
const (
	IntentUnderstand = "understand" // the sentence was read: what it means stands beside it
	IntentBegin      = "begin"
	IntentPause      = "pause"
	IntentResume     = "resume"
)

// The states and verbs of a knob. Its tuner says all but KnobStop and KnobStart.
const (
	KnobFree    = "free"
	KnobHeld    = "held" // one tuner turns it; no other may until the lease ends
	KnobStopped = "stopped"

	KnobHold    = "hold"
	KnobTurn    = "turn"
	KnobRelease = "release"
	KnobGiveUp  = "give-up" // the knob hunts, or a turn failed: a person is called
	KnobStop    = "stop"    // a person
	KnobStart   = "start"   // a person
)

// How far an intent, or one goal of it, is met.
const (
	GoalMet     = "met"
	GoalAtRisk  = "at-risk" // met, and its budget goes too fast or it is expected to be missed
	GoalMissed  = "missed"  // not met over its period, or not met now where always is asked
	GoalUnknown = "unknown" // too little was measured to say: never counted as met
)

// How firmly a goal is meant. A limit is kept before any target is weighed, a
// target before any wish.
const (
	AsLimit  = "limit"
	AsTarget = "target"
	AsWish   = "wish"
)

// How a goal is meant of several things.
const (
	EachThing = "each" // every one of them keeps it
	OneThing  = "one"  // at least one does
	MeanThing = "mean" // their mean does
)

// SubjectIncident is the class of a goal's subject that is no thing: incidents,
// and how soon they are answered.
const SubjectIncident = "incident"

// Goal is one measurable part of an intent: what is measured, of what, between
// which bounds, for how much of the time.
type Goal struct {
	ID      string  `json:"id"`      // of its content: another bound is another goal
	Measure string  `json:"measure"` // of the intent engine's catalogue: response-time, free-space …
	Subject Subject `json:"subject"`
	// Min and Max are inclusive, in the base unit of the measure (s, 1, Cel, By, W);
	// nil: no bound on that side. At least one is set.
	Min *float64 `json:"min,omitempty,string"`
	Max *float64 `json:"max,omitempty,string"`
	// Share is the part of the time (of incidents: of the cases) in which it has
	// to hold, above 0 and up to 1. 1 leaves no error budget.
	Share    float64 `json:"share,string"`
	Period   string  `json:"period"`          // rolling time it is judged over: "30d"
	Hours    *Hours  `json:"hours,omitempty"` // only then; nil: always
	Strength string  `json:"strength"`        // AsLimit, AsTarget, AsWish
}

// Subject is what a goal is about, as the sentence says it. Things are found
// anew at every look, so what joins later is meant too.
type Subject struct {
	Name     string `json:"name,omitempty"`     // of a thing or a service; empty: all of the class
	Class    string `json:"class,omitempty"`    // a Class, or SubjectIncident; empty: any that has the name
	How      string `json:"how"`                // EachThing, OneThing, MeanThing
	Part     string `json:"part,omitempty"`     // of the thing: PartData
	Severity string `json:"severity,omitempty"` // of incidents: this one or worse; empty: any
}

// PartData is the part of a host that people's data is written to: its file
// systems but those of the boot, of the system's own packages and of memory.
const PartData = "data"

// The days that only a calendar tells, and not the week.
const (
	OnWorking     = "working"     // working days, make-up days among them and public holidays not
	OnOff         = "off"         // all others: weekends and public holidays
	OnHoliday     = "holiday"     // public holidays
	ButNotHoliday = "not-holiday" // the days of the week but for public holidays
)

// CalendarChina is the calendar record that tells the working days and public
// holidays of goals. The intent engine writes it, as the State Council published
// them; a site may change it.
var CalendarChina = record.Key{Kind: kernel.CalendarKind, ID: "china"}

// Hours are times of the week, or of the days of a calendar.
type Hours struct {
	// On is OnWorking … by CalendarChina, whose time zone the hours are in then; empty:
	// by the week alone.
	On    string `json:"on,omitempty"`
	Days  []int  `json:"days,omitempty"`  // 1 Monday … 7 Sunday; none: every day
	From  string `json:"from,omitempty"`  // "08:00"; empty: midnight
	Until string `json:"until,omitempty"` // "18:00"; of the next day where it is not after From; empty: midnight
}

// Policy is what may be done for a goal.
type Policy struct {
	Goal    string `json:"goal"`            // its ID
	When    string `json:"when"`            // GoalMissed, or GoalAtRisk
	Runbook string `json:"runbook"`         // name of a runbook
	Side    string `json:"side,omitempty"`  // "low" or "high": only where that bound is crossed
	Asked   bool   `json:"asked,omitempty"` // the sentence asks for it; else it is the stock policy of the measure
}

// GoalStanding is how far one goal is met, at one instant. Numbers that are not
// known are absent.
type GoalStanding struct {
	Goal       string   `json:"goal"`
	State      string   `json:"state"`                // GoalMet …
	Attainment *float64 `json:"attainment,omitempty"` // part of the time (or cases) that was measured in which it held
	Coverage   float64  `json:"coverage"`             // part of the time that was measured at all
	// BudgetLeft is the part of the error budget of the period that is left; below
	// 0 it is overspent. Absent where the share is 1.
	BudgetLeft *float64 `json:"budgetLeft,omitempty"`
	Burns      []Burn   `json:"burns,omitempty"`
	// Reward is 1 where it is met, less the further it is from that, 0 at the worst.
	Reward   float64        `json:"reward"`
	Now      []ThingReading `json:"now,omitempty"`      // the worst first, at most 20
	Expected *Expectation   `json:"expected,omitempty"` // of the worst; absent where it has no trend
	// Present is what it is at this instant, GoalMet, GoalMissed or GoalUnknown: State
	// tells of the whole period. Next is what it will be, as far as can be said.
	Present string    `json:"present"`
	Next    *Outlook  `json:"next,omitempty"`  // absent where the present is not known
	Query   string    `json:"query,omitempty"` // PromQL that was measured
	Say     kind.Text `json:"say"`
}

// Burn is how fast the error budget goes: 1 spends it just by the end of the
// period. Long and Short are over the two windows; it is alarming while both are
// above Limit.
type Burn struct {
	Window   string   `json:"window"` // the long one
	Long     *float64 `json:"long,omitempty"`
	Short    *float64 `json:"short,omitempty"`
	Limit    float64  `json:"limit"`
	Alarming bool     `json:"alarming"`
}

// ThingReading is what one series of a goal reads now.
type ThingReading struct {
	Thing string            `json:"thing,omitempty"` // "thing/ID" or "service/ID"
	Name  string            `json:"name"`
	Part  map[string]string `json:"part,omitempty"` // the labels that tell it from others of the thing: mountpoint, sensor
	Value *float64          `json:"value,omitempty"`
	State string            `json:"state"` // GoalMet, GoalMissed, GoalUnknown
}

// Expectation is where a value goes if it goes on as in the last hours.
type Expectation struct {
	Name  string    `json:"name"` // of the thing
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
	Low   float64   `json:"low"` // between Low and High with 95 %
	High  float64   `json:"high"`
	State string    `json:"state"` // GoalMet, GoalMissed; GoalUnknown where the bound lies between Low and High
	// Crosses is when the bound is crossed; zero: not before At, or it is already.
	Crosses time.Time `json:"crosses,omitzero"`
}

// What an Outlook is drawn from.
const (
	ByTrend  = "trend"  // the measure goes on as in the last hours
	ByBudget = "budget" // the error budget goes on to be spent as in the last hour
	ByClock  = "clock"  // a case waits, and its time is up then
	ByStay   = "stay"   // nothing moves: as it is
)

// Outlook is the state a goal, or an intent, is expected to be in next.
type Outlook struct {
	State string    `json:"state"` // GoalMet, GoalMissed
	At    time.Time `json:"at"`    // when it comes to that; where it stays: until when it is foreseen to
	By    string    `json:"by"`    // ByTrend …
	Say   kind.Text `json:"say"`
}

// Penalty is what one intent loses to others over one resource.
type Penalty struct {
	Resource string    `json:"resource"` // "knob/ID", or "thing/ID" and the measure
	Loser    string    `json:"loser"`    // "intent/ID"
	Winners  []string  `json:"winners"`
	Value    float64   `json:"value"` // 0–1 times the loser's weight
	Say      kind.Text `json:"say"`
}

// Deed is what was done for an intent.
type Deed struct {
	At    time.Time `json:"at"`
	Run   string    `json:"run"` // "run/ID"
	Title string    `json:"title"`
	State string    `json:"state"` // of the run
	Why   string    `json:"why,omitempty"`
}

// Standing is how far an intent is met: what its page shows.
type Standing struct {
	At    time.Time `json:"at"`
	State string    `json:"state"` // the worst of the goals'
	// Present and Next are the worst of the goals' too; of equal Nexts the soonest.
	Present string         `json:"present,omitempty"`
	Next    *Outlook       `json:"next,omitempty"`
	Reward  float64        `json:"reward"` // mean of the goals' rewards, less the penalty; not below 0
	Goals   []GoalStanding `json:"goals"`
	Pays    []Penalty      `json:"pays,omitempty"`  // what it loses to others
	Costs   []Penalty      `json:"costs,omitempty"` // what others lose to it
	Deeds   []Deed         `json:"deeds,omitempty"` // newest first, at most 20
	// Touches are the things it is about and what those stand on.
	Touches []string  `json:"touches,omitempty"`
	Say     kind.Text `json:"say"`
}

// Knob is something that may be turned: a setpoint, a limit, a number of
// workers. Values are in the unit its runbook takes.
type Knob struct {
	Name    string  `json:"name"`
	Thing   string  `json:"thing"`   // "thing/ID" that it turns
	Runbook string  `json:"runbook"` // "runbook/NAME" that sets it, with the inputs "thing" and Input
	Input   string  `json:"input"`
	Min     float64 `json:"min,string"`
	Max     float64 `json:"max,string"`
	Step    float64 `json:"step,string"` // the most it is turned at once
	Settle  string  `json:"settle"`      // how long a turn takes to show: until then it is left alone
	Effects []struct {
		Measure string `json:"measure"`
		Thing   string `json:"thing"` // "thing/ID" whose measure moves
		// Gain is how much the measure moves, in its base unit, for one unit of the knob;
		// its sign matters most.
		Gain float64 `json:"gain,string"`
	} `json:"effects"`

	Value     *float64  `json:"value,omitempty,string"` // as last set; absent: not known, nothing is turned
	Holder    string    `json:"holder,omitempty"`       // "intent/ID"
	HeldUntil time.Time `json:"heldUntil,omitzero"`
	TurnedAt  time.Time `json:"turnedAt,omitzero"`
	// Direction of the last turn, -1 or 1, and Gap how far it was then from what was
	// wanted. Reversals are the turns in a row that went back on the one before or
	// followed one that did not help.
	Direction int     `json:"direction,omitempty"`
	Gap       float64 `json:"gap,omitempty,string"`
	Reversals int     `json:"reversals,omitempty"`
	Run       string  `json:"run,omitempty"` // of the last turn
	Said      string  `json:"said,omitempty"`
}

// Intents declares the kinds of the intent engine.
func Intents() []kind.Kind { return []kind.Kind{intentKind(), knobKind()} }

func standingOptions() []kind.Option {
	return []kind.Option{
		{Code: GoalMet, Title: tr("达成", "Met")},
		{Code: GoalAtRisk, Title: tr("有风险", "At risk")},
		{Code: GoalMissed, Title: tr("未达成", "Missed")},
		{Code: GoalUnknown, Title: tr("数据不足", "Unknown")},
	}
}

func intentKind() kind.Kind {
	understood := []string{"readOf", "goals", "policies", "saysZh", "saysEn", "taken", "unclear"}
	standing := []string{"standing", "present", "next", "nextAt", "attainment", "budgetLeft", "reward", "penalty", "say", "detail", "measuredAt"}
	number := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Decimal, Title: tr(zh, en), ReadOnly: true}
	}
	return kind.Kind{
		Name: IntentKind, Plural: "intents", Title: tr("意图", "Intent"),
		Help: tr("用一句话说明要达到什么；系统把它分解为可测量的目标，持续测量并为它行动。", "What is wanted, in one sentence; it is broken down into goals that are measured and acted for."),
		Fields: []kind.Field{
			{Name: "text", Type: kind.Markdown, Title: tr("意图", "Intent"), Required: true, MaxLen: 1000, Help: tr("例如：门诊服务 99.99% 的时间在 300 毫秒内应答。", "Such as: the outpatient service answers 99.99 % of the time within 300 ms.")},
			{Name: "weight", Type: kind.Int, Title: tr("分量", "Weight"), Min: "1", Max: "10", Default: json.Number("5"), Help: tr("与其他意图相争时的分量，1 到 10。", "What it weighs against others, 1 to 10.")},
			{Name: "readOf", Type: kind.Markdown, Title: tr("所读的句子", "Sentence that was read"), ReadOnly: true},
			{Name: "saysZh", Type: kind.Markdown, Title: tr("系统的理解", "How it was understood (Chinese)"), ReadOnly: true},
			{Name: "saysEn", Type: kind.Markdown, Title: tr("系统的理解（英文）", "How it was understood"), ReadOnly: true},
			{Name: "taken", Type: kind.String, Many: true, Title: tr("据此认为", "Taken for granted"), ReadOnly: true},
			{Name: "unclear", Type: kind.String, Many: true, Title: tr("须说明", "To be made clear"), ReadOnly: true},
			{Name: "goals", Type: kind.Object, Many: true, Title: tr("目标", "Goals"), ReadOnly: true, Fields: []kind.Field{
				kind.Line("id", "标识", "Identifier"),
				kind.Line("measure", "指标", "Measure"),
				{Name: "subject", Type: kind.Object, Title: tr("对象", "Subject"), Fields: []kind.Field{
					kind.Line("name", "名称", "Name"), kind.Line("class", "类别", "Class"), kind.Line("how", "范围", "Of how many"),
					kind.Line("part", "部分", "Part"), kind.Line("severity", "级别", "Severity"),
				}},
				number("min", "下限", "At least"), number("max", "上限", "At most"), number("share", "比例", "Share"),
				{Name: "period", Type: kind.Duration, Title: tr("考核周期", "Period")},
				{Name: "hours", Type: kind.Object, Title: tr("时段", "Hours"), Fields: []kind.Field{
					{Name: "on", Type: kind.Code, Title: tr("按工作日历", "By the calendar"), Options: []kind.Option{
						{Code: OnWorking, Title: tr("工作日", "Working days")},
						{Code: OnOff, Title: tr("休息日", "Days off")},
						{Code: OnHoliday, Title: tr("法定节假日", "Public holidays")},
						{Code: ButNotHoliday, Title: tr("法定节假日除外", "Except public holidays")},
					}},
					{Name: "days", Type: kind.Int, Many: true, Title: tr("星期", "Days")},
					kind.Line("from", "从", "From"), kind.Line("until", "到", "Until"),
				}},
				{Name: "strength", Type: kind.Code, Title: tr("约束", "Strength"), Options: []kind.Option{
					{Code: AsLimit, Title: tr("必须", "Limit")}, {Code: AsTarget, Title: tr("目标", "Target")}, {Code: AsWish, Title: tr("尽量", "Wish")},
				}},
			}},
			{Name: "policies", Type: kind.Object, Many: true, Title: tr("策略", "Policies"), ReadOnly: true, Fields: []kind.Field{
				kind.Line("goal", "目标", "Goal"),
				{Name: "when", Type: kind.Code, Title: tr("何时", "When"), Options: standingOptions()},
				kind.Line("runbook", "处置手册", "Runbook"), kind.Line("side", "越过哪一侧", "Side"),
				{Name: "asked", Type: kind.Bool, Title: tr("句中要求", "Asked for")},
			}},
			{Name: "standing", Type: kind.Code, Title: tr("达成情况", "Standing"), Options: standingOptions(), ReadOnly: true},
			{Name: "present", Type: kind.Code, Title: tr("现在", "Present state"), Options: standingOptions(), ReadOnly: true},
			{Name: "next", Type: kind.Code, Title: tr("预计", "Expected next state"), Options: standingOptions(), ReadOnly: true},
			{Name: "nextAt", Type: kind.Time, Title: tr("预计时间", "Expected at"), ReadOnly: true},
			number("attainment", "达成率", "Attainment"),
			number("budgetLeft", "剩余容许量", "Error budget left"),
			number("reward", "得分", "Reward"),
			number("penalty", "让给其他意图", "Lost to other intents"),
			{Name: "say", Type: kind.Markdown, Title: tr("说明", "In words"), ReadOnly: true},
			{Name: "detail", Type: kind.Any, Title: tr("详情", "Detail"), ReadOnly: true},
			{Name: "measuredAt", Type: kind.Time, Title: tr("测量于", "Measured at"), ReadOnly: true},
		},
		Search: []kind.Param{
			kind.ByWords("text"), kind.ByToken("standing"),
			{Name: "measure", Type: kind.TokenParam, Path: "goals.measure", Title: tr("指标", "Measure")},
			{Name: "subject", Type: kind.WordsParam, Path: "goals.subject.name", Title: tr("对象", "Subject")},
		},
		Access: []kind.Grant{
			{Role: RoleOps, Can: []string{"read", "history", "create", "update", "delete", Confirm, Revise, IntentPause, IntentResume, Retire}},
			{Role: RoleManager, Can: []string{"read", "history", "create", "update", Confirm, Revise, IntentPause, IntentResume, Retire}},
		},
		View: kind.View{
			TitleField: "text", Columns: []string{"text", "state", "standing", "present", "next", "attainment", "budgetLeft", "penalty", "measuredAt"},
			Filters: []string{"text", "standing", "_state"}, Menu: "ops", Icon: "Aim", Order: 8,
		},
		Lifecycle: &kind.Lifecycle{Start: Draft, States: []kind.State{
			{Name: Draft, Title: tr("草稿", "Draft"), Tone: "info", Edit: true},
			{Name: Confirmed, Title: tr("已确认", "Confirmed"), Tone: "info"},
			{Name: IntentActive, Title: tr("执行中", "Active"), Tone: "good"},
			{Name: IntentPaused, Title: tr("已暂停", "Paused"), Tone: "idle"},
			{Name: Retired, Title: tr("已撤销", "Retired"), Tone: "idle"},
		}, Verbs: []kind.Verb{
			{Name: IntentUnderstand, Title: tr("理解", "Understand"), From: []string{Draft}, Input: understood, Clock: true},
			{
				Name: Confirm, Title: tr("确认", "Confirm"), From: []string{Draft}, To: Confirmed, Primary: true,
				Guards: []kind.Guard{
					{If: "has(data.readOf) && data.readOf == data.text", Say: tr("系统还在读这句话，请稍候再确认。", "The sentence is still being read; confirm in a moment.")},
					{If: "!has(data.unclear) || size(data.unclear) == 0", Say: tr("句中有不清楚的地方，请按提示改好再确认。", "Parts of the sentence are unclear; change them as is said and confirm then.")},
					{If: "has(data.goals) && size(data.goals) > 0", Say: tr("这句话里没有可测量的目标，请写明对象、指标和数值。", "The sentence holds no goal that can be measured; name the subject, the measure and the bound.")},
				},
			},
			{Name: IntentBegin, Title: tr("开始执行", "Begin"), From: []string{Confirmed}, To: IntentActive, Input: standing, Clock: true},
			{Name: Note, Title: tr("记下达成情况", "Note"), From: []string{Confirmed, IntentActive, IntentPaused}, Input: standing, Clock: true},
			{Name: Revise, Title: tr("改写", "Revise"), From: []string{Confirmed, IntentActive, IntentPaused, Retired}, To: Draft},
			{Name: IntentPause, Title: tr("暂停", "Pause"), From: []string{IntentActive}, To: IntentPaused, Undo: IntentResume},
			{Name: IntentResume, Title: tr("继续", "Resume"), From: []string{IntentPaused}, To: IntentActive, Primary: true},
			{Name: Retire, Title: tr("撤销", "Retire"), From: []string{Draft, Confirmed, IntentActive, IntentPaused}, To: Retired, Confirm: true},
		}},
	}
}

func knobKind() kind.Kind {
	turned := []string{"value", "holder", "heldUntil", "turnedAt", "direction", "gap", "reversals", "run", "said"}
	number := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Decimal, Title: tr(zh, en), Required: true}
	}
	return kind.Kind{
		Name: KnobKind, Plural: "knobs", Title: tr("可调项", "Knob"),
		Help: tr("系统可以调节的设定：范围、每次最多调多少、调后多久见效。", "A setting the system may turn: its range, the most it is turned at once, how long a turn takes to show."),
		Fields: []kind.Field{
			kind.Line("name", "名称", "Name").Must(),
			{Name: "thing", Type: kind.Ref, To: []string{ThingKind}, Title: tr("对象", "Thing"), Required: true},
			kind.Link(RunbookKind, "处置手册", "Runbook"),
			{Name: "input", Type: kind.String, Title: tr("手册的输入项", "Input of the runbook"), Required: true, Default: "value"},
			number("min", "最小", "Least"), number("max", "最大", "Most"), number("step", "每次最多调", "Step at most"),
			{Name: "settle", Type: kind.Duration, Title: tr("见效时间", "Settles within"), Required: true, Default: "10m"},
			{Name: "effects", Type: kind.Object, Many: true, Title: tr("影响", "Effects"), Required: true, Fields: []kind.Field{
				kind.Line("measure", "指标", "Measure").Must(),
				{Name: "thing", Type: kind.Ref, To: []string{ThingKind}, Title: tr("影响的对象", "Thing that it moves"), Required: true},
				number("gain", "调高 1 使指标变化", "Change of the measure for one up"),
			}},
			{Name: "value", Type: kind.Decimal, Title: tr("当前值", "Value")},
			{Name: "holder", Type: kind.Ref, To: []string{IntentKind}, Title: tr("由谁调节", "Held by"), ReadOnly: true},
			{Name: "heldUntil", Type: kind.Time, Title: tr("占用至", "Held until"), ReadOnly: true},
			{Name: "turnedAt", Type: kind.Time, Title: tr("调节于", "Turned at"), ReadOnly: true},
			{Name: "direction", Type: kind.Int, Title: tr("方向", "Direction"), ReadOnly: true},
			{Name: "reversals", Type: kind.Int, Title: tr("连续无效或反向的次数", "Turns in a row that did not help"), ReadOnly: true},
			{Name: "gap", Type: kind.Decimal, Title: tr("调节前相差", "Distance before the turn"), ReadOnly: true},
			{Name: "run", Type: kind.Ref, To: []string{RunKind}, Title: tr("执行", "Run"), ReadOnly: true},
			{Name: "said", Type: kind.Markdown, Title: tr("说明", "In words"), ReadOnly: true},
		},
		Search: []kind.Param{
			kind.ByWords("name"),
			{Name: "thing", Type: kind.ReferenceParam, Path: "thing", To: []string{ThingKind}},
			{Name: "holder", Type: kind.ReferenceParam, Path: "holder", To: []string{IntentKind}},
		},
		Access: []kind.Grant{{Role: RoleOps, Can: []string{"read", "history", "create", "update", "delete", KnobStop, KnobStart}}, mgr},
		View: kind.View{
			TitleField: "name", Columns: []string{"name", "thing", "value", "state", "holder", "turnedAt"},
			Filters: []string{"name", "_state"}, Sort: "name", Menu: "ops", Icon: "Operation", Order: 65,
		},
		Lifecycle: &kind.Lifecycle{Start: KnobFree, States: []kind.State{
			{Name: KnobFree, Title: tr("空闲", "Free"), Tone: "idle", Edit: true},
			{Name: KnobHeld, Title: tr("调节中", "Held"), Tone: "info"},
			{Name: KnobStopped, Title: tr("停用", "Stopped"), Tone: "warn", Edit: true},
		}, Verbs: []kind.Verb{
			{Name: KnobHold, Title: tr("占用", "Hold"), From: []string{KnobFree, KnobHeld}, To: KnobHeld, Input: turned, Clock: true},
			{Name: KnobTurn, Title: tr("调节", "Turn"), From: []string{KnobHeld}, Input: turned, Clock: true},
			{Name: KnobRelease, Title: tr("释放", "Release"), From: []string{KnobHeld}, To: KnobFree, Input: turned, Clock: true},
			{Name: Note, Title: tr("记下情况", "Note"), From: []string{"*"}, Input: turned, Clock: true},
			{Name: KnobStop, Title: tr("停用", "Stop"), From: []string{KnobFree, KnobHeld}, To: KnobStopped, Undo: KnobStart},
			{Name: KnobGiveUp, Title: tr("停止调节", "Give up"), From: []string{KnobFree, KnobHeld}, To: KnobStopped, Input: turned, Clock: true},
			{
				Name: KnobStart, Title: tr("启用", "Start"), From: []string{KnobStopped}, To: KnobFree, Primary: true,
				Set: map[string]string{"reversals": "0", "run": "null"},
			},
		}},
	}
}
