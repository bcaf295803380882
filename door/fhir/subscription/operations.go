package subscription

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// maxReplay is the most events one answer of $events holds. The status in it
// tells how many there are, so that a client asks on.
const maxReplay = 500

// Status answers $status: a searchset Bundle with the status of each
// Subscription that p may read. ids limits it to those, states to those in one of
// these states; none limits nothing.
// Source: Subscriptions R5 Backport 1.1.0, OperationDefinition
// backport-subscription-status.
func (m *Module) Status(ctx context.Context, p *identity.Principal, base string, ids, states []string) ([]byte, error) {
	records, err := m.named(ctx, p, ids)
	if err != nil {
		return nil, err
	}
	b := bundle{ResourceType: "Bundle", ID: uuid.NewString(), Type: "searchset", Timestamp: instant(m.clock.Now()), Entry: []entry{}}
	for i := range records {
		def, _ := m.define(&records[i]) // one that is wrong has a status too
		if len(states) > 0 && !slices.Contains(states, def.status) {
			continue
		}
		last, err := m.lastOf(ctx, def.key.ID)
		if err != nil {
			return nil, err
		}
		s := (&notification{base: base, def: def, kind: queryStatus, content: idOnly, last: last}).status()
		raw, err := json.Marshal(s)
		if err != nil {
			return nil, errs.Wrap("status", def.key.String(), err)
		}
		b.Entry = append(b.Entry, entry{FullURL: "urn:uuid:" + s.ID, Resource: raw, Search: &searched{"match"}})
	}
	n := len(b.Entry)
	b.Total = &n
	out, err := json.Marshal(b)
	return out, errs.Wrap("status", Kind, err)
}

// StatusOf answers $status of one Subscription. NotFound as a read of it.
func (m *Module) StatusOf(ctx context.Context, p *identity.Principal, base, id string) ([]byte, error) {
	if _, err := m.kernel.Read(ctx, p, record.Key{Kind: Kind, ID: id}); err != nil {
		return nil, err
	}
	return m.Status(ctx, p, base, []string{id}, nil)
}

// Range is which events are asked for; zero bounds ask for all.
type Range struct {
	Since, Until int64  // numbers, both included
	Content      string // empty, id-only or full-resource; "": as the subscription has it
}

// Events answers $events: a notification Bundle of type query-event with the
// events of a range, at most 500, as far as those behind the subscription and p
// may see them now. NotFound as a read of the Subscription, and where the range
// begins before what is kept; Invalid where the content is none.
// Source: Subscriptions R5 Backport 1.1.0, OperationDefinition
// backport-subscription-events.
func (m *Module) Events(ctx context.Context, p *identity.Principal, base, id string, r Range) ([]byte, error) {
	rec, err := m.kernel.Read(ctx, p, record.Key{Kind: Kind, ID: id})
	if err != nil {
		return nil, err
	}
	def, _ := m.define(&rec) // its events stay, also where it cannot be served any more
	how := def.content
	if r.Content != "" {
		how = content(r.Content)
	}
	switch how {
	case empty, idOnly, fullResource:
	case plainR4:
		if how = idOnly; def.payload {
			how = fullResource
		}
	default:
		return nil, errs.E(errs.Invalid, "events", r.Content, "content 应为 empty、id-only 或 full-resource。", "content is empty, id-only or full-resource.").At("content")
	}
	if !atMost(how, def) {
		return nil, errs.E(errs.Forbidden, "events", r.Content, "该订阅的通知不含这么多内容；请把订阅的 backport-payload-content 改为所需的值。", "The subscription's notifications do not carry that much; set its backport-payload-content to what is needed.").At("content")
	}
	from, limit := max(r.Since, 1), maxReplay
	if r.Until > 0 {
		limit = int(min(int64(limit), max(r.Until-from+1, 0)))
	}
	events, oldest, last, err := eventLog{m.kernel, id}.read(ctx, from, limit)
	if err != nil {
		return nil, err
	}
	if r.Since > 0 && r.Since < oldest || r.Until > 0 && r.Until < oldest {
		return nil, notKept(id, oldest, last)
	}
	// Who named no number is given what there is: its first number tells what is not.
	if r.Until > 0 {
		events = slices.DeleteFunc(events, func(e event) bool { return e.N > r.Until })
	}
	told, err := m.disclose(ctx, def, p, how, events)
	if err != nil {
		return nil, err
	}
	n := notification{base: base, def: def, kind: queryEvent, content: how, last: last, notices: told}
	return n.bundle(m.protocol, m.clock.Now())
}

// atMost tells whether a content is not more than the subscription's own: who
// chose empty for an open channel must not find the resources on it after all.
func atMost(how content, def *definition) bool {
	level := map[content]int{empty: 0, idOnly: 1, fullResource: 2}
	own := def.content
	if own == plainR4 {
		return true
	}
	return level[how] <= level[own]
}

// Binding answers $get-ws-binding-token: Parameters with a token that binds a
// WebSocket to Subscriptions that p may read, none named meaning all of p's that
// have a WebSocket. Invalid where one of them has another channel.
// Source: Subscriptions R5 Backport 1.1.0, OperationDefinition
// backport-subscription-get-ws-binding-token.
func (m *Module) Binding(ctx context.Context, p *identity.Principal, socketURL string, ids []string) ([]byte, error) {
	all := len(ids) == 0
	records, err := m.named(ctx, p, ids)
	if err != nil {
		return nil, err
	}
	b := binding{Who: p.ID, Expires: m.clock.Now().Add(tokenFor).UTC().Truncate(time.Second)}
	for i := range records {
		def, _ := m.define(&records[i])
		switch {
		case def.channel == webSocket:
			b.IDs = append(b.IDs, def.key.ID)
		case !all:
			return nil, errs.E(errs.Invalid, "bind", def.key.String(), def.key.String()+" 的渠道不是 websocket。", "The channel of "+def.key.String()+" is not websocket.").At("id")
		}
	}
	if len(b.IDs) == 0 {
		return nil, errs.E(errs.NotFound, "bind", Kind, "没有可绑定的 websocket 订阅。", "There is no Subscription with the channel websocket to bind.")
	}
	token, err := m.bind(b)
	if err != nil {
		return nil, err
	}
	out := parameters{ResourceType: "Parameters", Parameter: []parameter{
		{Name: "token", String: token},
		{Name: "expiration", DateTime: b.Expires.Format(time.RFC3339)},
	}}
	for _, id := range b.IDs {
		out.Parameter = append(out.Parameter, parameter{Name: "subscription", String: Kind + "/" + id})
	}
	out.Parameter = append(out.Parameter, parameter{Name: "websocket-url", URL: socketURL})
	raw, err := json.Marshal(out)
	return raw, errs.Wrap("bind", Kind, err)
}

// maxNamed bounds how many Subscriptions one request may be about.
const maxNamed = 1000

// named reads the Subscriptions of some ids that p may read; of none, all of
// them. One that is not there is left out, as in a search.
func (m *Module) named(ctx context.Context, p *identity.Principal, ids []string) ([]record.Record, error) {
	if len(ids) > maxNamed {
		return nil, errs.E(errs.Invalid, "subscription", strconv.Itoa(len(ids)), "一次最多指定 1000 个订阅。", "At most 1000 subscriptions may be named at once.").At("id")
	}
	q := search.Query{Kind: Kind, Limit: maxNamed}
	if len(ids) > 0 {
		c := search.Clause{Param: search.ParamID}
		for _, id := range ids {
			c.Any = append(c.Any, search.Value{AnySystem: true, Code: id})
		}
		q.Where = []search.Clause{c}
	}
	page, err := m.kernel.Search(ctx, p, q)
	return page.Records, err
}

// lastOf is the number of the newest event of a subscription; 0 where there is
// none yet.
func (m *Module) lastOf(ctx context.Context, id string) (int64, error) {
	s, _, err := eventLog{m.kernel, id}.state(ctx)
	return s.page.Last, err
}

// notKept says that events that were asked for are not kept any more. The Backport
// says nothing of it; half an answer would pass for a whole one.
func notKept(id string, oldest, last int64) error {
	zh, en := "请重新读取所订阅的资源。", "Read the resources anew."
	if oldest <= last {
		from := strconv.FormatInt(oldest, 10)
		zh = "请重新读取所订阅的资源，再从 eventsSinceNumber=" + from + " 开始重放。"
		en = "Read the resources anew, and replay from eventsSinceNumber=" + from + "."
	}
	n := strconv.FormatInt(oldest-1, 10)
	return errs.E(errs.NotFound, "events", id, "编号 "+n+" 及以前的事件已过保存期，不能重放。"+zh, "The events up to number "+n+" are not kept any more and cannot be replayed. "+en).At("eventsSinceNumber")
}
