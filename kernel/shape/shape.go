// Package shape is the native format of kinds that declare fields: it reads,
// checks and indexes their documents. Kinds with a foreign Format bring their
// own.
package shape

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/apd/v3"

	"zhiwei/kernel/calendar"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// Bounds of one native document. Larger content belongs in the blob store.
const (
	MaxBytes   = 4 << 20
	MaxDepth   = 32
	MaxItems   = 10_000 // of one list
	maxString  = 4_000
	maxText    = 100_000
	maxInteger = 1 << 53 // what every JSON reader can hold exactly
)

// Format is the native format.
type Format struct{}

func invalid(path, zh, en string) error {
	return errs.E(errs.Invalid, "check", path, zh, en).At(path)
}

// Parse reads raw as a document of k, fills in defaults, and checks it. It
// fails with Invalid or TooLarge and the path of what is wrong.
func (Format) Parse(k *kind.Kind, raw []byte) (map[string]any, []byte, error) {
	doc, err := Object(raw)
	if err != nil {
		return nil, nil, err
	}
	fill(k.Fields, doc)
	if err := fields(k.Fields, doc, ""); err != nil {
		return nil, nil, err
	}
	out, err := Format{}.Encode(k, doc)
	return doc, out, err
}

// Encode gives the bytes to store: compact JSON with sorted properties.
func (Format) Encode(_ *kind.Kind, doc map[string]any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return nil, errs.Wrap("encode", "document", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// Check is what Encode's result must satisfy after a verb changed a document.
func (Format) Check(k *kind.Kind, doc map[string]any) error { return fields(k.Fields, doc, "") }

// Object reads one JSON object strictly: valid UTF-8, no duplicate property, no
// NUL, bounded size and depth, nothing after it. Numbers stay json.Number.
func Object(raw []byte) (map[string]any, error) {
	if len(raw) > MaxBytes {
		return nil, errs.E(errs.TooLarge, "check", "document", "内容超过 4 MB；大文件请作为附件上传。", "The content is larger than 4 MB; upload large files as attachments.")
	}
	if !utf8.Valid(raw) {
		return nil, invalid("", "内容不是有效的 UTF-8 文本。", "The content is not valid UTF-8.")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	v, err := value(dec, "", 0)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalid("", "内容必须是一个 JSON 对象。", "The content must be one JSON object.")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, invalid("", "JSON 对象之后还有多余内容。", "There is more after the JSON object.")
	}
	return m, nil
}

func value(dec *json.Decoder, path string, depth int) (any, error) {
	broken := func(err error) error {
		return errs.E(errs.Invalid, "check", path, "JSON 格式有误，请检查括号、引号和逗号。", "The JSON is broken; check its brackets, quotes and commas.").At(path).Because(err)
	}
	if depth > MaxDepth {
		return nil, invalid(path, "JSON 嵌套过深。", "The JSON is nested too deeply.")
	}
	t, err := dec.Token()
	if err != nil {
		return nil, broken(err)
	}
	switch x := t.(type) {
	case json.Delim:
		if x == '{' {
			m := map[string]any{}
			for dec.More() {
				kt, err := dec.Token()
				if err != nil {
					return nil, broken(err)
				}
				key := kt.(string)
				sub := join(path, key)
				if _, twice := m[key]; twice {
					return nil, invalid(sub, "属性 "+key+" 出现了两次。", "The property "+key+" stands there twice.")
				}
				if m[key], err = value(dec, sub, depth+1); err != nil {
					return nil, err
				}
			}
			_, err := dec.Token()
			if err != nil {
				return nil, broken(err)
			}
			return m, nil
		}
		if x != '[' {
			return nil, broken(nil)
		}
		l := []any{}
		for dec.More() {
			if len(l) >= MaxItems {
				return nil, invalid(path, "列表超过 10000 项。", "The list has more than 10,000 items.")
			}
			e, err := value(dec, path+"["+strconv.Itoa(len(l))+"]", depth+1)
			if err != nil {
				return nil, err
			}
			l = append(l, e)
		}
		if _, err := dec.Token(); err != nil {
			return nil, broken(err)
		}
		return l, nil
	case string:
		if strings.IndexByte(x, 0) >= 0 {
			return nil, invalid(path, "文本里不能有 NUL 字符。", "Text must not hold a NUL character.")
		}
	}
	return t, nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func fill(decl []kind.Field, doc map[string]any) {
	for i := range decl {
		f := &decl[i]
		if _, there := doc[f.Name]; !there && f.Default != nil {
			doc[f.Name] = f.Default
		}
		if f.Type == kind.Object {
			switch v := doc[f.Name].(type) {
			case map[string]any:
				fill(f.Fields, v)
			case []any:
				for _, e := range v {
					if m, ok := e.(map[string]any); ok {
						fill(f.Fields, m)
					}
				}
			}
		}
	}
}

func fields(decl []kind.Field, doc map[string]any, path string) error {
	for name := range doc {
		if !slices.ContainsFunc(decl, func(f kind.Field) bool { return f.Name == name }) {
			p := join(path, name)
			return invalid(p, "没有名为 "+name+" 的字段，请删除或改正。", "There is no field named "+name+"; remove or correct it.")
		}
	}
	for i := range decl {
		f := &decl[i]
		p := join(path, f.Name)
		v, there := doc[f.Name]
		if !there || v == nil {
			delete(doc, f.Name)
			if f.Required {
				return invalid(p, "请填写“"+f.Title.In("zh")+"”。", "Please fill in “"+f.Title.In("en")+"”.")
			}
			continue
		}
		if !f.Many {
			if err := field(f, v, p); err != nil {
				return err
			}
			continue
		}
		list, ok := v.([]any)
		if !ok {
			return wrong(f, p, "列表", "a list")
		}
		if f.Required && len(list) == 0 {
			return invalid(p, "“"+f.Title.In("zh")+"”至少要有一项。", "“"+f.Title.In("en")+"” needs at least one item.")
		}
		for i, e := range list {
			if err := field(f, e, p+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
	}
	return nil
}

func wrong(f *kind.Field, path, zh, en string) error {
	return invalid(path, "“"+f.Title.In("zh")+"”应为"+zh+"。", "“"+f.Title.In("en")+"” must be "+en+".")
}

var patterns sync.Map // pattern → *regexp.Regexp

func field(f *kind.Field, v any, path string) error {
	s, isString := v.(string)
	switch f.Type {
	case kind.String, kind.Markdown, kind.Secret:
		if !isString {
			return wrong(f, path, "文本", "text")
		}
		limit := f.MaxLen
		if limit == 0 {
			limit = maxString
			if f.Type == kind.Markdown {
				limit = maxText
			}
		}
		if n := utf8.RuneCountInString(s); n > limit {
			return invalid(path, fmt.Sprintf("“%s”最多 %d 个字，现在有 %d 个。", f.Title.In("zh"), limit, n), fmt.Sprintf("“%s” holds at most %d characters; it has %d.", f.Title.In("en"), limit, n))
		}
		if f.Type == kind.String && strings.ContainsAny(s, "\n\r") {
			return wrong(f, path, "单行文本", "one line of text")
		}
		if f.Required && strings.TrimSpace(s) == "" {
			return invalid(path, "请填写“"+f.Title.In("zh")+"”。", "Please fill in “"+f.Title.In("en")+"”.")
		}
		return matches(f, s, path)
	case kind.Int:
		n, ok := v.(json.Number)
		i, err := n.Int64()
		if !ok || err != nil || i > maxInteger || i < -maxInteger {
			return wrong(f, path, "整数", "a whole number")
		}
		return bounds(f, string(n), path)
	case kind.Decimal:
		if !isString || !isDecimal(s) {
			return wrong(f, path, "以文本书写的小数，例如 \"12.50\"", "a decimal written as text, such as \"12.50\"")
		}
		return bounds(f, s, path)
	case kind.Bool:
		if _, ok := v.(bool); !ok {
			return wrong(f, path, "是或否", "true or false")
		}
	case kind.Date:
		if _, err := time.Parse(time.DateOnly, s); !isString || err != nil {
			return wrong(f, path, "日期，例如 2026-01-31", "a date such as 2026-01-31")
		}
	case kind.Time:
		if _, err := time.Parse(time.RFC3339Nano, s); !isString || err != nil {
			return wrong(f, path, "时间，例如 2026-01-31T08:00:00+08:00", "a time such as 2026-01-31T08:00:00+08:00")
		}
	case kind.Duration:
		if _, err := calendar.ParseLength(s); !isString || err != nil {
			return wrong(f, path, "时长，例如 36h 或 14d", "a duration such as 36h or 14d")
		}
	case kind.Code:
		if !isString || !slices.ContainsFunc(f.Options, func(o kind.Option) bool { return o.Code == s }) {
			var zh, en []string
			for _, o := range f.Options {
				zh, en = append(zh, o.Code+"（"+o.Title.In("zh")+"）"), append(en, o.Code)
			}
			return wrong(f, path, "以下之一："+strings.Join(zh, "、"), "one of: "+strings.Join(en, ", "))
		}
	case kind.Ref:
		k, ok := record.ParseKey(s)
		if !isString || !ok || len(f.To) > 0 && !slices.Contains(f.To, k.Kind) {
			to := strings.Join(f.To, "、")
			return wrong(f, path, "引用，格式为 类别/编号，类别为 "+to, "a reference Kind/id, Kind one of "+strings.Join(f.To, ", "))
		}
	case kind.Quantity:
		m, ok := v.(map[string]any)
		val, okV := m["value"].(string)
		_, okU := m["unit"].(string)
		if !ok || !okV || !isDecimal(val) || len(m) > 2 || len(m) == 2 && !okU {
			return wrong(f, path, "数量，例如 {\"value\":\"70.5\",\"unit\":\"kg\"}", "a quantity such as {\"value\":\"70.5\",\"unit\":\"kg\"}")
		}
		return bounds(f, val, path)
	case kind.Object:
		m, ok := v.(map[string]any)
		if !ok {
			return wrong(f, path, "一组字段", "an object")
		}
		return fields(f.Fields, m, path)
	}
	return nil
}

func isDecimal(s string) bool {
	d, _, err := apd.NewFromString(s)
	return err == nil && d.Form == apd.Finite && len(s) <= 40
}

func bounds(f *kind.Field, s, path string) error {
	d, _, err := apd.NewFromString(s)
	if err != nil {
		return wrong(f, path, "数值", "a number")
	}
	for _, b := range []struct {
		limit  string
		sign   int
		zh, en string
	}{{f.Min, -1, "不小于", "at least"}, {f.Max, 1, "不大于", "at most"}} {
		if b.limit == "" {
			continue
		}
		l, _, err := apd.NewFromString(b.limit)
		if err == nil && d.Cmp(l) == b.sign {
			return wrong(f, path, b.zh+" "+b.limit, b.en+" "+b.limit)
		}
	}
	return nil
}

func matches(f *kind.Field, s, path string) error {
	if f.Pattern == "" {
		return nil
	}
	re, ok := patterns.Load(f.Pattern)
	if !ok {
		r, err := regexp.Compile(`^(?:` + f.Pattern + `)$`)
		if err != nil {
			return errs.Wrap("check", path, err)
		}
		re, _ = patterns.LoadOrStore(f.Pattern, r)
	}
	if !re.(*regexp.Regexp).MatchString(s) {
		zh, en := "格式不对", "in the right form"
		if h := f.Help.In("zh"); h != "" {
			zh = "这样的格式：" + h
		}
		if h := f.Help.In("en"); h != "" {
			en = "like this: " + h
		}
		return wrong(f, path, zh, en)
	}
	return nil
}
