// Command bench measures the real program and the real stores on this machine
// and prints every figure beside its goal; with -write it also keeps them in
// bench/RESULTS.md. It refuses to measure what is not durable: the data lie on a
// real disk, with the settings a hospital runs with.
//
//	go run ./bench                                  everything, both stores
//	go run ./bench -only kernel,read -store sqlite  some of it
//	go run ./bench -quick                           a smoke test: short runs, a few bundles
//
// Run it on an idle machine: load generator, browser and database share its
// cores with the program, as they do in NUMBERS.md "Records and FHIR", where
// most goals come from; the others are those of issue 2.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// area is one group of figures that are measured together.
type area struct {
	name   string
	title  string
	stores bool // measured once on every store; else once
	run    func(ctx context.Context, b *bench, store string) error
}

// areas in the order they run: what changes the loaded data comes last.
var areas = []area{
	{"kernel", "Kernel: durable single-record writes", true, kernelWrites},
	{"import", "Import of the Synthea bundles, and what they take on disk", true, importBundles},
	{"start", "Start and idle memory with the bundles loaded", true, startAndIdle},
	{"read", "Read by id over HTTP", true, readByID},
	{"search", "Searches over HTTP", true, searches},
	{"growth", "Growth: the same searches over 16 times the patients", true, growth},
	{"person", "A person's write during an import", true, personDuringImport},
	{"page", "Pages in Chromium", false, pages},
	{"healing", "A real service healed", false, healing},
	{"nab", "Anomalies in the series of the Numenta Anomaly Benchmark", false, anomalies},
	{"loghub", "Log templates over LogHub", false, logTemplates},
	{"rootcause", "Root causes in the cases of Sock Shop and PetShop", false, rootCauses},
	{"lines", "Log lines into the running program", false, logIntake},
	{"scale", "Many devices measured by the running program", false, scale},
	{"hours", "The series of many devices over hours", false, hours},
	{"smart", "What is foreseen, and alerts in groups", false, foresight},
}

// bench is one run.
type bench struct {
	data    string // folder of the shared data
	quick   bool
	copies  int    // times the bundles are loaded in the growth area
	binary  string // the program under test; empty: not built yet
	keep    string // folder for CPU profiles and logs of the programs; empty: none are kept
	work    string // scratch folder on the measured disk
	figures []Figure
	loaded  map[string]*loaded // by store
	pg      *pgServer
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == loadCommand {
		if err := generate(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	names := make([]string, len(areas))
	for i, a := range areas {
		names[i] = a.name
	}
	only := flag.String("only", "", "areas to measure, of "+strings.Join(names, ",")+"; empty: all")
	stores := flag.String("store", "sqlite,postgres", "stores to measure")
	data := flag.String("data", filepath.Join("..", "shared", "data"), "folder of the shared data, with fhir-synthea in it")
	quick := flag.Bool("quick", false, "short runs with a few bundles; the figures mean little")
	copies := flag.Int("copies", 16, "times the patients in the growth area")
	program := flag.String("program", "", "program to measure; empty: built from this tree")
	work := flag.String("work", os.TempDir(), "folder on the disk to measure")
	keep := flag.String("keep", "", "folder to keep CPU profiles of the kernel area and logs of the programs in")
	results := flag.String("write", "", "file to write the results to, e.g. bench/RESULTS.md; by default that one, where everything was measured")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unknown argument %q; see -h", flag.Arg(0))
	}
	chosen, err := choose(names, *only)
	if err != nil {
		return err
	}
	on, err := choose([]string{sqliteStore, postgresStore}, *stores)
	if err != nil {
		return err
	}
	if *results == "" && len(chosen) == len(areas) && len(on) == 2 && !*quick {
		*results = filepath.Join("bench", "RESULTS.md")
	}

	b := &bench{data: *data, quick: *quick, copies: *copies, keep: *keep, binary: *program, loaded: map[string]*loaded{}}
	if b.work, err = scratch(*work); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	defer b.close()
	if b.keep != "" {
		if err := os.MkdirAll(b.keep, 0o755); err != nil {
			return err
		}
	}
	m := thisMachine(ctx, b.work)
	fmt.Println(m)
	if m.Load > 0.5 {
		fmt.Printf("The machine is busy (load %.2f): the figures will be worse than they are.\n", m.Load)
	}

	var failed []error
	for _, a := range areas {
		if !slices.Contains(chosen, a.name) {
			continue
		}
		fmt.Println("\n# " + a.title)
		over := on
		if !a.stores {
			over = []string{""}
		}
		for _, store := range over {
			begun, from := time.Now(), len(b.figures)
			err := a.run(ctx, b, store)
			for i := range b.figures[from:] {
				b.figures[from+i].Area, b.figures[from+i].Store = a.title, store
				fmt.Println(b.figures[from+i].line())
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				failed = append(failed, fmt.Errorf("%s %s: %w", a.name, store, err))
				b.figures = append(b.figures, Figure{Area: a.title, Store: store, Name: "could not be measured", Cause: err.Error()})
				fmt.Println("  could not be measured:", err)
			}
			fmt.Printf("  (%s %s took %s)\n", a.name, store, time.Since(begun).Round(time.Second))
		}
	}
	fmt.Println("\n" + table(b.figures))
	if *results != "" {
		if err := os.WriteFile(*results, []byte(markdown(m, b.figures, *quick)), 0o644); err != nil {
			return err
		}
	}
	return errors.Join(failed...)
}

// choose reads a list of names, all of them where it is empty.
func choose(known []string, list string) ([]string, error) {
	if list == "" {
		return known, nil
	}
	out := strings.Split(list, ",")
	for _, n := range out {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("%q is not one of %s", n, strings.Join(known, ", "))
		}
	}
	return out, nil
}

// add keeps a figure.
func (b *bench) add(f Figure) { b.figures = append(b.figures, f) }

// long is the length of a measurement.
func (b *bench) long(d time.Duration) time.Duration {
	if b.quick {
		return d / 5
	}
	return d
}

func (b *bench) close() {
	if b.pg != nil {
		b.pg.stop()
	}
}
