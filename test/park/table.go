package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func seconds(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

func place(rank int) string {
	if rank == 0 {
		return "–"
	}
	return fmt.Sprint(rank)
}

// by says who put it right.
func (o outcome) by() string {
	switch {
	case o.lack != "":
		return "not here: needs " + o.lack
	case o.err != nil:
		return "the park failed: " + strings.ReplaceAll(o.err.Error(), "\n", " ")
	case o.healed():
		return "itself"
	case o.cured > 0:
		return "by itself, nothing was done"
	case o.called > 0:
		return "a person, called after " + seconds(o.called)
	}
	return "nobody"
}

func (o outcome) line() string {
	mark := "WRONG"
	if o.right() {
		mark = "right"
	}
	return fmt.Sprintf("%s %-21s detected %s, cause %s (%s), acted %s, cured %s, %s; %s; wrong %v",
		mark, o.fault.Name, seconds(o.detected), place(o.rank), o.thought, seconds(o.acted), seconds(o.cured), o.by(), strings.Join(o.remedies, ", "), o.wrong)
}

// part writes a share of a number.
func part(n, of int) string {
	if of == 0 {
		return "0 of 0"
	}
	return fmt.Sprintf("%d of %d (%.1f %%)", n, of, 100*float64(n)/float64(of))
}

// spread writes median and 90th percentile, nearest rank.
func spread(d []time.Duration) string {
	if len(d) == 0 {
		return "–"
	}
	slices.Sort(d)
	at := func(p float64) time.Duration { return d[min(len(d)-1, int(p*float64(len(d))))] }
	return fmt.Sprintf("%.0f / %.0f s", at(0.5).Seconds(), at(0.9).Seconds())
}

// table writes what came of all faults, and the sums.
func (j *judge) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Fault park, seed %d\n\n| Fault | What happened | Detected | Cause | Thought first | Done | Cured | By | Wrong |\n|---|---|--:|--:|---|---|--:|---|---|\n", j.seed)
	var injected, found, top1, top3, curable, healed, persons, called, wrong, repeated, incidents int
	var detect, diagnose, act, cure, verify []time.Duration
	keep := func(list *[]time.Duration, d time.Duration) {
		if d > 0 {
			*list = append(*list, d)
		}
	}
	for _, o := range j.out {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", o.fault.Name, o.fault.En, seconds(o.detected), place(o.rank), o.thought, strings.Join(o.remedies, "; "), seconds(o.cured), o.by(), strings.Join(o.wrong, "; "))
		if o.lack != "" || o.err != nil {
			continue
		}
		injected++
		incidents += o.incidents
		wrong += len(o.wrong)
		repeated += len(o.repeated)
		if o.detected > 0 {
			found++
		}
		if o.rank == 1 {
			top1++
		}
		if o.rank > 0 && o.rank <= 3 {
			top3++
		}
		if o.fault.Person {
			if persons++; o.called > 0 {
				called++
			}
		} else if curable++; o.healed() {
			healed++
		}
		keep(&detect, o.detected)
		keep(&diagnose, o.diagnosed)
		keep(&act, o.acted)
		if o.healed() {
			keep(&cure, o.cured)
			keep(&verify, o.proven)
		}
	}
	perDay := float64(len(j.quiet.incidents)) / max(j.quiet.time.Hours()/24, 1e-9)
	for _, row := range [][2]string{
		{"faults injected", fmt.Sprint(injected)},
		{"detected (goal ≥ 98 %)", part(found, injected)},
		{"right cause first (goal ≥ 90 %)", part(top1, injected)},
		{"right cause among three", part(top3, injected)},
		{"healed without a person, of those that can be (goal ≥ 80 %)", part(healed, curable)},
		{"person called, of those that need one", part(called, persons)},
		{"wrong actions (goal 0)", fmt.Sprint(wrong)},
		{"unsafe steps repeated (goal 0)", fmt.Sprint(repeated)},
		{"incidents a fault", fmt.Sprintf("%.2f", float64(incidents)/float64(max(injected, 1)))},
		{"alerts that rose, and what people were told of (goal ≥ 90 % fewer)", fmt.Sprintf("%d, %d (%.0f %% fewer)", j.alerts, j.shown, 100-100*float64(j.shown)/float64(max(j.alerts, 1)))},
		{"detect, p50 / p90", spread(detect)},
		{"diagnose, p50 / p90", spread(diagnose)},
		{"act, p50 / p90", spread(act)},
		{"cured, p50 / p90", spread(cure)},
		{"verify, p50 / p90", spread(verify)},
		{"faultless time", j.quiet.time.Round(time.Second).String()},
		{"false incidents in it (goal ≤ 1 a day)", fmt.Sprintf("%d, %.1f a day: %s", len(j.quiet.incidents), perDay, strings.Join(j.quiet.incidents, ", "))},
		{"actions in it (goal 0)", fmt.Sprintf("%d: %s", len(j.quiet.actions), strings.Join(j.quiet.actions, ", "))},
		{"requests of people, failed", fmt.Sprintf("%d, %d", j.w.Load.Asked.Load(), j.w.Load.Failed.Load())},
	} {
		if row[0] == "faults injected" {
			b.WriteString("\n| Sum | |\n|---|---|\n")
		}
		fmt.Fprintf(&b, "| %s | %s |\n", row[0], row[1])
	}
	return b.String()
}
