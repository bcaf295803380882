package fhir

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"zhiwei/domain/clinical"
	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// ErrUnresolved marks a conditional reference that found nothing: what it looks
// for may still be created, so an import tries such a file again later.
var ErrUnresolved = errors.New("fhir: a conditional reference found nothing")

// step is one write: a request of its own or an entry of a transaction.
type step struct {
	place   string // "Bundle.entry[3]"; empty for a request of its own
	method  string // POST, PUT, PATCH or DELETE
	typ     string
	given   string // id the request names; empty: none
	query   string // criteria of a conditional create, update, patch or delete
	many    int    // of a conditional delete: how many may go; 0: one, and several are refused
	ifMatch int64  // kernel.AnyVersion: not asked
	absent  bool   // If-None-Match: *: it must not exist
	present bool   // If-Match: *: it must exist
	patch   patcher
	raw     []byte
	fullURL string

	id       string       // of the record, once the criteria are resolved
	data     []byte       // raw with its references put right
	links    []*step      // steps it refers to, where the linker notes them
	same     *step        // an earlier step with the same conditional create
	found    bool         // the criteria matched: id names it
	expect   int64        // of a patch: the version it was made of
	matches  []record.Key // where many is set: what goes
	removals []*kernel.Prepared
	prepared *kernel.Prepared // nil where nothing is written
	result   record.Record
	outcome  int // status of HTTP
}

// commitment says how steps are written.
type commitment struct {
	base  string // URL of the door as the client knows it
	prio  store.Priority
	links bool                    // references among the steps and conditional ones are put right
	reads func(*kernel.Txn) error // reads after the writes, in the same transaction; nil: none
}

// maxRestarts bounds how often a commit begins anew because somebody else
// changed what its criteria matched.
const maxRestarts = 5

// commit writes all steps in one transaction, or none, in the order DELETE,
// POST, PUT (R4 §3.1.0.11.2), whatever order they came in.
//
// Errors: those of kernel.Write, with the place of the failing step in the path;
// 412 where criteria match several.
func (d *Door) commit(ctx context.Context, p *identity.Principal, steps []*step, c commitment) error {
	for range maxRestarts {
		again, err := d.try(ctx, p, steps, c)
		if err != nil || !again {
			return err
		}
	}
	return errs.E(errs.Unavailable, "write", "condition", "条件所匹配的记录正被他人修改，请稍后重试。", "What the condition matches is being changed by others; try again.")
}

// try is one attempt of commit; again tells that the criteria match otherwise
// than they did and nothing was written.
func (d *Door) try(ctx context.Context, p *identity.Principal, steps []*step, c commitment) (again bool, err error) {
	l := &linker{d: d, ctx: ctx, p: p, base: c.base, note: c.links, searched: map[string][]record.Key{}}
	if err := l.conditions(steps); err != nil {
		return false, err
	}
	if err := identify(steps, nil); err != nil {
		return false, err
	}
	if c.links {
		l.strict = true
		if err := l.learn(steps); err != nil {
			return false, err
		}
	}
	for _, s := range steps {
		if s.patch != nil {
			if err := d.patched(ctx, p, s); err != nil {
				return false, s.located(err, "")
			}
		}
		if s.data, err = l.rewrite(s); err != nil {
			return false, s.located(err, ".resource")
		}
	}
	if err := d.prepare(ctx, p, steps); err != nil {
		return false, err
	}
	// What is referred to is written first, where that is possible: whoever sees
	// only some records may refer to those that are there.
	sorted := steps
	if c.links {
		sorted = slices.Concat(inPieces(steps, len(steps))...)
	}
	var keys []record.Key
	for _, s := range steps {
		if s.prepared != nil {
			keys = append(keys, s.prepared.Keys()...)
		}
		keys = append(keys, s.matches...)
	}
	err = d.k.Transact(ctx, p, c.prio, keys, func(t *kernel.Txn) error {
		var err error
		if again, err = d.changed(t, steps, c.base); again || err != nil {
			return err
		}
		if err := applyAll(t, sorted); err != nil {
			again = errors.Is(err, errMoved)
			return err
		}
		if c.reads != nil {
			return c.reads(t)
		}
		return nil
	})
	if again {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	trail := audit.TrailOf(ctx)
	for _, s := range steps {
		if s.same != nil {
			s.result, s.outcome = s.same.result, http.StatusOK
		}
		if s.method == http.MethodPost && s.found {
			trail.Read(subjectOf(&s.result)) // it is shown though it was not written
		}
	}
	return false, nil
}

// changed tells whether criteria match otherwise than they did before the
// transaction began.
func (d *Door) changed(t *kernel.Txn, steps []*step, base string) (bool, error) {
	for _, s := range steps {
		if s.query == "" || s.same != nil {
			continue
		}
		q, err := d.criteria(s.typ, s.query, base)
		if err != nil {
			return false, err
		}
		if s.many > 0 {
			q.Limit = s.many
		}
		page, err := t.Search(q)
		if err != nil {
			return false, err
		}
		if s.many > 0 {
			if !slices.EqualFunc(page.Records, s.matches, func(r record.Record, k record.Key) bool { return r.Key == k }) {
				return true, nil
			}
			continue
		}
		if n := len(page.Records); n > 1 || (n == 1) != s.found || n == 1 && page.Records[0].ID != s.id {
			return true, nil
		}
	}
	return false, nil
}

// order is that in which the standard asks for the entries of a transaction and
// a batch to be done; reads come after it (R4 §3.1.0.11.2).
var order = [][]string{{http.MethodDelete}, {http.MethodPost}, {http.MethodPut, http.MethodPatch}}

// errMoved tells that what a patch was made of has changed meanwhile: it is made
// anew.
var errMoved = errors.New("fhir: the patched record changed meanwhile")

// applyAll does the steps in the order the standard asks for.
func applyAll(t *kernel.Txn, steps []*step) error {
	for _, methods := range order {
		for _, s := range steps {
			if !slices.Contains(methods, s.method) {
				continue
			}
			if err := s.apply(t); err != nil {
				return s.located(err, "")
			}
		}
	}
	return nil
}

func subjectOf(r *record.Record) string {
	if r.Place.Subject.IsZero() {
		return ""
	}
	return r.Place.Subject.String()
}

// apply does one step inside the transaction.
func (s *step) apply(t *kernel.Txn) error {
	key := record.Key{Kind: s.typ, ID: s.id}
	for _, pr := range s.removals {
		if _, err := t.Apply(pr); err != nil && !kernel.IsGone(err) {
			return err
		}
	}
	if s.many > 0 {
		s.outcome = http.StatusOK
		return nil
	}
	if s.prepared == nil {
		if s.present {
			return s.missing()
		}
		if s.same != nil || s.id == "" {
			return nil
		}
		r, err := t.Get(key) // a conditional create that found what it wanted
		s.result, s.outcome = r, http.StatusOK
		return err
	}
	r, err := t.Apply(s.prepared)
	switch {
	case s.patch != nil && s.ifMatch == kernel.AnyVersion && errs.Is(err, errs.Conflict) && errs.PathOf(err) == "version":
		err = errMoved
	case s.method == http.MethodDelete && kernel.IsGone(err):
		err = nil // deleting twice is deleting once
	case s.method != http.MethodPatch && (s.ifMatch != kernel.AnyVersion || s.present) && errs.Is(err, errs.NotFound):
		err = s.missing()
	case s.absent && errs.Is(err, errs.Conflict) && !errs.Is(err, errs.NotFound) && errs.PathOf(err) == "":
		err = withStatus(http.StatusPreconditionFailed, err) // If-None-Match: * of what is there
	}
	if err != nil {
		return err
	}
	s.result = r
	switch {
	case s.method == http.MethodDelete:
		s.outcome = http.StatusNoContent
	case r.Mark.Op == record.Create:
		s.outcome = http.StatusCreated
	default:
		s.outcome = http.StatusOK
	}
	return nil
}

// missing is the answer to an If-Match of what is not there.
func (s *step) missing() error {
	return notAsExpected(s.typ+"/"+s.id, "If-Match 要求记录已存在，但没有找到它。", "If-Match asks for a record that exists, but there is none.")
}

// located puts the place of the step in front of the failing path.
func (s *step) located(err error, inside string) error {
	if s.place == "" {
		return err
	}
	path := s.place + inside
	if p := errs.PathOf(err); p != "" && p != "version" {
		_, rest, ok := strings.Cut(p, ".")
		if ok {
			path = s.place + ".resource." + rest
		}
	}
	var e *errs.Error
	if !errors.As(err, &e) {
		return err
	}
	at := &errs.Error{Op: e.Op, Subject: e.Subject, Kind: e.Kind, Say: e.Say, Path: path, Cause: err}
	if status := statusOf(err); status != statusOf(at) {
		return withStatus(status, at)
	}
	return at
}

// identify gives every step its record and refuses two steps on one.
func identify(steps []*step, newID func(*step) string) error {
	taken := make(map[record.Key]*step, len(steps))
	for _, s := range steps {
		if s.same != nil {
			s.id = s.same.id
			continue
		}
		if s.many > 0 {
			for _, key := range s.matches {
				if taken[key] != nil {
					return s.twice(key)
				}
				taken[key] = s
			}
			continue
		}
		if s.id == "" && s.method != http.MethodDelete && s.method != http.MethodPatch {
			if newID != nil {
				s.id = newID(s)
			} else {
				id, err := uuid.NewV7()
				if err != nil {
					return errs.Wrap("write", s.typ, err)
				}
				s.id = id.String()
			}
		}
		if s.id == "" || s.method == http.MethodPost && s.found {
			continue
		}
		key := record.Key{Kind: s.typ, ID: s.id}
		if taken[key] != nil {
			return s.twice(key)
		}
		taken[key] = s
	}
	return nil
}

func (s *step) twice(key record.Key) error {
	return s.located(errs.E(errs.Invalid, "transaction", key.String(), "同一个 transaction 中 "+key.String()+" 出现了两次；每条记录只能写一次。", key.String()+" stands twice in this transaction; each record may be written once."), ".request.url")
}

// prepare does for every step what needs no transaction, in parallel.
func (d *Door) prepare(ctx context.Context, p *identity.Principal, steps []*step) error {
	workers := min(runtime.GOMAXPROCS(0), len(steps)/8+1)
	failures := make([]error, len(steps))
	var next atomic.Int64
	var failed atomic.Bool
	work := func() {
		for !failed.Load() {
			i := int(next.Add(1)) - 1
			if i >= len(steps) {
				return
			}
			if err := d.prepareOne(ctx, p, steps[i]); err != nil {
				failures[i] = steps[i].located(err, ".resource")
				failed.Store(true)
			}
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return firstOf(failures)
}

func (d *Door) prepareOne(ctx context.Context, p *identity.Principal, s *step) (err error) {
	s.prepared, s.removals = nil, nil
	for _, key := range s.matches {
		pr, err := d.k.Prepare(ctx, p, kernel.Change{Op: record.Delete, Key: key, Expect: kernel.AnyVersion})
		if err != nil {
			return err
		}
		s.removals = append(s.removals, pr)
	}
	if s.many > 0 || s.same != nil || s.method == http.MethodPost && s.found || s.method == http.MethodDelete && s.id == "" {
		return nil
	}
	change := kernel.Change{Key: record.Key{Kind: s.typ, ID: s.id}, Expect: s.ifMatch, Data: s.data}
	switch {
	case s.method == http.MethodDelete:
		change.Op = record.Delete
	case s.method == http.MethodPost || s.absent:
		change.Op = record.Create
	case s.patch != nil:
		change.Op, change.Expect = record.Update, s.expect
	default:
		change.Op, change.Upsert = record.Update, s.ifMatch == kernel.AnyVersion && !s.present
	}
	if s.prepared, err = d.k.Prepare(ctx, p, change); err == nil {
		err = d.subscribable(change)
	}
	return err
}

func firstOf(failures []error) error {
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// linker puts references right: those among the steps of a transaction, those
// that are searches, and those that spell out our own URL.
type linker struct {
	d        *Door
	ctx      context.Context
	p        *identity.Principal
	base     string
	note     bool                    // keep which step refers to which
	strict   bool                    // a URN that is of no step is refused
	steps    map[string]*step        // fullUrl → step
	creates  map[string]*step        // "Type?criteria" of conditional creates → step
	searched map[string][]record.Key // "Type?criteria" → at most two matches
}

// conditions resolves the criteria of conditional creates, updates and deletes.
func (l *linker) conditions(steps []*step) error {
	l.creates = map[string]*step{}
	for _, s := range steps {
		s.same, s.found, s.id, s.matches = nil, false, s.given, nil
		if s.query == "" {
			continue
		}
		name := s.typ + "?" + s.query
		if first := l.creates[name]; first != nil && s.method == http.MethodPost {
			s.same = first
			continue
		}
		keys, err := l.search(s.typ, s.query, s.many)
		if err != nil {
			return s.located(err, ".request")
		}
		if s.many > 0 {
			s.matches = keys
			continue
		}
		switch {
		case len(keys) > 1:
			return s.located(several(name), ".request")
		case len(keys) == 1:
			if s.id != "" && s.id != keys[0].ID && s.method == http.MethodPut {
				return s.located(errs.E(errs.Invalid, "update", name, "资源中的 id 与条件匹配到的记录不一致。", "The id in the resource is not that of the record the condition matches.").At("id"), ".request")
			}
			s.found, s.id = true, keys[0].ID
		}
		if s.method == http.MethodPost {
			l.creates[name] = s
		}
	}
	return nil
}

func several(name string) error {
	return withStatus(http.StatusPreconditionFailed, errs.E(errs.Invalid, "condition", name, "条件 "+name+" 匹配到多条记录；请把条件写得更精确。", "The condition "+name+" matches several records; make it more exact."))
}

// search gives what criteria match: at most two records, or at most many.
func (l *linker) search(typ, query string, many int) ([]record.Key, error) {
	name := typ + "?" + query
	if keys, ok := l.searched[name]; ok && many == 0 {
		return keys, nil
	}
	q, err := l.d.criteria(typ, query, l.base)
	if err != nil {
		return nil, err
	}
	if many > 0 {
		q.Limit = many
	}
	// Finding is not reading: what is found stands in the audit of the write.
	page, err := l.d.k.Search(audit.WithTrail(l.ctx, nil), l.p, q)
	if err != nil {
		return nil, err
	}
	keys := make([]record.Key, len(page.Records))
	for i := range page.Records {
		keys[i] = page.Records[i].Key
	}
	if many == 0 {
		l.searched[name] = keys
	}
	return keys, nil
}

// learn notes under which URLs the resources of the steps are known. Invalid
// where two have the same.
func (l *linker) learn(steps []*step) error {
	l.steps = make(map[string]*step, len(steps))
	for _, s := range steps {
		if s.fullURL == "" || s.method == http.MethodDelete {
			continue
		}
		if l.strict && l.steps[s.fullURL] != nil {
			return s.located(errs.E(errs.Invalid, "transaction", s.fullURL, "fullUrl “"+s.fullURL+"” 在这个 Bundle 中出现了两次；每个条目要有自己的 fullUrl。", "The fullUrl "+s.fullURL+" stands twice in this Bundle; each entry needs its own."), ".fullUrl")
		}
		l.steps[s.fullURL] = s
	}
	return nil
}

// dangling tells whether a reference can only mean an entry of the Bundle: a
// UUID or OID is the address of nothing else (R4 §2.36.4, "Resolving references
// in Bundles").
func dangling(value string) bool {
	return strings.HasPrefix(value, "urn:uuid:") || strings.HasPrefix(value, "urn:oid:")
}

// rewrite gives the resource of a step with its references put right.
func (l *linker) rewrite(s *step) ([]byte, error) {
	if s.raw == nil || !l.note && (s.same != nil || s.method == http.MethodPost && s.found) {
		return s.raw, nil // it is not going to be written
	}
	s.links = nil
	if s.typ == "Bundle" {
		return s.raw, nil // what it holds refers to what else it holds (R4 §2.36.4)
	}
	var failure error
	home := "" // the server the resource comes from, where its fullUrl says so
	if suffix := "/" + s.typ + "/"; strings.HasPrefix(s.fullURL, "http") {
		if i := strings.LastIndex(s.fullURL, suffix); i > 0 {
			home = s.fullURL[:i+1]
		}
	}
	out := clinical.Rewrite(s.raw, func(key, value string) (string, bool) {
		if failure != nil {
			return "", false
		}
		if l.steps != nil {
			if key == "div" {
				return l.narrative(value)
			}
			target := l.steps[value]
			if target == nil && home != "" && key == "reference" {
				target = l.steps[home+value]
			}
			if key == "url" && (target == nil || target.typ != "Binary") {
				return "", false // an address elsewhere, or the name of a definition
			}
			if target == nil && l.strict && key == "reference" && dangling(value) {
				failure = errs.E(errs.Invalid, "reference", value, "引用 "+value+" 在这个 Bundle 中没有对应的条目；请补上该条目或改正引用。", "The reference "+value+" is of no entry in this Bundle; add the entry or correct the reference.")
				return "", false
			}
			if target != nil {
				l.noteLink(s, target)
				return target.typ + "/" + target.id, true
			}
			if typ, query, ok := strings.Cut(value, "?"); ok && key == "reference" && clinical.IsResourceType(typ) {
				if made := l.creates[typ+"?"+query]; made != nil {
					l.noteLink(s, made)
				}
				to, err := l.conditional(typ, query)
				failure = err
				return to, err == nil
			}
		}
		if rest, ok := strings.CutPrefix(value, l.base+"/"); ok && key == "reference" && l.base != "" {
			return rest, true
		}
		return "", false
	})
	return out, failure
}

func (l *linker) noteLink(from, to *step) {
	if l.note && from != to {
		from.links = append(from.links, to)
	}
}

// conditional finds the one record a conditional reference means: one that is
// there, or one that a conditional create of this transaction makes.
func (l *linker) conditional(typ, query string) (string, error) {
	name := typ + "?" + query
	if s := l.creates[name]; s != nil {
		return typ + "/" + s.id, nil
	}
	keys, err := l.search(typ, query, 0)
	switch {
	case err != nil:
		return "", err
	case len(keys) > 1:
		return "", several(name)
	case len(keys) == 0:
		return "", withStatus(http.StatusPreconditionFailed, errs.E(errs.NotFound, "reference", name,
			"条件引用 "+name+" 没有匹配的记录；请先建立被引用的资源。", "The conditional reference "+name+" matches nothing; create what it refers to first.").Because(ErrUnresolved))
	}
	return keys[0].String(), nil
}

// narrative puts links inside XHTML right.
func (l *linker) narrative(xhtml string) (string, bool) {
	if !strings.Contains(xhtml, "urn:") {
		return "", false
	}
	out := xhtml
	for url, s := range l.steps {
		if strings.HasPrefix(url, "urn:") && strings.Contains(out, url) {
			out = strings.ReplaceAll(out, `"`+url+`"`, `"`+s.typ+"/"+s.id+`"`)
		}
	}
	return out, out != xhtml
}

// criteria reads "identifier=…&…" as a query for at most two records. Invalid
// where it holds no criterion or one that is not known.
func (d *Door) criteria(typ, query, base string) (search.Query, error) {
	asked, err := d.parseQuery(typ, query, base, false)
	if err != nil {
		return search.Query{}, err
	}
	if len(asked.query.Where) == 0 {
		return search.Query{}, errs.E(errs.Invalid, "condition", typ+"?"+query, "条件不能为空；请写明查询参数。", "A condition must not be empty; give search parameters.")
	}
	asked.query.Limit = 2
	asked.query.Sort = nil
	return asked.query, nil
}

// derivedID gives the id of a resource made from one place of one source, the
// same whenever it is made: a UUID of version 8 over its SHA-256 (RFC 9562 §5.8).
func derivedID(source [sha256.Size]byte, place int) string {
	sum := sha256.Sum256(append(source[:], strconv.Itoa(place)...))
	var u uuid.UUID
	copy(u[:], sum[:16])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u.String()
}
