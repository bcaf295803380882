package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/store"
)

func testAudits(b *bench) {
	ctx := b.Context()
	full := audit.Entry{
		Who: "user/anna", Name: "安娜", Behalf: "user/boss", Purpose: "TREAT", Reason: "会诊", Action: "read",
		Subject: "person/a", Patient: "person/a", Outcome: audit.OK, Detail: "1", Request: "q1", Door: "rest", Remote: "10.0.0.1",
	}
	b.ok(b.s.Audit(ctx, full, audit.Entry{Who: "user/b", Action: "search", Outcome: audit.Refused}))
	got, err := b.s.Audits(ctx, audit.Query{})
	b.ok(err)
	if len(got) != 2 || got[0].Seq != 2 || got[1].Seq != 1 || got[0].Who != "user/b" || got[1].At.IsZero() {
		b.Fatalf("two entries were kept as %+v", got)
	}
	want := full
	want.Seq, want.At = 1, got[1].At
	if got[1] != want {
		b.Errorf("an entry was kept as %+v, want %+v", got[1], want)
	}
	// With the write, in its transaction.
	c, err := b.s.Write(ctx, store.Person, nil, func(tx store.Tx) error {
		for _, id := range []string{"a", "b"} {
			if _, err := (Draft{Key: person(id)}).Put(tx); err != nil {
				return err
			}
		}
		tx.Audit(audit.Entry{Who: "user/anna", Action: "create", Outcome: audit.OK, Seq: 99, From: 99, To: 99})
		return nil
	})
	b.ok(err)
	newest := func() audit.Entry {
		b.Helper()
		got, err := b.s.Audits(ctx, audit.Query{Limit: 1})
		b.ok(err)
		if len(got) != 1 {
			b.Fatalf("the newest entry of the audit: %v", got)
		}
		return got[0]
	}
	if e := newest(); e.Action != "create" || e.Seq != 3 || e.From != c.First.Seq || e.To != c.Last.Seq {
		b.Errorf("the entry of a write to %v-%v: %+v", c.First, c.Last, e)
	}
	// Alone, where the write was refused.
	mine := errors.New("mine")
	_, err = b.s.Write(ctx, store.Person, nil, func(tx store.Tx) error {
		if _, err := (Draft{Key: person("refused")}).Put(tx); err != nil {
			return err
		}
		tx.Audit(audit.Entry{Who: "user/anna", Action: "create", Subject: "person/refused", Outcome: audit.Refused, Detail: "no"})
		return mine
	})
	if err != mine { //nolint:errorlint // the contract: "returned as it is"
		b.Errorf("refused write: %v", err)
	}
	if e := newest(); e.Seq != 4 || e.Subject != "person/refused" || e.Outcome != audit.Refused || e.From != 0 || e.To != 0 {
		b.Errorf("the entry of a refused write: %+v", e)
	}
	// Gap-free and each once, from many at a time.
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			who := fmt.Sprint("user/w", w)
			for i := range 4 {
				var err error
				switch i % 3 {
				case 0:
					err = b.s.Audit(ctx, audit.Entry{Who: who, Action: "read", Outcome: audit.OK})
				case 1:
					_, err = b.s.Write(ctx, store.Person, nil, func(tx store.Tx) error {
						tx.Audit(audit.Entry{Who: who, Action: "create", Outcome: audit.OK})
						_, err := Draft{Key: person(fmt.Sprint("w", w))}.Put(tx)
						return err
					})
				case 2:
					_, err = b.s.Write(ctx, store.Person, nil, func(tx store.Tx) error {
						tx.Audit(audit.Entry{Who: who, Action: "create", Outcome: audit.Refused})
						return mine
					})
					if errors.Is(err, mine) {
						err = nil
					}
				}
				if err != nil {
					b.Errorf("audit: %v", err)
				}
			}
		})
	}
	wg.Wait()
	got, err = b.s.Audits(ctx, audit.Query{Limit: 1000})
	b.ok(err)
	count := map[string]int{}
	for i, e := range got {
		if e.Seq != int64(len(got)-i) {
			b.Fatalf("entry number %d from the end has seq %d of %d", i, e.Seq, len(got))
		}
		count[e.Who]++
	}
	for w := range 32 {
		if n := count[fmt.Sprint("user/w", w)]; n != 4 {
			b.Errorf("user/w%d has %d entries, want 4", w, n)
		}
	}
	b.ok(b.s.Check(ctx, func(d store.Damage) { b.Errorf("check: %+v", d) }))
}

func testAuditQueries(b *bench) {
	ctx := b.Context()
	for i := range 12 {
		e := audit.Entry{
			Who: fmt.Sprint("user/", i%2), Action: []string{"read", "search", "update"}[i%3],
			Subject: fmt.Sprintf("person/%d", i), Outcome: audit.OK,
		}
		if i%4 == 0 {
			e.Patient, e.Outcome = "person/p", audit.Refused
		}
		b.ok(b.s.Audit(ctx, e))
	}
	all, err := b.s.Audits(ctx, audit.Query{})
	b.ok(err)
	mid := all[6].At // of seq 6
	for name, c := range map[string]struct {
		q    audit.Query
		keep func(e audit.Entry) bool
	}{
		"who":           {audit.Query{Who: "user/1"}, func(e audit.Entry) bool { return e.Who == "user/1" }},
		"action":        {audit.Query{Action: "read"}, func(e audit.Entry) bool { return e.Action == "read" }},
		"subject":       {audit.Query{Subject: "person/1"}, func(e audit.Entry) bool { return e.Seq == 2 || e.Seq >= 11 }},
		"other subject": {audit.Query{Subject: "person_"}, func(audit.Entry) bool { return false }},
		"patient":       {audit.Query{Patient: "person/p"}, func(e audit.Entry) bool { return e.Patient != "" }},
		"outcome":       {audit.Query{Outcome: audit.Refused}, func(e audit.Entry) bool { return e.Outcome == audit.Refused }},
		"since":         {audit.Query{Since: mid}, func(e audit.Entry) bool { return !e.At.Before(mid) }},
		"until":         {audit.Query{Until: mid}, func(e audit.Entry) bool { return e.At.Before(mid) }},
		"before":        {audit.Query{Before: 5}, func(e audit.Entry) bool { return e.Seq < 5 }},
		"all of them": {
			audit.Query{Who: "user/0", Action: "read", Outcome: audit.Refused, Until: time.Now().Add(time.Hour), Before: 12},
			func(e audit.Entry) bool { return e.Seq == 1 },
		},
	} {
		got, err := b.s.Audits(ctx, c.q)
		b.ok(err)
		want := slices.DeleteFunc(slices.Clone(all), func(e audit.Entry) bool { return !c.keep(e) })
		if !slices.Equal(got, want) {
			b.Errorf("%s: got %d entries %v, want %d", name, len(got), got, len(want))
		}
	}
	if got, err := b.s.Audits(ctx, audit.Query{Limit: 3}); err != nil || len(got) != 3 || got[0].Seq != 12 {
		b.Errorf("the newest 3: %v, %v", got, err)
	}
}
