package engine

import (
	"encoding/json"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// The kinds of alerts and of what keeps them quiet.
const (
	AlertKind       = "alert"
	SilenceKind     = "silence"
	MaintenanceKind = "maintenance"
	InhibitionKind  = "inhibition"
)

// The states of an alert beside Resolved. A suppressed alert is watched as any
// other; it only calls nobody.
const (
	Firing     = "firing"
	Suppressed = "suppressed"
)

// The verbs of an alert; all are said by the loop. Note keeps its state.
const (
	Fire     = "fire"     // it is there again
	Suppress = "suppress" // something accounts for it or keeps it quiet
	Show     = "show"     // nothing does any longer
	Clear    = "clear"    // what it told of is over
)

// The states of a silence, a maintenance and an inhibition. A silence is active
// from its record's making; its From may lie ahead.
const (
	MutePlanned   = "planned"
	MuteActive    = "active"
	MuteEnded     = "ended"
	MuteCancelled = "cancelled"
)

// The verbs of a silence, a maintenance and an inhibition.
const (
	MuteBegin   = "begin"  // its time has come
	MuteExpire  = "expire" // its time is over
	MuteEnd     = "end"    // a person ends it before
	MuteCancel  = "cancel" // a person calls it off before it began
	MuteProlong = "prolong"
)

// Why an alert is suppressed.
const (
	ReasonSilence     = "silence"     // a person's silence matches it
	ReasonMaintenance = "maintenance" // its thing is being worked on
	ReasonInhibition  = "inhibition"  // a rule says that another alert speaks for it
	ReasonParent      = "parent"      // what its thing stands on has failed
	ReasonRecheck     = "recheck"     // what its thing stands on has just come back: it is given time to follow
	ReasonStorm       = "storm"       // too many came at once; it is counted in the storm. Never of a critical one
)

// Alert is one sign that holds of one thing, from its rise to its end: the data
// of a record of AlertKind.
type Alert struct {
	ID       string    `json:"-"` // of the record; the same for the same thing, name and rise
	State    string    `json:"-"` // Firing, Suppressed, Resolved
	Thing    string    `json:"thing"`
	Name     string    `json:"name"` // id of the sign
	Severity Severity  `json:"severity"`
	Text     kind.Text `json:"text"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"`  // when it ended; zero while it lasts
	Group    string    `json:"group,omitempty"` // id of the group it belongs to; none while a person keeps it quiet from the start
	// Reason, By and Why tell what suppresses it: one of the reasons, the id of the
	// silence, maintenance, inhibition or alert, and a sentence.
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
	Why    kind.Text `json:"why,omitzero"`
	// Rises is how often it came within the flapping time; Flapping says that it
	// comes and goes, and is held as firing until it is calm.
	Rises    int  `json:"rises"`
	Flapping bool `json:"flapping,omitempty"`
}

// toldAlert are the fields that the verbs of an alert may change.
var toldAlert = []string{"severity", "text", "until", "group", "reason", "by", "why", "rises", "flapping"}

// Input is what a verb says of an alert that its record is to hold from then on;
// what it no longer has is null, which takes it out.
func (a Alert) Input() (map[string]any, error) { return input(a, toldAlert) }

// input are fields of a value as JSON, null where it has none.
func input(v any, fields []string) (map[string]any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, errs.Wrap("write", "input", err)
	}
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, errs.Wrap("write", "input", err)
	}
	out := make(map[string]any, len(fields))
	for _, f := range fields {
		out[f] = all[f]
	}
	return out, nil
}

// AlertOf reads a record of AlertKind. Invalid where its data is of another
// shape.
func AlertOf(r record.Record) (Alert, error) {
	var a Alert
	if err := json.Unmarshal(r.Data, &a); err != nil {
		return Alert{}, unreadable("read alert", r, err)
	}
	a.ID, a.State = r.ID, r.State
	return a, nil
}

// The operators of a matcher, those of Prometheus' Alertmanager. Values of the
// last two are RE2 expressions that must match the whole value.
const (
	MatchEqual    = "="
	MatchNotEqual = "!="
	MatchRegexp   = "=~"
	MatchNoRegexp = "!~"
)

// Matcher compares one label of an alert; a label it does not have is empty. The
// labels are those of its series and of its thing, and alertname (the id of the
// sign), severity, thing (id), thing_name and class, which win.
type Matcher struct {
	Name  string `json:"name"`
	Op    string `json:"op"`
	Value string `json:"value,omitempty"`
}

// Silence keeps quiet what all its matchers match, from From to before Until.
type Silence struct {
	ID       string    `json:"-"`
	State    string    `json:"-"` // MuteActive; what is MuteEnded keeps nothing quiet
	Matchers []Matcher `json:"matchers"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
	Reason   string    `json:"reason"`
}

// SilenceOf reads a record of SilenceKind. Invalid where its data is of another
// shape.
func SilenceOf(r record.Record) (Silence, error) {
	var s Silence
	if err := json.Unmarshal(r.Data, &s); err != nil {
		return Silence{}, unreadable("read silence", r, err)
	}
	s.ID, s.State = r.ID, r.State
	return s, nil
}

// Maintenance is a window in which things are worked on, from From to before
// Until.
type Maintenance struct {
	ID     string    `json:"-"`
	State  string    `json:"-"` // MutePlanned, MuteActive, MuteEnded, MuteCancelled: the first two count between From and Until
	Title  string    `json:"title"`
	Things []string  `json:"things"` // references, "thing/17"
	Below  bool      `json:"below"`  // also all that cannot stand without them
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
}

// MaintenanceOf reads a record of MaintenanceKind. Invalid where its data is of
// another shape.
func MaintenanceOf(r record.Record) (Maintenance, error) {
	var m Maintenance
	if err := json.Unmarshal(r.Data, &m); err != nil {
		return Maintenance{}, unreadable("read maintenance", r, err)
	}
	m.ID, m.State = r.ID, r.State
	return m, nil
}

// Inhibition says that an alert which all of Source match speaks for the alerts
// which all of Target match and that have the same values of the labels in Equal:
// the inhibit_rule of Alertmanager. An alert never speaks for itself.
type Inhibition struct {
	ID     string    `json:"-"`
	State  string    `json:"-"` // MuteActive or MuteEnded
	Source []Matcher `json:"source"`
	Target []Matcher `json:"target"`
	Equal  []string  `json:"equal,omitempty"`
}

// InhibitionOf reads a record of InhibitionKind. Invalid where its data is of
// another shape.
func InhibitionOf(r record.Record) (Inhibition, error) {
	var i Inhibition
	if err := json.Unmarshal(r.Data, &i); err != nil {
		return Inhibition{}, unreadable("read inhibition", r, err)
	}
	i.ID, i.State = r.ID, r.State
	return i, nil
}

func unreadable(op string, r record.Record, err error) error {
	return errs.E(errs.Invalid, op, r.Key.String(), "记录 "+r.Key.String()+" 的内容读不懂；请检查它是否按表单填写。",
		"The record "+r.Key.String()+" cannot be read; check that it is filled in as its form says.").Because(err)
}

// AlertKinds are the kinds of this file.
func AlertKinds() []kind.Kind {
	return []kind.Kind{alerts(), silences(), maintenances(), inhibitions()}
}

var (
	mutes    = kind.Grant{Role: RoleOps, Can: []string{"read", "history", "create", "update", MuteEnd, MuteCancel, MuteProlong}}
	fromTime = kind.Field{Name: "from", Type: kind.Time, Title: tr("起", "From"), Required: true}
	till     = kind.Field{Name: "until", Type: kind.Time, Title: tr("止", "Until"), Required: true}
	why      = kind.Field{Name: "reason", Type: kind.Markdown, Title: tr("缘由", "Reason"), Required: true}
	// lasting bounds what people keep quiet: what is forgotten must end by itself.
	lasting = kind.Guard{
		If:  `timestamp(data.from) < timestamp(data.until) && (timestamp(data.until) <= timestamp(data.from) + duration("744h") || timestamp(data.until) <= now + duration("744h"))`,
		Say: tr("止须晚于起，且最长 31 天；确需更久请到期再延。", "It must end after it begins, within 31 days; prolong it then if it must last longer."),
	}
)

// matchers is a field with a list of matchers.
func matchers(name, zh, en string) kind.Field {
	return kind.Field{Name: name, Type: kind.Object, Many: true, Required: true, Title: tr(zh, en), Fields: []kind.Field{
		{
			Name: "name", Type: kind.String, Title: tr("标签", "Label"), Required: true, Pattern: `[a-zA-Z_][a-zA-Z0-9_]*`, MaxLen: 64,
			Help: tr("alertname（征象编号）、severity、thing、thing_name、class，或对象与序列的标签。", "alertname (id of the sign), severity, thing, thing_name, class, or a label of the thing or the series."),
		},
		{Name: "op", Type: kind.Code, Title: tr("比较", "Compare"), Required: true, Options: []kind.Option{
			{Code: MatchEqual, Title: tr("等于", "is")},
			{Code: MatchNotEqual, Title: tr("不等于", "is not")},
			{Code: MatchRegexp, Title: tr("符合正则", "matches")},
			{Code: MatchNoRegexp, Title: tr("不符合正则", "does not match")},
		}},
		{Name: "value", Type: kind.String, Title: tr("值", "Value"), MaxLen: 1000},
	}}
}

// someMatch refuses matchers that would match every alert.
func someMatch(field string) kind.Guard {
	return kind.Guard{
		If:  `data.` + field + `.exists(m, has(m.value) && m.value != "" && m.op in ["=", "=~"] && !m.value.startsWith(".*"))`,
		Say: tr("至少要有一条“等于”或“符合正则”的条件，且值不为空、不以 .* 开头：不能让所有告警都不作声。", "At least one condition must say “is” or “matches” with a value that is not empty and does not begin with .*: not every alert may be kept quiet."),
	}
}

func alerts() kind.Kind {
	told := toldAlert
	text := both("text", "内容", "Text")
	sentence := both("why", "为何不提示", "Why it calls nobody")
	return kind.Kind{
		Name: AlertKind, Plural: "alerts", Title: tr("告警", "Alert"),
		Help: tr("一个对象上的一个征象，从出现到消失。", "One sign that holds of one thing, from its rise to its end."),
		Fields: []kind.Field{
			kind.Line("thing", "对象", "Thing").Must().Auto(),
			kind.Line("name", "征象", "Sign").Must().Auto(),
			{Name: "severity", Type: kind.Code, Title: tr("级别", "Severity"), Required: true, ReadOnly: true, Options: severities()},
			text,
			{Name: "since", Type: kind.Time, Title: tr("出现于", "Since"), Required: true, ReadOnly: true},
			{Name: "until", Type: kind.Time, Title: tr("消失于", "Until"), ReadOnly: true},
			kind.Line("group", "所属告警组", "Group").Auto(),
			{Name: "reason", Type: kind.Code, Title: tr("不提示的原因", "Reason for quiet"), ReadOnly: true, Options: []kind.Option{
				{Code: ReasonSilence, Title: tr("静默", "Silence")},
				{Code: ReasonMaintenance, Title: tr("维护窗口", "Maintenance")},
				{Code: ReasonInhibition, Title: tr("抑制规则", "Inhibition")},
				{Code: ReasonParent, Title: tr("所依赖的对象已告警", "What it stands on has failed")},
				{Code: ReasonRecheck, Title: tr("所依赖的对象刚恢复，待复查", "What it stands on has just come back")},
				{Code: ReasonStorm, Title: tr("告警风暴", "Storm")},
			}},
			kind.Line("by", "由何而起", "Because of").Auto(),
			sentence,
			{Name: "rises", Type: kind.Int, Title: tr("近期出现次数", "Recent rises"), ReadOnly: true},
			{Name: "flapping", Type: kind.Bool, Title: tr("反复", "Flapping"), ReadOnly: true},
		},
		Search: []kind.Param{
			kind.ByToken("thing"), kind.ByToken("name"), kind.ByToken("severity"), kind.ByToken("group"), kind.ByToken("reason"),
			kind.ByDate("since"), kind.ByDate("until"),
		},
		Access: []kind.Grant{{Role: RoleOps, Can: []string{"read", "history"}}, mgr},
		View: kind.View{
			TitleField: "text", Columns: []string{"severity", "thing", "name", "text", "state", "reason", "since", "until"},
			Filters: []string{"thing", "name", "severity", "_state", "reason", "since"}, Sort: "-since", Menu: "ops", Icon: "Bell", Order: 15,
		},
		Lifecycle: &kind.Lifecycle{Start: Firing, States: []kind.State{
			{Name: Firing, Title: tr("告警中", "Firing"), Tone: "bad"},
			{Name: Suppressed, Title: tr("不提示", "Suppressed"), Tone: "idle"},
			{Name: Resolved, Title: tr("已消失", "Resolved"), Tone: "good"},
		}, Verbs: []kind.Verb{
			{Name: Fire, Title: tr("再次出现", "Fire again"), From: []string{Resolved}, To: Firing, Input: told, Clock: true},
			{Name: Suppress, Title: tr("不再提示", "Suppress"), From: []string{Firing, Resolved}, To: Suppressed, Input: told, Clock: true},
			{Name: Show, Title: tr("恢复提示", "Show"), From: []string{Suppressed}, To: Firing, Input: told, Clock: true},
			{Name: Clear, Title: tr("消失", "Clear"), From: []string{Firing, Suppressed}, To: Resolved, Input: told, Clock: true},
			{Name: Note, Title: tr("记下变化", "Note"), From: []string{"*"}, Input: told, Clock: true},
		}},
	}
}

func silences() kind.Kind {
	return kind.Kind{
		Name: SilenceKind, Plural: "silences", Title: tr("静默", "Silence"),
		Help:   tr("一段时间内，符合条件的告警不提示人；监测照常。", "For a time, alerts that match call nobody; they are watched as ever."),
		Fields: []kind.Field{why, matchers("matchers", "条件（须全部符合）", "Conditions, all of which must hold"), fromTime, till},
		Search: []kind.Param{kind.ByWords("reason"), kind.ByDate("from"), kind.ByDate("until")},
		Access: []kind.Grant{mutes, mgr},
		View: kind.View{
			TitleField: "reason", Columns: []string{"reason", "matchers", "state", "from", "until"}, Filters: []string{"reason", "_state"},
			Sort: "-until", Menu: "ops", Icon: "MuteNotification", Order: 16,
		},
		Guards: []kind.Guard{lasting, someMatch("matchers")},
		Lifecycle: &kind.Lifecycle{Start: MuteActive, States: []kind.State{
			{Name: MuteActive, Title: tr("有效", "Active"), Tone: "warn", Edit: true, Limit: &kind.Limit{At: `timestamp(data.until)`, Then: MuteExpire}},
			{Name: MuteEnded, Title: tr("已结束", "Ended"), Tone: "idle", Final: true},
		}, Verbs: []kind.Verb{
			{Name: MuteEnd, Title: tr("提前结束", "End now"), From: []string{MuteActive}, To: MuteEnded, Primary: true},
			{Name: MuteProlong, Title: tr("延长", "Prolong"), From: []string{MuteActive}, Input: []string{"until"}},
			{Name: MuteExpire, Title: tr("到期", "Expire"), From: []string{MuteActive}, To: MuteEnded, Clock: true},
		}},
	}
}

func maintenances() kind.Kind {
	return kind.Kind{
		Name: MaintenanceKind, Plural: "maintenances", Title: tr("维护窗口", "Maintenance window"),
		Help: tr("计划内的作业：期间这些对象的告警不提示人，也不自动处置。", "Planned work: meanwhile alerts of these things call nobody and are not acted on."),
		Fields: []kind.Field{
			kind.Line("title", "作业", "Work").Must(),
			{Name: "things", Type: kind.Ref, Many: true, To: []string{ThingKind}, Title: tr("对象", "Things"), Required: true},
			{
				Name: "below", Type: kind.Bool, Title: tr("含受其影响者", "With what stands on them"), Default: true,
				Help: tr("没有它们就不能工作的对象也不提示。", "Also what cannot work without them."),
			},
			fromTime, till, why,
		},
		Search: []kind.Param{
			kind.ByWords("title"), kind.ByDate("from"), kind.ByDate("until"),
			{Name: "thing", Type: kind.ReferenceParam, Path: "things", To: []string{ThingKind}, Title: tr("对象", "Things")},
		},
		Access: []kind.Grant{mutes, mgr},
		View: kind.View{
			TitleField: "title", Columns: []string{"title", "things", "state", "from", "until"}, Filters: []string{"title", "thing", "_state"},
			Sort: "-from", Menu: "ops", Icon: "Tools", Order: 17,
		},
		Guards: []kind.Guard{lasting},
		Lifecycle: &kind.Lifecycle{Start: MutePlanned, States: []kind.State{
			{Name: MutePlanned, Title: tr("待开始", "Planned"), Tone: "info", Edit: true, Limit: &kind.Limit{At: `timestamp(data.from)`, Then: MuteBegin}},
			{Name: MuteActive, Title: tr("进行中", "Under way"), Tone: "warn", Limit: &kind.Limit{At: `timestamp(data.until)`, Then: MuteExpire}},
			{Name: MuteEnded, Title: tr("已结束", "Ended"), Tone: "idle", Final: true},
			{Name: MuteCancelled, Title: tr("已取消", "Cancelled"), Tone: "idle", Final: true},
		}, Verbs: []kind.Verb{
			{Name: MuteBegin, Title: tr("开始", "Begin"), From: []string{MutePlanned}, To: MuteActive, Clock: true},
			{Name: MuteCancel, Title: tr("取消", "Cancel"), From: []string{MutePlanned}, To: MuteCancelled},
			{Name: MuteProlong, Title: tr("延长", "Prolong"), From: []string{MuteActive}, Input: []string{"until"}},
			{Name: MuteEnd, Title: tr("提前结束", "End now"), From: []string{MuteActive}, To: MuteEnded, Primary: true},
			{Name: MuteExpire, Title: tr("到时结束", "Expire"), From: []string{MuteActive}, To: MuteEnded, Clock: true},
		}},
	}
}

func inhibitions() kind.Kind {
	return kind.Kind{
		Name: InhibitionKind, Plural: "inhibitions", Title: tr("抑制规则", "Inhibition"),
		Help: tr("一种告警在时，它所说明的另一种告警不提示人。", "While one alert is there, those it accounts for call nobody."),
		Fields: []kind.Field{
			why, matchers("source", "有此告警时", "While there is an alert with"), matchers("target", "不提示此告警", "Keep quiet those with"),
			{Name: "equal", Type: kind.String, Many: true, Title: tr("且这些标签相同", "And the same value of"), Pattern: `[a-zA-Z_][a-zA-Z0-9_]*`, MaxLen: 64},
		},
		Search: []kind.Param{kind.ByWords("reason")},
		Access: []kind.Grant{mutes, mgr},
		View: kind.View{
			TitleField: "reason", Columns: []string{"reason", "source", "target", "equal", "state"}, Filters: []string{"reason", "_state"},
			Menu: "ops", Icon: "Filter", Order: 18,
		},
		Guards: []kind.Guard{someMatch("source"), someMatch("target")},
		Lifecycle: &kind.Lifecycle{Start: MuteActive, States: []kind.State{
			{Name: MuteActive, Title: tr("有效", "Active"), Tone: "good", Edit: true},
			{Name: MuteEnded, Title: tr("已停用", "Ended"), Tone: "idle"},
		}, Verbs: []kind.Verb{
			{Name: MuteEnd, Title: tr("停用", "End"), From: []string{MuteActive}, To: MuteEnded, Undo: MuteBegin},
			{Name: MuteBegin, Title: tr("启用", "Begin"), From: []string{MuteEnded}, To: MuteActive},
		}},
	}
}
