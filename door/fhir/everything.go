package fhir

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/door/gate"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// everythingOf are the types that have an $everything: those with a compartment.
var everythingOf = []string{"Patient", "Encounter", "Practitioner", "RelatedPerson", "Device"}

func (d *Door) everythingRoutes() []gate.Route {
	var out []gate.Route
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		out = append(out, gate.Route{Method: method, Pattern: Prefix + "/{type}/{id}/$everything", Permission: gate.CanNamed("type", "read"), Action: "everything", Handle: d.everything, Problem: d.problem})
	}
	return out
}

// dossier is one $everything being answered: the records of a compartment, type
// by type, and what they refer to outside of it.
//
// Source: FHIR R4 Patient/$everything and Encounter/$everything.
type dossier struct {
	d     *Door
	r     *http.Request
	p     *identity.Principal
	root  record.Key
	where everythingQuery
	out   *bundleStream
	seen  map[record.Key]bool // sent, or known to be out of reach
	want  []record.Key        // referred to and not sent yet
}

// everythingQuery is what an $everything may be asked.
type everythingQuery struct {
	types []string // empty: all
	since *search.Clause
	dates []string // values of date parameters: "ge2020", "le2021"
	count int      // records of the compartment a page; 0: all in one
	after place
	self  url.Values
}

// place is where the next page begins: behind the cursor After of a type.
type place struct {
	Kind  string `json:"k"`
	After string `json:"a,omitempty"`
}

// everything answers GET and POST /fhir/Patient/id/$everything, and that of the
// other compartments.
func (d *Door) everything(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	if !slices.Contains(everythingOf, key.Kind) {
		return noOperation(key.Kind, "$everything")
	}
	params, err := operationParams(r)
	if err != nil {
		return err
	}
	if err := acceptable(r, r.URL.Query()); err != nil {
		return err
	}
	q, err := d.everythingQuery(key.Kind, params)
	if err != nil {
		return err
	}
	root, err := d.k.Read(r.Context(), p, key)
	if err != nil {
		return err
	}
	audit.TrailOf(r.Context()).Name("everything", key.String())
	base := d.baseURL(r)
	f := &dossier{d: d, r: r, p: p, root: key, where: q, out: newBundleStream(w, r, base), seen: map[record.Key]bool{key: true}}
	if q.after.Kind == "" && f.takes(key.Kind) && (q.since == nil || search.Millis(root.UpdatedAt) >= q.since.Any[0].Lo) {
		if err := f.send(&root); err != nil {
			return err
		}
	} else if q.after.Kind == "" && q.since == nil {
		f.note(root.Data) // not asked for itself, but it may name what is
	}
	next, err := f.compartment()
	if err == nil {
		err = f.references()
	}
	if err != nil {
		return err
	}
	address := base + "/" + key.String() + "/$everything"
	links := appendLink(nil, "self", address, q.self)
	total := int64(f.out.n)
	if next.Kind != "" {
		raw, err := json.Marshal(next)
		if err != nil {
			return errs.Wrap("everything", key.String(), err)
		}
		q.self.Set(cursorParam, base64.RawURLEncoding.EncodeToString(raw))
		links, total = appendLink(append(links, ','), "next", address, q.self), -1
	}
	if q.after.Kind != "" {
		total = -1 // a page knows only itself
	}
	return f.out.end(total, links)
}

// everythingQuery reads _type, _since, _count, start and end.
func (d *Door) everythingQuery(of string, params url.Values) (q everythingQuery, err error) {
	q.self = url.Values{}
	for name, values := range params {
		bad := func(zh, en string) error { return errs.E(errs.Invalid, "everything", name, zh, en).At(name) }
		if len(values) > 1 && name != "_type" {
			return q, bad("参数 "+name+" 只能出现一次。", "The parameter "+name+" may stand only once.")
		}
		v := values[0]
		switch name {
		case "_format", "_pretty":
			continue
		case "_type":
			if q.types, err = typeList(values); err != nil {
				return q, err
			}
		case "_since":
			c, err := d.k.Parser().Clause(of, search.ParamUpdated, "ge"+v)
			if err != nil || !strings.Contains(v, "T") {
				return q, bad("_since 应为带时区的时刻。", "_since is an instant with a zone.")
			}
			q.since = &c
		case "start", "end":
			prefix := map[string]string{"start": "ge", "end": "le"}[name]
			if _, err := d.k.Parser().Clause(of, search.ParamUpdated, prefix+v); err != nil {
				return q, bad(name+" 应为日期，例如 2026-01-31。", name+" is a date such as 2026-01-31.")
			}
			q.dates = append(q.dates, prefix+v)
		case "_count":
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 {
				return q, bad("_count 应为正整数。", "_count is a positive whole number.")
			}
			q.count = min(n, maxCount)
		case cursorParam:
			raw, err := base64.RawURLEncoding.DecodeString(v)
			if err != nil || json.Unmarshal(raw, &q.after) != nil || !clinical.IsResourceType(q.after.Kind) {
				return q, bad("分页位置无效；请从第一页重新开始。", "The page cursor is not valid; start again from the first page.")
			}
			continue
		default:
			return q, unknownParameter(name)
		}
		q.self[name] = values
	}
	if q.after.Kind != "" && q.count == 0 {
		q.count = maxCount
	}
	return q, nil
}

// typeList reads _type: names of resource types, in one value or several.
func typeList(values []string) ([]string, error) {
	var out []string
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.TrimSpace(name); !clinical.IsResourceType(name) {
				return nil, errs.E(errs.Invalid, "search", name, "“"+name+"”不是 FHIR R4 的资源类型；请核对拼写和大小写。", name+" is not a resource type of FHIR R4; check spelling and case.").At("_type")
			}
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out, nil
}

func (f *dossier) takes(typ string) bool {
	return len(f.where.types) == 0 || slices.Contains(f.where.types, typ)
}

// send sends one record of the compartment and notes what it refers to.
func (f *dossier) send(rec *record.Record) error {
	f.note(rec.Data)
	return f.out.entry(rec, "match")
}

// fewLinks is how many references to the root are asked for to learn which types
// have any: most compartments hold a dozen of sixty types.
const fewLinks = 5000

// compartment sends the records of the compartment, newest first within a type,
// up to the count of a page. next is where the following page begins; zero where
// there is none.
func (f *dossier) compartment() (next place, err error) {
	kinds, err := f.kinds()
	if err != nil {
		return next, err
	}
	left := f.where.count
	for _, typ := range kinds {
		q, ok, err := f.query(typ)
		if err != nil {
			return next, err
		}
		if !ok || typ < f.where.after.Kind {
			continue
		}
		if typ == f.where.after.Kind {
			q.After = f.where.after.After
		}
		for {
			if f.where.count > 0 {
				if left == 0 {
					return place{typ, q.After}, nil
				}
				q.Limit = left
			}
			page, err := f.d.k.Search(f.r.Context(), f.p, q)
			if err != nil {
				return next, err
			}
			for i := range page.Records {
				rec := &page.Records[i]
				if f.seen[rec.Key] {
					continue
				}
				f.seen[rec.Key] = true
				if err := f.send(rec); err != nil {
					return next, err
				}
			}
			left -= len(page.Records)
			if q.After = page.Next; q.After == "" {
				break
			}
		}
	}
	return next, nil
}

// kinds lists the types that may hold records of the compartment, in the order
// of their names, which is the order of the pages.
func (f *dossier) kinds() ([]string, error) {
	links, err := f.d.k.Referring(f.r.Context(), f.p, f.root, fewLinks)
	if err != nil {
		return nil, err
	}
	var out []string
	if len(links) < fewLinks {
		for _, l := range links {
			if !slices.Contains(out, l.From.Kind) {
				out = append(out, l.From.Kind)
			}
		}
	} else {
		out = clinical.ResourceTypes()
	}
	slices.Sort(out)
	return out, nil
}

// query asks for the records of a type in the compartment; ok is false where
// there are none or they are not asked for.
func (f *dossier) query(typ string) (q search.Query, ok bool, err error) {
	k := f.d.k.Registry().Find(typ)
	if k == nil || !f.takes(typ) {
		return q, false, nil
	}
	q = search.Query{Kind: typ, Limit: maxCount}
	var any []search.Clause
	for _, name := range clinical.CompartmentParams(f.root.Kind, k) {
		if k.Param(name) != nil {
			any = append(any, search.Clause{Param: name, Any: []search.Value{{Ref: f.root}}})
		}
	}
	switch len(any) {
	case 0:
		return q, false, nil
	case 1:
		q.Where = any
	default:
		q.Where = []search.Clause{{Or: any}}
	}
	if f.where.since != nil {
		q.Where = append(q.Where, *f.where.since)
	}
	care := careDate(k)
	for _, v := range f.where.dates {
		if care == "" {
			break // it has no date of care, so no period leaves it out
		}
		c, err := f.d.k.Parser().Clause(typ, care, v)
		if err != nil {
			return q, false, err
		}
		q.Where = append(q.Where, c)
	}
	return q, true, nil
}

// maxReferred bounds what is sent because something refers to it.
const maxReferred = 10_000

// references sends what the records refer to outside of every patient's
// compartment: who treated, where, with what. A record of another patient is
// never sent.
func (f *dossier) references() error {
	for sent := 0; len(f.want) > 0; {
		wanted := f.want
		f.want = nil
		slices.SortFunc(wanted, func(a, b record.Key) int { return strings.Compare(a.String(), b.String()) })
		for len(wanted) > 0 {
			n := 1
			for n < len(wanted) && n < 500 && wanted[n].Kind == wanted[0].Kind {
				n++
			}
			part := wanted[:n]
			wanted = wanted[n:]
			if sent += n; sent > maxReferred {
				return nil
			}
			records, err := f.d.readMany(f.r.Context(), f.p, part)
			if err != nil {
				return err
			}
			for i := range records {
				f.note(records[i].Data)
				if err := f.out.entry(&records[i], "include"); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// note gathers the records that a resource names and that may be followed.
func (f *dossier) note(data []byte) {
	eachLiteral(data, func(lit []byte) {
		slash := bytes.IndexByte(lit, '/')
		if slash < 0 || !f.follows(string(lit[:slash])) {
			return
		}
		l, ok := clinical.ParseReference(string(lit))
		if !ok || l.URL != "" {
			return
		}
		if key := l.Key(); !f.seen[key] {
			f.seen[key] = true
			f.want = append(f.want, key)
		}
	})
}

// follows tells whether references to a type are followed: what is of no
// patient, and of an encounter its patient.
func (f *dossier) follows(typ string) bool {
	k := f.d.k.Registry().Find(typ)
	if k == nil || !f.takes(typ) {
		return false
	}
	if typ == "Patient" {
		return f.root.Kind == "Encounter" || f.root.Kind == "RelatedPerson"
	}
	return clinical.CompartmentParams("Patient", k) == nil
}
