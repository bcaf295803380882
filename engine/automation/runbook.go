package automation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/expr"
)

// Bounds of a runbook. A person reads a runbook before letting it run: what is
// larger than this belongs into several.
const (
	maxRunbook = 256 << 10 // bytes
	maxSteps   = 500
	maxDepth   = 8 // blocks in blocks
)

var names = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Parse reads a runbook from YAML or JSON. A key that is not known is an error,
// never ignored. Errors: TooLarge, and Invalid saying where. What it says is
// not checked; that is Registry.Validate.
func Parse(text []byte) (engine.Runbook, error) {
	var rb engine.Runbook
	if len(text) > maxRunbook {
		return rb, errs.E(errs.TooLarge, "read runbook", "", "处置手册不能超过 256 KB；请拆成几本。", "A runbook is at most 256 kB; split it.")
	}
	var doc any
	d := yaml.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&doc); err != nil {
		return rb, badRunbook("", "不是合法的 YAML："+err.Error(), "this is not YAML: "+err.Error())
	}
	raw, err := json.Marshal(doc)
	if err != nil { // a key that is no string, a number that JSON does not have
		return rb, badRunbook("", "有 JSON 不能表示的内容："+err.Error(), "it holds what JSON cannot: "+err.Error())
	}
	return Decode(raw)
}

// Decode reads a runbook from the JSON of a record. Errors as of Parse.
func Decode(raw []byte) (engine.Runbook, error) {
	var rb engine.Runbook
	j := json.NewDecoder(bytes.NewReader(raw))
	j.DisallowUnknownFields()
	j.UseNumber()
	if err := j.Decode(&rb); err != nil {
		return rb, badRunbook("", "内容不对："+err.Error(), "it does not fit: "+err.Error())
	}
	return rb, nil
}

func badRunbook(path, zh, en string) *errs.Error {
	return errs.E(errs.Invalid, "runbook", path, "处置手册有误，"+zh, "The runbook is wrong, "+en).At(path)
}

// Validate says what is wrong with a runbook: Invalid, naming the place. A
// runbook that passes can be run as far as its words go; whether targets,
// credentials and programs exist shows in a dry run.
func (r *Registry) Validate(rb engine.Runbook) error {
	if !names.MatchString(rb.Name) {
		return badRunbook("name", "标识应为小写字母、数字和连字符，例如 service-restart。", "its name takes lower-case letters, digits and hyphens, such as service-restart.")
	}
	if rb.Title.ZH == "" || rb.Title.EN == "" {
		return badRunbook("title", "需要中文和英文名称。", "it needs a Chinese and an English title.")
	}
	if !slices.Contains([]string{engine.RiskNone, engine.RiskLow, engine.RiskMedium, engine.RiskHigh}, rb.Risk) {
		return badRunbook("risk", "风险应为 none、low、medium 或 high。", "its risk is none, low, medium or high.")
	}
	if rb.OnFail != "" && rb.OnFail != "undo" {
		return badRunbook("onFail", "onFail 只能是 undo。", "onFail can only be undo.")
	}
	if len(rb.Steps) == 0 {
		return badRunbook("steps", "没有步骤。", "it has no steps.")
	}
	if err := validateInputs(rb.Inputs); err != nil {
		return err
	}
	if err := validLength("timeout", rb.Timeout); err != nil {
		return err
	}
	if err := validExpr("targets", rb.Targets); err != nil {
		return err
	}
	if w := rb.Rollout; w != nil {
		if rb.Targets == "" || w.Canary < 0 || w.Percent < 0 || w.Percent > 100 || w.AtOnce < 0 || w.AtOnce > 100 || w.StopAt < 0 {
			return badRunbook("rollout", "分批需要 targets，且 percent 为 0–100、atOnce 不超过 100。", "a rollout needs targets, a percent of 0–100 and an atOnce of at most 100.")
		}
		if err := validApproval("rollout.approve", w.Approve); err != nil {
			return err
		}
	}
	if rb.Window != nil {
		if err := validWindow(rb.Window); err != nil {
			return err
		}
	}
	v := validator{registry: r, seen: map[string]bool{}}
	return v.steps("steps", rb.Steps, 0)
}

func validateInputs(list []engine.RunbookInput) error {
	seen := map[string]bool{}
	for i, in := range list {
		path := fmt.Sprintf("inputs[%d]", i)
		if !regexp.MustCompile(`^[a-z][A-Za-z0-9]{0,40}$`).MatchString(in.Name) || seen[in.Name] {
			return badRunbook(path, "输入的名称应以小写字母开头、不重复。", "an input's name begins with a lower-case letter and is unique.")
		}
		seen[in.Name] = true
		if !slices.Contains([]string{"string", "int", "bool", "duration", "list", "target", "secret"}, in.Type) {
			return badRunbook(path+".type", "输入类型应为 string、int、bool、duration、list、target 或 secret。", "an input is a string, int, bool, duration, list, target or secret.")
		}
		if in.Title.ZH == "" || in.Title.EN == "" {
			return badRunbook(path+".title", "需要中文和英文名称。", "it needs a Chinese and an English title.")
		}
		if in.Pattern != "" {
			if _, err := regexp.Compile(in.Pattern); err != nil {
				return badRunbook(path+".pattern", "正则表达式有误："+err.Error(), "the expression is wrong: "+err.Error())
			}
		}
		if in.Default != nil {
			if _, err := checkInput(in, in.Default); err != nil {
				return err
			}
		}
	}
	return nil
}

type validator struct {
	registry *Registry
	seen     map[string]bool
}

func (v *validator) steps(path string, list []engine.RunbookStep, depth int) error {
	if depth > maxDepth {
		return badRunbook(path, "块套得太深，最多 8 层。", "its blocks are nested more than 8 deep.")
	}
	for i := range list {
		if err := v.step(fmt.Sprintf("%s[%d]", path, i), &list[i], depth); err != nil {
			return err
		}
	}
	return nil
}

func (v *validator) step(path string, s *engine.RunbookStep, depth int) error {
	if !names.MatchString(s.ID) || v.seen[s.ID] {
		return badRunbook(path+".id", "步骤要有不重复的标识（小写字母、数字、连字符）："+s.ID, "a step needs a unique id of lower-case letters, digits and hyphens: "+s.ID)
	}
	if v.seen[s.ID] = true; len(v.seen) > maxSteps {
		return badRunbook(path, "步骤太多，最多 500 步。", "it has more than 500 steps.")
	}
	bodies := 0
	for _, is := range []bool{s.Type != "", len(s.Serial) > 0, len(s.Parallel) > 0} {
		if is {
			bodies++
		}
	}
	if bodies != 1 {
		return badRunbook(path, "每一步要有 type、serial、parallel 三者之一。", "a step has one of type, serial and parallel.")
	}
	if err := validExpr(path+".if", s.If); err != nil {
		return err
	}
	if err := validExpr(path+".each", s.Each); err != nil {
		return err
	}
	if s.OnFail != "" && s.OnFail != "go-on" {
		return badRunbook(path+".onFail", "onFail 只能是 go-on。", "onFail can only be go-on.")
	}
	if s.Type == "" {
		if s.With != nil || s.Done != nil || s.Retry != nil || s.Undo != nil || s.Assert != nil || s.Approve != nil || s.Repeat != "" || s.Timeout != "" {
			return badRunbook(path, "块只能有 if、each、target 和 onFail；其余写在块里的步骤上。", "a block takes if, each, target and onFail only; the rest belongs to the steps inside.")
		}
		if err := v.steps(path+".serial", s.Serial, depth+1); err != nil {
			return err
		}
		return v.steps(path+".parallel", s.Parallel, depth+1)
	}
	return v.leaf(path, s)
}

func (v *validator) leaf(path string, s *engine.RunbookStep) error {
	t, err := v.registry.check(path, s.Type, s.With)
	if err != nil {
		return err
	}
	if err := validTemplate(path+".target", s.Target); err != nil {
		return err
	}
	if s.Repeat != "" && s.Repeat != "safe" && s.Repeat != "unsafe" {
		return badRunbook(path+".repeat", "repeat 只能是 safe 或 unsafe。", "repeat is safe or unsafe.")
	}
	if d := s.Done; d != nil {
		look, err := v.registry.check(path+".done", d.Type, d.With)
		if err != nil {
			return err
		}
		if !look.safe(d.With) && !look.Exact {
			return badRunbook(path+".done", "done 只能用只查看的步骤类型。", "done takes a step type that only looks.")
		}
		if d.If == "" {
			return badRunbook(path+".done.if", "done 要写明怎样算已完成。", "done must say when it has happened.")
		}
		if err := validExpr(path+".done.if", d.If); err != nil {
			return err
		}
	}
	for i, a := range s.Assert {
		at := fmt.Sprintf("%s.assert[%d]", path, i)
		if a.If == "" || a.Say.ZH == "" || a.Say.EN == "" {
			return badRunbook(at, "断言要有条件，以及不成立时的中英文说明。", "an assertion needs a condition and what is said in both languages where it does not hold.")
		}
		if err := validExpr(at+".if", a.If); err != nil {
			return err
		}
	}
	if r := s.Retry; r != nil {
		if r.Times < 1 || r.Times > 100 {
			return badRunbook(path+".retry.times", "重试次数为 1–100。", "a step is retried 1–100 times.")
		}
		if !repeatable(t, s) && s.Done == nil {
			return badRunbook(path+".retry", "重复做不安全的步骤不能重试，除非有 done 查看它是否已完成。", "a step that is unsafe to repeat cannot be retried without done, which looks whether it has happened.")
		}
		if err := validLength(path+".retry.wait", r.Wait); err != nil {
			return err
		}
		if err := validLength(path+".retry.most", r.Most); err != nil {
			return err
		}
	}
	if err := validLength(path+".timeout", s.Timeout); err != nil {
		return err
	}
	if err := validApproval(path+".approve", s.Approve); err != nil {
		return err
	}
	if u := s.Undo; u != nil {
		if u.ID != "" || u.Undo != nil || u.Type == "" || u.Each != "" || u.Approve != nil {
			return badRunbook(path+".undo", "undo 是一个简单步骤，没有 id、undo、each 和 approve。", "undo is a plain step without id, undo, each and approve.")
		}
		named := *u
		named.ID = "undo-" + s.ID
		if len(named.ID) > 63 {
			named.ID = named.ID[:63]
		}
		return v.step(path+".undo", &named, 0)
	}
	return nil
}

// repeatable tells whether doing the step again does no harm.
func repeatable(t *Type, s *engine.RunbookStep) bool {
	switch s.Repeat {
	case "safe":
		return true
	case "unsafe":
		return false
	}
	return t.safe(s.With)
}

func validExpr(path, src string) error {
	if src == "" {
		return nil
	}
	if _, err := expr.Compile(src); err != nil {
		return badRunbook(path, errs.Sentence(err, "zh"), errs.Sentence(err, "en")).Because(err)
	}
	return nil
}

func validLength(path, s string) error {
	if s == "" {
		return nil
	}
	if d, err := time.ParseDuration(s); err != nil || d <= 0 || d > 7*24*time.Hour {
		return badRunbook(path, "时长应写作 30s、5m、2h，且不超过 168h。", "a length of time reads 30s, 5m or 2h and is at most 168h.")
	}
	return nil
}

// length reads a validated length of time.
func length(s string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return d
	}
	return otherwise
}

func validApproval(path string, a *engine.StepApproval) error {
	if a == nil {
		return nil
	}
	if a.Role == "" {
		return badRunbook(path+".role", "审批要写明由哪个角色批准。", "an approval names the role that gives it.")
	}
	return validLength(path+".within", a.Within)
}

// Inputs fills in and checks what a run is given against what its runbook asks
// for. Invalid naming the input.
func Inputs(rb engine.Runbook, given map[string]any) (map[string]any, error) {
	out := map[string]any{}
	for name := range maps.Keys(given) {
		if !slices.ContainsFunc(rb.Inputs, func(in engine.RunbookInput) bool { return in.Name == name }) {
			return nil, badInput(name, "手册没有输入 "+name+"。", "the runbook takes no input "+name+".")
		}
	}
	for _, in := range rb.Inputs {
		v, there := given[in.Name]
		if !there || v == nil || v == "" {
			v = in.Default
		}
		if v == nil {
			if in.Required {
				return nil, badInput(in.Name, "请填写“"+in.Title.ZH+"”。", "please give “"+in.Title.EN+"”.")
			}
			v = map[string]any{"int": int64(0), "bool": false, "list": []any{}}[in.Type]
			if v == nil {
				v = ""
			}
			out[in.Name] = v
			continue
		}
		checked, err := checkInput(in, v)
		if err != nil {
			return nil, err
		}
		out[in.Name] = checked
	}
	return out, nil
}

func badInput(name, zh, en string) *errs.Error {
	return errs.E(errs.Invalid, "inputs", name, "输入有误："+zh, "An input is wrong: "+en).At("inputs." + name)
}

// checkInput reads one value. Text stands for the other types too, since rules
// and pages hand over text.
func checkInput(in engine.RunbookInput, v any) (any, error) {
	bad := func(zh, en string) error {
		return badInput(in.Name, "“"+in.Title.ZH+"”"+zh, "“"+in.Title.EN+"” "+en)
	}
	switch in.Type {
	case "int":
		n, err := json.Number(strings.TrimSpace(fmt.Sprint(v))).Int64()
		if err != nil || in.Min != nil && n < *in.Min || in.Max != nil && n > *in.Max {
			return nil, bad("应为范围内的整数。", "must be a whole number within its bounds.")
		}
		return n, nil
	case "bool":
		switch fmt.Sprint(v) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, bad("应为 true 或 false。", "must be true or false.")
	case "list":
		list, ok := v.([]any)
		if s, text := v.(string); text {
			for part := range strings.SplitSeq(s, ",") {
				list = append(list, strings.TrimSpace(part))
			}
			ok = true
		}
		if !ok || len(list) > 10_000 {
			return nil, bad("应为列表。", "must be a list.")
		}
		for _, e := range list {
			if _, ok := e.(string); !ok {
				return nil, bad("的每一项应为文字。", "must hold text only.")
			}
		}
		return list, nil
	}
	s, ok := v.(string)
	if n, number := v.(json.Number); number {
		s, ok = string(n), true
	}
	if !ok || len(s) > 4000 || strings.ContainsRune(s, 0) {
		return nil, bad("应为文字，不超过 4000 字节。", "must be text of at most 4000 bytes.")
	}
	if in.Type == "duration" {
		if d, err := time.ParseDuration(s); err != nil || d < 0 {
			return nil, bad("应为时长，例如 30s、5m。", "must be a length of time, such as 30s or 5m.")
		}
	}
	if len(in.Options) > 0 && !slices.Contains(in.Options, s) {
		return nil, bad("应为 "+strings.Join(in.Options, "、")+" 之一。", "must be one of "+strings.Join(in.Options, ", ")+".")
	}
	if in.Pattern != "" {
		if re, err := regexp.Compile("^(?:" + in.Pattern + ")$"); err != nil || !re.MatchString(s) {
			return nil, bad("的格式不对，应符合 "+in.Pattern+"。", "must match "+in.Pattern+".")
		}
	}
	return s, nil
}
