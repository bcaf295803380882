package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"zhiwei/engine/intelligence/logs"
)

// logTemplates measures the templates of log messages by LogHub's own metric, with
// one setting for every system. The published figures stand in NUMBERS.md
// "Operations intelligence"; they are means of 16 systems, of which some are at
// hand.
func logTemplates(ctx context.Context, b *bench, _ string) error {
	files, err := filepath.Glob(filepath.Join(b.data, "loghub", "*", "*_2k.log_structured_corrected.csv"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no LogHub data in %s: nothing is measured", filepath.Join(b.data, "loghub"))
	}
	const command = "go run ./bench -only loghub; one system: zhiwei engine logs < messages.txt"
	var all []string
	var ga, fga, live, once float64
	for _, name := range files {
		messages, templates, err := readLogHub(name)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		all = append(all, messages...)
		m := logs.New(0)
		now := make([]logs.ID, len(messages))
		for i, text := range messages {
			now[i], _ = m.Add(text)
		}
		resolved := func() []logs.ID {
			out := make([]logs.ID, len(now))
			for i, id := range now {
				out[i] = m.Resolve(id)
			}
			return out
		}
		known := logs.Compare(resolved(), templates).Grouping
		m.Refine()
		a := logs.Compare(resolved(), templates)
		first := logs.Compare(now, templates).Grouping
		ga, fga, live, once = ga+a.Grouping, fga+a.Templates, live+known, once+first
		b.add(Figure{
			Name: filepath.Base(filepath.Dir(name)) + ", grouping accuracy", Goal: Goal{AtLeast: 0.95}, Got: a.Grouping, Unit: "of 1", Command: command,
			Note: fmt.Sprintf("%d templates, %d true; F1 of templates %.3f; online %.3f, by the ID given at once %.3f", a.Got, a.Want, a.Templates, known, first),
		})
	}
	n := float64(len(files))
	b.add(Figure{
		Name: fmt.Sprintf("Mean grouping accuracy of %d systems, one setting", len(files)), Goal: Goal{AtLeast: 0.95, Stretch: 0.98}, Got: ga / n, Unit: "of 1", Command: command,
		Note: fmt.Sprintf("published, mean of 16: Brain 0.983 (a setting for each system), DivLog 0.928, Drain 0.865, digits masked alone 0.794; our F1 of templates %.3f", fga/n),
	})
	b.add(Figure{
		Name: "Mean grouping accuracy online", Goal: Goal{AtLeast: 0.95}, Got: live / n, Unit: "of 1", Command: command,
		Note: fmt.Sprintf("IDs resolved when the stream ends, nothing read twice; by the ID given at once, from an empty Miner: %.3f", once/n),
	})
	return logRate(b, all, command)
}

// logRate measures lines a second of processor time, from an empty Miner and when
// most forms are known.
func logRate(b *bench, all []string, command string) error {
	m := logs.New(0)
	lines := 0
	begun, err := processorTime()
	if err != nil {
		return err
	}
	used := time.Duration(0)
	var cold float64
	for used < b.long(5*time.Second) {
		for _, text := range all {
			m.Add(text)
		}
		lines += len(all)
		now, err := processorTime()
		if err != nil {
			return err
		}
		used = now - begun
		if cold == 0 {
			cold = float64(lines) / used.Seconds()
		}
	}
	b.add(Figure{
		Name: "Log lines to templates, one core", Goal: Goal{AtLeast: 20000}, Got: float64(lines) / used.Seconds(), Unit: "lines/s", Command: command,
		Note: fmt.Sprintf("by processor time, all systems in one Miner; the first %d lines, from an empty one, %.0f lines/s", len(all), cold),
	})
	return nil
}

// processorTime is what this process has used.
func processorTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// readLogHub reads the messages of one system and their true templates.
func readLogHub(name string) (messages, templates []string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(rows) == 0 {
		return nil, nil, fmt.Errorf("%s is empty", name)
	}
	message, template := slices.Index(rows[0], "Content"), slices.Index(rows[0], "EventTemplate")
	if message < 0 || template < 0 {
		return nil, nil, fmt.Errorf("%s has no columns Content and EventTemplate", name)
	}
	for _, r := range rows[1:] {
		messages, templates = append(messages, r[message]), append(templates, r[template])
	}
	return messages, templates, nil
}
