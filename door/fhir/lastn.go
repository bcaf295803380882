package fhir

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"zhiwei/door/gate"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

func (d *Door) lastnRoutes() []gate.Route {
	var out []gate.Route
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		out = append(out, gate.Route{Method: method, Pattern: Prefix + "/Observation/$lastn", Permission: gate.Can("Observation", "read"), Action: "search", Handle: d.lastn, Problem: d.problem})
	}
	return out
}

// Bounds of $lastn: how many observations it looks through, and how many of one
// code may be asked for.
const (
	lastnScan = 20_000
	lastnMax  = 100
)

// lastn answers Observation/$lastn?patient=…&code=…&max=n: of each code the
// newest n (R4 Observation/$lastn). Observations are of one code where they share
// a coding, or, without any, the text.
func (d *Door) lastn(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	params, err := operationParams(r)
	if err != nil {
		return err
	}
	if err := acceptable(r, r.URL.Query()); err != nil {
		return err
	}
	most := 1
	if v := params.Get("max"); v != "" {
		if most, err = strconv.Atoi(v); err != nil || most < 1 || most > lastnMax {
			return badParameter("max", "max 应为 1 到 100 的整数。", "max is a whole number from 1 to 100.")
		}
	}
	params.Del("max")
	about := false
	for name := range params {
		about = about || paramName(name) == "patient" || paramName(name) == "subject"
	}
	if !about {
		return errs.E(errs.Invalid, "lastn", "patient", "请用 patient 或 subject 指明是谁的检查结果。", "Say by patient or subject whose observations are asked for.").At("patient")
	}
	base := d.baseURL(r)
	a, err := d.parseQuery("Observation", params.Encode(), base, false)
	if err != nil {
		return err
	}
	q := search.Query{Kind: "Observation", Where: a.query.Where, Limit: maxCount, Sort: []search.Sort{{Param: "date", Desc: true}}}
	out := newBundleStream(w, r, base)
	taken := map[string]*int{} // by each coding of a group
	for seen := 0; ; {
		// What is looked through is not what is shown.
		page, err := d.k.Search(audit.WithTrail(r.Context(), nil), p, q)
		if err != nil {
			return err
		}
		for i := range page.Records {
			if !newest(taken, &page.Records[i], most) {
				continue
			}
			audit.TrailOf(r.Context()).Read(subjectOf(&page.Records[i]))
			if err := out.entry(&page.Records[i], "match"); err != nil {
				return err
			}
		}
		if seen += len(page.Records); page.Next == "" {
			break
		}
		if seen >= lastnScan {
			return errs.E(errs.TooLarge, "lastn", "Observation", "符合条件的检查结果太多；请用 code、category 或 date 缩小范围。", "Too many observations match; narrow them by code, category or date.")
		}
		q.After = page.Next
	}
	self := url.Values{}
	for _, kv := range a.self {
		self.Add(kv.key, kv.value)
	}
	self.Set("max", strconv.Itoa(most))
	return out.end(int64(out.n), appendLink(nil, "self", base+"/Observation/$lastn", self))
}

// newest tells whether an observation is among the newest of its code, and counts
// it. An observation of several codings counts for the group of the first that is
// known, and lends its others to that group.
func newest(taken map[string]*int, rec *record.Record, most int) bool {
	var o struct {
		Code struct {
			Coding []struct{ System, Code string }
			Text   string
		}
	}
	if err := json.Unmarshal(rec.Data, &o); err != nil {
		return false // what is stored was checked when it was written
	}
	var names []string
	for _, c := range o.Code.Coding {
		names = append(names, strings.TrimSpace(c.System)+"|"+strings.TrimSpace(c.Code))
	}
	if names == nil {
		names = []string{"text:" + o.Code.Text}
	}
	var n *int
	for _, name := range names {
		if taken[name] != nil {
			n = taken[name]
			break
		}
	}
	if n == nil {
		n = new(int)
	}
	for _, name := range names {
		if taken[name] == nil {
			taken[name] = n
		}
	}
	*n++
	return *n <= most
}
