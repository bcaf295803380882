package rootcause

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"zhiwei/kernel/errs"
)

// quiet says why there is no incident.
func quiet(nodes []*node, compared int) errs.Text {
	t := errs.Text{
		ZH: fmt.Sprintf("没有发现事件：比较了 %d 项指标，没有一项的变化既持续、又超出平时的波动、又大到有影响。", compared),
		EN: fmt.Sprintf("No incident: of %d metrics compared, none changed for long enough, beyond its normal scatter and by enough to matter.", compared),
	}
	for _, n := range nodes {
		for _, m := range n.metrics {
			if m.class == traffic && m.real {
				t.ZH += fmt.Sprintf("只有请求量变了（%s：%s → %s），未见变慢或出错。", n.name, figure(m.normal), figure(m.level))
				t.EN += fmt.Sprintf(" Only the traffic changed (%s: %s → %s); nothing got slower or failed.", n.name, figure(m.normal), figure(m.level))
				return t
			}
		}
	}
	return t
}

// explain says in a sentence why the first service is first, and since when.
func (w *walked) explain() (errs.Text, float64) {
	n := w.nodes[w.ranked[0].Service]
	m := n.telling(w.symptom)
	zh := fmt.Sprintf("最可能的原因是 %s：%s 由平时的 %s 变为 %s（%s 倍标准差）", n.name, m.label("zh"), m.show(m.normal), m.show(m.level), figure(m.score))
	en := fmt.Sprintf("The likeliest cause is %s: its %s went from %s to %s (%s standard deviations)", n.name, m.label("en"), m.show(m.normal), m.show(m.level), figure(m.score))
	if len(w.chain) > 1 {
		path := strings.Join(w.chain, " → ")
		zh += "；沿调用链 " + path + " 追到这里，"
		en += "; followed along the calls " + path + ", "
		if callees := w.accused; len(callees) > 0 {
			zh += fmt.Sprintf("它所调用的 %s 只能解释其中一部分", strings.Join(callees, "、"))
			en += fmt.Sprintf("what it calls (%s) accounts for a part only", strings.Join(callees, ", "))
		} else {
			zh += "它所调用的服务没有同样的症状"
			en += "and nothing it calls shows the same symptom"
		}
	}
	zh += "。"
	en += "."
	if n.growth >= surge {
		zh += fmt.Sprintf("它的请求量是平时的 %s 倍，可能是负载所致。", figure(n.growth))
		en += fmt.Sprintf(" It got %s times its normal requests: the load may be the reason.", figure(n.growth))
	}
	if len(w.ranked) > 1 {
		zh += fmt.Sprintf("其次：%s。", w.ranked[1].Service)
		en += fmt.Sprintf(" Next: %s.", w.ranked[1].Service)
	}
	return errs.Text{ZH: zh, EN: en}, m.since
}

// surge is the growth of traffic that is told beside a cause.
const surge = 1.5

// telling is the metric that speaks for the service: the most changed of the
// symptom that was followed, or of all where none was.
func (n *node) telling(s symptom) measured {
	of := func(m measured) bool {
		switch s {
		case failing:
			return m.class == errorRate || m.class == availability
		case slow:
			return m.class == latency
		}
		return m.class != traffic
	}
	best := -1
	for i, m := range n.metrics {
		if m.real && of(m) && (best < 0 || m.score > n.metrics[best].score) {
			best = i
		}
	}
	return n.metrics[max(best, 0)]
}

func (m measured) label(lang string) string {
	if m.name != "" {
		return m.name
	}
	return errs.Text{ZH: "值", EN: "value"}.In(lang)
}

// show writes a level as the table has it: an availability, not its failures.
func (m measured) show(v float64) string {
	if m.class == availability {
		v = m.full * (1 - v)
	}
	return figure(v)
}

// figure writes three significant digits.
func figure(v float64) string {
	if a := math.Abs(v); a >= 1000 && a < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// MarshalJSON writes {"services","metrics","chain","since","reason"}; the reason
// holds the sentence in both languages.
func (r Result) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Services []Service `json:"services"`
		Metrics  []Metric  `json:"metrics"`
		Chain    []string  `json:"chain,omitempty"`
		Since    float64   `json:"since,omitempty"`
		Reason   string    `json:"reason"`
	}{r.Services, r.Metrics, r.Chain, r.Since, r.Reason.ZH + " " + r.Reason.EN})
}
