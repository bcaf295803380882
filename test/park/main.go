// Command park builds a small living hospital IT on this machine from real
// daemons, lets the program under test look after it, breaks one thing after the
// other and writes down what the program made of it. It asks the world itself
// whether something works again, never the program; and it tells the program
// nothing but what a hospital's people would have written into the ledger.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		if done, err := role(os.Args[1], os.Args[2:]); done {
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "park:", err)
		os.Exit(1)
	}
}

// role runs this program as one of the daemons of the world.
func role(name string, args []string) (done bool, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch {
	case name == "tier" && len(args) == 1:
		return true, runTier(ctx, args[0])
	case name == "check" && len(args) == 1:
		_, err := readTier(args[0])
		return true, err
	case name == "dns" && len(args) == 2:
		return true, runDNS(ctx, args[0], args[1])
	case name == "control" && len(args) > 0:
		return true, runControl(args[0], args[1:])
	case name == "burn" && len(args) == 0:
		burn()
		return true, nil
	case name == "crowd" && len(args) == 1:
		return true, runCrowd(ctx, args[0])
	case name == "squat" && len(args) == 1:
		return true, runSquat(ctx, args[0])
	}
	return false, nil
}

func run(ctx context.Context) error {
	seed := flag.Uint64("seed", 1, "decides the order of the faults and what people do")
	only := flag.String("only", "", "faults to inject, separated by commas; all where empty")
	alone := flag.Bool("world", false, "without the program under test: break and mend every fault, and see that the world notices both")
	pace := flag.Duration("pace", 10*time.Second, "how often the program measures each thing")
	minutes := flag.Float64("minutes", 5, "how long the program has for each fault")
	calm := flag.Duration("calm", 45*time.Second, "time without a fault before each one, with noisy load")
	program := flag.String("program", "bin/zhiwei", "the program under test")
	table := flag.String("table", "", "file that the table is written to beside the standard output, as Markdown")
	kill := flag.Bool("kill", false, "kill the program at a random moment of each healing, and start it again")
	keep := flag.Bool("keep", false, "leave the folder of the world behind, to look into logs and records")
	hold := flag.Bool("hold", false, "start the world, print its ledger and wait for the end")
	list := flag.Bool("list", false, "name the faults")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("what is %q?", flag.Arg(0))
	}
	chosen, err := choose(faults(), *only)
	if err != nil {
		return err
	}
	if *list {
		for _, f := range chosen {
			fmt.Printf("%-22s %s  %s\n", f.Name, f.Zh, f.En)
		}
		return nil
	}
	r := rand.New(rand.NewPCG(*seed, 0))
	r.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	dir, err := os.MkdirTemp("", "park-")
	if err != nil {
		return err
	}
	began := time.Now()
	w, err := newWorld(ctx, dir, *seed)
	w.Keep = *keep
	defer w.Close()
	if err != nil {
		return err
	}
	fmt.Printf("%d units run in %s (%.1f s)\n", len(w.Units.Names()), dir, time.Since(began).Seconds())
	if *hold {
		for _, e := range w.Ledger(pace.String()) {
			fmt.Println(e.Name, e.Class, e.Address, e.Labels, e.On)
		}
		<-ctx.Done()
		return nil
	}
	if err := until(ctx, mendWithin, w.Works); err != nil {
		return err
	}
	if *alone {
		return exercise(ctx, w, chosen)
	}
	path, err := filepath.Abs(*program)
	if err != nil {
		return err
	}
	p, err := startProduct(ctx, w, path, *pace)
	if err != nil {
		return err
	}
	j := &judge{w: w, p: p, limit: time.Duration(*minutes * float64(time.Minute)), calm: *calm, seed: *seed}
	if *kill {
		j.kill = rand.New(rand.NewPCG(*seed, 9))
	}
	err = j.sit(ctx, chosen)
	text := j.table()
	fmt.Print(text)
	if *table != "" {
		err = errors.Join(err, os.WriteFile(*table, []byte(text), 0o644))
	}
	return err
}

// exercise breaks and mends each fault without the program under test.
func exercise(ctx context.Context, w *World, list []Fault) error {
	var all []error
	for _, f := range list {
		if f.Needs != nil {
			if lack := f.Needs(w); lack != "" {
				fmt.Printf("%-22s not here: needs %s\n", f.Name, lack)
				continue
			}
		}
		noticed, mended, err := w.prove(ctx, f)
		if err != nil {
			err = fmt.Errorf("%s: %w", f.Name, err)
			fmt.Println(err)
			all = append(all, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		fmt.Printf("%-22s noticed after %5.1f s, works %5.1f s after mending\n", f.Name, noticed.Seconds(), mended.Seconds())
	}
	return errors.Join(all...)
}

// limits of prove.
const (
	noticeWithin = 60 * time.Second
	mendWithin   = 60 * time.Second
)

var errUnnoticed = errors.New("the world does not notice it")

// prove sees that a fault can be told from health by asking the world, and that
// Undo brings it back.
func (w *World) prove(ctx context.Context, f Fault) (noticed, mended time.Duration, err error) {
	if err := until(ctx, mendWithin, func(ctx context.Context) error { return f.Healthy(ctx, w) }); err != nil {
		return 0, 0, fmt.Errorf("is ill before: %w", err)
	}
	began := time.Now()
	if err := f.Inject(ctx, w); err != nil {
		return 0, 0, errors.Join(fmt.Errorf("inject: %w", err), f.Undo(ctx, w), w.Mend(ctx))
	}
	err = until(ctx, noticeWithin, func(ctx context.Context) error {
		if f.Healthy(ctx, w) == nil {
			return errUnnoticed
		}
		return nil
	})
	noticed = time.Since(began)
	began = time.Now()
	if err := errors.Join(err, f.Undo(ctx, w), w.Mend(ctx)); err != nil {
		return noticed, 0, err
	}
	err = until(ctx, mendWithin, func(ctx context.Context) error { return errors.Join(f.Healthy(ctx, w), w.Works(ctx)) })
	return noticed, time.Since(began), err
}
