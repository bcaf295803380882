package relational

import (
	"testing"

	"zhiwei/kernel/record"
)

func entries(from, n int64) (out []record.Entry) {
	for i := range n {
		out = append(out, record.Entry{Position: record.Position{Seq: from + i}})
	}
	return out
}

func TestRecentEntriesHaveNoGap(t *testing.T) {
	var r recent
	if got := r.after(0, 10); len(got) != 0 {
		t.Fatalf("nothing was written, %d told", len(got))
	}
	r.add(entries(5, 3)) // 5–7
	for _, c := range []struct {
		after int64
		limit int
		first int64
		n     int
	}{
		{3, 10, 0, 0}, // 4 is not held
		{4, 10, 5, 3},
		{4, 2, 5, 2},
		{6, 10, 7, 1},
		{7, 10, 0, 0},
		{9, 10, 0, 0},
	} {
		got := r.after(c.after, c.limit)
		if len(got) != c.n || c.n > 0 && got[0].Seq != c.first {
			t.Errorf("after %d, limit %d: %v", c.after, c.limit, got)
		}
	}
	r.add(entries(10, 2)) // another process wrote 8 and 9
	if got := r.after(4, 10); len(got) != 0 {
		t.Errorf("after a gap: %v", got)
	}
	if got := r.after(9, 10); len(got) != 2 {
		t.Errorf("after the gap: %v", got)
	}
}

func TestRecentEntriesAreBounded(t *testing.T) {
	var r recent
	next := int64(1)
	for range 100 {
		r.add(entries(next, 500))
		next += 500
	}
	if n := len(r.list); n < maxRecent || n > 2*maxRecent {
		t.Errorf("%d entries held, want %d to %d", n, maxRecent, 2*maxRecent)
	}
	if got := r.after(next-maxRecent, maxRecent); len(got) != maxRecent-1 || got[0].Seq != next-maxRecent+1 {
		t.Errorf("the newest are not held")
	}
}
