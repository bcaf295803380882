package fhirpath

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"regexp"
	resyntax "regexp/syntax"
	"strings"
	"unicode/utf8"
)

// Bounds on a regular expression: its bytes, and the instructions it compiles
// to. RE2 takes time linear in the text, but in proportion to the instructions,
// so both are charged for.
const (
	maxPattern      = 2 << 10
	maxInstructions = 20_000
	patternCost     = 5_000 // steps for compiling a pattern that is no literal
)

// texts are the functions of N1, "String Manipulation". Places count
// characters, not bytes.
var texts = map[string]*function{
	"indexOf": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		return r.find(c, in, strings.Index)
	}},
	"lastIndexOf": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		return r.find(c, in, strings.LastIndex)
	}},
	"substring": {min: 1, max: 2, eval: func(r *run, c *callNode, in Collection) *Error {
		s, ok, err := textIn(c, in)
		if err != nil || !ok {
			return err
		}
		from, ok, err := r.wholeArg(c, 0)
		if err != nil || !ok || from < 0 {
			return err
		}
		n, limited, err := r.wholeArg(c, 1)
		if err != nil {
			return err
		}
		i := 0
		for ; from > 0 && i < len(s); from-- {
			_, w := utf8.DecodeRuneInString(s[i:])
			i += w
		}
		if i >= len(s) {
			return nil
		}
		s = s[i:]
		if limited {
			i = 0
			for ; n > 0 && i < len(s); n-- {
				_, w := utf8.DecodeRuneInString(s[i:])
				i += w
			}
			s = s[:i]
		}
		return r.pushText(s)
	}},
	"startsWith": {min: 1, max: 1, probe: compareText(strings.HasPrefix)},
	"endsWith":   {min: 1, max: 1, probe: compareText(strings.HasSuffix)},
	"contains":   {min: 1, max: 1, probe: compareText(strings.Contains)},
	"upper":      {eval: mapText(func(s string) (string, bool) { return strings.ToUpper(s), true })},
	"lower":      {eval: mapText(func(s string) (string, bool) { return strings.ToLower(s), true })},
	"trim":       {eval: mapText(func(s string) (string, bool) { return strings.TrimSpace(s), true })},
	"length": {eval: func(r *run, c *callNode, in Collection) *Error {
		s, ok, err := textIn(c, in)
		if err != nil || !ok {
			return err
		}
		r.push(integer(int64(utf8.RuneCountInString(s))))
		return nil
	}},
	"toChars": {eval: func(r *run, c *callNode, in Collection) *Error {
		s, ok, err := textIn(c, in)
		if err != nil || !ok {
			return err
		}
		if err := r.charge(len(s)); err != nil {
			return err
		}
		for len(s) > 0 {
			_, w := utf8.DecodeRuneInString(s)
			r.push(Text(s[:w]))
			s = s[w:]
		}
		return nil
	}},
	"replace": {min: 2, max: 2, eval: func(r *run, c *callNode, in Collection) *Error {
		s, ok, err := textIn(c, in)
		if err != nil || !ok {
			return err
		}
		old, ok, err := r.textArg(c, 0)
		if err != nil || !ok {
			return err
		}
		with, ok, err := r.textArg(c, 1)
		if err != nil || !ok {
			return err
		}
		if n := strings.Count(s, old); len(s)+n*(len(with)-len(old)) > maxText {
			return tooLong()
		}
		return r.pushText(strings.ReplaceAll(s, old, with))
	}},
	"matches":     {min: 1, max: 1, probe: matches("(?s)", ""), prepare: constantPattern("(?s)", "")},
	"matchesFull": {min: 1, max: 1, probe: matches("(?s)^(?:", ")$"), prepare: constantPattern("(?s)^(?:", ")$")},
	"replaceMatches": {min: 2, max: 2, prepare: constantPattern("(?s)", ""), eval: func(r *run, c *callNode, in Collection) *Error {
		s, ok, err := textIn(c, in)
		if err != nil || !ok {
			return err
		}
		p, ok, err := r.pattern(c, "(?s)", "")
		if err != nil || !ok {
			return err
		}
		with, ok, err := r.textArg(c, 1)
		if err != nil || !ok {
			return err
		}
		re := p.re
		if p.src == "" { // an empty pattern replaces nothing
			return r.pushText(s)
		}
		if err := r.charge(p.cost(len(s))); err != nil {
			return err
		}
		if (len(s)+1)*(len(with)+1) > maxText && len(re.FindAllStringIndex(s, maxText/(len(with)+1)+1))*len(with) > maxText {
			return tooLong()
		}
		out := re.ReplaceAllString(s, groups.ReplaceAllString(with, "$${$1}"))
		if len(out) > maxText {
			return tooLong()
		}
		return r.pushText(out)
	}},
	"encode": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		return r.recode(c, in, func(s, how string) (string, bool) {
			switch how {
			case "hex":
				return hex.EncodeToString([]byte(s)), true
			case "base64":
				return base64.StdEncoding.EncodeToString([]byte(s)), true
			case "urlbase64":
				return base64.URLEncoding.EncodeToString([]byte(s)), true
			}
			return "", false
		})
	}},
	"decode": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		return r.recode(c, in, func(s, how string) (string, bool) {
			var b []byte
			var err error
			switch how {
			case "hex":
				b, err = hex.DecodeString(s)
			case "base64":
				b, err = base64.StdEncoding.DecodeString(s)
			case "urlbase64":
				b, err = base64.URLEncoding.DecodeString(s)
			default:
				return "", false
			}
			return string(b), err == nil && utf8.Valid(b)
		})
	}},
	"escape": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		return r.recode(c, in, func(s, how string) (string, bool) {
			switch how {
			case "html":
				return htmlEscapes.Replace(s), true
			case "json":
				return jsonEscape(s), true
			}
			return "", false
		})
	}},
	"unescape": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		return r.recode(c, in, func(s, how string) (string, bool) {
			switch how {
			case "html":
				return html.UnescapeString(s), true
			case "json":
				var out string
				err := json.Unmarshal([]byte(`"`+bareQuotes.ReplaceAllString(s, `$1\"`)+`"`), &out)
				return out, err == nil
			}
			return "", false
		})
	}},
	"split": {min: 1, max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		s, ok, err := textIn(c, in)
		if err != nil || !ok {
			return err
		}
		by, ok, err := r.textArg(c, 0)
		if err != nil || !ok {
			return err
		}
		if err := r.charge(len(s)); err != nil {
			return err
		}
		for _, part := range strings.Split(s, by) {
			r.push(Text(part))
		}
		return nil
	}},
	"join": {max: 1, eval: func(r *run, c *callNode, in Collection) *Error {
		by, _, err := r.textArg(c, 0)
		if err != nil || len(in) == 0 {
			return err
		}
		var b strings.Builder
		for i := range in {
			s, ok, err := textIn(c, in[i:i+1])
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if i > 0 {
				b.WriteString(by)
			}
			b.WriteString(s)
			if b.Len() > maxText {
				return tooLong()
			}
		}
		return r.pushText(b.String())
	}},
}

var (
	htmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;")
	// groups are references to groups as FHIRPath writes them, ${name} or $1.
	groups = regexp.MustCompile(`\$\{?(\w+)\}?`)
	// bareQuotes are quotes that nothing escapes: unescaping takes them as they are.
	bareQuotes = regexp.MustCompile(`((?:^|[^\\])(?:\\\\)*)"`)
)

func jsonEscape(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(s) != nil {
		return s
	}
	out := b.String()
	return out[1 : len(out)-2] // without the quotes and the line feed
}

func (r *run) pushText(s string) *Error {
	r.push(Text(s))
	return r.chargeText(len(s))
}

func (r *run) find(c *callNode, in Collection, index func(s, sub string) int) *Error {
	s, ok, err := textIn(c, in)
	if err != nil || !ok {
		return err
	}
	sub, ok, err := r.textArg(c, 0)
	if err != nil || !ok {
		return err
	}
	i := index(s, sub)
	if i > 0 {
		i = utf8.RuneCountInString(s[:i])
	}
	r.push(integer(int64(i)))
	return nil
}

func compareText(test func(s, part string) bool) func(*run, *callNode, Collection) (truth, *Error) {
	return func(r *run, c *callNode, in Collection) (truth, *Error) {
		s, ok, err := textIn(c, in)
		if err != nil || !ok {
			return unknown, err
		}
		part, ok, err := r.textArg(c, 0)
		if err != nil || !ok {
			return unknown, err
		}
		return truthOf(test(s, part)), r.charge(len(s) / 64)
	}
}

func mapText(f func(string) (string, bool)) func(*run, *callNode, Collection) *Error {
	return func(r *run, c *callNode, in Collection) *Error {
		s, ok, err := textIn(c, in)
		if err != nil || !ok {
			return err
		}
		if s, ok = f(s); !ok {
			return nil
		}
		return r.pushText(s)
	}
}

func (r *run) recode(c *callNode, in Collection, f func(s, how string) (string, bool)) *Error {
	s, ok, err := textIn(c, in)
	if err != nil || !ok {
		return err
	}
	how, ok, err := r.textArg(c, 0)
	if err != nil || !ok {
		return err
	}
	if s, ok = f(s, how); !ok {
		return nil
	}
	if len(s) > maxText {
		return tooLong()
	}
	return r.pushText(s)
}

// compiledPattern is a regular expression and the text it was made of.
type compiledPattern struct {
	src  string
	re   *regexp.Regexp
	size int // instructions
}

// cost is the steps of running it over n bytes.
func (p *compiledPattern) cost(n int) int { return 1 + n/16 + n*p.size/1000 }

// constantPattern compiles a pattern that is a literal together with the
// expression, and refuses one that cannot be.
func constantPattern(before, after string) func(*callNode) *Error {
	return func(c *callNode) *Error {
		l, ok := c.args[0].(*literalNode)
		if !ok {
			return nil
		}
		s, ok := l.v.text()
		if !ok {
			return nil
		}
		p, err := compilePattern(s, before, after)
		c.re.Store(p)
		return err
	}
}

func compilePattern(s, before, after string) (*compiledPattern, *Error) {
	tooLarge := execution("正则表达式 “"+clip(s)+"” 过大。", "The regular expression "+clip(s)+" is too large.")
	if len(s) > maxPattern {
		return nil, tooLarge
	}
	parsed, err := syntaxOf(before + s + after)
	if err != nil {
		return nil, execution("正则表达式 “"+clip(s)+"” 有误（不支持环视和反向引用）。",
			"The regular expression "+clip(s)+" cannot be read; look-around and back references are not supported.")
	}
	if len(parsed.Inst) > maxInstructions {
		return nil, tooLarge
	}
	re, err := regexp.Compile(before + s + after)
	if err != nil {
		return nil, tooLarge
	}
	return &compiledPattern{s, re, len(parsed.Inst)}, nil
}

func syntaxOf(s string) (*resyntax.Prog, error) {
	tree, err := resyntax.Parse(s, resyntax.Perl)
	if err != nil {
		return nil, err
	}
	return resyntax.Compile(tree.Simplify())
}

// pattern is the first argument, compiled; the last pattern is remembered.
func (r *run) pattern(c *callNode, before, after string) (*compiledPattern, bool, *Error) {
	s, ok, err := r.textArg(c, 0)
	if err != nil || !ok {
		return nil, false, err
	}
	if have := c.re.Load(); have != nil && have.src == s {
		return have, true, nil
	}
	if err := r.charge(patternCost); err != nil {
		return nil, false, err
	}
	p, err := compilePattern(s, before, after)
	if err != nil {
		return nil, false, err
	}
	c.re.Store(p)
	return p, true, nil
}

func matches(before, after string) func(*run, *callNode, Collection) (truth, *Error) {
	return func(r *run, c *callNode, in Collection) (truth, *Error) {
		s, ok, err := textIn(c, in)
		if err != nil || !ok {
			return unknown, err
		}
		p, ok, err := r.pattern(c, before, after)
		if err != nil || !ok {
			return unknown, err
		}
		if err := r.charge(p.cost(len(s))); err != nil {
			return unknown, err
		}
		return truthOf(p.re.MatchString(s)), nil
	}
}
