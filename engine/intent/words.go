package intent

import (
	"strings"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// role is what a phrase does in a sentence.
type role int

const (
	filler       role = iota // says nothing that matters
	atMost                   // stands before a number
	atLeast                  // stands before a number
	orLess                   // stands behind a number
	orMore                   // stands behind a number
	above                    // "above 5": at least 5; with a negation at most 5
	below                    // "below 5": at most 5; with a negation at least 5
	negation                 // not, no
	between                  // a range follows
	through                  // between the ends of a range
	plusMinus                // between the middle and the width of a range
	quantifier               // value: EachThing …
	always                   // the whole time
	ofTime                   // behind a percentage: of the time
	ofCases                  // behind a percentage: of the cases
	period                   // value: a duration such as "30d"
	judged                   // a duration follows or stands before: that is the period
	days                     // value: digits of the days, 1 Monday
	severity                 // value: an engine.Severity
	measure                  // value: code of a measure
	class                    // value: a class
	part                     // value: engine.PartData
	strength                 // value: AsLimit, AsWish
	otherwise                // what follows is what to do
	action                   // value: name of a runbook
	and                      // between parts
	known                    // value: a name of the ledger
	once                     // so often in a period: "once a day"
	requests                 // of requests, which are not counted; value: the percentage of "P99"
	calendarDays             // value: engine.OnWorking …
	vague                    // a time that only the speaker knows
	feast                    // public holidays, or weekends too
	forenoon                 // before a time of day: as it stands
	afternoon                // before a time of day: twelve hours on
)

// meaning is one reading of a phrase.
type meaning struct {
	role  role
	value string
}

// lexicon is the phrases by their first rune, the longest first.
type lexicon struct {
	phrases map[string][]meaning
	byFirst map[rune][]string
}

func (l *lexicon) add(r role, value string, phrases ...string) {
	for _, p := range phrases {
		p = strings.ToLower(p)
		m := meaning{r, value}
		for _, have := range l.phrases[p] {
			if have == m {
				m.role = -1
			}
		}
		if m.role >= 0 {
			l.phrases[p] = append(l.phrases[p], m)
		}
	}
}

// index makes the table by first runes.
func (l *lexicon) index() {
	l.byFirst = map[rune][]string{}
	for p := range l.phrases {
		first := []rune(p)[0]
		l.byFirst[first] = append(l.byFirst[first], p)
	}
	for _, list := range l.byFirst {
		longest(list)
	}
}

// at finds the longest phrase that stands at i.
func (l *lexicon) at(text []rune, i int) (phrase string, end int, ok bool) {
	for _, p := range l.byFirst[at(text, i)] {
		if e, there := follows(text, i, p); there && e > end {
			phrase, end, ok = p, e, true
		}
	}
	return phrase, end, ok
}

// classWords are what people call the classes beside their titles.
var classWords = map[engine.Class][]string{
	engine.ClassApplication: {"系统", "服务", "应用", "业务", "软件", "system", "systems", "service", "services", "app", "apps", "applications"},
	engine.ClassComponent:   {"模块", "components"},
	engine.ClassMiddleware:  {"应用服务器", "application server", "application servers"},
	engine.ClassDatabase:    {"db", "databases"},
	engine.ClassBackupJob:   {"backup jobs"},
	engine.ClassCertificate: {"certificates"},
	engine.ClassVM:          {"云主机", "vms", "virtual machines"},
	engine.ClassHost:        {"服务器", "机器", "电脑主机", "server", "servers", "hosts", "machine", "machines", "computers"},
	engine.ClassVolume:      {"文件系统", "分区", "volumes", "file system", "file systems", "filesystem", "filesystems", "partition", "partitions"},
	engine.ClassArray:       {"阵列", "storage arrays", "array"},
	engine.ClassDisk:        {"硬盘", "disks", "drive", "drives"},
	engine.ClassSwitch:      {"switches"},
	engine.ClassRouter:      {"routers"},
	engine.ClassFirewall:    {"firewalls"},
	engine.ClassAccessPoint: {"无线热点", "access points"},
	engine.ClassPort:        {"网口", "接入端口", "ports"},
	engine.ClassCable:       {"专线", "线路", "links", "line"},
	engine.ClassRack:        {"racks", "cabinet"},
	engine.ClassRoom:        {"计算机房", "machine room", "machine rooms", "server room", "server rooms", "rooms"},
	engine.ClassUPS:         {"ups", "upses", "后备电源"},
	engine.ClassBattery:     {"电池", "电池组", "batteries"},
	engine.ClassCooling:     {"冷却", "air conditioner", "air conditioners", "air conditioning"},
	engine.ClassSensor:      {"探头", "sensors"},
	engine.ClassTerminal:    {"工作站", "终端机", "workstation", "workstations", "terminals"},
	engine.ClassPrinter:     {"printers"},
	engine.ClassCluster:     {"clusters"},
	engine.ClassContainer:   {"containers"},
}

// hourWords are the days of the week, Monday first.
var hourWords = [][]string{
	{"周一", "星期一", "礼拜一", "monday", "mondays", "mon"},
	{"周二", "星期二", "礼拜二", "tuesday", "tuesdays", "tue"},
	{"周三", "星期三", "礼拜三", "wednesday", "wednesdays", "wed"},
	{"周四", "星期四", "礼拜四", "thursday", "thursdays", "thu"},
	{"周五", "星期五", "礼拜五", "friday", "fridays", "fri"},
	{"周六", "星期六", "礼拜六", "saturday", "saturdays", "sat"},
	{"周日", "周天", "星期日", "星期天", "礼拜天", "sunday", "sundays", "sun"},
}

// words is the lexicon of all sentences, without the names of the ledger.
var words = newLexicon()

func newLexicon() *lexicon {
	l := &lexicon{phrases: map[string][]meaning{}}
	l.add(filler, "", "的", "地", "了", "在", "为", "是", "应", "应当", "应该", "需", "要", "需要", "要求", "请", "希望", "让", "使", "使得", "保持", "保持在", "控制在", "控制", "维持", "维持在", "稳定在",
		"保证", "确保", "保障", "都", "均", "能", "能够", "可以", "得到", "做到", "达到", "其", "它的", "我们", "我院", "全院", "本院", "医院", "进行", "完成", "有", "之间", "范围", "左右内", "必须在", "必须要",
		"a", "an", "the", "is", "are", "be", "been", "was", "being", "should", "shall", "will", "can", "may", "we", "want", "need", "needs", "please", "ensure", "make", "sure", "let", "keep", "keeps", "kept", "stay", "stays", "remain", "remains", "hold", "holds", "held", "maintain", "maintained",
		"its", "their", "our", "to", "of", "for", "that", "has", "have", "with", "in", "at", "on", "by", "from", "as", "there", "it", "time", "times", "hospital", "hospital's", "every time", "get", "gets", "fall", "falls", "drop", "drops", "rise", "rises", "go", "goes", "old", "somebody", "有人", "有人员", "必须有", "留", "'s", "s'", "show", "shows")
	l.add(atMost, "", "不超过", "不高于", "不大于", "不多于", "不长于", "不得超过", "不得高于", "不得大于", "不能超过", "不能高于", "不要超过", "不应超过", "不可超过", "不早于", "至多", "最多", "最高", "最大", "最长", "最迟", "上限", "上限为", "小于等于", "小于或等于", "控制在不超过", "<=", "<", "≤", "=<",
		"within", "at most", "no more than", "not more than", "no longer than", "not longer than", "no later than", "no higher than", "no greater than", "no older than", "not older than", "up to", "max", "maximum", "a maximum of", "at the most", "does not exceed", "do not exceed", "not exceed", "must not exceed", "not exceeding", "in under", "in less than", "not above", "not over")
	l.add(atLeast, "", "不低于", "不少于", "不小于", "不短于", "不得低于", "不得少于", "不得小于", "不能低于", "不能少于", "不要低于", "不应低于", "不可低于", "至少", "最少", "最低", "最小", "最短", "下限", "下限为", "大于等于", "大于或等于", ">=", ">", "≥", "=>",
		"at least", "no less than", "not less than", "no lower than", "not lower than", "no fewer than", "not below", "not under", "min.", "minimum", "a minimum of", "at minimum")
	l.add(orLess, "", "内", "以内", "之内", "以下", "及以下", "or less", "or lower", "or below", "or faster", "at most")
	l.add(orMore, "", "以上", "及以上", "或以上", "之上", "or more", "or higher", "or above", "or better", "at least")
	l.add(above, "", "超过", "高于", "大于", "多于", "长于", "早于", "超出", "突破", "above", "over", "exceed", "exceeds", "exceeding", "more than", "greater than", "older than", "longer than", "higher than")
	l.add(below, "", "低于", "小于", "少于", "短于", "不足", "不到", "跌破", "below", "under", "less than", "lower than", "fewer than", "shorter than", "younger than", "newer than", "faster than")
	l.add(negation, "", "不得", "不能", "不应", "不可", "不许", "不要", "不会", "没有", "无", "不", "勿", "not", "no", "never", "cannot", "none", "without", "no single", "not any")
	l.add(between, "", "介于", "between", "in the range of", "in the range", "range from", "ranges from")
	l.add(through, "", "到", "至", "-", "to", "until", "till", "through", "..", "...")
	l.add(plusMinus, "", "±", "+/-", "plus or minus", "上下")
	l.add(quantifier, engine.EachThing, "每", "每个", "每一个", "每台", "每一台", "每块", "每一块", "每间", "每条", "每次", "每项", "每套", "各", "各个", "各台", "所有", "所有的", "全部", "全部的", "任一", "任一个", "任何", "任何一个", "任意", "任意一个", "一切", "each", "every", "all", "any", "all of", "each of", "any of", "every one of", "every single")
	l.add(quantifier, engine.OneThing, "至少一个", "至少一台", "至少有一个", "至少有一台", "其中一个", "至少一块", "at least one", "at least one of", "one or more of", "at least one of the")
	l.add(quantifier, engine.MeanThing, "平均", "平均的", "的平均", "average", "mean", "the mean of", "the mean of all", "the average of", "on average")
	l.add(always, "", "始终", "一直", "随时", "任何时候", "任何时间", "任意时刻", "任意时间", "时刻", "全天", "全天候", "7x24", "7x24小时", "7x24 小时", "24小时", "24 小时不间断", "always", "at all times", "at any time", "all the time", "round the clock", "around the clock", "24/7", "24x7", "permanently", "the whole time")
	l.add(ofTime, "", "的时间", "时间", "的时间里", "的时间内", "的时段", "of the time", "of time", "of all time")
	l.add(ofCases, "", "的情况", "的情况下", "的次数", "的案例", "of the cases", "of cases", "of all cases")
	l.add(period, "24h", "按天", "按日", "每日", "per day", "daily", "each day")
	l.add(period, "168h", "每周", "每星期", "按周", "per week", "weekly", "each week", "every week")
	l.add(period, "720h", "每月", "每个月", "按月", "月度", "当月", "per month", "monthly", "each month", "every month")
	l.add(period, "2160h", "每季度", "每季", "按季度", "季度", "per quarter", "quarterly", "each quarter", "every quarter")
	l.add(period, "8760h", "每年", "全年", "年度", "按年", "per year", "yearly", "each year", "every year", "annually")
	l.add(judged, "", "按", "计", "滚动", "考核周期", "judged over", "over any", "in any", "rolling", "measured over")
	l.add(calendarDays, engine.OnWorking, "工作日", "工作日的", "法定工作日", "上班日", "working days", "working day", "every working day", "work days", "business days", "every business day", "workdays")
	l.add(calendarDays, engine.OnOff, "休息日", "休息日的", "非工作日", "非工作日的", "周末与法定节假日", "周末和法定节假日", "周末及法定节假日", "周末与节假日", "周末和节假日", "周末及节假日", "days off", "non-working days", "weekends and public holidays", "weekends and holidays")
	l.add(calendarDays, engine.OnHoliday, "法定节假日", "法定节假日的", "法定假日", "法定节日", "公共假日", "公众假期", "public holidays", "every public holiday", "statutory holidays", "holidays", "bank holidays")
	l.add(calendarDays, engine.ButNotHoliday, "法定节假日除外", "节假日除外", "除法定节假日外", "除法定节假日", "除节假日外", "不含法定节假日", "不含节假日", "不包括法定节假日", "不包括节假日", "扣除法定节假日", "except public holidays", "except on public holidays", "except holidays", "except on holidays", "excluding public holidays", "excluding holidays", "but not on public holidays", "not on public holidays", "without public holidays")
	l.add(days, "12345", "平日", "weekdays")
	l.add(days, "67", "周末", "双休日", "weekends", "weekend")
	l.add(days, "1234567", "每天", "天天", "every day")
	for n, list := range hourWords {
		l.add(days, string(rune('1'+n)), list...)
	}
	l.add(forenoon, "", "上午", "早上", "早晨", "凌晨", "清晨", "夜间", "夜里", "白天", "次日", "第二天", "翌日", "the next day", "next day")
	l.add(vague, "", "夜间", "夜里", "白天", "工作时间", "上班时间", "高峰", "高峰期", "忙时", "闲时", "working hours", "office hours", "peak hours", "at night", "by day", "busy hours")
	l.add(feast, "", "节假日", "节日", "假日", "假期", "放假")
	l.add(once, "", "一次", "一回", "至少一次", "once", "at least once", "one time")
	l.add(requests, "", "请求", "的请求", "的访问", "访问", "请求数", "requests", "of requests", "of all requests", "of the requests", "requests to", "of requests to", "calls", "of calls")
	for _, p := range []string{"50", "90", "95", "99", "99.9"} {
		l.add(requests, p, "p"+p, "p"+strings.ReplaceAll(p, ".", ""), "p"+p+" of the")
	}
	l.add(afternoon, "", "下午", "晚上", "傍晚", "晚间", "中午")
	l.add(severity, string(engine.Critical), "严重", "严重的", "重大", "特别重大", "紧急", "危急", "critical", "severe")
	l.add(severity, string(engine.Major), "主要", "较大", "重要", "major")
	l.add(severity, string(engine.Minor), "次要", "一般", "minor")
	l.add(severity, string(engine.Warning), "警告", "warning", "warnings")
	l.add(class, engine.SubjectIncident, "事件", "故障", "故障事件", "告警事件", "报障", "incident", "incidents", "faults", "outages")
	l.add(part, engine.PartData, "数据盘", "数据磁盘", "数据硬盘", "数据分区", "数据卷", "data disk", "data disks", "data drive", "data drives", "data volume", "data volumes", "data partition", "data partitions")
	l.add(strength, engine.AsLimit, "必须", "务必", "一定要", "硬性", "必须达到", "绝不", "must", "as a limit", "strictly", "absolutely", "hard limit")
	l.add(negation, "", "绝不", "must not", "shall not", "should not", "may not", "do not", "does not", "绝不能")
	l.add(strength, engine.AsWish, "尽量", "尽可能", "最好", "尽力", "尽量达到", "if possible", "as a wish", "preferably", "ideally", "where possible")
	l.add(otherwise, "", "否则", "不然", "若不满足", "如不达标", "未达到时", "otherwise", "or else", "if not", "else")
	for book, list := range actions {
		l.add(action, book, list...)
	}
	l.add(and, "", "和", "与", "及", "以及", "且", "并", "并且", "同时", "而且", "and", "&", "as well as", "while", "but")
	for _, m := range measures {
		l.add(measure, m.Code, append([]string{m.Title.ZH, m.Title.EN}, m.words...)...)
	}
	for _, o := range engine.Classes() {
		title := classTitle(o.Code)
		l.add(class, o.Code, append([]string{title.ZH, title.EN}, classWords[engine.Class(o.Code)]...)...)
	}
	l.index()
	return l
}

// classTitle is what a class is called in a sentence.
func classTitle(code string) kind.Text {
	switch code {
	case engine.SubjectIncident:
		return kind.T("事件", "incident")
	case string(engine.ClassDevice):
		return kind.T("设备", "device")
	}
	for _, o := range engine.Classes() {
		if o.Code == code {
			return kind.T(o.Title.ZH, strings.ToLower(o.Title.EN))
		}
	}
	return kind.Text{}
}

// actions are the runbooks that a sentence may ask for, and how.
var actions = map[string][]string{
	"call-person":     {"通知值班", "呼叫值班", "通知人员", "呼叫人员", "叫人", "报告值班", "call a person", "call somebody", "call someone", "notify the duty", "tell a person", "page the duty", "call the duty"},
	"service-restart": {"重启", "重启服务", "重新启动", "重启它", "restart it", "restart", "restart the service"},
	"clear-space":     {"清理空间", "清理", "清理磁盘", "清理文件", "clear space", "clean up", "clear it"},
	"rotate-logs":     {"轮转日志", "清理日志", "rotate logs", "rotate the logs"},
	"backup-rerun":    {"补做备份", "重新备份", "立即备份", "重做备份", "back up again", "rerun the backup", "run the backup again", "back up at once"},
	"cooling-start":   {"启动空调", "开空调", "打开空调", "启动备用空调", "start the air conditioner", "start cooling", "start the spare air conditioner"},
	"shed-load":       {"降载", "减载", "卸载非关键负载", "shed load", "shed the load"},
	"time-sync":       {"校时", "同步时间", "对时", "synchronise the clock", "sync the clock", "sync time"},
}
