package operations_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// tells is a page of metrics of a thing.
func tells(t *testing.T, write func(w http.ResponseWriter)) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		write(w)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// orders are what a service was told to do.
func (s service) orders() []string {
	raw, _ := os.ReadFile(s.control + ".log")
	return strings.Fields(string(raw))
}

// alive tells whether its process runs.
func (s service) alive() bool { return exec.Command(s.control, "status", "x").Run() == nil }

// said counts the moments of a sort.
func said(t *engine.Trouble, what, text string) (n int) {
	for _, m := range t.Moments {
		if m.What == what && strings.Contains(m.Say.EN, text) {
			n++
		}
	}
	return n
}

// What stands on a database that was away still shows it when it is back: its rate
// of errors for two minutes, its log for five. That is an echo: nothing is done
// because of it, and the incident is over long before it has died away.
// Proves A03 A04 A09.
func TestAnEchoIsNoEvidence(t *testing.T) {
	t.Parallel()
	h := open(t, quick)
	h.autonomy(engine.LevelAct)
	db, app := h.service("db"), h.service("app")
	start(t, db)
	start(t, app)
	db.wait(t)
	app.wait(t)
	log := filepath.Join(h.dir, "app.log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var served, failed atomic.Int64
	url := tells(t, func(w http.ResponseWriter) {
		c, err := net.DialTimeout("tcp", db.address, time.Second)
		if err != nil {
			failed.Add(20)
			f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0o600)
			if err == nil {
				_, _ = fmt.Fprintln(f, "Traceback (most recent call last): unhandled exception in visit()")
				_ = f.Close()
			}
		} else {
			_ = c.Close()
			served.Add(20)
		}
		_, _ = fmt.Fprintf(w, "# TYPE http_requests_total counter\nhttp_requests_total{code=\"200\"} %d\nhttp_requests_total{code=\"500\"} %d\n", served.Load(), failed.Load())
	})
	h.thing("db", engine.Thing{
		Name: "db", Class: engine.ClassDatabase,
		Labels: map[string]string{"via": "local", "control": db.control, "service": "db", "probe_tcp": db.address, "every": "1s"},
	})
	h.thing("app", engine.Thing{
		Name: "app", Class: engine.ClassApplication, On: []engine.Link{{Type: engine.Uses, Thing: "db"}},
		Labels: map[string]string{"via": "local", "control": app.control, "service": "app", "probe_tcp": app.address, "scrape": url, "log_files": log, "every": "1s"},
	})
	h.until("that the application serves", 30*time.Second, func() bool { return served.Load() > 100 })
	db.kill()
	over := func() bool {
		list, recs := h.incidents()
		return slices.ContainsFunc(list, func(x engine.Trouble) bool { return len(x.Tries) > 0 }) &&
			!slices.ContainsFunc(recs, func(r record.Record) bool { return r.State != engine.Recovered })
	}
	h.until("all to be over", 60*time.Second, over)
	if failed.Load() == 0 {
		t.Fatal("nothing failed")
	}
	list, _ := h.incidents()
	for _, x := range list {
		for _, try := range x.Tries {
			if try.Thing != "db" {
				t.Errorf("%s was done to %s", try.Runbook, try.Thing)
			}
		}
	}
	if got := app.orders(); !slices.Equal(got, []string{"start"}) {
		t.Errorf("the application was ordered to %v", got)
	}
}

// What a person ended stays ended, although signs of it die away only slowly, and
// opens again where it rises anew. Proves A09.
func TestWhatAPersonEndedOpensAgain(t *testing.T) {
	t.Parallel()
	h := open(t, quick)
	h.autonomy(engine.LevelObserve)
	s := h.api("emr-api")
	s.kill()
	h.until("a call", 60*time.Second, func() bool { return h.one(engine.Escalated) != nil })
	_, recs := h.incidents()
	h.write(kernel.Change{Op: record.Verb, Key: recs[0].Key, Expect: recs[0].Version, Verb: engine.Resolve, Evidence: map[string]any{"result": "started by hand"}})
	start(t, s)
	h.until("that nothing is seen any more", 60*time.Second, func() bool { return len(h.firing()) == 0 })
	if h.one(engine.Resolved) == nil {
		t.Fatal("it does not stay ended")
	}
	s.kill()
	h.until("that it opens again", 60*time.Second, func() bool {
		x := h.one(engine.Escalated)
		return x != nil && x.Times == 2
	})
}

// A person who is at one thing is told when another turns out to be the cause.
// Proves A05 A09.
func TestANewCauseCallsAgain(t *testing.T) {
	t.Parallel()
	h := open(t, quick)
	h.autonomy(engine.LevelObserve)
	below := h.api("his-db")
	above := h.api("his-api", engine.Link{Type: engine.Uses, Thing: "his-db"})
	above.kill()
	h.until("a call", 60*time.Second, func() bool {
		x := h.one(engine.Escalated)
		return x != nil && said(x, engine.MomentCalled, "(his-api)") == 1
	})
	below.kill()
	h.until("a call for what it stands on", 60*time.Second, func() bool {
		list, _ := h.incidents()
		return slices.ContainsFunc(list, func(x engine.Trouble) bool { return said(&x, engine.MomentCalled, "(his-db)") == 1 })
	})
}

// A service that is down behind a broken line is not started before somebody has
// mended the line; then it is. Proves A03 A09.
func TestWhatStandsOnARefusedFaultWaits(t *testing.T) {
	t.Parallel()
	h := open(t, "operations: {every: 1s, measure: 1s, settle: 10s, patience: 20s}\n") // all is seen before anything is done
	h.autonomy(engine.LevelAct)
	var cut atomic.Bool
	var others []service
	url := tells(t, func(w http.ResponseWriter) {
		up := 1
		if cut.Load() {
			up = 0
		}
		_, _ = fmt.Fprintf(w, "interface_up %d\ninterface_enabled 1\n", up)
	})
	h.thing("port", engine.Thing{Name: "GE1-0-7", Class: engine.ClassPort, Labels: map[string]string{"scrape": url, "every": "1s"}})
	s := h.service("emr-api")
	start(t, s)
	s.wait(t)
	processes := tells(t, func(w http.ResponseWriter) {
		n := 0
		if s.alive() {
			n = 1
		}
		_, _ = fmt.Fprintf(w, "namedprocess_namegroup_num_procs{groupname=\"emr\"} %d\n", n)
	})
	h.thing("emr-api", engine.Thing{
		Name: "emr-api", Class: engine.ClassComponent, On: []engine.Link{{Type: engine.ConnectedTo, Thing: "port"}},
		Labels: map[string]string{"via": "local", "control": s.control, "service": "emr-api", "probe_http": "http://" + s.address + "/", "scrape": processes, "every": "1s"},
	})
	for i := range 3 { // others behind the line, of which nothing is known but that they do not answer
		other := h.service(fmt.Sprintf("other%d", i))
		start(t, other)
		other.wait(t)
		h.thing(fmt.Sprintf("other%d", i), engine.Thing{
			Name: fmt.Sprintf("other-%d", i), Class: engine.ClassTerminal, On: []engine.Link{{Type: engine.ConnectedTo, Thing: "port"}},
			Labels: map[string]string{"probe_http": "http://" + other.address + "/", "every": "1s"},
		})
		others = append(others, other)
	}
	h.until("that the port is measured", 30*time.Second, func() bool { return len(h.firing()) == 0 })
	cut.Store(true)
	s.kill()
	for _, other := range others {
		other.kill()
	}
	h.until("that it waits for the port", 60*time.Second, func() bool {
		list, _ := h.incidents()
		return slices.ContainsFunc(list, func(x engine.Trouble) bool {
			return said(&x, engine.MomentHeld, "“GE1-0-7”") > 0 && said(&x, engine.MomentCalled, "(GE1-0-7)") > 0
		})
	})
	if got := s.orders(); !slices.Equal(got, []string{"start"}) { // by us, at the beginning
		t.Fatalf("behind a broken line it was ordered to %v", got)
	}
	cut.Store(false)
	for _, other := range others {
		start(t, other)
	}
	h.until("that the service is started", 60*time.Second, func() bool { return slices.Equal(s.orders(), []string{"start", "start"}) })
}

// firing are the alerts that fire.
func (h *house) firing() []record.Record {
	h.Helper()
	page, err := h.k.Search(h.Context(), identity.Root(), search.Query{Kind: engine.AlertKind, Limit: 100})
	if err != nil {
		h.Fatal(err)
	}
	return slices.DeleteFunc(page.Records, func(r record.Record) bool { return r.State != engine.Firing && r.State != engine.Suppressed })
}
