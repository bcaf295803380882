package jsonpatch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"zhiwei/door/fhir/jsonpatch"
	"zhiwei/kernel/errs"
)

func decode(t testing.TB, s string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func encode(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The examples of RFC 6902, appendix A, and the corners between them.
func TestApply(t *testing.T) {
	for _, c := range []struct{ doc, patch, want string }{ // want "": refused
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux"}]`, `{"baz":"qux","foo":"bar"}`},
		{`{"foo":["bar","baz"]}`, `[{"op":"add","path":"/foo/1","value":"qux"}]`, `{"foo":["bar","qux","baz"]}`},
		{`{"baz":"qux","foo":"bar"}`, `[{"op":"remove","path":"/baz"}]`, `{"foo":"bar"}`},
		{`{"foo":["bar","qux","baz"]}`, `[{"op":"remove","path":"/foo/1"}]`, `{"foo":["bar","baz"]}`},
		{`{"baz":"qux","foo":"bar"}`, `[{"op":"replace","path":"/baz","value":"boo"}]`, `{"baz":"boo","foo":"bar"}`},
		{`{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}`, `[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]`, `{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}`},
		{`{"foo":["all","grass","cows","eat"]}`, `[{"op":"move","from":"/foo/1","path":"/foo/3"}]`, `{"foo":["all","cows","eat","grass"]}`},
		{`{"baz":"qux","foo":["a",2,"c"]}`, `[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]`, `{"baz":"qux","foo":["a",2,"c"]}`},
		{`{"baz":"qux"}`, `[{"op":"test","path":"/baz","value":"bar"}]`, ``},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/child","value":{"grandchild":{}}}]`, `{"child":{"grandchild":{}},"foo":"bar"}`},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux","xyz":123}]`, `{"baz":"qux","foo":"bar"}`},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz/bat","value":"qux"}]`, ``},
		{`{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":10}]`, `{"/":9,"~1":10}`},
		{`{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":"10"}]`, ``},
		{`{"foo":["bar"]}`, `[{"op":"add","path":"/foo/-","value":["abc","def"]}]`, `{"foo":["bar",["abc","def"]]}`},
		{`{"a":1}`, `[{"op":"copy","from":"/a","path":"/b"},{"op":"replace","path":"/b","value":2}]`, `{"a":1,"b":2}`},
		{`{"a":{"b":1}}`, `[{"op":"copy","from":"/a","path":"/c"},{"op":"replace","path":"/c/b","value":2}]`, `{"a":{"b":1},"c":{"b":2}}`},
		{`{"a":{"b":1}}`, `[{"op":"move","from":"/a","path":"/a/b"}]`, ``},
		{`{"a":1}`, `[{"op":"move","from":"/a","path":"/a"}]`, `{"a":1}`},
		{`{"a":[1]}`, `[{"op":"add","path":"/a/2","value":1}]`, ``},
		{`{"a":[1]}`, `[{"op":"add","path":"/a/01","value":1}]`, ``},
		{`{"a":[1]}`, `[{"op":"remove","path":"/a/-"}]`, ``},
		{`{"a":[1]}`, `[{"op":"replace","path":"/b","value":1}]`, ``},
		{`{"a":[[1],[2]]}`, `[{"op":"add","path":"/a/0/-","value":3},{"op":"remove","path":"/a/1/0"}]`, `{"a":[[1,3],[]]}`},
		{`{"a":1.50}`, `[{"op":"test","path":"/a","value":15e-1}]`, `{"a":1.50}`},
		{`{"a":0}`, `[{"op":"test","path":"/a","value":-0.0}]`, `{"a":0}`},
		{`{"a":1e999999999999}`, `[{"op":"test","path":"/a","value":1e999999999998}]`, ``},
		{`{"a":null}`, `[{"op":"test","path":"/a","value":null}]`, `{"a":null}`},
		{`{"a":1}`, `[{"op":"replace","path":"","value":{"b":2}}]`, `{"b":2}`},
		{`{"a":1}`, `[]`, `{"a":1}`},
		// All or nothing: the first step does not stay.
		{`{"a":1}`, `[{"op":"add","path":"/b","value":1},{"op":"remove","path":"/c"}]`, ``},
	} {
		doc := decode(t, c.doc)
		ops, err := jsonpatch.Parse([]byte(c.patch))
		if err != nil {
			t.Fatalf("%s: %v", c.patch, err)
		}
		got, err := jsonpatch.Apply(doc, ops)
		if c.want == "" {
			if err == nil {
				t.Errorf("%s on %s gave %s", c.patch, c.doc, encode(t, got))
			} else if p := errs.PathOf(err); !strings.HasPrefix(p, "patch[") {
				t.Errorf("%s: path %q", c.patch, p)
			}
		} else if err != nil || encode(t, got) != c.want {
			t.Errorf("%s on %s: %s, %v; want %s", c.patch, c.doc, encode(t, got), err, c.want)
		}
		if encode(t, doc) != encode(t, decode(t, c.doc)) {
			t.Errorf("%s changed the document it was given", c.patch)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ patch, path string }{
		{`{}`, "patch"},
		{`[1]`, "patch"},
		{`[null]`, "patch[0]"},
		{`[{}]`, "patch[0].op"},
		{`[{"op":"add"}]`, "patch[0].path"},
		{`[{"op":"add","path":null}]`, "patch[0].path"},
		{`[{"op":"add","path":"/a"}]`, "patch[0].value"},
		{`[{"op":"spam","path":"/a"}]`, "patch[0].op"},
		{`[{"op":"remove","path":"a"}]`, "patch[0].path"},
		{`[{"op":"remove","path":"/a~2"}]`, "patch[0].path"},
		{`[{"op":"move","path":"/a"}]`, "patch[0].from"},
		{`[] []`, "patch"},
		{`[{"op":"add","path":"/a","value":1}`, "patch"},
	} {
		if _, err := jsonpatch.Parse([]byte(c.patch)); !errs.Is(err, errs.Invalid) || errs.PathOf(err) != c.path {
			t.Errorf("%s: %v at %q", c.patch, err, errs.PathOf(err))
		}
	}
	ops, err := jsonpatch.Parse([]byte(`[{"op":"test","path":"/a","value":2}]`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jsonpatch.Apply(decode(t, `{"a":1}`), ops); !errors.Is(err, jsonpatch.ErrTest) {
		t.Error(err)
	}
}

// A patch of thirty lines that doubles the document with each must not fill the
// memory.
func TestDoubling(t *testing.T) {
	patch := `[{"op":"add","path":"/a","value":[1]}` + strings.Repeat(`,{"op":"copy","from":"/a","path":"/a/-"}`, 40) + `]`
	ops, err := jsonpatch.Parse([]byte(patch))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jsonpatch.Apply(decode(t, `{}`), ops); !errs.Is(err, errs.TooLarge) {
		t.Error(err)
	}
}

// What add puts in, remove takes out again.
func TestAddRemove(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 500 {
		doc := decode(t, `{"a":[1,{"b":[]},"x"],"c":{"d":{"e":2}}}`)
		path := []string{"/a/0", "/a/3", "/a/1/b/0", "/c/n", "/c/d/z", "/q"}[rng.IntN(6)]
		ops, err := jsonpatch.Parse([]byte(`[{"op":"add","path":"` + path + `","value":{"v":7}},{"op":"test","path":"` + path + `/v","value":7},{"op":"remove","path":"` + path + `"}]`))
		if err != nil {
			t.Fatal(err)
		}
		got, err := jsonpatch.Apply(doc, ops)
		if err != nil || !jsonpatch.Equal(got, doc) {
			t.Fatalf("seed %d: %s: %v, %v", seed, path, got, err)
		}
	}
}

// FuzzPatch: whatever comes, the answer is a document or an error of ours, and
// the given document stays.
func FuzzPatch(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"c"}]}`), []byte(`[{"op":"copy","from":"/a/1","path":"/a/-"},{"op":"test","path":"/a/2/b","value":"c"}]`))
	f.Add([]byte(`{}`), []byte(`[{"op":"move","from":"","path":"/x"}]`))
	f.Add([]byte(`[1]`), []byte(`[{"op":"remove","path":""},{"op":"add","path":"/a","value":1}]`))
	f.Fuzz(func(t *testing.T, rawDoc, rawPatch []byte) {
		dec := json.NewDecoder(bytes.NewReader(rawDoc))
		dec.UseNumber()
		var doc any
		if dec.Decode(&doc) != nil {
			return
		}
		before := encode(t, doc)
		ops, err := jsonpatch.Parse(rawPatch)
		if err == nil {
			_, err = jsonpatch.Apply(doc, ops)
		}
		switch errs.KindOf(err) {
		case errs.Invalid, errs.Conflict, errs.TooLarge:
		default:
			if err != nil {
				t.Fatal(err)
			}
		}
		if encode(t, doc) != before {
			t.Fatal("the document was changed")
		}
	})
}
