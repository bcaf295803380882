package librarydesk_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	librarydesk "zhiwei/apps/library-desk"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/store/storetest"
)

type desk struct {
	t     *testing.T
	k     *kernel.Kernel
	clock *clock.Manual
	who   *identity.Principal
}

func open(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, clock: clock.NewManual(time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC))}
	house, err := app.Build([]app.App{{Name: "library-desk", Module: librarydesk.Desk{}}})
	if err != nil {
		t.Fatal(err)
	}
	st := storetest.NewModel("main", house.Registry, d.clock)
	if d.k, err = kernel.Open(t.Context(), kernel.Options{Site: "main", Store: st, Registry: house.Registry, Clock: d.clock}); err != nil {
		t.Fatal(err)
	}
	if err := house.Start(t.Context(), "test", func(string) *app.Host { return &app.Host{Kernel: d.k, Clock: d.clock} }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := house.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		d.k.Close()
	})
	d.who = &identity.Principal{Type: identity.User, ID: "user/l", Name: "样例馆员", Roles: []string{"librarian"}}
	d.create("copy", "c1", `{"title":"本草纲目","author":"李时珍","barcode":"0001"}`)
	for _, id := range []string{"r1", "r2", "r3"} {
		d.create("reader", id, `{"name":"样例读者","card":"`+id+`"}`)
	}
	return d
}

func (d *desk) write(c kernel.Change) (record.Record, error) {
	out, err := d.k.Write(d.t.Context(), d.who, c)
	if err != nil {
		return record.Record{}, err
	}
	return out[0], nil
}

func (d *desk) create(kindName, id, data string) record.Record {
	d.t.Helper()
	r, err := d.write(kernel.Change{Op: record.Create, Key: record.Key{Kind: kindName, ID: id}, Data: json.RawMessage(data)})
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

func (d *desk) say(kindName, id, verb string) error {
	_, err := d.write(kernel.Change{Op: record.Verb, Key: record.Key{Kind: kindName, ID: id}, Expect: kernel.AnyVersion, Verb: verb})
	return err
}

// until waits, listening to the feed, for a record of the kind that satisfies
// the query.
func (d *desk) until(kindName, query string) record.Record {
	d.t.Helper()
	where, err := d.k.Parser().Query(kindName, query)
	if err != nil {
		d.t.Fatal(err)
	}
	deadline := time.After(10 * time.Second)
	for {
		changed := d.k.Store().Changed()
		page, err := d.k.Search(d.t.Context(), identity.Root(), search.Query{Kind: kindName, Where: where})
		if err != nil {
			d.t.Fatal(err)
		}
		if len(page.Records) > 0 {
			return page.Records[0]
		}
		select {
		case <-changed:
		case <-d.clock.Waiting(): // a loop waits for the clock: move it on a little
			d.clock.Move(10 * time.Millisecond)
		case <-deadline:
			d.t.Fatalf("no %s?%s", kindName, query)
		}
	}
}

func lend(copyID, reader string) string {
	return `{"copy":"copy/` + copyID + `","reader":"reader/` + reader + `"}`
}

// Proves A27: an application from another field lends, renews, reserves, counts
// overdue days and takes fines with declarations alone.
func TestLendingDesk(t *testing.T) {
	d := open(t)
	d.create("loan", "l1", lend("c1", "r1"))
	if _, err := d.write(kernel.Change{Op: record.Create, Key: record.Key{Kind: "loan", ID: "l2"}, Data: json.RawMessage(lend("c1", "r2"))}); !errs.Is(err, errs.Conflict) {
		t.Fatalf("a lent copy was lent again: %v", err)
	}
	if err := d.say("loan", "l1", "renew"); err != nil {
		t.Fatal(err)
	}
	d.create("reservation", "v2", lend("c1", "r2"))
	d.clock.Move(time.Second)
	d.create("reservation", "v3", lend("c1", "r3"))
	if err := d.say("loan", "l1", "renew"); !errs.Is(err, errs.Conflict) {
		t.Fatalf("renewed although somebody waits: %v", err)
	}
	d.clock.Move(12*24*time.Hour + time.Hour)
	d.until("task", "about=loan/l1&cause=reminder&_state=open")
	d.clock.Move(2 * 24 * time.Hour)
	d.until("loan", "_id=l1&_state=overdue")
	d.until("task", "about=loan/l1&cause=reminder&_state=done") // settled by the move
	d.clock.Move(60 * time.Hour)                                // the third day has begun
	if err := d.say("loan", "l1", "return"); err != nil {
		t.Fatal(err)
	}
	fine := d.until("fine", "reader=reader/r1&_state=due")
	var owed struct{ Amount string }
	if err := json.Unmarshal(fine.Data, &owed); err != nil || owed.Amount != "0.30" {
		t.Fatalf("fine %s", fine.Data)
	}
	ready := d.until("reservation", "_state=ready")
	if ready.ID != "v2" {
		t.Fatalf("kept for %s, want the first who waited", ready.ID)
	}
	if _, err := d.write(kernel.Change{Op: record.Create, Key: record.Key{Kind: "loan", ID: "l3"}, Data: json.RawMessage(lend("c1", "r3"))}); !errs.Is(err, errs.Conflict) {
		t.Fatalf("a copy kept for another was lent: %v", err)
	}
	d.clock.Move(73 * time.Hour)
	d.until("reservation", "_id=v2&_state=ended")
	if err := d.say("reservation", "v3", "ready"); err != nil {
		t.Fatal(err)
	}
	d.create("loan", "l4", lend("c1", "r3"))
	d.until("reservation", "_id=v3&_state=ended")
	for _, v := range []string{"pay"} {
		if err := d.say("fine", fine.ID, v); err != nil {
			t.Fatal(err)
		}
	}
	// Found by words, pinyin and initials.
	for _, q := range []string{"纲目", "bencao", "bcgm"} {
		d.until("copy", "title="+q)
	}
}
