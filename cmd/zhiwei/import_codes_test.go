package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A hospital's list of drugs, as its spreadsheet writes it, is answered by the
// terminology operations at once: imported beside a serve, over HTTP, and without
// a serve, and twice without doubling.
func TestImportCodes(t *testing.T) {
	dir := t.TempDir()
	at, _, stop := serving(t, dir)
	token := newToken(t, dir)
	drugs := filepath.Join(t.TempDir(), "drugs.csv")
	if err := os.WriteFile(drugs, []byte("药品编号,通用名,上级,规格\nABX,抗菌药物,,\nD1,阿莫西林胶囊,ABX,0.25g\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--system", "http://hospital.example/drugs", "--name", "药品目录", "--code", "药品编号", "--display", "通用名", drugs}
	importing := func(where ...string) (int, string, string) {
		return do(t, append(append([]string{"import", "codes"}, where...), args...)...)
	}
	if code, o, e := importing("--data", dir); code != 0 || o != "http://hospital.example/drugs 2\n" || !strings.Contains(e, "written 2") {
		t.Fatalf("beside serve: %d %q %s", code, o, e)
	}
	if code, o, e := importing("--server", at, "--token", token); code != 0 || o != "http://hospital.example/drugs 2\n" || !strings.Contains(e, "same 2") {
		t.Fatalf("again over HTTP: %d %q %s", code, o, e)
	}
	q := url.Values{"url": {"http://hospital.example/drugs?fhir_vs=isa/ABX"}, "filter": {"amxl"}}
	if code, body := get(t, at+"/fhir/ValueSet/$expand?"+q.Encode(), token); code != http.StatusOK || !strings.Contains(body, "阿莫西林胶囊") || !strings.Contains(body, `"total":1`) {
		t.Fatalf("%d %s", code, body)
	}
	if code, body := get(t, at+"/fhir/CodeSystem/$lookup?system=http://hospital.example/drugs&code=D1", token); code != http.StatusOK || !strings.Contains(body, "0.25g") {
		t.Fatalf("%d %s", code, body)
	}
	if code, body := get(t, at+"/api/concepts?name=amxl", token); code != http.StatusOK || !strings.Contains(body, `"code":"D1"`) {
		t.Fatalf("%d %s", code, body)
	}
	stop()
	if code, o, e := importing("--data", dir); code != 0 || o != "http://hospital.example/drugs 2\n" || !strings.Contains(e, "same 2") {
		t.Fatalf("without serve: %d %q %s", code, o, e)
	}
	for _, wrong := range [][]string{{"import", "codes", "--data", dir}, {"import", "codes", "x.csv"}, {"import", "codes", "--data", dir, "--server", at, "x.csv"}} {
		if code, _, e := do(t, wrong...); code != 2 || e == "" {
			t.Errorf("%v: %d %s", wrong, code, e)
		}
	}
	if code, _, e := do(t, "import", "codes", "--data", dir, drugs); code != 1 || !strings.Contains(e, "code") {
		t.Errorf("no column, no system: %d %s", code, e)
	}
}
