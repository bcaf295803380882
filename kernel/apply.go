package kernel

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/calendar"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/expr"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/lifecycle"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/shape"
	"zhiwei/kernel/store"
)

// Apply does one prepared change in the transaction and returns the version it
// made. Errors as of Kernel.Write.
func (t *Txn) Apply(pr *Prepared) (record.Record, error) {
	cur, there, err := t.tx.Head(pr.change.Key)
	if err != nil {
		return record.Record{}, err
	}
	op := pr.change.Op
	if op == record.Update && pr.change.Upsert && (!there || cur.Deleted) {
		op = record.Create
	}
	var out record.Record
	switch op {
	case record.Create, record.Import:
		out, err = t.create(pr, op, cur, there)
	default:
		if !there {
			err = errs.NotFoundf("write", "%s", pr.change.Key)
			break
		}
		out, err = t.alter(pr, op, cur)
	}
	action := pr.change.Op.String()
	if pr.change.Op == record.Verb {
		action = "verb:" + pr.change.Verb
	}
	patient := ""
	if !out.Place.Subject.IsZero() {
		patient = out.Place.Subject.String()
	}
	t.about = append(t.about, audit.Entry{Action: action, Subject: pr.change.Key.String(), Patient: patient})
	return out, err
}

// create makes version 1, or the version after a deletion.
func (t *Txn) create(pr *Prepared, op record.Op, cur record.Record, there bool) (record.Record, error) {
	c, k := &pr.change, pr.kind
	if there && !(cur.Deleted && c.Upsert) {
		// Whoever may not see it learns no more than that the id is not free.
		return cur, errs.E(errs.Conflict, string(op.String()), c.Key.String(), c.Key.String()+" 已存在，请换一个编号。", c.Key.String()+" already exists; choose another id.")
	}
	now := t.tx.Now()
	r := record.Record{
		Key: c.Key, Version: cur.Version + 1, Home: t.k.site, HomeEpoch: max(cur.HomeEpoch, 1),
		CreatedAt: now, UpdatedAt: now, EnteredAt: now,
	}
	if there {
		r.CreatedAt = cur.CreatedAt
	}
	doc := pr.doc
	if err := t.readOnly(k, doc, nil); err != nil {
		return r, err
	}
	changed := false
	if l := k.Lifecycle; l != nil {
		if l.Field != "" {
			doc = maps.Clone(doc) // the prepared one stays as it is: a transaction may run again
		}
		var err error
		if r.State, changed, err = t.startState(pr, op, doc); err != nil {
			return r, err
		}
	}
	r.Mark = t.mark(op, pr)
	err := t.put(pr, &r, nil, doc, changed, "create")
	return r, err
}

// startState gives the state a record begins in. A mirrored field that says
// another state than the start is an import and needs that permission.
func (t *Txn) startState(pr *Prepared, op record.Op, doc map[string]any) (state string, changed bool, err error) {
	l := pr.kind.Lifecycle
	state = l.Start
	if op == record.Import && pr.change.State != "" {
		state = pr.change.State
		if l.State(state) == nil {
			return "", false, errs.E(errs.Invalid, "import", state, "没有状态 "+state+"。", "There is no state "+state+".")
		}
	}
	if l.Field == "" {
		return state, false, nil
	}
	code, given := doc[l.Field].(string)
	if !given {
		doc[l.Field] = lifecycle.Code(l, state)
		return state, true, nil
	}
	if code == lifecycle.Code(l, state) {
		return state, false, nil
	}
	for _, s := range l.States {
		if lifecycle.Code(l, s.Name) == code {
			if t.k.rules.Predicate(t.p, pr.kind.Name, "import").None() {
				return "", false, errs.E(errs.Invalid, "create", l.Field, "新建时状态必须是 "+lifecycle.Code(l, l.Start)+"。", "A new record starts with status "+lifecycle.Code(l, l.Start)+".").At(l.Field)
			}
			return s.Name, false, nil
		}
	}
	return "", false, errs.E(errs.Invalid, "create", l.Field, "没有状态代码 "+code+"。", "There is no state with the code "+code+".").At(l.Field)
}

func (t *Txn) mark(op record.Op, pr *Prepared) record.Mark {
	return record.Mark{Op: op, By: t.p.ID, ByName: t.p.Name, Behalf: t.p.Behalf, Evidence: pr.change.Evidence}
}

// alter makes the next version of a record that exists.
func (t *Txn) alter(pr *Prepared, op record.Op, cur record.Record) (record.Record, error) {
	c, k := &pr.change, pr.kind
	visible, err := t.visible(&cur)
	if err != nil {
		return cur, err
	}
	if !visible {
		return record.Record{}, errs.NotFoundf("write", "%s", c.Key)
	}
	can, err := permission(*c)
	if err != nil {
		return cur, err
	}
	allowed, err := t.k.matches(t.find, t.k.rules.Predicate(t.p, k.Name, can), &cur)
	if err != nil {
		return cur, err
	}
	if !allowed {
		return cur, t.k.refusal(t.p, k, c.Key, can)
	}
	if cur.Home != t.k.site {
		return cur, errs.E(errs.Conflict, "write", c.Key.String(), "这条记录由站点 "+cur.Home+" 保管，请在那里修改，或由其移交后再改。", "This record is kept by the site "+cur.Home+"; change it there, or have it handed over first.")
	}
	if c.Expect != AnyVersion && c.Expect != cur.Version {
		return cur, errs.E(errs.Conflict, "write", c.Key.String(), "这条记录刚被他人修改过，请刷新后再提交。", "Somebody else has just changed this record; refresh and submit again.").At("version")
	}
	if cur.Deleted && op != record.Undelete {
		return cur, gone(c.Key)
	}
	old, _, err := t.tx.Get(c.Key)
	if err != nil {
		return cur, err
	}
	var before map[string]any
	if before, err = decode(old.Data); err != nil {
		return cur, err
	}
	next := old
	next.Version++
	next.UpdatedAt = t.tx.Now()
	next.Mark = t.mark(op, pr)
	switch op {
	case record.Delete:
		next.Deleted, next.NextAt = true, time.Time{}
		return next, t.tx.Put(store.Version{Record: next})
	case record.Undelete:
		if !cur.Deleted {
			return cur, errs.E(errs.Conflict, "undelete", c.Key.String(), c.Key.String()+" 没有被删除。", c.Key.String()+" is not deleted.")
		}
		next.Deleted = false
		err := t.put(pr, &next, before, before, true, "create")
		return next, err
	case record.Update:
		err := t.update(pr, &next, before)
		return next, err
	case record.Verb:
		verb, err := lifecycle.Find(k, cur.State, c.Verb)
		if err != nil {
			return cur, err
		}
		if verb.Clock && !t.p.Trusted() {
			return cur, t.k.refusal(t.p, k, c.Key, can)
		}
		err = t.say(pr, verb, &next, before, merged(verb, before, pr.doc))
		return next, err
	}
	return cur, errs.E(errs.Invalid, "write", c.Key.String(), "不支持的操作。", "This operation is not supported.")
}

func decode(data []byte) (map[string]any, error) {
	doc, err := shape.Object(data)
	return doc, errs.Wrap("read", "document", err)
}

// update replaces the data. Where it changes the mirrored status it is the one
// verb that leads there.
func (t *Txn) update(pr *Prepared, next *record.Record, before map[string]any) error {
	k := pr.kind
	doc, changed, err := t.keep(k, pr.doc, before)
	if err != nil {
		return err
	}
	l := k.Lifecycle
	if l == nil {
		return t.put(pr, next, before, doc, changed, "update")
	}
	if l.Field != "" {
		code, given := doc[l.Field].(string)
		if given && code != lifecycle.Code(l, next.State) {
			verb, err := lifecycle.VerbTo(l, next.State, code)
			if err != nil {
				return err
			}
			if ok, err := t.k.matches(t.find, t.k.rules.Predicate(t.p, k.Name, verb.Name), next); err != nil || !ok {
				if err == nil {
					err = t.k.refusal(t.p, k, next.Key, verb.Name)
				}
				return err
			}
			next.Mark.Op, next.Mark.Verb = record.Verb, verb.Name
			return t.say(pr, verb, next, before, doc)
		}
		if !given {
			if !changed {
				doc = maps.Clone(doc)
			}
			doc[l.Field], changed = lifecycle.Code(l, next.State), true
		}
	}
	if s := l.State(next.State); s != nil && !s.Edit {
		return errs.E(errs.Conflict, "update", next.Key.String(), "状态“"+s.Title.In("zh")+"”下不能直接修改，请使用对应的动作。", "In the state “"+s.Title.In("en")+"” the data is changed by its verbs only.")
	}
	return t.put(pr, next, before, doc, changed, "update")
}

// merged puts a verb's input over the data. Fields that the verb does not take
// are left out here and refused in say.
func merged(v *kind.Verb, before, input map[string]any) map[string]any {
	doc := maps.Clone(before)
	for name, val := range input {
		if slices.Contains(v.Input, name) {
			if val == nil {
				delete(doc, name)
			} else {
				doc[name] = val
			}
		}
	}
	return doc
}

// say executes a verb: evidence, guards, sets, then the move.
func (t *Txn) say(pr *Prepared, verb *kind.Verb, next *record.Record, before, doc map[string]any) error {
	k := pr.kind
	if pr.change.Op == record.Verb {
		for name := range pr.doc {
			if !slices.Contains(verb.Input, name) {
				return errs.E(errs.Invalid, "verb", name, "动作“"+verb.Title.In("zh")+"”不接受字段 "+name+"。", "The verb “"+verb.Title.In("en")+"” does not take the field "+name+".").At(name)
			}
		}
	}
	if err := lifecycle.CheckEvidence(verb, pr.change.Evidence, doc); err != nil {
		return err
	}
	for _, e := range verb.Evidence {
		if s, ok := pr.change.Evidence[e.Name].(string); ok && e.Type == kind.Ref && s != "" {
			if err := t.target(s); err != nil {
				return err
			}
		}
	}
	scope := t.scope(next, before, doc)
	if err := lifecycle.Guard(next.Key.String(), verb.Guards, scope); err != nil {
		return err
	}
	set, err := lifecycle.Set(k, verb, scope)
	if err != nil {
		return err
	}
	for name, val := range set {
		if val == nil {
			delete(doc, name)
		} else {
			doc[name] = val
		}
	}
	next.Mark.Verb = verb.Name
	if verb.HandOver {
		to, _ := pr.change.Evidence["site"].(string)
		if !record.ValidID(to) || to == t.k.site {
			return errs.E(errs.Invalid, "evidence", "site", "请写明接收的站点。", "Say which site receives it.").At("site")
		}
		next.Mark.Site, next.Home = t.k.site, to
		next.HomeEpoch++
	}
	if verb.To != "" {
		next.Mark.From, next.State = next.State, verb.To
		next.EnteredAt = next.UpdatedAt
		if f := k.Lifecycle.Field; f != "" {
			doc[f] = lifecycle.Code(k.Lifecycle, verb.To)
		}
	}
	return t.put(pr, next, before, doc, true, verb.Name)
}

// keep carries over what the writer could not see or may not write: secrets not
// sent again, hidden and read-only fields. What was sent is left as it is; where
// something is carried over, the document is another one and changed is true.
func (t *Txn) keep(k *kind.Kind, sent, before map[string]any) (doc map[string]any, changed bool, err error) {
	doc = sent
	carry := func(name string) {
		if !changed {
			doc, changed = maps.Clone(sent), true
		}
		doc[name] = before[name]
	}
	hidden := access.HiddenFields(t.p, k)
	for _, name := range masked(t.p, k) {
		if _, there := sent[name]; !there && before[name] != nil {
			carry(name)
		} else if there && slices.Contains(hidden, name) && !reflect.DeepEqual(sent[name], before[name]) {
			return nil, false, errs.E(errs.Forbidden, "update", name, "您无权修改 "+name+"。", "You may not change "+name+".").At(name)
		}
	}
	for _, f := range k.Fields {
		if _, there := sent[f.Name]; f.ReadOnly && !there && before[f.Name] != nil {
			carry(f.Name)
		}
	}
	return doc, changed, t.readOnly(k, doc, before)
}

// readOnly refuses a person's change of fields that only verbs and loops set.
func (t *Txn) readOnly(k *kind.Kind, doc, before map[string]any) error {
	if t.p.Trusted() {
		return nil
	}
	for _, f := range k.Fields {
		if f.ReadOnly && !reflect.DeepEqual(doc[f.Name], before[f.Name]) && !reflect.DeepEqual(doc[f.Name], f.Default) {
			return errs.E(errs.Invalid, "write", f.Name, "“"+f.Title.In("zh")+"”由系统填写，不能手工修改。", "“"+f.Title.In("en")+"” is filled in by the system and cannot be changed by hand.").At(f.Name)
		}
	}
	return nil
}

// target checks that a reference points at something the principal may see.
func (t *Txn) target(ref string) error {
	key, ok := record.ParseKey(ref)
	if ok {
		r, there, err := t.tx.Head(key)
		if err != nil {
			return err
		}
		if there && !r.Deleted {
			if ok, err = t.visible(&r); err != nil || ok {
				return err
			}
		}
	}
	return missingTarget(ref)
}

func missingTarget(ref string) error {
	return errs.E(errs.Conflict, "reference", ref, "引用的 "+ref+" 不存在，请先建立或改正引用。", "The reference "+ref+" points to nothing; create it first or correct the reference.").At(ref)
}

// put finishes a version: guards of the kind, place, permission at the new
// place, references, the clock of the state; then it is written.
func (t *Txn) put(pr *Prepared, r *record.Record, before, doc map[string]any, changed bool, can string) error {
	k := pr.kind
	if changed { // not the document that was prepared
		if n, ok := pr.format.(interface {
			Check(*kind.Kind, map[string]any) error
		}); ok {
			if err := n.Check(k, doc); err != nil {
				return err
			}
		}
		data, err := pr.format.Encode(k, doc)
		if err != nil {
			return err
		}
		ix, err := pr.format.Index(k, doc)
		if err != nil {
			return err
		}
		r.Data = data
		return t.finish(k, r, before, doc, ix, can, pr.change.Loose)
	}
	r.Data = pr.data
	return t.finish(k, r, before, doc, pr.index, can, pr.change.Loose)
}

func (t *Txn) finish(k *kind.Kind, r *record.Record, before, doc map[string]any, ix search.Index, can string, loose bool) error {
	if len(k.Guards) > 0 {
		if err := lifecycle.Guard(r.Key.String(), k.Guards, t.scope(r, before, doc)); err != nil {
			return err
		}
	}
	r.Place = t.k.placement(k, r.Key, doc, &ix, t.p.ID, r.Place.Owner)
	if !t.p.Trusted() {
		// The record must not be carried to a place where the writer could not
		// have written it. (A create of a treated person's record, an update that
		// moves it to another department.)
		if pred := t.k.rules.Predicate(t.p, k.Name, can); !pred.All {
			ok, err := t.k.matches(t.find, pred, r)
			if err != nil {
				return err
			}
			if !ok {
				return t.k.refusal(t.p, k, r.Key, can)
			}
		}
		if err := t.newRefs(k, r.Key, ix, before); err != nil {
			return err
		}
	}
	if err := t.clock(k, r, before, doc); err != nil {
		return err
	}
	return t.tx.Put(store.Version{Record: *r, Index: ix, Loose: loose})
}

// newRefs notes what the version newly refers to, so that the end of the
// transaction can check that the writer may see it.
// References that stood there before stay: a collector may weigh a bag of a ward
// he cannot look up. The store checks that every target exists.
func (t *Txn) newRefs(k *kind.Kind, self record.Key, ix search.Index, before map[string]any) error {
	var old map[record.Key]bool
	for i := range ix.Refs {
		target := ix.Refs[i].Target
		if target.IsZero() || target == self || t.k.rules.Predicate(t.p, target.Kind, "read").All {
			continue
		}
		if old == nil {
			old = map[record.Key]bool{}
			if before != nil {
				f, err := t.k.registry.format(k)
				if err != nil {
					return err
				}
				was, err := f.Index(k, before)
				if err != nil {
					return err
				}
				for j := range was.Refs {
					old[was.Refs[j].Target] = true
				}
			}
		}
		if !old[target] {
			t.refs = append(t.refs, target)
		}
	}
	return nil
}

// checkRefs checks at the end of the transaction what its versions newly refer
// to: records of one transaction may refer to each other in a circle.
func (t *Txn) checkRefs() error {
	seen := make(map[record.Key]bool, len(t.refs))
	for _, target := range t.refs {
		if seen[target] {
			continue
		}
		seen[target] = true
		if err := t.target(target.String()); err != nil {
			return err
		}
	}
	return nil
}

// clock computes when the state's time is over, carrying pauses forward.
func (t *Txn) clock(k *kind.Kind, r *record.Record, before, doc map[string]any) error {
	r.NextAt = time.Time{}
	s := k.Lifecycle.State(r.State)
	if s == nil || s.Limit == nil {
		return nil
	}
	cal, err := t.calendar(s)
	if err != nil {
		return err
	}
	var stood time.Duration
	if r.EnteredAt != r.UpdatedAt && before != nil { // same state as before
		prev, ok, err := t.tx.Head(r.Key)
		if err != nil || !ok {
			return err
		}
		if stood, err = lifecycle.Stood(s, cal, t.scope(r, before, before), prev.Mark.Paused, prev.UpdatedAt, r.UpdatedAt); err != nil {
			return err
		}
	}
	c, err := lifecycle.Limit(s, cal, t.scope(r, before, doc), stood)
	if err != nil {
		return err
	}
	r.NextAt, r.Mark.Paused = c.Due.Truncate(time.Millisecond), c.Stood
	return nil
}

func (t *Txn) calendar(s *kind.State) (*calendar.Calendar, error) {
	return t.k.calendar(t.tx.Get, s.Limit.Calendar)
}

func (t *Txn) scope(r *record.Record, before, doc map[string]any) expr.Scope {
	return expr.Scope{
		Data: doc, Old: before, State: r.State, ID: r.ID, Evidence: r.Mark.Evidence,
		Actor: actor(t.p), Now: t.tx.Now(), Entered: r.EnteredAt, Reader: guardReader{t.k, t.tx.Get, t.find},
	}
}

// guardReader reads for guards: as the program, since the guard was declared by
// the application and not by whoever acts.
type guardReader struct {
	k    *Kernel
	get  func(record.Key) (record.Record, bool, error)
	find finder
}

func (g guardReader) Record(ref string) (map[string]any, error) {
	key, ok := record.ParseKey(ref)
	if !ok {
		return nil, nil
	}
	r, ok, err := g.get(key)
	if err != nil || !ok || r.Deleted {
		return nil, err
	}
	var data map[string]any
	if err := json.Unmarshal(r.Data, &data); err != nil {
		return nil, errs.Wrap("guard", ref, err)
	}
	return map[string]any{"id": r.ID, "kind": r.Kind, "state": r.State, "version": r.Version, "data": data}, nil
}

func (g guardReader) Count(kindName, query string) (int64, error) {
	where, err := g.k.Parser().Query(kindName, query)
	if err != nil {
		return 0, err
	}
	page, err := g.find(search.Query{Kind: kindName, Where: where, Limit: 1, Total: true})
	return page.Total, err
}
