package fhir

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"zhiwei/domain/clinical"
	"zhiwei/door/fhir/pathpatch"
	"zhiwei/door/gate"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

func (d *Door) diffRoutes() []gate.Route {
	return []gate.Route{
		{Method: http.MethodGet, Pattern: Prefix + "/{type}/{id}/$diff", Permission: gate.CanNamed("type", "read"), Action: "history", Handle: d.diff, Problem: d.problem},
		{Method: http.MethodGet, Pattern: Prefix + "/$diff", Permission: gate.SignedIn, Action: "history", Handle: d.diff, Problem: d.problem},
	}
}

// diff answers GET /fhir/Type/id/$diff?fromVersion=…&toVersion=…, the newest
// version and the one before it where they are not given, and
// GET /fhir/$diff?from=Type/id&to=Type/id, each with or without a version. The
// answer is the FHIRPath Patch that makes the second of the first.
func (d *Door) diff(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	query := r.URL.Query()
	if err := acceptable(r, query); err != nil {
		return err
	}
	from, to, err := d.compared(r, query)
	if err != nil {
		return err
	}
	after, err := d.readLiteral(r, p, to)
	if err != nil {
		return err
	}
	if from.Version == "" && from.ID == to.ID { // the one before
		if from.Version = strconv.FormatInt(after.Version-1, 10); after.Version == 1 {
			return errs.E(errs.NotFound, "diff", to.Key().String(), to.Key().String()+" 只有一个版本，没有可比较的。", to.Key().String()+" has one version alone; there is nothing to compare it with.")
		}
	}
	before, err := d.readLiteral(r, p, from)
	if err != nil {
		return err
	}
	x, err := document(&before)
	if err != nil {
		return err
	}
	y, err := document(&after)
	if err != nil {
		return err
	}
	out, err := pathpatch.Diff(to.Type, x, y)
	if err != nil {
		return err
	}
	return sendJSON(w, r, http.StatusOK, out)
}

// compared reads which two versions are to be compared.
func (d *Door) compared(r *http.Request, query url.Values) (from, to clinical.Literal, err error) {
	known := []string{"from", "to"}
	if r.PathValue("type") != "" {
		key, err := keyOf(r)
		if err != nil {
			return from, to, err
		}
		from = clinical.Literal{Type: key.Kind, ID: key.ID, Version: query.Get("fromVersion")}
		to = clinical.Literal{Type: key.Kind, ID: key.ID, Version: query.Get("toVersion")}
		known = []string{"fromVersion", "toVersion"}
	}
	if err := onlyKnown(query, known...); err != nil {
		return from, to, err
	}
	if from.Type != "" {
		return from, to, nil
	}
	for _, name := range known {
		l, ok := clinical.ParseReference(trimBase(query.Get(name), d.baseURL(r)))
		if !ok || l.URL != "" {
			return from, to, badParameter(name, name+" 应为 类型/编号 或 类型/编号/_history/版本。", name+" is Type/id or Type/id/_history/version.")
		}
		if name == "from" {
			from = l
		} else {
			to = l
		}
	}
	if from.Type != to.Type {
		return from, to, badParameter("to", "只能比较同一类型的资源。", "Only resources of one type can be compared.")
	}
	return from, to, nil
}

// readLiteral reads the version a reference names, the newest where it names
// none.
func (d *Door) readLiteral(r *http.Request, p *identity.Principal, l clinical.Literal) (record.Record, error) {
	if l.Version == "" {
		return d.k.Read(r.Context(), p, l.Key())
	}
	v, err := strconv.ParseInt(l.Version, 10, 64)
	if err != nil || v < 1 {
		return record.Record{}, errs.NotFoundf("read", "%s/_history/%s", l.Key(), clipped(l.Version, 20))
	}
	return d.k.ReadVersion(r.Context(), p, l.Key(), v)
}

// document decodes the resource of a record, numbers as json.Number.
func document(rec *record.Record) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(appendResource(nil, rec)))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		return nil, errs.Wrap("read", rec.Key.String(), err)
	}
	return doc, nil
}
