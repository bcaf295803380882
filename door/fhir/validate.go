package fhir

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/shape"
)

// This file is the operation $validate of every resource type:
// http://hl7.org/fhir/R4/resource-operation-validate.html. Whatever it finds, it
// answers 200 with an OperationOutcome; another status says that it could not be
// done.

// The modes of $validate: http://hl7.org/fhir/R4/valueset-resource-validation-mode.html.
const (
	modeCreate  = "create"
	modeUpdate  = "update"
	modeDelete  = "delete"
	modeProfile = "profile"
)

// validation is what $validate is asked.
type validation struct {
	typ      string
	key      record.Key // zero: no instance is named
	mode     string     // empty: no more than the resource is checked
	profiles []string
	raw      []byte // nil: the instance as it stands
	lang     string
}

// validateRoutes are the addresses of $validate.
func (d *Door) validateRoutes() []gate.Route {
	profiles := clinical.NewProfiles(d.k)
	handle := func(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
		v, err := readValidation(r)
		if err != nil {
			return err
		}
		o, err := d.judge(r.Context(), p, v, profiles)
		if err != nil {
			return err
		}
		return sendJSON(w, r, http.StatusOK, o)
	}
	read := gate.CanNamed("type", "read")
	return []gate.Route{
		{Method: http.MethodPost, Pattern: Prefix + "/{type}/$validate", Permission: gate.SignedIn, Action: "validate", Handle: handle, Problem: d.problem},
		{Method: http.MethodGet, Pattern: Prefix + "/{type}/{id}/$validate", Permission: read, Action: "validate", Handle: handle, Problem: d.problem},
		{Method: http.MethodPost, Pattern: Prefix + "/{type}/{id}/$validate", Permission: read, Action: "validate", Handle: handle, Problem: d.problem},
	}
}

// readValidation reads what $validate is asked: mode and profile in the query or
// in a Parameters resource, the resource in that or as the body itself.
func readValidation(r *http.Request) (*validation, error) {
	typ, err := typeOf(r)
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	if err := acceptable(r, query); err != nil {
		return nil, err
	}
	v := &validation{typ: typ, lang: gate.Lang(r)}
	if r.PathValue("id") != "" {
		if v.key, err = keyOf(r); err != nil {
			return nil, err
		}
	}
	if err := v.readQuery(query); err != nil {
		return nil, err
	}
	if r.Method == http.MethodPost && r.ContentLength != 0 {
		raw, err := body(r)
		if err != nil {
			return nil, err
		}
		if v.raw, err = v.readBody(raw); err != nil {
			return nil, err
		}
	}
	switch v.mode {
	case "", modeCreate, modeProfile:
	case modeUpdate, modeDelete:
		if v.key.IsZero() {
			return nil, errs.E(errs.Invalid, "validate", v.mode, "mode 为 "+v.mode+" 时请在地址中写明编号：/"+typ+"/编号/$validate。", "For the mode "+v.mode+" give the id in the address: /"+typ+"/id/$validate.").At("mode")
		}
	default:
		return nil, errs.E(errs.Invalid, "validate", v.mode, "mode 只能是 create、update、delete 或 profile。", "mode is create, update, delete or profile.").At("mode")
	}
	if v.mode == modeProfile && len(v.profiles) == 0 {
		return nil, errs.E(errs.Invalid, "validate", "profile", "mode 为 profile 时请给出参数 profile。", "For the mode profile give the parameter profile.").At("profile")
	}
	if v.raw == nil && v.key.IsZero() {
		return nil, errs.E(errs.Invalid, "validate", typ, "请提交要校验的资源。", "Send the resource to validate.").At("resource")
	}
	return v, nil
}

func (v *validation) readQuery(query url.Values) error {
	for name, values := range query {
		switch name {
		case "_format", "_pretty":
		case "mode":
			v.mode = values[len(values)-1]
		case "profile":
			v.profiles = append(v.profiles, values...)
		default:
			return unknownParameter(name)
		}
	}
	return nil
}

// readBody gives the resource of the body: the one in a Parameters resource, or
// the body itself; nil where the Parameters have none.
func (v *validation) readBody(raw []byte) ([]byte, error) {
	if name, _ := clinical.Head(raw); name != "Parameters" {
		return raw, nil
	}
	var in struct {
		Parameter []struct {
			Name           string          `json:"name"`
			Resource       json.RawMessage `json:"resource"`
			ValueCode      string          `json:"valueCode"`
			ValueString    string          `json:"valueString"`
			ValueURI       string          `json:"valueUri"`
			ValueCanonical string          `json:"valueCanonical"`
		} `json:"parameter"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, errs.E(errs.Invalid, "validate", "Parameters", "Parameters 资源无法读取；请核对 JSON。", "The Parameters resource cannot be read; check the JSON.").At("Parameters").Because(err)
	}
	ours := func(name string) bool { return name == "resource" || name == "mode" || name == "profile" }
	if v.typ == "Parameters" && (len(in.Parameter) == 0 || !ours(in.Parameter[0].Name)) {
		return raw, nil // it is itself what is to be validated
	}
	var resource []byte
	for _, p := range in.Parameter {
		value := p.ValueCode + p.ValueString + p.ValueURI + p.ValueCanonical
		switch p.Name {
		case "resource":
			resource = p.Resource
		case "mode":
			v.mode = value
		case "profile":
			v.profiles = append(v.profiles, value)
		default:
			return nil, unknownParameter(p.Name)
		}
	}
	return resource, nil
}

// judge does what is asked.
func (d *Door) judge(ctx context.Context, p *identity.Principal, v *validation, profiles *clinical.Profiles) (operationOutcome, error) {
	var current record.Record
	if !v.key.IsZero() && (v.raw == nil || v.mode == modeUpdate || v.mode == modeDelete) {
		var err error
		if current, err = d.k.Read(ctx, p, v.key); err != nil {
			return operationOutcome{}, err
		}
	}
	out := operationOutcome{ResourceType: "OperationOutcome"}
	if v.mode == modeDelete {
		if err := d.mayDelete(ctx, p, v, &current, &out); err != nil {
			return out, err
		}
		return out.concluded(v.lang), nil
	}
	raw := v.raw
	if raw == nil {
		raw = appendResource(nil, &current)
	}
	decl := d.k.Registry().Find(v.typ)
	doc, _, err := d.format.Parse(decl, raw)
	if err != nil {
		return outcomeOf(err, v.lang), nil
	}
	validator := clinical.NewValidator(clinical.ValidatorOptions{
		Advice: true, Profiles: profiles.Find, Now: d.k.Clock().Now,
		Contains: func(valueSet, system, code string) (in, known bool) {
			in, known, err := d.terms.Contains(ctx, p, valueSet, system, code)
			return in, known && err == nil
		},
		Resolve: func(ref string) (map[string]any, bool) { return d.resolve(ctx, p, ref) },
	})
	for _, i := range validator.Check(v.typ, doc, v.profiles...) {
		out.Issue = append(out.Issue, issueOf(&i, v.lang))
	}
	if v.mode == modeCreate || v.mode == modeUpdate {
		d.mayWrite(ctx, p, v, raw, &out)
	}
	return out.concluded(v.lang), nil
}

// concluded adds the sentence that all is well where nothing is wrong.
func (o operationOutcome) concluded(lang string) operationOutcome {
	for _, i := range o.Issue {
		if i.Severity == clinical.SeverityError || i.Severity == "fatal" {
			return o
		}
	}
	sentence := "校验通过。"
	if lang == "en" {
		sentence = "All OK: no error was found."
	}
	o.Issue = append(o.Issue, issue{Severity: clinical.SeverityInformation, Code: "informational", Details: text{sentence}})
	return o
}

// resolve finds a record that a reference names, as p may see it.
func (d *Door) resolve(ctx context.Context, p *identity.Principal, ref string) (map[string]any, bool) {
	l, ok := clinical.ParseReference(ref)
	if !ok || l.Type == "" {
		return nil, false
	}
	// What is looked up to judge something else is not shown to anybody.
	rec, err := d.k.Read(audit.WithTrail(ctx, nil), p, l.Key())
	if err != nil {
		return nil, false
	}
	doc, err := shape.Object(rec.Data)
	return doc, err == nil
}

// mayWrite adds what would stand against writing the resource beside its
// content: the right to do so, the id, references that point to nothing.
func (d *Door) mayWrite(ctx context.Context, p *identity.Principal, v *validation, raw []byte, out *operationOutcome) {
	change := kernel.Change{Op: record.Create, Key: record.Key{Kind: v.typ}, Expect: kernel.AnyVersion, Data: raw}
	if v.mode == modeUpdate {
		change.Op, change.Key = record.Update, v.key
		if _, id := clinical.Head(raw); id != v.key.ID {
			out.add(errs.E(errs.Invalid, "update", v.key.String(), "资源中的 id 应与地址中的编号 "+v.key.ID+" 一致。", "The id in the resource must be that of the address, "+v.key.ID+".").At(v.typ+".id"), v.lang)
		}
	}
	pr, err := d.k.Prepare(ctx, p, change)
	if err != nil {
		if !errs.Is(err, errs.Invalid) { // what is invalid was said above
			out.add(err, v.lang)
		}
		return
	}
	keys := pr.Keys()[1:]
	slices.SortFunc(keys, func(a, b record.Key) int { return strings.Compare(a.String(), b.String()) })
	for _, key := range slices.Compact(keys) {
		if _, err := d.k.Read(audit.WithTrail(ctx, nil), p, key); errs.Is(err, errs.NotFound) {
			out.add(errs.E(errs.NotFound, "reference", key.String(), "引用的 "+key.String()+" 不存在，请先建立或改正引用。", "The reference "+key.String()+" points to nothing; create it first or correct the reference."), v.lang)
		}
	}
}

// mayDelete says what stands against deleting a record: the right to do so, and
// what refers to it.
func (d *Door) mayDelete(ctx context.Context, p *identity.Principal, v *validation, rec *record.Record, out *operationOutcome) error {
	ok, err := d.k.May(ctx, p, rec, "delete")
	if err != nil {
		return err
	}
	if !ok {
		out.add(errs.E(errs.Forbidden, "delete", v.key.String(), "您没有权限删除 "+v.key.String()+"。", "You may not delete "+v.key.String()+"."), v.lang)
	}
	const shown = 20
	links, err := d.k.Referring(ctx, p, v.key, shown)
	if err != nil {
		return err
	}
	for _, l := range links {
		if from := l.From.String(); from != v.key.String() {
			out.add(errs.E(errs.Conflict, "delete", from, from+" 引用了它，不能删除。", "It cannot be deleted: "+from+" refers to it."), v.lang)
		}
	}
	return nil
}
