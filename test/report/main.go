// Command report reads what "go test -json" writes and shows it as go test
// does: a line per package, and all that a failed test said. It counts tests
// and subtests, and writes the counts for the script that runs several suites.
// It judges nothing itself.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	counts := flag.String("counts", "", "file to write \"passed failed\" to")
	flag.Parse()
	passed, failed, err := report(os.Stdin, os.Stdout)
	if err == nil && *counts != "" {
		err = os.WriteFile(*counts, fmt.Appendf(nil, "%d %d\n", passed, failed), 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// event is one line of "go test -json" (go doc test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build
	Test       string
	Output     string
}

// report copies what matters from events to out and counts tests. A package
// that fails without a failed test (it did not compile, it ran out of time)
// counts as one failure.
func report(events io.Reader, out io.Writer) (passed, failed int, err error) {
	type test struct{ pkg, name string }
	said := map[test][]string{} // output of what has not ended
	culprit := map[string]bool{}
	lines := bufio.NewReader(events)
	for {
		line, readErr := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(out, line) // of go itself, not of a test
			} else {
				at := test{e.Package, e.Test}
				switch e.Action {
				case "build-output":
					fmt.Fprint(out, e.Output)
				case "output":
					said[at] = append(said[at], e.Output)
				case "pass", "skip":
					if e.Test == "" {
						packageLines(out, said[at])
					} else if e.Action == "pass" {
						passed++
					} else {
						fmt.Fprintf(out, "SKIP %s %s: %s\n", e.Package, e.Test, reason(said[at]))
					}
					delete(said, at)
				case "fail":
					if e.Test != "" {
						failed++
						culprit[e.Package] = true
					} else if !culprit[e.Package] {
						failed++
					}
					for _, s := range said[at] {
						if !strings.HasPrefix(s, "=== ") { // RUN, PAUSE, CONT, NAME
							fmt.Fprint(out, s)
						}
					}
					delete(said, at)
				}
			}
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			return passed, failed, readErr
		}
	}
	for at, lines := range said { // cut off in the middle
		fmt.Fprintf(out, "%s %s did not end:\n%s", at.pkg, at.name, strings.Join(lines, ""))
	}
	return passed, failed, nil
}

// packageLines shows the line of a package that passed; packages without tests
// are left out.
func packageLines(out io.Writer, said []string) {
	for _, s := range said {
		if strings.HasPrefix(s, "ok ") || strings.HasPrefix(s, "coverage") {
			fmt.Fprint(out, s)
		}
	}
}

// reason is what a test said before it was skipped.
func reason(said []string) string {
	for _, s := range said {
		s = strings.TrimSpace(s)
		if s != "" && !strings.HasPrefix(s, "===") && !strings.HasPrefix(s, "---") {
			return s
		}
	}
	return "no reason given"
}
