package subscription_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// seed is that of a random test: a new one, printed, or SEED.
func seed(t testing.TB) uint64 {
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SEED=%d", n)
	return n
}

// ledger checks what a receiver is sent against the promise: numbers begin at 1,
// each is sent until it was taken, and only then the next; one number is always
// the same event.
type ledger struct {
	mu    sync.Mutex
	taken []string // by number
	wrong []string
}

func (l *ledger) note(doc map[string]any, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind, events := told(doc)
	if kind != "event-notification" {
		return
	}
	next := len(l.taken) + 1 // after this notification's events so far
	for _, e := range events {
		number, what, _ := strings.Cut(e, " ")
		n, _ := strconv.Atoi(number)
		switch {
		case n > next:
			l.wrong = append(l.wrong, fmt.Sprintf("number %d where %d is due", n, next))
		case n <= len(l.taken) && l.taken[n-1] != what:
			l.wrong = append(l.wrong, fmt.Sprintf("number %d was %s and is %s", n, l.taken[n-1], what))
		case n == next:
			next++
			if ok {
				l.taken = append(l.taken, what)
			}
		}
	}
}

// Whatever fails (the receiver, its answers, the process that delivers, again
// and again), every committed write that matches is told, in the order of the
// feed, under consecutive numbers; and $events tells the same.
func TestEveryMatchingWriteIsTold(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { everyMatchingWriteIsTold(t, options{}, 400) })
	t.Run("postgres", func(t *testing.T) { everyMatchingWriteIsTold(t, options{postgres: true}, 120) })
}

func everyMatchingWriteIsTold(t *testing.T, o options, writes int) {
	rng := rand.New(rand.NewPCG(seed(t), 1))
	o.hooks, o.fails = here, 1<<20
	w := open(t, o)
	var mu sync.Mutex // of rng, in handlers
	chance := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n) == 0
	}
	books := map[string]*ledger{}
	criteria := map[string]func(code string, value int) bool{
		"Observation?code=a": func(code string, _ int) bool { return code == "a" },
		"Observation?code=http://loinc.org|b&value-quantity=ge5": func(code string, value int) bool { return code == "b" && value >= 5 },
		"Observation?code:not=a":                                 func(code string, _ int) bool { return code != "a" },
		"Observation?":                                           func(string, int) bool { return true },
		"Observation?value-quantity=lt2,gt8":                     func(_ string, value int) bool { return value < 2 || value > 8 },
	}
	ids := map[string]string{}
	for c := range criteria {
		book := &ledger{}
		books[c] = book
		r := receive(t, nil)
		r.answer = func(n int, _ *http.Request) int {
			r.mu.Lock()
			doc := r.all[n-1].doc
			r.mu.Unlock()
			status := 200
			switch {
			case n == 1: // the handshake
			case chance(5):
				status = 503
			case chance(10):
				status = 0
			}
			// A broken connection may well have been taken: then it comes again.
			book.note(doc, status == 200)
			return status
		}
		body := fmt.Sprintf(`{"resourceType":"Subscription","status":"requested","reason":"r","criteria":%q,"channel":{"type":"rest-hook","endpoint":%q,
			"payload":"application/fhir+json","_payload":{"extension":[{"url":%q,"valueCode":"id-only"}]},"extension":[{"url":%q,"valuePositiveInt":%d}]}}`,
			c, r.URL, extensions+"backport-payload-content", extensions+"backport-max-count", 1+rng.IntN(5))
		ids[c] = w.subscribe(body)
	}
	for _, id := range ids {
		w.awaitStatus(id, "active")
	}
	var want []struct {
		id    string
		code  string
		value int
	}
	for i := range writes {
		code, value := string(rune('a'+rng.IntN(3))), rng.IntN(11)
		id := fmt.Sprint("o", rng.IntN(40))
		if rng.IntN(12) == 0 {
			_, err := w.kernel.Write(context.Background(), identity.Root(), kernel.Change{Op: record.Delete, Key: record.Key{Kind: "Observation", ID: id}, Expect: kernel.AnyVersion})
			_ = err // there may be none: R4 tells of no deletion either way
			continue
		}
		w.put(identity.Root(), "Observation", id, observation(code, value))
		want = append(want, struct {
			id    string
			code  string
			value int
		}{id, code, value})
		if i%40 == 20 { // the process that numbers and delivers ends, and another begins
			w.subs.end()
			w.begin()
		}
	}
	for c, match := range criteria {
		var expect []string
		for _, o := range want {
			if match(o.code, o.value) {
				expect = append(expect, "Observation/"+o.id)
			}
		}
		book := books[c]
		t.Logf("%s: %d events", c, len(expect))
		w.until(c, func() bool {
			book.mu.Lock()
			defer book.mu.Unlock()
			return len(book.taken) >= len(expect) || len(book.wrong) > 0
		})
		book.mu.Lock()
		if len(book.wrong) > 0 || !slices.Equal(book.taken, expect) {
			t.Errorf("%s: %v\ntold %d %v\nwant %d %v", c, book.wrong, len(book.taken), book.taken, len(expect), expect)
		}
		book.mu.Unlock()
		var again []string
		for from := 1; from <= len(expect); from += 7 {
			_, doc := w.ask("GET", fmt.Sprintf("/fhir/Subscription/%s/$events?eventsSinceNumber=%d&eventsUntilNumber=%d", ids[c], from, from+6), "")
			_, events := told(doc)
			for i, e := range events {
				number, what, _ := strings.Cut(e, " ")
				if number != strconv.Itoa(from+i) {
					t.Fatalf("$events from %d gave %v", from, events)
				}
				again = append(again, strings.TrimPrefix(what, w.url+"/fhir/"))
			}
		}
		if !slices.Equal(again, expect) {
			t.Errorf("%s: replay tells %v, want %v", c, again, expect)
		}
	}
}

// In memory a version matches a query exactly where the store's search finds it.
func TestMatchingEqualsSearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 2))
	w := open(t, options{})
	root := identity.Root()
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	for i := range 12 {
		name := pick("张三", "李四", "Smith", "O'Brien", "Ørsted")
		w.put(root, "Patient", fmt.Sprint("p", i), fmt.Sprintf(`{"resourceType":"Patient","gender":%q,"birthDate":%q,"name":[{"family":%q,"given":[%q]}],"identifier":[{"system":"urn:a","value":"%d"}]}`,
			pick("male", "female"), pick("1980-01-05", "1980", "2001-12", "2010-06-30"), name, pick("Ann", "Bo", "小明"), i%5))
	}
	for i := range 60 {
		date := pick("2026-01-02", "2026-01", "2026-01-02T10:00:00Z", "2025-12-31T23:59:59+08:00")
		component := ""
		if rng.IntN(2) == 0 {
			component = fmt.Sprintf(`,"component":[{"code":{"coding":[{"code":"sys"}]},"valueQuantity":{"value":%d,"unit":"mm","system":"http://unitsofmeasure.org","code":"mm[Hg]"}},{"code":{"coding":[{"code":"dia"}]},"valueQuantity":{"value":%d}}]`, 100+rng.IntN(3), 60+rng.IntN(3))
		}
		subject := ""
		if rng.IntN(4) > 0 {
			subject = fmt.Sprintf(`,"subject":{"reference":"Patient/p%d"}`, rng.IntN(12))
		}
		w.put(root, "Observation", fmt.Sprint("o", i), fmt.Sprintf(`{"resourceType":"Observation","status":%q,"code":{"text":%q,"coding":[{"system":%q,"code":%q,"display":"Body weight"}]},"effectiveDateTime":%q,"valueQuantity":{"value":%d.%d,"unit":"kg"}%s%s}`,
			pick("final", "amended"), pick("体重", "weight"), pick("http://loinc.org", "urn:other"), pick("a", "b", "c"), date, rng.IntN(4), rng.IntN(10), subject, component))
	}
	queries := map[string][]string{
		"Patient": {
			"gender=male", "gender:not=male", "gender=http://hl7.org/fhir/administrative-gender|male", "birthdate=1980", "birthdate=gt1980-01-05", "birthdate=ne1980", "birthdate=le2001-12-15", "birthdate=ap2010",
			"name=zhang", "name=zs", "name:contains=mit", "name:exact=Smith", "family=o'b", "given=xiao", "name=李四,ann", "identifier=urn:a|3", "identifier=3", "identifier=urn:a|", "identifier=|3",
			"deceased:missing=true", "name:missing=false", "_id=p3", "_lastUpdated=ge2026-01-01", "_has:Observation:patient:code=a", "_has:Observation:subject:status=amended&gender=female",
			"identifier:of-type=urn:t|c|3", "general-practitioner:missing=true",
		},
		"Observation": {
			"code=a", "code=urn:other|b", "code=http://loinc.org|", "code:text=weight", "code:text=体重", "status=final", "status:not=final", "date=2026-01-02", "date=sa2026-01-01", "date=eb2026-01-02T10:00:00Z", "date=lt2026-01",
			"value-quantity=2", "value-quantity=gt1.5", "value-quantity=le2.5||kg", "value-quantity=ne2", "subject=Patient/p1", "patient=p2", "subject:Patient=p3", "patient:missing=true", "subject.gender=male", "patient.name=zhang",
			"component-code-value-quantity=sys$101", "component-code-value-quantity=dia$gt60", "code-value-quantity=a$lt2", "component-code=sys&component-value-quantity=60", "patient:Patient._has:Observation:patient:code=b", "combo-code=a",
			"patient.identifier=urn:a|2", "subject.birthdate=gt2000", "_tag=x", "_id=o1,o2,o3",
		},
	}
	asked := 0
	for typ, list := range queries {
		var records []record.Record
		page, err := w.kernel.Search(context.Background(), root, search.Query{Kind: typ, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		records = page.Records
		for n := range 150 {
			q := list[n%len(list)]
			if n >= len(list) {
				q += "&" + list[rng.IntN(len(list))]
			}
			where, err := w.subs.Criteria(typ, q)
			if err != nil {
				t.Errorf("%s?%s: %v", typ, q, err)
				continue
			}
			found := map[string]bool{}
			page, err := w.kernel.Search(context.Background(), root, search.Query{Kind: typ, Where: where, Limit: 1000})
			if err != nil {
				t.Errorf("%s?%s: %v", typ, q, err)
				continue
			}
			for _, r := range page.Records {
				found[r.ID] = true
			}
			for _, r := range records {
				x, err := w.kernel.Indexed(r)
				if err != nil {
					t.Fatal(err)
				}
				ok, err := w.kernel.Satisfies(context.Background(), root, x, where)
				if err != nil || ok != found[r.ID] {
					raw, _ := json.Marshal(where)
					t.Errorf("%s?%s: in memory %v, by search %v for %s (%v)\n%s\n%s", typ, q, ok, found[r.ID], r.ID, err, r.Data, raw)
				}
				asked++
			}
		}
	}
	t.Logf("%d comparisons", asked)
}
