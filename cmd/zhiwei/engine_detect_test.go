package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A series is scored a row a row, the same in a prefix as in the whole.
//
// Proves A10
func TestEngineDetect(t *testing.T) {
	var b strings.Builder
	b.WriteString("timestamp,value\n")
	for i := range 1500 {
		v := 20 + i%7
		if i >= 1200 {
			v += 80
		}
		fmt.Fprintf(&b, "%s,%d.50\n", time.Date(2026, 3, 2, 0, 5*i, 0, 0, time.UTC).Format(time.DateTime), v)
	}
	detect := func(in string, args ...string) (int, string, string) {
		var out, log bytes.Buffer
		code := run(t.Context(), env{strings.NewReader(in), &out, &log, func(string) string { return "" }}, append([]string{"engine", "detect"}, args...))
		return code, out.String(), log.String()
	}
	for _, args := range [][]string{nil, {"--small"}} {
		code, whole, log := detect(b.String(), args...)
		rows := strings.Split(whole, "\n")
		if code != 0 || len(rows) != 1502 || rows[0] != "timestamp,value,anomaly_score,alarm" || !strings.HasPrefix(rows[1], "2026-03-02 00:00:00,20.50,0.000000,0") || !strings.HasSuffix(rows[1201], ",1") {
			t.Fatalf("%v: exit %d, %d rows, %q, at the jump %q: %s", args, code, len(rows), rows[:2], rows[min(1201, len(rows)-1)], log)
		}
		in := b.String()
		if _, part, _ := detect(in[:strings.LastIndex(in[:len(in)/2], "\n")+1], args...); !strings.HasPrefix(whole, part) {
			t.Errorf("%v: half the rows are judged otherwise than in the whole", args)
		}
	}
	if code, _, log := detect("timestamp,value\n2026-03-02 00:00:00,1\n2026-03-02 00:05:00,many\n"); code != 1 || !strings.Contains(log, "第 3 行") || !strings.Contains(log, "Line 3") {
		t.Errorf("exit %d: %s", code, log)
	}
	if code, _, log := detect("", "series.csv"); code != 2 || !strings.Contains(log, "series.csv") {
		t.Errorf("exit %d: %s", code, log)
	}
}
