package fhir

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// ndjson is the media type of exported files (Bulk Data Access 2.0.0, "Output
// Formats").
const ndjson = "application/fhir+ndjson"

func (d *Door) exportRoutes() []gate.Route {
	if d.exports == nil {
		return nil
	}
	route := func(method, pattern, action string, h gate.Handler) gate.Route {
		return gate.Route{Method: method, Pattern: Prefix + pattern, Permission: gate.SignedIn, Action: action, Handle: h, Problem: d.problem}
	}
	out := []gate.Route{
		route(http.MethodGet, "/$export-status", "export", d.exportStatus),
		route(http.MethodDelete, "/$export-status", "export", d.exportCancel),
		route(http.MethodGet, "/$export-file", "export", d.exportFile),
	}
	out[2].Within = time.Hour // a large file over a slow line
	for _, pattern := range []string{"/$export", "/Patient/$export", "/Group/{id}/$export"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			out = append(out, route(method, pattern, "export", d.export))
		}
	}
	return out
}

// export answers the kick-off of a bulk export: of the system, of all patients,
// or of the patients of a group (Bulk Data Access 2.0.0, "Bulk Data Kick-off
// Request").
func (d *Door) export(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if d.k.Blobs() == nil {
		return errs.E(errs.Unavailable, "export", "$export", "没有存放导出文件的地方；请信息科检查 --blobs 的设置。", "There is no place for exported files; ask the information department to check --blobs.")
	}
	if !strings.Contains(strings.Join(r.Header.Values("Prefer"), ","), "respond-async") {
		return errs.E(errs.Invalid, "export", "Prefer", "导出在后台进行；请发送 Prefer: respond-async。", "An export runs in the background; send Prefer: respond-async.").At("Prefer")
	}
	params, err := operationParams(r)
	if err != nil {
		return err
	}
	job := exportJob{Request: d.baseURL(r) + strings.TrimPrefix(r.URL.RequestURI(), Prefix), Level: "system", Files: []exportFile{}}
	if strings.HasPrefix(r.URL.Path, Prefix+"/Patient/") {
		job.Level = "patient"
	}
	if id := r.PathValue("id"); id != "" {
		job.Level = "patient"
		if job.Members, err = d.groupMembers(r, p, id); err != nil {
			return err
		}
	}
	if job.Plan, err = d.exportPlan(r, p, &job, params); err != nil {
		return err
	}
	data, err := json.Marshal(job)
	if err != nil {
		return errs.Wrap("export", job.Request, err)
	}
	audit.TrailOf(r.Context()).Name("export", clipped(r.URL.RequestURI(), 500))
	// No role is granted to create jobs: what is exported is what may be read.
	as := &identity.Principal{Type: identity.System, ID: p.ID, Name: p.Name, Behalf: p.Behalf, Purpose: p.Purpose, Session: p.Session}
	made, err := d.k.Write(r.Context(), as, kernel.Change{Op: record.Create, Key: record.Key{Kind: ExportKind}, Data: data})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Location", d.baseURL(r)+"/$export-status?job="+made[0].ID)
	return sendJSON(w, r, http.StatusAccepted, note("information", "informational", say(r, "导出已开始；请按 Content-Location 查询进度。", "The export has begun; ask for its progress at Content-Location.")))
}

func clipped(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }

// groupMembers lists the patients of a Group who are in it now.
func (d *Door) groupMembers(r *http.Request, p *identity.Principal, id string) ([]string, error) {
	if !record.ValidID(id) {
		return nil, errs.NotFoundf("read", "Group/%s", id)
	}
	rec, err := d.k.Read(r.Context(), p, record.Key{Kind: "Group", ID: id})
	if err != nil {
		return nil, err
	}
	var g struct {
		Member []struct {
			Entity struct {
				Reference string `json:"reference"`
			} `json:"entity"`
			Inactive bool `json:"inactive"`
		} `json:"member"`
	}
	if err := json.Unmarshal(rec.Data, &g); err != nil {
		return nil, errs.Wrap("export", rec.Key.String(), err)
	}
	var out []string
	for _, m := range g.Member {
		l, ok := clinical.ParseReference(m.Entity.Reference)
		if name := l.Key().String(); ok && l.Type == "Patient" && !m.Inactive && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return nil, errs.E(errs.Invalid, "export", rec.Key.String(), "这个 Group 中没有在册的患者，无可导出。", "There are no active patients in this Group, so there is nothing to export.").At("Group.member")
	}
	return out, nil
}

// exportPlan reads what is asked for: _type, _since, _typeFilter, patient and
// _outputFormat. All else is refused by name, or passed over where the client
// prefers that.
func (d *Door) exportPlan(r *http.Request, p *identity.Principal, job *exportJob, params url.Values) ([]exportPass, error) {
	lenient := preferOf(r).lenient
	var types []string
	var filters []string
	since := ""
	for name, values := range params {
		bad := func(zh, en string) error { return errs.E(errs.Invalid, "export", name, zh, en).At(name) }
		switch name {
		case "_format", "_pretty":
		case "_outputFormat":
			f := strings.ReplaceAll(values[0], " ", "+")
			if !slices.Contains([]string{ndjson, "application/ndjson", "ndjson"}, f) {
				return nil, bad("_outputFormat 只能是 "+ndjson+"。", "_outputFormat takes "+ndjson+" alone.")
			}
		case "_type":
			var err error
			if types, err = typeList(values); err != nil {
				return nil, err
			}
		case "_since":
			if _, err := time.Parse(time.RFC3339Nano, values[0]); err != nil {
				return nil, bad("_since 应为带时区的时刻，例如 2026-01-31T08:00:00+08:00（其中 + 在地址里写成 %2B）。", "_since is an instant with a zone, such as 2026-01-31T08:00:00+08:00 (write + as %2B in an address).")
			}
			since = lastUpdated + "=ge" + url.QueryEscape(values[0])
		case "_typeFilter":
			filters = values
		case "patient":
			if job.Level != "patient" {
				return nil, bad("参数 patient 只用于 Patient/$export 和 Group/编号/$export。", "The parameter patient is for Patient/$export and Group/id/$export.")
			}
			for _, v := range values {
				if key, ok := record.ParseKey(v); !ok || key.Kind != "Patient" {
					return nil, bad("patient 应为 Patient/编号。", "patient is Patient/id.")
				}
			}
			if job.Members == nil {
				job.Members = values
			} else {
				job.Members = slices.DeleteFunc(job.Members, func(m string) bool { return !slices.Contains(values, m) })
			}
			if len(job.Members) == 0 {
				return nil, bad("所列患者都不在这个 Group 中。", "None of these patients is in the Group.")
			}
		default:
			if !lenient {
				return nil, unknownParameter(name)
			}
		}
	}
	counts, err := d.k.Counts(r.Context(), p)
	if err != nil {
		return nil, err
	}
	all := len(types) == 0
	if all {
		types = clinical.ResourceTypes()
	}
	plan := []exportPass{}
	for _, typ := range types {
		if job.Level == "patient" && typ != "Patient" && clinical.CompartmentParams("Patient", d.k.Registry().Find(typ)) == nil {
			if all || lenient {
				continue
			}
			return nil, errs.E(errs.Invalid, "export", typ, typ+" 不属于患者分区；请用 "+Prefix+"/$export 导出。", typ+" is not in the compartment of patients; export it with "+Prefix+"/$export.").At("_type")
		}
		if counts[typ] == 0 && len(counts) > 0 {
			continue
		}
		query, err := d.typeFilter(typ, filters)
		if err != nil {
			return nil, err
		}
		plan = append(plan, exportPass{Type: typ, Query: strings.Trim(query+"&"+since, "&")})
	}
	for _, f := range filters {
		if typ, _, _ := strings.Cut(f, "?"); !slices.Contains(types, typ) {
			return nil, errs.E(errs.Invalid, "export", f, "_typeFilter 的类型 "+typ+" 不在导出之列。", "The type "+typ+" of the _typeFilter is not exported.").At("_typeFilter")
		}
	}
	return plan, nil
}

// typeFilter gives the criteria of a type: those of its _typeFilter, of which
// there may be one.
func (d *Door) typeFilter(typ string, filters []string) (string, error) {
	out := ""
	for _, f := range filters {
		name, query, _ := strings.Cut(f, "?")
		if name != typ {
			continue
		}
		if out != "" {
			return "", errs.E(errs.Invalid, "export", f, "每个类型只能有一个 _typeFilter；请把条件写在一起，或分别导出。", "Each type takes one _typeFilter; join the criteria, or export twice.").At("_typeFilter")
		}
		a, err := d.parseQuery(typ, query, "", false)
		if err != nil {
			return "", err
		}
		if len(a.query.Where) == 0 || len(a.query.Sort) > 0 || a.countOnly || a.query.Limit > 0 {
			return "", errs.E(errs.Invalid, "export", f, "_typeFilter 只写查询条件。", "A _typeFilter holds search criteria alone.").At("_typeFilter")
		}
		out = query
	}
	return out, nil
}

// exportOf finds the job a request names; NotFound for all but its owner.
func (d *Door) exportOf(r *http.Request, p *identity.Principal, known ...string) (record.Record, exportJob, error) {
	var job exportJob
	query := r.URL.Query()
	for name := range query {
		if name != "job" && !slices.Contains(known, name) {
			return record.Record{}, job, unknownParameter(name)
		}
	}
	key := record.Key{Kind: ExportKind, ID: query.Get("job")}
	missing := errs.E(errs.NotFound, "export", key.ID, "没有这个导出，或已过期、被取消；请重新发起导出。", "There is no such export, or it has expired or was cancelled; begin another.")
	if !record.ValidID(key.ID) {
		return record.Record{}, job, missing
	}
	rec, err := d.k.Store().Get(r.Context(), d.k.View(identity.Root()), key)
	if errs.Is(err, errs.NotFound) || err == nil && (rec.Deleted || rec.Place.Owner != p.ID || rec.State == "ending" || rec.State == "gone") {
		return record.Record{}, job, missing
	}
	if err == nil {
		err = errs.Wrap("export", key.String(), json.Unmarshal(rec.Data, &job))
	}
	return rec, job, err
}

// exportStatus answers GET /fhir/$export-status?job=…: 202 while it runs, then
// the list of files.
func (d *Door) exportStatus(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	rec, job, err := d.exportOf(r, p)
	if err != nil {
		return err
	}
	h := w.Header()
	switch rec.State {
	case "running":
		done := job.Next.Pass * 100 / max(len(job.Plan), 1)
		h.Set("X-Progress", strconv.Itoa(done)+"%; "+strconv.FormatInt(job.Count, 10)+" resources")
		h.Set("Retry-After", "2")
		w.WriteHeader(http.StatusAccepted)
		return nil
	case "failed":
		return withStatus(http.StatusInternalServerError, errs.E(errs.Conflict, "export", rec.ID, "导出失败："+job.Failure, "The export failed: "+job.Failure))
	}
	base := d.baseURL(r)
	files := make([]object, len(job.Files))
	for i, f := range job.Files {
		files[i] = object{"type": f.Type, "url": base + "/$export-file?job=" + rec.ID + "&n=" + strconv.Itoa(i), "count": f.Count}
	}
	if job.Expires != nil {
		h.Set("Expires", job.Expires.UTC().Format(http.TimeFormat))
	}
	return sendJSON(w, r, http.StatusOK, object{
		"transactionTime": lastModified(rec.CreatedAt), "request": job.Request, "requiresAccessToken": true, "output": files, "deleted": []object{}, "error": []object{},
	})
}

// exportCancel answers DELETE /fhir/$export-status?job=…: the job ends and its
// files go.
func (d *Door) exportCancel(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	rec, _, err := d.exportOf(r, p)
	if err != nil {
		return err
	}
	as := &identity.Principal{Type: identity.System, ID: p.ID, Name: p.Name, Behalf: p.Behalf, Purpose: p.Purpose, Session: p.Session}
	if _, err := d.k.Write(r.Context(), as, kernel.Change{Op: record.Verb, Key: rec.Key, Expect: kernel.AnyVersion, Verb: "cancel"}); err != nil {
		return err
	}
	return sendJSON(w, r, http.StatusAccepted, note("information", "informational", say(r, "导出已取消，文件将被清除。", "The export is cancelled and its files are being removed.")))
}

// exportFile answers GET /fhir/$export-file?job=…&n=…: one NDJSON file. It is
// kept compressed and sent so to whoever takes gzip.
func (d *Door) exportFile(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	rec, job, err := d.exportOf(r, p, "n")
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil || n < 0 || n >= len(job.Files) || rec.State != "done" {
		return errs.NotFoundf("export", "%s file %s", rec.ID, clipped(r.URL.Query().Get("n"), 20))
	}
	f := job.Files[n]
	if !d.k.Rules().MayEver(p, f.Type, "read") {
		return errs.E(errs.Forbidden, "export", f.Type, "您已无权查看 "+f.Type+"。", "You may no longer read "+f.Type+".")
	}
	blob, _, err := d.k.Blobs().Open(r.Context(), f.Address)
	if err != nil {
		return err
	}
	defer blob.Close()
	trail := audit.TrailOf(r.Context())
	trail.Name("export", ExportKind+"/"+rec.ID+" "+f.Type)
	trail.ReadMany("", f.Count)
	h := w.Header()
	h.Set("Content-Type", ndjson)
	h.Add("Vary", "Accept-Encoding")
	var src io.Reader = blob
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
	} else if src, err = gzip.NewReader(blob); err != nil {
		return errs.Wrap("export", f.Address, err)
	}
	w.WriteHeader(http.StatusOK)
	_, err = io.Copy(w, src)
	return errs.Wrap("export", f.Address, err)
}
