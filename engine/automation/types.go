package automation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/blob"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// Type is a type of step: what a runbook may ask for. Others than the stock ones
// are added to a Registry; nothing else changes for them.
type Type struct {
	Name   string
	Title  kind.Text
	Params []Param // what With holds; anything else is refused

	// Safe tells whether doing the step a second time does no harm, from With as it
	// stands in the runbook. nil: it is unsafe.
	Safe func(with map[string]any) bool
	// Exact says that Do, called again with the token of an earlier try, finds out
	// what came of that try instead of doing anything twice.
	Exact bool
	// Do does the step. See Call and Result for what goes in and out. An error is a
	// failure that is certain, unless it is Unclear.
	Do func(ctx context.Context, c *Call) (Result, error)
	// Forecast says what Do would do, changing nothing. nil: Title is said.
	Forecast func(c *Call) kind.Text
	// Check refuses a With that cannot work, beyond what Params say. nil: none.
	Check func(with map[string]any) error
	// Forget clears what Do keeps elsewhere for its token; called after the outcome
	// is on record. nil: nothing is kept.
	Forget func(ctx context.Context, c *Call)
}

func (t *Type) safe(with map[string]any) bool { return t.Safe != nil && t.Safe(with) }

// Param is a parameter of a type.
type Param struct {
	Name     string
	Required bool
	Kind     ParamKind
	Verbatim bool // taken as it stands: a ${ in it is not ours
	Secret   bool // {secret: NAME} is allowed, for a Values in its values
	Options  []string
}

// ParamKind is the shape of a parameter in the runbook.
type ParamKind int

// The shapes.
const (
	Text   ParamKind = iota // text or a number, or a template that gives one
	Texts                   // a list of text
	Values                  // names to text
	Flag                    // true or false
	Anyone                  // any JSON
)

// Call is what a step is done with.
type Call struct {
	Token  string // names the doing; the same when it is taken up again
	Again  bool   // an earlier try with this token began
	With   map[string]any
	Target engine.RunTarget // zero: this machine
	Out    io.Writer        // takes what the step says; secrets are taken out on the way
	Limit  time.Duration    // how long it may last

	reach *reach
}

// Text gives a parameter as text; empty where it is absent.
func (c *Call) Text(name string) string {
	if v, there := c.With[name]; there {
		return plainText(v)
	}
	return ""
}

// Texts gives a list parameter.
func (c *Call) Texts(name string) []string {
	var out []string
	list, _ := c.With[name].([]any)
	for _, v := range list {
		out = append(out, plainText(v))
	}
	return out
}

// Flag gives a true-or-false parameter.
func (c *Call) Flag(name string) bool { return plainText(c.With[name]) == "true" }

// Secret gives a parameter that may be {secret: NAME}. Errors: NotFound where
// there is no such credential.
func (c *Call) Secret(ctx context.Context, name string) (string, error) {
	return c.reveal(ctx, c.With[name])
}

func (c *Call) reveal(ctx context.Context, v any) (string, error) {
	if ref, ok := secretName(v); ok {
		cred, err := c.reach.credential(ctx, ref)
		return cred.Secret, err
	}
	if v == nil {
		return "", nil
	}
	return plainText(v), nil
}

// Values gives a parameter of names to text, secrets revealed.
func (c *Call) Values(ctx context.Context, name string) (map[string]string, error) {
	m, _ := c.With[name].(map[string]any)
	out := make(map[string]string, len(m))
	for k, v := range m {
		s, err := c.reveal(ctx, v)
		if err != nil {
			return nil, err
		}
		out[k] = s
	}
	return out, nil
}

// Clock is the time.
func (c *Call) Clock() clock.Clock { return c.reach.clock }

// Blobs is the store of large content; nil where there is none.
func (c *Call) Blobs() blob.Store { return c.reach.blobs }

// Result is what came of a step that was done.
type Result struct {
	OK     bool           // false: it failed, for certain
	Code   int            // exit status, HTTP status, rows: as the type says
	Say    kind.Text      // why it failed, or what is worth saying
	Detail map[string]any // for expressions; small
}

// errUnclear marks an error after which nobody knows whether the step happened.
type errUnclear struct{ cause error }

func (e errUnclear) Error() string { return "unclear: " + e.cause.Error() }
func (e errUnclear) Unwrap() error { return e.cause }

// Unclear marks err as one after which nobody knows whether the step happened:
// a connection lost after the order was given. The engine looks, or asks.
func Unclear(err error) error { return errUnclear{err} }

func isUnclear(err error) bool {
	var e errUnclear
	return errors.As(err, &e)
}

// Registry holds the types of steps.
type Registry struct{ types map[string]*Type }

// NewRegistry makes a registry with the stock types.
func NewRegistry() *Registry {
	r := &Registry{types: map[string]*Type{}}
	for _, t := range stock() {
		if err := r.Add(t); err != nil {
			panic(err) // two stock types of one name: a fault of this package
		}
	}
	return r
}

// Add takes a type in. Conflict where there is one of that name, Invalid where
// it is not whole.
func (r *Registry) Add(t Type) error {
	if !names.MatchString(t.Name) || t.Do == nil || t.Title.ZH == "" || t.Title.EN == "" {
		return errs.E(errs.Invalid, "step type", t.Name, "步骤类型需要名称、中英文标题和动作。", "A step type needs a name, a title in both languages and a Do.")
	}
	if r.types[t.Name] != nil {
		return errs.E(errs.Conflict, "step type", t.Name, "步骤类型 "+t.Name+" 已存在。", "There is already a step type "+t.Name+".")
	}
	r.types[t.Name] = &t
	return nil
}

// Types lists the names, sorted.
func (r *Registry) Types() []string { return slices.Sorted(maps.Keys(r.types)) }

// check finds a type and checks With against it.
func (r *Registry) check(path, name string, with map[string]any) (*Type, error) {
	t := r.types[name]
	if t == nil {
		return nil, badRunbook(path+".type", "没有步骤类型 "+name+"；有 "+strings.Join(r.Types(), "、")+"。", "there is no step type "+name+"; there are "+strings.Join(r.Types(), ", ")+".")
	}
	for key, v := range with {
		i := slices.IndexFunc(t.Params, func(p Param) bool { return p.Name == key })
		if i < 0 {
			return nil, badRunbook(path+".with."+key, "步骤类型 "+name+" 没有参数 "+key+"。", "the step type "+name+" takes no parameter "+key+".")
		}
		if err := t.Params[i].check(path+".with."+key, v); err != nil {
			return nil, err
		}
	}
	for _, p := range t.Params {
		if _, there := with[p.Name]; p.Required && !there {
			return nil, badRunbook(path+".with."+p.Name, "步骤类型 "+name+" 需要参数 "+p.Name+"。", "the step type "+name+" needs the parameter "+p.Name+".")
		}
	}
	if t.Check != nil {
		if err := t.Check(with); err != nil {
			return nil, badRunbook(path+".with", errs.Sentence(err, "zh"), errs.Sentence(err, "en"))
		}
	}
	return t, nil
}

// check tells whether v, as it stands in a runbook, has the parameter's shape.
func (p Param) check(path string, v any) error {
	wrong := func(zh, en string) error { return badRunbook(path, zh, en) }
	one := func(path string, v any) error {
		if _, secret := secretName(v); secret {
			if !p.Secret {
				return wrong("此处不能用凭据：会出现在进程列表或记录里。", "no secret may stand here, where process lists or records would show it.")
			}
			return validTemplate(path, v.(map[string]any)["secret"].(string))
		}
		switch v.(type) {
		case map[string]any, []any, nil:
			return wrong("应为文字。", "must be text.")
		}
		if s, ok := v.(string); ok && !p.Verbatim {
			return validTemplate(path, s)
		}
		return nil
	}
	s, isText := v.(string)
	template := isText && !p.Verbatim && strings.HasPrefix(s, "${") && strings.HasSuffix(s, "}")
	switch p.Kind {
	case Texts:
		list, ok := v.([]any)
		if template {
			return validTemplate(path, s)
		}
		if !ok {
			return wrong("应为列表。", "must be a list.")
		}
		for i, e := range list {
			if err := one(fmt.Sprintf("%s[%d]", path, i), e); err != nil {
				return err
			}
		}
		return nil
	case Values:
		m, ok := v.(map[string]any)
		if !ok {
			return wrong("应为名称到值的对照。", "must map names to values.")
		}
		for k, e := range m {
			if err := one(path+"."+k, e); err != nil {
				return err
			}
		}
		return nil
	case Flag:
		if _, ok := v.(bool); !ok && !template {
			return wrong("应为 true 或 false。", "must be true or false.")
		}
		return nil
	case Anyone:
		return validDeep(path, v)
	}
	if len(p.Options) > 0 && !template && !slices.Contains(p.Options, plainText(v)) {
		return wrong("应为 "+strings.Join(p.Options, "、")+" 之一。", "must be one of "+strings.Join(p.Options, ", ")+".")
	}
	return one(path, v)
}

// validDeep checks the templates anywhere in v.
func validDeep(path string, v any) error {
	switch x := v.(type) {
	case string:
		return validTemplate(path, x)
	case []any:
		for i, e := range x {
			if err := validDeep(fmt.Sprintf("%s[%d]", path, i), e); err != nil {
				return err
			}
		}
	case map[string]any:
		for k, e := range x {
			if err := validDeep(path+"."+k, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// filled fills the templates of With, leaving verbatim parameters as they are.
func (t *Type) filled(sc *scope, with map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(with))
	for _, p := range t.Params {
		v, there := with[p.Name]
		if !there {
			continue
		}
		if !p.Verbatim {
			var err error
			if v, err = sc.fill(v); err != nil {
				return nil, err
			}
		}
		out[p.Name] = v
	}
	return out, nil
}
