package storetest

import (
	"fmt"
	"slices"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// The labels of the test kinds: "veiled" is shown to who treats and to who wrote
// it, "sealed" to the latter alone.
const labelled = "urn:label"

var genLabels = []kind.Label{
	{System: labelled, Code: "veiled", When: []string{kind.Own, kind.Treating, kind.Opened}, Roles: []string{"doctor"}},
	{System: labelled, Code: "sealed", When: []string{kind.Own, kind.Opened}},
}

// genWho are those whom a ban may name.
var genWho = []string{kind.Whatever, kind.Whatever, "user/a", "user/b", "person/p1", "organisation/p1", "department/p2"}

// place is where a random record stands.
func (g *generator) place() record.Placement {
	p := record.Placement{
		Org: pick(g, genPlaces), Dept: pick(g, genPlaces), Owner: pick(g, []string{"", "user/a", "user/b", "person/p1"}),
	}
	for range []int{0, 0, 1, 1, 2, 3}[g.IntN(6)] {
		switch who := person(fmt.Sprint("p", g.IntN(5))); {
		case p.Subject.IsZero():
			p.Subject = who
		case who != p.Subject && !slices.Contains(p.Others, who):
			p.Others = append(p.Others, who)
		}
	}
	if g.chance(5) {
		p.Label = pick(g, genLabels).Code
	}
	return p
}

// bans are the rules of one record that denies.
func (g *generator) bans(ix *search.Index) {
	target := g.target()
	if g.chance(2) {
		target = person(fmt.Sprint("p", g.IntN(5)))
	}
	code := func() string {
		return kind.DenialCode(pick(g, genWho), pick(g, []string{kind.Whatever, kind.Whatever, Person, Reading}), pick(g, []string{kind.Whatever, "TREAT"}))
	}
	for occ := range int32(g.IntN(3)) {
		ix.Refs = append(ix.Refs, search.Ref{Param: kind.DenyEntry, Target: target, Occ: occ})
		for range 1 + g.IntN(2) {
			ix.Tokens = append(ix.Tokens, search.Token{Param: kind.DenyEntry, Code: code(), Occ: occ})
		}
		if g.chance(3) {
			ix.Tokens = append(ix.Tokens, search.Token{Param: kind.SpareEntry, Code: code(), Occ: occ})
		}
		if g.chance(3) {
			lo, hi := g.period()
			ix.Dates = append(ix.Dates, search.Date{Param: kind.DenyEntry, Lo: lo, Hi: hi, Occ: occ})
		}
	}
}

// view is what a random person may see: each kind by its own random grants, less
// what bans, labels and the scopes of one person take away.
func (g *generator) view() access.View {
	if g.chance(4) {
		return Root()
	}
	p := &identity.Principal{Type: identity.User, ID: pick(g, []string{"user/a", "user/b"}), Roles: []string{"nurse"}}
	if g.chance(2) {
		p.Person = fmt.Sprint("person/p", g.IntN(3))
	}
	if g.chance(3) {
		p.Purpose = "TREAT"
	}
	switch g.IntN(8) {
	case 0:
		p.Scopes, p.Patient = []string{"patient/*.rs"}, fmt.Sprint("person/p", g.IntN(5))
	case 1:
		p.Scopes, p.Patient = []string{"patient/reading.rs", "user/person.r"}, fmt.Sprint("person/p", g.IntN(5))
	}
	for _, where := range genPlaces[1:] {
		if g.chance(3) {
			p.Depts = append(p.Depts, where)
		}
		if g.chance(3) {
			p.Orgs = append(p.Orgs, where)
		}
	}
	conditions := []string{kind.Own, kind.Department, kind.Organisation, kind.AtSite, kind.Released, kind.Treating}
	if g.depth == 0 {
		conditions = conditions[:4] // of many records the model is too slow at following relations
	}
	kinds := map[string]*kind.Kind{}
	for _, name := range genKinds {
		k := &kind.Kind{Name: name, Place: kind.Place{Subject: "subject"}}
		if name == Ward {
			k.Place = kind.Place{Shared: true}
		}
		for range g.IntN(3) {
			grant := kind.Grant{Role: pick(g, []string{"*", "nurse", "nurse", "doctor"}), Can: []string{"read"}}
			if !g.chance(4) {
				grant.When = pick(g, conditions)
				if g.chance(3) {
					grant.When += "|" + pick(g, conditions)
				}
			}
			k.Access = append(k.Access, grant)
		}
		kinds[name] = k
	}
	rules := &access.Rules{
		Site:     Site,
		Relation: &kind.Relation{Kind: Tie, Member: "member", Subject: "whom", States: []string{"active", "等待"}},
		Kind:     func(name string) *kind.Kind { return kinds[name] },
	}
	if g.depth > 0 && !g.chance(4) {
		now := time.UnixMilli(int64(g.IntN(20)))
		rules.Now = func() time.Time { return now }
		rules.Privacy = kind.Privacy{
			Opening: kind.Relation{Kind: Tie, Member: "member", Subject: "whom", States: []string{"done"}, Until: "until"},
			Denial:  kind.Denial{Kind: Ban, Subject: "whom"},
			Labels:  genLabels,
		}
	}
	return access.View{Principal: p, Rules: rules}
}
