package prometheus_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/door/prometheus"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
)

// t0 is when the samples of these tests begin.
var t0 = time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)

// samples are an hour of two counters and some gauges with awkward values.
func samples() []series.Sample {
	var out []series.Sample
	for i := range 240 {
		at := t0.Add(time.Duration(i)*15*time.Second + 250*time.Millisecond)
		add := func(name string, v float64, labels map[string]string) {
			out = append(out, series.Sample{Name: name, Labels: labels, At: at, Value: v})
		}
		add("requests_total", float64(i*3), map[string]string{"host": "a", "code": "200"})
		add("requests_total", float64(i%50), map[string]string{"host": "b", "code": "500"})
		add("room_celsius", 20+math.Sin(float64(i)/10), map[string]string{"room": `药库 "1" <\>`})
		add("odd", []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e-9, 1e21, 123456789.125, 0}[i%7], nil)
	}
	return out
}

// serve is our door over the samples, without the gate.
func serve(t *testing.T) *httptest.Server {
	t.Helper()
	s, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if dropped, err := s.Append(context.Background(), samples()); err != nil || dropped != 0 {
		t.Fatalf("%d dropped, %v", dropped, err)
	}
	mux := http.NewServeMux()
	for _, rt := range prometheus.Routes(prometheus.Options{Series: s, Clock: clock.NewManual(t0.Add(time.Hour)), Version: "1.2.3"}) {
		if err := rt.Check(); err != nil {
			t.Fatal(err)
		}
		mux.HandleFunc(rt.Method+" "+rt.Pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := rt.Handle(w, r, identity.Root()); err != nil {
				rt.Problem(w, r, err)
			}
		})
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

// ask sends one request and reads the answer, numbers as they were written.
func ask(t *testing.T, method, base, path string, q url.Values) (int, map[string]any, string) {
	t.Helper()
	var body io.Reader
	u := base + path
	if method == http.MethodPost {
		body = strings.NewReader(q.Encode())
	} else {
		u += "?" + q.Encode()
	}
	req, err := http.NewRequest(method, u, body)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var out map[string]any
	if err := dec.Decode(&out); err != nil {
		t.Fatalf("%s %s: %d %s: %v", method, u, res.StatusCode, raw, err)
	}
	return res.StatusCode, out, string(raw)
}

func TestKnownAnswers(t *testing.T) {
	srv := serve(t)
	at := fmt.Sprint(t0.Add(time.Minute).Unix())
	for _, c := range []struct {
		path string
		q    url.Values
		code int
		want string
	}{
		{
			"/api/v1/query",
			url.Values{"query": {`requests_total{host="a"}`}, "time": {at}},
			200,
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"requests_total","code":"200","host":"a"},"value":[` + at + `,"9"]}]}}`,
		},
		{
			"/api/v1/query",
			url.Values{"query": {`requests_total{host="a"}[20s]`}, "time": {at}},
			200,
			`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"requests_total","code":"200","host":"a"},"values":[[1740816045.250,"9"]]}]}}`,
		},
		{
			"/api/v1/query",
			url.Values{"query": {`-1/0`}, "time": {at}},
			200,
			`{"status":"success","data":{"resultType":"scalar","result":[` + at + `,"-Inf"]}}`,
		},
		{
			"/api/v1/query",
			url.Values{"query": {`"x"`}, "time": {at}},
			200,
			`{"status":"success","data":{"resultType":"string","result":[` + at + `,"x"]}}`,
		},
		{
			"/api/v1/query",
			url.Values{"query": {`nothing`}, "time": {at}},
			200,
			`{"status":"success","data":{"resultType":"vector","result":[]}}`,
		},
		{
			"/api/v1/query_range",
			url.Values{"query": {`1e21`}, "start": {at}, "end": {at}, "step": {"1"}},
			200,
			`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[` + at + `,"1e+21"]]}]}}`,
		},
		{"/api/v1/label/host/values", nil, 200, `{"status":"success","data":["a","b"]}`},
		{"/api/v1/label/host/values", url.Values{"limit": {"1"}}, 200, `{"status":"success","data":["a"],"warnings":["results truncated due to limit"]}`},
		{"/api/v1/label/none/values", nil, 200, `{"status":"success","data":[]}`},
		{
			"/api/v1/query_range",
			url.Values{"query": {`1`}, "start": {"0"}, "end": {"11001"}, "step": {"1"}},
			400,
			`{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"}`,
		},
		{
			"/api/v1/query",
			url.Values{"query": {`sum(`}, "time": {at}},
			400,
			`{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"}`,
		},
		{
			"/api/v1/query",
			url.Values{"query": {`1`}, "stats": {"all"}},
			400,
			`{"status":"error","errorType":"bad_data","error":"invalid parameter \"stats\": unknown; known here: query, time, timeout, limit"}`,
		},
		{
			"/api/v1/query",
			url.Values{"query": {`sum_over_time(requests_total[1h:1s])`}, "time": {at}, "timeout": {"0.000000001"}},
			503,
			``,
		},
	} {
		code, _, raw := ask(t, http.MethodGet, srv.URL, c.path, c.q)
		if code != c.code || c.want != "" && raw != c.want {
			t.Errorf("%s %v:\n got %d %s\nwant %d %s", c.path, c.q, code, raw, c.code, c.want)
		}
		if code == 503 && !strings.Contains(raw, `"errorType":"timeout"`) {
			t.Errorf("%s: %s", c.path, raw)
		}
	}
}

// The same questions to a real Prometheus over the same samples must get the
// same answers.
func TestAnswersAreThoseOfPrometheus(t *testing.T) {
	theirs := realPrometheus(t)
	ours := serve(t).URL
	end := t0.Add(time.Hour)
	unix := func(at time.Time) string { return fmt.Sprintf("%.3f", float64(at.UnixMilli())/1000) }
	type question struct {
		path string
		q    url.Values
	}
	var asked []question
	for _, expr := range []string{
		`requests_total`, `rate(requests_total[5m])`, `sum by (host) (increase(requests_total[30m]))`, `room_celsius > 20`,
		`odd`, `odd * 1e30`, `max_over_time(room_celsius[10m])`, `topk(1, requests_total)`, `absent(nothing)`, `nothing`,
		`scalar(sum(requests_total))`, `vector(1)`, `time()`, `"text <&> 字"`, `1/3`, `-1/0`, `0/0`, `1e-7`, `requests_total[1m]`,
		`label_replace(room_celsius, "r", "$1", "room", "(.*)")`, `histogram_quantile(0.9, requests_total)`,
		`requests_total offset 10m`, `requests_total @ 1740817800`, `count_values("v", requests_total)`, `1e-7 * vector(1)`,
		// A range is open on the left since Prometheus 3 and Debian has 2: steps that
		// fall on no sample tell them not apart.
		`quantile_over_time(0.5, room_celsius[299s300ms:7s])`,
		// refused
		``, `sum(`, `nofunction(1)`, `requests_total[5m] + 1`, `requests_total * on(nothing) requests_total`, `{}`, `rate(requests_total)`,
	} {
		for _, at := range []time.Time{end, t0.Add(30 * time.Minute).Add(123 * time.Millisecond)} {
			asked = append(asked, question{"/api/v1/query", url.Values{"query": {expr}, "time": {unix(at)}}})
		}
		asked = append(asked,
			question{"/api/v1/query_range", url.Values{"query": {expr}, "start": {unix(t0)}, "end": {end.Format(time.RFC3339)}, "step": {"5m"}}},
			question{"/api/v1/query_range", url.Values{"query": {expr}, "start": {unix(t0.Add(777 * time.Millisecond))}, "end": {unix(end)}, "step": {"93.5"}}})
	}
	q := `requests_total`
	for _, v := range []url.Values{
		{"query": {q}, "time": {"soon"}},
		{"query": {q}, "timeout": {"x"}},
	} {
		asked = append(asked, question{"/api/v1/query", v})
	}
	for _, v := range []url.Values{
		{"query": {q}},
		{"query": {q}, "start": {"1"}, "end": {"0"}, "step": {"1"}},
		{"query": {q}, "start": {"0"}, "end": {"1"}, "step": {"0"}},
		{"query": {q}, "start": {"0"}, "end": {"1"}, "step": {"-1"}},
		{"query": {q}, "start": {"0"}, "end": {"100000"}, "step": {"1"}},
		{"query": {q}, "start": {"0"}, "end": {"1"}, "step": {"x"}},
		{"query": {q}, "start": {"0"}, "end": {"1"}, "step": {"1e99"}},
	} {
		asked = append(asked, question{"/api/v1/query_range", v})
	}
	for _, path := range []string{"/api/v1/series", "/api/v1/labels", "/api/v1/label/host/values", "/api/v1/label/__name__/values", "/api/v1/label/none/values"} {
		for _, v := range []url.Values{
			{},
			{"match[]": {"requests_total"}},
			{"match[]": {"requests_total", `{host="a"}`}},
			{"match[]": {"room_celsius"}, "start": {unix(t0)}, "end": {unix(end)}},
			{"match[]": {"{"}},
			{"match[]": {`{x=~".*"}`}},
			{"match[]": {"nothing"}},
			{"match[]": {"odd"}, "start": {"x"}},
		} {
			asked = append(asked, question{path, v})
		}
	}
	for _, a := range asked {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if method == http.MethodPost && strings.Contains(a.path, "/label/") {
				continue
			}
			wantCode, want, wantRaw := ask(t, method, theirs, a.path, a.q)
			gotCode, got, gotRaw := ask(t, method, ours, a.path, a.q)
			for _, m := range []map[string]any{want, got} {
				delete(m, "error")    // the wording of refusals is not part of the API
				delete(m, "warnings") // newer versions say more
				delete(m, "infos")
				unordered(m)
			}
			if gotCode != wantCode || !reflect.DeepEqual(got, want) {
				t.Errorf("%s %s %v:\n ours %d %.600s\ntheirs %d %.600s", method, a.path, a.q, gotCode, gotRaw, wantCode, wantRaw)
			}
		}
	}
}

// unordered brings the series of an answer into one order: the API promises none.
func unordered(m map[string]any) {
	data, _ := m["data"].(map[string]any)
	list, _ := data["result"].([]any)
	slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
}

// realPrometheus runs Debian's Prometheus over the samples and gives its address.
func realPrometheus(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"prometheus", "promtool"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed (Debian package prometheus)", name)
		}
	}
	dir := t.TempDir()
	var om strings.Builder
	last := ""
	byName := map[string][]series.Sample{}
	var names []string
	for _, s := range samples() {
		if byName[s.Name] == nil {
			names = append(names, s.Name)
		}
		byName[s.Name] = append(byName[s.Name], s)
	}
	for _, name := range names {
		for _, s := range byName[name] {
			if name != last {
				fmt.Fprintf(&om, "# TYPE %s unknown\n", name)
				last = name
			}
			var ls []string
			for k, v := range s.Labels {
				ls = append(ls, k+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v)+`"`)
			}
			fmt.Fprintf(&om, "%s{%s} %v %.3f\n", s.Name, strings.Join(ls, ","), s.Value, float64(s.At.UnixMilli())/1000)
		}
	}
	om.WriteString("# EOF\n")
	file, data, config := filepath.Join(dir, "in.om"), filepath.Join(dir, "data"), filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(om.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "tsdb", "create-blocks-from", "openmetrics", file, data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+data, "--web.listen-address="+addr, "--storage.tsdb.retention.time=50y")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	deadline := time.Now().Add(30 * time.Second)
	for {
		res, err := http.Get("http://" + addr + "/-/ready")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == 200 {
				return "http://" + addr
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("Prometheus did not become ready: %v\n%s", err, log.String())
		}
		<-time.After(20 * time.Millisecond)
	}
}

func TestPromtool(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("promtool is not installed (Debian package prometheus)")
	}
	srv := serve(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"query", "instant", "--time=" + t0.Add(time.Minute).Format(time.RFC3339), srv.URL, `sum(requests_total)`}, "{} => 12 @["},
		{[]string{"query", "range", "--start=" + fmt.Sprint(t0.Add(time.Minute).Unix()), "--end=" + fmt.Sprint(t0.Add(2*time.Minute).Unix()), "--step=1m", srv.URL, `sum(requests_total)`}, "28 @["},
		{[]string{"query", "series", "--match=requests_total", "--start=" + fmt.Sprint(t0.Unix()), "--end=" + fmt.Sprint(t0.Add(time.Hour).Unix()), srv.URL}, `host="b"`},
		{[]string{"query", "labels", "--start=" + fmt.Sprint(t0.Unix()), "--end=" + fmt.Sprint(t0.Add(time.Hour).Unix()), srv.URL, "host"}, "b\n"},
	} {
		out, err := exec.Command("promtool", c.args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("promtool %v: %v\n%s", c.args, err, out)
		}
	}
	res, err := http.Get(srv.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = res.Body
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
