package detect

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"zhiwei/kernel/errs"
)

func copied(t *testing.T, in string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Copy(&out, strings.NewReader(in), New(Small))
	return out.String(), err
}

// Rows come back as they were written, with two columns more.
//
// Proves A10
func TestCopyAddsTwoColumns(t *testing.T) {
	in := "\ufefftimestamp,value\r\n2026-03-02 00:00:00,1.50\r\n2026-03-02T00:05:00Z,1e3\n\n1772410200,\n1772410500, NaN\n1772410500000000000,007\n2026-03-02 00:20,-0"
	want := "timestamp,value,anomaly_score,alarm\n2026-03-02 00:00:00,1.50,0.000000,0\n2026-03-02T00:05:00Z,1e3,"
	got, err := copied(t, in)
	if err != nil || !strings.HasPrefix(got, want) {
		t.Fatalf("%v\n%s", err, got)
	}
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if len(lines) != 7 || !strings.HasPrefix(lines[3], "1772410200,,0.000000,0") || !strings.HasPrefix(lines[4], "1772410500, NaN,0.000000,0") || !strings.HasPrefix(lines[5], "1772410500000000000,007,") {
		t.Errorf("%q", lines)
	}
}

// The output on a prefix of the rows is the prefix of the output, however the
// bytes arrive.
//
// Proves A10
func TestCopyIsOnline(t *testing.T) {
	var b strings.Builder
	b.WriteString("timestamp,value\n")
	for i, p := range made(2000, func(i int) float64 { return math.Sin(float64(i)/20) + float64(i/1500)*4 }) {
		fmt.Fprintf(&b, "%s,%v\n", p.at.Format("2006-01-02 15:04:05"), p.value+float64(i%5)/10)
	}
	in := b.String()
	whole, err := copied(t, in)
	if err != nil || !strings.Contains(whole, ",1\n") {
		t.Fatalf("%v: no alarm in a series with a jump", err)
	}
	for _, rows := range []int{1, 2, 777, 1999} {
		cut := 0
		for range rows + 1 {
			cut += strings.IndexByte(in[cut:], '\n') + 1
		}
		if part, err := copied(t, in[:cut]); err != nil || !strings.HasPrefix(whole, part) || strings.Count(part, "\n") != rows+1 {
			t.Fatalf("%d rows are judged otherwise than in the whole file: %v", rows, err)
		}
	}
	var slow bytes.Buffer
	if err := Copy(&slow, iotest.OneByteReader(strings.NewReader(in)), New(Small)); err != nil || slow.String() != whole {
		t.Fatalf("byte by byte it comes out otherwise: %v", err)
	}
}

// What has come is answered before the next row is there.
func TestCopyAnswersAtOnce(t *testing.T) {
	in, feed := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- Copy(out, in, New(Large)); out.Close() }()
	buf := make([]byte, 200)
	if _, err := io.WriteString(feed, "timestamp,value\n1,1\n"); err != nil {
		t.Fatal(err)
	}
	n, err := answers.Read(buf)
	if err != nil || !strings.HasSuffix(string(buf[:n]), "1,1,0.000000,0\n") {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	feed.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A broken line is named, and what stood before it is answered.
func TestCopyNamesTheBrokenLine(t *testing.T) {
	for _, c := range []struct{ in, line, says string }{
		{"", "line 1", "no header"},
		{"\n\n", "line 3", "no header"},
		{"time,value\n1,2\n", "line 1", `"time,value"`},
		{"timestamp,value\n1,2\n2;3\n", "line 3", "1 columns"},
		{"timestamp,value\n1,2\n2,3,4\n", "line 3", "3 columns"},
		{"timestamp,value\n1,2\n\nyesterday,3\n", "line 4", "yesterday"},
		{"timestamp,value\n1,two\n", "line 2", "two"},
		{"timestamp,value\n1,2\n" + strings.Repeat("9", longestRow+1), "line 3", "too long"},
	} {
		out, err := copied(t, c.in)
		if !errs.Is(err, errs.Invalid) || !strings.Contains(err.Error(), c.line) || !strings.Contains(errs.Sentence(err, "en"), c.says) || errs.Sentence(err, "zh") == errs.Sentence(err, "en") {
			t.Errorf("%.40q: %v", c.in, err)
		}
		if strings.HasPrefix(c.in, "timestamp,value\n1,2\n") && !strings.Contains(out, "1,2,0.000000,0\n") {
			t.Errorf("%.40q: the rows before were not answered: %q", c.in, out)
		}
	}
}

// No bytes make it fall, and every row that is taken is answered.
func FuzzCopy(f *testing.F) {
	f.Add([]byte("timestamp,value\n2026-03-02 00:00:00,1\n2,3\n"))
	f.Add([]byte("timestamp,value\r\n1e99,1\n"))
	f.Add([]byte("timestamp,value\n-1,1e999\n0,-Inf\n0.5,0x1p-2\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		err := Copy(&out, bytes.NewReader(in), New(Small))
		if err != nil && !errs.Is(err, errs.Invalid) {
			t.Fatal(err)
		}
		rows := 0
		for _, line := range bytes.Split(in, []byte("\n")) {
			if len(bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\ufeff")))) > 0 {
				rows++
			}
		}
		if got := bytes.Count(out.Bytes(), []byte("\n")); err == nil && got != rows || got > rows {
			t.Fatalf("%d rows in, %d out, %v", rows, got, err)
		}
	})
}
