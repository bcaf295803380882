package rest

import (
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"

	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
)

// Bounds of one page.
const (
	defaultLimit = 50
	maxLimit     = 1000
	maxClauses   = 50
)

// onlyParams refuses every query parameter but those named.
func onlyParams(r *http.Request, known ...string) error {
	values, err := params(r)
	if err != nil {
		return err
	}
	for name, v := range values {
		if !slices.Contains(known, name) {
			return unknownParam(name)
		}
		if len(v) > 1 {
			return invalid(name, "参数 "+name+" 只能出现一次。", "The parameter "+name+" may stand there once.")
		}
	}
	return nil
}

func params(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("query", "查询字符串的编码有误。", "The query string is not encoded correctly.")
	}
	return values, nil
}

func unknownParam(name string) error {
	return invalid(name, "不认识的参数 "+name+"，请删除或改正。", "The parameter "+name+" is not known; remove or correct it.")
}

func limitOf(r *http.Request) (int, error) {
	s := r.URL.Query().Get("limit")
	if s == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxLimit {
		return 0, invalid("limit", "limit 应为 1 到 1000 的整数。", "limit must be a whole number from 1 to 1000.")
	}
	return n, nil
}

// query reads what is asked of a kind from the query string: its own search
// parameters with their modifiers and chains, those every kind has (_id,
// _state, _updated …), q for its first text parameter, and sort, limit, after
// and total. extra are parameters of the handler's own.
func (d *Door) query(k *kind.Kind, r *http.Request, extra ...string) (search.Query, error) {
	q := search.Query{Kind: k.Name}
	values, err := params(r)
	if err != nil {
		return q, err
	}
	if q.Limit, err = limitOf(r); err != nil {
		return q, err
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names) // the same question is always asked the same way
	for _, name := range names {
		list := values[name]
		switch name {
		case "limit", "after", "sort", "total", "q":
			if len(list) > 1 {
				return q, invalid(name, "参数 "+name+" 只能出现一次。", "The parameter "+name+" may stand there once.")
			}
		}
		switch name {
		case "limit":
		case "after":
			q.After = list[0]
		case "total":
			if list[0] != "true" && list[0] != "false" {
				return q, invalid(name, "total 只能是 true 或 false。", "total is true or false.")
			}
			q.Total = list[0] == "true"
		case "sort":
			if q.Sort, err = sorts(k, list[0]); err != nil {
				return q, err
			}
		case "q":
			c, err := d.words(k, list[0])
			if err != nil {
				return q, err
			}
			q.Where = append(q.Where, c...)
		default:
			if slices.Contains(extra, name) {
				continue
			}
			for _, v := range list {
				c, err := d.kernel.Parser().Clause(k.Name, name, v)
				if err != nil {
					return q, err
				}
				q.Where = append(q.Where, c)
			}
		}
		if len(q.Where) > maxClauses {
			return q, invalid(name, "条件太多，最多 50 个。", "There are too many conditions; 50 at most.")
		}
	}
	return q, nil
}

func sorts(k *kind.Kind, s string) ([]search.Sort, error) {
	var out []search.Sort
	for part := range strings.SplitSeq(s, ",") {
		name, desc := strings.CutPrefix(part, "-")
		p, builtin := search.Builtin(name)
		if !builtin {
			decl := k.Param(name)
			if decl == nil {
				return nil, invalid("sort", "不能按 "+name+" 排序："+k.Title.In("zh")+"没有这个查询参数。", "Sorting by "+name+" is not possible: "+k.Title.In("en")+" has no such parameter.")
			}
			p = *decl
		}
		if p.Type == kind.CompositeParam {
			return nil, invalid("sort", "不能按组合参数 "+name+" 排序。", "Sorting by the composite "+name+" is not possible.")
		}
		out = append(out, search.Sort{Param: name, Desc: desc})
	}
	return out, nil
}

// textParam is the parameter that q asks of: the one that looks at what names
// the record, else the first that looks at text.
func textParam(k *kind.Kind) *kind.Param {
	var first *kind.Param
	for i := range k.Search {
		p := &k.Search[i]
		if p.Type != kind.WordsParam && p.Type != kind.StringParam {
			continue
		}
		if p.Path == k.View.TitleField || p.Name == k.View.TitleField {
			return p
		}
		if first == nil {
			first = p
		}
	}
	return first
}

// words reads q: every word of it must be found.
func (d *Door) words(k *kind.Kind, q string) ([]search.Clause, error) {
	p := textParam(k)
	if p == nil {
		return nil, invalid("q", k.Title.In("zh")+"没有可按文字查询的参数。", k.Title.In("en")+" has no parameter to search for text.")
	}
	match := search.Starts
	if p.Type == kind.WordsParam {
		match = search.AnyWord
	}
	var out []search.Clause
	for _, word := range strings.Fields(q) {
		if search.Fold(word) == "" {
			continue
		}
		out = append(out, search.Clause{Param: p.Name, Any: []search.Value{{Text: word, Match: match}}})
	}
	return out, nil
}
