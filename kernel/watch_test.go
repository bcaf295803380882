package kernel_test

import (
	"encoding/json"
	"testing"

	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// Whoever watches a kind is told before the writer is answered, and only of
// what was committed.
func TestWatch(t *testing.T) {
	h := open(t)
	told := 0
	h.k.Watch("ward", func() { told++ })
	ward := func(id, data string) error {
		_, err := h.k.Write(t.Context(), identity.Root(), kernel.Change{Op: record.Create, Key: record.Key{Kind: "ward", ID: id}, Data: json.RawMessage(data)})
		return err
	}
	if err := ward("w9", `{"name":"九病区"}`); err != nil {
		t.Fatal(err)
	}
	if told != 1 {
		t.Fatalf("told %d times of one write", told)
	}
	if err := ward("w9", `{"name":"九病区"}`); err == nil {
		t.Fatal("the same id twice")
	}
	if told != 1 {
		t.Fatalf("told of a write that was refused")
	}
}
