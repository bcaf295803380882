package main

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"zhiwei/door/prometheus"
	push "zhiwei/drive/remotewrite"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// pusher copies what is measured to another store by remote write.
type pusher struct {
	// Section "push" of the configuration:
	//
	//	push: {to: "https://HOST/api/v1/write", token_file: FILE, queue_mb: 256}
	config struct {
		To        string `yaml:"to"`
		TokenFile string `yaml:"token_file"`
		QueueMB   int64  `yaml:"queue_mb"`
	}
	queue *push.Queue
	stop  context.CancelFunc
	wait  sync.WaitGroup
}

// copied is the store, with a copy of what it keeps sent on where the
// configuration says so.
func (p *pusher) copied(ctx context.Context, h *house, store series.Store) (series.Store, error) {
	if err := h.config.section("push", &p.config); err != nil || p.config.To == "" {
		return store, err
	}
	to, err := url.Parse(p.config.To)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" || p.config.QueueMB < 0 {
		return nil, errs.E(errs.Invalid, "config", "push", "push.to 须是完整网址，例如 https://centre.example/api/v1/write；queue_mb 须为正数。",
			"push.to must be a whole address, such as https://centre.example/api/v1/write, and queue_mb positive.").At("push.to")
	}
	authorization := ""
	if p.config.TokenFile != "" {
		raw, err := os.ReadFile(p.config.TokenFile)
		if err != nil {
			return nil, errs.E(errs.Invalid, "config", "push.token_file", "无法读取 push.token_file。", "push.token_file cannot be read.").Because(err)
		}
		authorization = "Bearer " + strings.TrimSpace(string(raw))
	}
	clk := h.kernel.Clock()
	if p.queue, err = push.Open(filepath.Join(h.dir, "push"), p.config.QueueMB<<20, clk); err != nil {
		return nil, err
	}
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	s := &push.Sender{Queue: p.queue, URL: p.config.To, Authorization: authorization, Clock: clk, Log: h.log.With("part", "push")}
	p.wait.Go(func() { s.Run(ctx) })
	return push.Copied{Store: store, To: p.queue}, nil
}

// close ends the sending; what waits stays on disk.
func (p *pusher) close() error {
	if p.queue == nil {
		return nil
	}
	p.stop()
	p.wait.Wait()
	return p.queue.Close()
}

// metrics are what waits and what was lost.
func (p *pusher) metrics() []prometheus.Family {
	if p.queue == nil {
		return nil
	}
	samples, _ := p.queue.Waiting()
	return []prometheus.Family{
		prometheus.One("zhiwei_push_waiting_samples", "gauge", "Samples that wait to be sent on.", float64(samples)),
		prometheus.One("zhiwei_push_lost_total", "counter", "Samples that were not sent on since too many waited.", float64(p.queue.Lost())),
	}
}
