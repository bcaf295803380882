package kernel_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
	"zhiwei/store/storetest"
)

var start = time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC) // a Monday, 09:00 in Shanghai

// bag is a kind with everything a kind can declare.
func bag() kind.Kind {
	T := kind.T
	return kind.Kind{
		Name: "bag", Plural: "bags", App: "test", Title: T("垃圾袋", "Bag"),
		Fields: []kind.Field{
			kind.Line("label", "标签", "Label").Must(),
			{Name: "ward", Type: kind.Ref, To: []string{"ward"}, Title: T("科室", "Ward")},
			{Name: "weight", Type: kind.Decimal, Title: T("重量", "Weight"), Unit: "kg", Min: "0", Max: "50"},
			{Name: "note", Type: kind.Markdown, Title: T("备注", "Note")},
			{Name: "hold", Type: kind.Bool, Title: T("暂停", "Hold")},
			kind.Line("by", "称重人", "Weighed by").Auto(),
			{Name: "pin", Type: kind.Secret, Title: T("密码", "Pin")},
		},
		Search: []kind.Param{kind.ByWords("label"), {Name: "ward", Type: kind.ReferenceParam, Path: "ward", To: []string{"ward"}}, kind.ByNumber("weight"), {Name: "note", Type: kind.WordsParam, Path: "note"}},
		Place:  kind.Place{Dept: "ward", Owner: "@creator"},
		Access: []kind.Grant{
			{Role: "nurse", Can: []string{"*"}, When: kind.Department},
			{Role: "collector", Can: []string{"read", "weigh", "store"}},
			{Role: "importer", Can: []string{"read", "create", "import"}},
		},
		Hide:   []kind.Hidden{{Field: "note", Except: []string{"nurse"}}},
		Guards: []kind.Guard{{If: `old != null || count("bag", "label=" + data.label) == 0`, Say: T("标签已用过。", "The label is used.")}},
		Lifecycle: &kind.Lifecycle{Field: "status", Start: "sealed", States: []kind.State{
			{Name: "sealed", Title: T("已封", "Sealed"), Edit: true, Limit: &kind.Limit{After: "48h", Remind: []string{"6h"}, Pause: "has(data.hold) && data.hold", Who: "nurse"}},
			{Name: "weighed", Title: T("已称", "Weighed"), Code: "active", Limit: &kind.Limit{After: "1d", Calendar: "office"}},
			{Name: "stored", Title: T("入库", "Stored"), Code: "active"},
			{Name: "out", Title: T("已出", "Out"), Final: true},
		}, Verbs: []kind.Verb{
			{
				Name: "weigh", Title: T("称重", "Weigh"), From: []string{"sealed"}, To: "weighed", Input: []string{"weight"}, Set: map[string]string{"by": "actor.id"},
				Evidence: []kind.Evidence{{Name: "barcode", Title: T("条码", "Bar code"), Required: true, Equals: "label"}},
				Guards:   []kind.Guard{{If: "has(data.weight)", Say: T("请先称重。", "Weigh it first.")}},
			},
			{Name: "store", Title: T("入库", "Store"), From: []string{"weighed"}, To: "stored"},
			{Name: "ship", Title: T("出库", "Ship"), From: []string{"stored"}, To: "out"},
			{Name: "ring", Title: T("响铃", "Ring"), From: []string{"*"}, To: "", Clock: true},
		}},
	}
}

// defs lets a test restart over the same store with other declarations.
type defs struct{ *kernel.Registry }

type house struct {
	defs   *defs
	t      *testing.T
	k      *kernel.Kernel
	clock  *clock.Manual
	store  store.Store
	nurse  *identity.Principal // of ward 1
	other  *identity.Principal // nurse of ward 2
	porter *identity.Principal // collector
}

func open(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, clock: clock.NewManual(start)}
	reg := kernel.NewRegistry()
	b := bag()
	b.Fields = append(b.Fields, kind.Line("status", "状态", "Status"))
	ward := kind.Kind{
		Name: "ward", Plural: "wards", App: "test", Title: kind.T("科室", "Ward"), Fields: []kind.Field{kind.Line("name", "名称", "Name").Must()},
		Search: []kind.Param{kind.ByWords("name")}, Access: []kind.Grant{{Role: "nurse", Can: []string{"read"}}, {Role: "chief", Can: []string{"*"}}},
	}
	for _, k := range []kind.Kind{b, ward} {
		if err := reg.Kind(k); err != nil {
			t.Fatal(err)
		}
	}
	h.defs = &defs{reg}
	h.store = storetest.NewModel("main", h.defs, h.clock)
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "main", Store: h.store, Registry: reg, Clock: h.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	h.k = k
	h.nurse = &identity.Principal{Type: identity.User, ID: "user/n1", Name: "样例护士甲", Roles: []string{"nurse"}, Depts: []string{"w1"}}
	h.other = &identity.Principal{Type: identity.User, ID: "user/n2", Name: "样例护士乙", Roles: []string{"nurse"}, Depts: []string{"w2"}}
	h.porter = &identity.Principal{Type: identity.User, ID: "user/c", Name: "样例收集员", Roles: []string{"collector"}}
	office := `{"name":"办公","zone":"Asia/Shanghai","week":[{"day":1,"from":"08:00","to":"17:00"},{"day":2,"from":"08:00","to":"17:00"},{"day":5,"from":"08:00","to":"17:00"}],"holidays":["2026-03-03"]}`
	h.must(identity.Root(), kernel.Change{Op: record.Create, Key: record.Key{Kind: "calendar", ID: "office"}, Data: json.RawMessage(office)})
	for _, w := range []string{"w1", "w2"} {
		h.must(identity.Root(), kernel.Change{Op: record.Create, Key: record.Key{Kind: "ward", ID: w}, Data: json.RawMessage(`{"name":"病区` + w + `"}`)})
	}
	return h
}

func (h *house) must(p *identity.Principal, c kernel.Change) record.Record {
	h.t.Helper()
	out, err := h.k.Write(h.t.Context(), p, c)
	if err != nil {
		h.t.Fatalf("%s %s: %v", c.Op, c.Key, err)
	}
	return out[0]
}

func (h *house) refuse(p *identity.Principal, want errs.Kind, c kernel.Change) error {
	h.t.Helper()
	_, err := h.k.Write(h.t.Context(), p, c)
	if errs.KindOf(err) != want || err == nil {
		h.t.Fatalf("%s %s %s: got %v, want %v", c.Op, c.Key, c.Verb, err, want)
	}
	if errs.Sentence(err, "zh") == "" || errs.Sentence(err, "en") == "" {
		h.t.Fatalf("refusal without a sentence: %v", err)
	}
	return err
}

func key(id string) record.Key { return record.Key{Kind: "bag", ID: id} }

func newBag(id, label, ward, more string) kernel.Change {
	return kernel.Change{Op: record.Create, Key: key(id), Data: json.RawMessage(`{"label":"` + label + `","ward":"ward/` + ward + `"` + more + `}`)}
}

func say(id string, version int64, verb, data string, evidence map[string]any) kernel.Change {
	c := kernel.Change{Op: record.Verb, Key: key(id), Expect: version, Verb: verb, Evidence: evidence}
	if data != "" {
		c.Data = json.RawMessage(data)
	}
	return c
}

// Proves A02: a closed loop whose steps refuse to start before the last one is
// confirmed, each with who, when and evidence, replayed from one place.
func TestLifecycleIsEnforcedRecordedAndReplayed(t *testing.T) {
	h := open(t)
	h.must(h.nurse, newBag("b1", "L-1", "w1", ""))
	h.refuse(h.nurse, errs.Conflict, newBag("b2", "L-1", "w1", ""))                                                                                  // guard of the kind
	h.refuse(h.nurse, errs.Conflict, say("b1", 1, "store", "", nil))                                                                                 // not from this state
	h.refuse(h.nurse, errs.Invalid, say("b1", 1, "weigh", `{"weight":"3.20"}`, nil))                                                                 // evidence missing
	h.refuse(h.nurse, errs.Invalid, say("b1", 1, "weigh", `{"weight":"3.20"}`, scan("L-2")))                                                         // evidence of another bag
	h.refuse(h.nurse, errs.Conflict, say("b1", 1, "weigh", "", scan("L-1")))                                                                         // guard of the verb
	h.refuse(h.nurse, errs.Invalid, say("b1", 1, "weigh", `{"weight":"51"}`, scan("L-1")))                                                           // shape after the verb
	h.refuse(h.nurse, errs.Invalid, say("b1", 1, "weigh", `{"label":"x"}`, scan("L-1")))                                                             // not an input of the verb
	h.refuse(h.nurse, errs.Invalid, say("b1", 1, "fly", "", nil))                                                                                    // no such verb
	h.refuse(h.nurse, errs.Forbidden, say("b1", 1, "ring", "", nil))                                                                                 // the clock's own verb
	h.refuse(h.nurse, errs.Conflict, say("b1", 7, "weigh", `{"weight":"3.20"}`, scan("L-1")))                                                        // not the version that was read
	h.refuse(h.nurse, errs.Invalid, kernel.Change{Op: record.Update, Key: key("b1"), Expect: 1, Data: json.RawMessage(`{"label":"L-1","by":"me"}`)}) // read-only field
	h.clock.Move(2 * time.Hour)
	r := h.must(h.porter, say("b1", 1, "weigh", `{"weight":"3.20"}`, scan("L-1")))
	if r.State != "weighed" || r.Version != 2 || !strings.Contains(string(r.Data), `"by":"user/c"`) || !strings.Contains(string(r.Data), `"status":"active"`) {
		t.Fatalf("after weighing: %+v %s", r, r.Data)
	}
	h.refuse(h.nurse, errs.Conflict, kernel.Change{Op: record.Update, Key: key("b1"), Expect: 2, Data: json.RawMessage(`{"label":"L-9","ward":"ward/w1"}`)}) // not editable in this state
	h.clock.Move(time.Hour)
	h.must(h.porter, say("b1", 2, "store", "", nil))
	tl, err := h.k.Timeline(t.Context(), h.nurse, key("b1"))
	if err != nil {
		t.Fatal(err)
	}
	if len(tl.Steps) != 3 || tl.Steps[1].Mark.Verb != "weigh" || tl.Steps[1].Mark.From != "sealed" || tl.Steps[1].Mark.ByName != "样例收集员" || tl.Steps[1].Mark.Evidence["barcode"] != "L-1" {
		t.Fatalf("steps: %+v", tl.Steps)
	}
	if tl.InState[0].State != "sealed" || tl.InState[0].Time.Round(time.Second) != 2*time.Hour || tl.InState[1].Time.Round(time.Second) != time.Hour {
		t.Fatalf("time in state: %+v", tl.InState)
	}
	if !slices.ContainsFunc(tl.Steps[1].Changes, func(c kernel.FieldChange) bool { return c.Field == "weight" && c.From == nil && c.To == "3.20" }) {
		t.Fatalf("changes: %+v", tl.Steps[1].Changes)
	}
}

func scan(code string) map[string]any { return map[string]any{"barcode": code} }

// A foreign write that changes the mirrored status executes the one verb that
// leads there, or names the verbs.
func TestMirroredStatus(t *testing.T) {
	h := open(t)
	h.must(h.nurse, newBag("b1", "L-1", "w1", `,"weight":"2"`))
	put := func(version int64, status string) kernel.Change {
		return kernel.Change{Op: record.Update, Key: key("b1"), Expect: version, Data: json.RawMessage(`{"label":"L-1","ward":"ward/w1","weight":"2","status":"` + status + `"}`)}
	}
	err := h.refuse(h.nurse, errs.Invalid, put(1, "active")) // the one verb asks for evidence that a PUT cannot carry
	if !strings.Contains(errs.Sentence(err, "en"), "Bar code") {
		t.Fatal(err)
	}
	err = h.refuse(h.nurse, errs.Invalid, put(1, "out"))
	if !strings.Contains(errs.Sentence(err, "en"), "weigh") {
		t.Fatalf("the refusal does not name the verbs: %v", err)
	}
	h.must(h.nurse, say("b1", 1, "weigh", "", scan("L-1")))
	h.must(h.nurse, say("b1", 2, "store", "", nil))
	if r := h.must(h.nurse, put(3, "out")); r.State != "out" || r.Mark.Verb != "ship" {
		t.Fatalf("the status did not execute the verb: %+v", r)
	}
	importer := &identity.Principal{Type: identity.Service, ID: "token/i", Roles: []string{"importer"}}
	h.refuse(h.nurse, errs.Forbidden, kernel.Change{Op: record.Import, Key: key("b3"), State: "stored", Data: json.RawMessage(`{"label":"L-3","status":"active"}`)})
	r := h.must(importer, kernel.Change{Op: record.Import, Key: key("b3"), State: "stored", Data: json.RawMessage(`{"label":"L-3","status":"active"}`)})
	if r.State != "stored" || r.Mark.Op != record.Import {
		t.Fatalf("import: %+v", r)
	}
}

func TestPermissionsToTheRecordAndTheField(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	h.must(h.nurse, newBag("b1", "L-1", "w1", `,"note":"针头","pin":"1234"`))
	if _, err := h.k.Read(ctx, h.other, key("b1")); !errs.Is(err, errs.NotFound) {
		t.Fatalf("hidden is not the same as absent: %v", err)
	}
	h.refuse(h.other, errs.NotFound, kernel.Change{Op: record.Delete, Key: key("b1"), Expect: 1})
	h.refuse(h.other, errs.Forbidden, newBag("b9", "L-9", "w1", "")) // into a ward that is not his
	h.refuse(h.porter, errs.Forbidden, kernel.Change{Op: record.Delete, Key: key("b1"), Expect: 1})
	h.refuse(identity.Anonymous(), errs.Unauthenticated, newBag("b9", "L-9", "w1", ""))
	h.refuse(h.nurse, errs.Forbidden, kernel.Change{Op: record.Update, Key: key("b1"), Expect: 1, Data: json.RawMessage(`{"label":"L-1","ward":"ward/w2"}`)}) // moved out of reach
	lost := &identity.Principal{Type: identity.User, ID: "user/n3", Roles: []string{"nurse"}, Depts: []string{"w7"}}
	h.refuse(lost, errs.Conflict, newBag("b9", "L-9", "w7", "")) // a ward that is not there

	r, err := h.k.Read(ctx, h.nurse, key("b1"))
	if err != nil || !strings.Contains(string(r.Data), "针头") || strings.Contains(string(r.Data), "1234") {
		t.Fatalf("nurse reads %s %v", r.Data, err)
	}
	r, err = h.k.Read(ctx, h.porter, key("b1"))
	if err != nil || strings.Contains(string(r.Data), "针头") || strings.Contains(string(r.Data), "1234") {
		t.Fatalf("porter reads %s %v", r.Data, err)
	}
	note := search.Clause{Param: "note", Any: []search.Value{{Text: "针头", Match: search.AnyWord}}}
	if _, err := h.k.Search(ctx, h.porter, search.Query{Kind: "bag", Where: []search.Clause{note}}); !errs.Is(err, errs.Forbidden) {
		t.Fatalf("searching by a hidden field: %v", err)
	}
	if _, err := h.k.Search(ctx, h.porter, search.Query{Kind: "bag", Sort: []search.Sort{{Param: "note"}}}); !errs.Is(err, errs.Forbidden) {
		t.Fatalf("sorting by a hidden field: %v", err)
	}
	// What one may not see survives one's update.
	h.must(h.nurse, kernel.Change{Op: record.Update, Key: key("b1"), Expect: 1, Data: json.RawMessage(`{"label":"L-1","ward":"ward/w1","note":"针头"}`)})
	full, err := h.k.Read(ctx, identity.Root(), key("b1"))
	if err != nil || !strings.Contains(string(full.Data), `"pin":"1234"`) {
		t.Fatalf("a secret not sent again was lost: %s", full.Data)
	}
}

func TestTimeLimitsRunByTheCalendarAndStandStill(t *testing.T) {
	h := open(t)
	r := h.must(h.nurse, newBag("b1", "L-1", "w1", `,"weight":"2"`))
	if got := r.NextAt.Sub(r.EnteredAt); got != 48*time.Hour {
		t.Fatalf("48 h limit ends after %v", got)
	}
	edit := func(version int64, hold string) record.Record {
		return h.must(h.nurse, kernel.Change{Op: record.Update, Key: key("b1"), Expect: version, Data: json.RawMessage(`{"label":"L-1","ward":"ward/w1","weight":"2","hold":` + hold + `}`)})
	}
	h.clock.Move(10 * time.Hour)
	if r = edit(1, "true"); !r.NextAt.IsZero() {
		t.Fatal("a paused clock still runs")
	}
	h.clock.Move(5 * time.Hour)
	r = edit(2, "true") // a change while paused does not lose the pause
	h.clock.Move(2 * time.Hour)
	r = edit(3, "false")
	if got := r.NextAt.Sub(r.EnteredAt).Round(time.Second); got != 55*time.Hour {
		t.Fatalf("after 7 h of standing still the limit ends after %v, want 55h", got)
	}
	r = h.must(h.nurse, say("b1", 4, "weigh", "", scan("L-1")))
	// Entered Monday 2 March 18:00+ in Shanghai; Tuesday is a holiday, the next
	// working day is Friday: one working day later is Friday at the opening hour.
	want := time.Date(2026, 3, 6, 17, 0, 0, 0, time.FixedZone("CST", 8*3600))
	if r.NextAt.After(want) || r.NextAt.Before(want.AddDate(0, 0, -1)) {
		t.Fatalf("one working day ends %v, want on Friday 6 March", r.NextAt)
	}
}

func TestFollowShowsWhatIsVisibleInOrder(t *testing.T) {
	h := open(t)
	pos, err := h.store.Position(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan record.Entry, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- h.k.Follow(ctx, h.nurse, pos, func(e record.Entry) error { seen <- e; return nil }, nil)
	}()
	h.must(h.nurse, newBag("b1", "L-1", "w1", ""))
	h.must(h.other, newBag("b2", "L-2", "w2", ""))
	h.must(h.nurse, newBag("b3", "L-3", "w1", ""))
	for _, want := range []string{"b1", "b3"} {
		if e := <-seen; e.ID != want {
			t.Fatalf("saw %s, want %s", e.ID, want)
		}
	}
	cancel()
	if err := <-ended; !strings.Contains(err.Error(), "cancel") {
		t.Fatal(err)
	}
	if err := h.k.Follow(t.Context(), h.nurse, record.Position{Site: "main", Epoch: 99}, nil, nil); !errs.Is(err, errs.Conflict) {
		t.Fatalf("another epoch: %v", err)
	}
}

func TestEveryWriteAndEveryRefusalIsOneAuditEntry(t *testing.T) {
	h := open(t)
	count := func() int {
		es, err := h.store.Audits(t.Context(), audit.Query{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return len(es)
	}
	n := count()
	h.must(h.nurse, newBag("b1", "L-1", "w1", ""))
	h.refuse(h.porter, errs.Forbidden, kernel.Change{Op: record.Delete, Key: key("b1"), Expect: 1})
	h.refuse(h.nurse, errs.Conflict, newBag("b1", "L-5", "w1", ""))
	if _, err := h.k.Write(t.Context(), h.nurse, newBag("b4", "L-4", "w1", ""), newBag("b5", "L-5", "w1", "")); err != nil {
		t.Fatal(err)
	}
	es, err := h.store.Audits(t.Context(), audit.Query{Limit: 4})
	if err != nil || count()-n != 4 {
		t.Fatalf("%d entries for four requests (%v)", count()-n, err)
	}
	want := []struct {
		outcome audit.Outcome
		action  string
	}{{audit.OK, "create"}, {audit.Failed, "create"}, {audit.Refused, "delete"}, {audit.OK, "create"}}
	for i, w := range want {
		if es[i].Outcome != w.outcome || es[i].Action != w.action || es[i].Who == "" {
			t.Errorf("entry %d: %+v, want %v %v", i, es[i], w.outcome, w.action)
		}
	}
	if es[0].To-es[0].From != 1 {
		t.Errorf("a transaction of two names the feed positions %d–%d", es[0].From, es[0].To)
	}
}

// Kinds reach the feed before their data, and a changed search declaration is
// refused aloud until the records are indexed anew.
func TestDeclarationsAreRecordsAndReindexIsTruthful(t *testing.T) {
	h := open(t)
	h.must(h.nurse, newBag("b1", "L-1", "w1", `,"weight":"2"`))
	first, err := h.store.Feed(t.Context(), 0, 1000)
	if err != nil || first[0].Kind != kernel.KindKind {
		t.Fatalf("the feed begins with %v (%v)", first[0].Key, err)
	}
	h.k.Close()
	reg := kernel.NewRegistry()
	b := bag()
	b.Fields = append(b.Fields, kind.Line("status", "状态", "Status"))
	b.Search = append(b.Search, kind.Param{Name: "mass", Type: kind.NumberParam, Path: "weight"})
	for _, k := range []kind.Kind{b, {Name: "ward", Plural: "wards", Title: kind.T("科室", "Ward"), Fields: []kind.Field{kind.Line("name", "名称", "Name")}}} {
		if err := reg.Kind(k); err != nil {
			t.Fatal(err)
		}
	}
	h.defs.Registry = reg // as after a restart with other declarations
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "main", Store: h.store, Registry: reg, Clock: h.clock})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	q := search.Query{Kind: "bag", Where: []search.Clause{{Param: "mass", Any: []search.Value{{Min: 1.5, Max: 2.5}}}}}
	for {
		changed := h.store.Changed()
		page, err := k.Search(t.Context(), identity.Root(), q)
		if errs.Is(err, errs.Unavailable) {
			<-changed // the finished reindex is a write of the kind's record
			continue
		}
		if err != nil || len(page.Records) != 1 {
			t.Fatalf("after the reindex: %d found, %v", len(page.Records), err)
		}
		return
	}
}

func TestWrongDeclarationsAreRefused(t *testing.T) {
	T := kind.T
	ok := kind.Kind{Name: "x", Plural: "xs", Title: T("甲", "X"), Fields: []kind.Field{kind.Line("a", "甲", "A")}}
	for name, change := range map[string]func(*kind.Kind){
		"no name":            func(k *kind.Kind) { k.Name = "" },
		"bad name":           func(k *kind.Kind) { k.Name = "a b" },
		"no English title":   func(k *kind.Kind) { k.Title = T("甲", "") },
		"reserved":           func(k *kind.Kind) { k.Name = "kind" },
		"param without path": func(k *kind.Kind) { k.Search = []kind.Param{kind.ByWords("nothing")} },
		"bad guard":          func(k *kind.Kind) { k.Guards = []kind.Guard{{If: "data..x"}} },
		"unreachable state": func(k *kind.Kind) {
			k.Lifecycle = &kind.Lifecycle{Start: "a", States: []kind.State{{Name: "a"}, {Name: "b"}}}
		},
		"verb from nowhere": func(k *kind.Kind) {
			k.Lifecycle = &kind.Lifecycle{Start: "a", States: []kind.State{{Name: "a"}}, Verbs: []kind.Verb{{Name: "v", From: []string{"z"}, To: "a"}}}
		},
		"limit without length": func(k *kind.Kind) {
			k.Lifecycle = &kind.Lifecycle{Start: "a", States: []kind.State{{Name: "a", Limit: &kind.Limit{}}}}
		},
	} {
		k := ok
		change(&k)
		if err := kernel.NewRegistry().Kind(k); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Records of one transaction may refer to each other in a circle, also for who
// sees only some records; and a transaction that runs again ends the same.
func TestCirclesAndRepeatedRuns(t *testing.T) {
	h := open(t)
	reg := h.k.Registry()
	if err := reg.Kind(kind.Kind{
		Name: "node", Plural: "nodes", Title: kind.T("节点", "Node"), Place: kind.Place{Owner: "@creator"},
		Fields:    []kind.Field{{Name: "next", Type: kind.Ref, Title: kind.T("下一个", "Next")}, kind.Line("status", "状态", "Status")},
		Search:    []kind.Param{kind.ByToken("status")},
		Access:    []kind.Grant{{Role: "nurse", Can: []string{"*"}, When: kind.Own}},
		Lifecycle: &kind.Lifecycle{Field: "status", Start: "new", States: []kind.State{{Name: "new", Title: kind.T("新", "New"), Code: "draft"}}},
	}); err != nil {
		t.Fatal(err)
	}
	var prepared []*kernel.Prepared
	for _, x := range [][2]string{{"a", "b"}, {"b", "a"}} {
		pr, err := h.k.Prepare(t.Context(), h.nurse, kernel.Change{Op: record.Create, Key: record.Key{Kind: "node", ID: x[0]}, Data: json.RawMessage(`{"next":"node/` + x[1] + `"}`)})
		if err != nil {
			t.Fatal(err)
		}
		prepared = append(prepared, pr)
	}
	apply := func(txn *kernel.Txn) error {
		for _, pr := range prepared {
			if _, err := txn.Apply(pr); err != nil {
				return err
			}
		}
		return nil
	}
	failed := errs.E(errs.Conflict, "test", "", "先失败一次", "fails once")
	if err := h.k.Transact(t.Context(), h.nurse, store.Person, nil, func(txn *kernel.Txn) error {
		if err := apply(txn); err != nil {
			return err
		}
		return failed
	}); !errs.Is(err, errs.Conflict) {
		t.Fatal(err)
	}
	if err := h.k.Transact(t.Context(), h.nurse, store.Person, nil, apply); err != nil {
		t.Fatal(err)
	}
	page, err := h.k.Search(t.Context(), h.nurse, search.Query{Kind: "node", Where: []search.Clause{{Param: "status", Any: []search.Value{{AnySystem: true, Code: "draft"}}}}})
	if err != nil || len(page.Records) != 2 || !strings.Contains(string(page.Records[0].Data), `"status":"draft"`) {
		t.Fatalf("%d found (%v)", len(page.Records), err)
	}
}
