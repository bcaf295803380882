package subscription_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"zhiwei/kernel/identity"
)

// A plain R4 subscription without payload is told by bare POSTs, with payload by
// the resource itself; only of what its criteria find, judged by the new version.
func TestPlainRestHook(t *testing.T) {
	w := open(t, options{hooks: here})
	bare, full := receive(t, nil), receive(t, nil)
	id := w.subscribe(`{"resourceType":"Subscription","status":"requested","reason":"r","criteria":"Observation?code=http://loinc.org|1975-2",
		"channel":{"type":"rest-hook","endpoint":"` + bare.URL + `/ping","header":["Authorization: Bearer abc"]}}`)
	other := w.subscribe(`{"resourceType":"Subscription","status":"requested","reason":"r","criteria":"Observation?code=1975-2&value-quantity=gt5",
		"channel":{"type":"rest-hook","endpoint":"` + full.URL + `/base","payload":"application/fhir+json"}}`)
	w.awaitStatus(id, "active")
	w.awaitStatus(other, "active")
	root := identity.Root()
	w.put(root, "Observation", "a", observation("1975-2", 3))
	w.put(root, "Observation", "b", observation("2160-0", 9))
	w.put(root, "Observation", "a", observation("1975-2", 7))
	w.put(root, "Observation", "a", observation("2160-0", 7)) // matches no longer: R4 says nothing
	w.remove("Observation", "a")                              // nor of deletions
	w.put(root, "Observation", "c", observation("1975-2", 8))
	w.until("notifications", func() bool { return len(bare.taken()) >= 3 && len(full.taken()) >= 2 })

	for i, g := range bare.taken() {
		if g.method != "POST" || g.path != "/ping" || len(g.body) != 0 || g.header.Get("Authorization") != "Bearer abc" {
			t.Errorf("bare %d: %+v", i, g)
		}
		if key := fmt.Sprintf(`"%s.%d"`, id, i+1); g.header.Get("Idempotency-Key") != key {
			t.Errorf("key %s, not %s", g.header.Get("Idempotency-Key"), key)
		}
	}
	var sent []string
	for _, g := range full.taken() {
		sent = append(sent, fmt.Sprint(g.method, " ", g.path, " ", g.doc["id"], " ", g.doc["meta"].(map[string]any)["versionId"], " ", g.header.Get("Content-Type")))
	}
	want := []string{"PUT /base/Observation/a a 2 application/fhir+json; charset=utf-8", "PUT /base/Observation/c c 1 application/fhir+json; charset=utf-8"}
	if !slices.Equal(sent, want) {
		t.Errorf("got %q, want %q", sent, want)
	}
	if strings.Contains(w.log.String(), "Bearer abc") {
		t.Error("a secret stands in the log")
	}
}

const extensions = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"

// onTopic is a Subscription of the Backport.
func onTopic(topic, endpoint, content, more string, filters ...string) string {
	var f []string
	for _, s := range filters {
		f = append(f, `{"url":"`+extensions+`backport-filter-criteria","valueString":"`+s+`"}`)
	}
	primary := ""
	if len(f) > 0 {
		primary = `,"_criteria":{"extension":[` + strings.Join(f, ",") + `]}`
	}
	kind, at := "rest-hook", `,"endpoint":"`+endpoint+`"`
	if endpoint == "" {
		kind, at = "websocket", ""
	}
	if more != "" {
		more = `,"extension":[` + more + `]`
	}
	return `{"resourceType":"Subscription","status":"requested","reason":"r","criteria":"` + topic + `"` + primary + `,
		"channel":{"type":"` + kind + `"` + at + more + `,"payload":"application/fhir+json",
		"_payload":{"extension":[{"url":"` + extensions + `backport-payload-content","valueCode":"` + content + `"}]}}}`
}

func extend(name, value string) string {
	return `{"url":"` + extensions + name + `",` + value + `}`
}

// A topic's subscription is verified by a handshake, told of creations, changes
// and deletions with gap-free numbers, and can be asked for its status and for
// the events again.
func TestTopic(t *testing.T) {
	w := open(t, options{hooks: here})
	r := receive(t, nil)
	id := w.subscribe(onTopic("urn:zhiwei:topic:Observation:change", r.URL+"/hook", "full-resource", "", "Observation?code=1975-2"))
	w.awaitStatus(id, "active")
	root := identity.Root()
	w.put(root, "Observation", "a", observation("1975-2", 3))
	w.put(root, "Observation", "b", observation("9999-9", 3))
	w.put(root, "Observation", "a", observation("1975-2", 4))
	w.remove("Observation", "a")
	w.until("four notifications", func() bool { return len(r.taken()) >= 4 })
	all := r.taken()
	if kind, events := told(all[0].doc); kind != "handshake" || len(events) != 0 {
		t.Errorf("the first is %s %v", kind, events)
	}
	if s := statusOf(all[0].doc); fmt.Sprint(values(s, "status")...) != "requested" || fmt.Sprint(values(s, "events-since-subscription-start")...) != "0" {
		t.Errorf("handshake %v", s)
	}
	methods := []string{"POST", "PUT", "DELETE"}
	for i, g := range all[1:] {
		kind, events := told(g.doc)
		if want := []string{fmt.Sprint(i+1, " Observation/a")}; kind != "event-notification" || !slices.Equal(events, want) {
			t.Errorf("%s %v, want %v", kind, events, want)
		}
		if g.doc["resourceType"] != "Bundle" || g.doc["type"] != "history" {
			t.Errorf("bundle %v", g.doc)
		}
		list := g.doc["entry"].([]any)
		if len(list) != 2 {
			t.Fatalf("%d entries", len(list))
		}
		e := list[1].(map[string]any)
		if m := e["request"].(map[string]any)["method"]; m != methods[i] {
			t.Errorf("event %d was %v", i+1, m)
		}
		if res, _ := e["resource"].(map[string]any); (res == nil) != (i == 2) || res != nil && res["meta"].(map[string]any)["versionId"] != fmt.Sprint(i+1) {
			t.Errorf("event %d carries %v", i+1, res)
		}
	}

	status, doc := w.ask("GET", "/fhir/Subscription/"+id+"/$status", "")
	list, _ := doc["entry"].([]any)
	if status != 200 || doc["type"] != "searchset" || len(list) != 1 {
		t.Fatalf("$status %d %v", status, doc)
	}
	s := statusOf(doc)
	if fmt.Sprint(values(s, "events-since-subscription-start")...) != "3" || fmt.Sprint(values(s, "type")...) != "query-status" || fmt.Sprint(values(s, "topic")...) != "urn:zhiwei:topic:Observation:change" {
		t.Errorf("$status %v", s)
	}
	_, doc = w.ask("GET", "/fhir/Subscription/"+id+"/$events?eventsSinceNumber=2&eventsUntilNumber=3&content=id-only", "")
	kind, events := told(doc)
	if kind != "query-event" || !slices.Equal(events, []string{"2 " + w.url + "/fhir/Observation/a", "3 " + w.url + "/fhir/Observation/a"}) {
		t.Errorf("$events %s %v", kind, events)
	}
	_, doc = w.ask("POST", "/fhir/Subscription/"+id+"/$events", `{"resourceType":"Parameters","parameter":[{"name":"eventsSinceNumber","valueString":"1"}]}`)
	if _, events = told(doc); len(events) != 3 {
		t.Errorf("$events %v", events)
	}
	if status, _ := w.ask("GET", "/fhir/Subscription/"+id+"/$events?since=1", ""); status != http.StatusBadRequest {
		t.Errorf("an unknown parameter is answered %d", status)
	}
}

// With max-count events travel together; what is empty tells no resource.
func TestEmptyAndTogether(t *testing.T) {
	w := open(t, options{hooks: here})
	block := make(chan struct{})
	r := receive(t, func(n int, _ *http.Request) int {
		if n == 2 { // the first event waits until there are more
			<-block
		}
		return 200
	})
	id := w.subscribe(onTopic("urn:zhiwei:topic:Patient:create", r.URL, "empty", extend("backport-max-count", `"valuePositiveInt":20`)))
	w.awaitStatus(id, "active")
	for i := range 10 {
		w.put(identity.Root(), "Patient", fmt.Sprint("p", i), patient("female"))
	}
	w.until("ten events", func() bool {
		_, doc := w.ask("GET", "/fhir/Subscription/"+id+"/$status", "")
		return fmt.Sprint(values(statusOf(doc), "events-since-subscription-start")...) == "10"
	})
	close(block)
	next := 1
	w.until("all events", func() bool {
		next = 1
		for _, g := range r.taken()[1:] {
			_, events := told(g.doc)
			for _, e := range events {
				if e != fmt.Sprint(next) {
					t.Fatalf("event %q, not %d", e, next)
				}
				next++
			}
			if len(g.doc["entry"].([]any)) != 1 {
				t.Fatal("an empty notification carries more than the status")
			}
		}
		return next == 11
	})
	if n := len(r.taken()); n > 5 {
		t.Errorf("%d requests for ten events that waited together", n)
	}
}

// A heartbeat is sent where nothing else was for its period.
func TestHeartbeat(t *testing.T) {
	w := open(t, options{hooks: here})
	r := receive(t, nil)
	w.subscribe(onTopic("urn:zhiwei:topic:Patient:create", r.URL, "empty", extend("backport-heartbeat-period", `"valueUnsignedInt":60`)))
	w.until("two heartbeats", func() bool {
		n := 0
		for _, g := range r.taken() {
			if kind, _ := told(g.doc); kind == "heartbeat" {
				n++
			}
		}
		return n >= 2
	})
}

// An encounter that comes to be in progress is an event, however it got there;
// one that was already is none.
func TestEncounterStart(t *testing.T) {
	w := open(t, options{hooks: here})
	r := receive(t, nil)
	id := w.subscribe(onTopic("urn:zhiwei:topic:encounter-start", r.URL, "id-only", ""))
	w.awaitStatus(id, "active")
	encounter := func(id, status string) {
		w.put(identity.Root(), "Encounter", id, `{"resourceType":"Encounter","status":"`+status+`","class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB"}}`)
	}
	encounter("a", "planned")
	encounter("a", "in-progress") // 1
	encounter("a", "in-progress")
	encounter("b", "in-progress") // 2
	encounter("b", "finished")
	encounter("b", "in-progress") // 3
	encounter("c", "finished")
	w.until("three events", func() bool { return len(r.taken()) >= 4 })
	var events []string
	for _, g := range r.taken() {
		_, e := told(g.doc)
		events = append(events, e...)
	}
	if want := []string{"1 Encounter/a", "2 Encounter/b", "3 Encounter/b"}; !slices.Equal(events, want) {
		t.Errorf("%v, want %v", events, want)
	}
}

// A topic of one's own stands as a Basic, as the Backport writes it, with its rule
// as queries or as FHIRPath.
func TestTopicAsBasic(t *testing.T) {
	for name, rule := range map[string]string{
		"query": `{"url":"queryCriteria","extension":[{"url":"previous","valueString":"gender=male"},{"url":"current","valueString":"gender=female"},{"url":"requireBoth","valueBoolean":true}]}`,
		"path":  `{"url":"fhirPathCriteria","valueString":"%previous.gender = 'male' and %current.gender = 'female'"}`,
	} {
		t.Run(name, func(t *testing.T) { topicAsBasic(t, rule) })
	}
}

func topicAsBasic(t *testing.T, rule string) {
	w := open(t, options{hooks: here})
	r := receive(t, nil)
	const five = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic."
	status, doc := w.ask("PUT", "/fhir/Basic/t1", `{"resourceType":"Basic","id":"t1","extension":[
		{"url":"`+five+`url","valueUri":"http://example.org/topics/late"},
		{"url":"`+five+`resourceTrigger","extension":[
			{"url":"resource","valueUri":"http://hl7.org/fhir/StructureDefinition/Patient"},
			{"url":"supportedInteraction","valueCode":"update"},
			`+rule+`]}],
		"modifierExtension":[{"url":"`+five+`status","valueCode":"active"}],
		"code":{"coding":[{"system":"http://hl7.org/fhir/fhir-types","code":"SubscriptionTopic"}]}}`)
	if status != 201 {
		t.Fatal(status, doc)
	}
	id := w.subscribe(onTopic("http://example.org/topics/late", r.URL, "id-only", ""))
	w.awaitStatus(id, "active")
	root := identity.Root()
	w.put(root, "Patient", "a", patient("female")) // created: there is no before
	w.put(root, "Patient", "b", patient("male"))
	w.put(root, "Patient", "b", patient("female")) // 1
	w.put(root, "Patient", "b", patient("other"))
	w.put(root, "Patient", "a", patient("male"))
	w.put(root, "Patient", "a", patient("female")) // 2
	w.until("two events", func() bool { return len(r.taken()) >= 3 })
	_, one := told(r.taken()[1].doc)
	_, two := told(r.taken()[2].doc)
	if got := append(one, two...); !slices.Equal(got, []string{"1 Patient/b", "2 Patient/a"}) {
		t.Error(got)
	}
}

// Criteria reach other records as a search does: along a chain, and by _has; each
// write is judged by what stands when it is told.
func TestChainedCriteria(t *testing.T) {
	w := open(t, options{hooks: here})
	chain, has := receive(t, nil), receive(t, nil)
	a := w.subscribe(`{"resourceType":"Subscription","status":"requested","reason":"r","criteria":"Observation?code=1975-2&patient.gender=female",
		"channel":{"type":"rest-hook","endpoint":"` + chain.URL + `","payload":"application/fhir+json"}}`)
	b := w.subscribe(onTopic("urn:zhiwei:topic:Patient:change", has.URL, "id-only", "", "_has:Observation:patient:code=1975-2"))
	w.awaitStatus(a, "active")
	w.awaitStatus(b, "active")
	root := identity.Root()
	of := func(id, patient string) {
		w.put(root, "Observation", id, strings.Replace(observation("1975-2", 1), `"status"`, `"subject":{"reference":"Patient/`+patient+`"},"status"`, 1))
	}
	w.put(root, "Patient", "eva", patient("female"))
	w.put(root, "Patient", "max", patient("male"))
	of("o1", "max")
	of("o2", "eva")
	w.put(root, "Observation", "o3", observation("1975-2", 1)) // of nobody
	w.put(root, "Patient", "eva", `{"resourceType":"Patient","gender":"female","active":true}`)
	of("o4", "eva")
	w.until("both", func() bool {
		return len(chain.taken()) >= 2 && len(has.taken()) >= 2 && strings.Contains(string(has.taken()[len(has.taken())-1].body), "Patient/eva")
	})
	var sent []string
	for _, g := range chain.taken() {
		sent = append(sent, g.method+" "+g.path)
	}
	if want := []string{"PUT /Observation/o2", "PUT /Observation/o4"}; !slices.Equal(sent, want) {
		t.Errorf("by the chain %v, want %v", sent, want)
	}
	// Of eva's last version there is an observation whenever it is looked at; of the
	// others one may have come before they were looked at.
	eva := false
	for _, g := range has.taken() {
		_, events := told(g.doc)
		eva = eva || len(events) == 1 && strings.HasSuffix(events[0], " Patient/eva")
	}
	if !eva {
		t.Error("by _has eva was not told")
	}
}
