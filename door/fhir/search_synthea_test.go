package fhir_test

import (
	"compress/bzip2"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/door/fhir"
	"zhiwei/kernel/identity"
)

// res is a resource as any reader of JSON has it.
type res map[string]any

// at gives the values at a dotted path, through lists.
func (r res) at(path string) []any {
	list := []any{map[string]any(r)}
	for name := range strings.SplitSeq(path, ".") {
		var next []any
		for _, v := range list {
			m, ok := v.(map[string]any)
			if !ok {
				continue
			}
			switch x := m[name].(type) {
			case nil:
			case []any:
				next = append(next, x...)
			default:
				next = append(next, x)
			}
		}
		list = next
	}
	return list
}

func (r res) has(path string, want any) bool { return slices.Contains(r.at(path), want) }

func (r res) text(path string) string {
	for _, v := range r.at(path) {
		if s, ok := v.(string); ok {
			return s
		}
	}
	return ""
}

// synthea imports the hospitals, the practitioners and three patients, and gives
// the resources as they stand in the files, by their URLs.
func synthea(t *testing.T, s *server) map[string]res {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "data", "fhir-synthea")
	files, err := filepath.Glob(filepath.Join(dir, "*.bz2"))
	if err != nil || len(files) < 5 {
		t.Skip("no Synthea bundles in " + dir)
	}
	slices.Sort(files) // hospitals and practitioners first
	out := map[string]res{}
	for _, name := range files[:5] {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(bzip2.NewReader(f))
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.door.Import(context.Background(), identity.Root(), fhir.Unit{Name: filepath.Base(name), Data: raw}); err != nil {
			t.Fatal(err)
		}
		var bundle struct {
			Entry []struct {
				FullURL  string
				Resource res
			}
		}
		if err := json.Unmarshal(raw, &bundle); err != nil {
			t.Fatal(err)
		}
		for _, e := range bundle.Entry {
			out[e.FullURL] = e.Resource
		}
	}
	return out
}

// What searches count over Synthea is what a plain reader of the files counts.
//
// Proves C1.31 as far as records go: one centre answers for what others wrote.
func TestSearchCountsOverSynthea(t *testing.T) {
	s := serve(t)
	all := synthea(t, s)
	t.Logf("%d resources", len(all))
	refers := func(r res, path string, holds func(res) bool) bool {
		for _, v := range r.at(path + ".reference") {
			if x, ok := all[v.(string)]; ok && holds(x) {
				return true
			}
		}
		return false
	}
	// some code of the data that is neither everywhere nor alone
	codes := map[string]int{}
	for _, r := range all {
		if r["resourceType"] == "Observation" {
			codes[r.text("code.coding.code")]++
		}
	}
	byCount := slices.SortedFunc(maps.Keys(codes), func(a, b string) int { return codes[b] - codes[a] })
	five := byCount[:5]
	for _, c := range []struct {
		query string
		holds func(r res) bool
	}{
		{"Observation", func(res) bool { return true }},
		{"Observation?code=http://loinc.org|" + five[1], func(r res) bool { return r.has("code.coding.code", five[1]) }},
		{"Observation?code=" + strings.Join(five, ","), func(r res) bool {
			return slices.ContainsFunc(five, func(c string) bool { return r.has("code.coding.code", c) })
		}},
		{"Observation?code:not=" + five[0], func(r res) bool { return !r.has("code.coding.code", five[0]) }},
		{"Observation?category=vital-signs", func(r res) bool { return r.has("category.coding.code", "vital-signs") }},
		{"Observation?category:missing=true", func(r res) bool { return len(r.at("category")) == 0 }},
		{"Observation?status=final", func(r res) bool { return r["status"] == "final" }},
		{"Observation?component-code=8480-6", func(r res) bool { return r.has("component.code.coding.code", "8480-6") }},
		{"Observation?combo-code=8480-6", func(r res) bool {
			return r.has("component.code.coding.code", "8480-6") || r.has("code.coding.code", "8480-6")
		}},
		{"Observation?component-code-value-quantity=8480-6$ge120", func(r res) bool {
			for _, x := range r.at("component") {
				c := res(x.(map[string]any))
				if v := c.at("valueQuantity.value"); c.has("code.coding.code", "8480-6") && len(v) > 0 && v[0].(float64) >= 120 {
					return true
				}
			}
			return false
		}},
		{"Observation?value-quantity=gt50", func(r res) bool {
			v := r.at("valueQuantity.value")
			return len(v) > 0 && v[0].(float64) > 50
		}},
		{"Observation?value-quantity=lt10&value-quantity=gt5", func(r res) bool {
			v := r.at("valueQuantity.value")
			return len(v) > 0 && v[0].(float64) > 5 && v[0].(float64) < 10
		}},
		{"Observation?date=ge2015-01-01T00:00:00Z&date=lt2018-01-01T00:00:00Z", func(r res) bool {
			d := utc(t, r.text("effectiveDateTime"))
			return d >= "2015-01-01T00:00:00" && d < "2018-01-01T00:00:00"
		}},
		{"Observation?subject:Patient.gender=male", func(r res) bool {
			return refers(r, "subject", func(p res) bool { return p["gender"] == "male" })
		}},
		{"Observation?patient.birthdate=lt1970", func(r res) bool {
			return refers(r, "subject", func(p res) bool { return p["birthDate"].(string) < "1970" })
		}},
		{"Observation?encounter.class=AMB&encounter.subject:Patient.gender=female", func(r res) bool {
			return refers(r, "encounter", func(e res) bool {
				return e.has("class.code", "AMB") && refers(e, "subject", func(p res) bool { return p["gender"] == "female" })
			})
		}},
		{"Patient?_has:Observation:patient:code=" + five[2], func(r res) bool {
			for _, o := range all {
				if o["resourceType"] == "Observation" && o.has("code.coding.code", five[2]) && refers(o, "subject", func(p res) bool { return p.text("id") == r.text("id") }) {
					return true
				}
			}
			return false
		}},
		{"Encounter?class=EMER,IMP", func(r res) bool { return r.has("class.code", "EMER") || r.has("class.code", "IMP") }},
		{"Encounter?type:text=encounter", func(r res) bool {
			for _, v := range append(r.at("type.text"), r.at("type.coding.display")...) {
				if strings.HasPrefix(strings.ToLower(v.(string)), "encounter") {
					return true
				}
			}
			return false
		}},
		{"Condition?clinical-status=active", func(r res) bool { return r.has("clinicalStatus.coding.code", "active") }},
		{"Condition?recorded-date:missing=false", func(r res) bool { return len(r.at("recordedDate")) > 0 }},
		{"MedicationRequest?status=active,stopped&intent=order", func(r res) bool { return r["status"] != "completed" && r["intent"] == "order" }},
		{"DiagnosticReport?result.code=" + five[1], func(r res) bool {
			return refers(r, "result", func(o res) bool { return o.has("code.coding.code", five[1]) })
		}},
		{"Claim?priority=normal", func(r res) bool { return r.has("priority.coding.code", "normal") }},
		{"ExplanationOfBenefit?claim.status=active", func(r res) bool {
			return refers(r, "claim", func(x res) bool { return x["status"] == "active" })
		}},
		{"Immunization?vaccine-code=140", func(r res) bool { return r.has("vaccineCode.coding.code", "140") }},
		{"Organization?address-state=MA", func(r res) bool { return r.has("address.state", "MA") }},
		{"Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|nobody", func(res) bool { return false }},
		{"Patient?telecom:missing=false", func(r res) bool { return len(r.at("telecom")) > 0 }},
		{"Observation?_profile:missing=false", func(r res) bool { return len(r.at("meta.profile")) > 0 }},
		{"Observation?_profile=http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab", func(r res) bool {
			return r.has("meta.profile", "http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab")
		}},
	} {
		typ, query, _ := strings.Cut(c.query, "?")
		want := 0
		for _, r := range all {
			if r["resourceType"] == typ && c.holds(r) {
				want++
			}
		}
		a := s.ask("GET", "/fhir/"+typ+"?"+escaped(t, query+"&_summary=count"), nil).want(t, 200)
		if got := a.at("total"); got != float64(want) {
			t.Errorf("%s: %v, want %d", c.query, got, want)
		}
		t.Logf("%5d %s", want, c.query)
	}
	five500 := make([]string, 500)
	for i := range five500 {
		five500[i] = fmt.Sprint("none-", i)
	}
	five500[250] = five[0]
	a := s.ask("GET", "/fhir/Observation?_summary=count&code="+strings.Join(five500, ","), nil).want(t, 200)
	if got := a.at("total"); got != float64(codes[five[0]]) {
		t.Errorf("one of 500 codes: %v, want %d", got, codes[five[0]])
	}
}

// utc is a dateTime with a zone as it is in UTC, without fraction and zone.
func utc(t *testing.T, s string) string {
	if s == "" {
		return ""
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC().Format("2006-01-02T15:04:05")
}
