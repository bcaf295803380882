package kernel

import (
	"encoding/json"
	"testing"
)

// A private path is taken out wherever it stands, and nothing else is.
func TestWithout(t *testing.T) {
	for _, c := range []struct{ path, in, out string }{
		{"a", `{"a":1,"b":2}`, `{"b":2}`},
		{"a", `{"_a":{"id":"x"},"a":1,"b":2}`, `{"b":2}`},
		{"channel.header", `{"channel":{"header":["k: v"],"type":"rest-hook"}}`, `{"channel":{"type":"rest-hook"}}`},
		{"list.secret", `{"list":[{"secret":1,"n":1},{"n":2},"text"]}`, `{"list":[{"n":1},{"n":2},"text"]}`},
		{"channel.header", `{"channel":null}`, `{"channel":null}`},
		{"channel.header", `{"other":12345678901234567890.10}`, `{"other":12345678901234567890.10}`},
		{"channel.header", `{"header":["k: v"]}`, `{"header":["k: v"]}`},
	} {
		out, err := without(json.RawMessage(c.in), c.path)
		if err != nil || string(out) != c.out {
			t.Errorf("%s without %s is %s (%v), not %s", c.in, c.path, out, err, c.out)
		}
	}
}
