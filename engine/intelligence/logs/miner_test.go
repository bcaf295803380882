package logs_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"zhiwei/engine/intelligence/logs"
	"zhiwei/kernel/errs"
)

// TestLearns: a place where many words stood becomes a variable, states do not,
// and IDs given earlier lead to the template that was found later.
func TestLearns(t *testing.T) {
	m := logs.New(0)
	first, created := m.Add("session opened for user anna on pts")
	if !created {
		t.Error("the first message of a template does not say so")
	}
	if again, created := m.Add("session opened for user anna on pts"); again != first || created {
		t.Error("the same message has another template")
	}
	var ids []logs.ID
	for _, u := range []string{"berta", "carla", "dora", "emma"} {
		id, _ := m.Add("session opened for user " + u + " on pts")
		ids = append(ids, id)
	}
	for _, id := range ids {
		if m.Resolve(id) != first {
			t.Errorf("template %d resolves to %d, want %d", id, m.Resolve(id), first)
		}
	}
	if got, _ := m.Template(first); got.Text != "session opened for user <*> on pts" || got.Count != 6 {
		t.Errorf("template %+v", got)
	}
	// Who is known to be a user is one in other messages too.
	a, _ := m.Add("account anna was locked by policy")
	b, _ := m.Add("account berta was locked by policy")
	if m.Resolve(a) != m.Resolve(b) {
		t.Error("words known as values are not taken for values")
	}
	x, _ := m.Add("replica of main is RUNNING now")
	y, _ := m.Add("replica of main is STOPPED now")
	if m.Refine(); m.Resolve(x) == m.Resolve(y) {
		t.Error("two states have one template")
	}
	if _, ok := m.Template(9999); ok {
		t.Error("a template that never was is known")
	}
}

// TestRestart: a Miner restored from its state has all that the other had learnt.
func TestRestart(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	words := strings.Fields("open close fail read write disk net user host from to by for state a.b c_d 1 2 10.0.0.1 /x 磁盘 已满")
	message := func() string {
		var w []string
		for range 2 + r.IntN(6) {
			w = append(w, words[r.IntN(len(words))])
		}
		return strings.Join(w, " ")
	}
	one := logs.New(300)
	for range 2000 {
		one.Add(message())
	}
	state, err := json.Marshal(one)
	if err != nil {
		t.Fatal(err)
	}
	other := logs.New(0)
	if err := json.Unmarshal(state, other); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(other)
	if string(again) != string(state) {
		t.Error("the state of the restored Miner is another")
	}
	if !reflect.DeepEqual(one.Templates(), other.Templates()) {
		t.Error("the restored Miner has other templates")
	}
	known := 0
	for _, x := range one.Templates() {
		if y, ok := other.Template(x.ID); ok && y == x {
			known++
		}
	}
	if known != len(one.Templates()) {
		t.Errorf("%d of %d templates are known after the restart", known, len(one.Templates()))
	}
}

// TestKeepsIDsOverRestart: messages of every system keep their templates.
func TestKeepsIDsOverRestart(t *testing.T) {
	for _, s := range systems(t) {
		m := logs.New(0)
		for _, text := range s.messages {
			m.Add(text)
		}
		m.Refine()
		state, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		n := logs.New(0)
		if err := json.Unmarshal(state, n); err != nil {
			t.Fatal(err)
		}
		for _, text := range s.messages {
			a, _ := m.Add(text)
			b, created := n.Add(text)
			if a != b || created {
				t.Fatalf("%s: %q had template %d and has %d", s.name, text, a, b)
			}
		}
	}
}

// TestBounded: a flood of messages that are all different takes no more room than
// is allowed, what is given up is counted, and what runs every day survives it.
func TestBounded(t *testing.T) {
	m := logs.New(200)
	var daily logs.ID
	for range 20 {
		daily, _ = m.Add("backup of the main database finished")
	}
	letters := "abcdefghijklmnopqrstuvwxyz"
	r := rand.New(rand.NewPCG(7, 7))
	for range 20000 {
		var w [6]string
		for i := range w {
			for range 5 {
				w[i] += string(letters[r.IntN(26)])
			}
		}
		m.Add(strings.Join(w[:2+r.IntN(5)], " "))
	}
	if n := len(m.Templates()); n > 200 {
		t.Errorf("%d templates are held", n)
	}
	if m.Dropped() == 0 {
		t.Error("nothing was dropped, or it was not counted")
	}
	if id, created := m.Add("backup of the main database finished"); id != daily || created {
		t.Error("what runs every day was given up for nonsense")
	}
	state, _ := json.Marshal(m)
	if len(state) > 1<<20 {
		t.Errorf("the state has %d bytes", len(state))
	}
}

func TestDamagedState(t *testing.T) {
	for _, s := range []string{
		``, `{}`, `[]`, `{"version":2,"limit":100,"next":1}`, `{"version":1,"limit":1,"next":1}`,
		`{"version":1,"limit":100,"next":3,"forms":[{"tokens":"wa","id":1}],"templates":[]}`,
		`{"version":1,"limit":100,"next":3,"forms":[{"tokens":"wa","id":1}],"templates":[{"id":1,"tokens":"wa\nWb"}]}`,
		`{"version":1,"limit":100,"next":3,"forms":[{"tokens":"xa","id":1}],"templates":[{"id":1,"tokens":"wa"}]}`,
		`{"version":1,"limit":100,"next":3,"forms":[],"templates":[{"id":1,"tokens":"wa"}]}`,
		`{"version":1,"limit":100,"next":3,"forms":[],"templates":[],"alias":[[1,2]]}`,
	} {
		m := logs.New(0)
		id, _ := m.Add("kept")
		err := m.UnmarshalJSON([]byte(s))
		if !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", s, err)
		}
		if _, ok := m.Template(id); !ok {
			t.Errorf("%s: what was learnt is gone", s)
		}
	}
}

// TestCopy: a row a line in order, whatever the lines hold.
func TestCopy(t *testing.T) {
	long := strings.Repeat("long ", 2<<20)
	in := strings.Join([]string{"user 1 logged in", "", `say "hi, there" now, please`, "user 2 logged in\r", "\xff\xfe bad \x00 bytes", long, "last"}, "\n")
	var out strings.Builder
	if err := logs.Copy(&out, strings.NewReader(in), logs.New(0)); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"template", "user <*> logged in", "", `say "<*>" now, please`, "user <*> logged in", "\uFFFD\uFFFD bad bytes", "", "last"}
	if len(rows) != len(want) {
		t.Fatalf("%d rows for 7 lines", len(rows)-1)
	}
	for i, r := range rows {
		if i == 0 {
			continue
		}
		if r[0] != fmt.Sprint(i) || i != 6 && r[2] != want[i] {
			t.Errorf("row %d: %q, want template %q", i, r, want[i])
		}
	}
	if rows[1][1] != rows[4][1] || rows[1][1] == rows[3][1] {
		t.Errorf("template ids %q %q %q", rows[1][1], rows[4][1], rows[3][1])
	}
	if got := rows[6][2]; !strings.HasPrefix(got, "long long") || !strings.HasSuffix(got, " <*>") || len(got) > 4200 {
		t.Errorf("the long line's template has %d bytes and ends in %q", len(got), got[max(0, len(got)-20):])
	}
}

// FuzzCopy: any bytes give a row a line, templates that survive a restart, and
// state that is read again.
func FuzzCopy(f *testing.F) {
	f.Add("a 1\nb=2, c\n\n\"q\" x\n")
	f.Add("k={a [b\nk=\"x\nx='y' (z=1 2 3)\n<k=<v>>")
	f.Add("node-[1-3 a] **** 1.2.3.4:5 用户张三登录\xff\xfe /p?x=1) a@b \u0085\u009f")
	f.Add("open a x.y c.d\nopen b e.f g.h\nopen c i.j k.l\nopen d m.n o.p\nopen e q.r s.t\n")
	f.Fuzz(func(t *testing.T, in string) {
		m := logs.New(64)
		var out strings.Builder
		if err := logs.Copy(&out, strings.NewReader(in), m); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Count(in, "\n")
		if in != "" && !strings.HasSuffix(in, "\n") {
			lines++
		}
		if len(rows) != lines+1 {
			t.Fatalf("%d rows for %d lines", len(rows)-1, lines)
		}
		state, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		n := logs.New(0)
		if err := json.Unmarshal(state, n); err != nil {
			t.Fatalf("%v: %s", err, state)
		}
		for line := range strings.SplitSeq(in, "\n") {
			if a, _ := m.Add(line); m.Dropped() == 0 {
				if b, _ := n.Add(line); m.Resolve(a) != n.Resolve(b) && n.Dropped() == 0 {
					t.Fatalf("%q has template %d, after a restart %d", line, a, b)
				}
			}
		}
	})
}

// FuzzState: no bytes make a Miner that fails later.
func FuzzState(f *testing.F) {
	m := logs.New(64)
	for i := range 8 {
		m.Add(fmt.Sprintf("open %c of user x%c.y", 'a'+i, 'a'+i))
	}
	state, _ := json.Marshal(m)
	f.Add(state, "open z of user x.y")
	f.Add([]byte(`{"version":1,"limit":100,"next":1}`), "a b")
	f.Fuzz(func(t *testing.T, state []byte, message string) {
		m := logs.New(0)
		if m.UnmarshalJSON(state) != nil {
			return
		}
		for range 3 {
			m.Add(message)
			m.Refine()
			m.Templates()
		}
	})
}
