package subscription_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"zhiwei/kernel/identity"
)

// line is a client's WebSocket.
type line struct {
	t    *testing.T
	conn *websocket.Conn
}

func (w *world) dial(t *testing.T, token string) *line {
	t.Helper()
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	c, _, err := websocket.Dial(t.Context(), strings.Replace(w.url, "http://", "ws://", 1)+"/fhir/websocket", &websocket.DialOptions{HTTPHeader: h})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(1 << 20)
	t.Cleanup(func() { c.CloseNow() })
	return &line{t, c}
}

func (l *line) say(text string) {
	l.t.Helper()
	if err := l.conn.Write(l.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *line) hear() string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	_, text, err := l.conn.Read(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(text)
}

// hearTold reads a notification: its type and events.
func (l *line) hearTold() (string, []string) {
	l.t.Helper()
	text := l.hear()
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		l.t.Fatalf("%s: %v", text, err)
	}
	return told(doc)
}

// R4: who is signed in binds by the id and is sent a ping for each event.
func TestSocketOfR4(t *testing.T) {
	w := open(t, options{})
	id := w.subscribe(`{"resourceType":"Subscription","status":"requested","reason":"r","criteria":"Patient?gender=female","channel":{"type":"websocket"}}`)
	w.awaitStatus(id, "active")
	l := w.dial(t, w.root)
	l.say("bind " + id)
	if s := l.hear(); s != "bound "+id {
		t.Fatal(s)
	}
	w.put(identity.Root(), "Patient", "a", patient("male"))
	w.put(identity.Root(), "Patient", "a", patient("female"))
	w.put(identity.Root(), "Patient", "b", patient("female"))
	for range 2 {
		if s := l.hear(); s != "ping "+id {
			t.Fatal(s)
		}
	}
	l.say("bind nothing")
	if s := l.hear(); !strings.HasPrefix(s, "error nothing ") {
		t.Error(s)
	}
	l.say("hello")
	if s := l.hear(); !strings.HasPrefix(s, "error command ") {
		t.Error(s)
	}
	stranger := w.dial(t, "")
	stranger.say("bind " + id)
	if s := stranger.hear(); !strings.Contains(s, "Sign in") {
		t.Error(s)
	}
	ended := make(chan error, 1)
	go func() {
		_, _, err := stranger.conn.Read(t.Context())
		ended <- err
	}()
	w.until("the end of who bound nothing", func() bool {
		select {
		case err := <-ended:
			return websocket.CloseStatus(err) == websocket.StatusPolicyViolation
		default:
			return false
		}
	})
	poor := w.dial(t, w.token("poor", "system/Patient.rs"))
	poor.say("bind " + id)
	if s := poor.hear(); !strings.HasPrefix(s, "error "+id) {
		t.Error(s)
	}
}

// Backport: a token binds, also for who cannot sign in on the line; the handshake
// tells where it stands, and every later event follows, in order.
func TestSocketByToken(t *testing.T) {
	w := open(t, options{})
	id := w.subscribe(onTopic("urn:zhiwei:topic:Patient:change", "", "id-only", extend("backport-heartbeat-period", `"valueUnsignedInt":30`)+","+extend("backport-max-count", `"valuePositiveInt":10`)))
	w.awaitStatus(id, "active")
	w.put(identity.Root(), "Patient", "before", patient("male"))
	w.until("the first event", func() bool {
		_, doc := w.ask("GET", "/fhir/Subscription/$status?id="+id, "")
		return fmt.Sprint(values(statusOf(doc), "events-since-subscription-start")...) == "1"
	})
	status, doc := w.ask("GET", "/fhir/Subscription/"+id+"/$get-ws-binding-token", "")
	if status != 200 {
		t.Fatal(status, doc)
	}
	token, at := fmt.Sprint(values(doc, "token")...), fmt.Sprint(values(doc, "websocket-url")...)
	if want := strings.Replace(w.url, "http://", "ws://", 1) + "/fhir/websocket"; at != want || fmt.Sprint(values(doc, "subscription")...) != "Subscription/"+id {
		t.Errorf("%v", doc)
	}
	l := w.dial(t, "")
	l.say("bind-with-token forged")
	if s := l.hear(); !strings.HasPrefix(s, "error token ") {
		t.Error(s)
	}
	l.say("bind-with-token " + token)
	text := l.hear()
	var first map[string]any
	if err := json.Unmarshal([]byte(text), &first); err != nil {
		t.Fatal(text, err)
	}
	if kind, events := told(first); kind != "handshake" || len(events) > 0 || fmt.Sprint(values(statusOf(first), "events-since-subscription-start")...) != "1" {
		t.Error(text)
	}
	for i := range 5 {
		w.put(identity.Root(), "Patient", fmt.Sprint("p", i), patient("male"))
	}
	var events []string
	for len(events) < 5 {
		kind, e := l.hearTold()
		if kind != "event-notification" {
			t.Fatal(kind)
		}
		events = append(events, e...)
	}
	if want := []string{"2 Patient/p0", "3 Patient/p1", "4 Patient/p2", "5 Patient/p3", "6 Patient/p4"}; !slices.Equal(events, want) {
		t.Errorf("%v, want %v", events, want)
	}
	beats := make(chan string, 1)
	go func() {
		kind, _ := l.hearTold()
		beats <- kind
	}()
	w.until("a heartbeat", func() bool {
		select {
		case kind := <-beats:
			if kind != "heartbeat" {
				t.Error(kind)
			}
			return true
		default:
			return false
		}
	})
	w.hand.Move(2 * time.Hour)
	late := w.dial(t, "")
	late.say("bind-with-token " + token)
	if s := late.hear(); !strings.HasPrefix(s, "error token ") {
		t.Error("an expired token binds:", s)
	}
}

// A binding ends with its token: the line is told so, and goes on with a newer one
// without missing anything.
func TestBindingEnds(t *testing.T) {
	w := open(t, options{})
	id := w.subscribe(onTopic("urn:zhiwei:topic:Patient:change", "", "id-only", ""))
	w.awaitStatus(id, "active")
	token := func() string {
		_, doc := w.ask("GET", "/fhir/Subscription/"+id+"/$get-ws-binding-token", "")
		return fmt.Sprint(values(doc, "token")...)
	}
	l := w.dial(t, "")
	l.say("bind-with-token " + token())
	if kind, _ := l.hearTold(); kind != "handshake" {
		t.Fatal(kind)
	}
	said := make(chan string, 1)
	go func() { said <- l.hear() }()
	var text string
	w.until("the end of the binding", func() bool {
		w.hand.Move(time.Minute)
		select {
		case text = <-said:
			return true
		default:
			return false
		}
	})
	if !strings.HasPrefix(text, "error "+id) || !strings.Contains(text, "expired") {
		t.Error(text)
	}
	w.put(identity.Root(), "Patient", "a", patient("male"))
	w.until("the event", func() bool {
		_, doc := w.ask("GET", "/fhir/Subscription/"+id+"/$status", "")
		return fmt.Sprint(values(statusOf(doc), "events-since-subscription-start")...) == "1"
	})
	again := w.dial(t, "") // who has bound nothing for long is sent away
	again.say("bind-with-token " + token())
	if kind, _ := again.hearTold(); kind != "handshake" {
		t.Fatal(kind)
	}
	w.put(identity.Root(), "Patient", "b", patient("male"))
	if kind, events := again.hearTold(); kind != "event-notification" || !slices.Equal(events, []string{"2 Patient/b"}) {
		t.Error(kind, events)
	}
}
