package fhir

import (
	"net/http"
	"slices"

	"zhiwei/door/gate"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

func (d *Door) documentRoutes() []gate.Route {
	return []gate.Route{{Method: http.MethodGet, Pattern: Prefix + "/Composition/{id}/$document", Permission: gate.Can("Composition", "read"), Action: "document", Handle: d.document, Problem: d.problem}}
}

// document answers GET /fhir/Composition/id/$document: the composition, first,
// and all it refers to, as a document (R4 §3.3.1, Composition/$document). It is
// made anew each time and not kept.
func (d *Door) document(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	query := r.URL.Query()
	if err := acceptable(r, query); err != nil {
		return err
	}
	if err := onlyKnown(query, "persist"); err != nil {
		return err
	}
	if v := query.Get("persist"); v != "" && v != "false" {
		return badParameter("persist", "文档不在服务器上另存；请去掉 persist，或由客户端保存后用 POST /fhir/Bundle 提交。", "Documents are not kept here; leave persist out, or send the document to POST /fhir/Bundle.")
	}
	id := r.PathValue("id")
	if !record.ValidID(id) {
		return errs.NotFoundf("read", "Composition/%s", id)
	}
	root, err := d.k.Read(r.Context(), p, record.Key{Kind: "Composition", ID: id})
	if err != nil {
		return err
	}
	audit.TrailOf(r.Context()).Name("document", root.Key.String())
	found := map[record.Key]*record.Record{root.Key: &root}
	wanted := literals(root.Data)
	byKind := map[string][]record.Key{}
	for _, key := range wanted {
		byKind[key.Kind] = append(byKind[key.Kind], key)
	}
	for _, keys := range byKind {
		for part := range slices.Chunk(keys, 500) {
			records, err := d.readMany(r.Context(), p, part)
			if err != nil {
				return err
			}
			for i := range records {
				found[records[i].Key] = &records[i]
			}
		}
	}
	base := d.baseURL(r)
	b := append([]byte(nil), `{"resourceType":"Bundle","type":"document","identifier":{"system":"urn:ietf:rfc:3986","value":"`...)
	b = append(append(b, base...), "/"+historyOf(&root)...)
	b = append(append(append(b, `"},"timestamp":"`...), lastModified(d.k.Clock().Now())...), `","entry":[`...)
	for i, key := range append([]record.Key{root.Key}, wanted...) {
		rec := found[key]
		if rec == nil || i > 0 && key == root.Key {
			continue // hidden, or not here: the reference stays
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"fullUrl":"`...), base+"/"+key.String()...), `","resource":`...)
		b = append(appendResource(b, rec), '}')
	}
	send(w, r, http.StatusOK, append(b, "]}"...))
	return nil
}
