package subscription_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"zhiwei/domain/clinical"
	"zhiwei/door/fhir"
	"zhiwei/door/fhir/subscription"
	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// Of several processes over one store one delivers; when it ends, another goes on
// where it stopped.
func TestOneOwner(t *testing.T) {
	w := open(t, options{hooks: here})
	book := &ledger{}
	r := receive(t, nil)
	r.answer = func(n int, _ *http.Request) int {
		r.mu.Lock()
		doc := r.all[n-1].doc
		r.mu.Unlock()
		book.note(doc, true)
		return 200
	}
	id := w.subscribe(onTopic("urn:zhiwei:topic:Patient:change", r.URL, "id-only", ""))
	w.awaitStatus(id, "active")

	second := &subscription.Module{People: w.people, Owner: "second"}
	fhir.New(w.kernel, fhir.Options{Version: "test", Subscriptions: second})
	if err := second.Provision(t.Context(), w.host); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := second.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		if err := second.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	var want []string
	for i := range 30 {
		if i == 15 {
			w.subs.end()
		}
		w.put(identity.Root(), "Patient", fmt.Sprint("p", i), patient("male"))
		want = append(want, fmt.Sprint("Patient/p", i))
	}
	taken := func() []string {
		book.mu.Lock()
		defer book.mu.Unlock()
		if len(book.wrong) > 0 {
			t.Fatal(book.wrong)
		}
		return slices.Clone(book.taken)
	}
	w.until("all of them", func() bool { return len(taken()) >= len(want) })
	if got := taken(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	// Each once and the handshake, and at most the last few of the first owner again.
	if n := len(r.taken()); n > len(want)+5 {
		t.Errorf("%d requests: both delivered", n)
	}
}

// Where the feed was cut, or the data restored from a copy, nobody can tell what
// was missed: one number without a focus says so, and the numbers go on.
func TestCutIsShown(t *testing.T) {
	w := open(t, options{hooks: here})
	r := receive(t, nil)
	id := w.subscribe(onTopic("urn:zhiwei:topic:Patient:change", r.URL, "id-only", ""))
	w.awaitStatus(id, "active")
	w.put(identity.Root(), "Patient", "a", patient("male"))
	// An event may be told again after a stop: its number says that it is the same.
	events := func() (out []string) {
		for _, g := range r.taken() {
			_, told := told(g.doc)
			for _, e := range told {
				if !slices.Contains(out, e) {
					out = append(out, e)
				}
			}
		}
		return out
	}
	w.until("the first event", func() bool { return len(events()) >= 1 })
	w.subs.end()
	// A cursor of another life of the data: beyond what there is.
	if err := w.kernel.Store().SetCursor(t.Context(), "app/subscriptions", 1<<40); err != nil {
		t.Fatal(err)
	}
	w.put(identity.Root(), "Patient", "missed", patient("male"))
	w.begin()
	w.until("the cut", func() bool { return len(events()) >= 2 })
	w.put(identity.Root(), "Patient", "b", patient("male"))
	w.until("the next event", func() bool { return len(events()) >= 3 })
	if want := []string{"1 Patient/a", "2", "3 Patient/b"}; !slices.Equal(events(), want) {
		t.Errorf("%v, want %v", events(), want)
	}
}

// A Subscription that is deleted tells nothing; made again, it tells what comes
// after, and no number is given twice.
func TestDeletedAndMadeAgain(t *testing.T) {
	w := open(t, options{hooks: here})
	r := receive(t, nil)
	body := strings.Replace(onTopic("urn:zhiwei:topic:Patient:change", r.URL, "id-only", ""), `"status"`, `"id":"s","status"`, 1)
	w.put(identity.Root(), "Subscription", "s", body)
	w.awaitStatus("s", "active")
	w.put(identity.Root(), "Patient", "a", patient("male"))
	w.until("the first event", func() bool { return len(r.taken()) >= 2 })
	w.remove("Subscription", "s")
	w.put(identity.Root(), "Patient", "b", patient("male"))
	w.put(identity.Root(), "Subscription", "s", body)
	w.awaitStatus("s", "active")
	w.put(identity.Root(), "Patient", "c", patient("male"))
	w.until("the next event", func() bool { return len(r.taken()) >= 4 })
	var events []string
	for _, g := range r.taken() {
		_, e := told(g.doc)
		events = append(events, e...)
	}
	if want := []string{"1 Patient/a", "2 Patient/c"}; !slices.Equal(events, want) {
		t.Errorf("%v, want %v", events, want)
	}
}

// However many clinicians subscribe, each is told of the patients he treats, and
// of those alone: the same question, other answers.
func TestEveryoneHisOwn(t *testing.T) {
	w := open(t, options{hooks: here})
	const people = 5
	var hooks []*receiver
	for i := range people {
		name := fmt.Sprint("doc", i)
		p := w.user(name, clinical.RoleClinician)
		r := receive(t, nil)
		hooks = append(hooks, r)
		w.put(p, "Subscription", name, onTopic("urn:zhiwei:topic:any:change", r.URL, "full-resource", "", "Observation?code=1975-2"))
		w.awaitStatus(name, "active")
		w.put(identity.Root(), "Patient", name, patient("female"))
		w.must(kernel.Change{Op: record.Create, Key: record.Key{Kind: clinical.TreatingKind, ID: name}, Data: json.RawMessage(`{"member":"user/` + name + `","patient":"Patient/` + name + `"}`)})
	}
	for i := range 20 {
		w.put(identity.Root(), "Observation", fmt.Sprint("o", i), strings.Replace(observation("1975-2", i), `"status"`, fmt.Sprintf(`"subject":{"reference":"Patient/doc%d"},"status"`, i%people), 1))
	}
	for i, r := range hooks {
		w.until("his own", func() bool { return len(r.taken()) >= 1+20/people })
		next := 1
		for _, g := range r.taken()[1:] {
			_, events := told(g.doc)
			for _, e := range events {
				if want := fmt.Sprintf("%d Observation/o%d", next, (next-1)*people+i); e != want {
					t.Errorf("doc%d was told %s, want %s", i, e, want)
				}
				next++
			}
			if body := string(g.body); !strings.Contains(body, fmt.Sprintf(`"Patient/doc%d"`, i)) {
				t.Errorf("doc%d: %s", i, body)
			}
		}
		if next != 1+20/people {
			t.Errorf("doc%d was told %d", i, next-1)
		}
	}
}

// Whatever is written as a Subscription is read or refused, and what is read
// keeps to the bounds.
func FuzzSubscription(f *testing.F) {
	f.Add(onTopic("urn:zhiwei:topic:Patient:change", "http://127.0.0.1/x", "id-only", extend("backport-max-count", `"valuePositiveInt":20`), "gender=male"))
	f.Add(onTopic("urn:zhiwei:topic:encounter-start", "", "empty", extend("backport-heartbeat-period", `"valueUnsignedInt":-1`)))
	f.Add(`{"resourceType":"Subscription","status":"requested","criteria":"Observation?code=a|b,c&date=gt2020&_has:Observation:patient:code=1","channel":{"type":"rest-hook","endpoint":"https://127.0.0.1:1/%zz","header":["a: b","\u0000"]}}`)
	f.Add(`{"status":"active","end":"never","channel":{"type":"websocket"},"criteria":"|"}`)
	w := open(f, options{hooks: here})
	f.Fuzz(func(t *testing.T, body string) {
		if !json.Valid([]byte(body)) {
			return // the door refuses it before
		}
		_ = w.subs.Check(json.RawMessage(body))
	})
}

// A token that is not ours binds nothing, whatever it looks like.
func FuzzBindingToken(f *testing.F) {
	f.Add("")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	w := open(f, options{})
	f.Fuzz(func(t *testing.T, token string) {
		if ids, err := w.subs.Bound(token); err == nil {
			t.Fatalf("%q binds %v", token, ids)
		}
	})
}
