package rest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"strings"
	"testing"

	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/shape"
)

var thing = &kind.Kind{Name: "thing", Title: kind.T("物", "Thing"), Fields: []kind.Field{
	{Name: "name", Type: kind.String, Title: kind.T("名", "Name")},
	{Name: "count", Type: kind.Int, Title: kind.T("数", "Count")},
	{Name: "tags", Type: kind.String, Many: true, Title: kind.T("签", "Tags")},
}}

func door(t testing.TB) *Door {
	t.Helper()
	block, err := aes.NewCipher(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return &Door{cursors: aead}
}

func FuzzCursor(f *testing.F) {
	d := door(f)
	p := &identity.Principal{ID: "user/anna"}
	c, err := d.seal(p, record.Position{Site: "here", Epoch: 3, Seq: 99})
	if err != nil {
		f.Fatal(err)
	}
	if at, ok := d.open(p, "here", c); !ok || at.Seq != 99 || at.Epoch != 3 {
		f.Fatal(at, ok)
	}
	if _, ok := d.open(p, "there", c); ok {
		f.Fatal("another site's cursor")
	}
	f.Add(c)
	f.Add("")
	f.Add(strings.Repeat("A", len(c)))
	f.Fuzz(func(t *testing.T, s string) {
		if at, ok := d.open(p, "here", s); ok && s != c {
			t.Errorf("%q was never given out: %v", s, at)
		}
	})
}

func FuzzRows(f *testing.F) {
	f.Add("id,name,count\n1,a,2\n")
	f.Add("\ufeffname,tags\n'=x,\"[\"\"a\"\"]\"\n")
	f.Add(`{"id":"x","data":{"name":"a"}}` + "\n\n" + `{"data":{}}`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, read := range []func() ([]row, error){
			func() ([]row, error) { return csvRows(thing, strings.NewReader(s)) },
			func() ([]row, error) { return ndjsonRows(thing, strings.NewReader(s)) },
		} {
			rows, err := read()
			if err != nil {
				continue
			}
			for _, r := range rows {
				if !json.Valid(r.data) || r.line < 1 {
					t.Errorf("%q: line %d: %s", s, r.line, r.data)
				}
			}
		}
	})
}

// What stands in a cell comes back as it was.
func FuzzCell(f *testing.F) {
	for _, s := range []string{"", "=1+1", "-5", "'x", "''=", "plain", "\t", "\"", "@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw, err := json.Marshal(s)
		if err != nil || s == "" {
			return
		}
		text := cell(raw)
		if strings.ContainsAny(text[:1], formulaStarts) {
			t.Errorf("%q is a formula in a spreadsheet", text)
		}
		back, err := value(&thing.Fields[0], text)
		if err != nil || !bytes.Equal(back, raw) {
			t.Errorf("%s became %q and %s (%v)", raw, text, back, err)
		}
	})
}

func FuzzRecordIsJSON(f *testing.F) {
	f.Add("id", "待寄", "by\n\"\\\x7f")
	f.Fuzz(func(t *testing.T, id, state, by string) {
		r := &record.Record{Key: record.Key{Kind: "thing", ID: id}, Version: 3, State: state, Mark: record.Mark{By: by}}
		b := append(appendRecord(nil, r), '}')
		if _, err := shape.Object(bytes.ToValidUTF8(b, nil)); err != nil && !strings.Contains(id+state+by, "\x00") {
			t.Errorf("%q: %v", b, err)
		}
	})
}

func TestTitles(t *testing.T) {
	k := &kind.Kind{Name: "Patient", View: kind.View{TitleField: "name"}}
	for data, want := range map[string]string{
		`{"name":"箱"}`: "箱", `{}`: "7", `{"name":""}`: "7", `broken`: "7",
		`{"name":[{"family":"Smith","given":["Anna","B."]}]}`:                     "Anna B. Smith",
		`{"name":[{"text":"张三","family":"张"}]}`:                                   "张三",
		`{"name":{"coding":[{"system":"x","code":"c","display":"Blood sugar"}]}}`: "Blood sugar",
		`{"name":[{},{"value":"A-1"}]}`:                                           "A-1",
	} {
		if got := title(k, &record.Record{Key: record.Key{Kind: "Patient", ID: "7"}, Data: []byte(data)}); got != want {
			t.Errorf("%s: %q, want %q", data, got, want)
		}
	}
}
