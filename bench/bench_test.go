package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLatencies(t *testing.T) {
	var l latencies
	for i := range 100 {
		l = append(l, time.Duration(100-i))
	}
	for q, want := range map[float64]time.Duration{0.5: 50, 0.9: 90, 0.99: 99, 1: 100, 0: 1} {
		if got := l.at(q); got != want {
			t.Errorf("at(%v) = %d, want %d", q, got, want)
		}
	}
	if got := (latencies{}).at(0.99); got != 0 {
		t.Errorf("of none: %v", got)
	}
}

func TestFigure(t *testing.T) {
	for _, c := range []struct {
		f             Figure
		verdict, goal string
	}{
		{Figure{Goal: Goal{AtLeast: 7000}, Got: 7000, Unit: "writes/s"}, "reached", "≥ 7,000 writes/s"},
		{Figure{Goal: Goal{AtLeast: 3000, Stretch: 5000}, Got: 5001, Unit: "/s"}, "reached, stretch too", "≥ 3,000 /s (stretch 5,000)"},
		{Figure{Goal: Goal{AtMost: 2.5, Stretch: 1.5}, Got: 1.6, Unit: "KB"}, "reached", "≤ 2.5 KB (stretch 1.5)"},
		{Figure{Goal: Goal{AtMost: 15}, Got: 15.1, Unit: "ms"}, "not reached", "≤ 15 ms"},
		{Figure{Goal: Goal{AtLeast: 800, Later: true}, Got: 1, Unit: "/s"}, "not reached (later issue)", "≥ 800 /s"},
		{Figure{Got: 1, Unit: "s"}, "information", "–"},
		{Figure{}, "not measured", "–"},
	} {
		if got := c.f.verdict(); got != c.verdict {
			t.Errorf("%+v: verdict %q, want %q", c.f, got, c.verdict)
		}
		if got := c.f.Goal.text(c.f.Unit); got != c.goal {
			t.Errorf("%+v: goal %q, want %q", c.f, got, c.goal)
		}
	}
	for v, want := range map[float64]string{0: "0", 0.33149: "0.331", 9.5: "9.5", 12: "12", 12.34: "12.3", 999.6: "1,000", 92114: "92,114", 1234567: "1,234,567"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

// The generator counts what was answered, in both ways HTTP tells a body's end.
func TestGenerate(t *testing.T) {
	answered := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		answered++
		fmt.Fprint(w, `{"resourceType":"Bundle","type":"searchset"`)
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
		}
		fmt.Fprint(w, `}`)
	}))
	defer srv.Close()
	ask := func(token string, must ...string) (Answered, error) {
		in, err := json.Marshal(Load{
			Address: strings.TrimPrefix(srv.URL, "http://"), Token: token, Connections: 1, Seconds: 0.05, Paths: []string{"/plain", "/chunked"}, Must: must,
		})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := generate(bytes.NewReader(in), &out); err != nil {
			return Answered{}, err
		}
		var a Answered
		return a, json.Unmarshal(out.Bytes(), &a)
	}
	a, err := ask("secret", `"type":"searchset"}`)
	if err != nil {
		t.Fatal(err)
	}
	if a.Requests == 0 || a.Requests != int64(answered) || a.Empty != a.Requests || a.Bytes != a.Requests*int64(len(`{"resourceType":"Bundle","type":"searchset"}`)) {
		t.Errorf("%d answered, counted %+v", answered, a)
	}
	if _, err := ask("wrong"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("a refusal counts as an answer: %v", err)
	}
	if _, err := ask("secret", "Patient"); err == nil {
		t.Error("the wrong answer counts as an answer")
	}
}

func TestShuffled(t *testing.T) {
	for _, n := range []int{1, 2, 100, 7919, 10_000} {
		in := make([]string, n)
		for i := range in {
			in[i] = fmt.Sprint(i)
		}
		out := slices.Clone(shuffled(in))
		slices.Sort(out)
		if len(slices.Compact(out)) != n {
			t.Errorf("of %d paths some are asked twice and some never", n)
		}
	}
}

// Whatever a server answers, the generator neither panics nor waits for ever.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		near, far := net.Pipe()
		defer near.Close()
		go func() {
			defer far.Close()
			if _, err := io.ReadFull(far, make([]byte, 3)); err == nil {
				_, _ = far.Write(answer) // the reader may have gone
			}
		}()
		w := &wire{conn: near, in: bufio.NewReaderSize(near, 64<<10)}
		if err := w.get([]byte("ask")); err == nil && string(answer[9:12]) != "200" {
			t.Errorf("%q was taken for an answer", answer)
		}
	})
}
