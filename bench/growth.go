package main

import (
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// growth asks the same questions before and after the bundles have been loaded
// b.copies times over, each time as other patients, and compares the medians:
// NUMBERS.md, "Growth". What the patients share (hospitals, practitioners) stays.
func growth(ctx context.Context, b *bench, store string) error {
	l, err := b.filled(ctx, store)
	if err != nil {
		return err
	}
	before, err := b.medians(ctx, l)
	if err != nil {
		return err
	}
	begun := time.Now()
	for k := 1; k < b.copies; k++ {
		if err := b.multiply(ctx, l, k); err != nil {
			return err
		}
	}
	took := time.Since(begun)
	after, err := b.medians(ctx, l)
	if err != nil {
		return err
	}
	for i, m := range after {
		b.add(Figure{
			Name: m.name + ", p50 over " + strconv.Itoa(b.copies) + " times the patients against p50 over once", Goal: Goal{AtMost: 1.3, Stretch: 1.1},
			Got: float64(m.p50) / float64(before[i].p50), Unit: "×", Command: "go run ./bench -only growth -copies " + strconv.Itoa(b.copies),
			Note: fmt.Sprintf("p50 %.2f ms, before %.2f ms; loading the copies took %s.", ms(m.p50), ms(before[i].p50), took.Round(time.Second)),
		})
	}
	return nil
}

type median struct {
	name string
	p50  time.Duration
}

// medians measures the searches and reads one at a time, so that what is told
// is the work of one and not the length of a queue.
func (b *bench) medians(ctx context.Context, l *loaded) (out []median, err error) {
	s, err := b.serve(ctx, l.dir, l.url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	token, err := s.token(ctx)
	if err != nil {
		return nil, err
	}
	a := &asked{s, l, token}
	list, err := a.questions(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := a.keys(ctx, "Observation", 1000)
	if err != nil {
		return nil, err
	}
	var reads []string
	for _, k := range keys {
		reads = append(reads, "/fhir/"+k)
	}
	list = append(list, question{name: "read by id", paths: reads})
	for _, q := range list {
		got, err := load(ctx, Load{
			Address: a.address, Token: a.bearer, Connections: 1, Paths: shuffled(q.paths), Must: []string{`"resourceType":"`},
			WarmSeconds: b.long(2 * time.Second).Seconds(), Seconds: b.long(5 * time.Second).Seconds(),
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.name, err)
		}
		out = append(out, median{q.name, got.P50})
	}
	return out, nil
}

// multiply loads the bundles once more as other patients.
func (b *bench) multiply(ctx context.Context, l *loaded, k int) error {
	dir := filepath.Join(b.work, "copy")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, path := range l.paths {
		raw, err := unpacked(path)
		if err != nil {
			return err
		}
		name := strconv.Itoa(k) + "-" + filepath.Base(path)
		if err := os.WriteFile(filepath.Join(dir, name[:len(name)-len(".bz2")]), otherPatient(raw, k), 0o600); err != nil {
			return err
		}
	}
	_, err := b.command(ctx, "import", "fhir", "--data", l.dir, dir)
	return err
}

func unpacked(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(bzip2.NewReader(f))
}

var (
	fullURL = regexp.MustCompile(`"fullUrl": ?"urn:uuid:([0-9a-f-]{36})"`)
	anyUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	family  = regexp.MustCompile(`"family": ?"`)
)

// otherPatient makes a bundle that of somebody else: the ids of its own entries
// are others, wherever they stand, and the family names have another beginning.
func otherPatient(bundle []byte, k int) []byte {
	own := map[string]bool{}
	for _, m := range fullURL.FindAllSubmatch(bundle, -1) {
		own[string(m[1])] = true
	}
	bundle = anyUUID.ReplaceAllFunc(bundle, func(id []byte) []byte {
		if !own[string(id)] {
			return id
		}
		h := fnv.New32a()
		_, _ = h.Write(id) // a hash never fails
		return fmt.Appendf(nil, "%08x%s", h.Sum32()^uint32(k)*0x9E3779B1, id[8:])
	})
	return family.ReplaceAll(bundle, fmt.Appendf(nil, `"family": "K%d`, k))
}
