package knowledge

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// What a reviewed case says of a fault that no pack knows, counted and smoothed:
// one case makes a sign seen in it as probable as 0.93, several say it better.
const (
	wordOfCase  = 2
	caseShows   = 0.9
	taughtPrior = 0.01
	// A log line that first came with a fault is this probable without it.
	lineOtherwise = 0.001
	// leastLetters is how much of a log line must stay the same to tell it from
	// others.
	leastLetters = 12
)

// Unknown names the failure mode of a fault that nothing known explains, by the
// class of the thing and what was seen: the same fault has the same name.
func Unknown(class engine.Class, seen, lines []string) string {
	all := append([]string{string(class)}, slices.Sorted(slices.Values(seen))...)
	return "learned-" + digest(append(all, slices.Sorted(slices.Values(lines))...)...)
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:4])
}

// Ran is the id, within a failure mode, of a remedy that a person found: a
// runbook ("runbook/NAME") with its inputs. Empty without a runbook.
func Ran(runbook string, inputs map[string]string) string {
	name := strings.TrimPrefix(runbook, engine.RunbookKind+"/")
	if name == "" {
		return ""
	}
	raw, err := json.Marshal(inputs) // by name
	if err != nil {
		return ""
	}
	return "ran-" + digest(name, string(raw))
}

// Taught is the pack with what reviewed cases teach beyond it: a failure mode for
// every mode that cases name and the pack has not, shown by what was seen in
// them; a sign for every log line that came with it; and, for every mode, the
// runbooks that people found to help. Cases that teach nothing of this, or hold
// too little, change nothing. Their order does not matter.
func (p Pack) Taught(cases []Case) Pack {
	out := Pack{Name: p.Name, Version: p.Version, Signs: slices.Clone(p.Signs), Modes: slices.Clone(p.Modes)}
	signs, modes := map[string]*Sign{}, map[string]int{}
	for i := range p.Signs {
		signs[p.Signs[i].ID] = &p.Signs[i]
	}
	for i := range out.Modes {
		modes[out.Modes[i].ID] = i
	}
	strange := map[string][]Case{}
	for _, c := range cases {
		if _, known := modes[c.Mode]; !known {
			strange[c.Mode] = append(strange[c.Mode], c)
		}
	}
	for _, id := range sorted(strange) {
		list := strange[id]
		slices.SortFunc(list, func(a, b Case) int { return strings.Compare(a.Incident, b.Incident) })
		m, lines, ok := teach(id, list, signs)
		if !ok {
			continue
		}
		for _, s := range lines {
			if signs[s.ID] == nil {
				signs[s.ID] = &s
				out.Signs = append(out.Signs, s)
			}
		}
		modes[id] = len(out.Modes)
		out.Modes = append(out.Modes, m)
	}
	for _, c := range cases {
		at, known := modes[c.Mode]
		if id := Ran(c.Runbook, c.Inputs); known && id != "" {
			m := &out.Modes[at]
			if !slices.ContainsFunc(m.Remedies, func(r Remedy) bool { return r.ID == id }) {
				m.Remedies = append(slices.Clone(m.Remedies), found(id, c, signs))
			}
		}
	}
	return out
}

// teach makes a mode of the cases that name it, with the signs of their log lines.
// ok is false where they hold too little to tell it by.
func teach(id string, cases []Case, signs map[string]*Sign) (m Mode, lines []Sign, ok bool) {
	if !idForm.MatchString(id) {
		return m, nil, false
	}
	first := cases[0]
	m = Mode{
		ID: id, Version: 1, Title: one(first.Title), Help: one(first.Note), Rows: []string{"A23"}, Prior: taughtPrior, Signs: map[string]float64{},
		Source: Bilingual{kind.T("本院案例 "+first.Incident, "A case of this site, "+first.Incident)},
	}
	if first.Note == "" {
		m.Help = m.Title
	}
	count := map[string]int{}
	for _, c := range cases {
		if k := engine.Class(c.Class); classBits[k] != 0 && !slices.Contains(m.Class, k) {
			m.Class = append(m.Class, k)
		}
		for _, s := range c.Seen {
			if signs[s] != nil {
				count[s]++
			}
		}
		for _, l := range c.Lines {
			s, tells := lineSign(l)
			if !tells {
				continue
			}
			if count[s.ID]++; count[s.ID] == 1 {
				lines = append(lines, s)
			}
		}
	}
	for i := range lines {
		lines[i].Class = m.Class
	}
	for s, n := range count {
		m.Signs[s] = min(clamp((float64(n)+wordOfCase*caseShows)/float64(len(cases)+wordOfCase)), 0.97)
	}
	m.Remedies = []Remedy{{
		ID: "person", Title: Bilingual{kind.T("请人按案例处理", "Ask a person to do as in the case")}, Runbook: CallPerson,
		Inputs: map[string]string{"thing": "{thing}", "task": m.Help.ZH}, Risk: engine.RiskNone, Radius: "thing",
	}}
	return m, lines, len(m.Class) > 0 && len(m.Signs) > 0 && !m.Title.IsZero()
}

// found is the remedy of a case.
func found(id string, c Case, signs map[string]*Sign) Remedy {
	name := strings.TrimPrefix(c.Runbook, engine.RunbookKind+"/")
	r := Remedy{
		ID: id, Title: Bilingual{kind.T("照案例执行 "+name, "Run "+name+", as in the case")}, Runbook: name, Inputs: c.Inputs, Risk: c.Risk, Radius: "thing",
	}
	if _, known := risks[r.Risk]; !known {
		r.Risk = engine.RiskHigh // what is not known to be harmless is not held to be
	}
	if r.Risk == engine.RiskMedium || r.Risk == engine.RiskHigh {
		r.Radius = "below"
	}
	for _, s := range c.Seen {
		if sign := signs[s]; sign != nil && sign.Severity != "none" {
			r.Proof = append(r.Proof, s)
		}
	}
	return r
}

// wildcard stands in a line where lines of its kind differ.
const wildcard = "<*>"

// lineSign is the sign of a log line, or of the template of one; ok is false
// where too little of it stays the same.
func lineSign(line string) (s Sign, ok bool) {
	line = strings.Join(strings.Fields(line), " ")
	var b strings.Builder
	letters := 0
	for i, part := range strings.Split(line, wildcard) {
		if i > 0 {
			b.WriteString(`.*?`)
		}
		for _, c := range part {
			if c > 127 {
				letters += 3 // a character of Chinese says as much as a short word
			} else if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
				letters++
			}
		}
		b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(part), " ", `\s+`))
	}
	if letters < leastLetters {
		return s, false
	}
	said := line
	if r := []rune(said); len(r) > 60 {
		said = string(r[:60]) + "…"
	}
	return Sign{
		ID: "said-" + digest(line), Title: Bilingual{kind.T("日志出现 "+strconv.Quote(flat(said)), "The log says "+strconv.Quote(flat(said)))},
		Log: []string{b.String()}, Otherwise: lineOtherwise, Severity: "warning",
	}, true
}

// one is a text of one language where two are asked for.
func one(s string) Bilingual { return Bilingual{kind.T(flat(s), flat(s))} }

// flat is a text as packs can be written with it: on one line, without the mark
// between languages.
func flat(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "|", "/")), " ")
}
