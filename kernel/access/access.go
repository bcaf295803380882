// Package access turns a principal and the declared grants into a visibility
// predicate that a store joins to every table it touches, and answers what a
// principal may do to one record. It does not read records itself.
package access

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Predicate says which records of one kind are visible: any of its terms, but
// for what Only and Denied take away. The zero value sees nothing.
type Predicate struct {
	Kind   string // the kind it is about
	All    bool   // every record; nothing else is set
	Terms  []Term
	Only   []record.Key // where set, the record must belong to one of these persons
	Denied *Denied      // where set, it must not belong to a person who denied it
}

// None tells whether nothing is visible.
func (p Predicate) None() bool { return !p.All && len(p.Terms) == 0 }

// Term is one way to be visible. Exactly one of the parts above Veiled is set.
// The persons a record belongs to are Place.Subject and Place.Others.
type Term struct {
	Any      bool         // every record
	Owners   []string     // Place.Owner is one of these
	Depts    []string     // Place.Dept
	Orgs     []string     // Place.Org
	Homes    []string     // record's home site
	Subjects []record.Key // it belongs to one of these persons
	Treating *Treating    // it belongs to a person who is treated
	IDs      []string     // the record's own id

	Veiled []string // records that carry one of these in Place.Label are not shown this way
}

// Treating asks for an active relation between one of Members and a person the
// record belongs to.
type Treating struct {
	kind.Relation
	Members []record.Key
	At      time.Time // Until must begin after it
}

// Denied tells which persons denied a principal a kind of record: those of the
// live records of Denial.Kind that hold a rule that fits, unless Opened holds of
// the person. A rule fits where one of its "~deny" tokens is among Codes, none of
// its "~spare" tokens is, and its date, if it has one, covers At.
type Denied struct {
	kind.Denial
	Codes  []string
	At     time.Time
	Opened *Treating // nil: nobody breaks the glass
}

// Fits tells whether the rules of one record of Denial.Kind, given what it is
// found by, deny the principal.
func (d *Denied) Fits(ix *search.Index) bool {
	at := d.At.UnixMilli()
	for _, t := range ix.Tokens {
		if t.Param != kind.DenyEntry || !slices.Contains(d.Codes, t.Code) {
			continue
		}
		spared := slices.ContainsFunc(ix.Tokens, func(s search.Token) bool {
			return s.Param == kind.SpareEntry && s.Occ == t.Occ && slices.Contains(d.Codes, s.Code)
		})
		over := slices.ContainsFunc(ix.Dates, func(p search.Date) bool {
			return p.Param == kind.DenyEntry && p.Occ == t.Occ && (at < p.Lo || at >= p.Hi)
		})
		if !spared && !over {
			return true
		}
	}
	return false
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
	Privacy  kind.Privacy                 // what stands against the grants
	Now      func() time.Time             // nil: what depends on the time never holds
}

// On gives the predicate for reading records of one kind.
func (v View) On(kindName string) Predicate { return v.Rules.Predicate(v.Principal, kindName, "read") }

// Predicate says on which records of the kind p may do can ("read", "update",
// a verb …).
func (r *Rules) Predicate(p *identity.Principal, kindName, can string) Predicate {
	if p.Trusted() {
		return Predicate{Kind: kindName, All: true}
	}
	k := r.Kind(kindName)
	if k == nil || p == nil || p.Type == identity.Nobody || !ScopeAllows(p.Scopes, kindName, can) {
		return Predicate{}
	}
	out := r.limited(r.granted(p, k, can), p, k, can)
	out.Kind = kindName
	return out
}

// granted is what the grants of a kind give, or, to a service, its scopes.
func (r *Rules) granted(p *identity.Principal, k *kind.Kind, can string) Predicate {
	if p.Type == identity.Service && p.Scopes != nil && len(k.Access) > 0 && can != "import" && can != "purge" {
		// A token's scopes, which have just allowed this, decide in place of grants.
		// Kinds that grant nobody anything stay closed, and fields stay hidden.
		return Predicate{All: true}
	}
	var out Predicate
	add := func(condition string, t Term) {
		t.Veiled = r.veiled(p, condition)
		out.Terms = append(out.Terms, t)
	}
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
				add(cond, Term{Owners: selves(p)})
			case kind.Department:
				if len(p.Depts) > 0 {
					add(cond, Term{Depts: p.Depts})
				}
			case kind.Addressed:
				if len(p.Roles) > 0 {
					add(cond, Term{Depts: p.Roles})
				}
			case kind.Organisation:
				if len(p.Orgs) > 0 {
					add(cond, Term{Orgs: p.Orgs})
				}
			case kind.AtSite:
				add(cond, Term{Homes: []string{r.Site}})
			case kind.Released:
				add(cond, Term{Any: true})
			case kind.Treating:
				if r.Relation != nil {
					add(cond, Term{Treating: r.treating(r.Relation, p)})
				}
				if r.Privacy.Opening.Kind != "" {
					add(kind.Opened, Term{Treating: r.treating(&r.Privacy.Opening, p)})
				}
			}
		}
	}
	if len(out.Terms) > 0 {
		out.Denied = r.denied(p, k)
	}
	return out
}

func (r *Rules) treating(rel *kind.Relation, p *identity.Principal) *Treating {
	return &Treating{Relation: *rel, Members: members(p), At: r.now()}
}

// Opening asks for the persons whose records p holds open by breaking the glass.
func (r *Rules) Opening(p *identity.Principal) *Treating { return r.treating(&r.Privacy.Opening, p) }

func (r *Rules) now() time.Time {
	if r.Now == nil {
		return time.Time{}
	}
	return r.Now()
}

// veiled lists the labels of records that a condition does not show p.
func (r *Rules) veiled(p *identity.Principal, condition string) []string {
	var out []string
	for _, l := range r.Privacy.Labels {
		if !slices.Contains(l.When, condition) && !slices.ContainsFunc(l.Roles, p.Has) {
			out = append(out, l.Code)
		}
	}
	return out
}

// denied is what persons may have refused p of a kind; nil where they cannot.
func (r *Rules) denied(p *identity.Principal, k *kind.Kind) *Denied {
	switch k.Name {
	case r.Privacy.Denial.Kind, r.Privacy.Opening.Kind: // what says who may see must be seen
		return nil
	}
	if r.Privacy.Denial.Kind == "" || !personal(k) {
		return nil
	}
	d := &Denied{Denial: r.Privacy.Denial, At: r.now()}
	if r.Privacy.Opening.Kind != "" {
		d.Opened = r.treating(&r.Privacy.Opening, p)
	}
	who := []string{kind.Whatever}
	who = append(who, selves(p)...)
	for _, org := range p.Orgs {
		who = append(who, "organisation/"+org, "Organization/"+org)
	}
	for _, dept := range p.Depts {
		who = append(who, "department/"+dept)
	}
	purposes := []string{kind.Whatever, cmp.Or(p.Purpose, Treatment)}
	for _, w := range who {
		for _, of := range []string{kind.Whatever, k.Name} {
			for _, purpose := range purposes {
				d.Codes = append(d.Codes, kind.DenialCode(w, of, purpose))
			}
		}
	}
	return d
}

// Treatment is the purpose of use of whoever states none: HL7 v3 ActReason.
const Treatment = "TREAT"

// personal tells whether records of the kind belong to persons.
func personal(k *kind.Kind) bool { return k.Place.Subject != "" || len(k.Place.Compartment.Params) > 0 }

// limited narrows what is granted to one person's records where only scopes of
// one person ("patient/…") allow it. Shared kinds may then be read, and nothing
// else that belongs to nobody.
func (r *Rules) limited(granted Predicate, p *identity.Principal, k *kind.Kind, can string) Predicate {
	if wide, _ := scoped(p.Scopes, k.Name, can); wide || granted.None() {
		return granted
	}
	if k.Place.Shared && !personal(k) && (can == "read" || can == "search" || can == "history") {
		return granted
	}
	person, ok := record.ParseKey(p.Patient)
	switch {
	case !ok || !personal(k):
		return Predicate{}
	case granted.All:
		return Predicate{Terms: []Term{{Subjects: []record.Key{person}}}}
	}
	granted.Only = []record.Key{person}
	return granted
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
// "system/*.cruds") cover can on some record of the kind; nil scopes do not
// limit. Verbs count as update; history and read as r; search as s.
// Source: SMART App Launch 2.2.0 §3.0.2, "Scopes for requesting FHIR resources".
func ScopeAllows(scopes []string, kindName, can string) bool {
	wide, one := scoped(scopes, kindName, can)
	return wide || one
}

// scoped tells whether scopes cover can on any record of the kind, and whether
// they cover it on those of the one person they were launched for.
func scoped(scopes []string, kindName, can string) (wide, one bool) {
	if scopes == nil {
		return true, false
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
		of, rest, ok := strings.Cut(s, "/")
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
		if strings.IndexByte(perms, want) < 0 {
			continue
		}
		if of == "patient" {
			one = true
		} else {
			wide = true
		}
	}
	return wide, one
}
