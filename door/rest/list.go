package rest

import (
	"net/http"
	"strings"

	"zhiwei/kernel/access"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
)

// list answers a page of records that match.
func (d *Door) list(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	q, err := d.query(k, r)
	if err != nil {
		return err
	}
	page, err := d.kernel.Search(r.Context(), p, q)
	if err != nil {
		return err
	}
	size := 64
	for i := range page.Records {
		size += 512 + len(page.Records[i].Data)
	}
	b := append(make([]byte, 0, size), `{"items":[`...)
	for i := range page.Records {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendRecord(b, &page.Records[i]), '}')
	}
	total := int64(-1)
	if q.Total {
		total = page.Total
	}
	return answerBytes(w, r, http.StatusOK, appendNext(b, page.Next, total))
}

// stats answers how many records are in each state and how many are past their
// time, of those that match.
func (d *Door) stats(k *kind.Kind, w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	q, err := d.query(k, r)
	if err != nil {
		return err
	}
	if q.After != "" || len(q.Sort) > 0 {
		return invalid("sort", "统计不接受排序和分页。", "Statistics take neither order nor pages.")
	}
	count := func(more ...search.Clause) (int64, error) {
		ask := search.Query{Kind: k.Name, Where: append(append([]search.Clause{}, q.Where...), more...), Limit: 1, Total: true}
		page, err := d.count(r, p, ask)
		return page, err
	}
	type one struct {
		State string `json:"state"`
		Count int64  `json:"count"`
	}
	out := struct {
		States  []one `json:"states"`
		Overdue int64 `json:"overdue"`
	}{States: []one{}}
	for _, s := range k.Lifecycle.States {
		n, err := count(search.Clause{Param: search.ParamState, Any: []search.Value{{AnySystem: true, Code: s.Name}}})
		if err != nil {
			return err
		}
		out.States = append(out.States, one{s.Name, n})
	}
	now := search.Millis(d.clock.Now())
	if out.Overdue, err = count(search.Clause{Param: search.ParamNext, Any: []search.Value{{Compare: search.Lt, Lo: now, Hi: now + 1}}}); err != nil {
		return err
	}
	return answer(w, r, http.StatusOK, out)
}

// count asks for a total alone: nothing of any record is disclosed by it.
func (d *Door) count(r *http.Request, p *identity.Principal, q search.Query) (int64, error) {
	page, err := d.kernel.Search(silent(r.Context()), p, q)
	return page.Total, err
}

// counts answers the number of visible records of each kind.
func (d *Door) counts(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r); err != nil {
		return err
	}
	n, err := d.kernel.Counts(r.Context(), p)
	if err != nil {
		return err
	}
	for name := range n {
		if !d.kernel.Rules().MayEver(p, name, "read") {
			delete(n, name)
		}
	}
	return answer(w, r, http.StatusOK, n)
}

// How many hits the search across kinds gives for each kind, and in all.
const (
	hitsOfKind = 5
	hitsInAll  = 50
)

// searchAll looks for text across the kinds that pages show, in the parameter
// that names each kind's records. kind=a,b asks of those kinds alone.
func (d *Door) searchAll(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r, "q", "kind"); err != nil {
		return err
	}
	text := strings.TrimSpace(r.URL.Query().Get("q"))
	items := []found{}
	if search.Fold(text) == "" {
		return answer(w, r, http.StatusOK, map[string]any{"items": items})
	}
	var only []string
	if s := r.URL.Query().Get("kind"); s != "" {
		only = strings.Split(s, ",")
		for _, name := range only {
			if d.kernel.Registry().Find(name) == nil {
				return invalid("kind", "没有名为 "+name+" 的类别。", "There is no kind named "+name+".")
			}
		}
	}
	asked := d.searchable(p, only)
	for _, k := range asked {
		where, err := d.words(k, text)
		if err != nil {
			return err
		}
		page, err := d.kernel.Search(r.Context(), p, search.Query{Kind: k.Name, Where: where, Limit: hitsOfKind})
		if errs.Is(err, errs.Unavailable) && r.Context().Err() == nil {
			continue // its index is being built; the others still answer
		}
		if err != nil {
			return err
		}
		for i := range page.Records {
			items = append(items, found{Kind: k.Name, ID: page.Records[i].ID, Title: title(k, &page.Records[i])})
		}
		if len(items) >= hitsInAll {
			break
		}
	}
	return answer(w, r, http.StatusOK, map[string]any{"items": items})
}

// searchable are the kinds whose records p may find by text: those named, else
// those in the menu.
func (d *Door) searchable(p *identity.Principal, only []string) []*kind.Kind {
	var out []*kind.Kind
	for _, k := range d.kernel.Registry().Kinds() {
		wanted := k.View.Menu != "" && len(only) == 0
		for _, name := range only {
			wanted = wanted || name == k.Name
		}
		param := textParam(k)
		if !wanted || param == nil || !d.kernel.Rules().MayEver(p, k.Name, "read") {
			continue
		}
		hidden := false
		for _, f := range access.HiddenFields(p, k) {
			hidden = hidden || param.Path == f || strings.HasPrefix(param.Path, f+".")
		}
		if !hidden {
			out = append(out, k)
		}
	}
	return out
}
