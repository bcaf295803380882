package predict

import (
	"math"
	"slices"
	"strings"
	"time"

	"zhiwei/drive/smart"
	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// Health is what a disk says of itself at one time: smart.Read reads it from what
// smartctl writes.
type Health = smart.Health

// diskHorizon is what the probabilities of disks are of.
const diskHorizon = 30 * day

// sign is one count that tells of failing disks.
type sign struct {
	id    string
	title kind.Text
	value func(Health) float64
	// times is how much likelier a disk is to fail within 60 days of the first such
	// error: Pinheiro, Weber, Barroso, Failure Trends in a Large Disk Drive
	// Population, FAST '07, §3.5. It has no figure for 184 and 187; both are errors
	// that reached the host, and are weighed as its scan errors are.
	times float64
}

// signs are those that the rule of the trade looks at (Backblaze: 5, 187, 197,
// 198 above 0), and 184, in the order in which they are told.
var signs = []sign{
	{"187", kind.T("无法纠正的读写错误", "errors that could not be corrected"), func(h Health) float64 { return h.Uncorrectable }, 39},
	{"184", kind.T("端到端校验错误", "end-to-end errors"), func(h Health) float64 { return h.EndToEnd }, 39},
	{"198", kind.T("离线无法纠正的扇区", "sectors uncorrectable offline"), func(h Health) float64 { return h.Offline }, 21},
	{"197", kind.T("待定扇区", "pending sectors"), func(h Health) float64 { return h.Pending }, 16},
	{"5", kind.T("重映射扇区", "reallocated sectors"), func(h Health) float64 { return h.Reallocated }, 14},
}

const (
	// yearly is the failure rate of a fleet: 1.4–1.7 % a year in the Drive Stats of
	// Backblaze, 2022–2024.
	yearly = 0.015
	// recent is how long an error weighs fully: the 60 days of the study.
	recent = 60 * day
	// foresee is the least probability within diskHorizon that is worth telling.
	foresee = 0.02
	// expects is the probability taken where the disk itself expects to fail. Makers
	// set the thresholds for few false warnings, 0.1 % a year (Hughes et al., IEEE
	// Trans. Reliability 51, 2002); how many of the warned fail in a month is not
	// published, and this is a guess that puts them first.
	expects = 0.7
	// worn is the share of a solid-state disk's life at which it is to be replaced.
	worn = 0.9
)

// Disk foresees the failure of one disk from what it said of itself, in order of
// time, the last at or before now; one report is enough, several tell what grows.
// ok is false where nothing speaks for a failure.
func Disk(now time.Time, thing, device string, history []Health) (p engine.Prediction, ok bool) {
	if len(history) == 0 {
		return p, false
	}
	last := history[len(history)-1]
	p = engine.Prediction{Thing: thing, Kind: engine.PredictDisk, Part: device, Horizon: diskHorizon.String(), Severity: engine.Minor}
	hazard := -math.Log1p(-yearly) * diskHorizon.Hours() / (365 * 24)
	rest := []float64{}
	for _, s := range signs {
		v := s.value(last)
		if !(v > 0) {
			continue
		}
		grown, since := growth(now, history, s.value)
		weight := s.times
		switch {
		case grown > 0:
			// Many weigh more: ten at once half as much again.
			weight *= 1 + math.Log10(grown)/2
			p.Evidence = append(p.Evidence, kind.T(s.title.ZH+" "+amount(v)+"，"+since.ZH+"增加 "+amount(grown), capital(s.title.EN)+": "+amount(v)+", "+amount(grown)+" more "+since.EN))
		case len(history) > 1 && now.Sub(history[0].At) >= recent:
			// It survived the time in which most fail: what is left of the weight is
			// taken as its root.
			weight = math.Sqrt(weight)
			p.Evidence = append(p.Evidence, kind.T(s.title.ZH+" "+amount(v)+"，60 天未增加", capital(s.title.EN)+": "+amount(v)+", no more for 60 days"))
		default:
			p.Evidence = append(p.Evidence, kind.T(s.title.ZH+" "+amount(v), capital(s.title.EN)+": "+amount(v)))
		}
		rest = append(rest, weight)
	}
	// The signs of one damage come together: the strongest counts in full, the
	// others as their roots.
	slices.SortFunc(rest, func(a, b float64) int { return -cmpFloat(a, b) })
	for i, w := range rest {
		if i > 0 {
			w = math.Sqrt(w)
		}
		hazard *= w
	}
	p.Probability = 1 - math.Exp(-hazard)
	if last.SelfTest {
		p.Probability = 1 - (1-p.Probability)*(1-0.3)
		p.Evidence = slices.Insert(p.Evidence, 0, kind.T("最近一次自检发现错误", "The last self-test found an error"))
	}
	at := last.At
	if at.IsZero() {
		at = now
	}
	if last.Failing {
		p.Probability = max(p.Probability, expects)
		p.Evidence = slices.Insert(p.Evidence, 0, kind.T("磁盘自我评估：即将失效", "The disk's own assessment: it is about to fail"))
	}
	for bit, w := range warnings {
		if last.Warning&(1<<bit) != 0 && w.p > 0 {
			p.Probability = max(p.Probability, w.p)
			p.Evidence = slices.Insert(p.Evidence, 0, w.say)
		}
	}
	if last.Spare < last.SpareFloor && last.Warning&1 == 0 {
		p.Probability = max(p.Probability, warnings[0].p)
		p.Evidence = slices.Insert(p.Evidence, 0, warnings[0].say)
	}
	wears := wearsOut(now, history, &p)
	if p.Probability < foresee && !wears {
		return engine.Prediction{}, false
	}
	if p.Probability >= 0.25 {
		p.Severity = engine.Major
	}
	if p.When.IsZero() && p.Probability >= 0.5 {
		p.When = after(now, diskHorizon.Hours()/24/2)
		p.Earliest = now.UTC().Truncate(time.Second)
	}
	p.Probability = three(p.Probability)
	name := device
	if last.Serial != "" {
		name = strings.TrimSpace(device + "（" + last.Model + " " + last.Serial + "）")
	}
	p.Title = text("磁盘 %s 30 天内失效的概率 %s", "Disk %s fails within 30 days with a probability of %s", name, share(p.Probability))
	if wears {
		p.Title = text("固态盘 %s 的寿命将尽", "The life of the solid-state disk %s comes to its end", name)
	}
	p.Advice = kind.T("确认有当天的备份，准备同型号备件，安排在低峰换盘；阵列中的盘先确认其余成员健康。",
		"Make sure of a backup of today, have a spare at hand and replace the disk at a quiet time; in an array, first see that its other members are well.")
	p.Metric = diskMetric
	return p, true
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// warnings are the bits of the NVMe critical warning, and how probable a failure
// is taken to be with each; a hot disk is no failing one, and a cache without its
// backup loses data only when power fails.
var warnings = [...]struct {
	p   float64
	say kind.Text
}{
	{expects, kind.T("备用块低于厂家下限", "Spare blocks are below the maker's limit")},
	{0, kind.Text{}},
	{expects, kind.T("磁盘自述可靠性下降", "The disk says that its reliability is degraded")},
	{0.95, kind.T("磁盘已转为只读", "The disk has become read-only")},
	{0.05, kind.T("易失缓存的后备失效", "The backup of its volatile memory has failed")},
}

// growth is by how much a count grew within recent, and since when that is known.
func growth(now time.Time, history []Health, value func(Health) float64) (float64, kind.Text) {
	last := value(history[len(history)-1])
	for _, h := range history[:len(history)-1] {
		if v := value(h); now.Sub(h.At) <= recent && !math.IsNaN(v) {
			days := int(math.Ceil(now.Sub(h.At).Hours() / 24))
			if v >= last {
				return 0, kind.Text{}
			}
			return last - v, text("%d 天内", "within %d days", days)
		}
	}
	return 0, kind.Text{}
}

// wearsOut fills in when the life of a solid-state disk is used up, by the rate at
// which it was used so far.
func wearsOut(now time.Time, history []Health, p *engine.Prediction) bool {
	last := history[len(history)-1]
	if !(last.Wear > 0) {
		return false
	}
	rate := last.Wear / (last.Hours / 24) // a day
	for _, h := range history[:len(history)-1] {
		if d := last.At.Sub(h.At); d >= 7*day && h.Wear <= last.Wear {
			rate = (last.Wear - h.Wear) / (d.Hours() / 24)
			break
		}
	}
	left := (1 - last.Wear) / rate // NaN or infinite where nothing is known or used
	if last.Wear < worn && !(left < 60) {
		return false
	}
	p.When, p.Earliest = after(now, left), after(now, left/2)
	p.Evidence = append(p.Evidence, text("寿命已用 %s", "%s of its life is used", share(last.Wear)))
	if last.Wear >= 1 || left < 14 {
		p.Severity = engine.Major
		p.Probability = max(p.Probability, 0.1)
	}
	return true
}

const diskMetric = `disk_smart_healthy or smartctl_device_smart_status`
