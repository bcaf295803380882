// Package lifecycle moves records through their declared states: which verb may
// be said, what must be true first, what evidence it takes, how long a state may
// last. It decides; the kernel writes.
package lifecycle

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"zhiwei/kernel/calendar"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/expr"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// Validate checks a declaration: every state and verb it names exists, every
// expression compiles, every state can be reached. It fails with Invalid.
func Validate(k *kind.Kind) error {
	bad := func(format string, args ...any) error {
		s := fmt.Sprintf(format, args...)
		return errs.E(errs.Invalid, "declare", k.Name, k.Name+" 的声明有误："+s, "The declaration of "+k.Name+" is wrong: "+s)
	}
	for _, g := range k.Guards {
		if _, err := expr.Compile(g.If); err != nil {
			return err
		}
	}
	l := k.Lifecycle
	if l == nil {
		return nil
	}
	if l.State(l.Start) == nil {
		return bad("start state %q is not declared", l.Start)
	}
	seen := map[string]bool{}
	for i := range l.States {
		s := &l.States[i]
		if seen[s.Name] {
			return bad("state %q is declared twice", s.Name)
		}
		seen[s.Name] = true
		if err := validateLimit(l, s, bad); err != nil {
			return err
		}
	}
	verbs := map[string]bool{}
	for i := range l.Verbs {
		v := &l.Verbs[i]
		if verbs[v.Name] {
			return bad("verb %q is declared twice", v.Name)
		}
		verbs[v.Name] = true
		for _, f := range v.From {
			if f != "*" && l.State(f) == nil {
				return bad("verb %q comes from unknown state %q", v.Name, f)
			}
		}
		if v.To != "" && l.State(v.To) == nil {
			return bad("verb %q leads to unknown state %q", v.Name, v.To)
		}
		if v.HandOver && !slices.ContainsFunc(v.Evidence, func(e kind.Evidence) bool { return e.Name == "site" && e.Required }) {
			return bad("verb %q hands over and must ask for the evidence site", v.Name)
		}
		for _, g := range v.Guards {
			if _, err := expr.Compile(g.If); err != nil {
				return err
			}
		}
		for field, src := range v.Set {
			if _, err := expr.Compile(src); err != nil {
				return err
			}
			if k.Format == "" && k.Field(field) == nil {
				return bad("verb %q sets unknown field %q", v.Name, field)
			}
		}
		for _, field := range v.Input {
			if k.Format == "" && k.Field(field) == nil {
				return bad("verb %q takes unknown field %q", v.Name, field)
			}
		}
	}
	reached := map[string]bool{l.Start: true}
	for grew := true; grew; {
		grew = false
		for i := range l.Verbs {
			v := &l.Verbs[i]
			if v.To == "" || reached[v.To] {
				continue
			}
			for s := range reached {
				if comesFrom(l, v, s) {
					reached[v.To], grew = true, true
					break
				}
			}
		}
	}
	for _, s := range l.States {
		if !reached[s.Name] {
			return bad("no verb ever leads to state %q", s.Name)
		}
	}
	return nil
}

func validateLimit(l *kind.Lifecycle, s *kind.State, bad func(string, ...any) error) error {
	if s.Limit == nil {
		return nil
	}
	if (s.Limit.After == "") == (s.Limit.At == "") {
		return bad("the limit of state %q needs exactly one of after and at", s.Name)
	}
	for _, d := range append([]string{s.Limit.After}, s.Limit.Remind...) {
		if d == "" {
			continue
		}
		if _, err := calendar.ParseLength(d); err != nil {
			return err
		}
	}
	for _, src := range []string{s.Limit.At, s.Limit.Pause} {
		if src == "" {
			continue
		}
		if _, err := expr.Compile(src); err != nil {
			return err
		}
	}
	if s.Limit.Then != "" {
		if v := l.Verb(s.Limit.Then); v == nil || !comesFrom(l, v, s.Name) {
			return bad("the limit of state %q ends in verb %q, which cannot be said there", s.Name, s.Limit.Then)
		}
	}
	return nil
}

// comesFrom tells whether v may be said in state.
func comesFrom(l *kind.Lifecycle, v *kind.Verb, state string) bool {
	if slices.Contains(v.From, state) {
		return true
	}
	s := l.State(state)
	return slices.Contains(v.From, "*") && s != nil && !s.Final
}

// Verbs lists the verbs that lead out of (or stay in) a state, in declared order.
func Verbs(l *kind.Lifecycle, state string) []*kind.Verb {
	if l == nil {
		return nil
	}
	var out []*kind.Verb
	for i := range l.Verbs {
		if comesFrom(l, &l.Verbs[i], state) {
			out = append(out, &l.Verbs[i])
		}
	}
	return out
}

// VerbTo finds the one verb that a foreign write executes by changing the
// mirrored field to code. It fails with Invalid naming the verbs where none or
// several lead there (ARCHITECTURE.md, "Lifecycle and FHIR status").
func VerbTo(l *kind.Lifecycle, state, code string) (*kind.Verb, error) {
	var hits []*kind.Verb
	var names []string
	for _, v := range Verbs(l, state) {
		if v.Clock || v.To == "" {
			continue
		}
		names = append(names, v.Name)
		if Code(l, v.To) == code && v.To != state {
			hits = append(hits, v)
		}
	}
	if len(hits) == 1 {
		return hits[0], nil
	}
	if len(hits) > 1 {
		names = nil
		for _, v := range hits {
			names = append(names, v.Name)
		}
	}
	list := strings.Join(names, ", ")
	return nil, errs.E(errs.Invalid, "verb", l.Field, "不能这样把状态改为 "+code+"；此时可用的动作："+list+"。", "The status cannot be changed to "+code+" this way; the verbs possible now: "+list+".").At(l.Field)
}

// Code is the value of the mirrored field in a state.
func Code(l *kind.Lifecycle, state string) string {
	if s := l.State(state); s != nil && s.Code != "" {
		return s.Code
	}
	return state
}

// Find gives the verb by name if it may be said in state. Invalid for a name
// the kind does not have, Conflict where it cannot be said in this state.
func Find(k *kind.Kind, state, name string) (*kind.Verb, error) {
	v := k.Lifecycle.Verb(name)
	if v == nil {
		return nil, errs.E(errs.Invalid, "verb", name, k.Title.In("zh")+"没有动作 "+name+"。", "There is no verb "+name+" on "+k.Title.In("en")+".")
	}
	if !comesFrom(k.Lifecycle, v, state) {
		title := kind.T(state, state)
		if s := k.Lifecycle.State(state); s != nil {
			title = s.Title
		}
		return nil, errs.E(errs.Conflict, "verb", name,
			"现在的状态是“"+title.In("zh")+"”，不能“"+v.Title.In("zh")+"”；请刷新后再看。",
			"The state is now “"+title.In("en")+"”, so “"+v.Title.In("en")+"” is not possible; refresh and look again.")
	}
	return v, nil
}

// CheckEvidence checks what was shown against what the verb asks for. It fails
// with Invalid naming what is missing or does not match.
func CheckEvidence(v *kind.Verb, evidence map[string]any, data map[string]any) error {
	for name := range evidence {
		if !slices.ContainsFunc(v.Evidence, func(e kind.Evidence) bool { return e.Name == name }) {
			return errs.E(errs.Invalid, "evidence", name, "动作“"+v.Title.In("zh")+"”不需要凭据 "+name+"。", "The verb “"+v.Title.In("en")+"” takes no evidence "+name+".").At(name)
		}
	}
	for _, e := range v.Evidence {
		got, there := evidence[e.Name]
		s, isText := got.(string)
		if !there || got == nil || isText && strings.TrimSpace(s) == "" {
			if e.Required {
				return errs.E(errs.Invalid, "evidence", e.Name, "请先提供“"+e.Title.In("zh")+"”。", "Please give “"+e.Title.In("en")+"” first.").At(e.Name)
			}
			continue
		}
		if e.Equals != "" {
			want, _ := data[e.Equals].(string)
			if s != want {
				return errs.E(errs.Invalid, "evidence", e.Name, "“"+e.Title.In("zh")+"”与记录不符，请核对实物。", "“"+e.Title.In("en")+"” does not match the record; check the thing itself.").At(e.Name)
			}
		}
		if e.Type == kind.Ref {
			key, ok := record.ParseKey(s)
			if !ok || len(e.To) > 0 && !slices.Contains(e.To, key.Kind) {
				return errs.E(errs.Invalid, "evidence", e.Name, "“"+e.Title.In("zh")+"”应为引用 类别/编号。", "“"+e.Title.In("en")+"” must be a reference Kind/id.").At(e.Name)
			}
		}
	}
	return nil
}

// Guard checks guards in order. It fails with Conflict and the guard's sentence.
func Guard(subject string, guards []kind.Guard, s expr.Scope) error {
	for _, g := range guards {
		p, err := expr.Compile(g.If)
		if err != nil {
			return err
		}
		ok, err := p.True(s)
		if err != nil {
			return errs.Wrap("guard", subject, err)
		}
		if !ok {
			return &errs.Error{Op: "guard", Subject: subject, Kind: errs.Conflict, Say: g.Say}
		}
	}
	return nil
}

// Set computes the fields a verb sets, from the state of things before it.
func Set(k *kind.Kind, v *kind.Verb, s expr.Scope) (map[string]any, error) {
	if len(v.Set) == 0 {
		return nil, nil
	}
	out := make(map[string]any, len(v.Set))
	for _, field := range slices.Sorted(maps.Keys(v.Set)) {
		p, err := expr.Compile(v.Set[field])
		if err != nil {
			return nil, err
		}
		val, err := p.Value(s)
		if err != nil {
			return nil, errs.Wrap("set", field, err)
		}
		out[field] = jsonValue(k.Field(field), val)
	}
	return out, nil
}

func jsonValue(f *kind.Field, v any) any {
	switch x := v.(type) {
	case time.Time:
		if f != nil && f.Type == kind.Date {
			return x.Format(time.DateOnly)
		}
		return x.UTC().Format(time.RFC3339Nano)
	case int64:
		return json.Number(fmt.Sprint(x))
	case uint64:
		return json.Number(fmt.Sprint(x))
	case float64:
		return json.Number(fmt.Sprint(x))
	}
	return v
}
