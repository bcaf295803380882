package fhir_test

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/bzip2"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"zhiwei/domain/clinical"
	"zhiwei/door/fhir"
	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// refs lists what a Bundle holds, as Type/id (mode), in order.
func (a answer) refs() []string {
	var out []string
	list, _ := a.json["entry"].([]any)
	for _, e := range list {
		r := fmt.Sprint(walk(e, "resource", "resourceType"), "/", walk(e, "resource", "id"))
		if walk(e, "search", "mode") == "include" {
			r += "+"
		}
		out = append(out, r)
	}
	slices.Sort(out)
	return out
}

func TestEverything(t *testing.T) {
	s := serve(t)
	for _, r := range []string{
		`{"resourceType":"Organization","id":"top","name":"Top"}`,
		`{"resourceType":"Organization","id":"org","name":"Org","partOf":{"reference":"Organization/top"}}`,
		`{"resourceType":"Practitioner","id":"doc"}`,
		`{"resourceType":"Patient","id":"p","managingOrganization":{"reference":"Organization/org"}}`,
		`{"resourceType":"Patient","id":"q"}`,
		`{"resourceType":"Encounter","id":"e","status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/p"},"period":{"start":"2020-03-01","end":"2020-03-02"}}`,
		`{"resourceType":"Observation","id":"o1","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"},"encounter":{"reference":"Encounter/e"},"effectiveDateTime":"2020-03-01","performer":[{"reference":"Practitioner/doc"}]}`,
		`{"resourceType":"Observation","id":"o2","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"},"effectiveDateTime":"2021-03-01"}`,
		// Performed by the patient on another: in both compartments, once each.
		`{"resourceType":"Observation","id":"o3","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/q"},"performer":[{"reference":"Patient/p"}]}`,
		// About the patient in a way that makes it nobody's record.
		`{"resourceType":"Observation","id":"o4","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/q"},"focus":[{"reference":"Patient/p"}]}`,
		`{"resourceType":"AllergyIntolerance","id":"a","patient":{"reference":"Patient/p"},"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical","code":"active"}]}}`,
	} {
		typ, id := clinical.Head([]byte(r))
		s.ask("PUT", "/fhir/"+typ+"/"+id, r).want(t, 201)
	}
	for _, c := range []struct{ path, want string }{
		{"Patient/p/$everything", "AllergyIntolerance/a Encounter/e Observation/o1 Observation/o2 Observation/o3 Organization/org+ Organization/top+ Patient/p Practitioner/doc+"},
		{"Patient/p/$everything?_type=Observation,Patient", "Observation/o1 Observation/o2 Observation/o3 Patient/p"},
		{"Patient/p/$everything?_type=Encounter", "Encounter/e"},
		{"Patient/p/$everything?_since=2999-01-01T00:00:00Z", ""},
		{"Patient/p/$everything?_type=Observation&start=2020-01-01&end=2020-12-31", "Observation/o1"},
		{"Patient/q/$everything", "Observation/o3 Observation/o4 Patient/q"},
		{"Encounter/e/$everything", "Encounter/e Observation/o1 Patient/p+ Organization/org+ Organization/top+ Practitioner/doc+"},
		{"Practitioner/doc/$everything?_type=Observation", "Observation/o1"},
	} {
		a := s.ask("GET", "/fhir/"+c.path, nil).want(t, 200)
		want := strings.Fields(c.want)
		slices.Sort(want)
		if got := strings.Join(a.refs(), " "); got != strings.Join(want, " ") || a.at("total") != float64(len(want)) || a.at("type") != "searchset" {
			t.Errorf("%s: %s, want %s", c.path, got, c.want)
		}
	}
	// Page by page: the compartment once, in whatever pages.
	for _, count := range []int{1, 2, 3, 100} {
		var seen []string
		a := s.ask("GET", fmt.Sprintf("/fhir/Patient/p/$everything?_count=%d", count), nil).want(t, 200)
		for pages := 0; ; pages++ {
			for _, r := range a.refs() {
				if !strings.HasSuffix(r, "+") {
					seen = append(seen, r)
				}
			}
			next := a.link("next")
			if next == "" || pages > 20 {
				break
			}
			a = s.ask("GET", next, nil).want(t, 200)
		}
		slices.Sort(seen)
		if got := strings.Join(seen, " "); got != "AllergyIntolerance/a Encounter/e Observation/o1 Observation/o2 Observation/o3 Patient/p" {
			t.Errorf("pages of %d: %s", count, got)
		}
	}
	post := s.ask("POST", "/fhir/Patient/p/$everything", `{"resourceType":"Parameters","parameter":[{"name":"_type","valueCode":"Encounter"}]}`).want(t, 200)
	if got := strings.Join(post.refs(), " "); got != "Encounter/e" {
		t.Errorf("%s", got)
	}
	for path, status := range map[string]int{
		"Patient/none/$everything": 404, "Patient/p/$everything?x=1": 400, "Patient/p/$everything?_type=Nonsense": 400, "Patient/p/$everything?_count=0": 400,
		"Patient/p/$everything?_after=x": 400, "Patient/p/$everything?start=soon": 400, "Observation/o1/$everything": 404, "Patient/p/$everything?_since=2020": 400,
	} {
		s.ask("GET", "/fhir/"+path, nil).want(t, status)
	}
	// Whoever may not see a record does not get it here either.
	if _, err := s.kernel.Write(context.Background(), identity.Root(), kernel.Change{Op: record.Create, Key: record.Key{Kind: clinical.TreatingKind, ID: "t1"}, Data: []byte(`{"member":"Practitioner/doc","patient":"Patient/q"}`)}); err != nil {
		t.Fatal(err)
	}
	bob := s.listen(&identity.Principal{Type: identity.User, ID: "user/bob", Person: "Practitioner/doc", Roles: []string{clinical.RoleClinician}})
	s.askAt(bob, "GET", "/fhir/Patient/p/$everything", nil).want(t, 404)
	if got := strings.Join(s.askAt(bob, "GET", "/fhir/Patient/q/$everything", nil).want(t, 200).refs(), " "); got != "Observation/o3 Observation/o4 Patient/q" {
		t.Errorf("%s", got)
	}
}

// synthea loads one patient of the Synthea set and whom he refers to, and gives
// the number of resources; the test is skipped where the set is absent.
func (s *server) synthea() int64 {
	s.t.Helper()
	files, _ := filepath.Glob("../../../shared/data/fhir-synthea/*.bz2")
	slices.SortStableFunc(files, func(a, b string) int { // hospitals and practitioners first
		return cmp.Compare(strings.Count(b, "Information"), strings.Count(a, "Information"))
	})
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			s.t.Fatal(err)
		}
		raw, err := io.ReadAll(bzip2.NewReader(bufio.NewReader(f)))
		f.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		whom := strings.Contains(name, "Information")
		if n := bytes.Count(raw, []byte(`"resource":`)); !whom && (n < 600 || n > 1000) {
			continue
		}
		rep, err := s.door.Import(context.Background(), identity.Root(), fhir.Unit{Name: filepath.Base(name), Data: raw})
		if err != nil {
			s.t.Fatal(err)
		}
		if !whom {
			return rep.Total
		}
	}
	s.t.Skip("../shared/data/fhir-synthea is absent: no patient of Synthea to read")
	return 0
}

// BenchmarkEverything reads a patient of Synthea whole over HTTP from 32
// connections.
func BenchmarkEverything(b *testing.B) {
	s := serve(b)
	total := s.synthea()
	a := s.ask("GET", "/fhir/Patient", nil)
	id, _ := a.at("entry", 0, "resource", "id").(string)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	var bytesRead atomic.Int64
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := client.Get(s.url + "/fhir/Patient/" + id + "/$everything")
			if err != nil {
				b.Error(err)
				return
			}
			n, err := io.Copy(io.Discard, res.Body)
			if err != nil || res.StatusCode != http.StatusOK {
				b.Error(res.Status, err)
			}
			bytesRead.Add(n)
			res.Body.Close()
		}
	})
	b.ReportMetric(float64(total), "resources")
	b.ReportMetric(float64(bytesRead.Load())/float64(b.N)/1e6, "MB/answer")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
}

// A patient of Synthea comes back whole: every resource of the file, once.
func TestEverythingOfSynthea(t *testing.T) {
	s := serve(t)
	total := s.synthea()
	id, _ := s.ask("GET", "/fhir/Patient", nil).want(t, 200).at("entry", 0, "resource", "id").(string)
	a := s.ask("GET", "/fhir/Patient/"+id+"/$everything", nil).want(t, 200)
	counts, err := s.kernel.Counts(context.Background(), identity.Root())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	seen := map[string]bool{}
	for _, r := range a.refs() {
		if seen[r] {
			t.Errorf("%s came twice", r)
		}
		seen[r] = true
		typ, _, _ := strings.Cut(r, "/")
		got[typ]++
	}
	for typ, n := range counts {
		switch typ {
		case "Organization", "Practitioner", "PractitionerRole", "Location":
			continue // whom the patient never met is not his
		}
		if clinical.IsResourceType(typ) && got[typ] != n {
			t.Errorf("%d of %d %s", got[typ], n, typ)
		}
	}
	t.Logf("%d resources of a file of %d", len(seen), total)
}
