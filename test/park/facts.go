package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Facts is what small exporters and scripts of a hospital tell about what has no
// protocol of its own: disks' self-assessment, clocks, backups, the broker's
// queue. Each has a page in Prometheus' text exposition.
type Facts struct {
	w   *World
	srv *http.Server

	mu      sync.Mutex
	sectors map[string][2]int // by disk: reallocated, pending
	failed  map[string]bool   // by disk: its self-assessment
	queue   map[string]float64
	dead    int // messages that could not be read
	store   store
	server  machine
	proved  string // the backup that was tried last, and whether it could be read
	reads   bool
}

// The files that the site's own scripts keep, in the folder "facts".
const clockFile = "tracking.json" // {"offset": seconds}, as chronyc tracking tells it

func newFacts(w *World) (*Facts, error) {
	f := &Facts{w: w, sectors: map[string][2]int{}, failed: map[string]bool{}, queue: map[string]float64{}, store: usualStore(), server: usualMachine()}
	l, err := net.Listen("tcp", w.net.at("facts"))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for path, tell := range map[string]func(*strings.Builder){"/smart": f.smart, "/clock": f.clock, "/backup": f.backup, "/broker": f.broker, "/array": f.array, "/tape": f.tape, "/node": f.node} {
		page := func(w http.ResponseWriter, _ *http.Request) {
			var b strings.Builder
			tell(&b)
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = w.Write([]byte(b.String()))
		}
		if path == "/node" {
			page = w.machineOff(page)
		}
		mux.HandleFunc("GET "+path, page)
	}
	f.srv = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = f.srv.Serve(l) }()
	return f, nil
}

func gaugeLine(b *strings.Builder, name, labels string, v float64) {
	fmt.Fprintf(b, "# TYPE %s gauge\n%s%s %s\n", name, name, labels, strconv.FormatFloat(v, 'g', -1, 64))
}

func (f *Facts) smart(b *strings.Builder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	const disk = "sda"
	ok := 1.0
	if f.failed[disk] {
		ok = 0
	}
	gaugeLine(b, "disk_smart_healthy", `{device="sda"}`, ok)
	gaugeLine(b, "disk_reallocated_sectors", `{device="sda"}`, float64(f.sectors[disk][0]))
	gaugeLine(b, "disk_pending_sectors", `{device="sda"}`, float64(f.sectors[disk][1]))
}

// SetDisk says how a disk does.
func (f *Facts) SetDisk(disk string, reallocated, pending int, failed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sectors[disk], f.failed[disk] = [2]int{reallocated, pending}, failed
}

// DiskFails tells whether the disk's self-assessment failed.
func (f *Facts) DiskFails(disk string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed[disk]
}

// SetClock puts the clock of the application server wrong by some seconds; it
// drifts a little around that, as clocks do.
func (f *Facts) SetClock(offset float64) error {
	raw, err := json.Marshal(map[string]float64{"offset": offset})
	if err != nil {
		return err
	}
	return os.WriteFile(f.w.file("facts", clockFile), raw, 0o644)
}

// Offset is how far the clock is off, in seconds.
func (f *Facts) Offset() (float64, error) {
	raw, err := os.ReadFile(f.w.file("facts", clockFile))
	if err != nil {
		return 0, err
	}
	var t map[string]float64
	err = json.Unmarshal(raw, &t)
	return t["offset"], err
}

func (f *Facts) clock(b *strings.Builder) {
	if off, err := f.Offset(); err == nil {
		off += 0.0004 * float64(time.Now().UnixMilli()%1000-500) / 500
		gaugeLine(b, "clock_offset_seconds", "", off)
		gaugeLine(b, "node_timex_offset_seconds", "", off)
	}
}

// newestBackup gives the newest file of the backup folder.
func (w *World) newestBackup() (file string, at time.Time, size int64) {
	list, _ := filepath.Glob(w.file("backup", "*.dump"))
	for _, name := range list {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(at) {
			file, at, size = name, info.ModTime(), info.Size()
		}
	}
	return file, at, size
}

func (f *Facts) backup(b *strings.Builder) {
	if _, at, size := f.w.newestBackup(); size > 0 {
		gaugeLine(b, "backup_last_success_timestamp_seconds", "", float64(at.Unix()))
		gaugeLine(b, "backup_last_size_bytes", "", float64(size))
	}
	f.restored(b)
}

func (f *Facts) broker(b *strings.Builder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintf(b, "# TYPE queue_messages_dead_total counter\nqueue_messages_dead_total{queue=%q} %d\n", resultsTopic, f.dead)
	if stored, there := f.queue["$SYS/broker/store/messages/count"]; there {
		ready := max(0, stored-f.queue["$SYS/broker/retained messages/count"])
		gaugeLine(b, "queue_messages_ready", `{queue="`+resultsTopic+`"}`, ready)
	}
	if clients, there := f.queue["$SYS/broker/clients/connected"]; there {
		gaugeLine(b, "queue_consumers", `{queue="`+resultsTopic+`"}`, max(0, clients-2)) // without this one and the analysers
	}
}

// Queued is how many messages wait in the broker; -1 while that is unknown.
func (f *Facts) Queued() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	stored, there := f.queue["$SYS/broker/store/messages/count"]
	if !there {
		return -1
	}
	return max(0, stored-f.queue["$SYS/broker/retained messages/count"])
}

// watchBroker keeps what the broker tells of itself; while it is away nothing is
// told.
func (f *Facts) watchBroker(ctx context.Context) {
	_, address := f.w.net.inner("mq-1")
	for ctx.Err() == nil {
		dial, cancel := context.WithTimeout(ctx, 3*time.Second)
		b, err := dialBroker(dial, address, "exporter", false)
		cancel()
		if err == nil {
			err = errors.Join(b.Subscribe("$SYS/broker/#", 0), b.Subscribe(deadTopic, 0))
			stop := context.AfterFunc(ctx, b.Close)
			for err == nil {
				_ = b.c.SetReadDeadline(time.Now().Add(15 * time.Second)) // the broker tells every second or so
				var topic, text string
				if topic, text, _, err = b.Next(); err == nil {
					if topic == deadTopic {
						f.mu.Lock()
						f.dead++
						f.mu.Unlock()
					}
					if v, bad := strconv.ParseFloat(text, 64); bad == nil {
						f.mu.Lock()
						f.queue[topic] = v
						f.mu.Unlock()
					}
					err = b.Ping()
				}
			}
			stop()
			b.Close()
		}
		f.mu.Lock()
		clear(f.queue)
		f.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
