package fhir

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/store/storetest"
)

// FuzzQuery: a query string is refused with Invalid or understood, and what was
// understood, written as the self link, is understood the same.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"name=zhang&birthdate=ge2020-01-01&_sort=-birthdate,_id&_count=5", "identifier=a|b,c&_has:Observation:patient:code=1",
		"general-practitioner:Practitioner.name=x", "name:exact=a%5C,b", "_id=1&_total=accurate&_summary=count", "patient=", "%zz", "_lastUpdated=lt2020", "name=%E5%BC%A0",
	} {
		f.Add(s)
	}
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
	f.Fuzz(func(t *testing.T, raw string) {
		a, err := d.parseQuery("Patient", raw, "http://x/fhir", false)
		if err != nil {
			if !errs.Is(err, errs.Invalid) {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		for _, c := range a.query.Where {
			if strings.HasPrefix(c.Param, "_") && c.Param != "_id" && c.Param != "_updated" {
				t.Fatalf("%q asks for %s", raw, c.Param)
			}
		}
		self := selfLink(a).Encode()
		b, err := d.parseQuery("Patient", self, "http://x/fhir", false)
		if err != nil || len(b.query.Where) != len(a.query.Where) || len(b.query.Sort) != len(a.query.Sort) || b.countOnly != a.countOnly {
			t.Fatalf("%q becomes %q: %v", raw, self, err)
		}
		if _, err := url.ParseQuery(self); err != nil {
			t.Fatal(err)
		}
	})
}
