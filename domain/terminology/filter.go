package terminology

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"zhiwei/domain/terminology/internal/content"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/search"
)

// maxRegex is the longest regular expression a filter may have. RE2 runs in
// time linear in the text, so length is all there is to bound.
const maxRegex = 1000

// condition is one filter of a value set, ready to be asked.
type condition func(ctx context.Context, h holding, c *Concept) (bool, error)

// all tells whether every condition holds of a concept.
func all(ctx context.Context, conditions []condition, h holding, c *Concept) (bool, error) {
	for _, f := range conditions {
		if ok, err := f(ctx, h, c); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// compile reads the filters of an include (FHIR R4 filter-operator). Invalid
// where one is not known.
func compile(in *content.Include) ([]condition, error) {
	var out []condition
	for _, f := range in.Filters {
		c, err := compileOne(f)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func compileOne(f content.Filter) (condition, error) {
	value := f.Value
	climb := func(test func(h holding, c *Concept) bool) (condition, error) {
		return func(_ context.Context, h holding, c *Concept) (bool, error) { return test(h, c), nil }, nil
	}
	look := func(test func(values []string) bool) (condition, error) {
		return func(ctx context.Context, h holding, c *Concept) (bool, error) {
			list, err := values(ctx, h, c, f.Property)
			return err == nil && test(list), err
		}, nil
	}
	switch f.Op {
	case "is-a":
		return climb(func(h holding, c *Concept) bool { return h.isA(c, value) })
	case "descendent-of":
		return climb(func(h holding, c *Concept) bool { return c.Code != value && h.isA(c, value) })
	case "is-not-a":
		return climb(func(h holding, c *Concept) bool { return !h.isA(c, value) })
	case "generalizes":
		return func(ctx context.Context, h holding, c *Concept) (bool, error) {
			if c.Code == value {
				return true, nil
			}
			low, err := h.find(ctx, value)
			return err == nil && low != nil && h.isA(low, c.Code), err
		}, nil
	case "=":
		return look(func(list []string) bool { return slices.Contains(list, value) })
	case "in", "not-in":
		want := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		in := f.Op == "in"
		return look(func(list []string) bool {
			return slices.ContainsFunc(list, func(v string) bool { return slices.Contains(want, v) }) == in
		})
	case "exists":
		want, err := strconv.ParseBool(value)
		if err != nil {
			return nil, badFilter(f, "exists 的值只能是 true 或 false。", "exists takes true or false.")
		}
		return look(func(list []string) bool { return (len(list) > 0) == want })
	case "regex":
		if len(value) > maxRegex {
			return nil, badFilter(f, "正则表达式超过 1,000 个字符。", "The regular expression is longer than 1,000 characters.")
		}
		re, err := regexp.Compile(`^(?:` + value + `)$`)
		if err != nil {
			return nil, badFilter(f, "正则表达式无法识别（支持 RE2 语法）。", "The regular expression cannot be read; RE2 syntax is known.")
		}
		return look(func(list []string) bool { return slices.ContainsFunc(list, re.MatchString) })
	}
	return nil, badFilter(f, "不支持的筛选操作“"+f.Op+"”。", "The filter operator "+f.Op+" is not known.")
}

func badFilter(f content.Filter, zh, en string) error {
	return errs.E(errs.Invalid, "terminology", f.Property+" "+f.Op+" "+f.Value, zh, en).At("ValueSet.compose.include.filter")
}

// values are what a concept says of a property. Beside the properties of the
// system those of everyConcept are known of every concept.
func values(ctx context.Context, h holding, c *Concept, property string) ([]string, error) {
	one := func(s string) ([]string, error) {
		if s == "" {
			return nil, nil
		}
		return []string{s}, nil
	}
	var out []string
	for _, p := range c.Properties {
		if p.Code == property {
			out = append(out, p.Value)
			if _, code, ok := strings.Cut(p.Value, "|"); ok && p.Type == "Coding" {
				out = append(out, code)
			}
		}
	}
	if out != nil {
		return out, nil
	}
	switch property {
	case "concept", "code":
		return one(c.Code)
	case "display":
		return one(c.Display)
	case "definition":
		return one(h.definition(c))
	case "parent":
		return c.Parents, nil
	case "child":
		return h.children(ctx, c.Code, maxChildren)
	case "inactive":
		return one(strconv.FormatBool(c.Inactive))
	case "notSelectable":
		return one(strconv.FormatBool(c.Abstract))
	}
	return nil, nil
}

// maxChildren is how many codes below one are told.
const maxChildren = 1000

// narrow moves into the selection what a holding can find by its index. The
// conditions are asked all the same.
func narrow(s *selection, filters []content.Filter) {
	for _, f := range filters {
		switch {
		case f.Op == "is-a" && s.under == "":
			s.under = f.Value
		case f.Op == "descendent-of" && s.under == "":
			s.under, s.below = f.Value, true
		case f.Op == "=" && f.Property == "parent" && s.parent == "":
			s.parent = f.Value
		case f.Op == "exists" && f.Property == "parent" && f.Value == "false":
			s.top = true
		case f.Op == "=" && !slices.Contains(everyConcept, f.Property) && s.property.Code == "":
			s.property = Property{Code: f.Property, Value: f.Value}
		}
	}
}

// everyConcept are the properties that every concept has without saying so.
var everyConcept = []string{"concept", "code", "display", "definition", "parent", "child", "inactive", "notSelectable"}

// fold brings what people type to the form texts are compared in.
func fold(s string) string { return search.Fold(s) }

// costly is the error of a question whose answer would take too long or be too
// long.
func costly(subject string) error {
	return &errs.Error{
		Op: "expand", Subject: subject, Kind: errs.TooLarge,
		Say: errs.Text{
			ZH: "结果过大或需要查看的概念过多；请用 filter 缩小范围，或用 count 和 offset 分页。",
			EN: "The result is too large, or too many concepts would have to be looked at; narrow it with filter, or page with count and offset.",
		},
	}
}
