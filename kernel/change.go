package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/shape"
	"zhiwei/kernel/store"
)

// AnyVersion is the Expect of a change whose protocol names no version.
const AnyVersion = int64(-1)

// Change is one thing asked of one record.
type Change struct {
	Op       record.Op       // Create, Update, Verb, Delete, Undelete, Import
	Key      record.Key      // ID may be empty for Create: the kernel gives a UUIDv7
	Expect   int64           // the version it was read at; AnyVersion where the protocol has none; ignored by Create
	Data     json.RawMessage // all of the data (Create, Update, Import); the changed input fields (Verb)
	Verb     string
	Evidence map[string]any
	State    string // Import only; empty: the start
	Upsert   bool   // an Update that may create, and a Create or Import that may follow a deletion
	Loose    bool   // Import only: references may dangle
}

// Prepared is a change with everything done that needs no transaction.
type Prepared struct {
	change Change
	kind   *kind.Kind
	format Format
	doc    map[string]any
	data   []byte
	index  search.Index
}

// Key is the record the change is about; for a Create without id, the id given.
func (pr *Prepared) Key() record.Key { return pr.change.Key }

// Keys are the records the change will look at: itself and what it refers to.
func (pr *Prepared) Keys() []record.Key {
	out := make([]record.Key, 0, 1+len(pr.index.Refs))
	out = append(out, pr.change.Key)
	for i := range pr.index.Refs {
		if !pr.index.Refs[i].Target.IsZero() {
			out = append(out, pr.index.Refs[i].Target)
		}
	}
	return out
}

// Prepare does everything that needs no transaction: it finds the kind, refuses
// who may never do this, parses, checks and indexes. It may run in parallel.
// Errors: NotFound (no such kind), Forbidden, Invalid, TooLarge.
func (k *Kernel) Prepare(ctx context.Context, p *identity.Principal, c Change) (*Prepared, error) {
	decl := k.registry.Find(c.Key.Kind)
	if decl == nil {
		return nil, errs.NotFoundf("write", "%s", c.Key.Kind)
	}
	f, err := k.registry.format(decl)
	if err != nil {
		return nil, err
	}
	if c.Key.ID == "" && (c.Op == record.Create || c.Op == record.Import) {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, errs.Wrap("write", decl.Name, err)
		}
		c.Key.ID = id.String()
	}
	if !record.ValidID(c.Key.ID) {
		return nil, errs.E(errs.Invalid, "write", c.Key.String(), "编号只能用字母、数字、连字符和点，1–64 个字符。", "An id is 1–64 letters, digits, hyphens and dots.").At("id")
	}
	pr := &Prepared{change: c, kind: decl, format: f}
	can, err := permission(c)
	if err != nil {
		return nil, err
	}
	if k.rules.Predicate(p, decl.Name, can).None() && !(c.Upsert && k.rules.MayEver(p, decl.Name, "create")) {
		return nil, k.refusal(p, decl, c.Key, can)
	}
	switch c.Op {
	case record.Create, record.Update, record.Import:
		if pr.doc, pr.data, err = f.Parse(decl, c.Data); err != nil {
			return nil, err
		}
		if err = k.registry.validate(ctx, decl, f, pr.doc); err != nil {
			return nil, err
		}
		if pr.index, err = f.Index(decl, pr.doc); err != nil {
			return nil, err
		}
	case record.Verb:
		if len(c.Data) > 0 {
			if pr.doc, err = shape.Object(c.Data); err != nil {
				return nil, err
			}
		}
	}
	return pr, nil
}

// permission is what a change needs.
func permission(c Change) (string, error) {
	switch c.Op {
	case record.Create, record.Update, record.Delete, record.Import:
		return c.Op.String(), nil
	case record.Undelete:
		return "delete", nil
	case record.Verb:
		return c.Verb, nil
	}
	return "", errs.E(errs.Invalid, "write", c.Key.String(), "不支持的操作。", "This operation is not supported.")
}

// refusal is NotFound where p may not even see records of the kind, Forbidden
// where he may.
func (k *Kernel) refusal(p *identity.Principal, decl *kind.Kind, key record.Key, can string) error {
	if p == nil || p.Type == identity.Nobody {
		return errs.E(errs.Unauthenticated, "write", key.String(), "请先登录。", "Please sign in first.")
	}
	if decl.Lifecycle.Verb(can) == nil && !knownPermission(can) {
		return errs.E(errs.Invalid, "verb", can, decl.Title.In("zh")+"没有动作 "+can+"。", "There is no verb "+can+" on "+decl.Title.In("en")+".")
	}
	what := decl.Title
	return errs.E(errs.Forbidden, can, key.String(), "您没有权限对“"+what.In("zh")+"”做此操作（"+can+"）；如有需要请联系安全管理员。", "You may not "+can+" "+what.In("en")+"; ask the security administrator if you need to.")
}

func knownPermission(can string) bool {
	switch can {
	case "create", "update", "delete", "import", "read", "history", "purge":
		return true
	}
	return false
}

// Txn is a transaction as one principal sees it. It is used by one goroutine
// and is dead after the function it was given to returns.
type Txn struct {
	k     *Kernel
	p     *identity.Principal
	tx    store.Tx
	about []audit.Entry // one a change, folded into the request's entry
	refs  []record.Key  // newly referred to; checked at the end
}

// Transact runs f in one transaction; f may run more than once and must have no
// effects but through t. keys are the records f will touch, where known. The
// whole transaction is one audit entry, also when it is refused.
func (k *Kernel) Transact(ctx context.Context, p *identity.Principal, prio store.Priority, keys []record.Key, f func(t *Txn) error) error {
	var written []string // kinds
	_, err := k.store.Write(ctx, prio, keys, func(tx store.Tx) error {
		t := &Txn{k: k, p: p, tx: tx}
		err := f(t)
		if err == nil {
			err = t.checkRefs()
		}
		if err == nil {
			err = k.noteOpened(ctx, t)
		}
		e := k.auditEntry(ctx, p, t.about)
		if err != nil {
			e.Outcome, e.Detail = outcome(err), errs.Sentence(err, "zh")
		}
		if len(t.about) > 0 || err != nil {
			tx.Audit(e)
		}
		written = k.watched(t.about)
		return err
	})
	if err == nil {
		k.tell(written)
	}
	if err == nil || !errs.Is(err, errs.Unavailable) {
		audit.TrailOf(ctx).Written()
	}
	return err
}

func outcome(err error) audit.Outcome {
	switch errs.KindOf(err) {
	case errs.Forbidden, errs.NotFound, errs.Unauthenticated:
		return audit.Refused
	}
	return audit.Failed
}

func (k *Kernel) auditEntry(ctx context.Context, p *identity.Principal, about []audit.Entry) audit.Entry {
	r := identity.RequestOf(ctx)
	e := audit.Entry{
		Who: p.ID, Name: p.Name, Behalf: p.Behalf, Purpose: p.Purpose, Reason: p.Reason,
		Action: "write", Outcome: audit.OK, Request: r.ID, Door: r.Door, Remote: r.Remote,
	}
	if len(about) > 0 {
		e.Action, e.Subject, e.Patient = about[0].Action, about[0].Subject, about[0].Patient
	}
	for i := 1; i < len(about); i++ {
		if about[i].Action != e.Action {
			e.Action = "transaction"
		}
		if about[i].Patient != e.Patient {
			e.Patient = ""
		}
	}
	if len(about) > 1 {
		e.Subject += " +" + strconv.Itoa(len(about)-1)
	}
	audit.TrailOf(ctx).Fill(&e) // what a handler named wins: a sign-in is not "create session"
	return e
}

// Write does all changes in one transaction, or none; the results are in order.
// Errors: NotFound, Forbidden, Invalid, TooLarge, Conflict (version, guard,
// state, reference), Unavailable.
func (k *Kernel) Write(ctx context.Context, p *identity.Principal, changes ...Change) ([]record.Record, error) {
	return k.write(ctx, p, store.Person, changes)
}

// Bulk is Write behind people's writes.
func (k *Kernel) Bulk(ctx context.Context, p *identity.Principal, changes ...Change) ([]record.Record, error) {
	return k.write(ctx, p, store.Bulk, changes)
}

func (k *Kernel) write(ctx context.Context, p *identity.Principal, prio store.Priority, changes []Change) ([]record.Record, error) {
	prepared := make([]*Prepared, len(changes))
	var keys []record.Key
	for i, c := range changes {
		pr, err := k.Prepare(ctx, p, c)
		if err != nil {
			k.note(ctx, p, c, err)
			return nil, err
		}
		prepared[i] = pr
		keys = append(keys, pr.Keys()...)
	}
	out := make([]record.Record, len(changes))
	err := k.Transact(ctx, p, prio, keys, func(t *Txn) error {
		for i, pr := range prepared {
			r, err := t.Apply(pr)
			if err != nil {
				return err
			}
			out[i] = r
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range out {
		if err := mask(&out[i], masked(p, prepared[i].kind)); err != nil {
			return nil, err
		}
		if err := conceal(p, prepared[i].kind, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// note audits what was refused before it reached a transaction. Inside a
// request the door's gate does it from the trail.
func (k *Kernel) note(ctx context.Context, p *identity.Principal, c Change, err error) {
	if t := audit.TrailOf(ctx); t != nil {
		t.Guess(c.Op.String(), c.Key.String())
		return
	}
	e := k.auditEntry(ctx, p, []audit.Entry{{Action: c.Op.String(), Subject: c.Key.String()}})
	e.Outcome, e.Detail = outcome(err), errs.Sentence(err, "zh")
	if err := k.store.Audit(ctx, e); err != nil {
		k.log.Error("a refusal could not be audited", "who", p.ID, "subject", c.Key.String(), "err", err)
	}
}

// Now is the time of the transaction.
func (t *Txn) Now() time.Time { return t.tx.Now() }

// Sequence gives the next number of a named range of this site.
func (t *Txn) Sequence(name string) (int64, error) { return t.tx.Sequence(name) }

// Get reads a record as the principal may see it. Deleted records are NotFound
// and IsGone.
func (t *Txn) Get(key record.Key) (record.Record, error) {
	r, ok, err := t.tx.Get(key)
	if err != nil {
		return record.Record{}, err
	}
	if ok {
		if ok, err = t.visible(&r); err != nil {
			return record.Record{}, err
		}
	}
	if !ok {
		return record.Record{}, errs.NotFoundf("read", "%s", key)
	}
	if r.Deleted {
		return record.Record{}, gone(key)
	}
	decl := t.k.registry.Find(key.Kind)
	if err := mask(&r, masked(t.p, decl)); err != nil {
		return record.Record{}, err
	}
	return r, conceal(t.p, decl, &r)
}

// Search searches as the principal may.
func (t *Txn) Search(q search.Query) (search.Page, error) {
	if err := t.k.checkQuery(t.p, q.Kind, q.Where, q.Sort); err != nil {
		return search.Page{}, err
	}
	return t.tx.Search(t.k.View(t.p), q)
}

func (t *Txn) find(q search.Query) (search.Page, error) {
	return t.tx.Search(t.k.View(identity.Root()), q)
}

func (t *Txn) visible(r *record.Record) (bool, error) {
	return t.k.matches(t.find, t.k.rules.Predicate(t.p, r.Kind, "read"), r)
}

// errGone marks the NotFound of what was deleted.
var errGone = errors.New("deleted")

func gone(key record.Key) error {
	return errs.E(errs.NotFound, "read", key.String(), key.String()+" 已被删除；可在历史中查看。", key.String()+" was deleted; its history still shows it.").Because(errGone)
}

// IsGone tells a deleted record from one that never was.
func IsGone(err error) bool { return errors.Is(err, errGone) }
