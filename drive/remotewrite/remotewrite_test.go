package remotewrite_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	door "zhiwei/door/remotewrite"
	"zhiwei/drive/remotewrite"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/series"
	"zhiwei/series/local"
)

var t0 = time.Date(2025, 3, 1, 8, 0, 0, 0, time.UTC)

// some gives n samples with values from first on.
func some(first, n int) []series.Sample {
	out := make([]series.Sample, n)
	for i := range out {
		out[i] = series.Sample{Name: "m", Labels: map[string]string{"i": fmt.Sprint(first + i)}, At: t0, Value: float64(first + i)}
	}
	return out
}

// centre is a receiver that answers as it is told to, and keeps what it took.
type centre struct {
	*httptest.Server
	mu      sync.Mutex
	answer  func(request int, samples int) int // nil: 204
	asked   int
	taken   []float64 // values, in the order they came
	headers http.Header
}

func newCentre(t *testing.T, answer func(request, samples int) int) *centre {
	t.Helper()
	c := &centre{answer: answer}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		in, err := door.Decode(body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked++
		c.headers = r.Header
		status := 204
		if c.answer != nil {
			status = c.answer(c.asked, len(in.Samples))
		}
		if err != nil {
			status = 400
		}
		if status == 204 {
			for _, s := range in.Samples {
				c.taken = append(c.taken, s.Value)
			}
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *centre) values() []float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]float64(nil), c.taken...)
}

func open(t *testing.T, dir string, most int64) *remotewrite.Queue {
	t.Helper()
	q, err := remotewrite.Open(dir, most, clock.System())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func put(t *testing.T, q *remotewrite.Queue, samples []series.Sample) {
	t.Helper()
	if dropped, err := q.Append(t.Context(), samples); err != nil || dropped != 0 {
		t.Fatal(dropped, err)
	}
}

// send runs a sender on a clock whose every wait is over at once, until nothing
// waits.
func send(t *testing.T, q *remotewrite.Queue, url string) map[string]float64 {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &remotewrite.Sender{Queue: q, URL: url, Authorization: "Bearer zw_1", Clock: hasty{}, Log: slog.New(slog.DiscardHandler)}
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) {
		if n, _ := q.Waiting(); n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("samples still wait")
		}
	}
	stop()
	<-ended
	told, err := s.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, m := range told {
		out[strings.TrimPrefix(m.Name, "zhiwei_push_")] = m.Value
	}
	return out
}

// hasty is a clock on which no wait takes long.
type hasty struct{}

func (hasty) Now() time.Time { return time.Now() }

func (hasty) After(time.Duration) (<-chan time.Time, func()) {
	return clock.System().After(time.Millisecond)
}

func inOrder(t *testing.T, got []float64, from, to int) {
	t.Helper()
	if len(got) != to-from {
		t.Fatalf("%d samples, want %d", len(got), to-from)
	}
	for i, v := range got {
		if v != float64(from+i) {
			t.Fatalf("sample %d is %v", i, v)
		}
	}
}

// Proves A06: what is measured while the line is cut arrives when it is back,
// whole and in order.
func TestTheLineIsCut(t *testing.T) {
	answers := []int{503, 500, 429, 401, 403, 404, 408, 502}
	c := newCentre(t, func(request, _ int) int {
		if request <= len(answers) {
			return answers[request-1]
		}
		return 204
	})
	q := open(t, t.TempDir(), 0)
	put(t, q, some(0, 7000))
	put(t, q, some(7000, 1))
	told := send(t, q, c.URL)
	inOrder(t, c.values(), 0, 7001)
	if told["failures_total"] != float64(len(answers)) || told["samples_sent_total"] != 7001 || told["samples_refused_total"]+told["samples_lost_total"] != 0 {
		t.Errorf("%v", told)
	}
	if h := c.headers; h.Get("Authorization") != "Bearer zw_1" || h.Get("X-Prometheus-Remote-Write-Version") != "0.1.0" || h.Get("Content-Encoding") != "snappy" {
		t.Errorf("%v", h)
	}
}

// What the other side will not keep is left behind, or the queue would stand
// for ever; what is too large for it comes in smaller requests.
func TestRefusals(t *testing.T) {
	c := newCentre(t, func(request, samples int) int {
		switch {
		case samples > 2000:
			return 413
		case request == 3:
			return 400
		}
		return 204
	})
	q := open(t, t.TempDir(), 0)
	for i := range 4 {
		put(t, q, some(2000*i, 2000))
	}
	told := send(t, q, c.URL)
	if told["samples_sent_total"] != 6000 || told["samples_refused_total"] != 2000 || told["samples_waiting"] != 0 {
		t.Errorf("%v", told)
	}
}

// The queue never grows beyond its bound; what it loses is the oldest, and
// counted, over restarts too.
func TestBound(t *testing.T) {
	dir := t.TempDir()
	const most = 1 << 20
	q := open(t, dir, most)
	n := 0
	for ; q.Lost() == 0; n += 500 {
		put(t, q, some(n, 500))
	}
	for range 200 {
		put(t, q, some(n, 500))
		n += 500
	}
	lost := int(q.Lost())
	waiting, bytes := q.Waiting()
	if waiting+int64(lost) != int64(n) || bytes > most {
		t.Fatalf("%d lost and %d wait of %d, %d bytes", lost, waiting, n, bytes)
	}
	var onDisk int64
	err := filepath.Walk(dir, func(_ string, i os.FileInfo, err error) error {
		onDisk += i.Size()
		return err
	})
	if err != nil || onDisk > most+8192 {
		t.Fatalf("%d bytes on disk, %v", onDisk, err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, dir, most)
	if q.Lost() != int64(lost) {
		t.Errorf("after a restart %d are lost, before %d", q.Lost(), lost)
	}
	c := newCentre(t, nil)
	send(t, q, c.URL)
	inOrder(t, c.values(), lost, n)
}

// Proves A06: a kill at any byte of a write costs no sample that Append had
// taken. The folder is cut at every length a kill could leave and opened again.
func TestKilledAtAnyByte(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir, 0)
	put(t, q, some(0, 3))
	_, first := q.Waiting()
	put(t, q, some(3, 2))
	_, all := q.Waiting()
	list, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	whole, err := os.ReadFile(list[0])
	if err != nil || int64(len(whole)) != all {
		t.Fatal(len(whole), all, err)
	}
	for n := first; n <= all; n++ {
		cut := t.TempDir()
		if err := os.WriteFile(filepath.Join(cut, filepath.Base(list[0])), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		again := open(t, cut, 0)
		want := int64(3)
		if n == all {
			want = 5
		}
		if waiting, _ := again.Waiting(); waiting != want {
			t.Fatalf("cut at %d of %d: %d wait, want %d", n, all, waiting, want)
		}
		put(t, again, some(int(want), 4))
		if n%10 == 0 || n == all { // what comes after the cut is read too
			c := newCentre(t, nil)
			send(t, again, c.URL)
			inOrder(t, c.values(), 0, int(want)+4)
		}
	}
}

// A byte that rots on the disk costs its segment and is counted; the rest is
// sent.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	const most = 256 << 10 // segments of 16 KiB
	q := open(t, dir, most)
	for i := range 20 {
		put(t, q, some(500*i, 500))
	}
	list, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(list) < 3 {
		t.Fatal(list, err)
	}
	raw, err := os.ReadFile(list[1])
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(list[1], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCentre(t, nil)
	told := send(t, q, c.URL)
	if got := len(c.values()); got+int(q.Lost()) != 10_000 || q.Lost() == 0 || q.Lost() > 3000 {
		t.Fatalf("%d came, %d lost: %v", got, q.Lost(), told)
	}
}

// Proves A06: what the house measures goes on to a real VictoriaMetrics, Debian's,
// and is the same there.
func TestVictoriaMetrics(t *testing.T) {
	if _, err := exec.LookPath("victoria-metrics"); err != nil {
		t.Skip("victoria-metrics is not installed (Debian package victoria-metrics)")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	cmd := exec.CommandContext(t.Context(), "victoria-metrics", "-storageDataPath="+t.TempDir(), "-httpListenAddr="+address, "-retentionPeriod=100y", "-search.latencyOffset=0s", "-memory.allowedBytes=64MB", "-loggerLevel=WARN")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()

	store, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	q := open(t, t.TempDir(), 0)
	both := remotewrite.Copied{Store: store, To: q}
	at := time.Now().Add(-time.Hour).Truncate(time.Minute)
	var in []series.Sample
	for i := range 120 {
		for _, host := range []string{"lis", "pacs", "药库"} {
			in = append(in, series.Sample{Name: "load", Labels: map[string]string{"thing": "thing/" + host}, At: at.Add(time.Duration(i) * 15 * time.Second), Value: float64(i*i%97) / 4}) // VictoriaMetrics keeps decimals, not every bit
		}
	}
	if dropped, err := both.Append(t.Context(), in); err != nil || dropped != 0 {
		t.Fatal(dropped, err)
	}
	// It is sent while VictoriaMetrics still starts: the first attempts fail.
	told := send(t, q, "http://"+address+"/api/v1/write")
	if told["samples_sent_total"] != 360 || told["samples_refused_total"] != 0 {
		t.Fatalf("%v", told)
	}
	expr := `sum by (thing) (load)`
	from, to := at, at.Add(30*time.Minute)
	ours, err := store.QueryRange(t.Context(), expr, from, to, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, s := range ours.Series {
		for _, p := range s.Points {
			want[fmt.Sprintf(`%s %d %v`, s.Labels["thing"], p.At/1000, p.Value)] = true
		}
	}
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(100 * time.Millisecond) {
		// What was just written is searchable after VictoriaMetrics' own flush.
		_, _ = http.Get("http://" + address + "/internal/force_flush")
		missing := len(want)
		for _, line := range theirs(t, address, expr, from, to) {
			if want[line] {
				missing--
			}
		}
		if missing == 0 {
			return
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("%d of %d points are missing there\n%s", missing, len(want), log.String())
		}
	}
}

func theirs(t *testing.T, address, expr string, from, to time.Time) []string {
	t.Helper()
	res, err := http.Get("http://" + address + "/api/v1/query_range?nocache=1&" + url.Values{"query": {expr}, "start": {fmt.Sprint(from.Unix())}, "end": {fmt.Sprint(to.Unix())}, "step": {"60"}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range body.Data.Result {
		for _, v := range s.Values {
			out = append(out, fmt.Sprintf(`%s %.0f %s`, s.Metric["thing"], v[0], v[1]))
		}
	}
	return out
}
