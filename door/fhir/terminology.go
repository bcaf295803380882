package fhir

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"zhiwei/domain/terminology"
	"zhiwei/door/gate"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// terminologyRoutes are the operations of a terminology service (FHIR R4
// terminology-service.html), on the type and on an instance, by GET and POST.
func (d *Door) terminologyRoutes() []gate.Route {
	var out []gate.Route
	add := func(typ, op string, h gate.Handler) {
		for _, pattern := range []string{"/" + typ + "/$" + op, "/" + typ + "/{id}/$" + op} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				out = append(out, gate.Route{
					Method: method, Pattern: Prefix + pattern, Permission: gate.Can(typ, "read"), Action: op, Handle: tooCostly(h), Problem: d.problem,
				})
			}
		}
	}
	add("ValueSet", "expand", d.expand)
	add("ValueSet", "validate-code", d.validateInSet)
	add("CodeSystem", "lookup", d.lookup)
	add("CodeSystem", "validate-code", d.validateInSystem)
	add("CodeSystem", "subsumes", d.subsumes)
	add("ConceptMap", "translate", d.translate)
	return append(out, gate.Route{
		Method: http.MethodPost, Pattern: Prefix + "/$import-codes", Permission: gate.Can(terminology.ConceptKind, "create"),
		Action: "import", Handle: d.importCodes, Problem: d.problem,
	})
}

// tooCostly answers what would take too long, or be too long, with the code that
// FHIR has for it.
func tooCostly(h gate.Handler) gate.Handler {
	return func(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
		err := h(w, r, p)
		var e *errs.Error
		if !errors.As(err, &e) || e.Kind != errs.TooLarge || e.Op != "expand" {
			return err
		}
		return sendJSON(w, r, http.StatusUnprocessableEntity, note("error", "too-costly", errs.Sentence(err, gate.Lang(r))))
	}
}

// about reads the resource an instance operation is about; nil on the type.
func (d *Door) about(r *http.Request, p *identity.Principal, typ string) (json.RawMessage, error) {
	id := r.PathValue("id")
	if id == "" {
		return nil, nil
	}
	if !record.ValidID(id) {
		return nil, errs.NotFoundf("read", "%s/%s", typ, id)
	}
	rec, err := d.k.Read(r.Context(), p, record.Key{Kind: typ, ID: id})
	return rec.Data, err
}

// eitherOr is Invalid where a resource is named in more than one way.
func eitherOr(names string, ways ...bool) error {
	n := 0
	for _, w := range ways {
		if w {
			n++
		}
	}
	if n > 1 {
		return errs.E(errs.Invalid, "operation", names, "请只用一种方式指明："+names+"。", "Give only one of "+names+".").At(names)
	}
	return nil
}

// onCanonical joins a canonical URL and a version given beside it.
func onCanonical(url, version string) string {
	if url == "" || version == "" || strings.Contains(url, "|") {
		return url
	}
	return url + "|" + version
}

// whichSet tells which value set an operation is about: that of the address, of
// url, or the one sent along.
func (d *Door) whichSet(r *http.Request, p *identity.Principal, t told) (url string, raw json.RawMessage, err error) {
	stored, err := d.about(r, p, "ValueSet")
	if err != nil {
		return "", nil, err
	}
	url, raw = onCanonical(t.text("url"), t.text("valueSetVersion")), t.resource("valueSet")
	if err := eitherOr("id, url, valueSet", stored != nil, url != "", raw != nil); err != nil {
		return "", nil, err
	}
	if stored != nil {
		raw = stored
	}
	return url, raw, nil
}

var (
	noContext = notActedOn("本服务不支持按 context 查找值集，请用 url。", "This server does not find value sets by context; give the url.")
	noDate    = notActedOn("本服务按当前内容回答，不支持 date。", "This server answers by what holds now; date is not supported.")

	expandParams = map[string]opParam{
		"url": text1, "valueSet": resource1("ValueSet"), "valueSetVersion": text1, "context": noContext, "contextDirection": noContext, "date": noDate,
		"filter": text1, "offset": number1, "count": number1, "includeDesignations": flag1, "designation": textMany, "includeDefinition": flag1,
		"activeOnly": flag1, "excludeNested": flag1, "excludeNotForUI": flag1, "excludePostCoordinated": flag1, "displayLanguage": text1,
		"exclude-system": textMany, "system-version": textMany,
	}
	validateSetParams = map[string]opParam{
		"url": text1, "valueSet": resource1("ValueSet"), "valueSetVersion": text1, "context": noContext, "date": noDate,
		"code": text1, "system": text1, "systemVersion": text1, "display": text1, "coding": coding1, "codeableConcept": concept1,
		"abstract": flag1, "displayLanguage": text1,
	}
	lookupParams = map[string]opParam{
		"code": text1, "system": text1, "version": text1, "coding": coding1, "date": noDate, "displayLanguage": text1, "property": textMany,
	}
	validateSystemParams = map[string]opParam{
		"url": text1, "codeSystem": resource1("CodeSystem"), "code": text1, "version": text1, "display": text1, "coding": coding1,
		"codeableConcept": concept1, "date": noDate, "abstract": flag1, "displayLanguage": text1,
	}
	subsumesParams  = map[string]opParam{"codeA": text1, "codeB": text1, "system": text1, "version": text1, "codingA": coding1, "codingB": coding1}
	translateParams = map[string]opParam{
		"url": text1, "conceptMap": resource1("ConceptMap"), "conceptMapVersion": text1, "code": text1, "system": text1, "version": text1,
		"source": text1, "coding": coding1, "codeableConcept": concept1, "target": text1, "targetsystem": text1, "dependency": partsMany, "reverse": flag1,
	}
)

// expand answers ValueSet/$expand. The codes are not nested, whatever
// excludeNested says: the server chooses (R4 valueset-operation-expand).
func (d *Door) expand(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	t, err := readTold(r, expandParams)
	if err != nil {
		return err
	}
	url, raw, err := d.whichSet(r, p, t)
	if err != nil {
		return err
	}
	out, err := d.terms.Expand(r.Context(), p, terminology.ExpandRequest{
		URL: url, Resource: raw, Filter: t.text("filter"), Offset: t.number("offset", 0), Count: t.number("count", -1),
		ActiveOnly: t.is("activeOnly"), Selectable: t.is("excludeNotForUI"), Definition: t.is("includeDefinition"),
		Without: t.texts("exclude-system"), Versions: t.texts("system-version"),
	})
	if err != nil {
		return err
	}
	return sendJSON(w, r, http.StatusOK, d.valueSetOf(t, out))
}

// valueSetOf writes an expansion as a ValueSet.
func (d *Door) valueSetOf(t told, x terminology.Expansion) object {
	contains := make([]object, 0, len(x.Codes))
	for _, c := range x.Codes {
		one := object{"system": c.System, "code": c.Concept.Code}
		put(one, "version", c.Version)
		put(one, "display", c.Name(t.text("displayLanguage")))
		if c.Concept.Inactive {
			one["inactive"] = true
		}
		if c.Concept.Abstract {
			one["abstract"] = true
		}
		if list := designations(c, t); list != nil {
			one["designation"] = list
		}
		contains = append(contains, one)
	}
	expansion := object{"identifier": "urn:uuid:" + uuid.NewString(), "timestamp": d.k.Clock().Now().UTC().Format(instant), "parameter": expansionParameters(t, x)}
	if x.Total >= 0 {
		expansion["total"] = x.Total
	}
	if len(t["offset"]) > 0 || len(t["count"]) > 0 {
		expansion["offset"] = x.Offset
	}
	if len(contains) > 0 {
		expansion["contains"] = contains
	}
	if x.Partial {
		expansion["extension"] = []object{{"url": "http://hl7.org/fhir/StructureDefinition/valueset-unclosed", "valueBoolean": true}}
	}
	out := object{"resourceType": "ValueSet", "status": "active", "expansion": expansion}
	put(out, "url", x.Set.URL)
	put(out, "version", x.Set.Version)
	put(out, "name", x.Set.Name)
	put(out, "title", x.Set.Title)
	put(out, "status", x.Set.Status)
	if x.Compose != nil {
		out["compose"] = x.Compose
	}
	return out
}

// put sets what is not empty: FHIR has no empty strings.
func put(o object, name, value string) {
	if value != "" {
		o[name] = value
	}
}

// expansionParameters says by which parameters an expansion was made, and from
// which versions of which systems.
func expansionParameters(t told, x terminology.Expansion) []object {
	var out []object
	for _, name := range []string{"filter", "displayLanguage"} {
		if v := t.text(name); v != "" {
			out = append(out, object{"name": name, "valueString": v})
		}
	}
	for _, name := range []string{"offset", "count"} {
		if len(t[name]) > 0 {
			out = append(out, object{"name": name, "valueInteger": t.number(name, 0)})
		}
	}
	for _, name := range []string{"activeOnly", "excludeNested", "excludeNotForUI", "includeDesignations"} {
		if len(t[name]) > 0 {
			out = append(out, object{"name": name, "valueBoolean": t.is(name)})
		}
	}
	for _, used := range x.Used {
		out = append(out, object{"name": "version", "valueUri": used})
	}
	if x.More {
		out = append(out, object{"name": "limitedExpansion", "valueBoolean": true})
	}
	return out
}

// designations are the other names of a code that were asked for: all, or those
// in the languages named.
func designations(c terminology.Found, t told) []object {
	if !t.is("includeDesignations") && len(t["designation"]) == 0 {
		return nil
	}
	var out []object
	for _, n := range c.Concept.Designations {
		wanted := len(t["designation"]) == 0
		for _, want := range t.texts("designation") {
			language := strings.TrimPrefix(want, "urn:ietf:bcp:47|")
			wanted = wanted || strings.EqualFold(n.Language, language) || want == n.Use.System+"|"+n.Use.Code
		}
		if wanted {
			out = append(out, designation(n))
		}
	}
	return out
}

func designation(n terminology.Designation) object {
	one := object{"value": n.Value}
	put(one, "language", n.Language)
	if n.Use.Code != "" {
		one["use"] = coding(n.Use)
	}
	return one
}

// systemOf gives the code system that an operation is asked of: the CodeSystem of
// its address, else the parameters system and version.
func (d *Door) systemOf(r *http.Request, p *identity.Principal, t told) (system, version string, err error) {
	stored, err := d.about(r, p, "CodeSystem")
	if err != nil || stored == nil {
		return t.text("system"), t.text("version"), err
	}
	return urlOf(stored)
}

// lookup answers CodeSystem/$lookup. Without property it tells names,
// definition, parents and the system's own properties; "child" must be asked
// for.
func (d *Door) lookup(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	t, err := readTold(r, lookupParams)
	if err != nil {
		return err
	}
	system, version, err := d.systemOf(r, p, t)
	if err != nil {
		return err
	}
	list, err := t.codings(system, version)
	if err != nil {
		return err
	}
	c := list[0]
	if c.System == "" {
		return errs.E(errs.Invalid, "lookup", c.Code, "请用 system 指明代码系统。", "Say the code system with system.").At("system")
	}
	want := t.texts("property")
	asks := func(name string) bool {
		for _, p := range want {
			if p == name || p == "*" {
				return true
			}
		}
		return len(want) == 0 && name != "child"
	}
	x, err := d.terms.Lookup(r.Context(), p, c.System, c.Version, c.Code, asks("child"))
	if err != nil {
		return err
	}
	name := x.SystemName
	if name == "" {
		name = c.System
	}
	out := []fhirParameter{parameter("name", "String", name)}
	if x.Version != "" {
		out = append(out, parameter("version", "String", x.Version))
	}
	display := x.Name(t.text("displayLanguage"))
	if display == "" {
		display = x.Concept.Code
	}
	out = append(out, parameter("display", "String", display))
	for _, n := range x.Concept.Designations {
		if asks("designation") || slices.Contains(want, "lang."+n.Language) {
			out = append(out, designationParameter(n))
		}
	}
	property := func(code, kind string, value any) {
		if asks(code) {
			out = append(out, parts("property", parameter("code", "Code", code), parameter("value", kind, value)))
		}
	}
	if x.Definition != "" {
		property("definition", "String", x.Definition)
	}
	for _, c := range x.Concept.Parents {
		property("parent", "Code", c)
	}
	for _, c := range x.Children {
		property("child", "Code", c)
	}
	property("inactive", "Boolean", x.Concept.Inactive)
	if x.Concept.Abstract {
		property("notSelectable", "Boolean", true)
	}
	for _, q := range x.Concept.Properties {
		if q.Code == "inactive" || q.Code == "notSelectable" {
			continue
		}
		kind, value := propertyValue(q)
		property(q.Code, kind, value)
	}
	return sendParameters(w, r, out)
}

func designationParameter(n terminology.Designation) fhirParameter {
	var list []fhirParameter
	if n.Language != "" {
		list = append(list, parameter("language", "Code", n.Language))
	}
	if n.Use.Code != "" {
		list = append(list, parameter("use", "Coding", coding(n.Use)))
	}
	return parts("designation", append(list, parameter("value", "String", n.Value))...)
}

// propertyValue writes the value of a property in its type.
func propertyValue(q terminology.Property) (kind string, value any) {
	switch q.Type {
	case "code":
		return "Code", q.Value
	case "boolean":
		if b, err := strconv.ParseBool(q.Value); err == nil {
			return "Boolean", b
		}
	case "integer":
		if n, err := strconv.Atoi(q.Value); err == nil {
			return "Integer", n
		}
	case "decimal":
		if json.Valid([]byte(q.Value)) {
			return "Decimal", json.Number(q.Value)
		}
	case "dateTime":
		return "DateTime", q.Value
	case "Coding":
		system, code, _ := strings.Cut(q.Value, "|")
		return "Coding", coding{System: system, Code: code}
	}
	return "String", q.Value
}

// urlOf reads the canonical URL and the version of a resource. Invalid where it
// has no URL: then nothing can be asked of it by name.
func urlOf(raw json.RawMessage) (url, version string, err error) {
	var head struct{ URL, Version string }
	if err := json.Unmarshal(raw, &head); err != nil {
		return "", "", errs.Wrap("operation", "url", err)
	}
	if head.URL == "" {
		return "", "", errs.E(errs.Invalid, "operation", "url", "该资源没有 url，请先补上。", "The resource has no url; give it one first.").At("url")
	}
	return head.URL, head.Version, nil
}

// subsumes answers CodeSystem/$subsumes.
func (d *Door) subsumes(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	t, err := readTold(r, subsumesParams)
	if err != nil {
		return err
	}
	system, version, err := d.systemOf(r, p, t)
	if err != nil {
		return err
	}
	a, b := t.text("codeA"), t.text("codeB")
	if len(t["codingA"]) > 0 && len(t["codingB"]) > 0 && a == "" && b == "" {
		x, y := t["codingA"][0].coding, t["codingB"][0].coding
		if x.System != y.System || system != "" && x.System != system {
			return errs.E(errs.Invalid, "subsumes", x.System, "两个代码必须属于同一个代码系统。", "Both codes must be of one code system.").At("codingB.system")
		}
		system, a, b = x.System, x.Code, y.Code
		if version == "" {
			version = x.Version
		}
	}
	if system == "" || a == "" || b == "" {
		return errs.E(errs.Invalid, "subsumes", "codeA", "请给出 system、codeA 和 codeB，或 codingA 和 codingB。", "Give system, codeA and codeB, or codingA and codingB.").At("codeA")
	}
	outcome, err := d.terms.Subsumes(r.Context(), p, system, version, a, b)
	if err != nil {
		return err
	}
	return sendParameters(w, r, []fhirParameter{parameter("outcome", "Code", outcome)})
}
