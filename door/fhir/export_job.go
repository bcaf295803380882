package fhir

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"slices"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/kernel/app"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// ExportKind is the kind that says who asked for which export, how far it is and
// which files it has made.
const ExportKind = "export-job"

// Exports is the application that makes the files of $export: a loop over the
// jobs, which carries on wherever it was killed, since each step ends with the
// job's record saying what is done. It does not answer requests; a Door does.
type Exports struct {
	// Of gives whoever asked as they stand now: an export ends where its owner is
	// gone or has lost the right to it. It is that of domain/people.
	Of func(ctx context.Context, id string) (*identity.Principal, error)

	door *Door // set by New
}

var _ app.Module = &Exports{}

// Register implements app.Module.
func (x *Exports) Register(r *app.Registrar) error {
	r.Kind(exportKind())
	r.Loop(loop.Loop{
		Name: "export", Title: kind.T("批量导出", "Bulk export"), Look: x.look,
		Watch: []loop.Watch{{Kind: ExportKind, States: []string{"running", "ending"}}},
	})
	return nil
}

// keepExports is how long the files of an export can be fetched.
const keepExports = 24 * time.Hour

// exportJob is the data of a job.
type exportJob struct {
	Request string       `json:"request"` // URL of the kick-off
	Level   string       `json:"level"`   // system, patient
	Members []string     `json:"members,omitempty"`
	Plan    []exportPass `json:"plan"`
	Next    exportPlace  `json:"next"`
	Files   []exportFile `json:"files"`
	Count   int64        `json:"count"`
	Expires *time.Time   `json:"expires,omitempty"`
	Failure string       `json:"failure,omitempty"`
}

// exportPass is one type to be exported and which of its records.
type exportPass struct {
	Type  string `json:"type"`
	Query string `json:"query,omitempty"` // criteria, percent-encoded
}

// exportPlace is where the next step begins.
type exportPlace struct {
	Pass  int    `json:"pass"`
	Part  int    `json:"part"`            // of the members, exportMembers each
	After string `json:"after,omitempty"` // cursor of the store
}

// exportFile is one NDJSON file, kept compressed as a blob.
type exportFile struct {
	Type    string `json:"type"`
	Address string `json:"address"`
	Count   int    `json:"count"`
	Size    int64  `json:"size"` // of the NDJSON, in bytes
}

// Bounds of one step and of one file. A step that is killed is done again.
const (
	exportFileSize = 16 << 20 // of NDJSON
	exportMembers  = 200      // patients asked for at once
)

func exportKind() kind.Kind {
	T := kind.T
	internal := func(name, zh, en string) kind.Field {
		return kind.Field{Name: name, Type: kind.Any, Title: T(zh, en), ReadOnly: true}
	}
	return kind.Kind{
		Name: ExportKind, Plural: "export-jobs", App: clinical.Menu, Title: T("批量导出", "Bulk export"),
		Help: T("谁要求导出什么、做到哪里、生成了哪些文件。", "Who asked for which export, how far it is, and which files it made."),
		Fields: []kind.Field{
			{Name: "request", Type: kind.String, Title: T("请求", "Request"), Required: true},
			{Name: "level", Type: kind.String, Title: T("范围", "Level"), Required: true},
			internal("members", "患者", "Patients"), internal("plan", "计划", "Plan"), internal("next", "进度", "Place"), internal("files", "文件", "Files"),
			{Name: "count", Type: kind.Int, Title: T("资源数", "Resources"), ReadOnly: true},
			{Name: "expires", Type: kind.Time, Title: T("有效期至", "Expires"), ReadOnly: true},
			{Name: "failure", Type: kind.Markdown, Title: T("失败原因", "Failure"), ReadOnly: true},
		},
		Access: []kind.Grant{{Role: clinical.RoleAdmin, Can: []string{"read", "history", "cancel"}}, {Role: "*", Can: []string{"read", "cancel"}, When: kind.Own}},
		Place:  kind.Place{Owner: "@creator"},
		Lifecycle: &kind.Lifecycle{
			Start: "running",
			States: []kind.State{
				{Name: "running", Title: T("导出中", "Running"), Tone: "info"},
				{Name: "done", Title: T("已完成", "Done"), Tone: "good", Limit: &kind.Limit{After: "24h", Then: "expire"}},
				{Name: "failed", Title: T("失败", "Failed"), Tone: "bad", Limit: &kind.Limit{After: "24h", Then: "expire"}},
				{Name: "ending", Title: T("清理中", "Being cleared"), Tone: "idle"},
				{Name: "gone", Title: T("已清理", "Cleared"), Tone: "idle", Final: true},
			},
			Verbs: []kind.Verb{
				{Name: "advance", Title: T("推进", "Advance"), From: []string{"running"}, Clock: true, Input: []string{"next", "files", "count"}},
				{Name: "finish", Title: T("完成", "Finish"), From: []string{"running"}, To: "done", Clock: true, Input: []string{"next", "files", "count", "expires"}},
				{Name: "fail", Title: T("失败", "Fail"), From: []string{"running"}, To: "failed", Clock: true, Input: []string{"failure"}},
				{Name: "cancel", Title: T("取消", "Cancel"), From: []string{"running", "done", "failed"}, To: "ending", Confirm: true},
				{Name: "expire", Title: T("到期", "Expire"), From: []string{"done", "failed"}, To: "ending", Clock: true},
				{Name: "clear", Title: T("清理", "Clear"), From: []string{"ending"}, To: "gone", Clock: true, Input: []string{"files"}},
			},
		},
		View: kind.View{TitleField: "request", Columns: []string{"request", "level", "count", "state", "updatedAt"}, Filters: []string{"_state"}, Menu: clinical.Menu, Icon: "Download", Order: 220},
	}
}

// look takes one step of a job: one file, or the removal of all.
func (x *Exports) look(ctx context.Context, h *loop.Handle, key record.Key) (time.Duration, error) {
	r, ok, err := h.Read(ctx, key)
	if err != nil || !ok || x.door == nil {
		return 0, err
	}
	var job exportJob
	if err := json.Unmarshal(r.Data, &job); err != nil {
		return 0, errs.Wrap("export", key.String(), err)
	}
	said := func(verb string, input any) error {
		err := h.Say(ctx, r, verb, input)
		if errs.Is(err, errs.Conflict) {
			return nil // it was cancelled meanwhile; the feed brings it back
		}
		return err
	}
	switch r.State {
	case "ending":
		for _, f := range job.Files {
			if err := h.Kernel().Blobs().Delete(ctx, f.Address); err != nil {
				return 0, err
			}
		}
		return 0, said("clear", object{"files": []exportFile{}})
	case "running":
	default:
		return 0, nil
	}
	p, err := x.Of(ctx, r.Place.Owner)
	if err == nil {
		err = x.step(ctx, p, r.ID, &job)
	}
	switch errs.KindOf(err) {
	case errs.Internal, errs.Unavailable:
		if err != nil {
			return 0, err // tried again
		}
	default:
		return 0, said("fail", object{"failure": errs.Sentence(err, "zh") + " / " + errs.Sentence(err, "en")})
	}
	if job.Next.Pass == len(job.Plan) {
		until := h.Clock().Now().Add(keepExports).UTC().Truncate(time.Second)
		return 0, said("finish", object{"next": job.Next, "files": job.Files, "count": job.Count, "expires": until})
	}
	return time.Millisecond, said("advance", object{"next": job.Next, "files": job.Files, "count": job.Count})
}

// step writes the next file and moves the job's place behind it; types that hold
// nothing are passed.
func (x *Exports) step(ctx context.Context, p *identity.Principal, id string, job *exportJob) error {
	d := x.door
	var out []byte
	n := 0
	typ := ""
	for job.Next.Pass < len(job.Plan) && len(out) < exportFileSize {
		pass := job.Plan[job.Next.Pass]
		if n > 0 && pass.Type != typ {
			break // a file holds one type
		}
		typ = pass.Type
		q, earlier, more, err := d.exportQuery(job, pass)
		if err != nil {
			return err
		}
		page, err := d.k.Search(ctx, p, q)
		if err != nil {
			return err
		}
		for i := range page.Records {
			rec := &page.Records[i]
			if job.Level == "patient" && !ofMember(rec, job.Members, earlier) {
				continue
			}
			out = append(appendResource(out, rec), '\n')
			n++
		}
		switch {
		case page.Next != "":
			job.Next.After = page.Next
		case more:
			job.Next.Part, job.Next.After = job.Next.Part+1, ""
		default:
			job.Next = exportPlace{Pass: job.Next.Pass + 1}
		}
	}
	if n == 0 {
		return nil
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	// Blobs are kept by their content: the name of the job in it makes the file this
	// job's alone, so that it can be removed with it.
	z.Comment = ExportKind + "/" + id
	if _, err := z.Write(out); err != nil {
		return errs.Wrap("export", id, err)
	}
	if err := z.Close(); err != nil {
		return errs.Wrap("export", id, err)
	}
	address, _, err := d.k.Blobs().Put(ctx, &zipped, 0)
	if err != nil {
		return err
	}
	job.Files = append(job.Files, exportFile{Type: typ, Address: address, Count: n, Size: int64(len(out))})
	job.Count += int64(n)
	return nil
}

// exportQuery asks for the records of one pass at the job's place. earlier is
// how many members were asked for before; more tells that others follow.
func (d *Door) exportQuery(job *exportJob, pass exportPass) (q search.Query, earlier int, more bool, err error) {
	a, err := d.parseQuery(pass.Type, pass.Query, "", false)
	if err != nil {
		return q, 0, false, err
	}
	q = search.Query{Kind: pass.Type, Where: a.query.Where, Limit: maxCount, After: job.Next.After}
	if len(job.Members) == 0 {
		return q, 0, false, nil
	}
	earlier = job.Next.Part * exportMembers
	end := min(earlier+exportMembers, len(job.Members))
	var any, ids []search.Value
	for _, m := range job.Members[earlier:end] {
		if key, ok := record.ParseKey(m); ok {
			any = append(any, search.Value{Ref: key})
			ids = append(ids, search.Value{AnySystem: true, Code: key.ID})
		}
	}
	k := d.k.Registry().Find(pass.Type)
	var of []search.Clause
	for _, name := range clinical.CompartmentParams("Patient", k) {
		if k.Param(name) != nil {
			of = append(of, search.Clause{Param: name, Any: any})
		}
	}
	if pass.Type == "Patient" {
		of = []search.Clause{{Param: search.ParamID, Any: ids}}
	}
	if len(of) == 1 {
		q.Where = append(slices.Clone(q.Where), of[0])
	} else {
		q.Where = append(slices.Clone(q.Where), search.Clause{Or: of})
	}
	return q, earlier, end < len(job.Members), nil
}

// ofMember tells whether a record is of a patient, of one of the members where
// there are any, and of none of the earlier ones, with whom it went out.
func ofMember(rec *record.Record, members []string, earlier int) bool {
	patient := false
	for _, key := range append([]record.Key{rec.Place.Subject}, rec.Place.Others...) {
		if key.Kind != "Patient" {
			continue
		}
		patient = true
		if i := slices.Index(members, key.String()); i >= 0 && i < earlier {
			return false
		}
	}
	return patient || len(members) > 0
}
