package main

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"zhiwei/door/prometheus"
	push "zhiwei/drive/remotewrite"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// pusher copies what is measured to another store by remote write.
type pusher struct {
	// Section "push" of the configuration:
	//
	//	push: {to: "https://HOST/api/v1/write", token_file: FILE, queue_mb: 256, only: [intent_*, up], every: 5m}
	config struct {
		To        string `yaml:"to"`
		TokenFile string `yaml:"token_file"`
		QueueMB   int64  `yaml:"queue_mb"`
		upward    `yaml:",inline"`
	}
	queue *push.Queue
	thin  *push.Thinned // nil: all goes up
	stop  context.CancelFunc
	wait  sync.WaitGroup
}

// upward is what may go up of what is measured, and how often: by name, or with *
// at the end by the beginning of it; none: all of it.
type upward struct {
	Only  []string      `yaml:"only"`
	Every time.Duration `yaml:"every"`
}

// to is where samples are appended that go up. Invalid where the configuration
// cannot be meant.
func (u upward) to(q series.Appender) (series.Appender, *push.Thinned, error) {
	if u.Every < 0 || u.Every > 24*time.Hour || slices.Contains(u.Only, "") {
		return nil, nil, errs.E(errs.Invalid, "config", "push", "push.every 须在 0 到 24h 之间，push.only 须写指标名。", "push.every is from 0 to 24h, and push.only names metrics.").At("push")
	}
	if u.Every == 0 && len(u.Only) == 0 {
		return q, nil, nil
	}
	t := &push.Thinned{To: q, Only: u.Only, Every: u.Every}
	return t, t, nil
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
	if _, _, err := p.config.to(nil); err != nil {
		return nil, err
	}
	clk := h.kernel.Clock()
	if p.queue, err = push.Open(filepath.Join(h.dir, "push"), p.config.QueueMB<<20, clk); err != nil {
		return nil, err
	}
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	s := &push.Sender{Queue: p.queue, URL: p.config.To, Authorization: authorization, Clock: clk, Log: h.log.With("part", "push")}
	p.wait.Go(func() { s.Run(ctx) })
	up, thin, err := p.config.to(p.queue)
	p.thin = thin
	return push.Copied{Store: store, To: up}, err
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
	held := int64(0)
	if p.thin != nil {
		held = p.thin.Kept()
	}
	return []prometheus.Family{
		prometheus.One("zhiwei_push_held_total", "counter", "Samples that were not sent on since the configuration keeps them here.", float64(held)),
		prometheus.One("zhiwei_push_waiting_samples", "gauge", "Samples that wait to be sent on.", float64(samples)),
		prometheus.One("zhiwei_push_lost_total", "counter", "Samples that were not sent on since too many waited.", float64(p.queue.Lost())),
	}
}
