package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// stray starts this program under a name of its own in one of its other roles.
func (w *World) stray(name string, args ...string) error {
	cmd := exec.Command(w.named(name), args...)
	cmd.Dir = w.Dir
	if err := w.Units.spawn(cmd); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

// runCrowd is a program that leaves so many children unburied, until it ends.
func runCrowd(ctx context.Context, most string) error {
	n, err := strconv.Atoi(most)
	for range n {
		if err == nil {
			err = exec.Command("/bin/true").Start()
		}
	}
	if err == nil {
		<-ctx.Done()
	}
	return err
}

// runSquat is what is left of a service that should have ended: it has its
// address and answers nobody.
func runSquat(ctx context.Context, address string) error {
	l, err := net.Listen("tcp", address)
	if err == nil {
		<-ctx.Done()
		err = l.Close()
	}
	return err
}

// zombies counts the processes of this machine that ended and were not buried.
func zombies() (n int) {
	list, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is valid
	for _, name := range list {
		raw, _ := os.ReadFile(name)
		if _, rest, _ := strings.Cut(string(raw), ") "); strings.HasPrefix(rest, "Z") {
			n++
		}
	}
	return n
}
