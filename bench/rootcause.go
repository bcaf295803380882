package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"zhiwei/engine/intelligence/rootcause"
)

// rcaScore is how one set of cases went.
type rcaScore struct {
	cases  int
	top    [5]int        // right service among the first 1 … 5
	silent int           // no service was accused
	took   time.Duration // of processor
}

// rank adds the case to the score.
func (s *rcaScore) rank(c rcaCase) error {
	begun, err := processorTime()
	if err != nil {
		return err
	}
	res, err := rootcause.Analyze(c.in)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	ended, err := processorTime()
	if err != nil {
		return err
	}
	s.took += ended - begun
	s.cases++
	if len(res.Services) == 0 {
		s.silent++
	}
	at := slices.IndexFunc(res.Services, func(r rootcause.Service) bool { return r.Service == c.root })
	for k := range s.top {
		if at >= 0 && at <= k {
			s.top[k]++
		}
	}
	return nil
}

// recall is the share of cases whose cause is among the first k.
func (s *rcaScore) recall(k int) float64 { return float64(s.top[k-1]) / float64(max(1, s.cases)) }

// average is Avg@5, the mean of the recalls at 1 … 5.
func (s *rcaScore) average() float64 {
	sum := 0.0
	for k := range s.top {
		sum += s.recall(k + 1)
	}
	return sum / float64(len(s.top))
}

func (s *rcaScore) note() string {
	each := s.took / time.Duration(max(1, s.cases))
	return fmt.Sprintf("%d cases, %s of processor a case", s.cases, each.Round(100*time.Microsecond))
}

// rootCauses scores the published cases of two sets, with one setting. A set
// that is not there is told; the other is measured all the same.
func rootCauses(ctx context.Context, b *bench, _ string) error {
	return errors.Join(b.sockShop(ctx, filepath.Join(b.data, "rca-sockshop")), b.petShop(ctx, filepath.Join(b.data, "rca-petshop", "low_traffic")))
}

const rcaCommand = "go run ./bench -only rootcause"

func (b *bench) sockShop(ctx context.Context, dir string) error {
	for _, late := range []float64{0, 60} {
		cases, err := sockShop(dir, late)
		if err != nil || len(cases) == 0 {
			return fmt.Errorf("sock shop is not in %s: %w", dir, cmp.Or(err, errAbsent))
		}
		scores := map[string]*rcaScore{"cpu": {}, "mem": {}}
		for _, c := range cases {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := scores[c.kind].rank(c); err != nil {
				return err
			}
		}
		for _, kind := range []string{"cpu", "mem"} {
			f := Figure{
				Name: "Sock Shop 1, service Avg@5, " + kind, Goal: Goal{AtLeast: 0.99}, Got: scores[kind].average(), Unit: "of 1", Command: rcaCommand,
				Note: scores[kind].note() + "; published over all 50: BARO 0.99",
			}
			if late > 0 {
				f.Name += ", detected 60 s late"
				f.Goal.AtLeast = 0.98
				f.Note = scores[kind].note() + "; published over all 50: BARO 0.98, N-sigma 0.15 (cpu), 0.33 (mem)"
			}
			b.add(f)
		}
	}
	return nil
}

// petShopBest is what was published for the low traffic of PetShop: recall of
// the right cause first, and among the first three.
var petShopBest = map[string][2]float64{"latency": {0.571, 0.571}, "availability": {0.833, 1}}

func (b *bench) petShop(ctx context.Context, dir string) error {
	issues, quiet, err := petShop(dir)
	if err != nil || len(issues) == 0 {
		return fmt.Errorf("PetShop is not in %s: %w", dir, cmp.Or(err, errAbsent))
	}
	scores := map[string]*rcaScore{"latency": {}, "availability": {}}
	for _, c := range issues {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := scores[c.kind].rank(c); err != nil {
			return err
		}
	}
	for _, kind := range []string{"latency", "availability"} {
		for i, k := range []int{1, 3} {
			best := petShopBest[kind][i]
			b.add(Figure{
				Name: fmt.Sprintf("PetShop, low traffic, %s, top-%d recall", kind, k), Goal: Goal{AtLeast: best}, Got: scores[kind].recall(k), Unit: "of 1", Command: rcaCommand,
				Note: fmt.Sprintf("%s; published best %.3f", scores[kind].note(), best),
			})
		}
	}
	var still rcaScore
	for _, c := range quiet {
		if err := still.rank(c); err != nil {
			return err
		}
	}
	b.add(Figure{
		Name: "PetShop, low traffic, specificity", Goal: Goal{AtLeast: 0.8}, Got: float64(still.silent) / float64(still.cases), Unit: "of 1", Command: rcaCommand,
		Note: fmt.Sprintf("%d quiet cases, cut as the set's evaluation does; published .17–.60", still.cases),
	})
	return nil
}

var errAbsent = errors.New("no case was found")
