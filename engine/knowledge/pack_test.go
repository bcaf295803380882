package knowledge_test

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	"zhiwei/engine"
	"zhiwei/engine/knowledge"
	"zhiwei/kernel/errs"
)

func base(t testing.TB) *knowledge.Base {
	t.Helper()
	b, err := knowledge.Default()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The delivered pack holds together: enough modes, every metric it looks at is
// in the catalogue or one that Prometheus' exporters have, and every mode can
// call a person.
func TestDeliveredPack(t *testing.T) {
	b := base(t)
	t.Logf("%d failure modes, %d terms, %d runbooks: %v", len(b.Modes()), len(b.Terms()), len(b.Runbooks()), b.Runbooks())
	if len(b.Modes()) < 80 {
		t.Errorf("%d failure modes", len(b.Modes()))
	}
	// Names that node_exporter, process-exporter, the JMX and cAdvisor exporters and
	// the client libraries of Prometheus
	// define are kept as they are.
	others := []string{"node_", "namedprocess_", "process_", "jvm_", "container_", "http_requests_total", "http_request_duration_seconds_"}
	for _, term := range b.Terms() {
		name := term
		if _, rest, ok := strings.Cut(term, "("); ok {
			name = strings.FieldsFunc(rest, func(r rune) bool { return r == '[' || r == ')' || r == ',' })[0]
		}
		_, known := engine.MetricNamed(name)
		if !known && !slices.ContainsFunc(others, func(p string) bool { return strings.HasPrefix(name, p) }) {
			t.Errorf("%s is in no catalogue", name)
		}
	}
	p, err := knowledge.Delivered()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range p.Modes {
		if !slices.ContainsFunc(m.Remedies, func(r knowledge.Remedy) bool { return r.Runbook == knowledge.CallPerson }) {
			t.Errorf("%s cannot call a person", m.ID)
		}
	}
}

// What a pack must not hold is refused, with the line or the name.
func TestReaderIsStrict(t *testing.T) {
	const good = "name: x\nversion: \"1\"\nsigns:\n  - {id: a, title: 甲 | A, class: [host], metric: x > 1, otherwise: 0.01}\n" +
		"modes:\n  - {id: m, version: 1, title: 甲 | A, help: 乙 | B, class: [host], rows: [B01], prior: 0.01, signs: {a: 0.9}, source: 丙 | C, " +
		"remedies: [{id: p, title: 丁 | D, runbook: call-person, risk: none, radius: thing}]}\n"
	try := func(text string) error {
		p, err := knowledge.Read(strings.NewReader(text))
		if err == nil {
			_, err = knowledge.New(p)
		}
		return err
	}
	if err := try(good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ from, to, says string }{
		"unknown field":      {"prior:", "prio:", "line 6"},
		"one language":       {"甲 | A, class: [host], metric", "甲, class: [host], metric", "line 4"},
		"unknown class":      {"class: [host], rows", "class: [hosst], rows", "hosst"},
		"unknown sign":       {"signs: {a:", "signs: {b:", "no sign b"},
		"certain":            {"{a: 0.9}", "{a: 1}", "between 0 and 1"},
		"bad condition":      {"metric: x > 1", "metric: x >", "sign a"},
		"bad expression":     {"log", "log", ""},
		"alias":              {"name: x", "name: &n x", "line 1"},
		"two documents":      {"name: x", "---\nname: x\n---\nname: x", "one document"},
		"impossible risk":    {"risk: none", "risk: brave", "risk"},
		"prior out of range": {"prior: 0.01", "prior: 0.9", "prior"},
		"condition in CEL":   {"radius: thing", "radius: thing, when: 'data.'", "remedy p"},
		"twice":              {"modes:", "  - {id: a, title: 甲 | A, class: [host], metric: x > 1, otherwise: 0.01}\nmodes:", "twice"},
	} {
		if c.says == "" {
			continue
		}
		err := try(strings.Replace(good, c.from, c.to, 1))
		if !errs.Is(err, errs.Invalid) || !strings.Contains(err.Error(), c.says) || errs.Sentence(err, "zh") == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A pack goes to sites as one file that proves itself; what was changed on the
// way or signed by a stranger is not taken.
func TestPackTravels(t *testing.T) {
	p, err := knowledge.Delivered()
	if err != nil {
		t.Fatal(err)
	}
	ours, key, _ := ed25519.GenerateKey(nil)
	theirs, _, _ := ed25519.GenerateKey(nil)
	var file, again bytes.Buffer
	if err := knowledge.Export(&file, p, key); err != nil {
		t.Fatal(err)
	}
	got, err := knowledge.Import(bytes.NewReader(file.Bytes()), theirs, ours)
	if err != nil || got.Version != p.Version || len(got.Modes) != len(p.Modes) {
		t.Fatalf("%d modes of version %s: %v", len(got.Modes), got.Version, err)
	}
	if err := knowledge.Export(&again, got, key); err != nil || !bytes.Equal(file.Bytes(), again.Bytes()) {
		t.Errorf("exported again it is another file: %v", err)
	}
	b, err := knowledge.New(got)
	if err != nil || b.Version() != base(t).Version() {
		t.Fatal(err)
	}
	if _, err := knowledge.Import(bytes.NewReader(file.Bytes()), theirs); !errs.Is(err, errs.Invalid) {
		t.Errorf("a stranger's signature: %v", err)
	}
	changed := bytes.Replace(file.Bytes(), []byte("prior: 0.01"), []byte("prior: 0.02"), 1)
	if _, err := knowledge.Import(bytes.NewReader(changed)); !errs.Is(err, errs.Invalid) {
		t.Errorf("changed on the way: %v", err)
	}
	if _, err := knowledge.Import(strings.NewReader("name: x\n")); !errs.Is(err, errs.Invalid) {
		t.Errorf("without its hash: %v", err)
	}
	// A hospital's own mode is laid over the pack, and an older one is not.
	own := knowledge.Pack{Modes: []knowledge.Mode{p.Modes[0], p.Modes[1]}}
	own.Modes[0].Version, own.Modes[0].Prior = 9, 0.05
	own.Modes[1].Version, own.Modes[1].Prior = 0, 0.05
	both := p.With(own)
	if both.Modes[0].Version != 9 || both.Modes[1].Version != 1 || len(both.Modes) != len(p.Modes) {
		t.Errorf("versions %d and %d", both.Modes[0].Version, both.Modes[1].Version)
	}
}

// Documents and failure modes are found by Chinese and English words, and by
// the failure mode they speak of; the index survives being closed.
func TestLibraryFindsDocuments(t *testing.T) {
	folder := t.TempDir() + "/index"
	l, err := knowledge.OpenLibrary(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.PutModes(base(t)); err != nil {
		t.Fatal(err)
	}
	ticket := knowledge.Entry{ID: "document/17", Kind: engine.DocumentKind, Title: "门诊收费慢的处理记录", Text: "数据库会话被锁，结束阻塞源会话后恢复。", Modes: []string{"lock-pileup"}}
	if err := l.Put(ticket, knowledge.Entry{ID: "document/18", Kind: engine.DocumentKind, Title: "UPS maintenance", Text: "Replace the battery every four years."}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = knowledge.OpenLibrary(folder); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for words, want := range map[string]string{"阻塞源会话": "document/17", "门诊收费": "document/17", "battery four years": "document/18", "生成树根桥": "failure-mode/tree-root-moved", "证书过期": "failure-mode/certificate-expired"} {
		found, err := l.Search(words, "", "", 5)
		if err != nil || !slices.ContainsFunc(found, func(f knowledge.Found) bool { return f.ID == want }) {
			t.Errorf("%s: %+v, %v", words, found, err)
		}
	}
	found, err := l.Search("", engine.DocumentKind, "lock-pileup", 5)
	if err != nil || len(found) != 1 || found[0].ID != "document/17" || found[0].Title != ticket.Title {
		t.Errorf("by failure mode: %+v, %v", found, err)
	}
	if err := l.Remove("document/17"); err != nil {
		t.Fatal(err)
	}
	if found, err := l.Search("", "", "lock-pileup", 5); err != nil || len(found) != 1 {
		t.Errorf("after removal: %+v, %v", found, err)
	}
	if _, err := l.Search(" ", "", "", 5); !errs.Is(err, errs.Invalid) {
		t.Errorf("no words: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("name: x\nsigns:\n  - {id: a, title: 甲 | A, class: [host], metric: x > 1, otherwise: 0.01}\n")
	f.Add("a: &a [*a]")
	f.Add("modes: [{id: m, signs: {a: .nan}, spreads: [{way: up, depth: -1, signs: {a: 0.5}}]}]")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := knowledge.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		if b, err := knowledge.New(p); err == nil {
			b.Infer(nil, []engine.Symptom{{Thing: "x", Source: engine.FromMetric, Name: "x", Value: 2}, {Thing: "x", Source: engine.FromLog, Text: text}})
		}
	})
}

func FuzzCondition(f *testing.F) {
	for _, term := range []string{"x > 1", `rate(a{b="c"}[5m]) / d < 0.1 and time() - e > 3 or max(f) - min(f) > -2`, "predict_linear(x[1h],60) < 0", "((((", `x{a=~"("} > 1`} {
		f.Add(term)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := knowledge.ParseCondition(text)
		if err != nil {
			return
		}
		if q := c.Query(""); q != "" {
			if _, err := parser.ParseExpr(q); err != nil {
				t.Fatalf("%q is written as %q, which is not PromQL: %v", text, q, err)
			}
		}
	})
}
