package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// Proves A09 on the published cases: no figure of the bench falls below its goal.
func TestRootCauses(t *testing.T) {
	b := &bench{data: filepath.Join("..", "..", "shared", "data")}
	if err := rootCauses(t.Context(), b, ""); err != nil {
		if strings.Contains(err.Error(), errAbsent.Error()) || strings.Contains(err.Error(), "no such file") {
			t.Skip("the shared data are not here:", err)
		}
		t.Fatal(err)
	}
	if len(b.figures) != 9 {
		t.Errorf("%d figures", len(b.figures))
	}
	for _, f := range b.figures {
		if !strings.HasPrefix(f.verdict(), "reached") {
			t.Errorf("%s: %v, goal %s", f.Name, f.Got, f.Goal.text(f.Unit))
		}
	}
}
