package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// event is one Server-Sent Event.
type event struct {
	id, name, data string
}

// follower reads a stream.
type follower struct {
	t      *testing.T
	lines  *bufio.Scanner
	close  func()
	status int
}

func (w *world) follow(c *http.Client, path string, h ...string) *follower {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "GET", w.server.URL+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(h); i += 2 {
		r.Header.Set(h[i], h[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		cancel()
		w.t.Fatal(err)
	}
	return &follower{w.t, bufio.NewScanner(res.Body), func() { cancel(); res.Body.Close() }, res.StatusCode}
}

// next reads the next event; ok is false at the end of the stream.
func (f *follower) next() (e event, ok bool) {
	for f.lines.Scan() {
		line := f.lines.Text()
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			return e, true
		}
	}
	return e, false
}

// parcelOf makes or changes a parcel as the program itself.
func (w *world) put(id, dept string, n int) error {
	raw, err := json.Marshal(map[string]any{"title": "箱", "weight": n, "department": "department/" + dept})
	if err != nil {
		return err
	}
	_, err = w.kernel.Write(context.Background(), identity.Root(), kernel.Change{Op: record.Update, Upsert: true, Expect: kernel.AnyVersion, Key: record.Key{Kind: "parcel", ID: id}, Data: raw})
	return err
}

// However often a page loses its connection, among however many writers: it
// hears of every write it may see, in order, once, and of no other.
func TestFeedResumesWithNothingMissedAndNothingTwice(t *testing.T) {
	w := open(t)
	east, _, _ := w.staff()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const writers, each = 8, 60
	from, err := w.kernel.Store().Position(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	first := w.follow(east, "/api/feed")
	e, ok := first.next()
	if !ok || e.name != "position" || e.id == "" {
		t.Fatalf("%+v", e)
	}
	first.close()
	cursor := e.id

	var writing sync.WaitGroup
	failed := make(chan error, writers+1)
	for i := range writers {
		rnd := rand.New(rand.NewPCG(seed, uint64(i)))
		writing.Go(func() {
			for n := range each {
				dept := "east"
				if rnd.IntN(2) == 0 {
					dept = "west"
				}
				if err := w.put(fmt.Sprintf("%s-%d-%d", dept, i, rnd.IntN(5)), dept, n); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	go func() { // one last visible write says that all were heard
		writing.Wait()
		if err := w.put("east-end", "east", 0); err != nil {
			failed <- err
		}
	}()

	rnd := rand.New(rand.NewPCG(seed, 99))
	var got []string
	drops := 0
	deadline := time.AfterFunc(60*time.Second, func() { panic(fmt.Sprintf("the feed stands still; seed %d", seed)) })
	defer deadline.Stop()
	for end := false; !end; {
		f := w.follow(east, "/api/feed", "Last-Event-ID", cursor)
		drops++
		for left := 1 + rnd.IntN(40); left > 0 && !end; left-- {
			e, ok := f.next()
			if !ok {
				break
			}
			cursor = e.id
			switch e.name {
			case "change":
				var c struct {
					Kind, ID string
					Version  int64
				}
				if err := json.Unmarshal([]byte(e.data), &c); err != nil {
					t.Fatal(err)
				}
				if c.Kind == "parcel" {
					got = append(got, fmt.Sprintf("%s/%d", c.ID, c.Version))
				}
				end = c.ID == "east-end"
			case "position":
			default:
				t.Fatalf("%+v", e)
			}
		}
		f.close()
	}
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
	var want []string
	for seq := from.Seq; ; {
		entries, err := w.kernel.Store().Feed(context.Background(), seq, 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			seq = e.Seq
			if e.Kind == "parcel" && strings.HasPrefix(e.ID, "east") {
				want = append(want, fmt.Sprintf("%s/%d", e.ID, e.Version))
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after %d connections heard %d changes, want %d\n%v\n%v", drops, len(got), len(want), got, want)
	}
}

func TestCursorsTellNothingAndCannotBeForged(t *testing.T) {
	w := open(t)
	east, west, _ := w.staff()
	begin := func(c *http.Client, cursor string) event {
		t.Helper()
		f := w.follow(c, "/api/feed?after="+cursor)
		defer f.close()
		e, ok := f.next()
		if !ok || f.status != 200 {
			t.Fatalf("%d %+v", f.status, e)
		}
		return e
	}
	one, two := begin(east, ""), begin(east, "")
	if one.name != "position" || one.id == two.id {
		t.Errorf("two cursors of one place are the same, or none: %+v %+v", one, two)
	}
	if e := begin(east, one.id); e.name != "position" {
		t.Errorf("%+v", e)
	}
	if e := begin(west, one.id); e.name != "resync" || e.id == "" {
		t.Errorf("another's cursor: %+v", e)
	}
	last := one.id[:len(one.id)-1]
	for _, forged := range []string{last + "A", last + "B", "AAAA", "1", "here/1/1", strings.Repeat("A", len(one.id)), one.id[:20]} {
		if forged == one.id {
			continue
		}
		if e := begin(east, forged); e.name != "resync" {
			t.Errorf("%q: %+v", forged, e)
		}
	}
}

func TestFeedEndsWithTheSessionAndShowsNoMoreThanTheRole(t *testing.T) {
	w := open(t)
	east, _, chief := w.staff()
	f := w.follow(east, "/api/feed")
	defer f.close()
	if e, ok := f.next(); !ok || e.name != "position" {
		t.Fatal(e)
	}
	if err := w.put("west-1", "west", 1); err != nil {
		t.Fatal(err)
	}
	if err := w.put("east-1", "east", 1); err != nil {
		t.Fatal(err)
	}
	if e, _ := f.next(); !strings.Contains(e.data, "east-1") || strings.Contains(e.data, "箱") {
		t.Fatalf("%+v", e)
	}
	// Deletions are told too.
	w.must(204, chief, "DELETE", "/api/parcels/east-1", nil)
	if e, _ := f.next(); !strings.Contains(e.data, `"op":"delete"`) {
		t.Fatalf("%+v", e)
	}
	w.must(204, east, "DELETE", "/api/session", nil)
	if err := w.put("east-2", "east", 1); err != nil {
		t.Fatal(err)
	}
	for {
		e, ok := f.next()
		if !ok {
			break
		}
		if strings.Contains(e.data, "east-2") {
			t.Fatal("the stream outlives the session")
		}
	}
	w.must(401, w.anonymous(), "GET", "/api/feed", nil)
}

// A page that does not read holds nobody up, and hears all once it does.
func TestSlowPageCatchesUp(t *testing.T) {
	w := open(t)
	east, _, _ := w.staff()
	slow, quick := w.follow(east, "/api/feed"), w.follow(east, "/api/feed")
	defer slow.close()
	defer quick.close()
	const n = 700 // more than a queue and a batch
	for i := range n {
		if err := w.put(fmt.Sprint("east-", i), "east", i); err != nil {
			t.Fatal(err)
		}
	}
	for name, f := range map[string]*follower{"quick": quick, "slow": slow} {
		for i := -1; i < n; i++ {
			e, ok := f.next()
			if !ok || i >= 0 && !strings.Contains(e.data, fmt.Sprintf(`"id":"east-%d"`, i)) {
				t.Fatalf("%s: %d: %+v", name, i, e)
			}
		}
	}
}
