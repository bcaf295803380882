package fhir_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/door/fhir"
	"zhiwei/kernel"
	"zhiwei/kernel/app"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/store/sqlite"
)

// staff brings the accounts that openings name.
type staff struct{}

func (staff) Register(r *app.Registrar) error {
	r.Kind(kind.Kind{
		Name: "user", Plural: "users", Title: kind.T("用户", "User"),
		Fields: []kind.Field{{Name: "name", Type: kind.String, Title: kind.T("姓名", "Name")}},
		Access: []kind.Grant{{Role: "*", Can: []string{"read"}}},
	})
	return nil
}

// practice is a server with two patients, a doctor who treats the first, and a
// clock that only the test moves.
type practice struct {
	*server
	clock  *clock.Manual
	doctor string // address as the doctor: Practitioner/who, may break the glass
	reader string // as one who reads all clinical data
	keeper string // as the audit administrator
}

func openPractice(t *testing.T) *practice {
	t.Helper()
	h, err := app.Build([]app.App{{Name: "clinical", Module: clinical.Module{Zone: time.UTC}}, {Name: "staff", Module: staff{}}})
	if err != nil {
		t.Fatal(err)
	}
	clk := clock.NewManual(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))
	st, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "a.db"), Site: "test", Defs: h.Registry, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open(t.Context(), kernel.Options{Site: "test", Store: st, Registry: h.Registry, Clock: clk, Zone: time.UTC, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &practice{server: &server{t: t, kernel: k, store: st, door: fhir.New(k, fhir.Options{Version: "test"})}, clock: clk}
	c.url = c.listen(&identity.Principal{Type: identity.User, ID: "user/ada", Name: "Ada", Roles: []string{clinical.RoleAdmin}})
	c.doctor = c.listen(&identity.Principal{Type: identity.User, ID: "user/bo", Name: "Bo", Person: "Practitioner/who", Roles: []string{clinical.RoleBreakGlass, clinical.RoleClinician}})
	c.reader = c.listen(&identity.Principal{Type: identity.User, ID: "user/cy", Name: "Cy", Roles: []string{clinical.RoleReader}})
	c.keeper = c.listen(&identity.Principal{Type: identity.User, ID: "user/kim", Name: "Kim", Roles: []string{kernel.RoleAuditAdmin}})
	c.own("user", "bo", `{"name":"Bo"}`)
	for _, r := range []string{
		`{"resourceType":"Practitioner","id":"who"}`, `{"resourceType":"Practitioner","id":"other"}`,
		`{"resourceType":"Patient","id":"a","name":[{"family":"Zhang"}]}`, `{"resourceType":"Patient","id":"b","name":[{"family":"Wang"}]}`,
		observation("oa", "a"), observation("ob", "b"),
		`{"resourceType":"Appointment","id":"both","status":"proposed","participant":[{"status":"accepted","actor":{"reference":"Patient/a"}},{"status":"accepted","actor":{"reference":"Patient/b"}}]}`,
	} {
		c.put(r)
	}
	c.own(clinical.TreatingKind, "t1", `{"member":"Practitioner/who","patient":"Patient/a"}`)
	return c
}

func observation(id, patient string) string {
	return fmt.Sprintf(`{"resourceType":"Observation","id":%q,"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"subject":{"reference":"Patient/%s"},"effectiveDateTime":"2026-03-01T07:00:00Z"}`, id, patient)
}

// own writes a record that is not FHIR.
func (c *practice) own(kindName, id, data string) {
	c.t.Helper()
	_, err := c.kernel.Write(c.t.Context(), identity.Root(), kernel.Change{Op: record.Create, Key: record.Key{Kind: kindName, ID: id}, Data: json.RawMessage(data)})
	if err != nil {
		c.t.Fatal(err)
	}
}

// put writes a resource under its id, as the administrator.
func (c *practice) put(resource string) answer {
	c.t.Helper()
	typ, id := clinical.Head([]byte(resource))
	a := c.ask(http.MethodPut, "/fhir/"+typ+"/"+id, resource)
	if a.status != http.StatusCreated && a.status != http.StatusOK {
		c.t.Fatalf("PUT %s/%s: %d %s", typ, id, a.status, a.raw)
	}
	return a
}

// sees tells which of some paths an address reads, by every way there is: read,
// history, search, chain, include and counting all give the same answer.
func (c *practice) sees(as, typ, id string) bool {
	c.t.Helper()
	get := func(path string) answer { return c.askAt(as, http.MethodGet, path, nil) }
	read := get("/fhir/"+typ+"/"+id).status == http.StatusOK
	ways := map[string]bool{
		"history":         get("/fhir/"+typ+"/"+id+"/_history").status == http.StatusOK,
		"vread":           get("/fhir/"+typ+"/"+id+"/_history/1").status == http.StatusOK,
		"search":          len(ids(get("/fhir/"+typ+"?_id="+id))) == 1,
		"count":           total(get("/fhir/"+typ+"?_id="+id+"&_summary=count")) == 1,
		"history of type": strings.Contains(string(get("/fhir/"+typ+"/_history?_count=1000").raw), "/"+typ+"/"+id+`"`),
	}
	for way, seen := range ways {
		if seen != read {
			c.t.Errorf("%s/%s is read: %v, but by %s: %v", typ, id, read, way, seen)
		}
	}
	return read
}

func total(a answer) int {
	n, _ := a.json["total"].(float64)
	return int(n)
}

func ids(a answer) (out []string) {
	entries, _ := a.json["entry"].([]any)
	for _, e := range entries {
		m, _ := e.(map[string]any)
		r, _ := m["resource"].(map[string]any)
		if r["resourceType"] != "OperationOutcome" {
			out = append(out, fmt.Sprint(r["id"]))
		}
	}
	return out
}

func (c *practice) expect(as string, seen, hidden []string) {
	c.t.Helper()
	for _, want := range []bool{true, false} {
		list := hidden
		if want {
			list = seen
		}
		for _, path := range list {
			typ, id, _ := strings.Cut(path, "/")
			if got := c.sees(as, typ, id); got != want {
				c.t.Errorf("%s is seen: %v, want %v", path, got, want)
			}
		}
	}
}

// A record is in the compartment of each patient it names, and whoever treats
// one of them sees it.
//
// Proves C1.01: compartments in the visibility predicate.
func TestARecordBelongsToEveryPatientOfItsCompartment(t *testing.T) {
	c := openPractice(t)
	c.expect(c.doctor, []string{"Patient/a", "Observation/oa", "Appointment/both"}, []string{"Patient/b", "Observation/ob"})
	c.expect(c.reader, []string{"Patient/a", "Patient/b", "Observation/ob", "Appointment/both"}, nil)
	// What was deleted stays with those who saw it, its past too.
	if a := c.ask(http.MethodDelete, "/fhir/Appointment/both", nil); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	if a := c.askAt(c.doctor, http.MethodGet, "/fhir/Appointment/both", nil); a.status != http.StatusGone {
		t.Errorf("a deleted appointment of a treated patient: %d", a.status)
	}
	// It keeps nobody from being deleted.
	for _, path := range []string{"Observation/ob", "Patient/b"} {
		if a := c.ask(http.MethodDelete, "/fhir/"+path, nil); a.status != http.StatusNoContent {
			t.Errorf("DELETE %s: %d %s", path, a.status, a.raw)
		}
	}
	// Nobody writes for whom he does not treat.
	if a := c.askAt(c.doctor, http.MethodPut, "/fhir/Observation/n", observation("n", "b")); a.status != http.StatusForbidden && a.status != http.StatusConflict {
		t.Errorf("an observation of a patient that is not treated: %d %s", a.status, a.raw)
	}
	if a := c.askAt(c.doctor, http.MethodPut, "/fhir/Observation/n", observation("n", "a")); a.status != http.StatusCreated {
		t.Errorf("an observation of a patient that is treated: %d %s", a.status, a.raw)
	}
}

const consentHead = `{"resourceType":"Consent","id":"c","status":"active","scope":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentscope","code":"patient-privacy"}]},"category":[{"coding":[{"system":"http://loinc.org","code":"59284-0"}]}],"patient":{"reference":"Patient/a"},"policyRule":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"OPTIN"}]}`

func consent(provision string) string { return consentHead + `,"provision":` + provision + `}` }

func actor(who string) string {
	return `"actor":[{"role":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"PRCP"}]},"reference":{"reference":"` + who + `"}}]`
}

// An active consent that denies beats the treating relation; what it does not
// name stays as it was.
//
// Proves C1.01: consent in the visibility predicate.
func TestConsentDenies(t *testing.T) {
	class := func(code string) string {
		return `"class":[{"system":"http://hl7.org/fhir/resource-types","code":"` + code + `"}]`
	}
	for name, x := range map[string]struct {
		provision    string
		seen, hidden []string
	}{
		"everybody":               {`{"type":"deny"}`, nil, []string{"Patient/a", "Observation/oa", "Appointment/both"}},
		"by name":                 {`{"type":"deny",` + actor("Practitioner/who") + `}`, nil, []string{"Patient/a", "Observation/oa"}},
		"another":                 {`{"type":"deny",` + actor("Practitioner/other") + `}`, []string{"Patient/a", "Observation/oa"}, nil},
		"a class":                 {`{"type":"deny",` + class("Observation") + `}`, []string{"Patient/a"}, []string{"Observation/oa"}},
		"all but one":             {`{"type":"deny","provision":[{"type":"permit",` + actor("Practitioner/who") + `}]}`, []string{"Patient/a", "Observation/oa"}, nil},
		"all but one, of a class": {`{"type":"deny","provision":[{"type":"permit",` + actor("Practitioner/who") + `,` + class("Patient") + `}]}`, []string{"Patient/a"}, []string{"Observation/oa"}},
		"inside a permission":     {`{"type":"permit","provision":[{"type":"deny",` + class("Observation") + `,` + actor("Practitioner/who") + `}]}`, []string{"Patient/a"}, []string{"Observation/oa"}},
		"over":                    {`{"type":"deny","period":{"end":"2026-02-01"}}`, []string{"Patient/a", "Observation/oa"}, nil},
		"in force":                {`{"type":"deny","period":{"start":"2026-03-01","end":"2026-03-01"}}`, nil, []string{"Patient/a", "Observation/oa"}},
		"an exception to come":    {`{"type":"deny","provision":[{"type":"permit","period":{"start":"2026-04-01"}}]}`, nil, []string{"Patient/a"}},
		"an exception now":        {`{"type":"deny","provision":[{"type":"permit","period":{"start":"2026-03-01"}}]}`, []string{"Patient/a"}, nil},
		"marketing only":          {`{"type":"deny","purpose":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"HMARKT"}]}`, []string{"Patient/a"}, nil},
		"for treatment":           {`{"type":"deny","purpose":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"TREAT"}]}`, nil, []string{"Patient/a"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := openPractice(t)
			c.put(consent(x.provision))
			c.expect(c.doctor, append(x.seen, "Consent/c"), x.hidden)
			c.expect(c.url, []string{"Patient/a", "Observation/oa"}, nil) // who keeps the data
			c.put(strings.Replace(consent(x.provision), `"active"`, `"inactive"`, 1))
			c.expect(c.doctor, []string{"Patient/a", "Observation/oa", "Appointment/both"}, nil)
		})
	}
}

// A rule that cannot be told of a record is refused when it is written.
func TestConsentThatCannotBeCarriedOutIsRefused(t *testing.T) {
	c := openPractice(t)
	for provision, expression := range map[string]string{
		`{"type":"deny","code":[{"text":"x"}]}`: "Consent.provision.code",
		`{"type":"deny","securityLabel":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]}`:        "Consent.provision.securityLabel",
		`{"type":"deny","data":[{"meaning":"instance","reference":{"reference":"Observation/oa"}}]}`:                                "Consent.provision.data",
		`{"type":"deny","dataPeriod":{"start":"2026-01-01"}}`:                                                                       "Consent.provision.dataPeriod",
		`{"type":"deny","class":[{"system":"urn:ietf:bcp:13","code":"application/pdf"}]}`:                                           "Consent.provision.class[0]",
		`{"type":"permit","provision":[{"type":"deny",` + actor("CareTeam/x") + `}]}`:                                               "Consent.provision.provision[0].actor[0].reference",
		`{"type":"deny","provision":[{"type":"permit","provision":[{"type":"deny"}]}]}`:                                             "Consent.provision.provision[0].provision",
		`{"type":"deny",` + strings.Replace(actor("Practitioner/who"), "PRCP", "AUT", 1) + `}`:                                      "Consent.provision.actor[0].role",
		`{"type":"deny","action":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentaction","code":"correct"}]}]}`: "Consent.provision.action",
	} {
		a := c.ask(http.MethodPut, "/fhir/Consent/c", consent(provision))
		if a.status != http.StatusUnprocessableEntity && a.status != http.StatusBadRequest || !strings.Contains(string(a.raw), `"`+expression+`"`) {
			t.Errorf("%s: %d %s", provision, a.status, a.raw)
		}
		// Not in force, it is kept as it is.
		if strings.Contains(provision, "CareTeam") {
			continue // which does not exist
		}
		if a := c.ask(http.MethodPut, "/fhir/Consent/d", strings.NewReplacer(`"active"`, `"draft"`, `"id":"c"`, `"id":"d"`).Replace(consent(provision))); a.status >= 300 {
			t.Errorf("a draft with %s: %d %s", provision, a.status, a.raw)
		}
	}
}

// Restricted records need more than a role that reads all; very restricted ones
// more than treating.
func TestConfidentiality(t *testing.T) {
	c := openPractice(t)
	label := func(id, code string) {
		c.put(strings.Replace(observation(id, "a"), `"status"`, `"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"`+code+`"}]},"status"`, 1))
	}
	label("n", "N")
	label("r", "R")
	label("v", "V")
	c.expect(c.doctor, []string{"Observation/n", "Observation/r"}, []string{"Observation/v"})
	c.expect(c.reader, []string{"Observation/n"}, []string{"Observation/r", "Observation/v"})
	cleared := c.listen(&identity.Principal{Type: identity.User, ID: "user/di", Roles: []string{clinical.RoleReader, clinical.RoleVeryRestricted}})
	c.expect(cleared, []string{"Observation/n", "Observation/r", "Observation/v"}, nil)
}

// Who breaks the glass sees the patient for the time, whatever was denied; the
// audit says why.
//
// Proves C1.01: break-glass with reason.
func TestBreakGlass(t *testing.T) {
	c := openPractice(t)
	c.put(strings.Replace(consent(`{"type":"deny"}`), "Patient/a", "Patient/b", 1))
	c.expect(c.doctor, nil, []string{"Patient/b", "Observation/ob", "Appointment/both"})
	open := func(as, patient, params string) answer {
		return c.askAt(as, http.MethodPost, "/fhir/Patient/"+patient+"/$break-glass", `{"resourceType":"Parameters","parameter":[`+params+`]}`)
	}
	if a := open(c.doctor, "b", `{"name":"minutes","valueInteger":30}`); a.status != http.StatusBadRequest {
		t.Errorf("without a reason: %d %s", a.status, a.raw)
	}
	if a := open(c.doctor, "b", `{"name":"reason","valueString":"x"},{"name":"minutes","valueInteger":1441}`); a.status != http.StatusBadRequest {
		t.Errorf("for more than a day: %d %s", a.status, a.raw)
	}
	if a := open(c.doctor, "nobody", `{"name":"reason","valueString":"x"}`); a.status != http.StatusNotFound {
		t.Errorf("of nobody: %d %s", a.status, a.raw)
	}
	if a := open(c.reader, "b", `{"name":"reason","valueString":"x"}`); a.status != http.StatusForbidden {
		t.Errorf("by who may not: %d %s", a.status, a.raw)
	}
	a := open(c.doctor, "b", `{"name":"reason","valueString":"昏迷送来，家属不在"},{"name":"minutes","valueInteger":30}`)
	if a.status != http.StatusOK || !strings.Contains(string(a.raw), "2026-03-01T08:30") {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	c.expect(c.doctor, []string{"Patient/b", "Observation/ob", "Appointment/both"}, nil)
	if a := c.askAt(c.doctor, http.MethodPut, "/fhir/Observation/new", observation("new", "b")); a.status != http.StatusCreated {
		t.Errorf("a write under the opening: %d %s", a.status, a.raw)
	}
	// Reads and writes under it stand in the audit with purpose and reason.
	events := c.askAt(c.keeper, http.MethodGet, "/fhir/AuditEvent?patient=Patient/b&altid=user/bo&_count=100", nil)
	read, written := 0, 0
	for _, e := range events.json["entry"].([]any) {
		r := e.(map[string]any)["resource"].(map[string]any)
		raw, err := json.Marshal(r["purposeOfEvent"])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(raw), `"BTG"`) || !strings.Contains(string(raw), "昏迷送来") {
			if r["outcome"] == "0" {
				t.Errorf("not marked: %v", r)
			}
			continue
		}
		switch r["action"] {
		case "R":
			read++
		case "U", "C":
			written++
		}
	}
	if read == 0 || written == 0 {
		t.Errorf("%d reads and %d writes are marked: %s", read, written, events.raw)
	}
	// The time ends it, with no loop to help.
	c.clock.Move(30 * time.Minute)
	c.expect(c.doctor, nil, []string{"Patient/b", "Observation/ob"})
	// It is reviewed by somebody else, who says what he found.
	id := a.json["parameter"].([]any)[0].(map[string]any)["valueString"].(string)
	say := func(p *identity.Principal, version int64, verb string, evidence map[string]any) error {
		key, _ := record.ParseKey(id)
		_, err := c.kernel.Write(t.Context(), p, kernel.Change{Op: record.Verb, Key: key, Expect: version, Verb: verb, Evidence: evidence})
		return err
	}
	bo := &identity.Principal{Type: identity.User, ID: "user/bo", Roles: []string{clinical.RoleBreakGlass, clinical.RoleReviewer}}
	re := &identity.Principal{Type: identity.User, ID: "user/re", Roles: []string{clinical.RoleReviewer}}
	finding := map[string]any{"finding": "属实"}
	if err := say(bo, 1, "close", nil); err != nil {
		t.Error(err)
	}
	if err := say(bo, 2, "approve", finding); err == nil {
		t.Error("somebody reviews his own opening")
	}
	if err := say(re, 2, "approve", nil); err == nil {
		t.Error("reviewed without a finding")
	}
	if err := say(re, 2, "approve", finding); err != nil {
		t.Error(err)
	}
}

// The house's own audit is read as AuditEvent by those who keep it.
//
// Proves C1.01: AuditEvent readable as FHIR.
func TestTheAuditIsReadAsAuditEvents(t *testing.T) {
	c := openPractice(t)
	c.put(`{"resourceType":"AuditEvent","id":"posted","type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"},"recorded":"2026-03-01T08:00:00Z","agent":[{"requestor":true}],"source":{"observer":{"display":"x"}}}`)
	c.askAt(c.doctor, http.MethodGet, "/fhir/Patient/a", nil)
	c.askAt(c.doctor, http.MethodGet, "/fhir/Patient/b", nil)
	get := func(as, query string) answer { return c.askAt(as, http.MethodGet, "/fhir/AuditEvent?"+query, nil) }
	read := get(c.keeper, "altid=user/bo&subtype=read&_count=50")
	if got := ids(read); len(got) != 2 || !strings.HasPrefix(got[0], "audit.") {
		t.Fatalf("reads of the doctor: %v %s", got, read.raw)
	}
	if a := c.askAt(c.keeper, http.MethodGet, "/fhir/AuditEvent/"+ids(read)[1], nil); a.status != http.StatusOK || !strings.Contains(string(a.raw), `"Patient/a"`) {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if got := ids(get(c.keeper, "altid=user/bo&outcome=8")); len(got) != 1 {
		t.Errorf("what was not found: %v", got)
	}
	c.askAt(c.doctor, http.MethodGet, "/fhir/Observation/oa", nil)
	if got := ids(get(c.keeper, "entity=Observation/oa&altid=user/bo")); len(got) != 1 {
		t.Errorf("reads of an observation: %v", got)
	}
	if got := ids(get(c.keeper, "patient=Patient/a&action=R")); len(got) == 0 {
		t.Error("nobody read Patient/a")
	}
	// Page by page it is the same, and everything stands there once, the posted one too.
	seen, posted := map[string]bool{}, false
	before := len(ids(get(c.keeper, "action=C,U&_count=1000")))
	next := c.keeper + "/fhir/AuditEvent?_count=7&date=le2026-03-01"
	for n := 0; next != "" && n < 100; n++ {
		a := c.askAt(c.keeper, http.MethodGet, next, nil)
		if a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.raw)
		}
		for _, id := range ids(a) {
			if seen[id] {
				t.Errorf("%s stands there twice", id)
			}
			seen[id], posted = true, posted || id == "posted"
		}
		next = linkOf(a, "next")
	}
	if !posted || len(seen) < before {
		t.Errorf("%d over the pages, %d at once; the posted one: %v", len(seen), before, posted)
	}
	for _, as := range []string{c.doctor, c.reader, c.url} {
		if a := c.askAt(as, http.MethodGet, "/fhir/AuditEvent/"+ids(read)[0], nil); a.status != http.StatusNotFound && a.status != http.StatusForbidden {
			t.Errorf("the audit is read by who does not keep it: %d", a.status)
		}
	}
	mine := c.listen(&identity.Principal{Type: identity.Service, ID: "token/app", Scopes: []string{"patient/*.rs"}, Patient: "Patient/a"})
	for _, id := range ids(get(mine, "_count=100")) {
		if a := c.askAt(mine, http.MethodGet, "/fhir/AuditEvent/"+id, nil); !strings.Contains(string(a.raw), `"Patient/a"`) {
			t.Errorf("an app launched for Patient/a reads %s", a.raw)
		}
	}
	if n := len(ids(get(mine, "_count=100"))); n == 0 {
		t.Error("a patient's app sees nothing of who looked")
	}
	if a := get(c.keeper, "_sort=agent-name"); a.status != http.StatusBadRequest {
		t.Errorf("sorted otherwise: %d", a.status)
	}
}

func linkOf(a answer, relation string) string {
	links, _ := a.json["link"].([]any)
	for _, l := range links {
		m, _ := l.(map[string]any)
		if m["relation"] == relation {
			return fmt.Sprint(m["url"])
		}
	}
	return ""
}

// Whatever stands in the audit, it is read as AuditEvents that R4 allows.
func TestAnyEntryOfTheAuditIsAnAuditEvent(t *testing.T) {
	c := openPractice(t)
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	g := rand.New(rand.NewPCG(uint64(seed), 0))
	pieces := []string{"", " ", "\x00", "\xff", "\u202e", "\n", "read", "verb:end it", "Patient/a", "Patient/a +3", "Observation?code=1&x=", "?", "/api/x", "user/bo", "Practitioner/who", "中文 说明", "http://x/|y", "\"<b>&", strings.Repeat("长", 300)}
	text := func() string { return pieces[g.IntN(len(pieces))] + pieces[g.IntN(len(pieces))] }
	var entries []audit.Entry
	for range 200 {
		entries = append(entries, audit.Entry{
			Who: text(), Name: text(), Behalf: text(), Purpose: text(), Reason: text(), Action: text(), Subject: text(), Patient: text(),
			Outcome: []audit.Outcome{audit.OK, audit.Refused, audit.Failed, "?"}[g.IntN(4)], Detail: text(), Remote: text(),
		})
	}
	if err := c.store.Audit(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	next, n := c.keeper+"/fhir/AuditEvent?_count=100", 0
	for next != "" {
		a := c.askAt(c.keeper, http.MethodGet, next, nil)
		if a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.raw)
		}
		for _, e := range a.json["entry"].([]any) {
			resource, err := json.Marshal(e.(map[string]any)["resource"])
			if err != nil {
				t.Fatal(err)
			}
			if v := c.ask(http.MethodPost, "/fhir/AuditEvent/$validate", resource); v.status != http.StatusOK || strings.Contains(string(v.raw), `"severity":"error"`) {
				t.Fatalf("%s\n%d %s", resource, v.status, v.raw)
			}
			n++
		}
		if next = linkOf(a, "next"); n > 400 {
			break
		}
	}
	if n < 200 {
		t.Errorf("only %d were read", n)
	}
}

// Each version's origin is read as Provenance, and the one a client sends along
// is kept with what it wrote.
//
// Proves C1.01: Provenance readable as FHIR.
func TestProvenance(t *testing.T) {
	c := openPractice(t)
	c.put(strings.Replace(observation("oa", "a"), "final", "amended", 1))
	get := func(path string) answer { return c.ask(http.MethodGet, path, nil) }
	list := get("/fhir/Provenance?target=Observation/oa")
	got := ids(list)
	if len(got) != 2 {
		t.Fatalf("%v %s", got, list.raw)
	}
	one := get("/fhir/Provenance/" + got[0])
	if one.status != http.StatusOK || !strings.Contains(string(one.raw), "Observation/oa/_history/2") || !strings.Contains(string(one.raw), `"derived"`) || !strings.Contains(string(one.raw), "user/ada") {
		t.Errorf("%d %s", one.status, one.raw)
	}
	if a := c.askAt(c.doctor, http.MethodGet, "/fhir/Provenance?target=Observation/ob", nil); len(ids(a)) != 0 {
		t.Errorf("the origin of what is hidden is told: %s", a.raw)
	}
	header := `{"resourceType":"Provenance","recorded":"2026-03-01T08:00:00Z","agent":[{"who":{"reference":"Practitioner/who"}}]}`
	a := c.ask(http.MethodPost, "/fhir/Observation", strings.Replace(observation("x", "a"), `"id":"x",`, "", 1), "X-Provenance", header)
	if a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	id := a.json["id"].(string)
	stored := get("/fhir/Provenance?target=Observation/" + id + "&agent=Practitioner/who")
	if len(ids(stored)) != 1 || !strings.Contains(string(stored.raw), "Observation/"+id+"/_history/1") {
		t.Errorf("%s", stored.raw)
	}
	before := total(get("/fhir/Observation?_summary=count"))
	if a := c.ask(http.MethodPost, "/fhir/Observation", strings.Replace(observation("x", "a"), `"id":"x",`, "", 1), "X-Provenance", `{"resourceType":"Provenance","recorded":"yesterday"}`); a.status < 400 {
		t.Errorf("a wrong provenance is taken: %d", a.status)
	}
	if after := total(get("/fhir/Observation?_summary=count")); after != before {
		t.Error("what was written with a wrong provenance stays")
	}
}

// A token launched for one patient sees that patient's compartment and what
// belongs to nobody.
func TestScopesOfOnePatient(t *testing.T) {
	c := openPractice(t)
	app := c.listen(&identity.Principal{Type: identity.Service, ID: "token/app", Scopes: []string{"patient/*.rs"}, Patient: "Patient/a"})
	c.expect(app, []string{"Patient/a", "Observation/oa", "Appointment/both", "Practitioner/who"}, []string{"Patient/b", "Observation/ob"})
	if a := c.askAt(app, http.MethodGet, "/fhir/Observation?_total=accurate", nil); total(a) != 1 {
		t.Errorf("%s", a.raw)
	}
	if a := c.askAt(app, http.MethodGet, "/fhir/Observation?patient.name=Wang", nil); len(ids(a)) != 0 {
		t.Errorf("a chain tells of another patient: %s", a.raw)
	}
	nobody := c.listen(&identity.Principal{Type: identity.Service, ID: "token/app", Scopes: []string{"patient/*.rs"}})
	c.expect(nobody, nil, []string{"Patient/a", "Observation/oa"})
}
