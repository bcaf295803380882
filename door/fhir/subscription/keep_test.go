package subscription_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/door/fhir/subscription"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// newestOf is the number of the newest event of a subscription, as $status tells it.
func (w *world) newestOf(id string) string {
	w.t.Helper()
	_, doc := w.ask("GET", "/fhir/Subscription/"+id+"/$status", "")
	return fmt.Sprint(values(statusOf(doc), "events-since-subscription-start")...)
}

// replay asks for events and gives their numbers and what they are about; what is
// refused is given as status and sentence.
func (w *world) replay(id, query string) (events []string, status int, says string) {
	w.t.Helper()
	status, doc := w.ask("GET", "/fhir/Subscription/"+id+"/$events?"+query, "")
	if status != http.StatusOK {
		raw, err := json.Marshal(doc)
		if err != nil {
			w.t.Fatal(err)
		}
		return nil, status, string(raw)
	}
	_, events = told(doc)
	for i := range events {
		events[i] = strings.Replace(events[i], w.url+"/fhir/", "", 1)
	}
	return events, status, ""
}

// stored counts what stands in the store of the events of a subscription: parts
// that live, and events in all versions that can still be read.
func (w *world) stored() (parts, events int) {
	w.t.Helper()
	ctx, view := context.Background(), w.kernel.View(identity.Root())
	page, err := w.kernel.Store().Search(ctx, view, search.Query{Kind: subscription.PartKind, Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	parts = len(page.Records)
	feed, err := w.kernel.Store().Feed(ctx, 0, 100_000)
	if err != nil {
		w.t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range feed {
		if e.Kind != subscription.PartKind || seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		history, err := w.kernel.Store().History(ctx, view, store.HistoryQuery{Key: record.Key{Kind: e.Kind, ID: e.ID}, Limit: 1000})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range history.Versions {
			var p struct {
				Events []json.RawMessage `json:"events"`
			}
			if len(r.Data) > 0 {
				if err := json.Unmarshal(r.Data, &p); err != nil {
					w.t.Fatal(err)
				}
			}
			events += len(p.Events)
		}
	}
	return parts, events
}

// Of the events of a subscription as many are kept as the configuration says, or
// little more; what is beyond is erased from the store. Asked for, it is answered
// with a sentence, and not with half of it; the numbers go on.
func TestKeepsSoMany(t *testing.T) {
	w := open(t, options{hooks: here, keep: subscription.Keep{Events: 50}})
	r := receive(t, nil)
	id := w.subscribe(onTopic("urn:zhiwei:topic:Patient:create", r.URL, "id-only", extend("backport-max-count", `"valuePositiveInt":10`)))
	w.awaitStatus(id, "active")
	var want []string
	for i := range 123 {
		w.put(identity.Root(), "Patient", fmt.Sprint("p", i), patient("female"))
		want = append(want, fmt.Sprintf("%d Patient/p%d", i+1, i))
		if i%30 == 15 { // another process takes over, wherever this one is
			w.hand.Move(20 * time.Minute)
			w.subs.end()
			w.begin()
		}
	}
	w.until("all events", func() bool { return w.newestOf(id) == "123" })
	w.until("an end of what is too much", func() bool {
		w.hand.Move(time.Minute)
		_, n := w.stored()
		return n <= 80 // 50, and less than one batch in the part they begin in
	})
	if _, n := w.stored(); n < 50 {
		t.Errorf("%d events are kept", n)
	}
	kept, status, _ := w.replay(id, "")
	if status != 200 || len(kept) < 50 || !slices.Equal(kept, want[len(want)-len(kept):]) {
		t.Errorf("kept %v", kept)
	}
	first, _, _ := strings.Cut(kept[0], " ")
	for _, query := range []string{"eventsSinceNumber=1", "eventsSinceNumber=2&eventsUntilNumber=120", "eventsUntilNumber=3"} {
		if _, status, says := w.replay(id, query); status != http.StatusNotFound || !strings.Contains(says, "eventsSinceNumber="+first+".") || !strings.Contains(says, "not kept") {
			t.Errorf("%s: %d %s", query, status, says)
		}
	}
	if got, _, _ := w.replay(id, "eventsSinceNumber="+first+"&eventsUntilNumber="+first); !slices.Equal(got, kept[:1]) {
		t.Errorf("the oldest is %v, not %v", got, kept[:1])
	}
	// Another process reads the same, and goes on with the numbers.
	w.subs.end()
	w.begin()
	w.put(identity.Root(), "Patient", "last", patient("male"))
	w.until("the next event", func() bool { return w.newestOf(id) == "124" })
	if got, _, _ := w.replay(id, "eventsSinceNumber=124"); !slices.Equal(got, []string{"124 Patient/last"}) {
		t.Error(got)
	}
}

// What is older than the configuration says is erased, also where nothing new
// comes and where the Subscription is deleted; the numbers go on all the same.
func TestKeepsSoLong(t *testing.T) {
	w := open(t, options{hooks: here, keep: subscription.Keep{Days: 10}})
	r := receive(t, nil)
	id := w.subscribe(onTopic("urn:zhiwei:topic:Patient:change", r.URL, "id-only", ""))
	w.awaitStatus(id, "active")
	w.put(identity.Root(), "Patient", "a", patient("female"))
	w.until("the first event", func() bool { return len(r.taken()) >= 2 })
	w.hand.Move(9 * 24 * time.Hour)
	w.put(identity.Root(), "Patient", "a", patient("male"))
	w.until("the second event", func() bool { return len(r.taken()) >= 3 })
	if got, _, _ := w.replay(id, ""); len(got) != 2 {
		t.Errorf("kept %v", got)
	}
	w.hand.Move(2 * 24 * time.Hour)
	w.until("an end of the first", func() bool {
		w.hand.Move(time.Minute)
		_, n := w.stored()
		return n == 1
	})
	if got, _, _ := w.replay(id, "eventsSinceNumber=2"); !slices.Equal(got, []string{"2 Patient/a"}) {
		t.Error(got)
	}
	w.hand.Move(20 * 24 * time.Hour)
	none := func() bool {
		w.hand.Move(time.Minute)
		parts, n := w.stored()
		return parts == 0 && n == 0
	}
	w.until("an end of the second", none)
	if got, status, _ := w.replay(id, ""); status != 200 || len(got) != 0 || w.newestOf(id) != "2" {
		t.Errorf("%d %v, newest %s", status, got, w.newestOf(id))
	}
	if _, status, says := w.replay(id, "eventsSinceNumber=2"); status != http.StatusNotFound || !strings.Contains(says, "Read the resources anew.") {
		t.Errorf("%d %s", status, says)
	}
	w.put(identity.Root(), "Patient", "a", patient("other"))
	w.until("the third event", func() bool { return w.newestOf(id) == "3" })
	w.until("its delivery", func() bool {
		_, events := told(r.taken()[len(r.taken())-1].doc)
		return slices.Equal(events, []string{"3 Patient/a"})
	})
	w.remove("Subscription", id)
	w.hand.Move(11 * 24 * time.Hour)
	w.until("an end of what is told nobody any more", none)
}

// A receiver that could not be reached for longer than events are kept is told the
// rest, and sees by the numbers what he missed.
func TestMissedForTooLong(t *testing.T) {
	w := open(t, options{hooks: here, fails: 2, keep: subscription.Keep{Events: 10}})
	r := receive(t, nil)
	broken := false
	r.answer = func(int, *http.Request) int {
		r.mu.Lock()
		defer r.mu.Unlock()
		if broken {
			return http.StatusBadGateway
		}
		return http.StatusOK
	}
	set := func(b bool) {
		r.mu.Lock()
		broken, r.all = b, nil
		r.mu.Unlock()
	}
	id := w.subscribe(onTopic("urn:zhiwei:topic:Patient:create", r.URL, "id-only", ""))
	w.awaitStatus(id, "active")
	set(true)
	w.put(identity.Root(), "Patient", "p1", patient("male"))
	w.awaitStatus(id, "error")
	for i := 2; i <= 400; i++ { // more than a courier remembers
		w.put(identity.Root(), "Patient", fmt.Sprint("p", i), patient("male"))
	}
	w.until("all events", func() bool { return w.newestOf(id) == "400" })
	w.until("an end of what is too much", func() bool {
		w.hand.Move(time.Minute)
		_, n := w.stored()
		return n < 200
	})
	w.subs.end()
	w.begin()
	set(false)
	_, sub := w.ask("GET", "/fhir/Subscription/"+id, "")
	sub["status"] = "requested"
	raw, err := json.Marshal(sub)
	if err != nil {
		t.Fatal(err)
	}
	if status, doc := w.ask("PUT", "/fhir/Subscription/"+id, string(raw)); status != 200 {
		t.Fatal(status, doc)
	}
	kept, _, _ := w.replay(id, "")
	var got []string
	w.until("what is kept", func() bool {
		got = nil
		for _, g := range r.taken() {
			_, events := told(g.doc)
			for _, e := range events {
				if !slices.Contains(got, e) { // at least once
					got = append(got, e)
				}
			}
		}
		return len(got) > 0 && got[len(got)-1] == "400 Patient/p400"
	})
	if !slices.Equal(got, kept) {
		t.Errorf("told %v, kept %v", got, kept)
	}
}

// Bounds that make no sense are refused at the start.
func TestKeepIsRead(t *testing.T) {
	w := open(t, options{})
	for _, k := range []subscription.Keep{{Events: -1}, {Days: -1}} {
		m := &subscription.Module{People: w.people, Owner: "other"}
		h := *w.host
		h.Config = func(_ string, into any) error {
			into.(*subscription.Config).Keep = k
			return nil
		}
		var e *errs.Error
		if err := m.Provision(context.Background(), &h); !errors.As(err, &e) || e.Kind != errs.Invalid {
			t.Errorf("%+v: %v", k, err)
		}
	}
}
