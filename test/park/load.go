package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// Load is the people of the hospital: they register patients, look at visits,
// order tests and store images through the front door, unevenly as people do.
type Load struct {
	w      *World
	client *http.Client
	rand   *rand.Rand
	Busy   atomic.Bool // a noisy day: bursts and swings

	Asked, Failed atomic.Int64
}

func newLoad(w *World, seed uint64) *Load {
	return &Load{w: w, rand: rand.New(rand.NewPCG(seed, 77)), client: w.client()}
}

// client is a browser that trusts the hospital's authority.
func (w *World) client() *http.Client {
	return &http.Client{Timeout: 6 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.CA.Pool, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 4, IdleConnTimeout: 2 * time.Second,
	}}
}

// ask makes one request through the front door; an answer other than 200 is an
// error.
func (w *World) ask(ctx context.Context, c *http.Client, method, path string) error {
	r, err := http.NewRequestWithContext(ctx, method, "https://"+w.net.at("his-gate")+path, nil)
	if err != nil {
		return err
	}
	res, err := c.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", path, res.Status, text)
	}
	return err
}

// run asks until ctx ends: some eight requests a second, each of a person of its
// own, so that a slow answer holds nobody else up; at most 64 wait.
func (l *Load) run(ctx context.Context) {
	waiting := make(chan struct{}, 64)
	began := time.Now()
	var analyser *broker
	for {
		rate := 8 + 2*math.Sin(time.Since(began).Seconds()/20)
		if l.Busy.Load() {
			rate *= 1.5 + math.Abs(l.rand.NormFloat64())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(l.rand.ExpFloat64() / rate * float64(time.Second))):
		}
		method, path := http.MethodGet, fmt.Sprintf("/?patient=%d", l.rand.IntN(200))
		switch p := l.rand.Float64(); {
		case p < 0.3:
			path += "&do=register"
		case p < 0.45:
			method, path = http.MethodPost, "/lis/order"
		case p < 0.55:
			path = "/lis/results"
		case p < 0.65:
			method, path = http.MethodPost, "/pacs/image"
		case p < 0.7:
			path = "/pacs/image"
		case p < 0.85:
			analyser = l.analyse(ctx, analyser)
			continue
		}
		select {
		case waiting <- struct{}{}:
			go func() {
				defer func() { <-waiting }()
				l.Asked.Add(1)
				if l.w.ask(ctx, l.client, method, path) != nil {
					l.Failed.Add(1)
				}
			}()
		default: // they leave
			l.Asked.Add(1)
			l.Failed.Add(1)
		}
	}
}

// analyse sends a result of the laboratory to the broker.
func (l *Load) analyse(ctx context.Context, b *broker) *broker {
	if b == nil {
		dial, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		var err error
		if b, err = dialBroker(dial, l.w.net.at("mq-1"), "analyser", false); err != nil {
			return nil
		}
		go func() { // what the broker answers is read and left
			for {
				if _, _, err := b.read(); err != nil {
					return
				}
			}
		}()
	}
	if err := b.Publish(resultsTopic, "GLU 5.4 mmol/L"); err != nil {
		b.Close()
		return nil
	}
	return b
}
