package main

import (
	"compress/bzip2"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// bundles are the Synthea bundles to import and what must be there afterwards,
// counted here from the files alone.
type bundles struct {
	paths  []string
	total  int            // resources afterwards
	counts map[string]int // by type
	codes  []string       // LOINC codes of observations, as search values, the most frequent first
	names  []string       // family names of patients
}

// quickBundles are enough to see that everything works.
const quickBundles = 8

// readBundles counts what the bundles hold: every entry is a creation, and of
// the conditional ones with the same condition only the first.
func (b *bench) readBundles() (*bundles, error) {
	dir := filepath.Join(b.data, "fhir-synthea")
	paths, err := filepath.Glob(filepath.Join(dir, "*.bz2"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no bundles in %s; say where the shared data are with -data", dir)
	}
	slices.Sort(paths) // hospitals and practitioners come first by their names
	if b.quick {
		paths = paths[:min(len(paths), quickBundles)]
	}
	out := &bundles{paths: paths, counts: map[string]int{}}
	conditions, codes, names := map[string]bool{}, map[string]int{}, map[string]bool{}
	for _, path := range paths {
		entries, err := readBundle(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, e := range entries {
			if e.Request.Method != "POST" {
				return nil, fmt.Errorf("%s: a %s among creations cannot be counted", path, e.Request.Method)
			}
			r := e.Resource
			if c := e.Request.IfNoneExist; c != "" {
				if conditions[r.ResourceType+"?"+c] {
					continue
				}
				conditions[r.ResourceType+"?"+c] = true
			}
			out.total++
			out.counts[r.ResourceType]++
			switch r.ResourceType {
			case "Observation":
				var code struct {
					Coding []struct{ System, Code string }
				}
				if err := json.Unmarshal(r.Code, &code); err != nil {
					return nil, fmt.Errorf("%s: %w", path, err)
				}
				for _, c := range code.Coding {
					codes[c.System+"|"+c.Code]++
				}
			case "Patient":
				var name []struct{ Family string }
				if err := json.Unmarshal(r.Name, &name); err != nil {
					return nil, fmt.Errorf("%s: %w", path, err)
				}
				for _, n := range name {
					names[n.Family] = true
				}
			}
		}
	}
	for c := range codes {
		out.codes = append(out.codes, c)
	}
	slices.SortFunc(out.codes, func(a, b string) int { return codes[b] - codes[a] })
	for n := range names {
		out.names = append(out.names, n)
	}
	slices.Sort(out.names)
	return out, nil
}

type bundleEntry struct {
	Resource struct {
		ResourceType string
		Code         json.RawMessage // a code in some types, a CodeableConcept in others
		Name         json.RawMessage
	}
	Request struct{ Method, IfNoneExist string }
}

func readBundle(path string) ([]bundleEntry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var bundle struct{ Entry []bundleEntry }
	err = json.NewDecoder(bzip2.NewReader(f)).Decode(&bundle)
	return bundle.Entry, err
}
