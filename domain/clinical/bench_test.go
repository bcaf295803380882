package clinical

import (
	"compress/bzip2"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"zhiwei/kernel/kind"
)

// syntheaDir holds the shared test data; it lies beside the project.
var syntheaDir = filepath.Join("..", "..", "..", "shared", "data", "fhir-synthea")

type sample struct {
	kind kind.Kind
	raw  []byte
}

// synthea reads the resources of every fortieth bundle.
var synthea = sync.OnceValues(func() ([]sample, error) {
	files, err := filepath.Glob(filepath.Join(syntheaDir, "*.bz2"))
	if err != nil || len(files) == 0 {
		return nil, err
	}
	var out []sample
	for i := 0; i < len(files); i += 40 {
		f, err := os.Open(files[i])
		if err != nil {
			return nil, err
		}
		var bundle struct {
			Entry []struct{ Resource json.RawMessage }
		}
		err = json.NewDecoder(bzip2.NewReader(f)).Decode(&bundle)
		f.Close()
		if err != nil {
			return nil, err
		}
		for _, e := range bundle.Entry {
			var head struct{ ResourceType string }
			if err := json.Unmarshal(e.Resource, &head); err != nil {
				return nil, err
			}
			out = append(out, sample{kind.Kind{Name: head.ResourceType}, resolveForTest(e.Resource)})
		}
	}
	return out, nil
})

// resolveForTest puts ids in place of the conditional references that only a
// transaction may hold.
func resolveForTest(raw []byte) []byte {
	return conditional.ReplaceAll(raw, []byte(`"reference": "$1/x"`))
}

var conditional = regexp.MustCompile(`"reference": "(\w+)\?[^"]*"`)

func samples(tb testing.TB) []sample {
	tb.Helper()
	s, err := synthea()
	if err != nil {
		tb.Fatal(err)
	}
	if len(s) == 0 {
		tb.Skip("no Synthea bundles in " + syntheaDir)
	}
	return s
}

func BenchmarkParseIndex(b *testing.B) {
	s := samples(b)
	f := NewFormat(time.UTC)
	bytes := 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x := &s[i%len(s)]
		bytes += len(x.raw)
		doc, _, err := f.Parse(&x.kind, x.raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.Index(&x.kind, doc); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(bytes)/float64(b.N), "B/resource")
}

func BenchmarkDefinitions(b *testing.B) {
	for b.Loop() {
		load()
	}
}
