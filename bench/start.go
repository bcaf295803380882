package main

import (
	"context"
	"time"
)

// starts is how often the program is started; the median counts.
const starts = 5

// startAndIdle measures from the start of the process to the first 200 of
// /readyz, over the loaded data, and the memory of the idle program.
func startAndIdle(ctx context.Context, b *bench, store string) error {
	l, err := b.filled(ctx, store)
	if err != nil {
		return err
	}
	var took latencies
	for i := range starts {
		s, err := b.serve(ctx, l.dir, l.url)
		if err != nil {
			return err
		}
		took = append(took, s.ready)
		if i == starts-1 {
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
			}
			mb, err := s.resident()
			if err != nil {
				return err
			}
			defer b.add(Figure{
				Name: "resident memory, idle, 10 s after the start", Goal: Goal{AtMost: 150, Stretch: 80}, Got: mb, Unit: "MB",
				Command: "grep VmRSS /proc/PID/status", Note: "All applications, the measurement of the machine and the series store run.",
			})
		}
		if err := s.stop(); err != nil {
			return err
		}
	}
	b.add(Figure{
		Name: "start until /readyz answers 200, bundles loaded", Goal: Goal{AtMost: 1, Stretch: 0.3}, Got: took.at(0.5).Seconds(), Unit: "s",
		Command: "zhiwei serve --data DIR", Note: "Median of " + number(starts) + "; worst " + number(took.at(1).Seconds()) + " s.",
	})
	return nil
}
