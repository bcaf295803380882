package audit_test

import (
	"context"
	"sync"
	"testing"

	"zhiwei/kernel/audit"
)

func TestTrail(t *testing.T) {
	var none *audit.Trail
	none.Name("a", "b")
	none.Read("Patient/1")
	none.Written()
	none.Fill(&audit.Entry{})
	if none.Due() || none.Named() || audit.TrailOf(context.Background()) != nil {
		t.Fatal("no trail is not nothing")
	}
	trail := &audit.Trail{}
	if audit.TrailOf(audit.WithTrail(context.Background(), trail)) != trail {
		t.Fatal("the trail is not in its context")
	}
	var reading sync.WaitGroup
	for range 50 {
		reading.Go(func() { trail.Read("Patient/1") })
	}
	reading.Wait()
	e := audit.Entry{Action: "read", Subject: "/x"}
	trail.Close(&e)
	if e.Patient != "Patient/1" || e.Detail != "50 records" || e.Action != "read" || !trail.Due() {
		t.Fatalf("%+v", e)
	}
	// Two persons: none is named.
	trail.Read("Patient/2")
	e = audit.Entry{}
	if trail.Close(&e); e.Patient != "" {
		t.Fatalf("%+v", e)
	}
	// A guess stands in the door's entry, never in that of a write, and gives way.
	trail.Guess("create", "book/1")
	e = audit.Entry{Action: "write"}
	if trail.Fill(&e); e.Action != "write" || trail.Named() {
		t.Fatalf("%+v", e)
	}
	if trail.Close(&e); e.Action != "create" {
		t.Fatalf("%+v", e)
	}
	trail.Name("sign-in", "user/anna")
	trail.Guess("create", "session/1")
	if trail.Fill(&e); e.Action != "sign-in" || e.Subject != "user/anna" {
		t.Fatalf("%+v", e)
	}
	// A write that is audited already, and disclosed nothing, owes no entry.
	only := &audit.Trail{}
	only.Written()
	if only.Due() {
		t.Fatal("a write is audited twice")
	}
	only.Read("")
	if !only.Due() {
		t.Fatal("what was read beside a write is not audited")
	}
}
