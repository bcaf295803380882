package intent_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"zhiwei/engine"
	"zhiwei/engine/intent"
)

func val(v float64) *float64 { return &v }

// brief writes a goal in a line, so that tables of them can be read.
func brief(g engine.Goal) string {
	var b strings.Builder
	s := g.Subject
	fmt.Fprintf(&b, "%s %s", g.Measure, s.How)
	for _, p := range []string{s.Severity, s.Part, s.Class} {
		if p != "" {
			b.WriteString(" " + p)
		}
	}
	if s.Name != "" {
		b.WriteString(" “" + s.Name + "”")
	}
	n := func(v *float64) string { return strconv.FormatFloat(*v, 'g', -1, 64) }
	if g.Min != nil {
		b.WriteString(" ≥" + n(g.Min))
	}
	if g.Max != nil {
		b.WriteString(" ≤" + n(g.Max))
	}
	if g.Share != 1 {
		b.WriteString(" share " + n(&g.Share))
	}
	if g.Period != "720h" {
		b.WriteString(" over " + g.Period)
	}
	if h := g.Hours; h != nil {
		days := fmt.Sprint(h.Days)
		if h.On != "" {
			days = strings.TrimSpace(h.On + " " + strings.Trim(days, "[]"))
		}
		fmt.Fprintf(&b, " in %s %s-%s", days, h.From, h.Until)
	}
	if g.Strength != engine.AsTarget {
		b.WriteString(" " + g.Strength)
	}
	return b.String()
}

// Proves A11: sentences in both languages and many wordings become the goals that
// they mean, and nothing of them is left unread.
func TestSentencesAreRead(t *testing.T) {
	answers := "response-time each application “%s” ≤0.3 share 0.9999"
	room := []string{"temperature each room ≥20 ≤28", "humidity each room ≥0.5 ≤0.65"}
	for _, c := range []struct {
		text string
		want []string
	}{
		{"门诊服务 99.99% 的时间在 300 毫秒内应答", []string{fmt.Sprintf(answers, "门诊")}},
		{"the outpatient service answers 99.99 % of the time within 300 ms", []string{fmt.Sprintf(answers, "outpatient")}},
		{"门诊服务９９．９９％的时间在３００毫秒内应答。", []string{fmt.Sprintf(answers, "门诊")}},
		{"门诊系统四个九的时间响应时间不超过0.3秒", []string{fmt.Sprintf(answers, "门诊")}},
		{"确保门诊服务的响应时间 99.99% 的时间不得超过三百毫秒", []string{fmt.Sprintf(answers, "门诊")}},
		{"99.99% 的时间，门诊服务的应答用时 ≤ 300ms", []string{fmt.Sprintf(answers, "门诊")}},
		{"For 99.99% of the time, the response time of the outpatient system must be below 300 milliseconds", []string{fmt.Sprintf(answers, "outpatient") + " limit"}},
		{"The latency of the outpatient service should never exceed 300 ms, four nines", []string{fmt.Sprintf(answers, "outpatient")}},
		{"机房温度 20–28 ℃，湿度 50–65%", room},
		{"machine room 20–28 °C and 50–65 %", room},
		{"机房的温度保持在二十到二十八度之间，湿度在百分之五十到百分之六十五", room},
		{"keep the machine room between 20 and 28 °C and humidity between 50 and 65 %", room},
		{"机房温度不低于20度且不超过28度；机房相对湿度50%~65%", room},
		{"every machine room at least 20 °C and at most 28 °C; relative humidity of every machine room 50 % to 65 %", room},
		{"机房温度 24±4 ℃，湿度 50-65%", room},
		{"数据库备份不超过一天", []string{"backup-age each database ≤86400"}},
		{"no database backup older than a day", []string{"backup-age each database ≤86400"}},
		{"没有数据库备份早于 24 小时", []string{"backup-age each database ≤86400"}},
		{"Every database's last backup is no older than one day", []string{"backup-age each database ≤86400"}},
		{"每个数据盘剩余空间不低于 20%", []string{"free-space each data volume ≥0.2"}},
		{"free space on every data disk >= 20 %", []string{"free-space each data volume ≥0.2"}},
		{"任一数据盘的可用空间至少两成", []string{"free-space each data volume ≥0.2"}},
		{"所有数据盘剩余空间大于等于百分之二十", []string{"free-space each data volume ≥0.2"}},
		{"no data disk has less than 20 percent free", []string{"free-space each data volume ≥0.2"}},
		{"no data disk is more than 80 % full", []string{"used-space each data volume ≤0.8"}},
		{"严重事件 15 分钟内响应", []string{"answer-time each critical incident ≤900"}},
		{"answer critical incidents within 15 min", []string{"answer-time each critical incident ≤900"}},
		{"95% 的严重故障在一刻钟内 20 分钟内处置", nil},
		{"95% 的严重故障在 15 分钟内处置", []string{"answer-time each critical incident ≤900 share 0.95"}},
		{"respond to 95% of critical incidents within fifteen minutes", []string{"answer-time each critical incident ≤900 share 0.95"}},
		{"工作日 8 点到 18 点，门诊服务 99.9% 的时间可用", []string{"availability each application “门诊” ≥1 share 0.999 in working 08:00-18:00"}},
		{"on weekdays from 8 am to 6 pm the outpatient service is available 99.9% of the time", []string{"availability each application “outpatient” ≥1 share 0.999 in [1 2 3 4 5] 08:00-18:00"}},
		{"检验系统每月可用率不低于 99.95%", []string{"availability each application “检验” ≥1 share 0.9995"}},
		{"the lab system's availability is at least 99.95 % every quarter", []string{"availability each application “lab” ≥1 share 0.9995 over 2160h"}},
		{"至少一个数据库复制延迟不超过 30 秒", []string{"replication-lag one database ≤30"}},
		{"所有服务器平均 CPU 使用率不超过七成", []string{"processor-load mean host ≤0.7"}},
		{"尽量让机房功率不超过 50 千瓦", []string{"power each room ≤50000 wish"}},
		{"“疫苗一号” 温度 2–8 ℃，必须达到", []string{"temperature each “疫苗一号” ≥2 ≤8 limit"}},
		{"冷库温度 -25~-15 ℃", []string{"temperature each “冷库” ≥-25 ≤-15"}},
		{"冷库温度不高于零下十八度", []string{"temperature each “冷库” ≤-18"}},
		{"门诊、住院和急诊系统 99% 的时间 2 秒内应答", []string{"response-time each application “门诊” ≤2 share 0.99", "response-time each application “住院” ≤2 share 0.99", "response-time each application “急诊” ≤2 share 0.99"}},
		{"证书剩余有效期不少于 30 天", []string{"certificate-left each certificate ≥2.592e+06"}},
		{"每个证书的剩余有效期不少于 30 天", []string{"certificate-left each certificate ≥2.592e+06"}},
		{"UPS 续航不少于 30 分钟", []string{"battery-runtime each ups ≥1800"}},
		{"every UPS lasts at least 30 minutes", []string{"battery-runtime each ups ≥1800"}},
		{"机房不得有漏水", []string{"leak each room ≤0"}},
		{"no leak in any machine room", []string{"leak each room ≤0"}},
		{"“HIS 主库” 数据库连接数不超过 500", []string{"connections each database “HIS 主库” ≤500"}},
		{"数据盘剩余空间不少于 100 GB", []string{"free-bytes each data volume ≥1e+11"}},
		{"周一至周五 22:00 到 6:00 服务器 CPU 使用率不超过 50%", []string{"processor-load each host ≤0.5 in [1 2 3 4 5] 22:00-06:00"}},
		{"门诊服务不超过 300 毫秒应答 99.99%", []string{fmt.Sprintf(answers, "门诊")}},
		{"门诊系统 99.99% 请求在 300 毫秒内应答", nil},
		{"99.99% of requests to the outpatient service are answered within 300 ms", nil},
		{"门诊服务应答时间 P99 不超过 300 毫秒", nil},
		{"机房温湿度 20–28 ℃、50–65%", room},
		{"The server room must be kept at 20-28°C with 50-65% relative humidity", []string{room[0] + " limit", room[1] + " limit"}},
		{"手术室温度 22±2℃，湿度 50±10%", []string{"temperature each “手术室” ≥20 ≤24", "humidity each “手术室” ≥0.4 ≤0.6"}},
		{"每个数据库每天至少备份一次", []string{"backup-age each database ≤86400"}},
		{"数据库至少每 12 小时备份一次", []string{"backup-age each database ≤43200"}},
		{"every database is backed up at least once a day", []string{"backup-age each database ≤86400"}},
		{"all database backups are less than one day old", []string{"backup-age each database ≤86400"}},
		{"数据库最近一次备份不超过 1 天", []string{"backup-age each database ≤86400"}},
		{"所有数据盘至少留有 20% 空间", []string{"free-space each data volume ≥0.2"}},
		{"数据盘空间不超过 80%", nil},
		{"Free space on any data disk must not fall below 20%", []string{"free-space each data volume ≥0.2"}},
		{"重大故障一刻钟内有人接手", []string{"answer-time each critical incident ≤900"}},
		{"answer every critical incident within a quarter of an hour", []string{"answer-time each critical incident ≤900"}},
		{"critical incidents must be acknowledged in 15 minutes", []string{"answer-time each critical incident ≤900 limit"}},
		{"工作日上午8点到下午6点，门诊系统可用率99.9%", []string{"availability each application “门诊” ≥1 share 0.999 in working 08:00-18:00"}},
		{"on working days from 8 am to 6 pm the outpatient service is available 99.9% of the time", []string{"availability each application “outpatient” ≥1 share 0.999 in working 08:00-18:00"}},
		{"门诊系统工作日 8–18 点 2 秒内应答", []string{"response-time each application “门诊” ≤2 in working 08:00-18:00"}},
		{"business days 08:00-18:00: the outpatient service answers within 2 s", []string{"response-time each application “outpatient” ≤2 in working 08:00-18:00"}},
		{"法定节假日机房温度不超过 26 度", []string{"temperature each room ≤26 in holiday -"}},
		{"on public holidays the machine room stays below 26 °C", []string{"temperature each room ≤26 in holiday -"}},
		{"休息日 9:00–17:00，机房温度不超过 26 度", []string{"temperature each room ≤26 in off 09:00-17:00"}},
		{"the machine room is at most 26 °C on days off", []string{"temperature each room ≤26 in off -"}},
		{"每天 8:00–18:00（法定节假日除外），急诊系统 1 秒内应答", []string{"response-time each application “急诊” ≤1 in not-holiday 08:00-18:00"}},
		{"the emergency service answers within 1 s on Monday to Saturday from 8:00 to 18:00 except public holidays", []string{"response-time each application “emergency” ≤1 in not-holiday 1 2 3 4 5 6 08:00-18:00"}},
		{"工作日（不含法定节假日）门诊系统 2 秒内应答", []string{"response-time each application “门诊” ≤2 in working -"}},
		{"工作日和周末门诊系统 2 秒内应答", nil},
		{"法定节假日和工作日门诊系统 2 秒内应答", nil},
		{"夜间 22 点至次日 6 点，机房温度不超过 30 度", []string{"temperature each room ≤30 in [] 22:00-06:00"}},
		{"夜间机房温度不超过 30 度", nil},
		{"节假日机房温度不超过 26 度", nil},
		{"UPS 电池至少能撑 30 分钟", []string{"battery-runtime each battery “UPS” ≥1800"}},
		{"所有证书剩余有效期大于三十天", []string{"certificate-left each certificate ≥2.592e+06"}},
		{"病毒库不超过 3 天", []string{"definitions-age each host ≤259200"}},
		{"服务器内存使用率不高于 85%，CPU 使用率不高于 80%", []string{"memory-use each host ≤0.85", "processor-load each host ≤0.8"}},
		{"应急指挥系统 1.5 秒内应答，99% 的时间，每 7 天", []string{"response-time each application “应急指挥” ≤1.5 share 0.99 over 168h"}},
	} {
		r, err := intent.Read(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if c.want == nil {
			if len(r.Unclear) == 0 {
				t.Errorf("%s is said to be clear: %v", c.text, r.Says)
			}
			continue
		}
		var got []string
		for _, g := range r.Goals {
			got = append(got, brief(g))
		}
		for _, u := range r.Unclear {
			t.Errorf("%s: unclear: “%s” %s", c.text, u.Part, u.Say.EN)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

// What a sentence leaves open is never guessed: the part is named, and where
// there are ways to make it clear each of them is, once it is chosen.
func TestUnclearPartsAreNamed(t *testing.T) {
	for _, c := range []struct {
		text, part string
		choices    bool
	}{
		{"门诊服务 300 毫秒应答", "300 毫秒", true},
		{"the outpatient service answers 300 ms", "300 ms", true},
		{"机房温度 20–28", "20–28", true},
		{"温度不超过 28 ℃", "温度不超过 28 ℃", true},
		{"“一号” 剩余空间不低于 20", "剩余空间", true},
		{"机房不超过 28", "28", true},
		{"门诊服务要快", "门诊服务要快", false},
		{"make everything good", "make everything good", false},
		{"数据库应答不超过 50%", "应答", false},
		{"门诊服务飞快地在 300 毫秒内应答，CPU 使用率很低", "", false},
		{"门诊服务可用 110% 的时间", "", false},
		{"机房温度 28 到 20 ℃", "28 到 20 ℃", false},
		{"数据库连接使用率不超过 180%", "180%", false},
		{"门诊服务 8 点应答不超过 1 秒", "8 点", false},
		{"门诊系统和检验数据库 1 秒内应答", "", false},
		{"门诊服务 1 秒内应答，否则想想办法", "", true},
		{"at least 300 ms or less for the outpatient service response time", "", false},
		{"不超过 20%", "20%", true},
		{"；；。", "", false},
	} {
		r, err := intent.Read(c.text)
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		if len(r.Unclear) == 0 {
			t.Errorf("%s is said to be clear: %s", c.text, r.Says.EN)
			continue
		}
		u := r.Unclear[0]
		if c.part != "" && !slices.ContainsFunc(r.Unclear, func(u intent.Unclear) bool { return strings.Contains(u.Part, c.part) }) {
			t.Errorf("%s: unclear is said to be “%s”: %s", c.text, u.Part, u.Say.EN)
		}
		if got := string([]rune(r.Text)[u.From:u.To]); strings.TrimSpace(got) != u.Part {
			t.Errorf("%s: the place of “%s” holds “%s”", c.text, u.Part, got)
		}
		if c.choices && len(u.Choices) == 0 {
			t.Errorf("%s: no choices for “%s”", c.text, u.Part)
		}
		for _, ch := range u.Choices {
			again, err := intent.Read(ch.Text)
			if err != nil || slices.ContainsFunc(again.Unclear, func(v intent.Unclear) bool { return v.Say == u.Say && v.Part == u.Part }) {
				t.Errorf("%s: choosing “%s” leaves the same unclear: %s %+v", c.text, ch.Title.ZH, ch.Text, again.Unclear)
			}
		}
	}
	if _, err := intent.Read("  "); err == nil {
		t.Error("nothing was read")
	}
	if _, err := intent.Read(strings.Repeat("长", 1001)); err == nil {
		t.Error("a book was read")
	}
}

// What a sentence asks to be done is kept apart from what is usual for a measure.
func TestPoliciesAreRead(t *testing.T) {
	r, err := intent.Read("机房温度不超过 28 ℃，否则启动备用空调；each data disk has at least 20 % free space, otherwise call a person")
	if err != nil || len(r.Unclear) > 0 || len(r.Goals) != 2 {
		t.Fatal(r, err)
	}
	var got []string
	for _, p := range r.Policies {
		got = append(got, fmt.Sprintf("%t %s %t %s", p.Goal == r.Goals[0].ID, p.Runbook, p.Asked, p.Side))
	}
	want := []string{"true cooling-start true ", "false call-person true ", "true cooling-start false high", "false clear-space false low"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// A name of the ledger is taken as it stands, whatever words are in it.
func TestNamesOfTheLedgerAreTaken(t *testing.T) {
	r, err := intent.Read("在线问诊和复诊系统 2 秒内应答，99% 的时间", intent.Known{Name: "在线问诊和复诊系统", Class: "application"})
	if err != nil || len(r.Unclear) > 0 || len(r.Goals) != 1 || r.Goals[0].Subject.Name != "在线问诊和复诊系统" || r.Goals[0].Subject.Class != "application" {
		t.Fatalf("%+v %v", r, err)
	}
}

// anyGoal makes a goal of any form that can be meant.
func anyGoal(rnd *rand.Rand) engine.Goal {
	pick := func(n int) bool { return rnd.IntN(n) == 0 }
	list := intent.Measures()
	m := list[rnd.IntN(len(list))]
	g := engine.Goal{Measure: m.Code, Share: 1, Period: "720h", Strength: engine.AsTarget, Subject: engine.Subject{How: engine.EachThing}}
	if len(m.Classes) > 0 {
		g.Subject.Class = string(m.Classes[rnd.IntN(len(m.Classes))])
	} else {
		all := engine.Classes()
		g.Subject.Class = all[rnd.IntN(len(all))].Code
	}
	incident := g.Subject.Class == engine.SubjectIncident
	names := []string{"门诊", "HIS 主库", "和平院区 3 号机房", "CT-2", "the lab's own", "不超过 20%", "a, b and c", "每个；系统", "x", "空调（备用）"}
	if !incident && pick(2) {
		g.Subject.Name = names[rnd.IntN(len(names))]
	}
	if !incident {
		g.Subject.How = []string{engine.EachThing, engine.EachThing, engine.OneThing, engine.MeanThing}[rnd.IntN(4)]
		if (g.Subject.Class == string(engine.ClassVolume) || g.Subject.Class == string(engine.ClassHost)) && pick(2) {
			g.Subject.Part = engine.PartData
		}
	} else if pick(2) {
		g.Subject.Severity = []string{"critical", "major", "minor", "warning"}[rnd.IntN(4)]
	}
	value := func() *float64 {
		n := float64(rnd.IntN(10_000))
		switch m.Unit {
		case "s":
			n *= []float64{0.001, 1, 60, 3600, 86400}[rnd.IntN(5)]
			n = math.Round(n*1000) / 1000
		case "1":
			n /= 10_000
		case "Cel":
			n = n/10 - 300
			n = math.Round(n*10) / 10
		case "By", "W":
			n *= math.Pow10(rnd.IntN(6))
		}
		return &n
	}
	switch {
	case m.Unit == "bool" && m.Want == 0:
		g.Max = val(0)
	case m.Unit == "bool":
		g.Min = val(1)
	default:
		a, b := value(), value()
		if *a > *b {
			a, b = b, a
		}
		switch rnd.IntN(3) {
		case 0:
			g.Min = a
		case 1:
			g.Max = b
		default:
			g.Min, g.Max = a, b
		}
	}
	if pick(2) {
		g.Share, _ = strconv.ParseFloat(fmt.Sprintf("0.%d", 1+rnd.IntN(99999)), 64)
	}
	if pick(2) {
		g.Period = []string{"1h", "24h", "168h", "720h", "2160h", "8760h", "36h", "90m"}[rnd.IntN(8)]
	}
	if pick(3) {
		h := &engine.Hours{}
		for d := 1; d <= 6; d++ {
			if pick(2) {
				h.Days = append(h.Days, d)
			}
		}
		if len(h.Days) == 0 || pick(2) {
			h.From, h.Until = fmt.Sprintf("%02d:%02d", rnd.IntN(24), 1+rnd.IntN(59)), []string{"", "17:30", "06:00"}[rnd.IntN(3)]
		}
		if pick(2) {
			h.On = []string{engine.OnWorking, engine.OnOff, engine.OnHoliday, engine.ButNotHoliday}[rnd.IntN(4)]
			if h.On != engine.ButNotHoliday {
				h.Days = nil
			}
		}
		g.Hours = h
	}
	g.Strength = []string{engine.AsTarget, engine.AsLimit, engine.AsWish}[rnd.IntN(3)]
	return g
}

// Every goal is written out in a sentence of each language that is read as just
// this goal.
func TestSentencesComeBack(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 1000 {
		var goals []engine.Goal
		for range 1 + rnd.IntN(3) {
			goals = append(goals, anyGoal(rnd))
		}
		first := intent.Say(goals, nil)
		for _, text := range []string{first.ZH, first.EN} {
			r, err := intent.Read(text)
			if err != nil || len(r.Unclear) > 0 {
				t.Fatalf("%s\n%+v: %v %+v", text, goals, err, r.Unclear)
			}
			seen := map[string]bool{}
			var want, got []string
			for _, g := range goals {
				raw, _ := json.Marshal(g)
				if !seen[string(raw)] {
					want = append(want, string(raw))
				}
				seen[string(raw)] = true
			}
			for _, g := range r.Goals {
				g.ID = ""
				raw, _ := json.Marshal(g)
				got = append(got, string(raw))
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s\n got %s\nwant %s", text, got, want)
			}
			if again := intent.Say(r.Goals, r.Policies); again != r.Says || len(seen) == len(goals) && again != first {
				t.Fatalf("said again:\n%+v\n%+v", again, first)
			}
		}
	}
}

// No bytes make the reader fail, and what it holds for clear comes back from its
// own words.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"门诊服务 99.99% 的时间在 300 毫秒内应答", "machine room 20–28 °C and 50–65 %", "no database backup older than a day", "严重事件 15 分钟内响应，否则呼叫人员",
		"工作日 8 点到 18 点，每个数据盘剩余空间不低于 20%", "keep “a b” between -3 and 半 ℃ on Monday to Friday", "百分之九十九点九九", "24±4 ℃;1,200 GB", "\"", "\xff\xfe每",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := intent.Read(text)
		if err != nil || len(r.Unclear) > 0 {
			return
		}
		for _, said := range []string{r.Says.ZH, r.Says.EN} {
			if len([]rune(said)) > 1000 {
				continue
			}
			again, err := intent.Read(said)
			if err != nil || len(again.Unclear) > 0 || len(again.Goals) != len(r.Goals) {
				t.Fatalf("%q became %q and that is not clear: %v %+v", text, said, err, again.Unclear)
			}
			for i := range r.Goals {
				if again.Goals[i].ID != r.Goals[i].ID {
					t.Fatalf("%q became %q and another goal: %+v %+v", text, said, r.Goals[i], again.Goals[i])
				}
			}
		}
	})
}
