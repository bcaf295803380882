package engine

import (
	"time"

	"zhiwei/kernel/kind"
)

// The kinds of a model's life. A model is one attempt at one task: models of the
// same task compete, and one of them acts.
const (
	ModelKind = "model"
	DriftKind = "drift"
)

// The states of a model beside Rejected, Retired and Failed. All moves but
// cancelling and withdrawing are the engine's own.
const (
	ModelPlanned    = "planned"    // waits for its data set to be frozen, then for its turn
	ModelTraining   = "training"   // learns from the older part of its data set
	ModelTrained    = "trained"    // its weights are kept
	ModelEvaluated  = "evaluated"  // judged on the newest part of the data set, which it never saw
	ModelChallenger = "challenger" // scores live data beside the champion and acts on nothing
	ModelGrey       = "grey"       // acts on a share of the things
	ModelChampion   = "champion"   // acts
	ModelRolledBack = "rolled-back"
	ModelCancelled  = "cancelled"
)

// The verbs of a model beside Note, Reject, Retire and Withdraw.
const (
	ModelBegin     = "begin"
	ModelTrain     = "train"
	ModelEvaluate  = "evaluate"
	ModelChallenge = "challenge"
	ModelRelease   = "release"   // to grey, or to a larger share
	ModelCrown     = "crown"     // to champion
	ModelRollBack  = "roll-back" // it does worse than what was there before
	ModelReinstate = "reinstate" // a former champion acts again
	ModelReturn    = "return"    // a former champion challenges again
	ModelFail      = "fail"
	ModelCancel    = "cancel"
)

// What a model is for.
const (
	ForAnomaly  = "anomaly"  // says how unusual a moment is
	ForForecast = "forecast" // says the next row; a moment is unusual as far as it was not foreseen
	ForFailure  = "failure"  // says how likely a labelled fault is near
)

// The stock algorithms.
const (
	ByVAE       = "vae"              // variational auto-encoder over a window of rows
	ByAttention = "attention"        // transformer encoder that foretells the next row
	ByForest    = "isolation-forest" // random cuts: what is cut off early is unusual
	ByClusters  = "k-means"          // distance to the nearest centre
	ByDensity   = "dbscan"           // distance to the nearest dense point
	ByBoosting  = "boosted-stumps"   // for labelled rows
	ByLogistic  = "logistic"         // for labelled rows
	ByGraph     = "graph"            // foretells each thing from itself and what it stands on
)

// ModelInput is one input of a live model.
type ModelInput struct {
	// Name is the metric as packs of knowledge write it: what is unusual is told as
	// "anomaly(NAME)".
	Name string `json:"name"`
	// Expr is PromQL that gives one series a thing (label ThingLabel), or one
	// without that label for a model of one thing.
	Expr string `json:"expr"`
}

// ModelSettings bound and steer training; zero values mean the algorithm's own.
type ModelSettings struct {
	Window  int    `json:"window,omitempty"`  // rows a judgement looks at
	Seed    int64  `json:"seed,omitempty"`    // the same seed, data and settings give the same weights
	Epochs  int    `json:"epochs,omitempty"`  // passes over the data at most; training ends earlier where it no longer helps
	Within  string `json:"within,omitempty"`  // Go duration; training ends then with what it has; empty: 10m
	Hidden  int    `json:"hidden,omitempty"`  // width of a layer
	Latent  int    `json:"latent,omitempty"`  // width of what the auto-encoder passes through
	Members int    `json:"members,omitempty"` // trees, stumps, centres
}

// ModelOrder asks for a model. It is the data that people and engines write; the
// rest of a model is its loop's.
type ModelOrder struct {
	Name      string        `json:"name"`
	Task      string        `json:"task"`      // models of the same task compete
	Purpose   string        `json:"purpose"`   // ForAnomaly, ForForecast, ForFailure
	Algorithm string        `json:"algorithm"` // ByVAE …
	Data      string        `json:"data"`      // "data-set/ID"; of a delivered model: the site's own, by which it is judged
	Settings  ModelSettings `json:"settings,omitzero"`
	Inputs    []ModelInput  `json:"inputs,omitempty"` // empty: the columns of the data set, without "*|"; models of one task should have the same
	Shadow    string        `json:"shadow,omitempty"` // how long a challenger scores beside the champion; empty: 24h
	Grey      []int         `json:"grey,omitempty"`   // percent of things, rising; empty: 10, 50
	Soak      string        `json:"soak,omitempty"`   // how long each share lasts; empty: 24h
	Former    string        `json:"former,omitempty"`
	// Delivered and Weights are of a model that another site trained.
	Delivered string `json:"delivered,omitempty"` // name of that site
	Weights   string `json:"weights,omitempty"`   // address of the blob
}

// ModelMetrics say how well a model did over a time. Decimals are strings in the
// record.
type ModelMetrics struct {
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	Rows  int       `json:"rows,omitempty"` // judged
	// Merit is what models of one purpose are compared by, the higher the better:
	// average precision for anomalies and failures (0–1), skill over the last value
	// for forecasts (1 less the mean absolute error divided by that of saying the
	// last value again; below 0: worse than that).
	Merit float64 `json:"merit,string"`
	// Baseline is the merit of the trivial rival on the same rows: the largest
	// distance from the mean in standard deviations, the share of faults, the same
	// time yesterday where that beats the last value.
	Baseline float64 `json:"baseline,string"`
	// Rival is the merit of the model it is compared with, on the same rows.
	Rival     float64 `json:"rival,omitempty,string"`
	RivalName string  `json:"rivalName,omitempty"` // "model/ID"
	// Injected says that faults were put into copies of the rows by a seed, since
	// the rows carry no labels of faults.
	Injected     bool    `json:"injected,omitempty"`
	Faults       int     `json:"faults,omitempty"`              // rows that were faulty
	ROC          float64 `json:"roc,omitempty,string"`          // area under the curve of recall over false alarms
	Recall       float64 `json:"recall,omitempty,string"`       // of faulty rows, at the threshold
	AlarmsPerDay float64 `json:"alarmsPerDay,omitempty,string"` // on rows that are not faulty, at the threshold
	MAE          float64 `json:"mae,omitempty,string"`          // in standard deviations of the training part
}

var _ = declare(
	Metric{Name: "model_score", Type: Gauge, Unit: "1", Labels: []string{"model", "task", ThingLabel}, Title: tr("模型评分", "Score of a model")},
)

// ModelSpan is how long a champion's recent data reaches back when it is judged.
const ModelSpan = "24h"

// Models declares the kinds of the life of models.
func Models() []kind.Kind { return []kind.Kind{modelKind(), driftKind()} }

func metricFields() []kind.Field {
	number := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Decimal, Title: tr(zh, en)}
	}
	return []kind.Field{
		{Name: "from", Type: kind.Time, Title: tr("起", "From")},
		{Name: "until", Type: kind.Time, Title: tr("止", "Until")},
		{Name: "rows", Type: kind.Int, Title: tr("行数", "Rows")},
		number("merit", "成绩", "Merit"),
		number("baseline", "简单办法的成绩", "Merit of the trivial rival"),
		number("rival", "对手的成绩", "Merit of the rival"),
		kind.Line("rivalName", "对手", "Rival"),
		{Name: "injected", Type: kind.Bool, Title: tr("异常为人为加入", "Faults were put in")},
		{Name: "faults", Type: kind.Int, Title: tr("异常行数", "Faulty rows")},
		number("roc", "ROC 曲线下面积", "Area under ROC"),
		number("recall", "检出率", "Recall"),
		number("alarmsPerDay", "每日误报", "False alarms a day"),
		number("mae", "平均绝对误差", "Mean absolute error"),
	}
}

// The guards of a model's moves: the engine may not promote what has not proven
// itself, whatever its own reasoning says.
var (
	beatsTrivial = kind.Guard{
		If:  "has(data.metrics) && double(data.metrics.merit) > double(data.metrics.baseline)",
		Say: tr("在未见过的数据上没有胜过简单办法。", "On data it never saw it did not beat the trivial rival."),
	}
	holdsLive = kind.Guard{
		If:  "has(data.live) && double(data.live.merit) >= double(data.live.baseline) && (!has(data.live.rival) || double(data.live.merit) >= double(data.live.rival))",
		Say: tr("在实时数据上没有胜过现用模型或简单办法。", "On live data it did not do as well as the champion or the trivial rival."),
	}
)

func modelKind() kind.Kind {
	facts := []string{"weights", "bytes", "inputs", "every", "progress", "message", "metrics", "live", "threshold", "percent", "since", "why", "lineage", "trainedAt", "drifted", "driftSince", "restore", "retrained"}
	judged := []kind.Option{
		{Code: ForAnomaly, Title: tr("发现异常", "Find what is unusual")},
		{Code: ForForecast, Title: tr("预报", "Forecast")},
		{Code: ForFailure, Title: tr("预测故障", "Foretell faults")},
	}
	stock := []kind.Option{
		{Code: ByVAE, Title: tr("变分自编码器", "Variational auto-encoder")},
		{Code: ByAttention, Title: tr("注意力模型", "Attention")},
		{Code: ByForest, Title: tr("孤立森林", "Isolation forest")},
		{Code: ByClusters, Title: tr("K 均值聚类", "k-means")},
		{Code: ByDensity, Title: tr("密度聚类（DBSCAN）", "Density clusters (DBSCAN)")},
		{Code: ByBoosting, Title: tr("提升树桩", "Boosted stumps")},
		{Code: ByLogistic, Title: tr("逻辑回归", "Logistic regression")},
		{Code: ByGraph, Title: tr("拓扑图模型", "Graph model")},
	}
	living := []string{ModelPlanned, ModelTraining, ModelTrained, ModelEvaluated, ModelChallenger, ModelGrey}
	reason := []kind.Evidence{{Name: "reason", Title: tr("原因", "Reason"), Required: true}}
	return kind.Kind{
		Name: ModelKind, Plural: "models", Title: tr("模型", "Model"),
		Help: tr("一次学习的成果：用什么数据、怎样训练，在未见过的数据和实时数据上表现如何，现在是否在用。", "What was learnt once: from which data, how, how well it does on data it never saw and on live data, and whether it acts."),
		Fields: []kind.Field{
			kind.Line("name", "名称", "Name").Must(),
			kind.Line("task", "任务", "Task").Must(),
			{Name: "purpose", Type: kind.Code, Title: tr("目的", "Purpose"), Required: true, Options: judged},
			{Name: "algorithm", Type: kind.Code, Title: tr("算法", "Algorithm"), Required: true, Options: stock},
			{Name: "data", Type: kind.Ref, To: []string{DatasetKind}, Title: tr("数据集", "Data set"), Required: true},
			{Name: "settings", Type: kind.Object, Title: tr("训练设置", "Settings"), Fields: []kind.Field{
				{Name: "window", Type: kind.Int, Title: tr("窗口（行）", "Window (rows)"), Min: "1", Max: "512"},
				{Name: "seed", Type: kind.Int, Title: tr("随机种子", "Seed")},
				{Name: "epochs", Type: kind.Int, Title: tr("最多轮数", "Epochs at most"), Min: "1", Max: "1000"},
				{Name: "within", Type: kind.Duration, Title: tr("训练时限", "Time for training")},
				{Name: "hidden", Type: kind.Int, Title: tr("隐层宽度", "Hidden width"), Min: "2", Max: "512"},
				{Name: "latent", Type: kind.Int, Title: tr("潜变量维数", "Latent width"), Min: "1", Max: "64"},
				{Name: "members", Type: kind.Int, Title: tr("成员数", "Members"), Min: "1", Max: "1000"},
			}},
			{Name: "inputs", Type: kind.Object, Many: true, Title: tr("输入", "Inputs"), Fields: []kind.Field{
				kind.Line("name", "名称", "Name").Must(),
				{Name: "expr", Type: kind.Markdown, Title: tr("查询", "Expression"), Required: true, Help: tr("PromQL，每个对象一条序列。", "PromQL that gives one series a thing.")},
			}},
			{Name: "shadow", Type: kind.Duration, Title: tr("旁路评分时长", "Time as challenger"), Default: "24h"},
			{Name: "grey", Type: kind.Int, Many: true, Title: tr("灰度比例（%）", "Shares of the grey release (%)"), Min: "1", Max: "100"},
			{Name: "soak", Type: kind.Duration, Title: tr("每档时长", "Time of each share"), Default: "24h"},
			{Name: "former", Type: kind.Ref, To: []string{ModelKind}, Title: tr("由哪个模型重训而来", "Retrained from")},
			kind.Line("delivered", "来自站点", "Delivered by site"),
			kind.Line("weights", "权重", "Weights"),
			{Name: "bytes", Type: kind.Int, Title: tr("权重大小", "Size of the weights"), Unit: "By", ReadOnly: true},
			{Name: "every", Type: kind.Duration, Title: tr("数据间隔", "Step of the data"), ReadOnly: true},
			{Name: "progress", Type: kind.Int, Title: tr("训练进度（%）", "Progress (%)"), ReadOnly: true},
			{Name: "message", Type: kind.Markdown, Title: tr("说明", "Message"), ReadOnly: true},
			{Name: "metrics", Type: kind.Object, Title: tr("留出数据上的表现", "On held-out data"), ReadOnly: true, Fields: metricFields()},
			{Name: "live", Type: kind.Object, Title: tr("实时数据上的表现", "On live data"), ReadOnly: true, Fields: metricFields()},
			{Name: "threshold", Type: kind.Decimal, Title: tr("告警阈值", "Threshold"), ReadOnly: true},
			{Name: "percent", Type: kind.Int, Title: tr("已灰度（%）", "Share (%)"), ReadOnly: true, Unit: "%"},
			{Name: "since", Type: kind.Time, Title: tr("本档起于", "Since"), ReadOnly: true},
			{Name: "trainedAt", Type: kind.Time, Title: tr("训练完成于", "Trained"), ReadOnly: true},
			{Name: "why", Type: kind.Markdown, Title: tr("最近一次决定的依据", "Why it was last moved"), ReadOnly: true},
			{Name: "lineage", Type: kind.String, Many: true, Title: tr("来源", "Made from"), ReadOnly: true},
			{Name: "drifted", Type: kind.Int, Title: tr("连续漂移次数", "Drifts in a row"), ReadOnly: true},
			{Name: "driftSince", Type: kind.Time, Title: tr("漂移起于", "Drifting since"), ReadOnly: true},
			{Name: "restore", Type: kind.Ref, To: []string{ModelKind}, Title: tr("退回到", "Falls back to"), ReadOnly: true},
			{Name: "retrained", Type: kind.Ref, To: []string{ModelKind}, Title: tr("已重训为", "Retrained as"), ReadOnly: true},
		},
		Search: []kind.Param{
			kind.ByWords("name"), kind.ByToken("task"), kind.ByToken("algorithm"),
			{Name: "data", Type: kind.ReferenceParam, Path: "data", To: []string{DatasetKind}},
			{Name: "former", Type: kind.ReferenceParam, Path: "former", To: []string{ModelKind}},
		},
		Access: []kind.Grant{{Role: RoleOps, Can: []string{"read", "history", "create", ModelCancel, Withdraw}}, mgr},
		View: kind.View{
			TitleField: "name", Columns: []string{"name", "task", "algorithm", "state", "metrics.merit", "live.merit", "percent", "updatedAt"},
			Filters: []string{"name", "task", "algorithm", "_state"}, Menu: "ops", Icon: "MagicStick", Order: 65,
		},
		Lifecycle: &kind.Lifecycle{Start: ModelPlanned, States: []kind.State{
			{Name: ModelPlanned, Title: tr("待训练", "Planned"), Tone: "info"},
			{Name: ModelTraining, Title: tr("训练中", "Training"), Tone: "info"},
			{Name: ModelTrained, Title: tr("已训练", "Trained"), Tone: "info"},
			{Name: ModelEvaluated, Title: tr("已评估", "Evaluated"), Tone: "info"},
			{Name: ModelChallenger, Title: tr("旁路评分", "Challenger"), Tone: "info"},
			{Name: ModelGrey, Title: tr("灰度中", "Grey release"), Tone: "warn"},
			{Name: ModelChampion, Title: tr("现用", "Champion"), Tone: "good"},
			{Name: Retired, Title: tr("已退役", "Retired"), Tone: "idle"},
			{Name: ModelRolledBack, Title: tr("已回退", "Rolled back"), Tone: "bad"},
			{Name: Rejected, Title: tr("未采用", "Rejected"), Tone: "idle", Final: true},
			{Name: ModelCancelled, Title: tr("已取消", "Cancelled"), Tone: "idle", Final: true},
			{Name: Failed, Title: tr("训练失败", "Failed"), Tone: "bad", Final: true},
		}, Verbs: []kind.Verb{
			{Name: ModelBegin, Title: tr("开始训练", "Begin"), From: []string{ModelPlanned}, To: ModelTraining, Input: facts, Clock: true},
			{Name: Note, Title: tr("记下进展", "Note"), From: []string{"*"}, Input: facts, Clock: true},
			{Name: ModelTrain, Title: tr("训练完成", "Train"), From: []string{ModelPlanned, ModelTraining}, To: ModelTrained, Input: facts, Clock: true, Guards: []kind.Guard{
				{If: "has(data.weights)", Say: tr("没有权重。", "There are no weights.")},
			}},
			{Name: ModelEvaluate, Title: tr("评估完成", "Evaluate"), From: []string{ModelTrained}, To: ModelEvaluated, Input: facts, Clock: true},
			{Name: ModelChallenge, Title: tr("开始旁路评分", "Challenge"), From: []string{ModelEvaluated}, To: ModelChallenger, Input: facts, Clock: true, Guards: []kind.Guard{beatsTrivial}},
			{Name: ModelRelease, Title: tr("扩大灰度", "Release"), From: []string{ModelChallenger, ModelGrey}, To: ModelGrey, Input: facts, Clock: true, Guards: []kind.Guard{holdsLive}},
			{Name: ModelCrown, Title: tr("启用", "Crown"), From: []string{ModelGrey}, To: ModelChampion, Input: facts, Clock: true, Guards: []kind.Guard{holdsLive}},
			{Name: Retire, Title: tr("退役", "Retire"), From: []string{ModelChampion}, To: Retired, Input: facts, Clock: true},
			{Name: ModelRollBack, Title: tr("回退", "Roll back"), From: []string{ModelGrey, ModelChampion}, To: ModelRolledBack, Input: facts, Clock: true},
			{Name: ModelReinstate, Title: tr("重新启用", "Reinstate"), From: []string{Retired}, To: ModelChampion, Input: facts, Clock: true},
			{Name: ModelReturn, Title: tr("重新参选", "Return"), From: []string{Retired}, To: ModelChallenger, Input: facts, Clock: true},
			{Name: Reject, Title: tr("不采用", "Reject"), From: []string{ModelTrained, ModelEvaluated, ModelChallenger}, To: Rejected, Input: facts, Clock: true},
			{Name: ModelFail, Title: tr("训练失败", "Fail"), From: []string{ModelPlanned, ModelTraining, ModelTrained}, To: Failed, Input: facts, Clock: true},
			{Name: ModelCancel, Title: tr("取消", "Cancel"), From: living, To: ModelCancelled, Confirm: true, Evidence: reason},
			{Name: Withdraw, Title: tr("停用", "Withdraw"), From: []string{ModelChampion}, To: Retired, Confirm: true, Evidence: reason},
		}},
	}
}

// driftKind declares a note that what a model sees is no longer what it learnt
// from. It has no lifecycle: what is done about it is told by the model.
func driftKind() kind.Kind {
	return kind.Kind{
		Name: DriftKind, Plural: "drifts", Title: tr("漂移", "Drift"),
		Help: tr("模型看到的数据与它学习时的数据不再一样。", "What a model sees is no longer what it learnt from."),
		Fields: []kind.Field{
			kind.Link(ModelKind, "模型", "Model").Auto(),
			{Name: "at", Type: kind.Time, Title: tr("时间", "At"), Required: true, ReadOnly: true},
			kind.Line("input", "变化最大的输入", "Input that moved most").Auto(),
			{Name: "psi", Type: kind.Decimal, Title: tr("群体稳定性指数（PSI）", "Population stability index"), ReadOnly: true},
			{Name: "ks", Type: kind.Decimal, Title: tr("评分分布的 KS 距离", "KS distance of the scores"), ReadOnly: true},
			{Name: "rows", Type: kind.Int, Title: tr("行数", "Rows"), ReadOnly: true},
			{Name: "text", Type: kind.Markdown, Title: tr("说明", "What was found"), ReadOnly: true},
		},
		Search: []kind.Param{
			kind.ByLink(ModelKind),
			{Name: "at", Type: kind.DateParam, Path: "at", Title: tr("时间", "At")},
		},
		Access: []kind.Grant{{Role: RoleOps, Can: []string{"read", "history"}}, mgr},
		View:   kind.View{TitleField: "input", Columns: []string{"model", "at", "input", "psi", "ks", "text"}, Filters: []string{"model", "at"}, Sort: "-at", Menu: "ops", Icon: "TrendCharts", Order: 66},
		Retain: kind.Retention{Years: 3, Rule: tr("与处置记录一同保存三年。", "Kept three years, as executions are.")},
	}
}
