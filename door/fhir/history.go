package fhir

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// historyOfOne answers GET /fhir/Type/id/_history.
func (d *Door) historyOfOne(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	return d.history(w, r, p, key, "/"+key.String())
}

// historyOfType answers GET /fhir/Type/_history.
func (d *Door) historyOfType(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	typ, err := typeOf(r)
	if err != nil {
		return err
	}
	return d.history(w, r, p, record.Key{Kind: typ}, "/"+typ)
}

// historyOfAll answers GET /fhir/_history: the versions of all resources, and
// of nothing that is not one.
func (d *Door) historyOfAll(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	return d.history(w, r, p, record.Key{}, "")
}

// maxIdle bounds how many pages of versions that are not asked for a request
// passes over before it answers with what it has: versions of other kinds, or of
// other times than _at.
const maxIdle = 20

func (d *Door) history(w http.ResponseWriter, r *http.Request, p *identity.Principal, key record.Key, path string) error {
	query := r.URL.Query()
	if err := acceptable(r, query); err != nil {
		return err
	}
	q, at, self, err := d.historyQuery(key, query)
	if err != nil {
		return err
	}
	var page store.HistoryPage
	limit := q.Limit
	for range maxIdle {
		part, err := d.k.History(r.Context(), p, q)
		if err != nil {
			return err
		}
		for i := range part.Versions {
			v := &part.Versions[i]
			keep := clinical.IsResourceType(v.Kind)
			if keep && at != nil {
				if keep, err = d.current(r.Context(), p, v, at); err != nil {
					return err
				}
			}
			if keep {
				page.Versions = append(page.Versions, *v)
			}
		}
		page.Next, page.Total = part.Next, part.Total
		q.Before = part.Next
		if key.Kind != "" && at == nil || part.Next == "" || len(page.Versions) >= limit {
			break
		}
		q.Limit = limit - len(page.Versions)
	}
	if at != nil {
		page.Total = -1 // not counted: each version was looked at by itself
	}
	if key.ID != "" && len(page.Versions) == 0 && q.Since.IsZero() && at == nil {
		return errs.NotFoundf("history", "%s", key)
	}
	base := d.baseURL(r)
	size := 512
	for i := range page.Versions {
		size += len(page.Versions[i].Data) + 400
	}
	b := make([]byte, 0, size)
	b = append(b, `{"resourceType":"Bundle","type":"history"`...)
	if key.Kind != "" {
		b = appendTotal(b, page.Total)
	}
	b = append(b, `,"link":[`...)
	b = appendLink(b, "self", base+path+"/_history", self)
	if page.Next != "" {
		self.Set(cursorParam, page.Next)
		b = appendLink(append(b, ','), "next", base+path+"/_history", self)
	}
	b = append(b, ']')
	for i := range page.Versions {
		if i == 0 {
			b = append(b, `,"entry":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendVersion(b, base, &page.Versions[i])
	}
	if len(page.Versions) > 0 {
		b = append(b, ']')
	}
	send(w, r, http.StatusOK, append(b, '}'))
	return nil
}

// current tells whether a version was the newest of its record at some moment of
// a period: it came before the end, and the one after it not before the start. A
// deletion is no version that is current; within the period it is told.
func (d *Door) current(ctx context.Context, p *identity.Principal, v *record.Record, at *search.Value) (bool, error) {
	when := search.Millis(v.UpdatedAt)
	if when >= at.Hi || when < at.Lo && v.Deleted {
		return false, nil
	}
	if when >= at.Lo {
		return true, nil
	}
	next, err := d.k.Store().Version(ctx, d.k.View(p), v.Key, v.Version+1)
	if errs.Is(err, errs.NotFound) {
		return true, nil // it is the newest
	}
	return err == nil && search.Millis(next.UpdatedAt) > at.Lo, err
}

// historyQuery reads _count, _since, _at and the cursor; nothing else is known.
func (d *Door) historyQuery(key record.Key, query url.Values) (q store.HistoryQuery, at *search.Value, self url.Values, err error) {
	q, self = store.HistoryQuery{Key: key, Limit: 50}, url.Values{}
	for name, values := range query {
		v := values[0]
		bad := func(zh, en string) error { return errs.E(errs.Invalid, "history", name, zh, en).At(name) }
		if len(values) > 1 {
			return q, at, self, bad("参数 "+name+" 只能出现一次。", "The parameter "+name+" may stand only once.")
		}
		switch name {
		case "_format", "_pretty":
		case "_count":
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 {
				return q, at, self, bad("_count 应为正整数。", "_count is a positive whole number.")
			}
			q.Limit = min(n, maxCount)
			self.Set(name, v)
		case "_since":
			t, err := time.Parse(time.RFC3339Nano, v)
			if err != nil {
				return q, at, self, bad("_since 应为带时区的时刻，例如 2026-01-31T08:00:00+08:00（其中 + 在地址里写成 %2B）。", "_since is an instant with a zone, such as 2026-01-31T08:00:00+08:00 (write + as %2B in an address).")
			}
			q.Since = t
			self.Set(name, v)
		case "_at":
			c, err := d.k.Parser().Clause("Patient", search.ParamUpdated, v)
			if err != nil || c.Any[0].Compare != search.Eq {
				return q, at, self, bad("_at 应为日期或时刻，例如 2026-01-31。", "_at is a date or an instant such as 2026-01-31.")
			}
			at = &c.Any[0]
			self.Set(name, v)
		case cursorParam:
			q.Before = v
		default:
			return q, at, self, unknownParameter(name)
		}
	}
	if at != nil && !q.Since.IsZero() {
		return q, at, self, errs.E(errs.Invalid, "history", "_at", "_since 与 _at 不能同时使用。", "_since and _at cannot stand together.").At("_at")
	}
	return q, at, self, nil
}

// appendVersion writes one entry of a history: what was asked, what came of it,
// and the resource unless it was deleted (R4 §3.1.0.13).
func appendVersion(b []byte, base string, r *record.Record) []byte {
	b = append(b, `{"fullUrl":"`...)
	b = append(append(append(append(append(b, base...), '/'), r.Kind...), '/'), r.ID...)
	b = append(b, '"')
	method, url, status := http.MethodPut, r.Key.String(), "200 OK"
	switch {
	case r.Deleted:
		method, status = http.MethodDelete, "204 No Content"
	case r.Version == 1:
		method, url, status = http.MethodPost, r.Kind, "201 Created"
	}
	if !r.Deleted {
		b = appendResource(append(b, `,"resource":`...), r)
	}
	b = append(append(append(append(b, `,"request":{"method":"`...), method...), `","url":"`...), url...)
	b = append(append(b, `"},"response":{"status":"`...), status...)
	b = append(b, `","etag":"W/\"`...)
	b = strconv.AppendInt(b, r.Version, 10)
	b = append(append(append(b, `\"","lastModified":"`...), lastModified(r.UpdatedAt)...), `"}}`...)
	return b
}

// appendTotal writes the total of a Bundle; nothing where it is not known.
func appendTotal(b []byte, total int64) []byte {
	if total < 0 {
		return b
	}
	return strconv.AppendInt(append(b, `,"total":`...), total, 10)
}
