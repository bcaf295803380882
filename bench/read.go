package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// connections of the load generator (NUMBERS.md).
const connections = 32

// asked is a running program with the bundles loaded, and a token for it.
type asked struct {
	*served
	*loaded
	bearer string
}

func (b *bench) asked(ctx context.Context, store string) (*asked, error) {
	l, err := b.filled(ctx, store)
	if err != nil {
		return nil, err
	}
	s, err := b.serve(ctx, l.dir, l.url)
	if err != nil {
		return nil, err
	}
	token, err := s.token(ctx)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return &asked{s, l, token}, nil
}

// keys lists up to limit references of a type, newest first.
func (a *asked) keys(ctx context.Context, typ string, limit int) ([]string, error) {
	var out []string
	next := "/fhir/" + typ + "?_count=1000"
	for next != "" && len(out) < limit {
		var page struct {
			Link  []struct{ Relation, URL string }
			Entry []struct{ Resource struct{ ID string } }
		}
		if err := a.get(ctx, a.bearer, next, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Entry {
			out = append(out, typ+"/"+e.Resource.ID)
		}
		next = ""
		for _, l := range page.Link {
			if l.Relation == "next" {
				u, err := url.Parse(l.URL)
				if err != nil {
					return nil, err
				}
				next = u.RequestURI()
			}
		}
	}
	return out[:min(len(out), limit)], nil
}

// readByID measures GET /fhir/Type/id over resources of the types a chart is
// made of, each read audited and durable before its answer.
func readByID(ctx context.Context, b *bench, store string) (err error) {
	a, err := b.asked(ctx, store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	var paths []string
	for _, typ := range []string{"Observation", "Encounter", "Condition", "Procedure", "MedicationRequest", "DiagnosticReport", "Patient"} {
		keys, err := a.keys(ctx, typ, 1500)
		if err != nil {
			return err
		}
		for _, k := range keys {
			paths = append(paths, "/fhir/"+k)
		}
	}
	paths = shuffled(paths)
	m := metered(a.cmd.Process.Pid)
	got, err := load(ctx, Load{
		Address: a.address, Token: a.bearer, Connections: connections, Paths: paths, Must: []string{`"resourceType":"`},
		WarmSeconds: b.long(2 * time.Second).Seconds(), Seconds: b.long(10 * time.Second).Seconds(),
	})
	if err != nil {
		return err
	}
	cost := m.cost(got.All)
	note := fmt.Sprintf("%d resources of seven types in turn, %.1f KB each; p50 %.1f ms, worst %.1f ms. %s", len(paths), float64(got.Bytes)/float64(got.Requests)/1000, ms(got.P50), ms(got.Worst), cost)
	if rate, p99, err := a.wrk(ctx, paths, b.long(8*time.Second)); err == nil {
		note += fmt.Sprintf(" wrk, another generator, saw %s/s with p99 %s.", number(rate), p99)
	} else if !errors.Is(err, exec.ErrNotFound) {
		return err
	}
	command := "GET /fhir/{type}/{id}, 32 keep-alive connections, a generator of its own process"
	b.add(Figure{Name: "read by id over HTTP, 32 connections", Goal: Goal{AtLeast: 8000, Stretch: 12000}, Got: got.perSecond(), Unit: "/s", Command: command, Note: note})
	b.add(Figure{Name: "p99 of those reads", Goal: Goal{AtMost: 15}, Got: ms(got.P99), Unit: "ms"})
	return nil
}

// shuffled orders paths by a fixed stride, so that neighbours are far apart and
// every run asks in the same order.
func shuffled(paths []string) []string {
	const stride = 7919 // prime and larger than any page
	out := make([]string, len(paths))
	if len(paths)%stride == 0 {
		return paths
	}
	for i := range paths {
		out[i] = paths[i*stride%len(paths)]
	}
	return out
}

var (
	wrkRate = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrkP99  = regexp.MustCompile(`99%\s+(\S+)`)
	wrkBad  = regexp.MustCompile(`Non-2xx or 3xx responses: .*|Socket errors: .*`)
)

// wrk asks the same by wrk (Debian package wrk), as a check on our own
// generator. exec.ErrNotFound where it is not installed.
func (a *asked) wrk(ctx context.Context, paths []string, d time.Duration) (rate float64, p99 string, err error) {
	program, err := exec.LookPath("wrk")
	if err != nil {
		return 0, "", exec.ErrNotFound
	}
	script := filepath.Join(a.b.work, "paths.lua")
	lua := "local paths = {" + strconv.Quote(strings.Join(paths, `","`)) + "}\n"
	lua = strings.ReplaceAll(lua, `\",\"`, `","`)
	lua += "local i = 0\nwrk.headers['Authorization'] = 'Bearer " + a.bearer + "'\n" +
		"request = function()\n  i = i % #paths + 1\n  return wrk.format('GET', paths[i])\nend\n"
	if err := os.WriteFile(script, []byte(lua), 0o600); err != nil {
		return 0, "", err
	}
	out, err := exec.CommandContext(ctx, program, "-t1", "-c"+strconv.Itoa(connections), fmt.Sprintf("-d%ds", max(1, int(d.Seconds()))), "--latency", "-s", script, "http://"+a.address).CombinedOutput()
	if err != nil {
		return 0, "", fmt.Errorf("wrk: %w\n%s", err, out)
	}
	if bad := wrkBad.Find(out); bad != nil {
		return 0, "", fmt.Errorf("wrk: %s", bad)
	}
	m, p := wrkRate.FindSubmatch(out), wrkP99.FindSubmatch(out)
	if m == nil || p == nil {
		return 0, "", fmt.Errorf("wrk said something unexpected:\n%s", out)
	}
	rate, err = strconv.ParseFloat(string(m[1]), 64)
	return rate, string(p[1]), err
}
