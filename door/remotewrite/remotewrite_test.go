package remotewrite_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"zhiwei/door/remotewrite"
	push "zhiwei/drive/remotewrite"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
)

var t0 = time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)

// serve is the door over a store, without the gate.
func serve(t *testing.T, clk clock.Clock, o local.Options) (string, *local.Store, *remotewrite.Counts) {
	t.Helper()
	store, err := local.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	counts := &remotewrite.Counts{}
	mux := http.NewServeMux()
	for _, rt := range remotewrite.Routes(remotewrite.Options{Series: store, Clock: clk, Counts: counts}) {
		if err := rt.Check(); err != nil {
			t.Fatal(err)
		}
		mux.HandleFunc(rt.Method+" "+rt.Pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := rt.Handle(w, r, identity.Root()); err != nil {
				http.Error(w, errs.Sentence(err, "en"), map[errs.Kind]int{errs.Invalid: 400, errs.TooLarge: 413}[errs.KindOf(err)])
			}
		})
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL + remotewrite.Path, store, counts
}

// message builds protobuf by hand, apart from the code that is tested.
func message(parts ...any) []byte {
	var b []byte
	for i := 0; i < len(parts); i += 2 {
		num := protowire.Number(parts[i].(int))
		switch v := parts[i+1].(type) {
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
		case float64:
			b = protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), math.Float64bits(v))
		case int64:
			b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
		}
	}
	return b
}

func label(name, value string) []byte { return message(1, name, 2, value) }

func value(v float64, at time.Time) []byte { return message(1, v, 2, at.UnixMilli()) }

func post(t *testing.T, url string, raw []byte, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Accept-Language", "en")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// Proves A06: what others push is kept, and what cannot be is answered with a
// sentence that says why, while the rest of the request is kept.
func TestWhatIsPushed(t *testing.T) {
	name, host := label("__name__", "m"), label("thing", "thing/a")
	series1 := func(parts ...any) []byte { return message(1, message(parts...)) }
	good := series1(1, name, 1, host, 2, value(1, t0), 2, value(2, t0.Add(time.Second)))
	for _, c := range []struct {
		what    string
		raw     []byte // not compressed
		body    []byte // as it is sent, where raw is nil
		headers []string
		status  int
		says    string
		kept    int64
	}{
		{what: "two samples", raw: good, status: 204, kept: 2},
		{what: "nothing", raw: []byte{}, status: 204},
		{what: "labels behind samples, fields nobody knows, metadata, an exemplar", raw: append(series1(2, value(1, t0), 3, message(2, 1.0), 9, "?", 1, host, 1, name), message(3, message(1, int64(1), 2, "m"))...), status: 204, kept: 1},
		{what: "the stale marker and special values", raw: series1(1, name, 2, value(math.Float64frombits(0x7ff0000000000002), t0), 2, value(math.Inf(1), t0.Add(1e9))), status: 204, kept: 2},
		{what: "a wrong clock", raw: append(good, series1(1, name, 2, value(9, t0.Add(2*time.Hour)))...), status: 400, says: "ahead of our clock", kept: 2},
		{what: "two years old", raw: append(good, series1(1, name, 1, host, 2, value(9, t0.AddDate(-2, 0, 0)))...), status: 400, says: "too old", kept: 2},
		{what: "twice in one request, and out of order", raw: append(append([]byte{}, good...), good...), status: 204, kept: 4},
		{what: "another value at the same instant", raw: append(good, series1(1, label("__name__", "before"), 2, value(7, t0))...), status: 400, says: "contradict", kept: 2},
		{what: "no name", raw: append(good, series1(1, host, 2, value(9, t0))...), status: 400, says: "no metric name", kept: 2},
		{what: "a label twice", raw: series1(1, name, 1, host, 1, host, 2, value(9, t0)), status: 400, says: "a label twice"},
		{what: "a label that is not allowed", raw: series1(1, name, 1, label("1st", "x"), 2, value(9, t0)), status: 400, says: "not allowed"},
		{what: "a native histogram", raw: append(good, series1(1, name, 4, message(1, int64(3)))...), status: 400, says: "native histograms", kept: 2},
		{what: "not snappy", body: []byte("hello, world"), status: 400, says: "nothing was kept"},
		{what: "half of it", raw: good[:len(good)-3], status: 400, says: "nothing was kept"},
		{what: "a group", raw: []byte{0x0b, 0x0c}, status: 400, says: "nothing was kept"},
		{what: "a label that is no text", raw: series1(1, label("__name__", "\xff"), 2, value(9, t0)), status: 400, says: "nothing was kept"},
		{what: "a bomb", body: []byte{0xff, 0xff, 0xff, 0x7f, 0}, status: 413, says: "Lower the batch"},
		{what: "version 2", raw: good, headers: []string{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"}, status: 415, says: "remote write 1.0"},
		{what: "JSON", raw: good, headers: []string{"Content-Type", "application/json"}, status: 415, says: "remote write 1.0"},
		{what: "not compressed", raw: good, headers: []string{"Content-Encoding", "identity"}, status: 415, says: "snappy"},
	} {
		t.Run(c.what, func(t *testing.T) {
			url, store, counts := serve(t, clock.NewManual(t0), local.Options{})
			// The store must hold something, or nothing would be too old for it.
			if _, err := store.Append(t.Context(), []series.Sample{{Name: "before", At: t0}}); err != nil {
				t.Fatal(err)
			}
			body := c.body
			if body == nil {
				body = snappy.Encode(nil, c.raw)
			}
			status, said := post(t, url, body, c.headers...)
			if status != c.status || !strings.Contains(said, c.says) {
				t.Errorf("%d %s; want %d with %q", status, said, c.status, c.says)
			}
			if got := counts.Samples.Load(); got != c.kept || store.Stats().Samples != c.kept+1 {
				t.Errorf("%d kept, the store has %d; want %d", got, store.Stats().Samples-1, c.kept)
			}
		})
	}
}

func TestTooManySamples(t *testing.T) {
	var one []byte
	for range 100_001 {
		one = append(one, message(2, value(1, t0))...)
	}
	url, _, counts := serve(t, clock.NewManual(t0), local.Options{})
	if status, said := post(t, url, snappy.Encode(nil, message(1, append(message(1, label("__name__", "m")), one...)))); status != 413 || counts.Unreadable.Load() != 1 {
		t.Errorf("%d %s", status, said)
	}
}

// Our own sender and our own door understand each other, sample by sample.
func TestOurOwnSender(t *testing.T) {
	url, store, _ := serve(t, clock.System(), local.Options{})
	queue, err := push.Open(t.TempDir(), 0, clock.System())
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	now := time.Now().Truncate(time.Second).UTC()
	var in []series.Sample
	for i := range 9000 {
		in = append(in, series.Sample{Name: "m", Labels: map[string]string{"i": fmt.Sprint(i % 900), "药": "库 1", "none": ""}, At: now.Add(time.Duration(i/900-10) * time.Second), Value: float64(i)})
	}
	for i := range in { // the data model of the store allows ASCII names only
		delete(in[i].Labels, "药")
		in[i].Labels["room"] = "药库 1"
	}
	if dropped, err := queue.Append(t.Context(), in); err != nil || dropped != 0 {
		t.Fatal(dropped, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	sender := &push.Sender{Queue: queue, URL: url, Clock: clock.System(), Log: slog.New(slog.DiscardHandler)}
	go func() { sender.Run(ctx); close(done) }()
	eventually(t, func() bool { n, _ := queue.Waiting(); return n == 0 })
	stop()
	<-done
	res, err := store.Query(t.Context(), `count(m{room="药库 1"}) * 1000000 + count(count_over_time(m[1m]) == 10) * 1000 + max(m)/9`, now)
	if err != nil || len(res.Series) != 1 || res.Series[0].Points[0].Value != 900*1000000+900*1000+8999.0/9 {
		t.Fatalf("%+v, %v", res, err)
	}
}

func eventually(t *testing.T, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came true")
		}
	}
}

// Proves A06 against the real counterpart: Debian's Prometheus measures itself
// and pushes to us.
func TestPrometheusPushes(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("prometheus is not installed (Debian package prometheus)")
	}
	url, store, counts := serve(t, clock.System(), local.Options{})
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	address := strings.TrimPrefix(free(t), "http://")
	text := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs: [{job_name: self, static_configs: [{targets: ['%s']}]}]\nremote_write: [{url: '%s', queue_config: {batch_send_deadline: 500ms}}]\n", address, url)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "prometheus", "--config.file="+config, "--storage.agent.path="+filepath.Join(dir, "agent"), "--enable-feature=agent", "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	deadline := time.Now().Add(40 * time.Second)
	for {
		res, err := store.Query(t.Context(), `count({job="self",__name__=~"prometheus_.*"}) > 50 and on() max_over_time(up{job="self"}[1m]) == 1`, time.Now())
		if err == nil && len(res.Series) == 1 {
			break
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("nothing came: %v, %v\n%s", res, err, log.String())
		}
		<-time.After(50 * time.Millisecond)
	}
	if n := counts.Unreadable.Load() + counts.Dropped.Load() + counts.Ahead.Load() + counts.Unnamed.Load(); n != 0 {
		t.Errorf("%d were turned away\n%s", n, log.String())
	}
}

// free is an address nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	return srv.URL
}

func FuzzDecode(f *testing.F) {
	good := message(1, message(1, label("__name__", "m"), 1, label("a", "b"), 2, value(1, t0), 3, message(1, label("x", "y"))), 3, message(2, "m"))
	f.Add(snappy.Encode(nil, good))
	f.Add(snappy.Encode(nil, good[:9]))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := remotewrite.Decode(b)
		if err != nil {
			if k := errs.KindOf(err); k != errs.Invalid && k != errs.TooLarge {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, s := range in.Samples {
			if s.Name == "" || s.Labels["__name__"] != "" {
				t.Fatalf("%+v", s)
			}
		}
	})
}
