package subscription

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"zhiwei/domain/clinical"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Kind is the kind of the Subscription resource.
const Kind = "Subscription"

// The values of Subscription.status.
// Source: http://hl7.org/fhir/R4/valueset-subscription-status.html.
const (
	requested = "requested"
	active    = "active"
	inError   = "error"
	off       = "off"
)

// The values of Subscription.channel.type that we serve.
// Source: http://hl7.org/fhir/R4/valueset-subscription-channel-type.html.
const (
	restHook  = "rest-hook"
	webSocket = "websocket"
)

// content is how much of a resource a notification of the Backport carries.
// Source: Subscriptions R5 Backport 1.1.0, CodeSystem backport-content-code-system.
type content string

// The contents. None is a Subscription of plain R4, whose notifications are no
// Bundles.
const (
	plainR4      content = ""
	empty        content = "empty"
	idOnly       content = "id-only"
	fullResource content = "full-resource"
)

// The extensions of the profile backport-subscription.
// Source: Subscriptions R5 Backport 1.1.0.
const (
	backport     = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
	extFilter    = backport + "backport-filter-criteria"
	extContent   = backport + "backport-payload-content"
	extHeartbeat = backport + "backport-heartbeat-period"
	extTimeout   = backport + "backport-timeout"
	extMaxCount  = backport + "backport-max-count"
	extChannel   = backport + "backport-channel-type"
)

// Bounds of what a subscriber may ask of us, and what he gets who asks nothing.
const (
	defaultTimeout = 30 * time.Second
	maxTimeout     = 5 * time.Minute
	minHeartbeat   = time.Second
	maxHeartbeat   = 30 * 24 * time.Hour
	// defaultMaxCount: a receiver that says nothing may expect one event at a time.
	defaultMaxCount = 1
	maxMaxCount     = 100
	maxHeaders      = 20
	maxFilters      = 50
)

// definition is a Subscription as it was read. It is immutable.
type definition struct {
	key     record.Key
	version int64
	owner   string // principal id of who made it
	editor  string // principal id of who changed it last, unless that was we
	ours    bool   // this version was written by us
	status  string
	reason  string // Subscription.error
	end     time.Time

	topic *topic
	where map[string][]search.Clause // by type: what must hold of the event's resource; a type that is missing is not told, unless everything is
	every bool                       // no filter names a type: all types of the topic are told

	channel   string
	endpoint  *url.URL // rest-hook only
	headers   [][2]string
	payload   bool // plain R4: the resource is sent
	content   content
	heartbeat time.Duration // 0: none
	timeout   time.Duration
	maxCount  int
}

// resource is the part of a Subscription that is read.
// Source: http://hl7.org/fhir/R4/subscription.html.
type resource struct {
	Status   string    `json:"status"`
	End      string    `json:"end"`
	Error    string    `json:"error"`
	Criteria string    `json:"criteria"`
	Primary  *extended `json:"_criteria"`
	Channel  struct {
		Extension []extension `json:"extension"`
		Type      string      `json:"type"`
		TypeExt   *extended   `json:"_type"`
		Endpoint  string      `json:"endpoint"`
		Payload   string      `json:"payload"`
		PayExt    *extended   `json:"_payload"`
		Header    []string    `json:"header"`
	} `json:"channel"`
}

type extended struct {
	Extension []extension `json:"extension"`
}

// all gives the extensions of a primitive; none where it has none.
func (e *extended) all() []extension {
	if e == nil {
		return nil
	}
	return e.Extension
}

type extension struct {
	URL       string      `json:"url"`
	Code      string      `json:"valueCode"`
	String    string      `json:"valueString"`
	Unsigned  json.Number `json:"valueUnsignedInt"`
	Positive  json.Number `json:"valuePositiveInt"`
	Integer   json.Number `json:"valueInteger"`
	URI       string      `json:"valueUri"`
	Boolean   *bool       `json:"valueBoolean"`
	Extension []extension `json:"extension"`
}

func find(list []extension, url string) *extension {
	for i := range list {
		if list[i].URL == url {
			return &list[i]
		}
	}
	return nil
}

// count reads a whole number, whichever of the integer types it was given as.
func (e *extension) count() (int, bool) {
	for _, n := range []json.Number{e.Unsigned, e.Positive, e.Integer} {
		if n != "" {
			v, err := strconv.Atoi(string(n))
			return v, err == nil && v >= 0
		}
	}
	return 0, false
}

// wrong is an Invalid of a Subscription.
func wrong(path, zh, en string) error {
	return errs.E(errs.Invalid, "subscribe", path, zh, en).At(path)
}

// define reads a Subscription. status, end and who stands behind it are set even
// where the rest is wrong. Invalid, naming the element, where we cannot do what
// it asks for.
func (m *Module) define(r *record.Record) (*definition, error) {
	d := &definition{key: r.Key, version: r.Version, owner: r.Place.Owner, ours: r.Mark.By == m.self.ID, timeout: defaultTimeout, maxCount: defaultMaxCount}
	if d.editor = r.Mark.By; d.ours {
		d.editor, _ = r.Mark.Evidence[editorKey].(string)
	}
	var in resource
	if err := json.Unmarshal(r.Data, &in); err != nil {
		return d, errs.Wrap("subscribe", r.Key.String(), err)
	}
	d.status, d.reason = in.Status, in.Error
	if in.End != "" {
		end, err := time.Parse(time.RFC3339, in.End)
		if err != nil {
			return d, wrong("Subscription.end", "结束时间 "+in.End+" 不是完整的时刻。", "The end "+in.End+" is not an instant.")
		}
		d.end = end
	}
	if err := m.readChannel(d, &in); err != nil {
		return d, err
	}
	return d, m.readCriteria(d, &in)
}

// Check refuses a Subscription, as JSON, that asks to be served and cannot be:
// Invalid naming the element, Forbidden where its receiver is not listed. One
// that is off or in error is not judged: it asks for nothing.
func (m *Module) Check(data json.RawMessage) error {
	d, err := m.define(&record.Record{Key: record.Key{Kind: Kind}, Data: data})
	if d.status == off || d.status == inError {
		return nil
	}
	return err
}

// readChannel reads how the subscriber is told.
func (m *Module) readChannel(d *definition, in *resource) error {
	ch := &in.Channel
	d.channel = ch.Type
	if x := find(ch.TypeExt.all(), extChannel); x != nil {
		return wrong("Subscription.channel.type", "不支持扩展的通知渠道；请使用 rest-hook 或 websocket。", "Extended channel types are not supported; use rest-hook or websocket.")
	}
	switch ch.Type {
	case restHook:
		if err := m.readEndpoint(d, ch.Endpoint); err != nil {
			return err
		}
	case webSocket:
	default:
		return wrong("Subscription.channel.type", "不支持通知渠道 "+ch.Type+"；请使用 rest-hook 或 websocket。", "The channel "+ch.Type+" is not supported; use rest-hook or websocket.")
	}
	if err := readHeaders(d, ch.Header); err != nil {
		return err
	}
	if ch.Payload != "" {
		media, _, err := mime.ParseMediaType(ch.Payload)
		if err != nil || media != "application/fhir+json" && media != "application/json" {
			return wrong("Subscription.channel.payload", "不支持内容类型 "+ch.Payload+"；请使用 application/fhir+json，或留空只发通知。", "The payload "+ch.Payload+" is not supported; use application/fhir+json, or none for a bare notification.")
		}
		d.payload = true
	}
	if x := find(ch.PayExt.all(), extContent); x != nil {
		switch d.content = content(x.Code); d.content {
		case empty, idOnly, fullResource:
		default:
			return wrong("Subscription.channel.payload", "通知内容应为 empty、id-only 或 full-resource，不能是 "+x.Code+"。", "The content of notifications is empty, id-only or full-resource, not "+x.Code+".")
		}
	}
	number := func(url, name string, low, high int) (int, error) {
		x := find(ch.Extension, url)
		if x == nil {
			return 0, nil
		}
		n, ok := x.count()
		if !ok || n < low || n > high {
			return 0, wrong("Subscription.channel.extension", name+" 应在 "+strconv.Itoa(low)+" 到 "+strconv.Itoa(high)+" 之间。", name+" must be from "+strconv.Itoa(low)+" to "+strconv.Itoa(high)+".")
		}
		return n, nil
	}
	beat, err := number(extHeartbeat, "heartbeat-period", int(minHeartbeat/time.Second), int(maxHeartbeat/time.Second))
	if err != nil {
		return err
	}
	d.heartbeat = time.Duration(beat) * time.Second
	limit, err := number(extTimeout, "timeout", 1, int(maxTimeout/time.Second))
	if err != nil {
		return err
	}
	if limit > 0 {
		d.timeout = time.Duration(limit) * time.Second
	}
	// A subscriber that can take more than we send may say so: it is a most.
	if x := find(ch.Extension, extMaxCount); x != nil {
		n, ok := x.count()
		if !ok || n < 1 {
			return wrong("Subscription.channel.extension", "max-count 应不小于 1。", "max-count is at least 1.")
		}
		d.maxCount = min(n, maxMaxCount)
	}
	return nil
}

// readEndpoint reads where notifications are sent, and refuses what the
// configuration does not list.
func (m *Module) readEndpoint(d *definition, s string) error {
	const at = "Subscription.channel.endpoint"
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return wrong(at, "接收地址应以 http:// 或 https:// 开头。", "The endpoint must be an address that begins with http:// or https://.")
	}
	if u.User != nil || u.Fragment != "" {
		return wrong(at, "接收地址中不能带用户名、口令或 #；口令请放在 channel.header。", "The endpoint may hold no user name, password or fragment; put secrets into channel.header.")
	}
	if err := m.allowed.check(u.Host, u.Scheme); err != nil {
		return err
	}
	d.endpoint = u
	return nil
}

// ownHeaders are those that belong to the connection or to us.
var ownHeaders = []string{
	"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host", "Idempotency-Key", "Keep-Alive", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent",
}

func readHeaders(d *definition, list []string) error {
	const at = "Subscription.channel.header"
	if len(list) > maxHeaders {
		return wrong(at, "请求头过多（最多 20 个）。", "There are too many headers; 20 are the most.")
	}
	for _, line := range list {
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			// The line itself is not repeated: it may hold a secret.
			return wrong(at, "请求头的格式应为“名称: 值”。", "A header is written “name: value”.")
		}
		if name = textproto.CanonicalMIMEHeaderKey(name); slices.Contains(ownHeaders, name) {
			return wrong(at, "请求头 "+name+" 由本系统设置，不能指定。", "The header "+name+" is set by this server and cannot be given.")
		}
		d.headers = append(d.headers, [2]string{name, value})
	}
	return nil
}

// readCriteria reads what the subscriber is told of.
func (m *Module) readCriteria(d *definition, in *resource) error {
	const at = "Subscription.criteria"
	var filters []string
	for _, x := range in.Primary.all() {
		if x.URL == extFilter {
			filters = append(filters, x.String)
		}
	}
	if len(filters) > maxFilters {
		return wrong(at, "筛选条件过多（最多 50 个）。", "There are too many filters; 50 are the most.")
	}
	typ, query, _ := strings.Cut(in.Criteria, "?")
	if typ = strings.TrimPrefix(typ, "/"); clinical.IsResourceType(typ) {
		if len(filters) > 0 {
			return wrong(at, "筛选扩展只用于主题；请把条件直接写入 criteria。", "The filter extension goes with a topic; write the conditions into criteria itself.")
		}
		// R4: created and updated resources, judged by their new version.
		d.topic = &topic{triggers: []trigger{{kind: typ, create: true, update: true}}}
		return m.filter(d, typ, query)
	}
	t, err := m.topics.find(in.Criteria)
	if err != nil {
		return err
	}
	d.topic = t
	if d.content == plainR4 {
		return wrong("Subscription.channel.payload", "按主题订阅时，请在 payload 的扩展 backport-payload-content 中写明 empty、id-only 或 full-resource。", "A subscription to a topic says empty, id-only or full-resource in the extension backport-payload-content of its payload.")
	}
	named := false
	for _, f := range filters {
		typ, query, ok := strings.Cut(f, "?")
		if ok {
			named = true
			if !clinical.IsResourceType(typ) || !t.concerns(typ) {
				return wrong(at, "主题不涉及类型 "+typ+"。", "The topic is not about the type "+typ+".")
			}
			if err := m.filter(d, typ, query); err != nil {
				return err
			}
			continue
		}
		kinds := t.kinds()
		if len(kinds) == 0 {
			return wrong(at, "该主题涉及所有类型，请在条件前写明类型，例如 Observation?code=…。", "The topic is about every type; write the type in front of the filter, such as Observation?code=….")
		}
		for _, typ := range kinds {
			if err := m.filter(d, typ, f); err != nil {
				return err
			}
		}
	}
	d.every = !named
	return nil
}

// filter adds conditions on resources of a type.
func (m *Module) filter(d *definition, typ, query string) error {
	clauses, err := m.protocol.Criteria(typ, query)
	if err != nil {
		e := errs.E(errs.Invalid, "subscribe", query, "订阅条件 "+typ+"?"+query+" 有误："+errs.Sentence(err, "zh"), "The criteria "+typ+"?"+query+" are wrong: "+errs.Sentence(err, "en"))
		return e.At("Subscription.criteria")
	}
	if d.where == nil {
		d.where = map[string][]search.Clause{}
	}
	d.where[typ] = append(d.where[typ], clauses...)
	return nil
}

// tells tells whether events about a type can be told at all.
func (d *definition) tells(typ string) bool {
	_, named := d.where[typ]
	return (named || d.every) && d.topic.concerns(typ)
}

// live tells whether events are numbered: they are in error too, so that what
// was missed can be had when it is repaired.
func (d *definition) live() bool { return d.status != off && d.topic != nil }

// ended tells whether the subscription's time is over.
func (d *definition) ended(now time.Time) bool { return !d.end.IsZero() && !now.Before(d.end) }

// header fills an outgoing request's headers.
func (d *definition) header(h http.Header) {
	for _, kv := range d.headers {
		h.Add(kv[0], kv[1])
	}
}
