package clinical

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"zhiwei/domain/clinical/internal/table"
	"zhiwei/domain/terminology"
)

// examplesDir holds the example resources published with FHIR; it lies beside
// the project.
var examplesDir = filepath.Join("..", "..", "..", "shared", "data", "fhirpath", "examples")

func newTestValidator(o ValidatorOptions) *Validator {
	o.Contains = terminology.Standard().Contains
	return NewValidator(o)
}

// unsound are the examples that R4 itself refuses, with the reason.
var unsound = map[string]string{
	"bundle-questionnaire.json":       "an item has no linkId, which R4 requires",
	"codesystem-example.json":         "the code chol-mass stands twice (csd-1)",
	"devicemetric-example.json":       "source refers to a DeviceDefinition where R4 allows a Device only",
	"deviceusestatement-example.json": "derivedFrom refers to a Procedure, which R4 does not allow there",
	"medicationrequest0301.json":      "the performer of dispenseRequest refers to a Practitioner where R4 allows an Organization only",
}

// Every example that the standard publishes is valid.
func TestExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examplesDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("no examples in " + examplesDir)
	}
	v := newTestValidator(ValidatorOptions{Advice: true})
	for _, file := range files {
		name := filepath.Base(file)
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var head struct{ ResourceType string }
		if err := json.Unmarshal(raw, &head); err != nil {
			t.Fatal(err)
		}
		var issues []Issue
		p, err := parse(head.ResourceType, raw)
		var r *Rejection
		if errors.As(err, &r) {
			issues = r.Issues
		} else if issues = v.Check(head.ResourceType, p.doc); unsound[name] != "" && !hasError(issues) {
			t.Errorf("%s is valid, though %s", name, unsound[name])
		}
		for _, i := range issues {
			if i.Severity == SeverityError && unsound[name] == "" || i.Code == "processing" {
				t.Errorf("%s: %s %s %s: %s", name, i.Severity, i.Expression, i.Key, i.EN)
			}
		}
	}
}

// Synthea's resources are valid.
func TestSyntheaIsValid(t *testing.T) {
	v := newTestValidator(ValidatorOptions{})
	seen := map[string]int{}
	for _, s := range samples(t) {
		p, err := parse(s.kind.Name, s.raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range v.Check(s.kind.Name, p.doc) {
			if seen[i.Key+i.EN]++; seen[i.Key+i.EN] < 3 {
				t.Errorf("%s %s %s: %s", s.kind.Name, i.Expression, i.Key, i.EN)
			}
		}
	}
}

// Loading what validation needs beside the definitions.
func BenchmarkRules(b *testing.B) {
	d := r4()
	FHIRPathModel()
	for b.Loop() {
		t, err := table.DecodeRules(packedRules)
		if err != nil {
			b.Fatal(err)
		}
		d.rulebook(t)
	}
}

func BenchmarkCheck(b *testing.B) {
	s := samples(b)
	v := newTestValidator(ValidatorOptions{})
	docs := make([]map[string]any, len(s))
	for i := range s {
		p, err := parse(s[i].kind.Name, s[i].raw)
		if err != nil {
			b.Fatal(err)
		}
		docs[i] = p.doc
		v.Check(s[i].kind.Name, p.doc)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		v.Check(s[i%len(s)].kind.Name, docs[i%len(s)])
	}
}

// Every constraint is explained in Chinese, and every one can be compiled.
func TestConstraintsAreReady(t *testing.T) {
	seen := map[*invariant]bool{}
	for ty, tr := range rules().types {
		list := slices.Clone(tr.own)
		for _, er := range tr.props {
			if er != nil {
				list = append(list, er.invariants...)
			}
		}
		for _, inv := range list {
			if seen[inv] {
				continue
			}
			seen[inv] = true
			if inv.humanZH == "" || inv.human == "" {
				t.Errorf("%s: %s has no sentence (%s)", ty.name, inv.key, inv.human)
			}
			if _, err := inv.program(); err != nil {
				t.Errorf("%s: %s: %v", ty.name, inv.key, err)
			}
		}
	}
	if len(seen) < 200 {
		t.Errorf("%d constraints", len(seen))
	}
}

// A constraint that is not evaluated for want of an element would hold.
func TestIdleConstraintsHold(t *testing.T) {
	quick := newTestValidator(ValidatorOptions{Advice: true})
	packed, err := table.DecodeRules(packedRules)
	if err != nil {
		t.Fatal(err)
	}
	slow := newTestValidator(ValidatorOptions{Advice: true})
	slow.rules = r4().rulebook(packed)
	skipped := 0
	for _, tr := range slow.rules.types {
		for _, inv := range tr.own {
			if inv.needs != nil {
				inv.needs, skipped = nil, skipped+1
			}
		}
	}
	if skipped < 60 {
		t.Errorf("only %d constraints need an element", skipped)
	}
	var all []string
	files, err := filepath.Glob(filepath.Join(examplesDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(raw))
	}
	for _, c := range broken {
		all = append(all, c.raw)
	}
	for _, raw := range append(all, sound...) {
		name, _ := Head([]byte(raw))
		p, err := parse(name, []byte(raw))
		if err != nil {
			continue
		}
		if a, b := quick.Check(name, p.doc), slow.Check(name, p.doc); !slices.Equal(a, b) {
			t.Errorf("%.200s:\n%v\n%v", raw, a, b)
		}
	}
}
