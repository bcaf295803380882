package engine

import (
	"encoding/json"
	"time"

	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// ForecastKind is the kind of what is expected to go wrong, told early enough for
// work to prevent it.
const ForecastKind = "forecast"

// What a prediction foresees.
const (
	PredictDisk     = "disk-failure"
	PredictMemory   = "memory-failure"
	PredictCapacity = "capacity"
	PredictDate     = "date" // of a certificate or a warranty
)

// The states of a forecast beside Open and Dismissed.
const (
	Averted  = "averted"   // it is foreseen no longer
	CameTrue = "came-true" // what was foreseen happened
)

// Avert is the verb of a forecast, beside Note, Dismiss, Confirm and Reopen, by
// which the loop says that it is foreseen no longer.
const Avert = "avert"

// Prediction is a fault that has not happened yet, foreseen of one thing. The
// same fault is foreseen under the same Key at every look, until it is averted or
// comes true.
type Prediction struct {
	Thing string    `json:"thing"` // id of the thing record
	Kind  string    `json:"kind"`  // PredictDisk, PredictMemory, PredictCapacity, PredictDate
	Title kind.Text `json:"title"` // one sentence: what, where, when
	Part  string    `json:"part,omitempty"`
	// When it is expected: the middle of what is likely, and the ends of the range
	// that holds it with 80 % probability; zero where that end is not known, and
	// Latest is zero too where it may not happen at all.
	When     time.Time `json:"when,omitzero"`
	Earliest time.Time `json:"earliest,omitzero"`
	Latest   time.Time `json:"latest,omitzero"`
	// Probability that it happens within Horizon of the look, 0 to 1
	// with three decimals; a decimal string in JSON. Horizon is a Go duration.
	Probability float64     `json:"probability,string"`
	Horizon     string      `json:"horizon"`
	Severity    Severity    `json:"severity"`         // of the work, not of the fault: Major is to be done now
	Evidence    []kind.Text `json:"evidence"`         // what it was read from, most telling first
	Advice      kind.Text   `json:"advice"`           // what prevents it
	Metric      string      `json:"metric,omitempty"` // PromQL that shows it; empty where it comes from a report
}

// Key names the prediction of this fault: the thing, what is foreseen, the part.
func (p Prediction) Key() string { return p.Thing + "|" + p.Kind + "|" + p.Part }

// toldForecast are the fields that the loop may change.
var toldForecast = []string{"title", "when", "earliest", "latest", "probability", "horizon", "severity", "evidence", "advice", "metric"}

// Input is what a Note says of a prediction that its record is to hold from then
// on; what it no longer has is null, which takes it out.
func (p Prediction) Input() (map[string]any, error) { return input(p, toldForecast) }

// ForecastOf reads a record of ForecastKind. Invalid where its data is of another
// shape.
func ForecastOf(r record.Record) (Prediction, error) {
	var p Prediction
	if err := json.Unmarshal(r.Data, &p); err != nil {
		return Prediction{}, unreadable("read forecast", r, err)
	}
	return p, nil
}

// Forecasts declares the kind of what is foreseen. The loop opens one for each
// prediction, notes what changes in it, and ends it; people say whether it was
// true, which is how predictions are judged later.
func Forecasts() kind.Kind {
	told := toldForecast
	instant := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Time, Title: tr(zh, en), ReadOnly: true}
	}
	evidence := both("evidence", "依据", "Evidence")
	evidence.Many = true
	remark := []kind.Evidence{{Name: "reason", Title: tr("所见", "What was seen"), Required: true}}
	return kind.Kind{
		Name: ForecastKind, Plural: "forecasts", Title: tr("预测", "Forecast"),
		Help: tr("预计将要发生的故障，以及怎样在发生之前处置。", "A fault that is foreseen, and what prevents it."),
		Fields: []kind.Field{
			kind.Line("thing", "对象", "Thing").Must().Auto(),
			{Name: "kind", Type: kind.Code, Title: tr("类型", "Type"), Required: true, ReadOnly: true, Options: []kind.Option{
				{Code: PredictDisk, Title: tr("磁盘故障", "Disk failure")},
				{Code: PredictMemory, Title: tr("内存故障", "Memory failure")},
				{Code: PredictCapacity, Title: tr("容量耗尽", "Capacity used up")},
				{Code: PredictDate, Title: tr("到期", "Expiry")},
			}},
			kind.Line("part", "部件", "Part").Auto(),
			both("title", "预测", "What is foreseen"),
			instant("when", "预计发生", "Expected"),
			instant("earliest", "最早", "Earliest"),
			instant("latest", "最晚", "Latest"),
			{Name: "probability", Type: kind.Decimal, Title: tr("概率", "Probability"), Min: "0", Max: "1", ReadOnly: true},
			{Name: "horizon", Type: kind.Duration, Title: tr("概率所指的时间", "Time the probability is of"), ReadOnly: true},
			{Name: "severity", Type: kind.Code, Title: tr("紧迫程度", "Urgency"), ReadOnly: true, Options: severities()},
			evidence,
			both("advice", "处置建议", "Advice"),
			{Name: "metric", Type: kind.Markdown, Title: tr("指标", "Metric"), ReadOnly: true},
		},
		Search: []kind.Param{
			kind.ByToken("thing"), kind.ByToken("kind"), kind.ByToken("severity"), kind.ByDate("when"),
			{Name: "title", Type: kind.WordsParam, Path: "title.zh", Title: tr("预测", "What is foreseen")},
		},
		Access: []kind.Grant{{Role: RoleOps, Can: []string{"read", "history", Dismiss, Confirm, Reopen}}, mgr},
		View: kind.View{
			TitleField: "title", Columns: []string{"title", "thing", "kind", "probability", "when", "state"},
			Filters: []string{"thing", "kind", "severity", "_state", "when"}, Sort: "when", Menu: "ops", Icon: "Calendar", Order: 22,
		},
		Lifecycle: &kind.Lifecycle{Start: Open, States: []kind.State{
			{Name: Open, Title: tr("预计发生", "Foreseen"), Tone: "warn"},
			{Name: Averted, Title: tr("已消除", "Averted"), Tone: "good"},
			{Name: CameTrue, Title: tr("已发生", "Came true"), Tone: "bad"},
			{Name: Dismissed, Title: tr("不予采纳", "Dismissed"), Tone: "idle"},
		}, Verbs: []kind.Verb{
			{Name: Note, Title: tr("更新预测", "Note"), From: []string{"*"}, Input: told, Clock: true},
			{Name: Avert, Title: tr("不再预计", "Avert"), From: []string{Open}, To: Averted, Clock: true},
			{Name: Confirm, Title: tr("确已发生", "It came true"), From: []string{Open, Averted, Dismissed}, To: CameTrue, Evidence: remark},
			{Name: Dismiss, Title: tr("不予采纳", "Dismiss"), From: []string{Open}, To: Dismissed, Evidence: remark, Undo: Reopen},
			{Name: Reopen, Title: tr("重新预计", "Foresee again"), From: []string{Averted, Dismissed, CameTrue}, To: Open},
		}},
	}
}
