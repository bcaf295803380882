package subscription

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
)

// The types of notification.
// Source: http://hl7.org/fhir/ValueSet/subscription-notification-type (R4B).
const (
	handshake         = "handshake"
	heartbeat         = "heartbeat"
	eventNotification = "event-notification"
	queryStatus       = "query-status"
	queryEvent        = "query-event"
)

// The profiles that what we send claims.
// Source: Subscriptions R5 Backport 1.1.0.
const (
	statusProfile       = backport + "backport-subscription-status-r4"
	notificationProfile = backport + "backport-subscription-notification-r4"
)

// notice is one event as it is told to one subscriber.
type notice struct {
	event
	shown    bool           // the subscriber may know what it is about
	resource *record.Record // what is sent; nil: nothing, or it was deleted
}

// notification is everything one Bundle says.
type notification struct {
	base    string // URL of /fhir without a slash at the end; "": references are relative
	def     *definition
	kind    string // handshake …
	content content
	last    int64 // number of the newest event there is
	notices []notice
}

type parameter struct {
	Name      string      `json:"name"`
	Reference *reference  `json:"valueReference,omitempty"`
	Canonical string      `json:"valueCanonical,omitempty"`
	Code      string      `json:"valueCode,omitempty"`
	String    string      `json:"valueString,omitempty"`
	Instant   string      `json:"valueInstant,omitempty"`
	DateTime  string      `json:"valueDateTime,omitempty"`
	URL       string      `json:"valueUrl,omitempty"`
	Concept   *concept    `json:"valueCodeableConcept,omitempty"`
	Part      []parameter `json:"part,omitempty"`
}

type reference struct {
	Reference string `json:"reference"`
}

type concept struct {
	Text string `json:"text"`
}

type profiled struct {
	Profile []string `json:"profile"`
}

type parameters struct {
	ResourceType string      `json:"resourceType"`
	ID           string      `json:"id,omitempty"`
	Meta         *profiled   `json:"meta,omitempty"`
	Parameter    []parameter `json:"parameter"`
}

type entry struct {
	FullURL  string          `json:"fullUrl,omitempty"`
	Resource json.RawMessage `json:"resource,omitempty"`
	Search   *searched       `json:"search,omitempty"`
	Request  *requestedBy    `json:"request,omitempty"`
	Response *answeredWith   `json:"response,omitempty"`
}

type searched struct {
	Mode string `json:"mode"`
}

type requestedBy struct {
	Method string `json:"method"`
	URL    string `json:"url"`
}

type answeredWith struct {
	Status string `json:"status"`
}

type bundle struct {
	ResourceType string    `json:"resourceType"`
	ID           string    `json:"id"`
	Meta         *profiled `json:"meta,omitempty"`
	Type         string    `json:"type"`
	Timestamp    string    `json:"timestamp,omitempty"`
	Total        *int      `json:"total,omitempty"`
	Entry        []entry   `json:"entry"`
}

// instant is how an instant is written.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// absolute puts the base before a relative reference, where it is known.
func absolute(base, ref string) string {
	if base == "" {
		return ref
	}
	return base + "/" + ref
}

// status is the SubscriptionStatus of a notification, as Parameters.
func (n *notification) status() parameters {
	self := n.def.key.String()
	p := parameters{ResourceType: "Parameters", ID: uuid.NewString(), Meta: &profiled{[]string{statusProfile}}}
	add := func(x parameter) { p.Parameter = append(p.Parameter, x) }
	add(parameter{Name: "subscription", Reference: &reference{absolute(n.base, self)}})
	if n.def.topic != nil && n.def.topic.url != "" && n.content != empty {
		add(parameter{Name: "topic", Canonical: n.def.topic.url})
	}
	add(parameter{Name: "status", Code: n.def.status})
	add(parameter{Name: "type", Code: n.kind})
	add(parameter{Name: "events-since-subscription-start", String: strconv.FormatInt(n.last, 10)})
	for i := range n.notices {
		e := &n.notices[i]
		part := []parameter{{Name: "event-number", String: strconv.FormatInt(e.N, 10)}, {Name: "timestamp", Instant: instant(e.At)}}
		if n.content != empty && e.shown {
			part = append(part, parameter{Name: "focus", Reference: &reference{absolute(n.base, e.Of)}})
		}
		add(parameter{Name: "notification-event", Part: part})
	}
	if n.def.reason != "" && n.def.status == inError {
		add(parameter{Name: "error", Concept: &concept{n.def.reason}})
	}
	return p
}

// bundle is the notification as JSON: a history Bundle whose first entry is the
// status; after it come, where the content is not empty, the events.
func (n *notification) bundle(protocol Protocol, now time.Time) ([]byte, error) {
	s := n.status()
	status, err := json.Marshal(s)
	if err != nil {
		return nil, errs.Wrap("notify", n.def.key.String(), err)
	}
	b := bundle{
		ResourceType: "Bundle", ID: uuid.NewString(), Meta: &profiled{[]string{notificationProfile}}, Type: "history", Timestamp: instant(now),
		Entry: []entry{{
			FullURL: "urn:uuid:" + s.ID, Resource: status,
			Request: &requestedBy{"GET", absolute(n.base, n.def.key.String()+"/$status")}, Response: &answeredWith{"200"},
		}},
	}
	for i := range n.notices {
		if e := &n.notices[i]; n.content != empty && e.shown {
			b.Entry = append(b.Entry, n.entry(protocol, e))
		}
	}
	out, err := json.Marshal(b)
	return out, errs.Wrap("notify", n.def.key.String(), err)
}

// entry is one event in the history: what was asked, and how it ended. One
// resource may stand in a history several times (bdl-7 is of its versions).
func (n *notification) entry(protocol Protocol, e *notice) entry {
	x := entry{FullURL: absolute(n.base, e.Of), Request: &requestedBy{"PUT", e.Of}, Response: &answeredWith{"200"}}
	if n.base == "" {
		x.FullURL = ""
	}
	switch e.Op {
	case opCreate:
		x.Request.Method, x.Response.Status = "POST", "201"
		if k, ok := e.key(); ok {
			x.Request.URL = k.Kind
		}
	case opDelete:
		x.Request.Method, x.Response.Status = "DELETE", "204"
	}
	if n.content == fullResource && e.resource != nil {
		x.Resource = protocol.AppendResource(nil, e.resource)
	}
	return x
}
