// Package intent reads what is wanted from a sentence, measures how far it is
// met, weighs it against what else is wanted and asks automation to act for it.
// It guesses nothing: a part of a sentence that it does not understand is named,
// and what it cannot measure counts as unknown, never as met. It acts on
// nothing itself; what is done is done by runs of runbooks.
package intent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// Reading is what a sentence was understood as. It may be confirmed where
// Unclear is empty and Goals are not.
type Reading struct {
	Text     string          `json:"text"`
	Goals    []engine.Goal   `json:"goals"`
	Policies []engine.Policy `json:"policies"`
	KPIs     []KPI           `json:"kpis"`
	// Says is the reading in other words, the same for all wordings of the same:
	// reading it again gives the same goals.
	Says kind.Text `json:"says"`
	// Taken is what the sentence leaves open and was filled in as usual.
	Taken   []kind.Text `json:"taken,omitempty"`
	Unclear []Unclear   `json:"unclear,omitempty"`
}

// Unclear is a part of a sentence that was not understood, or that may mean
// several things.
type Unclear struct {
	Part    string    `json:"part"` // as written; empty: something is missing
	From    int       `json:"from"` // its place in Text, in characters
	To      int       `json:"to"`
	Say     kind.Text `json:"say"`
	Choices []Choice  `json:"choices,omitempty"`
}

// Choice is one way to make a part clear: Text is the whole sentence then, to be
// read again.
type Choice struct {
	Title kind.Text `json:"title"`
	Text  string    `json:"text"`
}

// KPI is a number by which a goal is watched, as a series with the labels
// "intent" and "goal".
type KPI struct {
	Goal   string    `json:"goal"`
	Metric string    `json:"metric"`
	Title  kind.Text `json:"title"`
	Target string    `json:"target"`
	Query  string    `json:"query,omitempty"` // PromQL that is measured; $ stands for the things
}

// Bounds of a sentence: what a person writes as one wish.
const (
	maxSentence = 1000 // characters
	maxGoals    = 20
)

// Read understands a sentence in Chinese or English. It knows the names given
// and takes other words it does not know as names where a name can stand.
// Errors: Invalid where the text is empty or too long; everything else it tells
// in Unclear.
func Read(text string, names ...Known) (Reading, error) {
	sentence := []rune(strings.TrimSpace(text))
	if len(sentence) == 0 || len(sentence) > maxSentence {
		return Reading{}, errs.E(errs.Invalid, "read intent", "text", fmt.Sprintf("请用一句话写下意图，不超过 %d 个字。", maxSentence), fmt.Sprintf("Write the intent in a sentence of at most %d characters.", maxSentence)).At("text")
	}
	r := &reader{sentence: sentence, classes: map[string]string{}, out: Reading{Text: string(sentence)}}
	for _, k := range names {
		r.classes[k.Name] = k.Class
	}
	r.read(chunk(scan(sentence, nameWords(names))))
	r.finish()
	return r.out, nil
}

type reader struct {
	sentence []rune
	classes  map[string]string // of known names
	out      Reading
	last     *clause // of the same sentence
	first    int     // goal that the sentence began with
}

// clause is the pieces of one goal, and what they say.
type clause struct {
	pieces   []piece
	names    []string
	class    string
	how      string
	part     string
	severity string
	measures []string // candidates
	called   piece    // how the measure was called
	bounds   []piece
	share    string
	period   string
	hours    *engine.Hours
	strength string
	denied   int
	once     bool
	action   bool
	chosen   Measure
	from, to int
}

func (r *reader) read(pieces []piece) {
	var fragments [][]piece
	var fragment []piece
	flush := func() {
		if len(fragment) > 0 {
			fragments = append(fragments, fragment)
		}
		fragment = nil
	}
	sentence := func() {
		flush()
		r.last, r.first = nil, len(r.out.Goals)
		for _, c := range clauses(fragments) {
			r.clause(c)
		}
		r.join()
		fragments = nil
	}
	for _, p := range pieces {
		switch p.what {
		case split:
			fragment = append(fragment, p)
			flush()
		case ended:
			sentence()
		default:
			fragment = append(fragment, p)
		}
	}
	sentence()
}

// clauses puts fragments together: a fragment with a bound closes a clause, what
// comes before it belongs to it, and what only says when or how firmly belongs
// to the clause before.
func clauses(fragments [][]piece) []*clause {
	var out []*clause
	var open []piece
	for n, f := range fragments {
		core, modifies, acts := nature(f)
		switch {
		case acts:
			out = append(out, &clause{pieces: append(open, f...), action: true})
			open = nil
		case core && len(open) == 0 && len(out) > 0 && completes(out[len(out)-1].pieces, f):
			out[len(out)-1].pieces = append(out[len(out)-1].pieces, f...)
		case core:
			out = append(out, &clause{pieces: append(open, f...)})
			open = nil
		case modifies && len(open) == 0 && len(out) > 0 && !out[len(out)-1].action && fits(out[len(out)-1].pieces, f):
			out[len(out)-1].pieces = append(out[len(out)-1].pieces, f...)
		default:
			open = append(open, f...)
		}
		if n == len(fragments)-1 && len(open) > 0 {
			out = append(out, &clause{pieces: open})
		}
	}
	return out
}

// nature tells what a fragment can be. A flag needs no number.
func nature(f []piece) (core, modifies, acts bool) {
	modifies = true
	for _, p := range f {
		switch p.what {
		case bound, bare:
			core, modifies = true, false
		case plain:
			if p.is(otherwise) {
				acts = true
			}
			if p.is(once) {
				core = true
			}
			if code, ok := p.value(measure); ok {
				if m, _ := MeasureNamed(code); m.Unit == flag {
					core = true
				}
			}
			if p.form == name || !p.is(filler) && !p.is(strength) && !p.is(ofTime) && !p.is(judged) {
				modifies = false
			}
		case denial:
			modifies = false
		}
	}
	return core, modifies, acts
}

// completes tells whether a fragment is no more than the other bound of what a
// clause bounds on one side: "… at least 20 °C and at most 28 °C".
func completes(have, more []piece) bool {
	var last, other *piece
	for i, p := range have {
		if p.what == bound {
			last = &have[i]
		}
	}
	for i, p := range more {
		switch {
		case p.what == bound:
			other = &more[i]
		case p.what == plain && (p.form == name || p.is(class) || p.is(part) || p.is(measure)), p.what == bare:
			return false
		}
	}
	return last != nil && other != nil && (last.min == nil) != (last.max == nil) && (other.min == nil) == (last.max == nil) && (other.max == nil) == (last.min == nil) &&
		cmp.Or(last.min, last.max).dim() == cmp.Or(other.min, other.max).dim()
}

// fits tells whether a modifier says what the clause does not say yet.
func fits(have, more []piece) bool {
	for _, p := range more {
		if p.what == shares || p.what == over || p.what == within && p.hours != nil {
			if slices.ContainsFunc(have, func(h piece) bool { return h.what == p.what && (p.hours == nil || h.hours != nil) }) {
				return false
			}
		}
	}
	return true
}

// clause reads one clause into goals.
func (r *reader) clause(c *clause) {
	c.from, c.to = c.pieces[0].from, c.pieces[len(c.pieces)-1].to
	if c.action {
		r.action(c)
		return
	}
	before := len(r.out.Unclear)
	r.fill(c)
	if len(c.pieces) == 1 && c.pieces[0].what == split || len(r.out.Unclear) == before && !c.says() {
		return
	}
	own := len(c.names) > 0 || c.class != "" || c.part != ""
	if l := r.last; l != nil && !own {
		c.names, c.class, c.how, c.part, c.severity = l.names, l.class, cmp.Or(c.how, l.how), l.part, l.severity
		c.share, c.period, c.strength = cmp.Or(c.share, l.share), cmp.Or(c.period, l.period), cmp.Or(c.strength, l.strength)
		if c.hours == nil {
			c.hours = l.hours
		}
	}
	if !r.choose(c) || !r.subject(c) {
		r.last = c
		return
	}
	r.last = c
	if len(r.out.Unclear) > before {
		return
	}
	r.goals(c)
}

// says tells whether a clause says anything.
func (c *clause) says() bool {
	return len(c.names) > 0 || c.class != "" || c.part != "" || len(c.measures) > 0 || len(c.bounds) > 0 || c.share != "" || c.period != "" || c.hours != nil || c.severity != "" || c.denied > 0
}

// fill sorts the pieces of a clause by what they say.
func (r *reader) fill(c *clause) {
	measured := 0
	for _, p := range c.pieces {
		if p.what == plain && p.form == phrase && p.is(measure) {
			measured++
		}
	}
	head, subject := -1, r.subjectRun(c.pieces)
	var atClass []int
	for i, p := range c.pieces {
		switch p.what {
		case split:
		case broken:
			r.broken(p)
		case bound, bare:
			c.bounds = append(c.bounds, p)
		case denial:
			c.denied++
		case shares:
			if c.share != "" && c.share != p.share {
				r.twice(p)
			}
			c.share = p.share
		case over:
			if p.period == "" {
				r.unclear(p.from, p.to, kind.T("周期须在 1 小时到 366 天之间。", "A period is from 1 hour to 366 days."))
			} else if c.period != "" && c.period != p.period {
				r.twice(p)
			}
			c.period = p.period
		case within:
			if c.hours == nil {
				c.hours = &engine.Hours{}
			}
			if p.hours != nil {
				c.hours.From, c.hours.Until = p.hours.From, p.hours.Until
			}
			c.hours.Days = append(c.hours.Days, p.days...)
			r.calendarDays(c, p)
			if p.word {
				r.take("按周一至周五计，法定节假日也算；若要按日历，请写“工作日”", "weekdays are Monday to Friday, public holidays among them; write “working days” for those of the calendar")
			}
		case plain:
			if p.form == name {
				if !subject[i] {
					r.unknown(p)
				} else if n := strings.TrimSpace(p.text); n != "" {
					c.names = append(c.names, n)
				}
				continue
			}
			if n, ok := p.value(known); ok && (subject[i] || !p.is(measure) && !p.is(class)) {
				c.names = append(c.names, n)
				c.class = cmp.Or(c.class, r.classes[n])
				continue
			}
			r.phrase(c, p, measured, &head, &atClass, i)
		}
	}
	r.head(c, atClass)
	if h := c.hours; h != nil {
		slices.Sort(h.Days)
		h.Days = slices.Compact(h.Days)
		everyDay := len(h.Days) == 7
		if everyDay {
			h.Days = nil
		}
		if h.From == "" && h.Until == "" && len(h.Days) == 0 && h.On == "" {
			c.hours = nil
			if everyDay && c.period == "" {
				c.period = "24h"
			}
		}
	}
}

// calendarDays takes days that a calendar tells into a clause.
func (r *reader) calendarDays(c *clause, p piece) {
	h := c.hours
	switch {
	case p.on != "" && (h.On == "" || h.On == p.on || h.On == engine.ButNotHoliday && p.on == engine.OnWorking):
		h.On = p.on
	case p.on == "" || p.on == engine.ButNotHoliday && h.On == engine.OnWorking: // working days are none
	default:
		r.twice(p)
		return
	}
	if len(h.Days) > 0 && len(h.Days) < 7 && h.On != "" && h.On != engine.ButNotHoliday {
		r.twice(p)
	}
}

// phrase takes one phrase of the lexicon.
func (r *reader) phrase(c *clause, p piece, measured int, head *int, atClass *[]int, i int) {
	switch {
	case p.is(measure) && (!p.is(class) || measured == 1):
		var codes []string
		for _, m := range p.meanings {
			if m.role == measure {
				codes = append(codes, m.value)
			}
		}
		both := codes
		if len(c.measures) > 0 {
			both = slices.DeleteFunc(slices.Clone(codes), func(s string) bool { return !slices.Contains(c.measures, s) })
		}
		if len(both) == 0 {
			r.unclear(p.from, p.to, kind.T("一个目标里有两个指标；请用分号分成两句。", "One goal holds two measures; write two sentences with a semicolon between them."))
			return
		}
		c.measures, c.called = both, p
	case p.is(class):
		v, _ := p.value(class)
		*atClass = append(*atClass, i)
		*head, c.class = i, v
	case p.is(part):
		c.part, _ = p.value(part)
	case p.is(quantifier):
		v, _ := p.value(quantifier)
		if c.how != "" && c.how != v && c.how != engine.EachThing && v != engine.EachThing {
			r.twice(p)
		}
		if c.how == "" || v != engine.EachThing {
			c.how = v
		}
	case p.is(severity):
		c.severity, _ = p.value(severity)
	case p.is(strength):
		c.strength, _ = p.value(strength)
	case p.is(once):
		c.once = true
	case p.is(requests):
		r.requests(p)
	case p.is(vague):
		r.unclear(p.from, p.to, kind.T("“"+p.text+"”是什么时候不清楚；请写明星期和起止时间，例如“每天 22:00–6:00”。", "When “"+p.text+"” is is not clear; write the days and hours, such as “every day 22:00–6:00”."))
	case p.is(feast):
		u := r.unclear(p.from, p.to, kind.T("“"+p.text+"”是只指法定节假日，还是也包括周末？", "Whether “"+p.text+"” are public holidays or weekends too is not clear."))
		r.choice(u, kind.T("法定节假日", "public holidays"), p.from, p.to, kind.T("法定节假日", "public holidays"))
		r.choice(u, kind.T("休息日（周末与法定节假日）", "days off (weekends and public holidays)"), p.from, p.to, kind.T("休息日", "days off"))
	case p.is(filler), p.is(ofTime), p.is(ofCases), p.is(judged), p.is(orLess), p.is(through) && p.text != "-":
	default:
		r.unknown(p)
	}
}

// head finds which of several classes a clause is about: the last in Chinese, the
// one before "of" in English. The others belong to the name.
func (r *reader) head(c *clause, at []int) {
	if len(at) < 2 {
		return
	}
	head := at[len(at)-1]
	for n := 0; n+1 < len(at); n++ {
		a, _ := c.pieces[at[n]].value(class)
		b, _ := c.pieces[at[n+1]].value(class)
		if a != b && slices.ContainsFunc(c.pieces[at[n]:at[n+1]], func(p piece) bool { return p.what == split }) {
			r.unclear(c.pieces[at[n]].from, c.pieces[at[n+1]].to, kind.T("一个目标里有两类对象；请用分号分成两句。", "One goal is about two classes; write two sentences with a semicolon between them."))
			return
		}
		between := " " + strings.ToLower(string(r.sentence[c.pieces[at[n]].to:c.pieces[at[n+1]].from])) + " "
		if strings.Contains(between, " of ") {
			head = at[n]
			break
		}
	}
	c.class, _ = c.pieces[head].value(class)
	for _, i := range at {
		if v, _ := c.pieces[i].value(class); i != head && v != c.class && len(c.names) == 0 {
			c.names = append(c.names, c.pieces[i].text)
		}
	}
}

// subjectRun finds the pieces that may name the subject: those around the class,
// else those around the first name, with nothing between but what may stand in a
// list of names.
func (r *reader) subjectRun(pieces []piece) map[int]bool {
	var best, run map[int]bool
	bestClass, hasClass, hasName, classBefore := false, false, false, false
	end := func() {
		if run != nil && (hasName || hasClass) && (best == nil || hasClass && hasName && !bestClass) {
			best, bestClass = run, hasClass && hasName
		}
		run, hasClass, hasName, classBefore = nil, false, false, false
	}
	for i, p := range pieces {
		named := p.what == plain && (p.form == name || p.is(known))
		classed := p.what == plain && p.form == phrase && (p.is(class) || p.is(part))
		if !named && !classed && p.what != split && !(p.what == plain && (p.is(filler) || p.is(quantifier) || p.is(severity))) {
			end()
			continue
		}
		if named && p.form == name && !p.quoted && classBefore && chineseText([]rune(p.text)) {
			end() // in Chinese a name stands before what it names
		}
		if run == nil {
			run = map[int]bool{}
		}
		run[i] = true
		hasName, hasClass = hasName || named, hasClass || classed
		classBefore = p.what != split && (classBefore || classed)
	}
	end()
	return best
}

// choose finds the measure that a clause means.
func (r *reader) choose(c *clause) bool {
	if c.part != "" && c.class == "" {
		c.class = string(engine.ClassVolume)
	}
	if c.class == "" && c.severity != "" && len(c.names) == 0 {
		c.class = engine.SubjectIncident
	}
	if len(c.bounds) > 1 && c.share == "" { // "300 ms, 99.99 %": the one that is no bound is the share
		for i, b := range c.bounds {
			other := slices.ContainsFunc(c.bounds, func(o piece) bool { return cmp.Or(o.min, o.max).dim() != ratio })
			if b.what == bare && b.min.unit == percent && other {
				c.share, c.bounds = b.min.number, slices.Delete(slices.Clone(c.bounds), i, i+1)
				r.take("百分比按时间的比例理解", "the percentage is taken for a share of the time")
				break
			}
		}
	}
	dim := dimension("")
	for _, b := range c.bounds {
		for _, a := range []*amount{b.min, b.max} {
			if a != nil && a.dim() != "" {
				dim = a.dim()
			}
		}
	}
	fits := func(m Measure) bool {
		if !m.of(c.class) {
			return false
		}
		switch {
		case dim == "" || m.Unit == dim:
			return true
		case dim == ratio && (m.Unit == flag || m.cases()):
			return true // the share
		}
		return false
	}
	var list []Measure
	told := c.measures
	if l := r.last; len(told) == 0 && l != nil && l.chosen.Code != "" && l.chosen.Unit == dim {
		told = []string{l.chosen.Code}
	} else if len(told) == 0 && l != nil && len(l.measures) > 1 { // "温湿度": one word for both
		told = slices.DeleteFunc(slices.Clone(l.measures), func(code string) bool { m, _ := MeasureNamed(code); return !fits(m) || m.Unit != dim })
	}
	for _, m := range measures {
		if len(told) > 0 && slices.Contains(told, m.Code) && fits(m) || len(told) == 0 && m.implied && c.class != "" && len(m.Classes) > 0 && fits(m) && dim != "" && m.Unit == dim && m.of(c.class) && slices.Contains(m.Classes, engine.Class(c.class)) {
			list = append(list, m)
		}
	}
	if len(list) > 1 && len(c.names) > 0 && c.class == "" && slices.ContainsFunc(list, Measure.cases) {
		list = slices.DeleteFunc(list, Measure.cases)
	}
	if called := strings.ToLower(c.called.text); len(list) > 1 { // its own title before what others are called too
		for _, m := range list {
			if m.Title.ZH == called || m.Title.EN == called {
				list = []Measure{m}
				break
			}
		}
	}
	if len(list) == 1 {
		c.chosen = list[0]
		return true
	}
	switch {
	case len(list) > 1:
		u := r.unclear(c.called.from, c.called.to, kind.T("这里可以指多个指标，请选一个。", "This may mean several measures; choose one."))
		for _, m := range list {
			r.choice(u, m.Title, c.called.from, c.called.to, m.Title)
		}
	case len(c.measures) > 0:
		m, _ := MeasureNamed(c.measures[0])
		u := r.unclear(c.called.from, c.called.to, kind.T("“"+m.Title.ZH+"”与句中的对象或单位不符。", "“"+m.Title.EN+"” does not go with the subject or the unit."))
		for _, m := range measures {
			if fits(m) && m.Unit == dim && dim != "" && c.class != "" && len(u.Choices) < 6 {
				r.choice(u, m.Title, c.called.from, c.called.to, m.Title)
			}
		}
	case len(c.bounds) > 0:
		at := c.bounds[0].from
		u := r.unclear(c.bounds[0].from, c.bounds[0].to, kind.T("没有说明这个数值是什么指标的。", "What this number measures is not said."))
		for _, m := range measures {
			if fits(m) && (dim == "" || m.Unit == dim) && m.Unit != flag && len(u.Choices) < 8 {
				r.choice(u, m.Title, at, at, kind.T(m.Title.ZH, " "+m.Title.EN+" "))
			}
		}
	default:
		r.unclear(c.from, c.to, kind.T("这里没有可测量的目标：请写明指标和数值，例如“应答时间不超过 300 毫秒”。", "There is no goal here that can be measured; name the measure and the bound, such as “response time at most 300 ms”."))
	}
	return false
}

// subject sees to it that a clause is about something.
func (r *reader) subject(c *clause) bool {
	m := c.chosen
	if c.class == "" && m.cases() {
		c.class = engine.SubjectIncident
	}
	if c.severity != "" && c.class != engine.SubjectIncident {
		r.unclear(c.from, c.to, kind.T("级别只用于事件；请去掉级别，或给对象的名称加上引号。", "A severity is for incidents; leave it out, or put the name of the subject in quotation marks."))
		return false
	}
	if m.cases() && len(c.names) > 0 {
		r.unclear(c.from, c.to, kind.T("事件不按名称区分；请去掉“"+c.names[0]+"”。", "Incidents are not told apart by a name; leave out “"+c.names[0]+"”."))
		return false
	}
	if len(c.names) > 0 || c.class != "" {
		return true
	}
	if m.self != "" {
		c.class = string(m.self)
		return true
	}
	u := r.unclear(c.from, c.to, kind.T("没有说明是谁的"+m.Title.ZH+"。", "Whose "+m.Title.EN+" is meant is not said."))
	list := m.Classes
	if len(list) == 0 {
		list = []engine.Class{engine.ClassApplication, engine.ClassDatabase, engine.ClassHost}
	}
	for _, cl := range list {
		t := classTitle(string(cl))
		r.choice(u, kind.T("每个"+t.ZH, "every "+t.EN), c.from, c.from, kind.T("每个"+t.ZH+"的", "every "+t.EN+" "))
	}
	return false
}

func (r *reader) take(zh, en string) {
	t := kind.T(zh, en)
	if !slices.Contains(r.out.Taken, t) {
		r.out.Taken = append(r.out.Taken, t)
	}
}

// unclear notes a part that is not clear.
func (r *reader) unclear(from, to int, say kind.Text) *Unclear {
	r.out.Unclear = append(r.out.Unclear, Unclear{Part: strings.TrimSpace(string(r.sentence[from:to])), From: from, To: to, Say: say})
	return &r.out.Unclear[len(r.out.Unclear)-1]
}

// choice offers a way to write a part, in the language of the sentence.
func (r *reader) choice(u *Unclear, title kind.Text, from, to int, instead kind.Text) {
	text := instead.EN
	if chineseText(r.sentence) {
		text = instead.ZH
	}
	u.Choices = append(u.Choices, Choice{Title: title, Text: string(r.sentence[:from]) + text + string(r.sentence[to:])})
}

func chineseText(s []rune) bool {
	return slices.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
}

func (r *reader) unknown(p piece) {
	if strings.TrimFunc(p.text, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }) == "" && p.form == name {
		return // a stray sign says nothing
	}
	u := r.unclear(p.from, p.to, kind.T("不明白“"+p.text+"”；若是名称，请加上引号。", "“"+p.text+"” is not understood; if it is a name, put it in quotation marks."))
	r.choice(u, kind.T("去掉它", "leave it out"), p.from, p.to, kind.T("", ""))
	if p.form == name {
		r.choice(u, kind.T("它是名称", "it is a name"), p.from, p.to, kind.T("“"+strings.TrimSpace(p.text)+"”", "\""+strings.TrimSpace(p.text)+"\""))
	}
}

// requests says that the share of requests is not measured, and offers what is.
func (r *reader) requests(p piece) {
	u := r.unclear(p.from, p.to, kind.T("请求没有逐个统计；可按时间的比例来要求。", "Requests are not counted one by one; a share of the time can be asked for."))
	share, _ := p.value(requests)
	if share != "" {
		r.choice(u, kind.T(share+"% 的时间", share+" % of the time"), p.from, p.to, kind.T(" "+share+"% 的时间", share+"% of the time"))
		return
	}
	before := strings.TrimRight(string(flat(r.sentence[:p.from])), " ")
	switch {
	case strings.HasSuffix(before, "%") && strings.HasSuffix(string(flat([]rune(p.text))), "to"):
		r.choice(u, kind.T("的时间", "of the time"), p.from, p.to, kind.T("的时间", "of the time"))
	case strings.HasSuffix(before, "%"):
		r.choice(u, kind.T("的时间", "of the time"), p.from, p.to, kind.T("的时间", "of the time,"))
	default:
		r.choice(u, kind.T("按时间的比例", "as a share of the time"), p.from, p.to, kind.T("", ""))
	}
}

func (r *reader) twice(p piece) {
	r.unclear(p.from, p.to, kind.T("同一个目标里说了两次，而且不同；请留一个，或用分号分成两句。", "This is said twice in one goal, and differently; keep one, or write two sentences with a semicolon between them."))
}

func (r *reader) broken(p piece) {
	switch p.say {
	case halfHours:
		r.unclear(p.from, p.to, kind.T("时段要有起止，例如 8:00–18:00。", "Hours have a beginning and an end, such as 8:00–18:00."))
	case twoDirections:
		r.unclear(p.from, p.to, kind.T("前后方向相反：一处说不超过，一处说不低于。", "The directions contradict each other: at most and at least."))
	default:
		r.unknown(p)
	}
}
