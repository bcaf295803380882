package subscription

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// The operations that can be events.
const (
	opCreate = "create"
	opUpdate = "update"
	opDelete = "delete"
)

// cursorName is the registered cursor of the feed up to which all is numbered;
// hookCursor names that of one rest-hook, up to which all is delivered.
const cursorName = "app/" + Name

func hookCursor(id string) string { return Name + "/" + id }

// How often cursors are made durable, and how long a principal is taken for
// what it was: a token may expire without a word in the feed.
const (
	saveEvery   = time.Second
	knowFor     = 30 * time.Second
	recentKept  = 256 // events a line holds in memory for its courier
	atOnce      = 100 // logs written in one transaction
	editorKey   = "editor"
	pagesOfLoad = 1000
)

// line is one subscription under way.
type line struct {
	id    string
	def   atomic.Pointer[definition]
	wrong atomic.Pointer[error] // why it cannot be served as it stands; nil: it can

	// Of the matcher alone.
	log   page // the newest page, as committed, without its events
	part  part // that the page is in; the zero part: there is none
	fresh []event
	dirty bool // a page is to be written even without events
	off   bool // it was off where the feed has been read to

	reflexive bool // it tells of Subscriptions themselves
	stamp     int64

	mu     sync.Mutex
	last   int64   // number of the newest event
	recent []event // the newest ones, ascending
	wake   chan struct{}

	end func() // stops its courier and waits for it
}

// signal wakes the courier.
func (l *line) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// fail says why the line cannot be served; nil that it can.
func (l *line) fail(err error) {
	if err == nil {
		l.wrong.Store(nil)
	} else {
		l.wrong.Store(&err)
	}
	l.signal()
}

// publish tells the courier of committed events.
func (l *line) publish(events []event, last int64) {
	l.mu.Lock()
	l.last = last
	l.recent = append(l.recent, events...)
	if n := len(l.recent) - recentKept; n > 0 {
		l.recent = slices.Delete(l.recent, 0, n)
	}
	l.mu.Unlock()
	l.signal()
}

// after gives up to limit events after a number, where they are in memory, and
// the number of the newest.
func (l *line) after(n int64, limit int) (list []event, last int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recent) > 0 && l.recent[0].N <= n+1 {
		for _, e := range l.recent {
			if e.N > n && len(list) < limit {
				list = append(list, e)
			}
		}
	}
	return list, l.last
}

// matcher gives numbers to events, from the feed. It is of one goroutine, and of
// one term of the lease: what it holds in memory is dropped with it.
type matcher struct {
	*Module
	lines map[string]*line
	table *table // nil: to be built
	seq   int64  // of the feed, seen
	done  int64  // of the feed, with all events of it committed
	saved int64  // done as it was made durable
	at    time.Time
	stamp int64
	due   []*line // with something to commit

	reflexive int // how many lines tell of Subscriptions themselves

	logs  sync.Mutex      // held while logs are written
	given map[string]bool // of logs, by id: the part that was written to was given up; under logs

	known   map[string]principal // by id
	knownAt time.Time
}

type principal struct {
	p   *identity.Principal
	err error
}

// term follows the feed until ctx ends, the store fails or another process has
// taken over.
func (m *Module) term(ctx context.Context) error {
	x := &matcher{Module: m, lines: map[string]*line{}, given: map[string]bool{}, known: map[string]principal{}}
	sweeping, stop := context.WithCancel(ctx)
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		x.sweep(sweeping)
	}()
	defer func() {
		stop()
		<-swept
		for _, l := range x.lines {
			l.end()
		}
	}()
	from, err := x.load(ctx)
	if err != nil {
		return err
	}
	err = m.kernel.Follow(ctx, m.self, from, func(e record.Entry) error { return x.see(ctx, &e) }, func(record.Position) error { return x.settle(ctx) })
	if errors.Is(err, context.Canceled) { // a clean stop: nothing is looked at twice afterwards
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if x.done > x.saved {
			if err := m.kernel.Store().SetCursor(last, cursorName, x.done); err != nil {
				m.log.Debug("cursor", "err", err)
			}
		}
	}
	return err
}

// load takes up the work where the last term left it, and tells the position to
// follow the feed from.
func (x *matcher) load(ctx context.Context) (record.Position, error) {
	st := x.kernel.Store()
	cursors, err := st.Cursors(ctx)
	if err != nil {
		return record.Position{}, err
	}
	head, err := st.Position(ctx)
	if err != nil {
		return record.Position{}, err
	}
	from := head
	cur, resumed := cursors[cursorName]
	if from.Seq = cur.Seq; !resumed {
		from.Seq = head.Seq
		if err := st.SetCursor(ctx, cursorName, from.Seq); err != nil {
			return from, err
		}
	}
	cut := false
	if _, err := st.Feed(ctx, from.Seq, 1); err != nil {
		if !errs.Is(err, errs.Conflict) && !errs.Is(err, errs.Unavailable) || ctx.Err() != nil {
			return from, err
		}
		// What lies between was trimmed, or belongs to another life of the data.
		cut, from.Seq = true, head.Seq
	}
	x.seq, x.saved, x.at = from.Seq, cur.Seq, x.clock.Now()
	some := false
	err = x.all(ctx, Kind, func(r *record.Record) error {
		some = true
		s, there, err := eventLog{x.kernel, r.ID}.state(ctx)
		if err != nil {
			return err
		}
		if !there && resumed && !cut {
			return nil // its first entry is still to come in the feed
		}
		delivered := cursors[hookCursor(r.ID)].Seq
		l := x.begin(ctx, r, s, delivered, delivered)
		if !there {
			x.moveTo(l, from.Seq)
		}
		if cut && there && l.def.Load().live() {
			// Something may have been missed, and nobody can tell what: one number
			// without a focus says so.
			x.number(l, event{Seq: head.Seq, At: x.clock.Now().UTC()})
		}
		return nil
	})
	if err != nil {
		return from, err
	}
	if !some { // nobody to be told of what lies between, such as an import
		from.Seq, x.seq = head.Seq, head.Seq
	}
	return from, x.settle(ctx)
}

// all reads every live record of a kind.
func (x *matcher) all(ctx context.Context, kindName string, f func(*record.Record) error) error {
	q := search.Query{Kind: kindName, Limit: pagesOfLoad}
	for {
		page, err := x.kernel.Store().Search(ctx, x.kernel.View(x.self), q)
		if err != nil {
			return err
		}
		for i := range page.Records {
			if err := f(&page.Records[i]); err != nil {
				return err
			}
		}
		if q.After = page.Next; q.After == "" {
			return nil
		}
	}
}

// begin makes a line and its courier. delivered is the position in the feed up to
// which the courier has delivered, saved what of that is durable.
func (x *matcher) begin(ctx context.Context, r *record.Record, s state, delivered, saved int64) *line {
	s.page.Events = nil
	l := &line{id: r.ID, log: s.page, part: s.newest(), last: s.page.Last, wake: make(chan struct{}, 1)}
	def, err := x.define(r)
	x.take(l, def)
	l.off = def.status == off
	l.fail(err)
	x.lines[r.ID] = l
	going, cancel := context.WithCancel(ctx)
	c := &courier{Module: x.Module, line: l, events: eventLog{x.kernel, r.ID}, seq: delivered, saved: saved}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(going)
	}()
	l.end = func() {
		cancel()
		<-done
	}
	return l
}

// see deals with one entry of the feed.
func (x *matcher) see(ctx context.Context, e *record.Entry) error {
	x.seq = e.Seq
	switch e.Kind {
	case LogKind, PartKind:
		return nil
	case Kind:
		if err := x.changed(ctx, e); err != nil {
			return err
		}
		if x.reflexive == 0 {
			return nil // the table is built when it is needed, not for each of a thousand that are made
		}
	case "Basic":
		if err := x.topicsChanged(ctx); err != nil {
			return err
		}
	case "user", "token", "role", "group", "credential":
		clear(x.known)
	}
	if x.table == nil {
		x.table = newTable(x.kernel.Registry())
		for _, l := range x.lines {
			if l.wrong.Load() == nil && l.def.Load().live() {
				x.table.put(l)
			}
		}
	}
	if !x.table.concerns(e.Kind) {
		return nil
	}
	return x.match(ctx, e)
}

// take takes up a definition of a line, and counts those that tell of
// Subscriptions themselves.
func (x *matcher) take(l *line, def *definition) {
	x.leave(l)
	if l.def.Store(def); def.topic != nil && def.tells(Kind) {
		l.reflexive = true
		x.reflexive++
	}
	x.table = nil
}

// leave takes a line's definition out of the count.
func (x *matcher) leave(l *line) {
	if l.reflexive {
		l.reflexive = false
		x.reflexive--
	}
	x.table = nil
}

// changed takes up one version of a Subscription, which need not be its newest:
// where the matcher is behind, what was written between two versions is held
// against the one that stood then.
func (x *matcher) changed(ctx context.Context, e *record.Entry) error {
	l := x.lines[e.ID]
	if l != nil && e.Seq <= l.log.Through {
		return nil // dealt with in an earlier term
	}
	if e.Op == record.Delete {
		if l == nil {
			return nil
		}
		if err := x.flush(ctx); err != nil { // its events: made again, it is another line
			return err
		}
		l.end()
		x.leave(l)
		delete(x.lines, e.ID)
		return x.kernel.Store().DropCursor(ctx, hookCursor(e.ID))
	}
	view := x.kernel.View(x.self)
	r, err := x.kernel.Store().Version(ctx, view, e.Key, e.Version)
	if errs.Is(err, errs.NotFound) { // its history was purged
		r, err = x.kernel.Store().Get(ctx, view, e.Key)
	}
	if errs.Is(err, errs.NotFound) || err == nil && r.Deleted {
		return nil // gone since: so says a later entry
	}
	if err != nil {
		return err
	}
	if l == nil {
		s, _, err := eventLog{x.kernel, e.ID}.state(ctx)
		if err != nil {
			return err
		}
		l = x.begin(ctx, &r, s, e.Seq, 0)
		x.moveTo(l, e.Seq)
		return nil
	}
	def, err := x.define(&r)
	if l.off && def.status != off { // what was written while it was off is not told
		x.moveTo(l, e.Seq)
	}
	l.off = def.status == off
	if def.version < l.def.Load().version {
		return nil // taken up at the start, which reads the newest
	}
	x.take(l, def)
	l.fail(err)
	return nil
}

// topicsChanged reads the topics anew, and all that subscribe to them.
func (x *matcher) topicsChanged(ctx context.Context) error {
	x.topics.forget()
	for _, l := range x.lines {
		def := l.def.Load()
		if def.topic != nil && (def.topic.url == "" || strings.HasPrefix(def.topic.url, BuiltIn)) {
			continue
		}
		r, err := x.kernel.Store().Get(ctx, x.kernel.View(x.self), def.key)
		if errs.Is(err, errs.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		fresh, err := x.define(&r)
		x.take(l, fresh)
		l.fail(err)
	}
	return nil
}

// match holds one write against the lines it may concern.
func (x *matcher) match(ctx context.Context, e *record.Entry) error {
	w := &write{x: x, entry: e}
	now, err := w.subject(ctx)
	if err != nil || now == nil {
		return err
	}
	x.stamp++
	for l := range x.table.candidates(e.Kind, &now.Index) {
		if l.stamp == x.stamp || l.off || e.Seq <= l.log.Through {
			continue
		}
		l.stamp = x.stamp
		op, err := w.tells(ctx, l)
		if errs.Is(err, errs.Invalid) { // such as a search parameter that is not declared any more
			l.fail(err)
			continue
		}
		if err != nil {
			return err
		}
		if op == "" {
			continue
		}
		x.number(l, event{Of: e.Key.String(), Version: e.Version, Op: op, Seq: e.Seq, At: e.At.UTC()})
	}
	return nil
}

// number gives an event the next number of its line; settle makes it durable.
func (x *matcher) number(l *line, e event) {
	e.N = l.log.Last + int64(len(l.fresh)) + 1
	x.touch(l)
	l.fresh = append(l.fresh, e)
}

// moveTo has a line tell nothing of what was written up to a position.
func (x *matcher) moveTo(l *line, seq int64) {
	x.touch(l)
	l.log.Through, l.dirty = max(l.log.Through, seq), true
}

// touch notes that a line has something to commit.
func (x *matcher) touch(l *line) {
	if len(l.fresh) == 0 && !l.dirty {
		x.due = append(x.due, l)
	}
}

// voices are those in whose name a subscriber is told: who made the
// subscription, and who changed it last. Told is only what both may read, so
// that nobody can turn what another may read to himself. An error is of the
// store; gone is set where one of them is not there any more.
func (x *matcher) voices(ctx context.Context, def *definition) (list []*identity.Principal, gone error, err error) {
	if now := x.clock.Now(); now.Sub(x.knownAt) > knowFor {
		clear(x.known)
		x.knownAt = now
	}
	for _, id := range def.behind() {
		who, ok := x.known[id]
		if !ok {
			who.p, who.err = x.People.People.Of(ctx, id)
			if who.err != nil && !errs.Is(who.err, errs.Unauthenticated) {
				return nil, nil, who.err
			}
			x.known[id] = who
		}
		if who.err != nil {
			return nil, who.err, nil
		}
		list = append(list, who.p)
	}
	return list, nil, nil
}

// behind lists the ids of those who stand behind a subscription.
func (d *definition) behind() []string {
	if d.editor == "" || d.editor == d.owner {
		return []string{d.owner}
	}
	return []string{d.owner, d.editor}
}

// settle commits what was numbered, tells the couriers, and moves the cursor.
func (x *matcher) settle(ctx context.Context) error {
	if err := x.flush(ctx); err != nil {
		return err
	}
	x.done = x.seq
	if now := x.clock.Now(); x.done > x.saved && now.Sub(x.at) >= saveEvery {
		if err := x.kernel.Store().SetCursor(ctx, cursorName, x.done); err != nil {
			return err
		}
		x.saved, x.at = x.done, now
	}
	return nil
}

// flush commits what was numbered and tells the couriers.
func (x *matcher) flush(ctx context.Context) error {
	for part := range slices.Chunk(x.due, atOnce) {
		if err := x.commit(ctx, part); err != nil {
			return err
		}
	}
	x.due = x.due[:0]
	return nil
}

// commit writes one page for each line in one transaction. Another owner that
// has written meanwhile makes it fail: each page names the version it follows,
// and where a new part begins the old one is closed by a page too.
func (x *matcher) commit(ctx context.Context, lines []*line) error {
	x.logs.Lock()
	defer x.logs.Unlock()
	var changes []kernel.Change
	pages, parts, at := make([]page, len(lines)), make([]part, len(lines)), make([]int, len(lines))
	for i, l := range lines {
		var err error
		if pages[i], parts[i], err = x.append(ctx, l, &changes); err != nil {
			return err
		}
		at[i] = len(changes) - 1
	}
	written, err := x.kernel.Bulk(ctx, x.self, changes...)
	if err != nil {
		return err
	}
	for i, l := range lines {
		events := l.fresh
		r := &written[at[i]]
		pages[i].version, pages[i].written, pages[i].Events = r.Version, r.UpdatedAt, nil // the events are with the courier and in the store
		l.log, l.part, l.fresh, l.dirty = pages[i], parts[i], nil, false
		delete(x.given, l.id)
		l.publish(events, l.log.Last)
	}
	return nil
}

// append adds the changes that write what is fresh of a line, the one that says
// how far it is as the last, and gives its newest page and part.
func (x *matcher) append(ctx context.Context, l *line, changes *[]kernel.Change) (page, part, error) {
	add := func(key record.Key, after int64, v any) error {
		c, err := replace(key, after, v)
		*changes = append(*changes, c)
		return err
	}
	p := page{Of: l.id, Last: l.log.Last + int64(len(l.fresh)), Through: l.log.Through, Events: l.fresh}
	if n := len(l.fresh); n > 0 {
		p.Through = max(p.Through, l.fresh[n-1].Seq)
	}
	open := l.part.ID != "" && !x.given[l.id]
	if open && (len(l.fresh) == 0 || !x.full(l)) {
		return p, l.part, add(partKey(l.part.ID), l.log.version, &p)
	}
	if open {
		if err := add(partKey(l.part.ID), l.log.version, &page{Of: l.id, Last: l.log.Last, Through: l.log.Through}); err != nil {
			return p, part{}, err
		}
	}
	h, err := x.head(ctx, l.id)
	if err != nil {
		return p, part{}, err
	}
	if len(l.fresh) == 0 {
		h.Last, h.Through = p.Last, p.Through
		return p, part{}, add(logKey(l.id), h.version, &h)
	}
	begun := part{ID: uuid.NewString(), First: l.log.Last + 1, After: l.log.Through, Began: x.clock.Now().UTC()}
	if n := len(h.Parts); n > 0 {
		h.Parts[n-1].Until = l.log.written
	}
	h.Last, h.Through, h.Parts = l.log.Last, l.log.Through, append(h.Parts, begun)
	if err := add(logKey(l.id), h.version, &h); err != nil {
		return p, part{}, err
	}
	return p, begun, add(partKey(begun.ID), 0, &p)
}

// full tells whether the next events of a line begin a new part.
func (x *matcher) full(l *line) bool {
	return l.log.Last-l.part.First+1 >= x.keep.part || l.log.version >= x.keep.part || x.clock.Now().Sub(l.part.Began) >= x.keep.age/partsOfKept
}

// head reads the record of a log; the zero head where there is none.
func (x *matcher) head(ctx context.Context, id string) (head, error) {
	r, ok, err := eventLog{x.kernel, id}.get(ctx, logKey(id))
	if err != nil || !ok {
		return head{}, err
	}
	return readHead(&r)
}
