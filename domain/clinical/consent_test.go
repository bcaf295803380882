package clinical

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
)

const privacyConsent = `{"status":"active","scope":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentscope","code":"patient-privacy"}]},"patient":{"reference":"Patient/1"},"policyRule":%s,"provision":%s}`

func denialsOf(t *testing.T, policy, provision string) search.Index {
	t.Helper()
	doc := map[string]any{}
	if err := json.Unmarshal(fmt.Appendf(nil, privacyConsent, policy, provision), &doc); err != nil {
		t.Fatal(err)
	}
	var ix search.Index
	if err := appendDenials(&ix, doc, time.UTC); err != nil {
		t.Fatal(err)
	}
	return ix
}

// asked is what one who treats asks: is the kind of record denied at a time?
func asked(ix *search.Index, who, kindName string, at time.Time) bool {
	d := access.Denied{At: at}
	for _, w := range []string{kind.Whatever, who} {
		for _, k := range []string{kind.Whatever, kindName} {
			for _, p := range []string{kind.Whatever, access.Treatment} {
				d.Codes = append(d.Codes, kind.DenialCode(w, k, p))
			}
		}
	}
	return d.Fits(ix)
}

func TestPolicyRuleDecidesWhereTheRootSaysNothing(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	code := func(c string) string {
		return `{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"` + c + `"}]}`
	}
	for policy, denied := range map[string]bool{code("OPTIN"): false, code("OPTOUT"): true, code("OPTOUTE"): true, `{}`: false} {
		ix := denialsOf(t, policy, `{}`)
		if got := asked(&ix, "Practitioner/1", "Observation", now); got != denied {
			t.Errorf("%s denies: %v", policy, got)
		}
		if ix := denialsOf(t, policy, `{"type":"permit"}`); len(ix.Tokens) > 0 {
			t.Errorf("%s: a root that permits denies %v", policy, ix.Tokens)
		}
	}
}

// ruleTree is a random provision, and what it denies by the words of the
// standard: a rule holds unless one of its exceptions does.
type ruleTree struct {
	deny       bool
	who, class string // empty: any
	from, to   int    // days; 0: open
	inner      []ruleTree
}

func (r *ruleTree) json() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	add(`"type":%q`, map[bool]string{true: "deny", false: "permit"}[r.deny])
	if r.who != "" {
		add(`"actor":[{"reference":{"reference":%q}}]`, r.who)
	}
	if r.class != "" {
		add(`"class":[{"system":%q,"code":%q}]`, resourceType, r.class)
	}
	if r.from != 0 || r.to != 0 {
		var ends []string
		if r.from != 0 {
			ends = append(ends, fmt.Sprintf(`"start":"2026-01-%02d"`, r.from))
		}
		if r.to != 0 {
			ends = append(ends, fmt.Sprintf(`"end":"2026-01-%02d"`, r.to))
		}
		add(`"period":{%s}`, strings.Join(ends, ","))
	}
	var inner []string
	for i := range r.inner {
		inner = append(inner, r.inner[i].json())
	}
	if inner != nil {
		add(`"provision":[%s]`, strings.Join(inner, ","))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (r *ruleTree) holds(who, class string, day int) bool {
	return (r.who == "" || r.who == who) && (r.class == "" || r.class == class) && (r.from == 0 || day >= r.from) && (r.to == 0 || day <= r.to)
}

func (r *ruleTree) denies(who, class string, day int) bool {
	if !r.holds(who, class, day) {
		return false
	}
	for i := range r.inner {
		in := &r.inner[i]
		if r.deny && !in.deny && in.holds(who, class, day) {
			return false
		}
		if !r.deny && in.denies(who, class, day) {
			return true
		}
	}
	return r.deny
}

var ruleWho = []string{"Practitioner/1", "Practitioner/2", "Organization/1"}

func randomRule(r *rand.Rand, deny bool, depth int, actors bool) ruleTree {
	out := ruleTree{deny: deny}
	if actors && r.IntN(2) == 0 {
		out.who = ruleWho[r.IntN(len(ruleWho))]
	}
	if r.IntN(3) == 0 {
		out.class = []string{"Observation", "Patient"}[r.IntN(2)]
	}
	if r.IntN(2) == 0 {
		out.from = 1 + r.IntN(9)
	}
	if r.IntN(2) == 0 {
		out.to = max(out.from, 1) + r.IntN(9)
	}
	for range r.IntN(3) {
		switch {
		case depth == 0:
		case deny: // only permissions may stand inside a denial
			out.inner = append(out.inner, randomRule(r, false, 0, true))
		default: // actors may be named once on the way down
			out.inner = append(out.inner, randomRule(r, r.IntN(3) > 0, depth-1, actors && out.who == ""))
		}
	}
	return out
}

// What is found by the entries of a consent is what its provisions say, for
// random provisions, persons, classes and days.
func TestEntriesDenyWhatProvisionsDeny(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ZHIWEI_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("ZHIWEI_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	denied := 0
	for range 2000 {
		tree := randomRule(r, r.IntN(2) == 0, 2, true)
		ix := denialsOf(t, `{}`, tree.json())
		for _, who := range append(slices.Clone(ruleWho), "Practitioner/9") {
			for _, class := range []string{"Observation", "Patient", "Condition"} {
				for day := 1; day <= 20; day++ {
					want := tree.denies(who, class, day)
					if want {
						denied++
					}
					if got := asked(&ix, who, class, time.Date(2026, 1, day, 12, 0, 0, 0, time.UTC)); got != want {
						t.Fatalf("%s\ndenies %s to %s on day %d: %v, want %v\n%+v", tree.json(), class, who, day, got, want, ix)
					}
				}
			}
		}
	}
	if denied < 1000 {
		t.Errorf("only %d questions were denied: the test asks too little", denied)
	}
}

// Whatever stands in a Consent, it is read or refused, with a path and both
// sentences.
func FuzzConsent(f *testing.F) {
	f.Add(`{"type":"deny","provision":[{"type":"permit","actor":[{"reference":{"reference":"Practitioner/1"}}]}]}`)
	f.Add(`{"type":"deny","period":{"start":"2026"},"class":[{"system":"http://hl7.org/fhir/resource-types","code":"Observation"}]}`)
	f.Add(`{"type":"permit","provision":[{"type":"deny","code":[{}]}]}`)
	f.Add(`{"provision":[[1],null,{"provision":{}}],"actor":"x","period":[]}`)
	f.Fuzz(func(t *testing.T, provision string) {
		doc := map[string]any{}
		if json.Unmarshal(fmt.Appendf(nil, privacyConsent, `{}`, provision), &doc) != nil {
			return
		}
		var ix search.Index
		if err := appendDenials(&ix, doc, time.UTC); err != nil {
			return
		}
		for _, token := range ix.Tokens {
			if strings.Count(token.Code, "|") < 2 {
				t.Fatalf("no code of a denial: %q", token.Code)
			}
		}
	})
}
