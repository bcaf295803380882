package knowledge

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/expr"
	"zhiwei/kernel/kind"
)

//go:embed pack/*.yaml
var files embed.FS

// Pack is knowledge as people write it: one or several YAML files. Fields that
// are not declared here are refused with their line.
type Pack struct {
	Name    string `yaml:"name,omitempty"`
	Version string `yaml:"version,omitempty"` // of the whole pack; rises with every change
	Signs   []Sign `yaml:"signs,omitempty"`
	Modes   []Mode `yaml:"modes,omitempty"`
}

// Bilingual is a text written "中文 | English" in YAML.
type Bilingual struct{ kind.Text }

// UnmarshalYAML reads the two halves; both must be there.
func (t *Bilingual) UnmarshalYAML(n *yaml.Node) error {
	zh, en, ok := strings.Cut(n.Value, " | ")
	if n.Kind != yaml.ScalarNode || !ok || strings.TrimSpace(zh) == "" || strings.TrimSpace(en) == "" {
		return fmt.Errorf("line %d: a text is written \"中文 | English\"", n.Line)
	}
	t.Text = kind.T(strings.TrimSpace(zh), strings.TrimSpace(en))
	return nil
}

// MarshalYAML writes it as it is read.
func (t Bilingual) MarshalYAML() (any, error) { return t.ZH + " | " + t.EN, nil }

// IsZero leaves empty texts out.
func (t Bilingual) IsZero() bool { return t.ZH == "" && t.EN == "" }

// Sign is something that can be seen on a thing. It is seen where any of its
// sources shows it, absent where at least one was looked at and none shows it,
// unknown otherwise.
type Sign struct {
	ID    string         `yaml:"id"`
	Title Bilingual      `yaml:"title"`
	Class []engine.Class `yaml:"class"` // things on which it is looked for
	// Metric is a condition in PromQL: comparisons of terms, joined by and/or. See
	// Condition for the part of PromQL that is understood.
	Metric string `yaml:"metric,omitempty"`
	// Log are regular expressions (RE2) of which one matches the line.
	Log []string `yaml:"log,omitempty"`
	// Event are names of events.
	Event []string `yaml:"event,omitempty"`
	// State are properties with the values that show the sign.
	State map[string][]string `yaml:"state,omitempty"`
	// Near is a condition on the things around.
	Near *Near `yaml:"near,omitempty"`
	// Alongside are signs beside which it is seen, and how often: a fault that shows
	// one of them elsewhere shows this there too, with that share of its probability,
	// where its mode does not say otherwise. What cannot be served says so in its log.
	Alongside map[string]float64 `yaml:"alongside,omitempty"`
	// Otherwise is the probability that it is seen without any fault known here:
	// P(sign | no cause). The smaller, the more it proves.
	Otherwise float64 `yaml:"otherwise"`
	// Severity of seeing it: critical, major, minor (the default), warning, or none
	// for what is ordinary and only tells causes apart (a process that runs).
	Severity string `yaml:"severity,omitempty"`
	// Cost of looking: see engine.Check. 0: 1 for metrics and states, 3 for logs and
	// events.
	Cost float64 `yaml:"cost,omitempty"`
	// Ask is a POSIX shell script that looks and changes nothing: see engine.Check.
	// What varies reaches it as environment variables, never as text.
	Ask string `yaml:"ask,omitempty"`
	// Needs are the labels of the thing that Ask is given, each as a variable of its
	// name; one that ends with ? may be absent. Beside the labels there are thing,
	// name and address.
	Needs []string `yaml:"needs,omitempty"`
	// How a person looks; empty: told from the sources.
	How Bilingual `yaml:"how,omitempty"`
}

// Near is a condition on the neighbours of a thing in the topology: among those
// of whom one of the signs is known, the share that shows one lies within [From, To].
type Near struct {
	Of    string   `yaml:"of"`    // children (what stands on it), parents (what it stands on), peers (what stands on the same)
	Signs []string `yaml:"signs"` // a neighbour shows one of them; none may be a Near itself
	Least int      `yaml:"least"` // how many neighbours must be known; below, the sign is unknown
	From  float64  `yaml:"from"`
	To    float64  `yaml:"to"`
}

// Mode is one way to fail.
type Mode struct {
	ID      string         `yaml:"id"`
	Version int            `yaml:"version"`
	Title   Bilingual      `yaml:"title"`
	Help    Bilingual      `yaml:"help"`
	Class   []engine.Class `yaml:"class"` // things that can fail so
	Rows    []string       `yaml:"rows"`  // of the requirements it serves
	// Prior is the probability that a thing of the class has this fault when
	// something near it is being looked into.
	Prior float64 `yaml:"prior"`
	// Signs are the probabilities of signs on the thing while the fault lasts:
	// P(sign | fault).
	Signs map[string]float64 `yaml:"signs"`
	// Spreads are signs on other things that the fault brings about.
	Spreads  []Spread    `yaml:"spreads,omitempty"`
	Causes   []ModeCause `yaml:"causes,omitempty"`
	Remedies []Remedy    `yaml:"remedies"`
	Source   Bilingual   `yaml:"source"` // clause, manual or ticket
}

// Spread says how a fault shows on other things.
type Spread struct {
	// Way is down, to what stands on the thing (the default), or up, to what the
	// thing is a part of.
	Way   string             `yaml:"way,omitempty"`
	Over  []engine.LinkType  `yaml:"over,omitempty"`  // links it travels; empty: all
	Class []engine.Class     `yaml:"class,omitempty"` // things on which it shows; empty: any
	Depth int                `yaml:"depth,omitempty"` // links at most; 0: 6 down, 1 up
	Signs map[string]float64 `yaml:"signs"`
}

// ModeCause is why the mode comes about. Its signs come on top of the mode's, or
// replace its probabilities.
type ModeCause struct {
	ID    string             `yaml:"id"`
	Title Bilingual          `yaml:"title"`
	Share float64            `yaml:"share"` // of the mode's occurrences; the shares of a mode sum to 1
	Signs map[string]float64 `yaml:"signs,omitempty"`
}

// Remedy is what may help.
type Remedy struct {
	ID      string            `yaml:"id"`
	Title   Bilingual         `yaml:"title"`
	Runbook string            `yaml:"runbook"`
	Inputs  map[string]string `yaml:"inputs,omitempty"` // {thing} is the thing's id, {label} a label of what was seen
	Risk    string            `yaml:"risk"`             // none, low, medium, high
	Radius  string            `yaml:"radius"`           // thing: it alone feels it; below: also all that stands on it
	Undo    string            `yaml:"undo,omitempty"`   // a runbook
	// For are the causes it helps with; empty: all.
	For []string `yaml:"for,omitempty"`
	// When is a condition in CEL over data: thing {id, class, name, labels},
	// probability, faults (how many at once), cause, signs {id: "seen", "absent" or
	// "unknown"}, labels (of what was seen). Empty: always.
	When string `yaml:"when,omitempty"`
	// Proof are signs that must be gone afterwards; empty: all that were seen on
	// the thing.
	Proof  []string `yaml:"proof,omitempty"`
	Within string   `yaml:"within,omitempty"` // duration; empty: 2m
	Rank   float64  `yaml:"rank,omitempty"`   // how often it works as far as is known before: 0 means 0.5
}

// Read reads a pack from YAML. Invalid, with the line, where the text is not a
// pack: unknown fields, several documents and aliases are refused, and nothing
// larger than 8 MB is read.
func Read(r io.Reader) (Pack, error) {
	const most = 8 << 20
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return Pack{}, errs.Wrap("read pack", "", err)
	}
	if len(text) > most {
		return Pack{}, errs.E(errs.TooLarge, "read pack", "", "知识包文件超过 8 MB；请拆成几个文件。", "The file of the pack is larger than 8 MB; split it.")
	}
	return read(text)
}

func read(text []byte) (p Pack, err error) {
	wrong := func(cause error) error {
		return errs.E(errs.Invalid, "read pack", "", "知识包读不懂："+cause.Error(), "The pack cannot be read: "+cause.Error()).Because(cause)
	}
	// Aliases multiply: a text of a few lines may stand for gigabytes.
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return Pack{}, wrong(err)
	}
	if at := alias(&root); at > 0 {
		return Pack{}, wrong(fmt.Errorf("line %d: anchors and aliases are not allowed", at))
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil && !errors.Is(err, io.EOF) {
		return Pack{}, wrong(err)
	}
	if err := d.Decode(&Pack{}); !errors.Is(err, io.EOF) {
		return Pack{}, wrong(errors.New("only one document is allowed"))
	}
	return p, nil
}

// alias finds the line of the first anchor or alias; 0 where there is none.
func alias(n *yaml.Node) int {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return max(n.Line, 1)
	}
	for _, c := range n.Content {
		if at := alias(c); at > 0 {
			return at
		}
	}
	return 0
}

// Delivered is the pack that comes with the program: all files of pack/, put
// together.
func Delivered() (Pack, error) {
	return ReadFS(files, "pack")
}

// ReadFS reads all .yaml files of a folder, by name, as one pack. Errors name
// the file.
func ReadFS(from fs.FS, folder string) (Pack, error) {
	var all Pack
	names, err := fs.Glob(from, path.Join(folder, "*.yaml"))
	if err != nil {
		return Pack{}, errs.Wrap("read pack", folder, err)
	}
	slices.Sort(names)
	for _, name := range names {
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return Pack{}, errs.Wrap("read pack", name, err)
		}
		p, err := read(text)
		if err != nil {
			return Pack{}, errs.Wrap("read pack", name, err)
		}
		if p.Name != "" {
			all.Name, all.Version = p.Name, p.Version
		}
		all.Signs, all.Modes = append(all.Signs, p.Signs...), append(all.Modes, p.Modes...)
	}
	return all, nil
}

// With is the pack with another laid over it: signs and modes of the same id are
// replaced where the other's version is not lower, the rest is added.
func (p Pack) With(other Pack) Pack {
	out := Pack{Name: p.Name, Version: p.Version, Signs: slices.Clone(p.Signs), Modes: slices.Clone(p.Modes)}
	for _, s := range other.Signs {
		if i := slices.IndexFunc(out.Signs, func(o Sign) bool { return o.ID == s.ID }); i >= 0 {
			out.Signs[i] = s
		} else {
			out.Signs = append(out.Signs, s)
		}
	}
	for _, m := range other.Modes {
		i := slices.IndexFunc(out.Modes, func(o Mode) bool { return o.ID == m.ID })
		switch {
		case i < 0:
			out.Modes = append(out.Modes, m)
		case m.Version >= out.Modes[i].Version:
			out.Modes[i] = m
		}
	}
	return out
}

// sign, mode are what was read, made ready to reason with.
type sign struct {
	Sign
	classes    classes
	cond       *Condition
	logs       []*regexp.Regexp
	properties []string
	near       []int // the signs of Near
}

type chance struct {
	sign int
	p    float64
}

type mode struct {
	Mode
	classes classes
	signs   []chance
	spreads []spread
	causes  [][]chance // overrides of signs, by cause
	shares  []float64
	when    []*expr.Program // by remedy; nil: always
	wants   map[int]bool    // signs on which a remedy depends
}

type spread struct {
	up      bool
	over    uint8 // bits of linkBit
	classes classes
	depth   int
	signs   []chance
}

var linkBit = map[engine.LinkType]uint8{
	engine.Uses: 1, engine.RunsOn: 2, engine.StoredOn: 4, engine.PoweredBy: 8,
	engine.CooledBy: 16, engine.ConnectedTo: 32, engine.MemberOf: 64,
}

var needForm = regexp.MustCompile(`^[a-z][a-z0-9_]*\??$`)

var idForm = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// New makes a base of a pack. Invalid where something in the pack does not hold
// together: all that is wrong is named at once.
func New(p Pack) (*Base, error) {
	b := &Base{version: p.Version, signNo: map[string]int{}, modeNo: map[string]int{}, lines: &lines{}}
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	set := func(where string, list []engine.Class) (out classes) {
		for _, c := range list {
			if classBits[c] == 0 {
				say("%s: class %q is none of the ledger's", where, c)
			}
			out |= classBits[c]
		}
		return out
	}
	for _, s := range p.Signs {
		if !idForm.MatchString(s.ID) {
			say("sign %q: an id is words of a-z and 0-9 joined by -", s.ID)
		}
		if _, there := b.signNo[s.ID]; there {
			say("sign %s is there twice", s.ID)
		}
		b.signNo[s.ID] = len(b.signs)
		b.signs = append(b.signs, makeSign(s, set, say))
	}
	for i := range b.signs {
		for _, other := range slices.Sorted(maps.Keys(b.signs[i].Alongside)) {
			if _, there := b.signNo[other]; !there {
				say("sign %s: alongside: there is no sign %s", b.signs[i].ID, other)
			}
			if share := b.signs[i].Alongside[other]; share <= 0 || share > 1 {
				say("sign %s: alongside: the share of %s must be above 0 and at most 1", b.signs[i].ID, other)
			}
		}
		n := b.signs[i].Near
		if n == nil {
			continue
		}
		for _, of := range n.Signs {
			at, there := b.signNo[of]
			if !there || b.signs[at].Near != nil {
				say("sign %s: near sign %q is not there or looks at neighbours itself", b.signs[i].ID, of)
			}
			b.signs[i].near = append(b.signs[i].near, at)
		}
		if len(n.Signs) == 0 || !slices.Contains([]string{"children", "parents", "peers"}, n.Of) || n.Least < 1 || n.From < 0 || n.To > 1 || n.From > n.To {
			say("sign %s: near needs signs, of children, parents or peers, least ≥ 1 and 0 ≤ from ≤ to ≤ 1", b.signs[i].ID)
		}
	}
	for _, m := range p.Modes {
		if !idForm.MatchString(m.ID) {
			say("mode %q: an id is words of a-z and 0-9 joined by -", m.ID)
		}
		if _, there := b.modeNo[m.ID]; there {
			say("mode %s is there twice", m.ID)
		}
		b.modeNo[m.ID] = len(b.modes)
		b.modes = append(b.modes, b.makeMode(m, set, say))
	}
	if len(wrong) > 0 {
		list := strings.Join(wrong, "; ")
		return nil, errs.E(errs.Invalid, "read pack", p.Name, "知识包有误，请改正："+list, "The pack has mistakes; correct them: "+list)
	}
	b.ways, b.written = b.links(), b.modes
	b.bySign = make([][]int, len(b.signs))
	for i := range b.modes {
		seen := map[int]bool{}
		for _, c := range append(slices.Concat(b.modes[i].causes...), b.modes[i].signs...) {
			if !seen[c.sign] {
				seen[c.sign] = true
				b.bySign[c.sign] = append(b.bySign[c.sign], i)
			}
		}
	}
	return b, nil
}

type complain = func(format string, args ...any)

func makeSign(s Sign, set func(string, []engine.Class) classes, say complain) sign {
	out := sign{Sign: s, classes: set("sign "+s.ID, s.Class)}
	if s.Title.IsZero() {
		say("sign %s has no title", s.ID)
	}
	if s.Otherwise <= 0 || s.Otherwise > 0.97 || s.Otherwise > 0.5 && s.Severity != "none" {
		say("sign %s: otherwise must be above 0 and at most 0.5, and 0.97 for what is ordinary", s.ID)
	}
	if _, known := severities[s.Severity]; !known {
		say("sign %s: severity is critical, major, minor, warning or none, not %q", s.ID, s.Severity)
	}
	if s.Metric == "" && len(s.Log) == 0 && len(s.Event) == 0 && len(s.State) == 0 && s.Near == nil && s.Ask == "" {
		say("sign %s can be seen nowhere", s.ID)
	}
	for _, n := range s.Needs {
		if !needForm.MatchString(n) || s.Ask == "" {
			say("sign %s: %q is no label that its ask needs", s.ID, n)
		}
	}
	if s.Metric != "" {
		c, err := ParseCondition(s.Metric)
		if err != nil {
			say("sign %s: %s", s.ID, errs.Sentence(err, "en"))
		}
		out.cond = c
	}
	for _, l := range s.Log {
		re, err := regexp.Compile(l)
		if err != nil {
			say("sign %s: %v", s.ID, err)
			continue
		}
		out.logs = append(out.logs, re)
	}
	out.properties = slices.Sorted(maps.Keys(s.State))
	if s.Cost == 0 {
		out.Cost = 1
		if s.Metric == "" && len(s.State) == 0 {
			out.Cost = 3
		}
	}
	return out
}

// alongside adds to what a fault shows elsewhere what is seen beside it.
func (b *Base) alongside(of map[string]float64) map[string]float64 {
	out := maps.Clone(of)
	for i := range b.signs {
		s := &b.signs[i]
		if _, said := of[s.ID]; said {
			continue
		}
		for other, share := range s.Alongside {
			if p := of[other] * share; p > out[s.ID] {
				out[s.ID] = p
			}
		}
	}
	return out
}

func (b *Base) makeMode(m Mode, set func(string, []engine.Class) classes, say complain) mode {
	where := "mode " + m.ID
	out := mode{Mode: m, classes: set(where, m.Class)}
	chances := func(of map[string]float64) []chance {
		var list []chance
		for _, id := range slices.Sorted(maps.Keys(of)) {
			no, there := b.signNo[id]
			if !there {
				say("%s: there is no sign %s", where, id)
				continue
			}
			if p := of[id]; p <= 0 || p >= 1 {
				say("%s: the probability of %s must lie between 0 and 1", where, id)
			}
			list = append(list, chance{no, of[id]})
		}
		return list
	}
	if m.Title.IsZero() || m.Help.IsZero() || m.Source.IsZero() || m.Version < 1 || len(m.Class) == 0 || len(m.Rows) == 0 || len(m.Signs) == 0 || len(m.Remedies) == 0 {
		say("%s needs title, help, version, class, rows, signs, remedies and source", where)
	}
	if m.Prior <= 0 || m.Prior > 0.2 {
		say("%s: prior must be above 0 and at most 0.2", where)
	}
	out.signs = chances(m.Signs)
	for _, s := range m.Spreads {
		s.Signs = b.alongside(s.Signs)
		one := spread{up: s.Way == "up", classes: set(where, s.Class), depth: s.Depth, signs: chances(s.Signs)}
		if s.Way != "" && s.Way != "up" && s.Way != "down" {
			say("%s: a spread goes up or down, not %q", where, s.Way)
		}
		for _, l := range s.Over {
			if linkBit[l] == 0 {
				say("%s: there are no links of type %q", where, l)
			}
			one.over |= linkBit[l]
		}
		if len(s.Over) == 0 {
			one.over = 0xff
		}
		if one.depth == 0 {
			one.depth = deepest
			if one.up {
				one.depth = 1
			}
		}
		if one.depth > deepest {
			say("%s: a spread goes over %d links at most", where, deepest)
		}
		out.spreads = append(out.spreads, one)
	}
	sum := 0.0
	ids := map[string]bool{}
	for _, c := range m.Causes {
		if c.ID == "" || ids[c.ID] || c.Title.IsZero() || c.Share <= 0 {
			say("%s: cause %q needs an id of its own, a title and a share", where, c.ID)
		}
		ids[c.ID] = true
		sum += c.Share
		out.causes = append(out.causes, chances(c.Signs))
		out.shares = append(out.shares, c.Share)
	}
	if len(m.Causes) > 0 && (sum < 0.99 || sum > 1.01) {
		say("%s: the shares of its causes sum to %.2f instead of 1", where, sum)
	}
	out.wants = map[int]bool{}
	for _, r := range m.Remedies {
		out.when = append(out.when, b.checkRemedy(where, r, ids, say))
		for _, of := range ofSign.FindAllStringSubmatch(r.When, -1) {
			n, there := b.signNo[of[1]]
			if !there {
				say("%s: remedy %s depends on sign %s, which is not there", where, r.ID, of[1])
			}
			out.wants[n] = there
		}
	}
	return out
}

// ofSign finds the signs that a remedy's condition speaks of.
var ofSign = regexp.MustCompile(`data\.signs\["([^"]+)"\]`)

var risks = map[string]float64{engine.RiskNone: 0, engine.RiskLow: 0.6, engine.RiskMedium: 0.75, engine.RiskHigh: 0.9}

func (b *Base) checkRemedy(where string, r Remedy, causes map[string]bool, say complain) *expr.Program {
	_, known := risks[r.Risk]
	if !idForm.MatchString(r.ID) || r.Title.IsZero() || r.Runbook == "" || !known || r.Radius != "thing" && r.Radius != "below" {
		say("%s: remedy %q needs id, title, runbook, risk (none, low, medium, high) and radius (thing, below)", where, r.ID)
	}
	for _, c := range r.For {
		if !causes[c] {
			say("%s: remedy %s is for cause %q, which the mode has not", where, r.ID, c)
		}
	}
	for _, s := range r.Proof {
		if _, there := b.signNo[s]; !there {
			say("%s: remedy %s is proven by sign %s, which is not there", where, r.ID, s)
		}
	}
	if r.When == "" {
		return nil
	}
	p, err := expr.Compile(r.When)
	if err != nil {
		say("%s: remedy %s: %s", where, r.ID, errs.Sentence(err, "en"))
	}
	return p
}
