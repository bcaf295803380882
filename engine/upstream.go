package engine

import (
	"encoding/json"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// The kinds of the exchange between programs. An upstream is another program, a
// centre, that this one takes knowledge, models and intents from and tells what
// became of them. A delivery is what the centre was told.
const (
	UpstreamKind = "upstream"
	DeliveryKind = "delivery"
)

// The states of an upstream, and what people say of it.
const (
	UpstreamActive = "active"
	UpstreamPaused = "paused"

	UpstreamPause  = "pause"
	UpstreamResume = "resume"
)

// What is exchanged.
const (
	ExchangeKnowledge = "knowledge" // down: the centre's whole pack; up: reviewed cases, for review there
	ExchangeModel     = "model"     // down: its champions
	ExchangeIntent    = "intent"    // down: its active intents; up: how far they and our own are met
)

// What became of something that was delivered.
const (
	DeliveryTaken   = "taken"
	DeliveryRefused = "refused" // it does not do better here, or does not fit: Say says which
	DeliveryWaiting = "waiting" // it is being looked at
)

// Upstream is the data of a record of UpstreamKind.
type Upstream struct {
	Name       string   `json:"name"`                 // of the centre, for people
	URL        string   `json:"url"`                  // https://HOST[:PORT]
	Credential string   `json:"credential,omitempty"` // name of the one that holds the token
	CA         string   `json:"ca,omitempty"`         // PEM of who signed the centre's certificate; empty: the system's
	As         string   `json:"as"`                   // name of this program at the centre
	Every      string   `json:"every,omitempty"`      // Go duration; empty: 1m
	Takes      []string `json:"takes,omitempty"`      // ExchangeKnowledge …; none: nothing
	Gives      []string `json:"gives,omitempty"`

	Pack        string    `json:"pack,omitempty"`        // blob of the pack that was taken
	PackVersion string    `json:"packVersion,omitempty"` // its version
	Refused     string    `json:"refused,omitempty"`     // version of the pack that was refused last
	ReachedAt   time.Time `json:"reachedAt,omitzero"`
	Given       time.Time `json:"given,omitzero"` // cases up to then were given
	Message     string    `json:"message,omitempty"`
}

// UpstreamOf reads a record of UpstreamKind. Internal where its data is of another
// shape.
func UpstreamOf(r record.Record) (Upstream, error) {
	var u Upstream
	return u, errs.Wrap("read upstream", r.Key.String(), json.Unmarshal(r.Data, &u))
}

// Delivery is the data of a record of DeliveryKind.
type Delivery struct {
	By         string    `json:"by"`    // name of the program that tells
	What       string    `json:"what"`  // ExchangeKnowledge …
	About      string    `json:"about"` // version of a pack, "model/ID", "intent/ID"
	Outcome    string    `json:"outcome"`
	Standing   string    `json:"standing,omitempty"`          // of an intent: GoalMet …
	Attainment *float64  `json:"attainment,omitempty,string"` // of an intent, 0–1
	Say        kind.Text `json:"say,omitzero"`
	At         time.Time `json:"at"` // it became so
}

// Exchanges declares the kinds of the exchange between programs.
func Exchanges() []kind.Kind { return []kind.Kind{upstreamKind(), deliveryKind()} }

func exchangeOptions() []kind.Option {
	return []kind.Option{
		{Code: ExchangeKnowledge, Title: tr("知识", "Knowledge")},
		{Code: ExchangeModel, Title: tr("模型", "Models")},
		{Code: ExchangeIntent, Title: tr("意图", "Intents")},
	}
}

func upstreamKind() kind.Kind {
	facts := []string{"pack", "packVersion", "refused", "reachedAt", "given", "message"}
	instant := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Time, Title: tr(zh, en), ReadOnly: true}
	}
	choice := func(name, zh, en, helpZH, helpEN string) kind.Field {
		return kind.Field{Name: name, Type: kind.Code, Many: true, Title: tr(zh, en), Options: exchangeOptions(), Help: tr(helpZH, helpEN)}
	}
	return kind.Kind{
		Name: UpstreamKind, Plural: "upstreams", Title: tr("上级中心", "Upstream"),
		Help: tr("本程序与之交换知识、模型和意图的中心：由本程序主动连接，取来的只在本地更好时才采用。", "A centre with which this program exchanges knowledge, models and intents. This program dials out, and takes only what does better here."),
		Fields: []kind.Field{
			kind.Line("name", "名称", "Name").Must(),
			{Name: "url", Type: kind.String, Title: tr("网址", "Address"), Required: true, Pattern: `https?://[^\s/]+/?`},
			kind.Line("credential", "凭据", "Credential"),
			{Name: "ca", Type: kind.Markdown, Title: tr("签发者证书（PEM）", "Who signed its certificate (PEM)"), MaxLen: 100_000},
			kind.Line("as", "本程序在中心的名称", "Name of this program there").Must(),
			{Name: "every", Type: kind.Duration, Title: tr("间隔", "Every"), Default: "1m"},
			choice("takes", "取来", "Takes", "知识包、现用模型、执行中的意图。", "Its pack of knowledge, its champions, its active intents."),
			choice("gives", "送去", "Gives", "审核过的案例；意图的达成情况与采用结果。", "Reviewed cases; how far intents are met and what became of what was taken."),
			kind.Line("pack", "取来的知识包", "Pack that was taken").Auto(),
			kind.Line("packVersion", "知识包版本", "Version of the pack").Auto(),
			kind.Line("refused", "未采用的版本", "Version that was refused").Auto(),
			instant("reachedAt", "最近连通于", "Reached"),
			instant("given", "案例已送到", "Cases given up to"),
			{Name: "message", Type: kind.Markdown, Title: tr("说明", "Message"), ReadOnly: true},
		},
		Search: []kind.Param{kind.ByWords("name")},
		Access: []kind.Grant{
			{Role: kernel.RoleSystemAdmin, Can: []string{"read", "history", "create", "update", "delete", UpstreamPause, UpstreamResume}},
			{Role: RoleOps, Can: []string{"read", "history", UpstreamPause, UpstreamResume}},
			mgr,
		},
		View: kind.View{TitleField: "name", Columns: []string{"name", "url", "state", "packVersion", "reachedAt", "message"}, Filters: []string{"name", "_state"}, Menu: "ops", Icon: "Connection", Order: 70},
		Lifecycle: &kind.Lifecycle{Start: UpstreamActive, States: []kind.State{
			{Name: UpstreamActive, Title: tr("启用", "Active"), Tone: "good", Edit: true},
			{Name: UpstreamPaused, Title: tr("暂停", "Paused"), Tone: "idle", Edit: true},
		}, Verbs: []kind.Verb{
			{Name: Note, Title: tr("记下进展", "Note"), From: []string{"*"}, Input: facts, Clock: true},
			{Name: UpstreamPause, Title: tr("暂停", "Pause"), From: []string{UpstreamActive}, To: UpstreamPaused, Undo: UpstreamResume},
			{Name: UpstreamResume, Title: tr("启用", "Resume"), From: []string{UpstreamPaused}, To: UpstreamActive, Primary: true},
		}},
	}
}

func deliveryKind() kind.Kind {
	return kind.Kind{
		Name: DeliveryKind, Plural: "deliveries", Title: tr("下发反馈", "Delivery"),
		Help: tr("下级程序对取来的知识、模型、意图的反馈：是否采用、为什么、意图达成多少。", "What a lower program tells of the knowledge, models and intents it took: whether it uses them, why, and how far intents are met there."),
		Fields: []kind.Field{
			kind.Line("by", "程序", "Program").Must(),
			{Name: "what", Type: kind.Code, Title: tr("内容", "What"), Required: true, Options: exchangeOptions()},
			kind.Line("about", "对象", "About").Must(),
			{Name: "outcome", Type: kind.Code, Title: tr("结果", "Outcome"), Required: true, Options: []kind.Option{
				{Code: DeliveryTaken, Title: tr("已采用", "Taken")},
				{Code: DeliveryRefused, Title: tr("未采用", "Refused")},
				{Code: DeliveryWaiting, Title: tr("评估中", "Being looked at")},
			}},
			{Name: "standing", Type: kind.Code, Title: tr("意图达成情况", "Standing of the intent"), Options: standingOptions()},
			{Name: "attainment", Type: kind.Decimal, Title: tr("达成率", "Attainment")},
			both("say", "说明", "In words"),
			{Name: "at", Type: kind.Time, Title: tr("时间", "At"), Required: true},
		},
		Search: []kind.Param{kind.ByToken("by"), kind.ByToken("what"), kind.ByToken("about"), kind.ByToken("outcome"), kind.ByDate("at")},
		Access: []kind.Grant{{Role: RoleOps, Can: []string{"read", "history"}}, mgr},
		View: kind.View{
			TitleField: "about", Columns: []string{"by", "what", "about", "outcome", "standing", "attainment", "at"}, Filters: []string{"by", "what", "outcome", "at"},
			Sort: "-at", Menu: "ops", Icon: "Promotion", Order: 71,
		},
	}
}
