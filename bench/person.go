package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// persons write beside the import, each as fast as somebody with a form does:
// one write, a short pause, the next.
const (
	persons = 4
	pause   = 50 * time.Millisecond
)

// personDuringImport measures how long writes take through the door while the
// same program imports the bundles through its socket.
func personDuringImport(ctx context.Context, b *bench, store string) (err error) {
	l, err := b.empty(ctx, store, "person-"+store)
	if err != nil {
		return err
	}
	if l.bundles, err = b.readBundles(); err != nil {
		return err
	}
	s, err := b.serve(ctx, l.dir, l.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	token, err := s.token(ctx)
	if err != nil {
		return err
	}
	importing, done := context.WithCancel(ctx)
	defer done()
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		took   latencies
		failed error
	)
	begun := time.Now()
	for i := range persons {
		all.Go(func() {
			var mine latencies
			for n := 0; importing.Err() == nil; n++ {
				body := fmt.Appendf(nil, `{"resourceType":"Patient","id":"person-%d-%d","name":[{"text":"张三"}],"gender":"female","birthDate":"1980-03-04"}`, i, n/2)
				asked := time.Now()
				if err := s.do(ctx, http.MethodPut, token, fmt.Sprintf("/fhir/Patient/person-%d-%d", i, n/2), body, nil); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
				mine = append(mine, time.Since(asked))
				select {
				case <-time.After(pause):
				case <-importing.Done():
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	_, err = b.command(ctx, append([]string{"import", "fhir", "--data", l.dir}, l.paths...)...)
	elapsed := time.Since(begun)
	done()
	all.Wait()
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	b.add(Figure{
		Name: "a person's write during an import, p99", Goal: Goal{AtMost: 300, Stretch: 100}, Got: ms(took.at(0.99)), Unit: "ms",
		Command: "PUT /fhir/Patient/{id} by four people beside zhiwei import fhir --data DIR",
		Note: fmt.Sprintf("%d writes, p50 %.1f ms, worst %.1f ms; the import beside them ran at %s resources/s.",
			len(took), ms(took.at(0.5)), ms(took.at(1)), number(float64(l.total)/elapsed.Seconds())),
	})
	return nil
}
