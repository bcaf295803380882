package intent

import (
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// Say writes goals out in the one wording that Read reads as just these goals,
// in Chinese and in English. Of the policies those that were asked for are said
// too, at the end of the goals' sentence.
func Say(goals []engine.Goal, policies []engine.Policy) kind.Text {
	var zh, en []string
	for _, g := range goals {
		z, e := sayGoal(g, false), sayGoal(g, true)
		for _, p := range policies {
			if p.Asked && p.Goal == g.ID {
				z += "，否则" + actionWord(p.Runbook, false)
				e += ", otherwise " + actionWord(p.Runbook, true)
			}
		}
		zh, en = append(zh, z), append(en, e)
	}
	return kind.T(strings.Join(zh, "；"), strings.Join(en, "; "))
}

func actionWord(book string, english bool) string {
	for _, w := range actions[book] {
		if (w[0] < 0x80) == english {
			return w
		}
	}
	return book
}

// sayGoal writes one goal out.
func sayGoal(g engine.Goal, english bool) string {
	m, _ := MeasureNamed(g.Measure)
	var b strings.Builder
	if english {
		b.WriteString("the " + m.Title.EN + " of " + saySubject(g.Subject, true))
	} else {
		b.WriteString(saySubject(g.Subject, false) + "的" + m.Title.ZH)
	}
	b.WriteString(sayBounds(g, m, english))
	share := written(g.Share, ratio, english)
	switch {
	case english && m.cases():
		b.WriteString(", in " + share + " of the cases")
	case english:
		b.WriteString(", for " + share + " of the time")
	case m.cases():
		b.WriteString("，" + share + "的情况")
	default:
		b.WriteString("，" + share + "的时间")
	}
	days := written(periodOf(g).Seconds(), seconds, english)
	if english {
		b.WriteString(", judged over " + days)
	} else {
		b.WriteString("，按 " + days + "计")
	}
	if g.Hours != nil {
		b.WriteString(sayHours(*g.Hours, english))
	}
	switch {
	case g.Strength == engine.AsLimit && english:
		b.WriteString(", as a limit")
	case g.Strength == engine.AsLimit:
		b.WriteString("，必须达到")
	case g.Strength == engine.AsWish && english:
		b.WriteString(", as a wish")
	case g.Strength == engine.AsWish:
		b.WriteString("，尽量达到")
	}
	return b.String()
}

func saySubject(s engine.Subject, english bool) string {
	title := classTitle(s.Class)
	if s.Class == "" {
		title = kind.Text{}
	}
	quoted := ""
	if s.Name != "" {
		quoted = "“" + s.Name + "”"
		if english {
			quoted = "\"" + s.Name + "\""
		}
	}
	if english {
		parts := []string{map[string]string{engine.EachThing: "each", engine.OneThing: "at least one", engine.MeanThing: "the mean of"}[s.How]}
		if s.Severity != "" {
			parts = append(parts, map[string]string{string(engine.Critical): "critical", string(engine.Major): "major", string(engine.Minor): "minor", string(engine.Warning): "warning"}[s.Severity])
		}
		if s.Part != "" {
			parts = append(parts, "data disk")
		}
		if title.EN != "" && (s.Part == "" || s.Class != string(engine.ClassVolume)) {
			parts = append(parts, title.EN)
		}
		if quoted != "" {
			parts = append(parts, quoted)
		}
		return strings.Join(parts, " ")
	}
	out := map[string]string{engine.EachThing: "每个", engine.OneThing: "至少一个", engine.MeanThing: "平均的"}[s.How]
	out += map[string]string{string(engine.Critical): "严重", string(engine.Major): "主要", string(engine.Minor): "次要", string(engine.Warning): "警告"}[s.Severity]
	out += quoted
	if title.ZH != "" && (s.Part == "" || s.Class != string(engine.ClassVolume)) {
		out += title.ZH
	}
	if s.Part != "" {
		out += "数据盘"
	}
	return out
}

func sayBounds(g engine.Goal, m Measure, english bool) string {
	w := func(v *float64) string { return written(*v, m.Unit, english) }
	switch {
	case m.Unit == flag && m.Want == 0 && english:
		return " never holds"
	case m.Unit == flag && m.Want == 0:
		return "不得有"
	case m.Unit == flag && english:
		return " holds"
	case m.Unit == flag:
		return "保持"
	case g.Min != nil && g.Max != nil && english:
		return " is between " + w(g.Min) + " and " + w(g.Max)
	case g.Min != nil && g.Max != nil:
		return "介于 " + w(g.Min) + "到 " + w(g.Max)
	case g.Min != nil && english:
		return " is at least " + w(g.Min)
	case g.Min != nil:
		return "不低于 " + w(g.Min)
	case g.Max != nil && english:
		return " is at most " + w(g.Max)
	case g.Max != nil:
		return "不超过 " + w(g.Max)
	}
	return ""
}

// calendarWords are what the days of a calendar are called.
var calendarWords = map[string]kind.Text{
	engine.OnWorking:     kind.T("工作日", "working days"),
	engine.OnOff:         kind.T("休息日", "days off"),
	engine.OnHoliday:     kind.T("法定节假日", "public holidays"),
	engine.ButNotHoliday: kind.T("法定节假日除外", "except public holidays"),
}

func inWords(t kind.Text, english bool) string {
	if english {
		return t.EN
	}
	return t.ZH
}

func sayHours(h engine.Hours, english bool) string {
	out := "，"
	if english {
		out = ", on "
	}
	list := h.Days
	if words, ok := calendarWords[h.On]; ok && h.On != engine.ButNotHoliday {
		out += inWords(words, english)
	} else if len(list) == 0 {
		out += map[bool]string{true: "every day", false: "每天"}[english]
	}
	for i, d := range list {
		if i > 0 && english {
			out += " "
		}
		if english {
			out += time.Weekday(d % 7).String()
		} else {
			out += hourWords[d-1][0]
		}
	}
	but := ""
	if h.On == engine.ButNotHoliday {
		but = " " + inWords(calendarWords[h.On], english)
	}
	if h.From == "" && h.Until == "" {
		return out + but
	}
	from, until := h.From, h.Until
	if from == "" {
		from = "00:00"
	}
	if until == "" {
		until = "24:00"
	}
	if english {
		return out + " from " + from + " to " + until + but
	}
	return out + " " + from + "–" + until + but
}
