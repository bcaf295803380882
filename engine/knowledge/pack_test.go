package knowledge_test

import (
	"testing"

	"zhiwei/engine/knowledge"
)

func base(t testing.TB) *knowledge.Base {
	t.Helper()
	b, err := knowledge.Default()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The delivered pack holds together.
func TestDeliveredPack(t *testing.T) {
	b := base(t)
	t.Logf("%d failure modes, %d terms, %d runbooks", len(b.Modes()), len(b.Terms()), len(b.Runbooks()))
}
