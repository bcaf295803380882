package fhir_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"zhiwei/door/fhir"
)

// world is what any sequence of interactions must leave: of each patient every
// version's family name, "" where it is deleted.
type world map[string][]string

func (w world) newest(id string) (version int, family string) {
	v := w[id]
	if len(v) == 0 {
		return 0, ""
	}
	return len(v), v[len(v)-1]
}

func (w world) alive(id string) bool { _, f := w.newest(id); return f != "" }

// named lists the living patients of a family name.
func (w world) named(family string) []string {
	var out []string
	for id := range w {
		if _, f := w.newest(id); f == family {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

func (w world) write(id, family string) { w[id] = append(w[id], family) }

// interaction is one, as a request of its own or an entry of a Bundle.
type interaction struct {
	method, url, body string
	ifMatch           string
	ifNoneExist       string
}

// expect says what an interaction must answer and does it to the world.
func (w world) expect(a interaction) (status int) {
	typ, query, conditional := strings.Cut(a.url, "?")
	id := strings.TrimPrefix(strings.TrimPrefix(typ, "Patient"), "/")
	family := a.body
	if conditional || a.ifNoneExist != "" {
		found := w.named(strings.TrimPrefix(query+a.ifNoneExist, "family:exact="))
		switch {
		case len(found) > 1:
			return 412
		case len(found) == 1:
			if id = found[0]; a.ifNoneExist != "" {
				return 200
			}
		case a.method == "DELETE":
			return 204
		case a.method == "PATCH":
			return 404
		case a.method == "PUT":
			return 201 // under a new id, which the caller notes
		}
	}
	version, _ := w.newest(id)
	expected := 0
	if a.ifMatch != "" {
		expected, _ = strconv.Atoi(strings.Trim(strings.TrimPrefix(a.ifMatch, "W/"), `"`))
	}
	switch a.method {
	case "POST":
		return 201
	case "PUT":
		if expected > 0 && (expected != version || !w.alive(id)) {
			return 412
		}
		created := !w.alive(id)
		w.write(id, family)
		if created {
			return 201
		}
		return 200
	case "PATCH":
		switch {
		case version == 0:
			return 404
		case !w.alive(id):
			return 410
		case expected > 0 && expected != version:
			return 412
		}
		w.write(id, family)
		return 200
	default: // DELETE
		switch {
		case expected > 0 && expected != version:
			return 412
		case version == 0:
			return 404
		case w.alive(id):
			w.write(id, "")
		}
		return 204
	}
}

func (a interaction) resource() string {
	id := strings.TrimPrefix(strings.TrimPrefix(a.url, "Patient"), "/")
	if a.method == "POST" || strings.Contains(a.url, "?") {
		id = ""
	}
	out := `{"resourceType":"Patient",`
	if id != "" {
		out += `"id":"` + id + `",`
	}
	return out + `"name":[{"family":"` + a.body + `"}]}`
}

func (a interaction) patch() string {
	return `[{"op":"replace","path":"/name/0/family","value":"` + a.body + `"}]`
}

// Any sequence of interactions, alone, in batches or in transactions, leaves what
// a small model says, and each is answered with the model's status.
func TestInteractionsEqualModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ZHIWEI_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("ZHIWEI_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	s := serve(t)
	w := world{}
	families := []string{"Zhao", "Qian", "Sun", "Li", "Zhou", "Wu"}
	pick := func() interaction {
		id := "p" + strconv.Itoa(rng.IntN(6))
		a := interaction{method: []string{"POST", "PUT", "PUT", "PUT", "PATCH", "PATCH", "DELETE"}[rng.IntN(7)], url: "Patient/" + id, body: families[rng.IntN(len(families))]}
		if rng.IntN(4) == 0 && a.method != "POST" {
			v, _ := w.newest(id)
			a.ifMatch = fmt.Sprintf(`W/"%d"`, max(1, v-rng.IntN(2)))
		}
		condition := "family:exact=" + families[rng.IntN(len(families))]
		switch {
		case a.method == "POST":
			if a.url = "Patient"; rng.IntN(2) == 0 {
				a.ifNoneExist = condition
			}
		case rng.IntN(4) == 0:
			a.url, a.ifMatch = "Patient?"+condition, ""
		}
		return a
	}
	// note adds what was created under an id of the server's.
	note := func(a interaction, status int, location string) {
		if status != 201 || a.method == "PUT" && !strings.Contains(a.url, "?") {
			return
		}
		_, rest, _ := strings.Cut(location, "Patient/")
		id, _, _ := strings.Cut(rest, "/")
		w.write(id, a.body)
	}
	alone := func(a interaction) {
		want := w.expect(a)
		headers := []string{}
		body, ct := any(nil), fhir.ContentType
		switch a.method {
		case "PATCH":
			body, ct = a.patch(), fhir.JSONPatchType
		case "POST", "PUT":
			body = a.resource()
		}
		headers = append(headers, "Content-Type", ct)
		if a.ifMatch != "" {
			headers = append(headers, "If-Match", a.ifMatch)
		}
		if a.ifNoneExist != "" {
			headers = append(headers, "If-None-Exist", a.ifNoneExist)
		}
		got := s.ask(a.method, "/fhir/"+a.url, body, headers...)
		if got.status != want {
			t.Fatalf("seed %d: %+v: %d %s, want %d", seed, a, got.status, got.raw, want)
		}
		note(a, got.status, got.header.Get("Location"))
	}
	entry := func(a interaction) string {
		var more []string
		if a.ifMatch != "" {
			more = append(more, "ifMatch", a.ifMatch)
		}
		if a.ifNoneExist != "" {
			more = append(more, "ifNoneExist", a.ifNoneExist)
		}
		res := ""
		switch a.method {
		case "PATCH":
			res = `{"resourceType":"Binary","contentType":"application/json-patch+json","data":"` + base64.StdEncoding.EncodeToString([]byte(a.patch())) + `"}`
		case "POST", "PUT":
			res = a.resource()
		}
		return entryOf("", res, a.method, a.url, more...)
	}
	// A transaction of interactions that do not touch each other: of distinct ids,
	// without conditions. All are done, or, where the model refuses one, none.
	transaction := func() {
		var list []interaction
		taken := map[string]bool{}
		for range 1 + rng.IntN(4) {
			a := pick()
			if strings.Contains(a.url, "?") || a.ifNoneExist != "" || a.method != "POST" && taken[a.url] {
				continue
			}
			taken[a.url] = true
			list = append(list, a)
		}
		if len(list) == 0 {
			return
		}
		before := world{}
		for id, v := range w {
			before[id] = slices.Clone(v)
		}
		refused := false
		var want []int
		var entries []string
		for _, a := range list {
			status := w.expect(a)
			refused = refused || status >= 400
			want = append(want, status)
			entries = append(entries, entry(a))
		}
		got := s.ask("POST", "/fhir", bundleOf("transaction", entries...))
		if refused {
			w = before
			if got.status < 400 {
				t.Fatalf("seed %d: %v: %d %s", seed, list, got.status, got.raw)
			}
			return
		}
		got.want(t, 200)
		for i, a := range list {
			status, _ := got.at("entry", i, "response", "status").(string)
			if !strings.HasPrefix(status, strconv.Itoa(want[i])) {
				t.Fatalf("seed %d: %+v in a transaction: %s, want %d", seed, a, status, want[i])
			}
			location, _ := got.at("entry", i, "response", "location").(string)
			note(a, want[i], location)
		}
	}
	check := func() {
		for _, id := range slices.Sorted(maps.Keys(w)) {
			version, family := w.newest(id)
			a := s.ask("GET", "/fhir/Patient/"+id, nil)
			switch {
			case family == "" && a.status != 410:
				t.Fatalf("seed %d: %s is deleted: %d", seed, id, a.status)
			case family != "" && (a.status != 200 || a.at("name", 0, "family") != family || a.at("meta", "versionId") != strconv.Itoa(version)):
				t.Fatalf("seed %d: %s is %s version %d: %d %s", seed, id, family, version, a.status, a.raw)
			}
			h := s.ask("GET", "/fhir/Patient/"+id+"/_history?_count=1000", nil).want(t, 200)
			list, _ := h.at("entry").([]any)
			if len(list) != version || h.at("total") != float64(version) {
				t.Fatalf("seed %d: %s has %d versions: %s", seed, id, version, h.raw)
			}
			for i, e := range list {
				was, _ := walk(e, "resource", "name", 0, "family").(string)
				if was != w[id][version-1-i] || (was == "") != (walk(e, "request", "method") == "DELETE") {
					t.Fatalf("seed %d: %s version %d was %q: %v", seed, id, version-i, w[id][version-1-i], e)
				}
			}
		}
		for _, family := range families {
			ids := s.ask("GET", "/fhir/Patient?_count=1000&family:exact="+family, nil).want(t, 200).ids()
			slices.Sort(ids)
			if !slices.Equal(ids, w.named(family)) {
				t.Fatalf("seed %d: %s: %v, want %v", seed, family, ids, w.named(family))
			}
		}
	}
	for i := range 250 {
		if rng.IntN(3) == 0 {
			transaction()
		} else {
			alone(pick())
		}
		if i%50 == 49 {
			check()
		}
	}
}
