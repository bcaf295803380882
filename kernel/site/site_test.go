package site_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/site"
	"zhiwei/store/storetest"
)

// carts declares a thing that is handed from site to site.
type carts struct{}

func (carts) Register(r *app.Registrar) error {
	T := kind.T
	r.Kind(kind.Kind{
		Name: "cart", Plural: "carts", Title: T("车", "Cart"), Fields: []kind.Field{kind.Line("label", "编号", "Label").Must(), kind.Line("note", "备注", "Note")},
		Access: []kind.Grant{{Role: "worker", Can: []string{"*"}}},
		Lifecycle: &kind.Lifecycle{Start: "idle", States: []kind.State{
			{Name: "idle", Title: T("空闲", "Idle"), Edit: true}, {Name: "loaded", Title: T("已装", "Loaded"), Edit: true},
		}, Verbs: []kind.Verb{
			{Name: "load", Title: T("装", "Load"), From: []string{"idle"}, To: "loaded"},
			{Name: "hand-over", Title: T("移交", "Hand over"), From: []string{"*"}, HandOver: true, Evidence: []kind.Evidence{{Name: "site", Title: T("接收站点", "Receiving site"), Required: true}}},
		}},
	})
	return nil
}

type place struct {
	t *testing.T
	k *kernel.Kernel
}

var worker = &identity.Principal{Type: identity.User, ID: "user/w", Name: "样例工人", Roles: []string{"worker"}}

func open(t *testing.T, name string) *place {
	t.Helper()
	house, err := app.Build([]app.App{{Name: "carts", Module: carts{}}})
	if err != nil {
		t.Fatal(err)
	}
	clk := clock.System()
	st := storetest.NewModel(name, house.Registry, clk)
	k, err := kernel.Open(t.Context(), kernel.Options{Site: name, Store: st, Registry: house.Registry, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	if err := house.Start(t.Context(), name, func(string) *app.Host { return &app.Host{Kernel: k, Clock: clk} }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := house.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		k.Close()
	})
	return &place{t, k}
}

var c1 = record.Key{Kind: "cart", ID: "c1"}

func (p *place) write(c kernel.Change) error {
	_, err := p.k.Write(p.t.Context(), worker, c)
	return err
}

func (p *place) must(c kernel.Change) {
	p.t.Helper()
	if err := p.write(c); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) read(key record.Key) record.Record {
	p.t.Helper()
	r, err := p.k.Read(p.t.Context(), identity.Root(), key)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// pull carries everything new from one site to another in batches of n entries,
// each one twice, as a lost answer does.
func (p *place) pull(from *place, n int) {
	p.t.Helper()
	for {
		have, err := site.Applied(p.t.Context(), p.k, from.k.Site())
		if err != nil {
			p.t.Fatal(err)
		}
		if have.Seq == 0 {
			have = record.Position{}
		}
		b, err := site.Read(p.t.Context(), from.k, have, n)
		if err != nil {
			p.t.Fatal(err)
		}
		if b.To == b.From {
			return
		}
		raw, err := json.Marshal(b) // as a wire would carry it
		if err != nil {
			p.t.Fatal(err)
		}
		var got site.Batch
		if err := json.Unmarshal(raw, &got); err != nil {
			p.t.Fatal(err)
		}
		for range 2 {
			to, err := site.Apply(p.t.Context(), p.k, got)
			if err != nil || to != b.To {
				p.t.Fatalf("applied to %v, want %v: %v", to, b.To, err)
			}
		}
	}
}

// until waits, by the feed, for a record of the kind.
func (p *place) until(kindName string, n int) []record.Record {
	p.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		changed := p.k.Store().Changed()
		page, err := p.k.Search(p.t.Context(), identity.Root(), search.Query{Kind: kindName})
		if err != nil {
			p.t.Fatal(err)
		}
		if len(page.Records) >= n {
			return page.Records
		}
		select {
		case <-changed:
		case <-deadline:
			p.t.Fatalf("no %s", kindName)
		}
	}
}

func create(label string) kernel.Change {
	return kernel.Change{Op: record.Create, Key: c1, Data: json.RawMessage(`{"label":"` + label + `"}`)}
}

func say(verb string, evidence map[string]any) kernel.Change {
	return kernel.Change{Op: record.Verb, Key: c1, Expect: kernel.AnyVersion, Verb: verb, Evidence: evidence}
}

// Custody moves with the thing: the home alone writes, a hand-over transfers
// the home and raises its epoch, and both sites end with the same history.
func TestHandOver(t *testing.T) {
	main, cart := open(t, "main"), open(t, "cart")
	main.must(create("A"))
	cart.pull(main, 3)
	if err := cart.write(say("load", nil)); !errs.Is(err, errs.Conflict) {
		t.Fatalf("a copy was written away from its home: %v", err)
	}
	main.must(say("hand-over", map[string]any{"site": "cart"}))
	if err := main.write(say("load", nil)); !errs.Is(err, errs.Conflict) {
		t.Fatalf("the old home wrote after the hand-over: %v", err)
	}
	cart.pull(main, 100)
	cart.must(say("load", nil))
	main.pull(cart, 1)
	a, b := main.read(c1), cart.read(c1)
	if a.Version != 3 || a.State != "loaded" || a.Home != "cart" || a.HomeEpoch != 2 || string(a.Data) != string(b.Data) || a.Version != b.Version {
		t.Fatalf("main has %+v, cart has %+v", a, b)
	}
}

// Away from home a verb is a claim; the home applies it once, or refuses it with
// a task for a person.
func TestClaims(t *testing.T) {
	main, ward := open(t, "main"), open(t, "ward")
	main.must(create("A"))
	ward.pull(main, 100)
	if _, err := main.k.Claim(t.Context(), worker, c1, "load", nil, nil); !errs.Is(err, errs.Conflict) {
		t.Fatalf("a claim at home: %v", err)
	}
	stranger := &identity.Principal{Type: identity.User, ID: "user/x"}
	if _, err := ward.k.Claim(t.Context(), stranger, c1, "load", nil, nil); !errs.Is(err, errs.NotFound) {
		t.Fatalf("a claim by whoever may not: %v", err)
	}
	for range 2 { // two people claim the same
		if _, err := ward.k.Claim(t.Context(), worker, c1, "load", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	main.pull(ward, 100)
	answers := main.until(kernel.AnswerKind, 2)
	applied := 0
	for _, a := range answers {
		var d struct{ Applied bool }
		if err := json.Unmarshal(a.Data, &d); err != nil {
			t.Fatal(err)
		}
		if d.Applied {
			applied++
		}
	}
	if r := main.read(c1); applied != 1 || r.State != "loaded" || r.Version != 2 || r.Mark.Behalf != "user/w" {
		t.Fatalf("%d applied; %+v", applied, r)
	}
	main.until(kernel.TaskKind, 1)
	ward.pull(main, 100)
	if r := ward.read(c1); r.State != "loaded" {
		t.Fatalf("the ward sees %s", r.State)
	}
}

// A home that cannot be reached is replaced by adoption; what it wrote meanwhile
// stands beside the winner as a claim and a task.
func TestAdoption(t *testing.T) {
	main, cart := open(t, "main"), open(t, "cart")
	cart.must(create("A"))
	main.pull(cart, 100)
	cart.must(kernel.Change{Op: record.Update, Key: c1, Expect: 1, Data: json.RawMessage(`{"label":"A","note":"offline"}`)}) // the cart is cut off
	if _, err := main.k.Adopt(t.Context(), worker, c1, ""); !errs.Is(err, errs.Invalid) {
		t.Fatalf("adopted without a reason: %v", err)
	}
	if _, err := main.k.Adopt(t.Context(), worker, c1, "车辆失联"); err != nil {
		t.Fatal(err)
	}
	main.must(say("load", nil))
	main.pull(cart, 100)
	if r := main.read(c1); r.State != "loaded" || r.Home != "main" || r.HomeEpoch != 2 {
		t.Fatalf("the winner was overwritten: %+v", r)
	}
	claims := main.until(kernel.ClaimKind, 1)
	var c kernel.Claim
	if err := json.Unmarshal(claims[0].Data, &c); err != nil || !c.Late || c.Data["note"] != "offline" {
		t.Fatalf("the late write is lost: %s", claims[0].Data)
	}
	main.until(kernel.TaskKind, 1)
}

func TestGapsEpochsAndDamageAreRefused(t *testing.T) {
	main, cart := open(t, "main"), open(t, "cart")
	main.must(create("A"))
	b, err := site.Read(t.Context(), main.k, record.Position{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	gap := b
	gap.From.Seq = 5
	if _, err := site.Apply(t.Context(), cart.k, gap); !errs.Is(err, errs.Conflict) {
		t.Fatalf("a gap: %v", err)
	}
	damaged := b
	damaged.Versions = []site.Version{b.Versions[len(b.Versions)-1]}
	damaged.Versions[0].Record.Data = json.RawMessage(`{"label":"B"}`)
	if _, err := site.Apply(t.Context(), cart.k, damaged); !errs.Is(err, errs.Invalid) {
		t.Fatalf("a damaged version: %v", err)
	}
	if _, err := site.Read(t.Context(), main.k, record.Position{Site: "main", Epoch: 7}, 10); !errs.Is(err, errs.Conflict) {
		t.Fatalf("another epoch: %v", err)
	}
}
