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

	"zhiwei/domain/clinical"
	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// tasks counts what waits for a person.
func (w *world) tasks() int {
	w.t.Helper()
	page, err := w.kernel.Search(context.Background(), identity.Root(), search.Query{Kind: kernel.TaskKind})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(page.Records)
}

// A receiver that fails gets the same event again, in order, with pauses that
// grow; after the declared failures the subscription says so, a person is called,
// and nothing is lost: repaired, it goes on where it stopped.
func TestReceiverThatFails(t *testing.T) {
	w := open(t, options{hooks: here, fails: 4})
	broken := true
	r := receive(t, nil)
	r.answer = func(int, *http.Request) int {
		r.mu.Lock()
		defer r.mu.Unlock()
		if broken {
			return http.StatusInternalServerError
		}
		return http.StatusNoContent
	}
	repair := func(ok bool) {
		r.mu.Lock()
		broken = !ok
		r.all = nil
		r.mu.Unlock()
	}
	repair(true)
	id := w.subscribe(onTopic("urn:zhiwei:topic:Patient:change", r.URL, "id-only", ""))
	w.awaitStatus(id, "active")
	repair(false)
	for i := range 3 {
		w.put(identity.Root(), "Patient", fmt.Sprint("p", i), patient("female"))
	}
	w.awaitStatus(id, "error")
	if _, why := w.status(id); !strings.Contains(why, "500") || !strings.Contains(why, "回答") {
		t.Errorf("the reason is %q", why)
	}
	if n := w.tasks(); n != 1 {
		t.Errorf("%d tasks", n)
	}
	all := r.taken()
	if len(all) != 4 {
		t.Errorf("%d tries", len(all))
	}
	for _, g := range all {
		if g.header.Get("Idempotency-Key") != all[0].header.Get("Idempotency-Key") {
			t.Error("another event was sent before the first had arrived")
		}
	}
	_, doc := w.ask("GET", "/fhir/Subscription/"+id+"/$status", "")
	if v := values(statusOf(doc), "error"); len(v) != 1 {
		t.Errorf("the status tells no error: %v", statusOf(doc))
	}

	w.put(identity.Root(), "Patient", "p3", patient("female")) // written while in error: not lost
	repair(true)
	_, sub := w.ask("GET", "/fhir/Subscription/"+id, "")
	sub["status"] = "requested"
	raw, err := json.Marshal(sub)
	if err != nil {
		t.Fatal(err)
	}
	if status, doc := w.ask("PUT", "/fhir/Subscription/"+id, string(raw)); status != 200 {
		t.Fatal(status, doc)
	}
	w.until("what was missed", func() bool { return len(r.taken()) >= 5 })
	var events []string
	for _, g := range r.taken() {
		_, e := told(g.doc)
		events = append(events, e...)
	}
	if want := []string{"1 Patient/p0", "2 Patient/p1", "3 Patient/p2", "4 Patient/p3"}; !slices.Equal(events, want) {
		t.Errorf("%v, want %v", events, want)
	}
	if s, why := w.status(id); s != "active" || why != "" {
		t.Errorf("%s %s", s, why)
	}
}

// A handshake that is not answered, or redirected, makes an error that says what
// to do; a redirect is not followed.
func TestHandshakeThatFails(t *testing.T) {
	for status, says := range map[int]string{http.StatusForbidden: "403", http.StatusFound: "redirects", 0: "cannot be reached"} {
		w := open(t, options{hooks: here})
		r := receive(t, func(int, *http.Request) int { return status })
		id := w.subscribe(onTopic("urn:zhiwei:topic:Patient:change", r.URL, "id-only", ""))
		w.awaitStatus(id, "error")
		if _, why := w.status(id); !strings.Contains(why, says) {
			t.Errorf("%d: %s", status, why)
		}
	}
}

// A receiver that is slow is given up after the timeout of the subscription; the
// others do not wait for it.
func TestSlowReceiver(t *testing.T) {
	w := open(t, options{hooks: here, system: true, fails: 1})
	release := make(chan struct{})
	slow := receive(t, func(n int, r *http.Request) int {
		if n > 1 {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		return 200
	})
	defer close(release)
	quick := receive(t, nil)
	id := w.subscribe(onTopic("urn:zhiwei:topic:Patient:change", slow.URL, "id-only", extend("backport-timeout", `"valueUnsignedInt":1`)))
	other := w.subscribe(onTopic("urn:zhiwei:topic:Patient:change", quick.URL, "id-only", ""))
	w.awaitStatus(id, "active")
	w.awaitStatus(other, "active")
	for i := range 20 {
		w.put(identity.Root(), "Patient", fmt.Sprint("p", i), patient("female"))
	}
	w.until("the quick one", func() bool { return len(quick.taken()) >= 21 })
	w.awaitStatus(id, "error")
	if _, why := w.status(id); !strings.Contains(why, "within 1s") {
		t.Error(why)
	}
}

// Nothing is sent anywhere until the administrator names it, and the error says
// so; what has no http address at all is refused too.
func TestNowhereAtFirst(t *testing.T) {
	w := open(t, options{})
	for endpoint, says := range map[string]string{
		"http://127.0.0.1:9/x":     "subscriptions.hooks",
		"https://example.org/x":    "subscriptions.hooks",
		"ftp://example.org/x":      "http://",
		"http://user:pw@127.0.0.1": "channel.header",
	} {
		w.refuses(onTopic("urn:zhiwei:topic:Patient:change", endpoint, "id-only", ""), says)
	}
}

// What we cannot do is an error that names the element, not a silence.
func TestWhatIsRefused(t *testing.T) {
	w := open(t, options{hooks: here})
	sub := func(criteria, channel string) string {
		return `{"resourceType":"Subscription","status":"requested","reason":"r","criteria":"` + criteria + `","channel":` + channel + `}`
	}
	hook := `{"type":"rest-hook","endpoint":"http://127.0.0.1:9/"}`
	for body, says := range map[string]string{
		sub("Observation?nonsense=1", hook):                                                                                                "nonsense",
		sub("Observation?code=1&_sort=date", hook):                                                                                         "_sort",
		sub("Nothing?code=1", hook):                                                                                                        "topic",
		sub("http://example.org/no-such-topic", hook):                                                                                      "topic",
		sub("urn:zhiwei:topic:Observation:change", hook):                                                                                   "backport-payload-content",
		sub("Observation?code=1", `{"type":"email","endpoint":"mailto:a@example.org"}`):                                                    "email",
		sub("Observation?code=1", `{"type":"rest-hook","endpoint":"http://127.0.0.1:9/","payload":"text/html"}`):                           "text/html",
		sub("Observation?code=1", `{"type":"rest-hook","endpoint":"http://127.0.0.1:9/","header":["Host: a"]}`):                            "Host",
		sub("Observation?code=1", `{"type":"rest-hook","endpoint":"http://127.0.0.1:9/","header":["no colon"]}`):                           "name: value",
		onTopic("urn:zhiwei:topic:any:change", "http://127.0.0.1:9/", "id-only", "", "code=1"):                                             "type",
		onTopic("urn:zhiwei:topic:Patient:change", "http://127.0.0.1:9/", "id-only", "", "Observation?code=1"):                             "Observation",
		onTopic("urn:zhiwei:topic:Patient:change", "http://127.0.0.1:9/", "everything", ""):                                                "everything",
		onTopic("urn:zhiwei:topic:Patient:change", "http://127.0.0.1:9/", "empty", extend("backport-timeout", `"valueUnsignedInt":86400`)): "timeout",
	} {
		w.refuses(body, says)
	}
}

// refuses proves that a Subscription is refused at the door, and that one that
// came in by another way, such as a restored copy, is in error for the same
// reason.
func (w *world) refuses(body, says string) {
	w.t.Helper()
	status, doc := w.ask("POST", "/fhir/Subscription", body)
	raw, err := json.Marshal(doc)
	if err != nil {
		w.t.Fatal(err)
	}
	if status != http.StatusUnprocessableEntity && status != http.StatusForbidden || !strings.Contains(string(raw), says) {
		w.t.Errorf("%s:\n%d %s", body, status, raw)
	}
	w.put(identity.Root(), "Subscription", "inside", body)
	w.awaitStatus("inside", "error")
	if _, why := w.status("inside"); !strings.Contains(why, says) {
		w.t.Errorf("%s:\n%s", body, why)
	}
}

// At its end a subscription is off; switched off it is told nothing, and what was
// written meanwhile is not told later either.
func TestEndAndOff(t *testing.T) {
	w := open(t, options{hooks: here})
	r := receive(t, nil)
	body := onTopic("urn:zhiwei:topic:Patient:change", r.URL, "id-only", "")
	body = strings.Replace(body, `"reason"`, `"end":"`+w.clock.Now().Add(time.Hour).Format(time.RFC3339)+`","reason"`, 1)
	id := w.subscribe(body)
	w.awaitStatus(id, "active")
	w.put(identity.Root(), "Patient", "a", patient("female"))
	w.until("one event", func() bool { return len(r.taken()) >= 2 })
	w.hand.Move(time.Hour)
	w.awaitStatus(id, "off")
	w.put(identity.Root(), "Patient", "b", patient("female"))
	_, sub := w.ask("GET", "/fhir/Subscription/"+id, "")
	sub["status"] = "requested"
	delete(sub, "end")
	raw, err := json.Marshal(sub)
	if err != nil {
		t.Fatal(err)
	}
	if status, doc := w.ask("PUT", "/fhir/Subscription/"+id, string(raw)); status != 200 {
		t.Fatal(status, doc)
	}
	w.awaitStatus(id, "active")
	w.put(identity.Root(), "Patient", "c", patient("female"))
	w.until("the next event", func() bool { return len(r.taken()) >= 4 })
	all := r.taken()
	if _, events := told(all[len(all)-1].doc); !slices.Equal(events, []string{"2 Patient/c"}) {
		t.Errorf("%v", events)
	}
}

// A subscriber is told only of what he may read: here of the patients he treats.
// Whoever changes a subscription of another is not told what the other may read.
func TestNobodyIsToldWhatTheyMayNotRead(t *testing.T) {
	w := open(t, options{hooks: here})
	r := receive(t, nil)
	anna := w.user("anna", clinical.RoleClinician)
	body := strings.Replace(onTopic("urn:zhiwei:topic:Observation:change", r.URL, "full-resource", ""), `"requested"`, `"requested","id":"s"`, 1)
	w.put(anna, "Subscription", "s", body)
	w.awaitStatus("s", "active")
	root := identity.Root()
	w.put(root, "Patient", "hers", patient("female"))
	w.put(root, "Patient", "other", patient("female"))
	w.must(kernel.Change{Op: record.Create, Key: record.Key{Kind: clinical.TreatingKind, ID: "t"}, Data: json.RawMessage(`{"member":"user/anna","patient":"Patient/hers"}`)})
	of := func(p string, n int) string {
		return strings.Replace(observation("1975-2", n), `"status"`, `"subject":{"reference":"Patient/`+p+`"},"status"`, 1)
	}
	w.put(root, "Observation", "o1", of("other", 1))
	w.put(root, "Observation", "o2", of("hers", 2))
	w.put(root, "Observation", "o3", of("other", 3))
	w.put(root, "Observation", "o4", of("hers", 4))
	w.until("two events", func() bool { return len(r.taken()) >= 3 })
	var events []string
	for _, g := range r.taken() {
		_, e := told(g.doc)
		events = append(events, e...)
	}
	if want := []string{"1 Observation/o2", "2 Observation/o4"}; !slices.Equal(events, want) {
		t.Errorf("%v, want %v", events, want)
	}

	// Somebody who may change Subscriptions but read no Observation turns it to
	// himself: from then on nothing is told that he may not read.
	thief := w.token("thief", "system/Subscription.cruds")
	away := receive(t, nil)
	status, doc := w.askAs(thief, "PUT", "/fhir/Subscription/s", strings.ReplaceAll(body, r.URL, away.URL))
	if status != 200 {
		t.Fatal(status, doc)
	}
	w.awaitStatus("s", "active")
	w.put(root, "Observation", "o5", of("hers", 5))
	_, doc = w.askAs(thief, "GET", "/fhir/Subscription/s/$events?content=full-resource", "")
	if raw, _ := json.Marshal(doc); strings.Contains(string(raw), "valueQuantity") || strings.Contains(string(raw), "Observation/") {
		t.Errorf("$events tells %s", raw)
	}
	// A patient of everybody's marks that the feed has been dealt with.
	mark := receive(t, nil)
	m := w.subscribe(onTopic("urn:zhiwei:topic:Patient:create", mark.URL, "empty", ""))
	w.awaitStatus(m, "active")
	w.put(root, "Patient", "mark", patient("male"))
	w.until("the mark", func() bool { return len(mark.taken()) >= 2 })
	for _, g := range away.taken() {
		if kind, events := told(g.doc); kind == "event-notification" || len(events) > 0 {
			t.Errorf("the thief was told %s %v", kind, events)
		}
	}
}

// The secrets in a subscription's headers are its owner's alone.
func TestHeaderSecrets(t *testing.T) {
	w := open(t, options{hooks: here})
	mine := w.token("mine", "system/*.cruds")
	body := `{"resourceType":"Subscription","id":"s","status":"off","reason":"r","criteria":"Patient?","channel":{"type":"rest-hook","endpoint":"http://127.0.0.1:9/","header":["Authorization: secret-word"]}}`
	if status, doc := w.askAs(mine, "PUT", "/fhir/Subscription/s", body); status != 201 || !strings.Contains(fmt.Sprint(doc), "secret-word") {
		t.Fatal(status, doc)
	}
	if _, doc := w.askAs(mine, "GET", "/fhir/Subscription/s", ""); !strings.Contains(fmt.Sprint(doc), "secret-word") {
		t.Errorf("the owner reads %v", doc)
	}
	for _, path := range []string{"/fhir/Subscription/s", "/fhir/Subscription?_id=s", "/fhir/Subscription/s/_history", "/fhir/Subscription/s/_history/1", "/fhir/_history"} {
		status, doc := w.ask("GET", path, "")
		if text := fmt.Sprint(doc); status != 200 || strings.Contains(text, "secret-word") || !strings.Contains(text, "rest-hook") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	for _, path := range []string{"/fhir/Subscription/$diff?from=Subscription/s/_history/1&to=Subscription/s", "/fhir/Subscription/s/$diff", "/fhir/Subscription/$graphql?query={SubscriptionList{channel{header}}}", "/fhir/$graphql?query={Subscription(id:\"s\"){channel{header}}}", "/api/subscriptions/s", "/fhir/AuditEvent?_count=100"} {
		if _, doc := w.ask("GET", strings.ReplaceAll(path, " ", "%20"), ""); strings.Contains(fmt.Sprint(doc), "secret-word") {
			t.Errorf("%s: %v", path, doc)
		}
	}
	// Nor does a topic's expression see it: it would tell it bit by bit.
	spy := receive(t, nil)
	const five = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic."
	for url, path := range map[string]string{"spy": "%current.channel.header.exists()", "plain": "%current.channel.endpoint.exists()"} {
		if status, doc := w.ask("PUT", "/fhir/Basic/"+url, `{"resourceType":"Basic","id":"`+url+`","extension":[{"url":"`+five+`url","valueUri":"http://example.org/`+url+`"},
			{"url":"`+five+`resourceTrigger","extension":[{"url":"resource","valueUri":"http://hl7.org/fhir/StructureDefinition/Subscription"},{"url":"fhirPathCriteria","valueString":"`+path+`"}]}],
			"modifierExtension":[{"url":"`+five+`status","valueCode":"active"}],"code":{"coding":[{"system":"http://hl7.org/fhir/fhir-types","code":"SubscriptionTopic"}]}}`); status != 201 {
			t.Fatal(status, doc)
		}
	}
	spied := w.subscribe(onTopic("http://example.org/spy", spy.URL, "full-resource", ""))
	plain := w.subscribe(onTopic("http://example.org/plain", spy.URL, "full-resource", ""))
	w.awaitStatus(spied, "active")
	w.awaitStatus(plain, "active")
	if status, doc := w.askAs(mine, "PUT", "/fhir/Subscription/s", strings.Replace(body, `"r"`, `"another"`, 1)); status != 200 {
		t.Fatal(status, doc)
	}
	w.until("an event of s", func() bool {
		for _, g := range spy.taken() {
			if _, events := told(g.doc); len(events) > 0 && strings.Contains(events[0], "Subscription/s") {
				return true
			}
		}
		return false
	})
	for _, g := range spy.taken() {
		if strings.Contains(string(g.body), "secret-word") || strings.Contains(string(g.body), `"valueCanonical":"http://example.org/spy"`) && strings.Contains(string(g.body), "focus") {
			t.Errorf("told %s", g.body)
		}
	}
	if strings.Contains(w.log.String(), "secret-word") {
		t.Error("a secret stands in the log")
	}
	// Who cannot read it cannot turn it elsewhere either: it is gone with the change.
	_, doc := w.ask("GET", "/fhir/Subscription/s", "")
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	w.ask("PUT", "/fhir/Subscription/s", strings.Replace(string(raw), "127.0.0.1:9", "127.0.0.1:8", 1))
	if _, doc := w.askAs(mine, "GET", "/fhir/Subscription/s", ""); strings.Contains(fmt.Sprint(doc), "secret-word") {
		t.Error("another kept the secret while he changed the address")
	}
}

// A subscription whose maker is gone is told nothing, and says why.
func TestSubscriberGone(t *testing.T) {
	w := open(t, options{hooks: here})
	r := receive(t, nil)
	bert := w.user("bert", clinical.RoleAdmin)
	w.put(bert, "Subscription", "s", onTopic("urn:zhiwei:topic:Patient:change", r.URL, "id-only", ""))
	w.awaitStatus("s", "active")
	w.must(kernel.Change{Op: record.Verb, Key: record.Key{Kind: "user", ID: "bert"}, Expect: kernel.AnyVersion, Verb: "disable", Evidence: map[string]any{"reason": "left"}})
	w.put(identity.Root(), "Patient", "a", patient("female"))
	w.awaitStatus("s", "error")
	for _, g := range r.taken() {
		if kind, _ := told(g.doc); kind == "event-notification" {
			t.Error("it was told")
		}
	}
}
