package ups

import (
	"strings"
	"testing"
)

// Any words, quoted as upsd quotes them, are read back.
func FuzzSplit(f *testing.F) {
	f.Add(`VAR a ups.mfr "x \"y\" \\"`, "a b")
	f.Add(`"`, `\`)
	f.Fuzz(func(t *testing.T, line, word string) {
		split(line)
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
		got, ok := split("VAR " + quoted + " end")
		if !ok || len(got) != 3 || got[1] != word {
			t.Errorf("%q is read as %q", word, got)
		}
	})
}
