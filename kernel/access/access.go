// Package access turns a principal and the declared grants into a visibility
// predicate that a store joins to every table it touches, and answers what a
// principal may do to one record. It does not read records itself.
package access

import (
	"slices"
	"strings"

	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// Predicate says which records of one kind are visible: any of its terms.
// The zero value sees nothing.
type Predicate struct {
	All   bool
	Terms []Term
}

// None tells whether nothing is visible.
func (p Predicate) None() bool { return !p.All && len(p.Terms) == 0 }

// Term is one way to be visible. Exactly one part is set.
type Term struct {
	Owners   []string     // Place.Owner is one of these
	Depts    []string     // Place.Dept
	Orgs     []string     // Place.Org
	Homes    []string     // record's home site
	Subjects []record.Key // Place.Subject
	Treating *Treating    // Place.Subject is treated
	IDs      []string     // the record's own id
}

// Treating asks for an active relation between one of Members and the record's
// Place.Subject.
type Treating struct {
	kind.Relation
	Members []record.Key
}

// View is what one principal may see, for each kind. It is immutable.
type View struct {
	Principal *identity.Principal
	Rules     *Rules
}

// Rules knows the declared kinds and decides. Implementations of lookups are
// given by the registry; Rules itself is immutable.
type Rules struct {
	Site     string                       // name of the site that answers
	Kind     func(name string) *kind.Kind // nil where there is none
	Relation *kind.Relation               // nil: nobody treats anybody
}

// On gives the predicate for reading records of one kind.
func (v View) On(kindName string) Predicate { return v.Rules.Predicate(v.Principal, kindName, "read") }

// Predicate says on which records of the kind p may do can ("read", "update",
// a verb …).
func (r *Rules) Predicate(p *identity.Principal, kindName, can string) Predicate {
	if p.Trusted() {
		return Predicate{All: true}
	}
	k := r.Kind(kindName)
	if k == nil || p == nil || p.Type == identity.Nobody || !ScopeAllows(p.Scopes, kindName, can) {
		return Predicate{}
	}
	if p.Type == identity.Service && p.Scopes != nil && len(k.Access) > 0 && can != "import" && can != "purge" {
		// A token's scopes, which have just allowed this, decide in place of grants.
		// Kinds that grant nobody anything stay closed, and fields stay hidden.
		return Predicate{All: true}
	}
	var out Predicate
	for _, g := range k.Access {
		if g.Role != "*" && !p.Has(g.Role) || !grantsVerb(g.Can, can) {
			continue
		}
		if g.When == "" {
			return Predicate{All: true}
		}
		for cond := range strings.SplitSeq(g.When, "|") {
			switch cond {
			case kind.Own:
				out.Terms = append(out.Terms, Term{Owners: selves(p)})
			case kind.Department:
				if len(p.Depts) > 0 {
					out.Terms = append(out.Terms, Term{Depts: p.Depts})
				}
			case kind.Addressed:
				if len(p.Roles) > 0 {
					out.Terms = append(out.Terms, Term{Depts: p.Roles})
				}
			case kind.Organisation:
				if len(p.Orgs) > 0 {
					out.Terms = append(out.Terms, Term{Orgs: p.Orgs})
				}
			case kind.AtSite:
				out.Terms = append(out.Terms, Term{Homes: []string{r.Site}})
			case kind.Treating:
				if r.Relation != nil {
					out.Terms = append(out.Terms, Term{Treating: &Treating{Relation: *r.Relation, Members: members(p)}})
				}
			}
		}
	}
	return out
}

func selves(p *identity.Principal) []string {
	if p.Person != "" {
		return []string{p.ID, p.Person}
	}
	return []string{p.ID}
}

func members(p *identity.Principal) []record.Key {
	var out []record.Key
	for _, s := range selves(p) {
		if k, ok := record.ParseKey(s); ok {
			out = append(out, k)
		}
	}
	return out
}

// grantsVerb tells whether a grant's list covers can. Import and purge are
// never covered by "*": they write without evidence or erase history.
func grantsVerb(list []string, can string) bool {
	for _, c := range list {
		if c == can || c == "*" && can != "import" && can != "purge" {
			return true
		}
	}
	return false
}

// MayEver tells whether p may do can on any record of the kind at all: what
// menus and buttons ask before a record is known.
func (r *Rules) MayEver(p *identity.Principal, kindName, can string) bool {
	return !r.Predicate(p, kindName, can).None()
}

// HiddenFields lists the top-level properties of the kind that p may not see.
func HiddenFields(p *identity.Principal, k *kind.Kind) []string {
	if p.Trusted() {
		return nil
	}
	var out []string
	for _, h := range k.Hide {
		if !slices.ContainsFunc(h.Except, p.Has) {
			out = append(out, h.Field)
		}
	}
	return out
}

// ScopeAllows tells whether SMART v2 scopes ("system/Patient.rs",
// "system/*.cruds") cover can on the kind; nil scopes do not limit. Verbs count
// as update; history and read as r; search as s.
// Source: SMART App Launch 2.2.0 §3.0.2, "Scopes for requesting FHIR resources".
func ScopeAllows(scopes []string, kindName, can string) bool {
	if scopes == nil {
		return true
	}
	want := byte('u')
	switch can {
	case "read", "history":
		want = 'r'
	case "search":
		want = 's'
	case "create", "import":
		want = 'c'
	case "delete", "purge":
		want = 'd'
	}
	for _, s := range scopes {
		_, rest, ok := strings.Cut(s, "/")
		if !ok {
			continue
		}
		name, perms, ok := strings.Cut(rest, ".")
		if !ok || name != "*" && name != kindName {
			continue
		}
		perms, _, _ = strings.Cut(perms, "?")
		switch perms { // v1 forms
		case "*":
			perms = "cruds"
		case "read":
			perms = "rs"
		case "write":
			perms = "cud"
		}
		if strings.IndexByte(perms, want) >= 0 {
			return true
		}
	}
	return false
}
