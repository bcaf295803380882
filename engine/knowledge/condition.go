package knowledge

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
)

// Condition is a condition on the metrics of one thing, in this part of PromQL:
//
//	metric{label="v", label=~"re"}      a term; also != and !~
//	rate(metric{…}[5m])                 and the other functions of ranges below
//	predict_linear(metric[6h], 86400)
//	anomaly(metric)                     what the detectors say, −1 to 1: negative is unusually low
//	time()                              seconds since 1970, when the term beside it was observed
//	avg(term)  sum  min  max  count     over all series of the thing; also avg by (thing) (term)
//	+ - * /   < <= > >= == !=   and or  ( )
//
// As in PromQL, two terms meet where their labels agree; labels that only one of
// them has do not matter. Unlike PromQL a comparison is true, false or unknown
// (a term was not observed): "and" follows Kleene's three values, "or" lists
// alternatives of which one that was observed is enough to say that it is absent.
type Condition struct {
	source string
	root   *node
	terms  []*term
}

// truth has three values.
type truth int8

const (
	unknown truth = iota
	absent
	seen
)

// term is a metric, or a function of one, with matchers on its labels.
type term struct {
	metric, fn, span, extra string
	name                    string // as Symptom.Name
	match                   []matcher
}

type matcher struct {
	label, op, value string
	re               *regexp.Regexp
}

func (m matcher) fits(labels map[string]string) bool {
	v := labels[m.label]
	switch m.op {
	case "=":
		return v == m.value
	case "!=":
		return v != m.value
	case "=~":
		return m.re.MatchString(v)
	}
	return !m.re.MatchString(v)
}

// query is the term as PromQL for one thing; thing "" is any.
func (t *term) query(thing string) string {
	var labels []string
	if thing != "" {
		labels = append(labels, `thing=`+strconv.Quote(thing))
	}
	for _, m := range t.match {
		labels = append(labels, m.label+m.op+strconv.Quote(m.value))
	}
	out := t.metric
	if len(labels) > 0 {
		out += "{" + strings.Join(labels, ",") + "}"
	}
	if t.fn == trendFunction { // two samples make a line too: a third of the span must have been observed
		return "(" + t.around(out) + " and " + out + " offset " + t.third() + ")"
	}
	return t.around(out)
}

func (t *term) around(selector string) string {
	if t.fn == "" {
		return selector
	}
	if t.span != "" {
		selector += "[" + t.span + "]"
	}
	if t.extra != "" {
		selector += "," + t.extra
	}
	return t.fn + "(" + selector + ")"
}

// third is a third of the term's span.
func (t *term) third() string {
	return strconv.Itoa(max(int(t.length()/time.Second)/3, 1)) + "s"
}

// length is the term's span, which has one unit; 0 where it has none.
func (t *term) length() time.Duration {
	if t.span == "" {
		return 0
	}
	n, _ := strconv.Atoi(t.span[:len(t.span)-1])
	unit := map[byte]int{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}[t.span[len(t.span)-1]]
	return time.Duration(n*unit) * time.Second
}

// node is one operation: a number, a term, time(), an aggregation of a term, or
// an operator over two.
type node struct {
	op   string // "num", "term", "time", "avg", "sum", "min", "max", "count", or an operator
	num  float64
	term *term
	a, b *node
}

func (n *node) isTruth() bool {
	return slices.Contains([]string{"<", "<=", ">", ">=", "==", "!=", "and", "or"}, n.op)
}

// measures tells whether a term is in it.
func (n *node) measures() bool {
	return n != nil && (n.term != nil || n.a.measures() || n.b.measures())
}

// idle tells whether a comparison in it measures nothing: PromQL has none such.
func (n *node) idle() bool {
	switch {
	case n == nil:
		return false
	case n.op == "and" || n.op == "or":
		return n.a.idle() || n.b.idle()
	}
	return !n.measures()
}

// functions over a range, as PromQL has them; anomaly is ours and has none.
var rangeFunctions = []string{
	"rate", "irate", "increase", "delta", "deriv", "changes", "resets", "avg_over_time", "max_over_time",
	"min_over_time", "sum_over_time", "count_over_time", trendFunction,
}

var aggregations = []string{"avg", "sum", "min", "max", "count"}

// trendFunction goes on along the line through a range.
const trendFunction = "predict_linear"

// anomalyFunction marks terms that come from detectors and not from PromQL.
const anomalyFunction = "anomaly"

// ParseCondition reads a condition. Invalid, with the place, where it is none.
func ParseCondition(source string) (*Condition, error) {
	p := &parser{text: source, c: &Condition{source: source}}
	fail := func(cause string) error {
		return errs.E(errs.Invalid, "read condition", source, "条件“"+source+"”有误："+cause, "The condition “"+source+"” is wrong: "+cause)
	}
	if len(source) > 2_000 || !utf8.ValidString(source) {
		return nil, fail("longer than 2,000 bytes or not UTF-8")
	}
	root, err := p.binary(0)
	if err == nil && p.peek() != "" {
		err = p.wrong("end")
	}
	if err == nil && !root.isTruth() {
		err = fmt.Errorf("it compares nothing")
	}
	if err == nil && len(p.c.terms) == 0 {
		err = fmt.Errorf("it looks at no metric")
	}
	if err == nil && root.idle() {
		err = fmt.Errorf("a comparison in it looks at no metric")
	}
	if err != nil {
		return nil, fail(err.Error())
	}
	p.c.root = root
	return p.c, nil
}

// String gives the condition as it was written.
func (c *Condition) String() string { return c.source }

// Query is the condition as PromQL for one thing, or for all things at once
// where thing is empty. Its result holds a series, labelled by thing, where the
// condition does. Alternatives that ask a detector are left out, as PromQL cannot
// ask one; empty where nothing else is left.
func (c *Condition) Query(thing string) string {
	if n := c.root.told(); n != nil {
		return n.query(thing)
	}
	return ""
}

// told is a condition without the alternatives that ask a detector; nil where
// none is left.
func (n *node) told() *node {
	if n.term != nil && n.term.fn == anomalyFunction {
		return nil
	}
	if n.a == nil {
		return n
	}
	a, b := n.a.told(), n.b.told()
	switch {
	case a != nil && b != nil:
		return &node{op: n.op, a: a, b: b}
	case n.op == "or" && a != nil:
		return a
	case n.op == "or":
		return b
	}
	return nil
}

func (n *node) query(thing string) string {
	switch n.op {
	case "num":
		return strconv.FormatFloat(n.num, 'g', -1, 64)
	case "term":
		return n.term.query(thing)
	case "time":
		return "time()"
	}
	if n.term != nil {
		return n.op + " by (" + engine.ThingLabel + ") (" + n.term.query(thing) + ")"
	}
	side := func(x *node) string {
		if x.a != nil {
			return "(" + x.query(thing) + ")"
		}
		return x.query(thing)
	}
	return side(n.a) + " " + n.op + " " + side(n.b)
}

type parser struct {
	text  string
	at    int
	depth int
	c     *Condition
}

var lexeme = regexp.MustCompile(`^(?:[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|[a-zA-Z_:][a-zA-Z0-9_:]*|<=|>=|==|!=|=~|!~|"(?:[^"\\]|\\.)*"|.)`)

// peek is the next lexeme; empty at the end.
func (p *parser) peek() string {
	for p.at < len(p.text) && strings.ContainsRune(" \t\r\n", rune(p.text[p.at])) {
		p.at++
	}
	return lexeme.FindString(p.text[p.at:])
}

func (p *parser) next() string {
	s := p.peek()
	p.at += len(s)
	return s
}

func (p *parser) wrong(want string) error {
	return fmt.Errorf("at %d: %q where %s is expected", p.at+1, p.peek(), want)
}

func (p *parser) take(what string) error {
	if p.peek() != what {
		return p.wrong(strconv.Quote(what))
	}
	p.next()
	return nil
}

var levels = [][]string{{"or"}, {"and"}, {"<", "<=", ">", ">=", "==", "!="}, {"+", "-"}, {"*", "/"}}

func (p *parser) binary(level int) (*node, error) {
	if level == len(levels) {
		return p.primary()
	}
	left, err := p.binary(level + 1)
	if err != nil {
		return nil, err
	}
	for n := 0; slices.Contains(levels[level], p.peek()); n++ {
		op := p.next()
		right, err := p.binary(level + 1)
		if err != nil {
			return nil, err
		}
		if logic := level < 2; left.isTruth() != logic || right.isTruth() != logic {
			return nil, fmt.Errorf("before %d: %q joins %s", p.at+1, op, map[bool]string{true: "conditions", false: "numbers"}[logic])
		}
		left = &node{op: op, a: left, b: right}
	}
	return left, nil
}

func (p *parser) primary() (*node, error) {
	if p.depth++; p.depth > 100 {
		return nil, fmt.Errorf("at %d: nested too deep", p.at+1)
	}
	defer func() { p.depth-- }()
	switch s := p.peek(); {
	case s == "(":
		p.next()
		n, err := p.binary(0)
		if err != nil {
			return nil, err
		}
		return n, p.take(")")
	case s == "-":
		p.next()
		n, err := p.primary()
		if err != nil {
			return nil, err
		}
		if n.isTruth() {
			return nil, fmt.Errorf("at %d: a condition has no sign", p.at+1)
		}
		return &node{op: "-", a: &node{op: "num"}, b: n}, nil
	case s != "" && s[0] >= '0' && s[0] <= '9':
		v, err := strconv.ParseFloat(p.next(), 64)
		return &node{op: "num", num: v}, err
	case slices.Contains(aggregations, s):
		p.next()
		for _, want := range p.grouping() {
			if err := p.take(want); err != nil {
				return nil, err
			}
		}
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		return &node{op: s, term: t}, p.take(")")
	case s == "time":
		p.next()
		if err := p.take("("); err != nil {
			return nil, err
		}
		return &node{op: "time"}, p.take(")")
	}
	t, err := p.term()
	return &node{op: "term", term: t}, err
}

// grouping is what stands between an aggregation and its term.
func (p *parser) grouping() []string {
	if p.peek() == "by" {
		return []string{"by", "(", engine.ThingLabel, ")", "("}
	}
	return []string{"("}
}

var (
	word     = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	timeSpan = regexp.MustCompile(`^[1-9][0-9]{0,5}[smhdw]`)
)

func (p *parser) term() (*term, error) {
	t := &term{}
	s := p.peek()
	if !word.MatchString(s) || s == "and" || s == "or" {
		return nil, p.wrong("a metric or a number")
	}
	ranged := slices.Contains(rangeFunctions, s)
	if ranged || s == anomalyFunction {
		t.fn = p.next()
		if err := p.take("("); err != nil {
			return nil, err
		}
		if !word.MatchString(p.peek()) {
			return nil, p.wrong("a metric")
		}
	}
	t.metric = p.next()
	if p.peek() == "(" {
		return nil, fmt.Errorf("at %d: there is no function %s", p.at+1, t.metric)
	}
	if p.peek() == "{" {
		if err := p.matchers(t); err != nil {
			return nil, err
		}
	}
	if ranged {
		if err := p.take("["); err != nil {
			return nil, err
		}
		p.peek()
		t.span = timeSpan.FindString(p.text[p.at:])
		if t.span == "" {
			return nil, p.wrong("a time span such as 5m")
		}
		p.at += len(t.span)
		if err := p.take("]"); err != nil {
			return nil, err
		}
	}
	if t.fn == trendFunction {
		if err := p.take(","); err != nil {
			return nil, err
		}
		t.extra = p.next()
		if _, err := strconv.ParseFloat(t.extra, 64); err != nil {
			return nil, fmt.Errorf("at %d: %q where seconds are expected", p.at+1, t.extra)
		}
	}
	if t.fn != "" {
		if err := p.take(")"); err != nil {
			return nil, err
		}
	}
	t.name = t.around(t.metric)
	p.c.terms = append(p.c.terms, t)
	return t, nil
}

func (p *parser) matchers(t *term) error {
	p.next()
	for p.peek() != "}" {
		m := matcher{label: p.next()}
		if !word.MatchString(m.label) {
			return fmt.Errorf("at %d: %q where a label is expected", p.at+1, m.label)
		}
		m.op = p.next()
		if !slices.Contains([]string{"=", "!=", "=~", "!~"}, m.op) {
			return fmt.Errorf("at %d: %q where =, !=, =~ or !~ is expected", p.at+1, m.op)
		}
		v, err := strconv.Unquote(p.next())
		if err != nil {
			return fmt.Errorf("at %d: a value in quotes is expected", p.at+1)
		}
		m.value = v
		if strings.HasSuffix(m.op, "~") {
			if m.re, err = regexp.Compile("^(?:" + v + ")$"); err != nil {
				return err
			}
		}
		t.match = append(t.match, m)
		if p.peek() != "," {
			break
		}
		p.next()
	}
	return p.take("}")
}

// sample is one observed series of a thing.
type sample struct {
	labels  map[string]string
	value   float64
	unix    float64 // when; 0: not known
	symptom int     // its index
}

// judge evaluates the condition over the samples of a thing by name. It gives
// the symptoms that it was read from, in order.
func (c *Condition) judge(samples map[string][]sample) (result truth, from []int) {
	for _, lead := range c.terms {
		for i := range samples[lead.name] {
			s := &samples[lead.name][i]
			if !lead.fits(s.labels) {
				continue
			}
			j := judgement{samples: samples, lead: lead, led: s, unix: s.unix}
			switch v := j.truth(c.root); {
			case v == seen:
				if result != seen {
					from = nil
				}
				result = seen
				from = append(from, j.from...)
			case v == absent && result != seen:
				result = absent
				from = append(from, j.from...)
			}
		}
	}
	slices.Sort(from)
	return result, slices.Compact(from)
}

func (t *term) fits(labels map[string]string) bool {
	for _, m := range t.match {
		if !m.fits(labels) {
			return false
		}
	}
	return true
}

// judgement is one evaluation: the other terms have to agree with the labels of
// the series that leads.
type judgement struct {
	samples map[string][]sample
	lead    *term
	led     *sample
	unix    float64
	from    []int
}

func (j *judgement) truth(n *node) truth {
	switch n.op {
	case "and":
		return min3(j.truth(n.a), j.truth(n.b))
	case "or":
		return max(j.truth(n.a), j.truth(n.b))
	}
	a, ok1 := j.number(n.a)
	b, ok2 := j.number(n.b)
	if !ok1 || !ok2 {
		return unknown
	}
	holds := false
	switch n.op {
	case "<":
		holds = a < b
	case "<=":
		holds = a <= b
	case ">":
		holds = a > b
	case ">=":
		holds = a >= b
	case "==":
		holds = a == b
	case "!=":
		holds = a != b
	}
	if holds {
		return seen
	}
	return absent
}

// min3 is Kleene's and.
func min3(a, b truth) truth {
	if a == absent || b == absent {
		return absent
	}
	return min(a, b)
}

func (j *judgement) number(n *node) (float64, bool) {
	switch n.op {
	case "num":
		return n.num, true
	case "time":
		return j.unix, j.unix != 0
	case "term":
		return j.value(n.term)
	}
	if n.term != nil {
		return j.over(n)
	}
	a, ok1 := j.number(n.a)
	b, ok2 := j.number(n.b)
	if !ok1 || !ok2 {
		return 0, false
	}
	switch n.op {
	case "+":
		return a + b, true
	case "-":
		return a - b, true
	case "*":
		return a * b, true
	}
	return a / b, b != 0
}

func (j *judgement) value(t *term) (float64, bool) {
	if t == j.lead {
		j.from = append(j.from, j.led.symptom)
		return j.led.value, true
	}
	list := j.samples[t.name]
	for i := range list {
		if t.fits(list[i].labels) && j.agree(t, list[i].labels) {
			j.from = append(j.from, list[i].symptom)
			return list[i].value, true
		}
	}
	return 0, false
}

// agree tells whether labels that both series have are the same, but their names
// and those that a matcher fixed.
func (j *judgement) agree(t *term, labels map[string]string) bool {
	for k, v := range labels {
		w, both := j.led.labels[k]
		if both && v != w && k != "__name__" && !fixed(t, k) && !fixed(j.lead, k) {
			return false
		}
	}
	return true
}

func fixed(t *term, label string) bool {
	return slices.ContainsFunc(t.match, func(m matcher) bool { return m.label == label })
}

func (j *judgement) over(n *node) (float64, bool) {
	var list []float64
	for _, s := range j.samples[n.term.name] {
		if n.term.fits(s.labels) {
			list = append(list, s.value)
			j.from = append(j.from, s.symptom)
		}
	}
	if len(list) == 0 {
		return 0, false
	}
	sum := 0.0
	for _, v := range list {
		sum += v
	}
	switch n.op {
	case "sum":
		return sum, true
	case "avg":
		return sum / float64(len(list)), true
	case "min":
		return slices.Min(list), true
	case "max":
		return slices.Max(list), true
	}
	return float64(len(list)), true
}
