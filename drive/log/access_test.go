package log

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

// Proves A06: of an access log is counted, by path, what was there and what was not,
// also over a rotation; a path that was not there for long cannot go missing, and scanners
// do not make it large.
func TestAccessLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	a := &Access{Path: path, Clock: clock.NewManual(time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC))}
	write := func(lines ...string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, l := range lines {
			if _, err := fmt.Fprintln(f, l); err != nil {
				t.Fatal(err)
			}
		}
	}
	line := func(what string, status int) string {
		return fmt.Sprintf(`10.0.0.7 - - [02/Mar/2026:09:00:00 +0800] "%s HTTP/1.1" %d 153 "-" "Mozilla/5.0"`, what, status)
	}
	told := func() map[string]float64 {
		t.Helper()
		all, err := a.Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]float64{}
		for _, s := range all {
			out[s.Name+s.Labels["path"]] = s.Value
		}
		return out
	}
	write(line("GET /lis/old", 200))
	if v := told(); v["http_paths"] != 0 {
		t.Errorf("what was there before counts: %v", v)
	}
	for range settled - 2 {
		write(line("GET /lis/orders", 200))
	}
	write(line("GET /lis/orders/6", 404), line("POST /lis/orders?patient=1", 201), line("GET /lis/orders/7", 304), line("GET /?patient=1", 200), line("GET /lis/orders/8", 404), line("GET /wp-admin", 404), line("GET /pacs/1", 500), "no request at all", `"GET /lis 200`)
	if v := told(); len(v) != 6 || v["http_path_missing_ratio/lis"] != 1.0/(settled+1) || v["http_path_found_total/lis"] != settled || v["http_path_missing_total/lis"] != 1 || v["http_path_found_total/"] != 1 {
		t.Errorf("%v", v)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(line("GET /lis/9", 404))
	if v := told(); v["http_path_missing_total/lis"] != 2 || v["http_path_found_total/lis"] != settled {
		t.Errorf("after the rotation: %v", v)
	}
	write(line("GET /lis/9", 404), line("GET /lis/9", 404), line("GET /lis/9", 404), line("GET /lis", 200))
	if _, told := told()["http_path_missing_ratio/lis"]; told {
		t.Error("four requests make a share")
	}
	for i := range 200 {
		write(line(fmt.Sprintf("GET /scan%d", i), 200))
	}
	if v := told(); v["http_paths"] != maxPaths+1 || v["http_path_found_totalother"] != 200-(maxPaths-2) {
		t.Errorf("%v paths, %v others", v["http_paths"], v["http_path_found_totalother"])
	}
	if _, err := (&Access{Path: t.TempDir(), Clock: a.Clock}).Sample(t.Context()); !errs.Is(err, errs.Invalid) {
		t.Errorf("a folder: %v", err)
	}
}

// Whatever stands in a line, it is counted or passed over.
func FuzzAccess(f *testing.F) {
	f.Add(`10.0.0.7 - - [02/Mar/2026:09:00:00 +0800] "GET /lis/orders HTTP/1.1" 404 153 "-" "x"`)
	f.Add(`"GET / HTTP/1.1" 200`)
	f.Fuzz(func(t *testing.T, line string) {
		a := &Access{}
		a.take(line)
		if len(a.paths) > 1 {
			t.Error(a.paths)
		}
	})
}
