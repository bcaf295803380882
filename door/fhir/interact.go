package fhir

import (
	"encoding/json"
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
	if err := readable(r); err != nil {
		return err
	}
	rec, err := d.k.Read(r.Context(), p, key)
	if err != nil {
		return err
	}
	return answer(w, r, &rec)
}

// vread answers GET /fhir/Type/id/_history/version.
func (d *Door) vread(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	if err := readable(r); err != nil {
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
	return answer(w, r, &rec)
}

// readable checks what a read may ask beside its path: nothing but the format.
func readable(r *http.Request) error {
	var query url.Values
	if r.URL.RawQuery != "" {
		query = r.URL.Query()
		for name := range query {
			if name != "_format" && name != "_pretty" {
				return unknownParameter(name)
			}
		}
	}
	return acceptable(r, query)
}

func answer(w http.ResponseWriter, r *http.Request, rec *record.Record) error {
	h := w.Header()
	versionHeaders(h, rec)
	if tag := r.Header.Get("If-None-Match"); tag != "" {
		if v, ok := versionOf(tag); ok && v == rec.Version {
			w.WriteHeader(http.StatusNotModified)
			return nil
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
	s := &step{method: http.MethodPost, typ: typ, ifMatch: kernel.AnyVersion, raw: raw, query: r.Header.Get("If-None-Exist")}
	if err := d.commit(r.Context(), p, []*step{s}, commitment{base: d.baseURL(r)}); err != nil {
		return err
	}
	return d.written(w, r, s)
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
	if err := d.commit(r.Context(), p, []*step{s}, commitment{base: d.baseURL(r)}); err != nil {
		return err
	}
	return d.written(w, r, s)
}

// criteriaOf is the query of a conditional update or delete without the format,
// which is no criterion.
func criteriaOf(r *http.Request) string {
	q := r.URL.Query()
	q.Del("_format")
	q.Del("_pretty")
	return q.Encode()
}

func noCriteria(typ string) error {
	return errs.E(errs.Invalid, "write", typ, "请在地址中写明编号（"+typ+"/编号）或查询条件。", "Give an id ("+typ+"/id) or search criteria in the address.")
}

// match reads the headers that guard an update.
func (s *step) match(ifMatch, ifNoneMatch string) error {
	if ifMatch != "" {
		v, ok := versionOf(ifMatch)
		if !ok {
			return errs.E(errs.Invalid, "write", ifMatch, `If-Match 的格式为 W/"版本号"。`, `If-Match is written W/"version".`).At("If-Match")
		}
		s.ifMatch = v
	}
	switch ifNoneMatch {
	case "":
	case "*":
		s.absent = true
	default:
		return errs.E(errs.Invalid, "write", ifNoneMatch, "写入时 If-None-Match 只支持 *。", "On a write If-None-Match takes * alone.").At("If-None-Match")
	}
	return nil
}

// remove answers DELETE /fhir/Type/id and DELETE /fhir/Type?criteria.
func (d *Door) remove(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	typ, err := typeOf(r)
	if err != nil {
		return err
	}
	s := &step{method: http.MethodDelete, typ: typ, ifMatch: kernel.AnyVersion}
	if r.PathValue("id") != "" {
		key, err := keyOf(r)
		if err != nil {
			return err
		}
		s.given = key.ID
	} else if s.query = criteriaOf(r); s.query == "" {
		return noCriteria(typ)
	}
	if err := s.match(r.Header.Get("If-Match"), ""); err != nil {
		return err
	}
	if err := d.commit(r.Context(), p, []*step{s}, commitment{base: d.baseURL(r)}); err != nil {
		return err
	}
	if s.result.Version > 0 {
		w.Header().Set("ETag", etag(s.result.Version))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// resource reads the body and checks that it is of the type.
func resource(r *http.Request, typ string) ([]byte, error) {
	if err := acceptable(r, r.URL.Query()); err != nil {
		return nil, err
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
	switch preferOf(r).answer {
	case "minimal":
		w.WriteHeader(s.outcome)
		return nil
	case "OperationOutcome":
		say := "已保存为第 " + strconv.FormatInt(s.result.Version, 10) + " 版。"
		if gate.Lang(r) == "en" {
			say = "Saved as version " + strconv.FormatInt(s.result.Version, 10) + "."
		}
		b, err := json.Marshal(note("information", "informational", say))
		if err != nil {
			return errs.Wrap("write", s.typ, err)
		}
		send(w, r, s.outcome, b)
		return nil
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
