package engine

import (
	"encoding/json"
	"time"

	"zhiwei/kernel/kind"
)

// DatasetKind is the kind of what models learn from and are judged by: a cut of
// series or logs with labels, of one version, which never changes once frozen.
// Another version is another record that points to the one before.
const DatasetKind = "data-set"

// The states of a data set beside Outdated (of knowledge): labels are collected
// while it is a draft.
const (
	Draft    = "draft"
	Freezing = "freezing" // a person has finished it: it is cut as soon as its time is over
	Frozen   = "frozen"   // may be learnt from; its content and its digest are fixed
)

// The verbs of a data set beside Reject (of knowledge: it could not be cut).
// People say Label and Finish; Freeze is said by the engine, with the digest.
const (
	Finish    = "finish"
	Freeze    = "freeze"
	Supersede = "supersede" // a newer version is frozen
	Label     = "label"
)

// Who labelled a stretch of a data set.
const (
	ByPerson   = "person"
	ByIncident = "incident" // the time of an incident, with the cause that was proven
	ByRemedy   = "remedy"   // the time before a remedy that worked: what it cured was there
)

// DatasetLabel says what a stretch of time was.
type DatasetLabel struct {
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`           // not after the end of the cut; equal to From: one instant
	Thing  string    `json:"thing,omitempty"` // id; empty: all that is in the set
	Name   string    `json:"name"`            // what it was: id of a failure mode, or "normal"
	By     string    `json:"by"`              // ByPerson, ByIncident, ByRemedy
	Source string    `json:"source,omitempty"`
}

// DatasetQuality says how far a data set can be trusted; each 0–1, the higher the
// better.
type DatasetQuality struct {
	Completeness float64 `json:"completeness"` // cells that have a value, of all
	Consistency  float64 `json:"consistency"`  // 1 less the share of rows out of order, repeated, or with labels that contradict each other
	Freshness    float64 `json:"freshness"`    // 1 where the last row is of now, 0.5 after 30 days, halved every 30 days
	Range        float64 `json:"range"`        // values that are numbers within the bounds that the metric can have
	Score        float64 `json:"score"`        // geometric mean of the four: one that is nought spoils all
}

// Datasets declares the kind of data sets.
func Datasets() kind.Kind {
	ratio := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Decimal, Title: tr(zh, en), Min: "0", Max: "1"}
	}
	at := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Time, Title: tr(zh, en), Required: true}
	}
	return kind.Kind{
		Name: DatasetKind, Plural: "data-sets", Title: tr("数据集", "Data set"),
		Help: tr("从指标或日志截取的样本：模型用它学习和评估。", "Samples cut from series or logs: what models learn from and are judged by."),
		Fields: []kind.Field{
			kind.Line("name", "名称", "Name").Must(),
			{Name: "version", Type: kind.Int, Title: tr("版本", "Version"), Required: true, Min: "1", Default: json.Number("1")},
			{Name: "former", Type: kind.Ref, To: []string{DatasetKind}, Title: tr("上一版本", "Former version")},
			{Name: "purpose", Type: kind.Markdown, Title: tr("用途", "Purpose")},
			{Name: "columns", Type: kind.Object, Many: true, Title: tr("列", "Columns"), Required: true, Fields: []kind.Field{
				kind.Line("name", "列名", "Column").Must(),
				{
					Name: "expr", Type: kind.Markdown, Title: tr("查询", "Expression"), Required: true,
					Help: tr("PromQL，须得到一条序列；列名写作 *|名称 时，每个对象得到一列。", "PromQL that gives one series; named *|NAME, it becomes a column of each thing."),
				},
				{Name: "min", Type: kind.Decimal, Title: tr("可能的最小值", "Least possible value")},
				{Name: "max", Type: kind.Decimal, Title: tr("可能的最大值", "Greatest possible value")},
			}},
			at("from", "起", "From"), at("until", "止", "Until"),
			{Name: "step", Type: kind.Duration, Title: tr("间隔", "Step"), Required: true},
			{Name: "labels", Type: kind.Object, Many: true, Title: tr("标注", "Labels"), Fields: []kind.Field{
				at("from", "起", "From"), at("until", "止", "Until"),
				kind.Line("thing", "对象", "Thing"), kind.Line("name", "是什么", "What it was").Must(),
				{Name: "by", Type: kind.Code, Title: tr("标注依据", "Labelled by"), Required: true, Options: []kind.Option{
					{Code: ByPerson, Title: tr("人工", "A person")},
					{Code: ByIncident, Title: tr("事件", "An incident")},
					{Code: ByRemedy, Title: tr("有效的处置", "A remedy that worked")},
				}},
				kind.Line("source", "出处", "Source"),
			}},
			{Name: "lineage", Type: kind.String, Many: true, Title: tr("来源", "Made from"), ReadOnly: true},
			{Name: "rows", Type: kind.Int, Title: tr("行数", "Rows"), ReadOnly: true},
			kind.Line("content", "内容", "Content").Auto(),
			{Name: "message", Type: kind.Markdown, Title: tr("说明", "Message"), ReadOnly: true},
			kind.Line("digest", "内容摘要（SHA-256）", "Digest (SHA-256)").Auto(),
			{Name: "quality", Type: kind.Object, Title: tr("质量", "Quality"), ReadOnly: true, Fields: []kind.Field{
				ratio("completeness", "完整性", "Completeness"), ratio("consistency", "一致性", "Consistency"),
				ratio("freshness", "新鲜度", "Freshness"), ratio("range", "值域", "Range"), ratio("score", "总分", "Score"),
			}},
		},
		Search: []kind.Param{
			kind.ByWords("name"), kind.ByNumber("version"),
			{Name: "former", Type: kind.ReferenceParam, Path: "former", To: []string{DatasetKind}},
			kind.ByToken("digest"),
			{Name: "label", Type: kind.TokenParam, Path: "labels.name", Title: tr("标注", "Label")},
		},
		Access: []kind.Grant{{Role: RoleOps, Can: []string{"read", "history", "create", "update", Label, Finish}}, mgr},
		View: kind.View{
			TitleField: "name", Columns: []string{"name", "version", "rows", "quality.score", "state", "updatedAt"},
			Filters: []string{"name", "label", "_state"}, Sort: "name", Menu: "ops", Icon: "Files", Order: 60,
		},
		Lifecycle: &kind.Lifecycle{Start: Draft, States: []kind.State{
			{Name: Draft, Title: tr("收集中", "Draft"), Tone: "info", Edit: true},
			{Name: Freezing, Title: tr("定版中", "Being frozen"), Tone: "info"},
			{Name: Frozen, Title: tr("已定版", "Frozen"), Tone: "good"},
			{Name: Outdated, Title: tr("已有新版", "Outdated"), Tone: "idle"},
		}, Verbs: []kind.Verb{
			{Name: Label, Title: tr("标注", "Label"), From: []string{Draft}, Input: []string{"labels"}, Primary: true},
			{Name: Finish, Title: tr("定版", "Finish"), From: []string{Draft}, To: Freezing, Confirm: true},
			{Name: Freeze, Title: tr("完成定版", "Freeze"), From: []string{Draft, Freezing}, To: Frozen, Input: []string{"labels", "lineage", "rows", "content", "digest", "quality", "message"}, Clock: true},
			{Name: Reject, Title: tr("退回", "Send back"), From: []string{Freezing}, To: Draft, Input: []string{"message"}, Clock: true},
			{Name: Supersede, Title: tr("由新版取代", "Supersede"), From: []string{Frozen}, To: Outdated, Clock: true},
		}},
	}
}
