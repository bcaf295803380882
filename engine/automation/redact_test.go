package automation

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Whatever surrounds a secret, however it is written and in whatever pieces it
// arrives, it does not come out; and what is no secret comes out as it went in.
// ZHIWEI_SEED replays a run.
func TestNoSecretComesOut(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ZHIWEI_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ZHIWEI_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	letters := []rune("aab'\"\\ %/+=&\t密码$`{}")
	word := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteRune(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	for range 3000 {
		red := &redactor{}
		var secrets []string
		for range 1 + r.IntN(3) {
			if s := strings.TrimSpace(word(1 + r.IntN(12))); s != "" {
				secrets = append(secrets, s)
				red.add(s)
			}
		}
		if len(secrets) == 0 {
			continue
		}
		quoted, err := json.Marshal(secrets[0])
		if err != nil {
			t.Fatal(err)
		}
		var in strings.Builder
		for range r.IntN(12) {
			s := secrets[r.IntN(len(secrets))]
			switch r.IntN(8) {
			case 0:
				in.WriteString(s)
			case 1:
				in.WriteString(base64.StdEncoding.EncodeToString([]byte(s)))
			case 2:
				in.WriteString(hex.EncodeToString([]byte(s)))
			case 3:
				in.WriteString(url.QueryEscape(s))
			case 4:
				in.Write(quoted)
			case 5:
				in.WriteString(s[:r.IntN(len(s))])
			default:
				in.WriteString(word(r.IntN(20)))
			}
		}
		o := newOutput(red, false)
		for rest := in.String(); rest != ""; {
			n := 1 + r.IntN(len(rest))
			if _, err := o.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		o.end()
		got, _ := o.seen()
		for _, s := range secrets {
			for _, form := range []string{s, url.QueryEscape(s), hex.EncodeToString([]byte(s)), base64.StdEncoding.EncodeToString([]byte(s))} {
				if strings.Contains(got, form) {
					t.Fatalf("%q came out of %q as %q", form, in.String(), got)
				}
			}
		}
		if whole := red.text(in.String()); len(secrets) == 1 && whole == in.String() && got != clean([]byte(whole)) {
			t.Fatalf("%q became %q", in.String(), got)
		}
	}
}

// Text from outside that a template puts in is never taken for a template.
func TestATemplateIsFilledOnce(t *testing.T) {
	sc := newScope(map[string]any{"x": "${data.inputs.y}", "y": "secret", "n": int64(3), "l": []any{"a", "b"}}, map[string]any{"labels": map[string]any{}}, time.Now)
	for in, want := range map[string]any{
		"${data.inputs.x}":                 "${data.inputs.y}",
		"<${data.inputs.x}>":               "<${data.inputs.y}>",
		"${data.inputs.n}":                 int64(3),
		"n=${data.inputs.n + 1}":           "n=4",
		"$${HOME}":                         "${HOME}",
		"a$${b}c${data.inputs.n}":          "a${b}c3",
		`${{"a": "}"}["a"]}!`:              "}!",
		"${data.inputs.l}":                 []any{"a", "b"},
		"plain":                            "plain",
		"":                                 "",
		"${'k' in data.target.labels}":     false,
		"x${data.inputs.l}":                `x["a","b"]`,
		"${data.item == null ? 'no' : ''}": "no",
	} {
		got, err := sc.fill(in)
		if err != nil || !same(got, want) {
			t.Errorf("%s: %#v, %v; want %#v", in, got, err, want)
		}
	}
	for _, in := range []string{"${", "${data.", "x${'}'", "${data.inputs.none}"} {
		if got, err := sc.fill(in); err == nil {
			t.Errorf("%s: %#v", in, got)
		}
	}
}

func same(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// A reader of runbooks survives anything, and what it accepts can be written and
// read again to the same.
func FuzzParse(f *testing.F) {
	books, err := shipped.ReadDir("runbooks")
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range books {
		text, err := shipped.ReadFile("runbooks/" + b.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("name: x\nsteps: [{id: a, type: command, with: {args: ['${']}}]"))
	f.Add([]byte("a: &a [*a]"))
	reg := NewRegistry()
	f.Fuzz(func(t *testing.T, text []byte) {
		rb, err := Parse(text)
		if err != nil || reg.Validate(rb) != nil {
			return
		}
		raw, err := json.Marshal(rb)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(raw)
		if err != nil || reg.Validate(again) != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	})
}

// Times of crontab(5) with known answers; the zone has summer time.
func TestCron(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ spec, from, want string }{
		{"30 2 * * *", "2026-01-01T00:00:00+01:00", "2026-01-01T02:30:00+01:00"},
		{"30 2 * * *", "2026-01-01T02:30:00+01:00", "2026-01-02T02:30:00+01:00"},
		{"*/15 8-10 * * 1-5", "2026-01-02T10:50:00+01:00", "2026-01-05T08:00:00+01:00"}, // Friday to Monday
		{"0 0 29 2 *", "2026-01-01T00:00:00+01:00", "2028-02-29T00:00:00+01:00"},
		{"0 0 13 * 5", "2026-01-03T00:00:00+01:00", "2026-01-09T00:00:00+01:00"}, // either the 13th or a Friday
		{"0 0 * * 7", "2026-01-03T00:00:00+01:00", "2026-01-04T00:00:00+01:00"},
		{"30 2 * * *", "2026-03-28T12:00:00+01:00", "2026-03-29T03:30:00+02:00"}, // there is no 02:30 that day
		{"5,10 0 1 1,7 *", "2026-01-01T00:05:00+01:00", "2026-01-01T00:10:00+01:00"},
	} {
		cron, err := ParseCron(c.spec)
		if err != nil {
			t.Fatal(err)
		}
		from, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		if got := cron.Next(from.In(berlin)).Format(time.RFC3339); got != c.want {
			t.Errorf("%s after %s: %s, want %s", c.spec, c.from, got, c.want)
		}
	}
	if c, err := ParseCron("0 0 30 2 *"); err != nil || !c.Next(time.Now()).IsZero() {
		t.Error("30 February", err)
	}
	for _, bad := range []string{"", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "a * * * *", "5-1 * * * *", "*/0 * * * *", "* * * 13 *", "-1 * * * *", "1, * * * *"} {
		if _, err := ParseCron(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseCron(f *testing.F) {
	f.Add("*/5 0-23/2 1,15 * 1-5")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCron(s)
		if err != nil {
			return
		}
		from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if next := c.Next(from); !next.IsZero() && !next.After(from) {
			t.Fatalf("%q: %v", s, next)
		}
	})
}
