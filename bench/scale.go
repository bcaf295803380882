package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"zhiwei/drive/scrape"
)

const (
	scaleCommand = "go run ./bench -only scale"
	// scaleDevices and scaleRounds are what issue 4 asks for; a quick run takes a
	// tenth of the devices.
	scaleDevices = 10_000
	scaleRounds  = 6
	// faultsAtScale are how many devices break under that load, one after the other.
	faultsAtScale = 6
	// writers put the devices into the ledger.
	writers = 8
)

// scale measures a fleet of devices with the running program: what that costs it,
// what is lost or late, and how soon a device that breaks has its incident.
func scale(ctx context.Context, b *bench, _ string) (err error) {
	n, rounds := scaleDevices, scaleRounds
	if b.quick {
		n, rounds = scaleDevices/10, 3
	}
	f, err := newFleet(n)
	if err != nil {
		return err
	}
	defer f.close()
	config := filepath.Join(b.work, "scale.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "operations: {measure: %v}\n", fleetEvery), 0o600); err != nil {
		return err
	}
	s, err := b.serve(ctx, filepath.Join(b.work, "scale"), "", "--config", config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	token, err := s.token(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	ids, err := s.enlist(ctx, token, f)
	if err != nil {
		return err
	}
	enlisted := time.Since(begun)
	// All are measured, and what is asked of the last minutes has something to
	// look at.
	if err := f.wait(ctx, 2*fleetEvery+time.Minute); err != nil {
		return fmt.Errorf("%w\n%s", err, s.tail())
	}
	if err := rest(ctx, 2*fleetEvery); err != nil {
		return err
	}

	f.lateness()
	before, err := s.told(ctx, token)
	if err != nil {
		return err
	}
	m := metered(s.cmd.Process.Pid)
	long := time.Duration(rounds) * fleetEvery
	end := time.After(long)
	found, missed := s.breakSome(ctx, token, f, ids, long)
	select {
	case <-end:
	case <-ctx.Done():
		return ctx.Err()
	}
	spent, took := processTime(m.pid)-m.program, time.Since(m.at)
	others := (busyTime() - m.busy - spent).Seconds() / took.Seconds()
	after, err := s.told(ctx, token)
	if err != nil {
		return err
	}
	late, asked := f.lateness()
	var peak float64
	if _, err := fmt.Sscan(field(fmt.Sprintf("/proc/%d/status", m.pid), "VmHWM:"), &peak); err != nil {
		return fmt.Errorf("peak memory of the program: %w", err)
	}

	load := fmt.Sprintf("%s devices × %d measurements every %v", number(float64(n)), fleetTold, fleetEvery)
	processors := spent.Seconds() / took.Seconds()
	samples := after.samples - before.samples
	b.add(Figure{
		Name: load + ", processor time of two", Goal: Goal{AtMost: 60}, Got: 100 * processors / 2, Unit: "%", Command: scaleCommand,
		Note: fmt.Sprintf("%.2f processors over %v, half the devices over SNMP, half scraped; %.0f samples/s kept in %s series, %.0f µs of processor time each; the devices and all else took %.2f processors; %s things were entered in %.0f s",
			processors, took.Round(time.Second), samples/took.Seconds(), number(after.series), 1e6*spent.Seconds()/samples, others, number(float64(n)), enlisted.Seconds()),
	})
	b.add(Figure{
		Name: "resident memory with them, peak", Goal: Goal{AtMost: 3}, Got: peak / (1 << 20), Unit: "GiB", Command: scaleCommand,
		Note: fmt.Sprintf("%.1f KB a series", peak*1024/1e3/after.series),
	})
	b.add(Figure{
		Name: "rounds that were made", Got: 100 * float64(asked) / float64(n*rounds), Unit: "%", Command: scaleCommand,
		Note: fmt.Sprintf("%d of %d; %.0f samples dropped by the store, %.0f by the collector, %.0f rounds skipped", asked, n*rounds, after.refused-before.refused, after.dropped-before.dropped, after.skipped-before.skipped),
	})
	b.add(Figure{
		Name: "how far a round begins from its time, p99", Got: late.at(0.99).Seconds(), Unit: "s", Command: scaleCommand,
		Note: fmt.Sprintf("p50 %s s, worst %s s; seen by the devices", number(late.at(0.5).Seconds()), number(late.at(1).Seconds())),
	})
	b.add(Figure{
		Name: "from a device's fault to its incident, p50", Got: found.at(0.5).Seconds(), Unit: "s", Command: scaleCommand,
		Note: fmt.Sprintf("%d faults (silent devices, a file system that is read-only, a port that is down), %d without an incident; worst %s s; measured every %v, a sign must show twice", len(found)+missed, missed, number(found.at(1).Seconds()), fleetEvery),
	})
	return nil
}

// enlist writes the fleet into the ledger: a hundredth of it are switches on
// which other switches stand, and each host stands on a switch. It gives the ids
// of the things by device.
func (s *served) enlist(ctx context.Context, token string, f *fleet) ([]string, error) {
	ids := make([]string, len(f.devices))
	var order []int // switches first, those of the core at the beginning
	for i := 1; i < len(ids); i += 2 {
		order = append(order, i)
	}
	switches := len(order)
	for i := 0; i < len(ids); i += 2 {
		order = append(order, i)
	}
	core := max(1, len(ids)/100)
	one := func(k int) error {
		i := order[k]
		address := f.devices[i].address.String()
		data := map[string]any{"name": "bench-" + strconv.Itoa(i), "address": address}
		on := ""
		if k < switches {
			data["class"], data["labels"] = "switch", []any{label("snmp", ":"+strconv.Itoa(f.snmpPort())), label("snmp_community", "bench")}
			if k >= core {
				on = ids[order[k%core]]
			}
		} else {
			data["class"], data["labels"] = "host", []any{label("scrape_node", "http://"+address+":"+strconv.Itoa(f.webPort())+"/metrics")}
			on = ids[order[k%switches]]
		}
		if on != "" {
			data["on"] = []any{map[string]any{"type": "connected-to", "thing": "thing/" + on}}
		}
		var made struct{ ID string }
		if err := s.send(ctx, token, "/api/things", map[string]any{"data": data}, &made); err != nil {
			return err
		}
		ids[i] = made.ID
		return s.send(ctx, token, "/api/things/"+made.ID+"/do/confirm", map[string]any{}, nil)
	}
	for _, part := range [][2]int{{0, core}, {core, switches}, {switches, len(order)}} {
		var wait sync.WaitGroup
		failed := make([]error, writers)
		for w := range writers {
			wait.Go(func() {
				for k := part[0] + w; k < part[1] && failed[w] == nil && ctx.Err() == nil; k += writers {
					failed[w] = one(k)
				}
			})
		}
		wait.Wait()
		if err := errors.Join(append(failed, ctx.Err())...); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// send posts a value as JSON.
func (s *served) send(ctx context.Context, token, path string, v, into any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.do(ctx, http.MethodPost, token, path, body, into)
}

func label(name, value string) map[string]any { return map[string]any{"name": name, "value": value} }

// breakSome breaks devices one after the other, and gives for each how long it took
// until an incident named it, and how many had none in the time.
func (s *served) breakSome(ctx context.Context, token string, f *fleet, ids []string, within time.Duration) (found latencies, missed int) {
	type fault struct {
		device int
		at     time.Time
		found  bool
	}
	var faults []fault
	begun := time.Now()
	for time.Since(begun) < within-2*time.Second {
		if k := len(faults); k < faultsAtScale && time.Since(begun) >= time.Duration(k)*within/3/faultsAtScale {
			// Far from each other, so that each has an incident of its own. The last ones
			// are hosts and leaves among the switches: nothing stands on them.
			i := len(ids) - 2 - k/2*(len(ids)/20)/2*2 + k%2
			switch {
			case k < 2:
				f.devices[i].silent.Store(true)
			default:
				f.devices[i].broken.Store(true)
			}
			faults = append(faults, fault{device: i, at: time.Now()})
		}
		for k := range faults {
			var page struct{ Items []struct{ ID string } }
			if !faults[k].found && s.get(ctx, token, "/api/incidents?limit=1&thing="+ids[faults[k].device], &page) == nil && len(page.Items) > 0 {
				faults[k].found = true
				found = append(found, time.Since(faults[k].at))
			}
		}
		if rest(ctx, time.Second) != nil {
			break
		}
	}
	for _, x := range faults {
		if !x.found {
			missed++
		}
	}
	return found, missed
}

// tells is what the program tells of its measuring.
type tells struct{ series, samples, refused, dropped, skipped float64 }

func (s *served) told(ctx context.Context, token string) (t tells, err error) {
	res, err := http.Get(s.url("/metrics"))
	if err != nil {
		return t, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return t, err
	}
	own, err := scrape.Parse(body, res.Header.Get("Content-Type"), time.Now())
	if err != nil {
		return t, err
	}
	for _, m := range own {
		switch m.Name {
		case "zhiwei_series_active":
			t.series = m.Value
		case "zhiwei_series_samples_total":
			t.samples = m.Value
		case "zhiwei_series_samples_dropped_total":
			t.refused += m.Value
		}
	}
	for _, q := range []struct {
		expr string
		into *float64
	}{{"zhiwei_collector_samples_dropped_total", &t.dropped}, {"zhiwei_collector_rounds_skipped_total", &t.skipped}} {
		var answer struct {
			Data struct {
				Result []struct{ Value [2]any }
			}
		}
		if err := s.get(ctx, token, "/api/v1/query?query="+url.QueryEscape(q.expr), &answer); err != nil {
			return t, err
		}
		for _, r := range answer.Data.Result {
			text, _ := r.Value[1].(string)
			if *q.into, err = strconv.ParseFloat(text, 64); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}
