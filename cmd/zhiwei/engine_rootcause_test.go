package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Proves A10 at the command line: a cause is named with its reason, quiet is an
// answer, and a table that cannot be used is a mistake of the caller's.
func TestEngineRootcause(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// The delay of the database, in milliseconds, is what the web waits for.
	table := func(rows int, db float64) string {
		var b strings.Builder
		b.WriteString("time,web|latency_avg,my_db|latency_avg,my_db|requests\n")
		for i := range rows {
			jitter := float64(i*7%5) / 10
			fmt.Fprintf(&b, "%d,%g,%g,%d\n", 1700000000+60*i, 20+jitter+db, db+jitter, 100+i%3)
		}
		return b.String()
	}
	normal, sick := write("normal.csv", table(60, 5)), write("sick.csv", table(8, 80))
	graph, broken := write("edges.csv", "from,to\nweb,my_db\n"), write("broken.csv", "time,web_cpu\n1,much\n")
	call := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = run(t.Context(), env{stdout: &out, stderr: &errs, getenv: os.Getenv}, append([]string{"engine", "rootcause"}, args...))
		return code, out.String(), errs.String()
	}
	var verdict struct {
		Services []struct {
			Service string
			Score   float64
		}
		Metrics []struct{ Service, Metric string }
		Chain   []string
		Reason  string
	}
	code, out, _ := call("--normal", normal, "--anomalous", sick, "--graph", graph, "--at", "1700000100")
	if err := json.Unmarshal([]byte(out), &verdict); err != nil || code != 0 {
		t.Fatalf("%d %v %s", code, err, out)
	}
	if len(verdict.Services) == 0 || verdict.Services[0].Service != "my_db" || strings.Join(verdict.Chain, ">") != "web>my_db" ||
		!strings.Contains(verdict.Reason, "最可能的原因是 my_db") || !strings.Contains(verdict.Reason, "The likeliest cause is my_db") {
		t.Errorf("%s", out)
	}
	code, out, _ = call("--normal", normal, "--anomalous", write("well.csv", table(8, 5)), "--graph", graph)
	if code != 0 || !strings.Contains(out, `"services": []`) || !strings.Contains(out, `"metrics": []`) || !strings.Contains(out, "No incident") {
		t.Errorf("quiet: %d %s", code, out)
	}
	for says, args := range map[string][]string{
		`"much" in line 2`:     {"--normal", normal, "--anomalous", broken},
		"cannot be opened":     {"--normal", normal, "--anomalous", filepath.Join(dir, "none.csv")},
		"must be from,to":      {"--normal", normal, "--anomalous", sick, "--graph", normal},
		"Give two tables":      {"--normal", normal},
		"must be a Unix secon": {"--normal", normal, "--anomalous", sick, "--at", "nan"},
		"no metric to compare": {"--normal", normal, "--anomalous", write("other.csv", "time,x_y\n1,2\n")},
	} {
		if code, out, errs := call(args...); code != 2 || out != "" || !strings.Contains(errs, says) {
			t.Errorf("%v: %d %q %q, want %q", args, code, out, errs, says)
		}
	}
}
