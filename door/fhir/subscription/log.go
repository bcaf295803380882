package subscription

import (
	"context"
	"encoding/json"
	"sort"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// LogKind is the kind that says how far the events of a subscription go, one
// record a subscription, under its id. The events themselves stand in parts
// (PartKind), so that what is old can be given up part by part. The numbers never
// begin anew, not even where the Subscription is deleted and made again.
const LogKind = "subscription-log"

// PartKind is the kind of a part of a log. Each version adds the events of one
// batch, so the newest version tells how many there are and the history holds
// them all.
const PartKind = "subscription-log-part"

// logKinds declare the log. Nobody is granted anything on it: what it may tell,
// $events tells.
func logKinds() []kind.Kind {
	last := kind.Field{Name: "last", Type: kind.Int, Title: kind.T("最新编号", "Newest number"), Required: true}
	through := kind.Field{Name: "through", Type: kind.Int, Title: kind.T("已处理到", "Dealt with up to"), Required: true}
	return []kind.Kind{{
		Name: LogKind, Plural: "subscription-logs", Title: kind.T("订阅事件", "Subscription events"),
		Help: kind.T("订阅已产生的事件编号，以及保存这些事件的各段。", "The numbers of a subscription's events, and the parts that hold them."),
		Fields: []kind.Field{
			last, through,
			{Name: "parts", Type: kind.Any, Title: kind.T("各段", "Parts")},
			{Name: "erasing", Type: kind.Any, Title: kind.T("待清除的段", "Parts being erased")},
		},
	}, {
		Name: PartKind, Plural: "subscription-log-parts", Title: kind.T("订阅事件段", "Part of subscription events"),
		Help: kind.T("订阅事件的一段，供重放；过期后整段清除。", "A part of a subscription's events, for replay; erased as a whole when it is too old."),
		Fields: []kind.Field{
			{Name: "of", Type: kind.String, Title: kind.T("订阅", "Subscription"), Required: true},
			last, through,
			{Name: "events", Type: kind.Any, Title: kind.T("事件", "Events")},
		},
	}}
}

// event is one thing a subscriber is told of. Of one write each subscription has
// at most one.
type event struct {
	N       int64     `json:"n"`  // 1, 2, 3 … without gaps
	Of      string    `json:"of"` // "Observation/1"; empty: the feed was cut here, what it was is not known
	Version int64     `json:"v"`
	Op      string    `json:"op"`  // create, update, delete
	Seq     int64     `json:"seq"` // of the write, in the feed
	At      time.Time `json:"at"`
}

// key gives the record an event is about.
func (e *event) key() (record.Key, bool) { return record.ParseKey(e.Of) }

// head is the record of a log. Last and Through are as they were when its newest
// part began; without parts, as they are.
type head struct {
	Last    int64    `json:"last"`
	Through int64    `json:"through"`
	Parts   []part   `json:"parts,omitempty"`   // ascending; the newest one is written to, the others are closed
	Erasing []string `json:"erasing,omitempty"` // ids of parts that were given up and are not purged yet

	version int64 // 0: there is none
}

// part is what the head knows of a part.
type part struct {
	ID    string    `json:"id"`
	First int64     `json:"first"` // number of its first event
	After int64     `json:"after"` // every event of a write up to this position has a smaller number
	Began time.Time `json:"began"`
	Until time.Time `json:"until,omitzero"` // when its newest event was added; zero: it is written to
}

// page is one version of a part.
type page struct {
	Of      string  `json:"of"`               // id of the Subscription
	Last    int64   `json:"last"`             // number of the newest event
	Through int64   `json:"through"`          // seq of the newest write dealt with
	Events  []event `json:"events,omitempty"` // those this version added, ascending

	version int64
	written time.Time
}

// first is the number of the first event the page added; Last+1 where it added
// none.
func (p *page) first() int64 { return p.Last - int64(len(p.Events)) + 1 }

func logKey(id string) record.Key  { return record.Key{Kind: LogKind, ID: id} }
func partKey(id string) record.Key { return record.Key{Kind: PartKind, ID: id} }

func readPage(r *record.Record) (page, error) {
	p := page{version: r.Version, written: r.UpdatedAt}
	return p, errs.Wrap("subscribe", r.Key.String(), json.Unmarshal(r.Data, &p))
}

func readHead(r *record.Record) (head, error) {
	h := head{version: r.Version}
	return h, errs.Wrap("subscribe", r.Key.String(), json.Unmarshal(r.Data, &h))
}

// replace is how a version of the log is written after another one; 0 makes the
// record.
func replace(key record.Key, after int64, v any) (kernel.Change, error) {
	raw, err := json.Marshal(v)
	c := kernel.Change{Op: record.Update, Key: key, Expect: after, Data: raw}
	if after == 0 {
		c.Op = record.Create
	}
	return c, errs.Wrap("subscribe", key.String(), err)
}

// eventLog reads the events of one subscription.
type eventLog struct {
	kernel *kernel.Kernel
	id     string
}

// state is a log as it stands: its head, and the newest page of its newest part.
type state struct {
	head head
	page page // version 0: there is no part; it then says what the head does
}

// oldest is the number of the oldest event that is kept; the next number where
// none is.
func (s *state) oldest() int64 {
	if len(s.head.Parts) == 0 {
		return s.page.Last + 1
	}
	return s.head.Parts[0].First
}

// newest is the part that is written to; the zero part where there is none.
func (s *state) newest() part {
	if n := len(s.head.Parts); n > 0 {
		return s.head.Parts[n-1]
	}
	return part{}
}

// get reads the newest version of a record of the log; ok is false where there is
// none, or it was given up.
func (l eventLog) get(ctx context.Context, key record.Key) (r record.Record, ok bool, err error) {
	r, err = l.kernel.Store().Get(ctx, l.kernel.View(identity.Root()), key)
	if errs.Is(err, errs.NotFound) {
		return r, false, nil
	}
	return r, err == nil && !r.Deleted, err
}

// readingAgain is how often a log is read anew whose newest part was given up
// between the reading of the head and its own.
const readingAgain = 3

// state gives the log as it stands. ok is false where there is none yet.
func (l eventLog) state(ctx context.Context) (s state, ok bool, err error) {
	for range readingAgain {
		r, ok, err := l.get(ctx, logKey(l.id))
		if err != nil || !ok {
			return state{}, false, err
		}
		if s.head, err = readHead(&r); err != nil {
			return state{}, false, err
		}
		n := len(s.head.Parts)
		if n == 0 {
			s.page = page{Of: l.id, Last: s.head.Last, Through: s.head.Through}
			return s, true, nil
		}
		r, ok, err = l.get(ctx, partKey(s.head.Parts[n-1].ID))
		if err != nil {
			return state{}, false, err
		}
		if ok {
			s.page, err = readPage(&r)
			return s, err == nil, err
		}
	}
	return state{}, false, errs.E(errs.Unavailable, "subscribe", l.id, "订阅的事件正在整理，请稍后再试。", "The subscription's events are being put in order; try again later.")
}

// version reads one page of a part.
func (l eventLog) version(ctx context.Context, id string, n int64) (page, error) {
	r, err := l.kernel.Store().Version(ctx, l.kernel.View(identity.Root()), partKey(id), n)
	if err != nil {
		return page{}, err
	}
	return readPage(&r)
}

// newestOf is the newest page of a part of a state; ok is false where the part was
// given up meanwhile.
func (l eventLog) newestOf(ctx context.Context, s *state, at int) (page, bool, error) {
	if at == len(s.head.Parts)-1 {
		return s.page, true, nil
	}
	r, ok, err := l.get(ctx, partKey(s.head.Parts[at].ID))
	if err != nil || !ok {
		return page{}, false, err
	}
	p, err := readPage(&r)
	return p, err == nil, err
}

// read gives up to limit events from a number on, ascending, the number of the
// oldest event kept, and that of the newest there is. What is not kept any more is
// left out: the first event given then has a greater number than was asked for.
func (l eventLog) read(ctx context.Context, from int64, limit int) (list []event, oldest, last int64, err error) {
	s, ok, err := l.state(ctx)
	if err != nil || !ok {
		return nil, 1, 0, err
	}
	oldest, last = s.oldest(), s.page.Last
	if from > last || limit <= 0 {
		return nil, oldest, last, nil
	}
	parts := s.head.Parts
	at := sort.Search(len(parts), func(i int) bool { return parts[i].First > from }) - 1
	for at = max(at, 0); at < len(parts) && len(list) < limit; at++ {
		events, err := l.readPart(ctx, &s, at, from, limit-len(list))
		if errs.Is(err, errs.NotFound) { // given up while we read
			list, oldest = nil, last+1
			if at+1 < len(parts) {
				oldest = parts[at+1].First
			}
			continue
		}
		if err != nil {
			return nil, oldest, last, err
		}
		list = append(list, events...)
	}
	return list, oldest, last, nil
}

// readPart reads from one part. NotFound where it was given up meanwhile.
func (l eventLog) readPart(ctx context.Context, s *state, at int, from int64, limit int) (list []event, err error) {
	id := s.head.Parts[at].ID
	p, ok, err := l.newestOf(ctx, s, at)
	if err == nil && !ok {
		err = errs.NotFoundf("subscribe", "%s", id)
	}
	if err != nil {
		return nil, err
	}
	newest := p.version
	if from < p.first() {
		if p, err = l.search(ctx, id, newest, func(p *page) bool { return p.Last >= from }); err != nil {
			return nil, err
		}
	}
	for {
		for _, e := range p.Events {
			if e.N >= from && len(list) < limit {
				list = append(list, e)
			}
		}
		if len(list) >= limit || p.version >= newest {
			return list, nil
		}
		if p, err = l.version(ctx, id, p.version+1); err != nil {
			return nil, err
		}
	}
}

// numberAt gives the number of the newest event about a write at or before a
// position; of what is kept no more, the number before the oldest that is.
func (l eventLog) numberAt(ctx context.Context, seq int64) (int64, error) {
	s, ok, err := l.state(ctx)
	if err != nil || !ok || s.page.Through <= seq {
		return s.page.Last, err
	}
	parts := s.head.Parts
	at := sort.Search(len(parts), func(i int) bool { return parts[i].After > seq }) - 1
	if at < 0 {
		return s.oldest() - 1, nil
	}
	p, ok, err := l.newestOf(ctx, &s, at)
	if err != nil {
		return 0, err
	}
	if ok && p.Through > seq {
		p, err = l.search(ctx, parts[at].ID, p.version, func(p *page) bool { return p.Through > seq })
	}
	if !ok || errs.Is(err, errs.NotFound) { // given up while we read
		return parts[min(at+1, len(parts)-1)].First - 1, nil
	}
	if err != nil {
		return 0, err
	}
	n := p.first() - 1
	for _, e := range p.Events {
		if e.Seq <= seq {
			n = e.N
		}
	}
	return n, nil
}

// search finds the first page of a part up to a version that answers; both what
// it asks for and the versions ascend.
func (l eventLog) search(ctx context.Context, id string, newest int64, answers func(*page) bool) (page, error) {
	var failed error
	at := sort.Search(int(newest), func(i int) bool {
		if failed != nil {
			return true
		}
		p, err := l.version(ctx, id, int64(i)+1)
		if err != nil {
			failed = err
			return true
		}
		return answers(&p)
	})
	if failed != nil {
		return page{}, failed
	}
	return l.version(ctx, id, min(int64(at)+1, newest))
}
