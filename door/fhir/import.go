package fhir

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"path"
	"strconv"

	"zhiwei/domain/clinical"
	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// Unit is what is imported at a time: one file, or one part of a long one.
type Unit struct {
	Name  string // as people know it; what it holds decides whether it is new
	Data  []byte // a Bundle or another resource, or, with Lines, one resource a line
	Lines bool
}

// Report is what came of a unit.
type Report struct {
	Name    string           `json:"name"`
	Already bool             `json:"already"`           // the same content was imported before
	Total   int64            `json:"total"`             // resources in it
	Counts  map[string]int64 `json:"counts"`            // resources by type, refused ones left out
	Matched int64            `json:"matched,omitempty"` // conditional creates that found their resource there
	Refused int64            `json:"refused,omitempty"` // of a batch: entries that were not acceptable
	Why     []string         `json:"why,omitempty"`     // the first refusals, with their places
}

// Bounds of an import.
const (
	// piece is how many resources share a transaction, so that nobody's own write
	// waits long behind an import.
	piece = 250
	// maxWhy is how many refusals a report tells.
	maxWhy = 20
)

// Import writes a unit by the same code and checks as POST /fhir, behind
// people's writes. Resources that the server names get ids derived from the
// content and their place, and how far the unit has come is kept in the same
// transactions: killed at any instant and begun again it ends the same, and a
// unit imported before is not written again.
//
// A transaction longer than a few hundred resources is checked as a whole, then
// written in pieces, in the order in which its resources refer to each other.
// It fails as a whole where any resource is refused by the checks. Of a batch
// and of single resources the acceptable ones are kept, the others counted.
//
// Errors: those of kernel.Write; with ErrUnresolved where a conditional reference
// found nothing yet.
func (d *Door) Import(ctx context.Context, p *identity.Principal, u Unit) (Report, error) {
	im := &importing{d: d, ctx: ctx, p: p, sum: sha256.Sum256(u.Data), report: Report{Name: u.Name, Counts: map[string]int64{}}}
	if err := im.resume(); err != nil || im.report.Already {
		return im.report, err
	}
	if err := im.steps(u); err != nil {
		return im.report, err
	}
	return im.report, im.run()
}

// importing is one unit under way.
type importing struct {
	d      *Door
	ctx    context.Context
	p      *identity.Principal
	sum    [sha256.Size]byte
	report Report
	list   []*step
	whole  bool // a transaction: one refusal refuses all

	version int64 // of the unit's record; 0: not there yet
	done    int   // steps that are durable, in the order they are written
}

// progress is the data of an import-file record.
type progress struct {
	Name    string           `json:"name"`
	SHA256  string           `json:"sha256"`
	Total   int64            `json:"total"`
	Done    int64            `json:"done"`
	Matched int64            `json:"matched,omitempty"`
	Refused int64            `json:"refused,omitempty"`
	Counts  map[string]int64 `json:"counts,omitempty"`
}

func (im *importing) key() record.Key {
	return record.Key{Kind: clinical.ImportFileKind, ID: hex.EncodeToString(im.sum[:])}
}

// resume finds out how far a former try came.
func (im *importing) resume() error {
	rec, err := im.d.k.Read(audit.WithTrail(im.ctx, nil), im.p, im.key())
	if errs.Is(err, errs.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var was progress
	if err := json.Unmarshal(rec.Data, &was); err != nil {
		return errs.Wrap("import", im.report.Name, err)
	}
	im.version, im.done = rec.Version, int(was.Done)
	im.report.Matched, im.report.Refused = was.Matched, was.Refused
	if was.Counts != nil {
		im.report.Counts = was.Counts
	}
	im.report.Total = was.Total
	im.report.Already = was.Done == was.Total
	return nil
}

// steps reads the unit.
func (im *importing) steps(u Unit) error {
	if u.Lines {
		for i, line := range bytes.Split(u.Data, []byte("\n")) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				if err := im.resource("line "+strconv.Itoa(i+1), line, ""); err != nil {
					return err
				}
			}
		}
		return nil
	}
	typ, _ := clinical.Head(u.Data)
	if typ != "Bundle" {
		return im.resource(typ, u.Data, "")
	}
	b, err := clinical.ParseBundle(u.Data)
	if err != nil {
		return err
	}
	im.whole = b.Type == "transaction"
	for i := range b.Entries {
		e := &b.Entries[i]
		if b.Type != "transaction" && b.Type != "batch" {
			if e.Resource == nil {
				continue
			}
			if err := im.resource("Bundle.entry["+strconv.Itoa(i)+"]", e.Resource, e.FullURL); err != nil {
				return err
			}
			continue
		}
		s, err := newStep(i, e, "")
		if err != nil {
			return err
		}
		if s != nil { // reads have nothing to import
			im.list = append(im.list, s)
		}
	}
	return nil
}

// resource makes the step of a resource that says no request: it keeps its id
// where it has one, since others refer to it by that.
func (im *importing) resource(place string, raw []byte, fullURL string) error {
	typ, id := clinical.Head(raw)
	if !clinical.IsResourceType(typ) {
		return errs.E(errs.Invalid, "import", im.report.Name, place+"：不是 FHIR R4 资源。", place+" is not a FHIR R4 resource.").At(place)
	}
	s := &step{place: place, method: http.MethodPost, typ: typ, ifMatch: kernel.AnyVersion, raw: raw, fullURL: fullURL}
	if record.ValidID(id) {
		s.method, s.given = http.MethodPut, id
	}
	im.list = append(im.list, s)
	return nil
}

func (im *importing) run() error {
	place := make(map[*step]int, len(im.list))
	for i, s := range im.list {
		place[s] = i
	}
	im.report.Total = int64(len(im.list))
	l := &linker{d: im.d, ctx: im.ctx, p: im.p, searched: map[string][]record.Key{}, note: true}
	if err := l.conditions(im.list); err != nil {
		return err
	}
	if err := identify(im.list, func(s *step) string { return derivedID(im.sum, place[s]) }); err != nil {
		return err
	}
	if err := l.learn(im.list); err != nil {
		return err
	}
	failures := make([]error, len(im.list))
	for i, s := range im.list {
		if s.data, failures[i] = l.rewrite(s); failures[i] != nil {
			failures[i] = s.located(failures[i], ".resource")
			if im.whole || errors.Is(failures[i], ErrUnresolved) {
				return failures[i]
			}
		}
	}
	pieces := inPieces(im.list, piece)
	if im.deletes() {
		pieces = [][]*step{im.list}
	}
	rest := pieces[:0:0]
	skip := im.done
	for _, part := range pieces {
		if skip >= len(part) {
			skip -= len(part)
			continue
		}
		rest = append(rest, part)
	}
	for i, part := range rest {
		// All pieces of a transaction are checked before the first is written; of
		// others one is checked while nothing waits for it.
		if im.whole && i == 0 {
			if err := im.d.prepare(im.ctx, im.p, im.list); err != nil {
				return err
			}
		}
		if !im.whole {
			part = im.check(part, failures, place)
		}
		if err := im.write(part, len(rest[i])); err != nil {
			return err
		}
	}
	if len(im.list) == 0 {
		return im.write(nil, 0)
	}
	return nil
}

func (im *importing) deletes() bool {
	for _, s := range im.list {
		if s.method == http.MethodDelete {
			return true
		}
	}
	return false
}

// check prepares the steps of a batch and leaves out those that are refused.
func (im *importing) check(part []*step, failures []error, place map[*step]int) []*step {
	good := make([]*step, 0, len(part))
	for _, s := range part {
		err := failures[place[s]]
		if err == nil {
			err = im.d.prepareOne(im.ctx, im.p, s)
		}
		if err != nil {
			im.refuse(s, err)
			continue
		}
		good = append(good, s)
	}
	return good
}

func (im *importing) refuse(s *step, err error) {
	im.report.Refused++
	if len(im.report.Why) < maxWhy {
		im.report.Why = append(im.report.Why, s.place+": "+errs.Sentence(err, "zh")+" / "+errs.Sentence(err, "en"))
	}
}

// write puts one piece and the progress behind it into one transaction. Where a
// batch's piece is refused, its steps are tried one by one.
func (im *importing) write(part []*step, size int) error {
	err := im.put(part, size)
	if err == nil || im.whole || len(part) == 0 || !refusal(err) {
		return err
	}
	good := part[:0:0]
	for _, s := range part {
		if err := im.transact([]*step{s}, nil); err != nil {
			if !refusal(err) {
				return err
			}
			im.refuse(s, err)
			continue
		}
		im.count(s)
		good = append(good, s)
	}
	return im.put(nil, size)
}

// refusal tells errors that are about the resource from those of the moment.
func refusal(err error) bool {
	switch errs.KindOf(err) {
	case errs.Invalid, errs.Conflict, errs.NotFound, errs.Forbidden, errs.TooLarge:
		return true
	}
	return false
}

func (im *importing) put(part []*step, size int) error {
	before := maps.Clone(im.report.Counts)
	matched := im.report.Matched
	for _, s := range part {
		im.count(s)
	}
	data, err := json.Marshal(progress{
		Name: path.Base(im.report.Name), SHA256: hex.EncodeToString(im.sum[:]), Total: im.report.Total, Done: int64(im.done + size),
		Matched: im.report.Matched, Refused: im.report.Refused, Counts: im.report.Counts,
	})
	if err != nil {
		return errs.Wrap("import", im.report.Name, err)
	}
	change := kernel.Change{Op: record.Create, Key: im.key(), Data: data}
	if im.version > 0 {
		change.Op, change.Expect = record.Update, im.version
	}
	mark, err := im.d.k.Prepare(im.ctx, im.p, change)
	if err != nil {
		return err
	}
	if err := im.transact(part, mark); err != nil {
		im.report.Counts, im.report.Matched = before, matched
		return err
	}
	im.version++
	im.done += size
	return nil
}

func (im *importing) count(s *step) {
	im.report.Counts[s.typ]++
	if s.found || s.same != nil {
		im.report.Matched++
	}
}

func (im *importing) transact(part []*step, mark *kernel.Prepared) error {
	var keys []record.Key
	for _, s := range part {
		if s.prepared != nil {
			keys = append(keys, s.prepared.Keys()...)
		}
	}
	if mark != nil {
		keys = append(keys, mark.Key())
	}
	return im.d.k.Transact(im.ctx, im.p, store.Bulk, keys, func(t *kernel.Txn) error {
		if changed, err := im.d.changed(t, part, ""); err != nil || changed {
			if err == nil {
				err = errs.E(errs.Unavailable, "import", im.report.Name, "条件所匹配的记录正被他人修改，请稍后重试。", "What a condition matches is being changed by others; try again.")
			}
			return err
		}
		if err := applyAll(t, part); err != nil {
			return err
		}
		if mark == nil {
			return nil
		}
		_, err := t.Apply(mark)
		return err
	})
}

// inPieces puts steps in an order in which each piece refers only to itself and
// to pieces before it, in the order they came where they may. Steps that refer
// to each other in a circle share a piece, which may then be longer than size.
// The order depends on the steps alone, so that a second try has the same.
// It is Tarjan's search for strongly connected components (SIAM J. Comput. 1972),
// which gives them in just that order.
func inPieces(steps []*step, size int) [][]*step {
	type visit struct{ index, low int }
	seen := make(map[*step]*visit, len(steps))
	onStack := map[*step]bool{}
	var stack []*step
	var out [][]*step
	var last []*step
	emit := func(component []*step) {
		if len(last) > 0 && len(last)+len(component) > size {
			out = append(out, last)
			last = nil
		}
		last = append(last, component...)
	}
	type frame struct {
		s    *step
		next int
	}
	for _, root := range steps {
		if seen[root] != nil {
			continue
		}
		frames := []frame{{s: root}}
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			v := seen[f.s]
			if v == nil {
				v = &visit{len(seen), len(seen)}
				seen[f.s] = v
				stack = append(stack, f.s)
				onStack[f.s] = true
			}
			if f.next < len(f.s.links) {
				to := f.s.links[f.next]
				if w := seen[to]; w == nil {
					frames = append(frames, frame{s: to})
					continue
				} else if onStack[to] {
					v.low = min(v.low, w.low)
				}
				f.next++
				continue
			}
			if v.low == v.index {
				var component []*step
				for {
					s := stack[len(stack)-1]
					stack = stack[:len(stack)-1]
					onStack[s] = false
					component = append(component, s)
					if s == f.s {
						break
					}
				}
				emit(component)
			}
			frames = frames[:len(frames)-1]
		}
	}
	if len(last) > 0 {
		out = append(out, last)
	}
	return out
}

// importFile answers POST /fhir/$import-file?name=…[&lines=true]: Import for
// `zhiwei import fhir` on another machine. The answer is a Report.
func (d *Door) importFile(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	q := r.URL.Query()
	for name := range q {
		if name != "name" && name != "lines" {
			return unknownParameter(name)
		}
	}
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= clinical.MaxSize {
		buf.Grow(int(n) + bytes.MinRead)
	}
	if _, err := io.Copy(&buf, r.Body); err != nil {
		return readFailure(err)
	}
	if q.Get("name") == "" || buf.Len() == 0 {
		return errs.E(errs.Invalid, "import", "$import-file", "请给出 name 参数和文件内容。", "Give the parameter name and the content of the file.")
	}
	rep, err := d.Import(r.Context(), p, Unit{Name: q.Get("name"), Data: buf.Bytes(), Lines: q.Get("lines") == "true"})
	if errors.Is(err, ErrUnresolved) {
		// The client tries such a file again after the others.
		w.Header().Set(UnresolvedHeader, "true")
	}
	if err != nil {
		return err
	}
	return sendJSON(w, r, http.StatusOK, rep)
}

// UnresolvedHeader tells a remote importer that ErrUnresolved was the reason.
const UnresolvedHeader = "X-Zhiwei-Unresolved"
