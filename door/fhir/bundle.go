package fhir

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"zhiwei/domain/clinical"
	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// bundle answers POST /fhir and POST /fhir/: a transaction, all or nothing, or
// a batch, each entry for itself.
func (d *Door) bundle(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := acceptable(r, r.URL.Query()); err != nil {
		return err
	}
	raw, err := body(r)
	if err != nil {
		return err
	}
	b, err := clinical.ParseBundle(raw)
	if err != nil {
		return err
	}
	pr := processing{d: d, ctx: r.Context(), p: p, base: d.baseURL(r), lang: gate.Lang(r), full: preferOf(r).answer == "representation", told: preferOf(r).answer == "OperationOutcome"}
	var answers []entryAnswer
	switch b.Type {
	case "transaction":
		answers, err = pr.transaction(b.Entries)
	case "batch":
		answers = pr.batch(b.Entries)
	default:
		err = errs.E(errs.Invalid, "transaction", b.Type, "发送到 "+Prefix+" 的 Bundle 类型应为 transaction 或 batch。", "A Bundle sent to "+Prefix+" is a transaction or a batch.").At("Bundle.type")
	}
	if err != nil {
		return err
	}
	return pr.respond(w, r, b.Type+"-response", answers)
}

// processing is one Bundle being worked through.
type processing struct {
	d    *Door
	ctx  context.Context
	p    *identity.Principal
	base string
	lang string
	full bool // Prefer: return=representation
	told bool // Prefer: return=OperationOutcome
}

// entryAnswer is what came of one entry.
type entryAnswer struct {
	status int
	rec    *record.Record // what was read or written; nil where nothing
	body   []byte         // of a read: a resource or a searchset
	err    error

	location string // where it is neither read nor written here

	records int    // read, for the audit
	about   string // the one person they are about, where there is one
}

// transaction does all entries or none. Reads come last, in the same
// transaction, and see what it wrote (R4 §3.1.0.11.2).
func (pr processing) transaction(entries []clinical.Entry) ([]entryAnswer, error) {
	answers := make([]entryAnswer, len(entries))
	steps := make([]*step, 0, len(entries))
	places := make([]int, 0, len(entries))
	var reads []int
	for i := range entries {
		s, err := newStep(i, &entries[i], pr.base)
		if err != nil {
			return nil, err
		}
		if s == nil {
			reads = append(reads, i)
			continue
		}
		steps = append(steps, s)
		places = append(places, i)
	}
	c := commitment{base: pr.base, prio: store.Person, links: true}
	c.reads = func(t *kernel.Txn) error {
		for _, i := range reads {
			if answers[i] = pr.get(entries[i].Request, txnReader{t, pr}); answers[i].err != nil {
				return errAt(answers[i].err, "Bundle.entry["+strconv.Itoa(i)+"]")
			}
		}
		return nil
	}
	if err := pr.d.commit(pr.ctx, pr.p, steps, c); err != nil {
		return nil, err
	}
	trail := audit.TrailOf(pr.ctx)
	for _, i := range reads {
		trail.ReadMany(answers[i].about, answers[i].records)
	}
	for j, s := range steps {
		answers[places[j]] = entryAnswer{status: s.outcome, rec: &s.result}
	}
	return answers, nil
}

// reader reads for an entry of a Bundle: through the kernel, or inside a
// transaction.
type reader interface {
	read(key record.Key) (record.Record, error)
	search(q search.Query) (search.Page, error)
}

// kernelReader reads what is committed; the kernel notes it for the audit.
type kernelReader struct{ processing }

func (r kernelReader) read(key record.Key) (record.Record, error) {
	return r.d.k.Read(r.ctx, r.p, key)
}

func (r kernelReader) search(q search.Query) (search.Page, error) {
	return r.d.k.Search(r.ctx, r.p, q)
}

// txnReader reads inside a transaction.
type txnReader struct {
	t *kernel.Txn
	processing
}

func (r txnReader) read(key record.Key) (record.Record, error) { return r.t.Get(key) }

func (r txnReader) search(q search.Query) (search.Page, error) { return r.t.Search(q) }

// batchWorkers is how many entries of a batch are written at a time: enough for
// the store to merge them into few commits.
const batchWorkers = 16

// batch does each entry for itself, writes before reads.
func (pr processing) batch(entries []clinical.Entry) []entryAnswer {
	answers := make([]entryAnswer, len(entries))
	for wave := range len(order) + 1 {
		gate := make(chan struct{}, batchWorkers)
		var wg sync.WaitGroup
		for i := range entries {
			if waveOf(entries[i].Request) != wave {
				continue
			}
			gate <- struct{}{}
			wg.Go(func() {
				answers[i] = pr.alone(i, &entries[i])
				<-gate
			})
		}
		wg.Wait()
	}
	return answers
}

// waveOf is the place of a request in the order of a batch; what is no write
// comes last.
func waveOf(r *clinical.Request) int {
	for i, methods := range order {
		if r != nil && slices.Contains(methods, r.Method) {
			return i
		}
	}
	return len(order)
}

// alone does one entry of a batch.
func (pr processing) alone(i int, e *clinical.Entry) entryAnswer {
	switch {
	case isRead(e.Request):
		a := pr.get(e.Request, kernelReader{pr})
		if a.err != nil {
			a.err = errAt(a.err, "Bundle.entry["+strconv.Itoa(i)+"].request.url")
		}
		return a
	case e.Request != nil && e.Request.Method == http.MethodPost && strings.Contains(e.Request.URL, "$"):
		return pr.inside(e.Request, e.Resource)
	}
	s, err := newStep(i, e, pr.base)
	if err == nil {
		err = pr.d.commit(pr.ctx, pr.p, []*step{s}, commitment{base: pr.base, prio: store.Person, links: true})
	}
	if err != nil {
		return entryAnswer{status: statusOf(err), err: err}
	}
	return entryAnswer{status: s.outcome, rec: &s.result}
}

func isRead(r *clinical.Request) bool {
	return r != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// newStep reads what an entry asks. It is nil for reads. Invalid with the place
// of the entry.
func newStep(i int, e *clinical.Entry, base string) (*step, error) {
	place := "Bundle.entry[" + strconv.Itoa(i) + "]"
	bad := func(inside, zh, en string) error {
		return errs.E(errs.Invalid, "transaction", place, zh, en).At(place + inside)
	}
	if e.Request == nil {
		return nil, bad(".request", "条目缺少 request。", "The entry has no request.")
	}
	if isRead(e.Request) {
		return nil, nil
	}
	s := &step{place: place, method: e.Request.Method, raw: e.Resource, fullURL: e.FullURL, ifMatch: kernel.AnyVersion}
	path, query, _ := strings.Cut(trimBase(e.Request.URL, base), "?")
	path = strings.TrimPrefix(path, "/")
	var id string
	s.typ, id, _ = strings.Cut(path, "/")
	if !clinical.IsResourceType(s.typ) {
		return nil, bad(".request.url", "request.url “"+e.Request.URL+"” 应以资源类型开头。", "request.url "+strconv.Quote(e.Request.URL)+" should begin with a resource type.")
	}
	if id != "" && !record.ValidID(id) {
		return nil, bad(".request.url", "request.url 中的编号无效。", "The id in request.url is not valid.")
	}
	s.given, s.query = id, query
	switch s.method {
	case http.MethodPost:
		if id != "" || query != "" {
			return nil, bad(".request.url", "POST 的地址只写资源类型。", "The address of a POST is the resource type alone.")
		}
		s.query = noneExist(s.typ, e.Request.IfNoneExist)
	case http.MethodPut:
		if (id == "") == (query == "") {
			return nil, bad(".request.url", "PUT 的地址应为 类型/编号 或 类型?条件。", "The address of a PUT is Type/id or Type?criteria.")
		}
		if id != "" && e.ID != id {
			return nil, bad(".resource.id", "资源中的 id 应与 request.url 中的编号一致。", "The id in the resource must be that of request.url.")
		}
		if id == "" {
			s.given = e.ID
		}
	case http.MethodPatch:
		if (id == "") == (query == "") {
			return nil, bad(".request.url", "PATCH 的地址应为 类型/编号 或 类型?条件。", "The address of a PATCH is Type/id or Type?criteria.")
		}
		if e.Resource == nil {
			return nil, bad(".resource", "补丁应放在 resource 中：含 JSON Patch 的 Binary，或 FHIRPath Patch 的 Parameters。", "The patch stands in resource: a Binary with a JSON Patch, or the Parameters of a FHIRPath Patch.")
		}
		var err error
		if s.patch, err = entryPatch(s.typ, e); err != nil {
			return nil, errAt(err, place+".resource")
		}
		s.raw = nil
	case http.MethodDelete:
		if (id == "") == (query == "") {
			return nil, bad(".request.url", "DELETE 的地址应为 类型/编号 或 类型?条件。", "The address of a DELETE is Type/id or Type?criteria.")
		}
		if strings.Contains(query, "_count=") {
			criteria, err := url.ParseQuery(query)
			if err == nil {
				s.many, err = deleteCount(criteria)
			}
			if err != nil {
				return nil, errAt(err, place+".request.url")
			}
			criteria.Del("_count")
			if s.query = criteria.Encode(); s.query == "" {
				return nil, errAt(noCriteria(s.typ), place+".request.url")
			}
		}
		s.raw = nil
	default:
		return nil, bad(".request.method", "不支持在 Bundle 中使用 "+s.method+"。", s.method+" is not supported in a Bundle.")
	}
	if s.method == http.MethodPost || s.method == http.MethodPut {
		if e.Resource == nil {
			return nil, bad(".resource", "条目缺少 resource。", "The entry has no resource.")
		}
		if e.Type != s.typ {
			return nil, bad(".resource", "request.url 要求 "+s.typ+"，资源却是 "+e.Type+"。", "request.url asks for "+s.typ+" but the resource is "+e.Type+".")
		}
	}
	if err := s.match(e.Request.IfMatch, e.Request.IfNoneMatch); err != nil {
		return nil, errAt(err, place+".request")
	}
	return s, nil
}

// errAt puts a place on an error that has none.
func errAt(err error, place string) error {
	return (&step{place: place}).located(err, "")
}

// get answers a read or a search inside a Bundle. What else there is to be asked
// by GET, such as histories and operations, only a batch may ask for: a
// transaction reads what it has written itself.
func (pr processing) get(req *clinical.Request, from reader) entryAnswer {
	fail := func(err error) entryAnswer { return entryAnswer{status: statusOf(err), err: err} }
	path, query, _ := strings.Cut(strings.TrimPrefix(trimBase(req.URL, pr.base), "/"), "?")
	typ, rest, _ := strings.Cut(path, "/")
	literal, known := clinical.ParseReference(path)
	switch {
	case clinical.IsResourceType(typ) && rest == "":
		return pr.find(typ, query, from)
	case !known || literal.URL != "":
		if _, alone := from.(kernelReader); alone && (!clinical.IsResourceType(path) && path != "") {
			return pr.inside(req, nil)
		}
		if !clinical.IsResourceType(typ) {
			return fail(unknownType(typ))
		}
		return fail(errs.E(errs.Invalid, "transaction", path, "transaction 中只能读取和查询；历史和操作请放在 batch 中。", "A transaction takes reads and searches; put histories and operations into a batch."))
	}
	if values, err := url.ParseQuery(query); err != nil || onlyFormat(values) != nil {
		return fail(unknownParameter(query))
	}
	var rec record.Record
	var err error
	if literal.Version != "" {
		v, convErr := strconv.ParseInt(literal.Version, 10, 64)
		if convErr != nil {
			return fail(errs.NotFoundf("read", "%s", path))
		}
		rec, err = pr.d.k.ReadVersion(pr.ctx, pr.p, literal.Key(), v)
	} else {
		rec, err = from.read(literal.Key())
	}
	if err != nil {
		return fail(err)
	}
	a := entryAnswer{status: http.StatusOK, rec: &rec, records: 1, about: subjectOf(&rec)}
	if v, ok := versionOf(req.IfNoneMatch); ok && v == rec.Version {
		a.status = http.StatusNotModified
	} else if req.Method != http.MethodHead {
		a.body = appendResource(nil, &rec)
	}
	return a
}

// find answers a search on a type inside a Bundle.
func (pr processing) find(typ, query string, from reader) entryAnswer {
	fail := func(err error) entryAnswer { return entryAnswer{status: statusOf(err), err: err} }
	b, n, err := pr.d.searchset(pr.ctx, pr.p, searchRequest{types: []string{typ}, path: typ, raw: query, base: pr.base, lang: pr.lang, find: from.search})
	if err != nil {
		return fail(err)
	}
	return entryAnswer{status: http.StatusOK, body: b, records: n}
}

// respond writes the answers in the order of the entries.
func (pr processing) respond(w http.ResponseWriter, r *http.Request, typ string, answers []entryAnswer) error {
	b := make([]byte, 0, 256+200*len(answers))
	b = append(append(append(b, `{"resourceType":"Bundle","type":"`...), typ...), '"')
	if len(answers) > 0 {
		b = append(b, `,"entry":[`...)
	}
	for i := range answers {
		a := &answers[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		switch {
		case a.body != nil:
			b = append(append(append(b, `"resource":`...), a.body...), ',')
		case pr.full && a.err == nil && a.rec != nil && a.status != http.StatusNoContent:
			b = append(appendResource(append(b, `"resource":`...), a.rec), ',')
		}
		b = append(b, `"response":{"status":"`...)
		b = strconv.AppendInt(b, int64(a.status), 10)
		b = append(append(b, ' '), http.StatusText(a.status)...)
		b = append(b, '"')
		if a.err == nil && a.rec != nil && a.rec.Version > 0 {
			if a.body == nil && a.status != http.StatusNotModified {
				b = append(append(append(b, `,"location":"`...), historyOf(a.rec)...), '"')
			}
			b = append(b, `,"etag":"W/\"`...)
			b = strconv.AppendInt(b, a.rec.Version, 10)
			b = append(append(append(b, `\"","lastModified":"`...), lastModified(a.rec.UpdatedAt)...), '"')
		}
		if a.location != "" {
			b = append(append(append(b, `,"location":"`...), trimBase(a.location, pr.base)...), '"')
		}
		if a.err == nil && a.rec != nil && pr.told && a.body == nil {
			v := strconv.FormatInt(a.rec.Version, 10)
			o, err := json.Marshal(note("information", "informational", errs.Text{ZH: "已保存为第 " + v + " 版。", EN: "Saved as version " + v + "."}.In(pr.lang)))
			if err != nil {
				return errs.Wrap("batch", typ, err)
			}
			b = append(append(b, `,"outcome":`...), o...)
		}
		if a.err != nil {
			o, err := json.Marshal(outcomeOf(a.err, pr.lang))
			if err != nil {
				return errs.Wrap("batch", typ, err)
			}
			b = append(append(b, `,"outcome":`...), o...)
		}
		b = append(b, "}}"...)
	}
	if len(answers) > 0 {
		b = append(b, ']')
	}
	send(w, r, http.StatusOK, append(b, '}'))
	return nil
}
