package fhir

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/store/storetest"
)

// FuzzTerminology: whatever an operation is told, in the address and in the
// body, it answers, or refuses with a sentence for which the client is to blame.
func FuzzTerminology(f *testing.F) {
	set := `{"resourceType":"Parameters","parameter":[{"name":"valueSet","resource":{"resourceType":"ValueSet","compose":{"include":[{"system":"http://hl7.org/fhir/resource-types","filter":[{"property":"code","op":"regex","value":"A.*"}]}]}}}]}`
	f.Add(uint8(0), "url=http://hl7.org/fhir/ValueSet/administrative-gender&count=2&filter=m", "")
	f.Add(uint8(0), "", set)
	f.Add(uint8(1), "code=x", set)
	f.Add(uint8(2), "system=http://hl7.org/fhir/sid/icd-10&code=I10&property=child", "")
	f.Add(uint8(3), "", `{"resourceType":"Parameters","parameter":[{"name":"url","valueUri":"http://hl7.org/fhir/sid/icd-10"},{"name":"codeableConcept","valueCodeableConcept":{"coding":[{"code":"A00"}]}}]}`)
	f.Add(uint8(4), "system=a&codeA=b&codeB=c", "")
	f.Add(uint8(5), "", `{"resourceType":"Parameters","parameter":[{"name":"coding","valueCoding":{"system":"http://hl7.org/fhir/address-use","code":"home"}},{"name":"dependency","part":[{"name":"element","valueUri":"x"},{"name":"concept","valueCodeableConcept":{"coding":[{"code":"y"}]}}]}]}`)
	h, err := app.Build([]app.App{{Name: "clinical", Module: clinical.Module{Zone: time.UTC}}})
	if err != nil {
		f.Fatal(err)
	}
	clk := clock.NewManual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	k, err := kernel.Open(f.Context(), kernel.Options{Site: "test", Store: storetest.NewModel("test", h.Registry, clk), Registry: h.Registry, Clock: clk, Zone: time.UTC})
	if err != nil {
		f.Fatal(err)
	}
	defer k.Close()
	d := New(k, Options{})
	operations := []func(http.ResponseWriter, *http.Request, *identity.Principal) error{d.expand, d.validateInSet, d.lookup, d.validateInSystem, d.subsumes, d.translate}
	f.Fuzz(func(t *testing.T, op uint8, query, body string) {
		r := httptest.NewRequest(http.MethodGet, "/fhir/x", nil)
		if body != "" {
			r = httptest.NewRequest(http.MethodPost, "/fhir/x", strings.NewReader(body))
			r.Header.Set("Content-Type", ContentType)
		}
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		err := operations[int(op)%len(operations)](w, r, identity.Root())
		switch {
		case err == nil && w.Code != http.StatusOK:
			t.Fatalf("%d", w.Code)
		case err != nil && errs.KindOf(err) == errs.Internal:
			t.Fatal(err)
		}
	})
}
