package engine

import (
	"context"
	"encoding/json"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// The kinds that bound what the system does by itself.
const (
	AutopilotKind = "autopilot"
	AutonomyKind  = "autonomy"
)

// AutopilotMain is the one record of AutopilotKind.
var AutopilotMain = record.Key{Kind: AutopilotKind, ID: "main"}

// The states of the autopilot.
const (
	AutopilotOn      = "on"
	AutopilotStopped = "stopped" // the red button is pressed
)

// The verbs of the autopilot that people say.
const (
	AutopilotStop   = "stop"
	AutopilotResume = "resume"
)

// Level is how far the system may go by itself.
type Level string

// The levels, each with what the former may.
const (
	LevelObserve Level = "observe" // watch, and think about it
	LevelAdvise  Level = "advise"  // tell people what it would do
	LevelApprove Level = "approve" // act after a person's approval
	LevelTell    Level = "tell"    // act and tell
	LevelAct     Level = "act"     // act
)

// Rank is higher the further the level goes: 0 for observe to 4 for act; −1 for
// anything else.
func (l Level) Rank() int {
	for i, o := range []Level{LevelObserve, LevelAdvise, LevelApprove, LevelTell, LevelAct} {
		if l == o {
			return i
		}
	}
	return -1
}

// Autopilot is the data of the record AutopilotMain. The zero value of a bound
// is its default.
type Autopilot struct {
	Level    Level  `json:"level,omitempty"`    // of what no rule of AutonomyKind names; empty: LevelApprove
	MaxRisk  string `json:"maxRisk,omitempty"`  // riskier remedies wait for approval at any level; empty: RiskMedium
	PerHour  int    `json:"perHour,omitempty"`  // remedies an hour, in all; 0: 30
	PerThing int    `json:"perThing,omitempty"` // remedies an hour on one thing; 0: 3

	BreakerUntil *time.Time `json:"breakerUntil,omitempty"` // remedies wait, since much failed at once
	BreakerWhy   string     `json:"breakerWhy,omitempty"`
	StoppedBy    string     `json:"stoppedBy,omitempty"`
}

// Halted tells whether the red button is pressed: then nothing that a loop asked
// for may begin. Where there is no autopilot nothing is halted.
func Halted(ctx context.Context, k *kernel.Kernel, p *identity.Principal) (bool, error) {
	r, err := k.Read(ctx, p, AutopilotMain)
	if errs.Is(err, errs.NotFound) || errs.Is(err, errs.Invalid) {
		return false, nil // none yet, or the program has no such kind
	}
	return r.State == AutopilotStopped, err
}

// AutopilotOf reads the record AutopilotMain, with the defaults filled in.
func AutopilotOf(r record.Record) (a Autopilot, err error) {
	if len(r.Data) > 0 {
		err = json.Unmarshal(r.Data, &a)
	}
	if a.Level == "" {
		a.Level = LevelApprove
	}
	if a.MaxRisk == "" {
		a.MaxRisk = RiskMedium
	}
	if a.PerHour == 0 {
		a.PerHour = 30
	}
	if a.PerThing == 0 {
		a.PerThing = 3
	}
	return a, errs.Wrap("read autopilot", r.Key.String(), err)
}

// AutonomyRule is the data of a record of AutonomyKind. A rule that names the
// thing goes before one that names what it stands on, that before one that names
// its class.
type AutonomyRule struct {
	Name    string   `json:"name"`
	Things  []string `json:"things,omitempty"` // "thing/17"
	Below   bool     `json:"below,omitempty"`  // also what stands on them
	Classes []Class  `json:"classes,omitempty"`
	Level   Level    `json:"level"`
	MaxRisk string   `json:"maxRisk,omitempty"`
}

func levelOptions() []kind.Option {
	return []kind.Option{
		{Code: string(LevelObserve), Title: tr("只观察", "Observe")},
		{Code: string(LevelAdvise), Title: tr("提出建议", "Advise")},
		{Code: string(LevelApprove), Title: tr("批准后处置", "Act after approval")},
		{Code: string(LevelTell), Title: tr("处置并告知", "Act and tell")},
		{Code: string(LevelAct), Title: tr("自主处置", "Act")},
	}
}

func severities() []kind.Option {
	return []kind.Option{
		{Code: string(Critical), Title: tr("危急", "Critical")},
		{Code: string(Major), Title: tr("严重", "Major")},
		{Code: string(Minor), Title: tr("一般", "Minor")},
		{Code: string(Warning), Title: tr("提示", "Warning")},
	}
}

// AutonomyKinds declares what bounds the system's own doing: the autopilot with
// the red button, the circuit breaker and the rates, and the levels of autonomy.
func AutonomyKinds() []kind.Kind {
	reason := []kind.Evidence{{Name: "reason", Title: tr("理由", "Reason"), Required: true}}
	count := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Int, Title: tr(zh, en), Min: "1", Max: "1000"}
	}
	all := []string{"read", "history", "update", AutopilotStop, AutopilotResume}
	return []kind.Kind{
		{
			Name: AutopilotKind, Plural: "autopilots", Title: tr("自主运行", "Autopilot"),
			Help: tr("系统自行处置的总开关：红色按钮、熔断与频次上限。", "The main switch of what the system does by itself: red button, circuit breaker, rates."),
			Fields: []kind.Field{
				{Name: "level", Type: kind.Code, Title: tr("默认自主等级", "Level where no rule says otherwise"), Options: levelOptions(), Default: string(LevelApprove)},
				{Name: "maxRisk", Type: kind.Code, Title: tr("无需批准的最高风险", "Highest risk without approval"), Options: riskOptions(), Default: RiskMedium},
				count("perHour", "每小时处置上限", "Remedies an hour"),
				count("perThing", "每对象每小时处置上限", "Remedies an hour on one thing"),
				instantOf("breakerUntil", "熔断至", "Breaker open until"),
				kind.Line("breakerWhy", "熔断原因", "Why the breaker opened").Auto(),
				kind.Line("stoppedBy", "由谁停止", "Stopped by").Auto(),
			},
			Access: []kind.Grant{{Role: RoleOps, Can: all}, {Role: RoleManager, Can: all}, {Role: kernel.RoleSystemAdmin, Can: []string{"*"}}},
			View:   kind.View{TitleField: "level", Columns: []string{"level", "state", "maxRisk", "perHour", "breakerUntil"}, Menu: "ops", Icon: "SwitchButton", Order: 2},
			Lifecycle: &kind.Lifecycle{Start: AutopilotOn, States: []kind.State{
				{Name: AutopilotOn, Title: tr("自主运行中", "On"), Tone: "good", Edit: true},
				{Name: AutopilotStopped, Title: tr("已全部停止", "Stopped"), Tone: "bad", Edit: true},
			}, Verbs: []kind.Verb{
				{Name: AutopilotStop, Title: tr("停止一切自动处置", "Stop all automatic action"), From: []string{AutopilotOn}, To: AutopilotStopped, Confirm: true, Evidence: reason, Set: map[string]string{"stoppedBy": "actor.name"}},
				{Name: AutopilotResume, Title: tr("恢复自主运行", "Resume"), From: []string{AutopilotStopped}, To: AutopilotOn, Primary: true, Evidence: reason},
				{Name: "trip", Title: tr("熔断", "Open the breaker"), From: []string{"*"}, Input: []string{"breakerUntil", "breakerWhy"}, Clock: true},
			}},
		},
		{
			Name: AutonomyKind, Plural: "autonomy", Title: tr("自主等级", "Level of autonomy"),
			Help: tr("对哪些对象，系统可以自行做到哪一步。", "How far the system may go by itself, and for which things."),
			Fields: []kind.Field{
				kind.Line("name", "名称", "Name").Must(),
				{Name: "things", Type: kind.Ref, Many: true, To: []string{ThingKind}, Title: tr("对象", "Things")},
				{Name: "below", Type: kind.Bool, Title: tr("含依赖它们的对象", "Also what stands on them")},
				{Name: "classes", Type: kind.Code, Many: true, Title: tr("类别", "Classes"), Options: classes},
				{Name: "level", Type: kind.Code, Title: tr("等级", "Level"), Required: true, Options: levelOptions()},
				{Name: "maxRisk", Type: kind.Code, Title: tr("无需批准的最高风险", "Highest risk without approval"), Options: riskOptions()},
			},
			Search: []kind.Param{
				kind.ByWords("name"), kind.ByToken("level"),
				{Name: "things", Type: kind.ReferenceParam, Path: "things", To: []string{ThingKind}, Title: tr("对象", "Things")},
			},
			Access: []kind.Grant{{Role: RoleOps, Can: []string{"read", "history"}}, {Role: RoleManager, Can: []string{"read", "history", "create", "update", "delete"}}, {Role: kernel.RoleSystemAdmin, Can: []string{"*"}}},
			View:   kind.View{TitleField: "name", Columns: []string{"name", "level", "maxRisk", "classes", "updatedAt"}, Filters: []string{"name", "level"}, Menu: "ops", Icon: "Operation", Order: 3},
		},
	}
}
