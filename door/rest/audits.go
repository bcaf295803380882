package rest

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/search"
)

// audits answers audit entries, newest first: who, action, subject (a prefix),
// patient, outcome, since, until select; limit and after page.
func (d *Door) audits(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
	if err := onlyParams(r, "who", "action", "subject", "patient", "outcome", "since", "until", "limit", "after"); err != nil {
		return err
	}
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	v := r.URL.Query()
	q := audit.Query{Who: v.Get("who"), Action: v.Get("action"), Subject: v.Get("subject"), Patient: v.Get("patient"), Outcome: audit.Outcome(v.Get("outcome")), Limit: limit}
	if q.Outcome != "" && !slices.Contains([]audit.Outcome{audit.OK, audit.Refused, audit.Failed}, q.Outcome) {
		return invalid("outcome", "outcome 应为 ok、refused 或 failed。", "outcome is ok, refused or failed.")
	}
	for name, at := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		s := v.Get(name)
		if s == "" {
			continue
		}
		lo, hi, err := search.Period(s, d.kernel.Parser().Zone)
		if err != nil {
			return err
		}
		*at = time.UnixMilli(lo).UTC()
		if name == "until" { // a date means to its end
			*at = time.UnixMilli(hi).UTC()
		}
	}
	if s := v.Get("after"); s != "" {
		if q.Before, err = strconv.ParseInt(s, 10, 64); err != nil || q.Before < 1 {
			return invalid("after", "after 应为上一页给出的 next。", "after must be the next of the page before.")
		}
	}
	entries, err := d.kernel.Store().Audits(r.Context(), q)
	if err != nil {
		return err
	}
	out := struct {
		Items []audit.Entry `json:"items"`
		Next  *string       `json:"next"`
	}{Items: entries}
	if out.Items == nil {
		out.Items = []audit.Entry{}
	}
	if len(entries) == limit {
		next := strconv.FormatInt(entries[len(entries)-1].Seq, 10)
		out.Next = &next
	}
	audit.TrailOf(r.Context()).Note(strconv.Itoa(len(entries)) + " entries")
	return answer(w, r, http.StatusOK, out)
}
