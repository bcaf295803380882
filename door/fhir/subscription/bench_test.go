package subscription_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// BenchmarkThousandSubscriptions measures writes while 1,000 subscriptions of the
// Backport (rest-hook, id-only) are matched, numbered and delivered over real
// HTTP, on SQLite with full sync: beside none, beside 1,000 that match nothing,
// and where each write is an event of two of them. One operation is one write, at most 500 a second:
//
//	writes/s      writes acknowledged
//	cpu-ms/write  processor time of everything: writers, store, matching, sending, receiving
//	p50-ms p99-ms from the acknowledgement of a write to the receipt of its notification
func BenchmarkThousandSubscriptions(b *testing.B) {
	b.Run("none", func(b *testing.B) { benchSubscriptions(b, 0, "c", 500) })
	b.Run("matching nothing", func(b *testing.B) { benchSubscriptions(b, 1000, "other", 500) })
	b.Run("matching twice", func(b *testing.B) { benchSubscriptions(b, 1000, "c", 500) })
}

func benchSubscriptions(b *testing.B, subscriptions int, code string, perSecond int) {
	w := open(b, options{hooks: here, system: true})
	var mu sync.Mutex
	acked := map[string]time.Time{}
	var delays []time.Duration
	received := 0
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		now := time.Now()
		at := strings.Index(string(raw), `"focus","valueReference":{"reference":"`)
		if at < 0 {
			return // a handshake
		}
		id := string(raw[at+len(`"focus","valueReference":{"reference":"`):])
		id, _, _ = strings.Cut(id, `"`)
		mu.Lock()
		defer mu.Unlock()
		received++
		if was, ok := acked[id]; ok {
			delays = append(delays, now.Sub(was))
		}
	}))
	defer srv.Close()
	root := identity.Root()
	for i := range subscriptions {
		body := fmt.Sprintf(`{"resourceType":"Subscription","status":"requested","reason":"r","criteria":"Observation?code=%s%d","channel":{"type":"rest-hook","endpoint":%q,
			"payload":"application/fhir+json","_payload":{"extension":[{"url":%q,"valueCode":"id-only"}]}}}`, code, i, srv.URL, extensions+"backport-payload-content")
		w.put(root, "Subscription", fmt.Sprint("s", i), body)
	}
	for i := range subscriptions {
		w.awaitStatus(fmt.Sprint("s", i), "active")
	}
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	jobs := make(chan int)
	var writers sync.WaitGroup
	for range 32 {
		writers.Go(func() {
			for i := range jobs {
				id := fmt.Sprint("o", i)
				body := fmt.Sprintf(`{"resourceType":"Observation","status":"final","code":{"coding":[{"code":"c%d"},{"code":"c%d"}]},"valueQuantity":{"value":%d}}`, i%1000, (i*7+1)%1000, i)
				_, err := w.kernel.Write(context.Background(), root, kernel.Change{Op: record.Create, Key: record.Key{Kind: "Observation", ID: id}, Data: json.RawMessage(body)})
				now := time.Now()
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				acked["Observation/"+id] = now
				mu.Unlock()
			}
		})
	}
	b.ResetTimer()
	began := time.Now()
	for i := range b.N {
		<-tick.C
		jobs <- i
	}
	close(jobs)
	writers.Wait()
	wrote := time.Since(began)
	if subscriptions > 0 && code == "c" {
		w.until("all notifications", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return received >= 2*b.N-b.N/250 // a few writes name one code twice
		})
	}
	b.StopTimer()
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	b.ReportMetric(float64(b.N)/wrote.Seconds(), "writes/s")
	b.ReportMetric(cpu.Seconds()*1000/float64(b.N), "cpu-ms/write")
	if len(delays) > 0 {
		slices.Sort(delays)
		b.ReportMetric(float64(delays[len(delays)/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds())/1000, "p99-ms")
	}
}
