package data

import (
	"context"
	"math"
	"time"

	"zhiwei/kernel/series"
)

// pulse watches a counter that grows while a service does its work, such as
// results taken in: a service that answers every check and does nothing is the
// failure that no check sees. Beside what the source tells it tells work_done_total,
// the sum over the counter's series, and work_missing, how many more of them would
// be there had it gone on as it did: the usual rate times how long it has not grown,
// once that is longer than it usually pauses. While that is not known, or the counter
// is not told, nothing is; after a restart it is learnt anew.
type pulse struct {
	Source
	metric string

	last     float64
	at       time.Time // of the last round that told the counter; zero: none yet
	grew     time.Time // of the last round in which it had grown
	rate     float64   // by the second, while it grows
	pause    float64   // the longest in which it did not grow, in seconds; fades
	observed float64   // grown so far
}

const (
	// usualFor is the time over which the usual rate is formed: half of its weight is
	// of that long. Work ebbs in the evening over hours, not within minutes.
	usualFor = 10 * time.Minute
	// usualFrom is how much must have grown before a rate is usual.
	usualFrom = 50
	// usualPauses is how many of its longest pauses it may stand still: analysers
	// send in batches. A pause fades by half in pauseFor.
	usualPauses = 3
	pauseFor    = 6 * time.Hour
)

func (p *pulse) Sample(ctx context.Context) ([]series.Sample, error) {
	out, err := p.Source.Sample(ctx)
	sum, at := 0.0, time.Time{}
	for _, s := range out {
		if s.Name == p.metric {
			sum, at = sum+s.Value, s.At
		}
	}
	if at.IsZero() {
		return out, err
	}
	out = append(out, series.Sample{Name: "work_done_total", At: at, Value: sum})
	if missing, known := p.beat(sum, at); known {
		out = append(out, series.Sample{Name: "work_missing", At: at, Value: missing})
	}
	return out, err
}

// beat takes in what the counter says and gives how much is missing.
func (p *pulse) beat(sum float64, at time.Time) (missing float64, known bool) {
	took, by := at.Sub(p.grew).Seconds(), sum-p.last
	switch {
	case p.at.IsZero(), by < 0: // the first round, or the service began anew
		p.grew = at
	case by > 0 && took > 0:
		// Silence between two growths is part of the rate, which is formed over both.
		share := 1 - math.Exp2(-took/usualFor.Seconds())
		if p.observed == 0 {
			share = 1
		} else if p.observed < usualFrom {
			share = max(share, by/(p.observed+by))
		}
		p.rate += share * (by/took - p.rate)
		p.pause = max(took, p.pause*math.Exp2(-took/pauseFor.Seconds()))
		p.observed, p.grew = p.observed+by, at
	}
	p.last, p.at = sum, at
	still := at.Sub(p.grew).Seconds()
	if still <= usualPauses*p.pause {
		still = 0
	}
	return max(0, p.rate*still), p.observed >= usualFrom
}
