package fhir

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// read answers GET /fhir/Type/id.
func (d *Door) read(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	if err := readable(r, partial...); err != nil {
		return err
	}
	rec, derived, err := d.readDerived(r.Context(), p, key)
	if !derived && err == nil {
		rec, err = d.k.Read(r.Context(), p, key)
	}
	if err != nil {
		return err
	}
	return d.answer(w, r, &rec)
}

// vread answers GET /fhir/Type/id/_history/version.
func (d *Door) vread(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	if err := readable(r, partial...); err != nil {
		return err
	}
	version, err := strconv.ParseInt(r.PathValue("vid"), 10, 64)
	if err != nil || version < 1 {
		return errs.NotFoundf("read", "%s/_history/%s", key, r.PathValue("vid"))
	}
	rec, err := d.k.ReadVersion(r.Context(), p, key, version)
	if err != nil {
		return err
	}
	return d.answer(w, r, &rec)
}

// readable checks what a read may ask beside its path: nothing but the format.
func readable(r *http.Request, also ...string) error {
	var query url.Values
	if r.URL.RawQuery != "" {
		query = r.URL.Query()
		if err := onlyKnown(query, also...); err != nil {
			return err
		}
	}
	if r.PathValue("type") == "Binary" && !wantsResource(r) {
		return nil // its content is sent as what it is
	}
	return acceptable(r, query)
}

// partial are the parameters that ask for a part of a resource (R4 §3.1.0.1.8).
var partial = []string{"_summary", "_elements"}

// partOf reads which part of a resource of a type a read asks for. _summary=count
// counts, and is for searches.
func partOf(r *http.Request, typ string) (clinical.Part, error) {
	var a asked
	query := r.URL.Query()
	for _, name := range partial {
		if v := query.Get(name); v != "" {
			if _, err := a.control(nil, typ, pair{name, v}); err != nil {
				return clinical.Part{}, err
			}
		}
	}
	if a.countOnly {
		return clinical.Part{}, badParameter("_summary", "读取时 _summary 只能是 true、text、data 或 false。", "On a read _summary takes true, text, data or false.")
	}
	return clinical.Part{Summary: a.part.summary, Elements: a.part.elements}, nil
}

// onlyFormat refuses every parameter but _format and _pretty.
func onlyFormat(query url.Values) error { return onlyKnown(query) }

// answer sends one resource, or 304 where the client holds it already.
func (d *Door) answer(w http.ResponseWriter, r *http.Request, rec *record.Record) error {
	h := w.Header()
	versionHeaders(h, rec)
	h.Set("Content-Location", d.baseURL(r)+"/"+historyOf(rec))
	if unchanged(r, rec) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if rec.Kind == "Binary" && !wantsResource(r) {
		return sendBinary(w, rec)
	}
	if r.URL.RawQuery != "" {
		part, err := partOf(r, rec.Kind)
		if err != nil {
			return err
		}
		if part.Summary != "" || len(part.Elements) > 0 {
			some := *rec
			if some.Data, err = clinical.Subset(rec.Kind, rec.Data, part); err != nil {
				return err
			}
			rec = &some
		}
	}
	send(w, r, http.StatusOK, appendResource(make([]byte, 0, len(rec.Data)+len(rec.ID)+128), rec))
	return nil
}

// create answers POST /fhir/Type, conditional with If-None-Exist.
func (d *Door) create(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	typ, err := typeOf(r)
	if err != nil {
		return err
	}
	raw, err := resource(r, typ)
	if err != nil {
		return err
	}
	s := &step{method: http.MethodPost, typ: typ, ifMatch: kernel.AnyVersion, raw: raw, query: noneExist(typ, r.Header.Get("If-None-Exist"))}
	c := commitment{base: d.baseURL(r)}
	if err := d.withProvenance(r, p, s, &c); err != nil {
		return err
	}
	if err := d.commit(r.Context(), p, []*step{s}, c); err != nil {
		return err
	}
	return d.written(w, r, s)
}

// noneExist is the criteria of If-None-Exist, "identifier=…" (R4 §3.1.0.8.1).
// Clients also send them behind a question mark, or behind the type and one.
func noneExist(typ, criteria string) string {
	return strings.TrimPrefix(strings.TrimPrefix(criteria, typ+"?"), "?")
}

// update answers PUT /fhir/Type/id, which creates what is not there, and
// PUT /fhir/Type?criteria.
func (d *Door) update(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	typ, err := typeOf(r)
	if err != nil {
		return err
	}
	s := &step{method: http.MethodPut, typ: typ, ifMatch: kernel.AnyVersion}
	if s.raw, err = resource(r, typ); err != nil {
		return err
	}
	_, inside := clinical.Head(s.raw)
	if id := r.PathValue("id"); id != "" {
		key, err := keyOf(r)
		if err != nil {
			return errs.E(errs.Invalid, "update", id, "编号只能用字母、数字、连字符和点，1–64 个字符。", "An id is 1–64 letters, digits, hyphens and dots.").At(typ + ".id")
		}
		if inside != key.ID {
			return errs.E(errs.Invalid, "update", key.String(), "资源中的 id 应与地址中的编号 "+key.ID+" 一致。", "The id in the resource must be that of the address, "+key.ID+".").At(typ + ".id")
		}
		s.given = key.ID
	} else {
		s.given, s.query = inside, criteriaOf(r)
		if s.query == "" {
			return noCriteria(typ)
		}
	}
	if err := s.match(r.Header.Get("If-Match"), r.Header.Get("If-None-Match")); err != nil {
		return err
	}
	c := commitment{base: d.baseURL(r)}
	if err := d.withProvenance(r, p, s, &c); err != nil {
		return err
	}
	if err := d.commit(r.Context(), p, []*step{s}, c); err != nil {
		return err
	}
	return d.written(w, r, s)
}

// criteriaOf is the query of a conditional write without what is no criterion:
// the format and, of a delete, how many may go.
func criteriaOf(r *http.Request) string {
	q := r.URL.Query()
	q.Del("_format")
	q.Del("_pretty")
	if r.Method == http.MethodDelete {
		q.Del("_count")
	}
	return q.Encode()
}

func noCriteria(typ string) error {
	return errs.E(errs.Invalid, "write", typ, "请在地址中写明编号（"+typ+"/编号）或查询条件。", "Give an id ("+typ+"/id) or search criteria in the address.")
}

// changeStep reads whom a PATCH or a DELETE means: the record of the address, or
// what criteria match; and the versions it asks for.
func changeStep(r *http.Request, typ string) (*step, error) {
	query := r.URL.Query()
	if err := acceptable(r, query); err != nil {
		return nil, err
	}
	s := &step{method: r.Method, typ: typ, ifMatch: kernel.AnyVersion}
	if r.PathValue("id") != "" {
		key, err := keyOf(r)
		if err != nil {
			return nil, err
		}
		if err := onlyFormat(query); err != nil {
			return nil, err
		}
		s.given = key.ID
	} else {
		if s.query = criteriaOf(r); s.query == "" {
			return nil, noCriteria(typ)
		}
		if r.Method == http.MethodDelete {
			var err error
			if s.many, err = deleteCount(query); err != nil {
				return nil, err
			}
		}
	}
	return s, s.match(r.Header.Get("If-Match"), "")
}

// remove answers DELETE /fhir/Type/id and DELETE /fhir/Type?criteria. Criteria
// that match several are refused, unless _count says how many may go.
func (d *Door) remove(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	typ, err := typeOf(r)
	if err != nil {
		return err
	}
	s, err := changeStep(r, typ)
	if err != nil {
		return err
	}
	if err := d.commit(r.Context(), p, []*step{s}, commitment{base: d.baseURL(r)}); err != nil {
		return err
	}
	if s.many > 0 {
		n := strconv.Itoa(len(s.matches))
		return sendJSON(w, r, http.StatusOK, note("information", "informational", say(r, "已删除 "+n+" 条记录。", "Deleted "+n+" records.")))
	}
	if s.result.Version > 0 {
		w.Header().Set("ETag", etag(s.result.Version))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// maxDelete bounds what one conditional delete may take away.
const maxDelete = 1000

// deleteCount reads _count of a conditional delete: how many records may go at
// once. 0 where it is not given: one.
func deleteCount(query url.Values) (int, error) {
	v := query.Get("_count")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxDelete {
		return 0, errs.E(errs.Invalid, "delete", "_count", "删除时 _count 应为 1 到 1000 的整数。", "On a delete _count is a whole number from 1 to 1000.").At("_count")
	}
	return n, nil
}

// say is a sentence in the language of the request.
func say(r *http.Request, zh, en string) string { return errs.Text{ZH: zh, EN: en}.In(gate.Lang(r)) }

// resource reads the body and checks that it is of the type.
func resource(r *http.Request, typ string) ([]byte, error) {
	if err := acceptable(r, r.URL.Query()); err != nil {
		return nil, err
	}
	if typ == "Binary" && !isJSON(r.Header.Get("Content-Type")) {
		return rawBinary(r)
	}
	raw, err := body(r)
	if err != nil {
		return nil, err
	}
	if name, _ := clinical.Head(raw); name != "" && name != typ {
		return nil, errs.E(errs.Invalid, "write", typ, "地址要求 "+typ+"，正文却是 "+name+"。", "The address asks for "+typ+" but the body is "+name+".").At("resourceType")
	}
	return raw, nil
}

// written answers a create or update.
func (d *Door) written(w http.ResponseWriter, r *http.Request, s *step) error {
	h := w.Header()
	versionHeaders(h, &s.result)
	h.Set("Location", d.baseURL(r)+"/"+historyOf(&s.result))
	h.Set("Content-Location", h.Get("Location"))
	switch preferOf(r).answer {
	case "minimal":
		w.WriteHeader(s.outcome)
		return nil
	case "OperationOutcome":
		v := strconv.FormatInt(s.result.Version, 10)
		return sendJSON(w, r, s.outcome, note("information", "informational", say(r, "已保存为第 "+v+" 版。", "Saved as version "+v+".")))
	}
	send(w, r, s.outcome, appendResource(nil, &s.result))
	return nil
}

// historyOf is the relative URL of one version.
func historyOf(r *record.Record) string {
	return r.Key.String() + "/_history/" + strconv.FormatInt(r.Version, 10)
}

// trimBase makes an absolute URL of ours relative.
func trimBase(s, base string) string {
	if base == "" {
		return s
	}
	return strings.TrimPrefix(s, base+"/")
}
