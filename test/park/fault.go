package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Fault is one way in which the hospital's IT goes wrong. The program under test
// never hears its name: it sees what the world shows of it.
type Fault struct {
	Name   string // lower case with hyphens, unique
	Zh, En string // a sentence for the table
	// Truth names the things of the ledger that are truly broken: a cause that is
	// found is right where it is one of them. Two independent faults at once are two
	// alternatives: see Also.
	Truth []string
	// Also names the things of a second, independent fault at the same time: both
	// must be found.
	Also []string
	// Person is true where no program can put it right (a burnt fan, a disk that
	// wears out): the right thing to do is to call a person, and to touch nothing
	// that works.
	Person bool
	// Needs says what this machine lacks for the fault; "" where it can be had. nil:
	// it always can.
	Needs func(w *World) string
	// Inject breaks it. It returns once the harm is done; what goes on by itself
	// (a leak) is ended by Undo.
	Inject func(ctx context.Context, w *World) error
	// Healthy asks the world itself, never the program under test, whether what was
	// broken works: nil where it does, else what is wrong.
	Healthy func(ctx context.Context, w *World) error
	// Undo takes away whatever is left of the fault, healed or not, and may be called
	// twice. Units that are not running are started again by the park afterwards.
	Undo func(ctx context.Context, w *World) error
}

// faults lists every fault of the park. Those of the files named here were written
// without sight of the knowledge packs and of the runbooks; keep it so, and give
// faults written by somebody who knows them a file of their own.
func faults() []Fault {
	return slices.Concat(processFaults(), databaseFaults(), tierFaults(), networkFaults(), deviceFaults(), keepingFaults(), severalFaults(), moreFaults(), againFaults(), knownFaults())
}

// choose gives the faults named by a list with commas; all where it is empty.
func choose(all []Fault, only string) ([]Fault, error) {
	if only == "" {
		return all, nil
	}
	var out []Fault
	for _, name := range strings.Split(only, ",") {
		i := slices.IndexFunc(all, func(f Fault) bool { return f.Name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("there is no fault %q; -list names them", name)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// until asks again and again until ask is content or the limit has passed; it
// returns what ask said last.
func until(ctx context.Context, limit time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		one, end := context.WithTimeout(ctx, 5*time.Second)
		err := ask(one)
		end()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// all is content when each of asks is.
func all(asks ...func(context.Context, *World) error) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		for _, ask := range asks {
			if err := ask(ctx, w); err != nil {
				return err
			}
		}
		return nil
	}
}
