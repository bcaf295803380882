package logs_test

import (
	"encoding/csv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"zhiwei/engine/intelligence/logs"
)

var loghub = filepath.Join("..", "..", "..", "..", "shared", "data", "loghub")

// system is one system of LogHub: its messages and their true templates.
type system struct {
	name      string
	messages  []string
	templates []string
}

func systems(t testing.TB) []system {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(loghub, "*", "*_2k.log_structured_corrected.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("LogHub is not at ../shared/data/loghub of the project: nothing is measured")
	}
	var out []system
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		message, template := slices.Index(rows[0], "Content"), slices.Index(rows[0], "EventTemplate")
		if message < 0 || template < 0 {
			t.Fatalf("%s has no columns Content and EventTemplate", name)
		}
		s := system{name: filepath.Base(filepath.Dir(name))}
		for _, r := range rows[1:] {
			s.messages, s.templates = append(s.messages, r[message]), append(s.templates, r[template])
		}
		out = append(out, s)
	}
	return out
}

// TestLogHub: one setting groups the messages of every system as people did, with
// all lines read first and, nearly as well, with each named the moment it comes.
//
// Proves A10
func TestLogHub(t *testing.T) {
	all := systems(t)
	var whole, live float64
	for _, s := range all {
		m := logs.New(0)
		now := make([]logs.ID, len(s.messages))
		for i, text := range s.messages {
			now[i], _ = m.Add(text)
		}
		m.Refine()
		end := make([]logs.ID, len(now))
		for i, id := range now {
			end[i] = m.Resolve(id)
		}
		a, b := logs.Compare(end, s.templates), logs.Compare(now, s.templates)
		t.Logf("%-10s GA %.4f FGA %.4f (%d templates of %d), named at once GA %.4f", s.name, a.Grouping, a.Templates, a.Got, a.Want, b.Grouping)
		if a.Grouping < 0.98 {
			t.Errorf("%s: grouping accuracy %.4f", s.name, a.Grouping)
		}
		whole, live = whole+a.Grouping, live+b.Grouping
		if testing.Verbose() {
			misses(t, s, m, end)
		}
	}
	n := float64(len(all))
	t.Logf("mean %.4f, named at once %.4f", whole/n, live/n)
	if whole/n < 0.99 || live/n < 0.95 {
		t.Errorf("mean grouping accuracy %.4f, named at once %.4f", whole/n, live/n)
	}
}

// TestAnyOrder: the order of the messages, and half of them, change little.
func TestAnyOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	for _, s := range systems(t) {
		for _, n := range []int{len(s.messages), len(s.messages) / 2} {
			m := logs.New(0)
			var got []logs.ID
			var want []string
			for _, i := range r.Perm(len(s.messages))[:n] {
				id, _ := m.Add(s.messages[i])
				got, want = append(got, id), append(want, s.templates[i])
			}
			m.Refine()
			for i, id := range got {
				got[i] = m.Resolve(id)
			}
			if a := logs.Compare(got, want); a.Grouping < 0.95 {
				t.Errorf("%s, %d messages: grouping accuracy %.4f", s.name, n, a.Grouping)
			}
		}
	}
}

// misses tells which true templates were not found as they are.
func misses(t *testing.T, s system, m *logs.Miner, got []logs.ID) {
	size, lines := map[logs.ID]int{}, map[string]map[logs.ID]int{}
	for i, id := range got {
		size[id]++
		if lines[s.templates[i]] == nil {
			lines[s.templates[i]] = map[logs.ID]int{}
		}
		lines[s.templates[i]][id]++
	}
	for want, by := range lines {
		for id, n := range by {
			if len(by) > 1 || size[id] != n {
				one, _ := m.Template(id)
				t.Logf("  %.90q: %d of %d in %.120q", want, n, size[id], one.Text)
			}
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	var all []string
	for _, s := range systems(b) {
		all = append(all, s.messages...)
	}
	m := logs.New(0)
	for i := 0; b.Loop(); i++ {
		m.Add(all[i%len(all)])
	}
}
