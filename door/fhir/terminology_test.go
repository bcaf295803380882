package fhir_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/domain/terminology"
	"zhiwei/door/fhir"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/store/sqlite"
)

// serveTerms is serve with the concepts of imported systems.
func serveTerms(t *testing.T) *server {
	t.Helper()
	h, err := app.Build([]app.App{{Name: "clinical", Module: clinical.Module{Zone: time.UTC}}, {Name: "terminology", Module: terminology.Module{}}})
	if err != nil {
		t.Fatal(err)
	}
	st, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "a.db"), Site: "test", Defs: h.Registry, Clock: clock.System()})
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open(context.WithoutCancel(t.Context()), kernel.Options{Site: "test", Store: st, Registry: h.Registry, Clock: clock.System(), Zone: time.UTC, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, kernel: k, store: st, door: fhir.New(k, fhir.Options{Version: "test"})}
	t.Cleanup(func() {
		k.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	s.url = s.listen(&identity.Principal{Type: identity.User, ID: "user/ada", Name: "Ada", Roles: []string{clinical.RoleAdmin}})
	return s
}

// param finds a value in a Parameters answer: "display", or "property.code" for
// the parts of the first property.
func (a answer) param(name string) any {
	list, _ := a.json["parameter"].([]any)
	head, part, _ := strings.Cut(name, ".")
	for _, p := range list {
		m, _ := p.(map[string]any)
		if m["name"] != head {
			continue
		}
		if part != "" {
			inner, _ := m["part"].([]any)
			return answer{json: map[string]any{"parameter": inner}}.param(part)
		}
		for key, v := range m {
			if strings.HasPrefix(key, "value") {
				return v
			}
		}
	}
	return nil
}

// expansion lists the codes of an expansion.
func (a answer) expansion() string {
	x, _ := a.json["expansion"].(map[string]any)
	list, _ := x["contains"].([]any)
	var out []string
	for _, c := range list {
		code, _ := c.(map[string]any)["code"].(string)
		out = append(out, code)
	}
	return strings.Join(out, " ")
}

const icd10 = "http://hl7.org/fhir/sid/icd-10"

func TestTerminologyOperationsAsTheStandardWritesThem(t *testing.T) {
	s := serveTerms(t)
	gender := url.QueryEscape("http://hl7.org/fhir/ValueSet/administrative-gender")
	for _, x := range []struct {
		path   string
		status int
		param  string
		want   any
	}{
		{"/CodeSystem/$lookup?system=http://hl7.org/fhir/administrative-gender&code=female", 200, "display", "Female"},
		{"/CodeSystem/$lookup?system=http://hl7.org/fhir/administrative-gender&code=female", 200, "version", "4.0.1"},
		{"/CodeSystem/$lookup?system=" + icd10 + "&code=I10&property=parent", 200, "property.value", "I10-I15"},
		{"/CodeSystem/$lookup?system=" + icd10 + "&code=I10-I15&property=child", 200, "property.value", "I10"},
		{"/CodeSystem/$lookup?system=http://hl7.org/fhir/resource-types&code=Account&property=lang.es", 200, "designation.value", "Cuenta"},
		{"/CodeSystem/$lookup?system=http://hl7.org/fhir/resource-types&code=Account&displayLanguage=zh-CN", 200, "display", "账户"},
		{"/CodeSystem/$lookup?system=" + icd10 + "&code=Q", 404, "", nil},
		{"/CodeSystem/$lookup?code=Q", 400, "", nil},
		{"/CodeSystem/$lookup?system=" + icd10 + "&code=I10&colour=red", 400, "", nil},
		{"/CodeSystem/$lookup?system=" + icd10 + "&code=I10&date=2020", 400, "", nil},
		{"/CodeSystem/$lookup?system=" + icd10 + "&code=I10&code=I11", 400, "", nil},
		{"/CodeSystem/$validate-code?url=" + icd10 + "&code=I10", 200, "result", true},
		{"/CodeSystem/$validate-code?url=" + icd10 + "&code=I10&display=Flu", 200, "result", false},
		{"/ValueSet/$validate-code?url=" + gender + "&system=http://hl7.org/fhir/administrative-gender&code=male", 200, "result", true},
		{"/ValueSet/$validate-code?url=" + gender + "&system=http://hl7.org/fhir/administrative-gender&code=m", 200, "result", false},
		{"/ValueSet/$validate-code?url=" + gender, 400, "", nil},
		{"/ValueSet/$validate-code?code=male", 400, "", nil},
		{"/ValueSet/$validate-code?url=http://example.org/none&code=male", 404, "", nil},
		{"/CodeSystem/$subsumes?system=" + icd10 + "&codeA=I00-I99&codeB=I10", 200, "outcome", "subsumes"},
		{"/CodeSystem/$subsumes?system=" + icd10 + "&codeA=I10&codeB=I00-I99", 200, "outcome", "subsumed-by"},
		{"/CodeSystem/$subsumes?system=" + icd10 + "&codeA=I10&codeB=I10", 200, "outcome", "equivalent"},
		{"/CodeSystem/$subsumes?system=" + icd10 + "&codeA=I10&codeB=A00", 200, "outcome", "not-subsumed"},
		{"/ConceptMap/$translate?url=http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v2&system=http://hl7.org/fhir/administrative-gender&code=male", 200, "result", true},
		{"/ConceptMap/$translate?url=http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v2&system=http://hl7.org/fhir/administrative-gender&code=alien", 200, "result", false},
		{"/ConceptMap/$translate?url=http://example.org/none&system=a&code=b", 404, "", nil},
		{"/ValueSet/$expand?url=" + gender + "&count=x", 400, "", nil},
		{"/ValueSet/$expand?url=" + gender + "&activeOnly=perhaps", 400, "", nil},
		{"/ValueSet/$expand", 400, "", nil},
		{"/ValueSet/none/$expand", 404, "", nil},
		{"/ValueSet/$expand?url=" + gender + "&_format=xml", 406, "", nil},
	} {
		a := s.ask("GET", "/fhir"+x.path, nil)
		if a.status != x.status || x.param != "" && a.param(x.param) != x.want {
			t.Errorf("%s: %d %s", x.path, a.status, a.raw)
		}
		if x.status >= 400 && a.json["resourceType"] != "OperationOutcome" {
			t.Errorf("%s: %s", x.path, a.raw)
		}
	}
}

func TestExpandOverHTTP(t *testing.T) {
	s := serveTerms(t)
	a := s.ask("GET", "/fhir/ValueSet/$expand?url="+url.QueryEscape(icd10+"?fhir_vs=isa/A00-A09")+"&filter=%E9%9C%8D%E4%B9%B1&count=5", nil)
	if a.status != 200 || a.expansion() != "A00" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	x := a.json["expansion"].(map[string]any)
	if x["total"] != json.Number("1") && x["total"] != float64(1) || x["timestamp"] == nil || !strings.HasPrefix(x["identifier"].(string), "urn:uuid:") {
		t.Errorf("%v", x)
	}
	post := s.ask("POST", "/fhir/ValueSet/$expand", `{"resourceType":"Parameters","parameter":[
	 {"name":"valueSet","resource":{"resourceType":"ValueSet","status":"active","compose":{"include":[{"system":"http://hl7.org/fhir/resource-types","concept":[{"code":"Account"}]}]}}},
	 {"name":"includeDesignations","valueBoolean":true},{"name":"displayLanguage","valueCode":"zh"},{"name":"includeDefinition","valueBoolean":true}]}`)
	if post.status != 200 || post.expansion() != "Account" || !strings.Contains(string(post.raw), `"display":"账户"`) || post.json["compose"] == nil {
		t.Fatalf("%d %s", post.status, post.raw)
	}
	// A resource of one's own, by its id, its URL, and through the codes it
	// excludes; and what would be too much is said to be so.
	created := s.ask("POST", "/fhir/ValueSet", `{"resourceType":"ValueSet","url":"http://example.org/g","status":"active","compose":{"include":[{"system":"http://hl7.org/fhir/administrative-gender"}],"exclude":[{"system":"http://hl7.org/fhir/administrative-gender","concept":[{"code":"unknown"}]}]}}`)
	id, _ := created.json["id"].(string)
	for _, path := range []string{"/fhir/ValueSet/" + id + "/$expand", "/fhir/ValueSet/$expand?url=http://example.org/g"} {
		if a := s.ask("GET", path, nil); a.expansion() != "male female other" {
			t.Errorf("%s: %s", path, a.raw)
		}
	}
	if a := s.ask("GET", "/fhir/ValueSet/"+id+"/$validate-code?code=male&system=http://hl7.org/fhir/administrative-gender", nil); a.param("result") != true {
		t.Errorf("%s", a.raw)
	}
	if a := s.ask("GET", "/fhir/ValueSet/"+id+"/$expand?url=http://example.org/g", nil); a.status != 400 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	var all []string
	for _, u := range terminology.Standard().Systems() {
		if u != "http://snomed.info/sct" && u != "http://hl7.org/fhir/CodeSystem/summary" { // named in R4, but not in it
			all = append(all, `{"system":"`+u+`"}`)
		}
	}
	whole := `{"resourceType":"Parameters","parameter":[{"name":"valueSet","resource":{"resourceType":"ValueSet","status":"active","compose":{"include":[` + strings.Join(all, ",") + `]}}}]}`
	if a := s.ask("POST", "/fhir/ValueSet/$expand", whole); a.status != 422 || !strings.Contains(string(a.raw), `"too-costly"`) {
		t.Errorf("%d %.300s", a.status, a.raw)
	}
	if a := s.ask("POST", "/fhir/ValueSet/$expand?count=3&offset=20000", whole); a.status != 200 || len(strings.Fields(a.expansion())) != 3 {
		t.Errorf("%d %.300s", a.status, a.raw)
	}
}

func TestImportCodesOverHTTP(t *testing.T) {
	s := serveTerms(t)
	body := `{"system":"http://example.org/items","title":"收费项目","concepts":[{"code":"1","display":"静脉输液","properties":[{"code":"price","type":"decimal","value":"12.50"}]}],"last":true}`
	if a := s.ask("POST", "/fhir/$import-codes", body); a.status != 200 || a.json["written"] != float64(1) || a.json["total"] != float64(1) {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	a := s.ask("GET", "/fhir/CodeSystem/$lookup?system=http://example.org/items&code=1", nil)
	if a.param("name") != "收费项目" || !strings.Contains(string(a.raw), `"valueDecimal":12.50`) {
		t.Errorf("%s", a.raw)
	}
	if a := s.ask("GET", "/fhir/ValueSet/$expand?url="+url.QueryEscape("http://example.org/items?fhir_vs")+"&filter=jmsy", nil); a.expansion() != "1" {
		t.Errorf("%s", a.raw)
	}
	if a := s.ask("POST", "/fhir/$import-codes", `{"system":""}`); a.status != 400 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if a := s.ask("POST", "/fhir/$import-codes", `[]`); a.status != 400 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	nobody := s.listen(&identity.Principal{Type: identity.User, ID: "user/bob", Name: "Bob", Roles: []string{clinical.RoleReader}})
	if a := s.askAt(nobody, "POST", "/fhir/$import-codes", body); a.status != 403 {
		t.Errorf("%d %s", a.status, a.raw)
	}
}
