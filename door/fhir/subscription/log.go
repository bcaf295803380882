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

// LogKind is the kind that keeps the events of subscriptions: one record a
// subscription, under its id. Each version adds the events of one batch, so the
// newest version tells how many there are and the history holds them all. The
// numbers never begin anew, not even where the Subscription is deleted and made
// again.
const LogKind = "subscription-log"

// logKind declares the log. Nobody is granted anything on it: what it may tell,
// $events tells.
func logKind() kind.Kind {
	return kind.Kind{
		Name: LogKind, Plural: "subscription-logs", Title: kind.T("订阅事件", "Subscription events"),
		Help: kind.T("订阅已产生的事件及其编号，供重放。", "The events of a subscription and their numbers, for replay."),
		Fields: []kind.Field{
			{Name: "last", Type: kind.Int, Title: kind.T("最新编号", "Newest number"), Required: true},
			{Name: "through", Type: kind.Int, Title: kind.T("已处理到", "Dealt with up to"), Required: true},
			{Name: "events", Type: kind.Any, Title: kind.T("事件", "Events")},
		},
	}
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

// page is one version of a log.
type page struct {
	Last    int64   `json:"last"`             // number of the newest event
	Through int64   `json:"through"`          // seq of the newest write dealt with
	Events  []event `json:"events,omitempty"` // those this version added, ascending

	version int64
}

// first is the number of the first event the page added; Last+1 where it added
// none.
func (p *page) first() int64 { return p.Last - int64(len(p.Events)) + 1 }

func logKey(id string) record.Key { return record.Key{Kind: LogKind, ID: id} }

func readPage(r *record.Record) (page, error) {
	p := page{version: r.Version}
	return p, errs.Wrap("subscribe", r.Key.String(), json.Unmarshal(r.Data, &p))
}

// change is how a page is written after the one at p.version; version 0 makes
// the log.
func (p *page) change(id string) (kernel.Change, error) {
	raw, err := json.Marshal(p)
	c := kernel.Change{Op: record.Update, Key: logKey(id), Expect: p.version, Data: raw}
	if p.version == 0 {
		c.Op = record.Create
	}
	return c, errs.Wrap("subscribe", id, err)
}

// eventLog reads the events of one subscription.
type eventLog struct {
	kernel *kernel.Kernel
	id     string
}

// newest gives the newest page. ok is false where there is no log yet.
func (l eventLog) newest(ctx context.Context) (p page, ok bool, err error) {
	r, err := l.kernel.Store().Get(ctx, l.kernel.View(identity.Root()), logKey(l.id))
	if errs.Is(err, errs.NotFound) {
		return page{}, false, nil
	}
	if err != nil {
		return page{}, false, err
	}
	p, err = readPage(&r)
	return p, err == nil, err
}

func (l eventLog) page(ctx context.Context, version int64) (page, error) {
	r, err := l.kernel.Store().Version(ctx, l.kernel.View(identity.Root()), logKey(l.id), version)
	if err != nil {
		return page{}, err
	}
	return readPage(&r)
}

// read gives up to limit events from a number on, ascending, and the number of
// the newest there is.
func (l eventLog) read(ctx context.Context, from int64, limit int) (list []event, last int64, err error) {
	p, ok, err := l.newest(ctx)
	if err != nil || !ok || from > p.Last || limit <= 0 {
		return nil, p.Last, err
	}
	last = p.Last
	newest := p.version
	if from < p.first() {
		if p, err = l.search(ctx, newest, func(p *page) bool { return p.Last >= from }); err != nil {
			return nil, last, err
		}
	}
	for {
		for _, e := range p.Events {
			if e.N >= from && len(list) < limit {
				list = append(list, e)
			}
		}
		if len(list) >= limit || p.version >= newest {
			return list, last, nil
		}
		if p, err = l.page(ctx, p.version+1); err != nil {
			return nil, last, err
		}
	}
}

// numberAt gives the number of the newest event about a write at or before a
// position; 0 where there is none.
func (l eventLog) numberAt(ctx context.Context, seq int64) (int64, error) {
	p, ok, err := l.newest(ctx)
	if err != nil || !ok {
		return 0, err
	}
	if p.Through > seq {
		if p, err = l.search(ctx, p.version, func(p *page) bool { return p.Through > seq }); err != nil {
			return 0, err
		}
	}
	n := p.first() - 1
	for _, e := range p.Events {
		if e.Seq <= seq {
			n = e.N
		}
	}
	return n, nil
}

// search finds the first page up to a version that answers; both what it asks
// for and the versions ascend.
func (l eventLog) search(ctx context.Context, newest int64, answers func(*page) bool) (page, error) {
	var failed error
	at := sort.Search(int(newest), func(i int) bool {
		if failed != nil {
			return true
		}
		p, err := l.page(ctx, int64(i)+1)
		if err != nil {
			failed = err
			return true
		}
		return answers(&p)
	})
	if failed != nil {
		return page{}, failed
	}
	return l.page(ctx, min(int64(at)+1, newest))
}
