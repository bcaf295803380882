package detect

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"zhiwei/kernel/errs"
)

// Pool watches many series within a bound of memory. Every series has a small
// detector; a bounded number has a large one beside it. Who gets a large one is
// decided by the claim of a series: its weight (how much depends on it, as the
// caller says) times one more than the number of its recent alarms. A series
// takes the place of the one with the lowest claim only when its own is half as
// high again, so places do not change hands to and fro. A large detector is heard
// once it has seen enough; until then the small one speaks.
//
// Lock order: a Pool has one lock and calls nothing that has another.
type Pool struct {
	series, large int // bounds

	mu      sync.Mutex
	watched map[string]*watched
	placed  map[string]*watched // those with a large detector
	refused int64
}

// watched is one series of a pool.
type watched struct {
	small  *Detector
	large  *Detector // nil: no place
	weight float64
	alarms float64 // recent ones: halved every half-life points
}

const (
	// listen is how many points a large detector has seen when it is heard: at
	// one in 5 minutes, a week.
	listen = 2016
	// fade is the share by which the number of recent alarms shrinks at a point:
	// to half in some 2,000.
	fade = 1 - 1.0/2900
	// ahead is how much higher a claim must be to take a place.
	ahead = 1.5
)

// NewPool gives a pool for at most that many series, of which at most large have a
// large detector: series KB and 50 × large KB.
func NewPool(series, large int) *Pool {
	return &Pool{series: series, large: large, watched: map[string]*watched{}, placed: map[string]*watched{}}
}

func (w *watched) claim() float64 { return w.weight * (1 + w.alarms) }

// Next judges a point of the series of that key. Weight says how much depends on
// it: 1 for an ordinary series, 0 for one that never needs a large detector.
// Unavailable where the series is new and the pool is full; Stats counts it.
func (p *Pool) Next(key string, weight float64, at time.Time, value float64) (Verdict, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.watched[key]
	if w == nil {
		if len(p.watched) >= p.series {
			p.refused++
			return Verdict{}, crowded(key)
		}
		w = &watched{small: New(Small)}
		p.watched[key] = w
	}
	w.weight = weight
	v := w.small.Next(at, value)
	w.alarms *= fade
	if v.Alarm {
		w.alarms++
	}
	if w.large == nil && weight > 0 && (v.Alarm || len(p.placed) < p.large) {
		p.place(key, w)
	}
	if w.large == nil {
		return v, nil
	}
	if l := w.large.Next(at, value); w.large.n >= listen || w.large.n == w.small.n {
		v = l
	}
	return v, nil
}

func crowded(key string) error {
	return errs.E(errs.Unavailable, "detect", key,
		"监测的序列已达上限，此序列未做异常检测。请提高上限或停用不需要的序列。",
		"The bound of watched series is reached; this one is not watched for anomalies. Raise the bound or drop series nobody needs.")
}

// place gives a series a large detector if there is room or one with a lower claim
// has to go.
func (p *Pool) place(key string, w *watched) {
	if len(p.placed) >= p.large {
		lowest := ""
		for k, o := range p.placed {
			if lowest == "" || o.claim() < p.placed[lowest].claim() || o.claim() == p.placed[lowest].claim() && k < lowest {
				lowest = k
			}
		}
		if lowest == "" || w.claim() < ahead*p.placed[lowest].claim() {
			return
		}
		p.placed[lowest].large = nil
		delete(p.placed, lowest)
	}
	w.large = New(Large)
	p.placed[key] = w
}

// Each gives the state of every series, to be kept over a restart. What is given
// belongs to the caller. It ends with the first error of do, which it returns.
func (p *Pool) Each(do func(key string, state []byte) error) error {
	p.mu.Lock()
	keys := slices.Sorted(maps.Keys(p.watched))
	p.mu.Unlock()
	for _, key := range keys {
		p.mu.Lock()
		w := p.watched[key]
		var state []byte
		var err error
		if w != nil {
			state, err = w.state()
		}
		p.mu.Unlock()
		if w == nil { // forgotten since
			continue
		}
		if err != nil {
			return err
		}
		if err := do(key, state); err != nil {
			return err
		}
	}
	return nil
}

// state is weight, alarms and the length of the small detector's state, followed
// by it and the large one's, if there is one.
func (w *watched) state() ([]byte, error) {
	small, err := w.small.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b := binary.LittleEndian.AppendUint64(nil, math.Float64bits(w.weight))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(w.alarms))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(small)))
	b = append(b, small...)
	if w.large == nil {
		return b, nil
	}
	return w.large.AppendBinary(b)
}

// Restore puts a series back as Each gave it, without a large detector where there
// is no room for one now. Invalid where the state is damaged, Unavailable where
// the pool is full.
func (p *Pool) Restore(key string, state []byte) error {
	const head = 8 + 8 + 4
	if len(state) < head {
		return damaged(len(state))
	}
	w := &watched{
		weight: math.Float64frombits(binary.LittleEndian.Uint64(state)),
		alarms: math.Float64frombits(binary.LittleEndian.Uint64(state[8:])),
		small:  new(Detector),
	}
	n := uint64(binary.LittleEndian.Uint32(state[16:]))
	rest := state[head:]
	if n > uint64(len(rest)) || !(w.weight >= 0 && w.alarms >= 0) {
		return damaged(len(state))
	}
	if err := w.small.UnmarshalBinary(rest[:n]); err != nil || w.small.Size() != Small {
		return damaged(len(state))
	}
	if rest = rest[n:]; len(rest) > 0 {
		w.large = new(Detector)
		if err := w.large.UnmarshalBinary(rest); err != nil || w.large.Size() != Large {
			return damaged(len(state))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watched[key] == nil && len(p.watched) >= p.series {
		return crowded(key)
	}
	delete(p.placed, key)
	if len(p.placed) >= p.large {
		w.large = nil
	}
	if w.large != nil {
		p.placed[key] = w
	}
	p.watched[key] = w
	return nil
}

// Forget drops a series, for instance one whose thing was retired.
func (p *Pool) Forget(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watched, key)
	delete(p.placed, key)
}

// Stats tells how full a pool is.
type Stats struct {
	Series  int   // watched
	Large   int   // of these with a large detector
	Refused int64 // points of series for which there was no room
}

// Stats tells how full the pool is.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Series: len(p.watched), Large: len(p.placed), Refused: p.refused}
}
