package fhir

import (
	"encoding/json"
	"net/http"

	"zhiwei/domain/terminology"
	"zhiwei/door/gate"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

// validateInSet answers ValueSet/$validate-code.
func (d *Door) validateInSet(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	t, err := readTold(r, validateSetParams)
	if err != nil {
		return err
	}
	url, raw, err := d.whichSet(r, p, t)
	if err != nil {
		return err
	}
	if url == "" && raw == nil {
		return errs.E(errs.Invalid, "validate-code", "url", "请用 url 或 valueSet 指明值集。", "Say which value set with url or valueSet.").At("url")
	}
	list, err := t.codings(t.text("system"), t.text("systemVersion"))
	if err != nil {
		return err
	}
	return d.validate(w, r, p, t, list, terminology.CodeCheck{ValueSet: url, Resource: raw})
}

// validateInSystem answers CodeSystem/$validate-code.
func (d *Door) validateInSystem(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	t, err := readTold(r, validateSystemParams)
	if err != nil {
		return err
	}
	stored, err := d.about(r, p, "CodeSystem")
	if err != nil {
		return err
	}
	url, raw := t.text("url"), t.resource("codeSystem")
	if err := eitherOr("id, url, codeSystem", stored != nil, url != "", raw != nil); err != nil {
		return err
	}
	version := t.text("version")
	check := terminology.CodeCheck{System: raw}
	switch {
	case stored != nil:
		if url, _, err = urlOf(stored); err != nil {
			return err
		}
	case raw != nil:
		if url, _, err = urlOf(raw); err != nil {
			return err
		}
	}
	list, err := t.codings(url, version)
	if err != nil {
		return err
	}
	for i := range list {
		switch {
		case list[i].System == "":
			list[i].System = url
		case url != "" && list[i].System != url:
			return errs.E(errs.Invalid, "validate-code", list[i].System, "代码的 system 与 url 不一致。", "The system of the code is not that of url.").At("url")
		}
		if list[i].System == "" {
			return errs.E(errs.Invalid, "validate-code", "url", "请用 url 指明代码系统。", "Say which code system with url.").At("url")
		}
	}
	return d.validate(w, r, p, t, list, check)
}

// validate checks codes until one is right, and answers for that one, else for
// the first: of a CodeableConcept one right coding is enough.
func (d *Door) validate(w http.ResponseWriter, r *http.Request, p *identity.Principal, t told, list []terminology.Coding, check terminology.CodeCheck) error {
	check.Concrete = t.text("abstract") == "false"
	var answer terminology.CodeAnswer
	for i, c := range list {
		if c.Display == "" {
			c.Display = t.text("display")
		}
		check.Coding = c
		a, err := d.terms.Validate(r.Context(), p, check)
		if err != nil {
			return err
		}
		if i == 0 || a.OK {
			answer = a
		}
		if a.OK {
			break
		}
	}
	out := []fhirParameter{parameter("result", "Boolean", answer.OK)}
	if !answer.OK {
		out = append(out, parameter("message", "String", answer.Why.In(gate.Lang(r))))
	}
	if answer.Display != "" {
		out = append(out, parameter("display", "String", answer.Display))
	}
	return sendParameters(w, r, out)
}

// translate answers ConceptMap/$translate.
func (d *Door) translate(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	t, err := readTold(r, translateParams)
	if err != nil {
		return err
	}
	stored, err := d.about(r, p, "ConceptMap")
	if err != nil {
		return err
	}
	url, raw := onCanonical(t.text("url"), t.text("conceptMapVersion")), t.resource("conceptMap")
	if err := eitherOr("id, url, conceptMap", stored != nil, url != "", raw != nil); err != nil {
		return err
	}
	if stored != nil {
		raw = stored
	}
	list, err := t.codings(t.text("system"), t.text("version"))
	if err != nil {
		return err
	}
	req := terminology.TranslateRequest{
		URL: url, Resource: raw, Codes: list, Source: t.text("source"), Target: t.text("target"), TargetSystem: t.text("targetsystem"), Reverse: t.is("reverse"),
	}
	for _, dep := range t["dependency"] {
		for _, c := range dep.parts["concept"] {
			for _, one := range c.concept.Coding {
				req.Dependencies = append(req.Dependencies, terminology.Dependency{Property: dep.parts.text("element"), System: one.System, Value: one.Code})
			}
		}
	}
	x, err := d.terms.Translate(r.Context(), p, req)
	if err != nil {
		return err
	}
	out := []fhirParameter{parameter("result", "Boolean", x.OK)}
	if !x.OK {
		out = append(out, parameter("message", "String", x.Why.In(gate.Lang(r))))
	}
	for _, m := range x.Matches {
		list := []fhirParameter{parameter("equivalence", "Code", m.Equivalence)}
		if m.Concept.Code != "" {
			list = append(list, parameter("concept", "Coding", coding(m.Concept)))
		}
		for _, q := range m.Product {
			list = append(list, parts("product", parameter("element", "Uri", q.Property), parameter("concept", "Coding", coding{System: q.System, Code: q.Value, Display: q.Display})))
		}
		if m.Source != "" {
			list = append(list, parameter("source", "Uri", m.Source))
		}
		out = append(out, parts("match", list...))
	}
	return sendParameters(w, r, out)
}

// importCodes answers POST /fhir/$import-codes: one unit of `zhiwei import codes`
// on another machine. The body is a terminology.Unit, the answer its Report.
func (d *Door) importCodes(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyFormat(r.URL.Query()); err != nil {
		return err
	}
	raw, err := body(r)
	if err != nil {
		return err
	}
	var u terminology.Unit
	if err := json.Unmarshal(raw, &u); err != nil {
		return errs.E(errs.Invalid, "import", "$import-codes", "正文不是一批代码；请用 zhiwei import codes 导入。", "The body is no unit of codes; import with zhiwei import codes.").Because(err)
	}
	rep, err := d.terms.Import(r.Context(), p, u)
	if err != nil {
		return err
	}
	return sendJSON(w, r, http.StatusOK, rep)
}
