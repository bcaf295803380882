// Package identity says who is asking. It does not check passwords and does
// not decide what anybody may do.
package identity

import (
	"context"
	"slices"
)

// Type tells people from programs.
type Type string

// The types of principal.
const (
	User    Type = "user"
	Service Type = "service" // a token
	Loop    Type = "loop"    // the system itself, acting by a declared loop
	System  Type = "system"  // start-up, import of definitions, repair
	Nobody  Type = "nobody"  // not signed in
)

// Principal is the one who asks: a person, a service or a loop. It is
// immutable once made; share it freely.
type Principal struct {
	Type    Type
	ID      string   // "user/anna", "token/7f…", "loop/watch", "system"
	Name    string   // as shown to people
	Roles   []string // names of roles, sorted
	Depts   []string // ids of departments they work in
	Orgs    []string // ids of organisations they belong to
	Person  string   // reference of the person in care records, e.g. Practitioner/12; empty when none
	Purpose string   // purpose of use (HL7 PurposeOfUse code, e.g. TREAT, HOPERAT)
	Scopes  []string // SMART scopes a token is limited to; nil: not limited
	Patient string   // the person that scopes "patient/…" are about, e.g. Patient/1; empty: they allow nothing
	Session string   // id of the session or token, for the audit
	Behalf  string   // principal on whose behalf this one acts; empty when none
	Reason  string   // reason given for opening what one does not treat; empty when none
}

// Has tells whether p has the role.
func (p *Principal) Has(role string) bool { return p != nil && slices.Contains(p.Roles, role) }

// Trusted tells whether p is the program itself.
func (p *Principal) Trusted() bool { return p != nil && (p.Type == System || p.Type == Loop) }

// Root is the program itself at start-up and repair. It is in the audit like
// everybody else.
func Root() *Principal { return &Principal{Type: System, ID: "system", Name: "系统 System"} }

// ForLoop is the principal of a declared loop.
func ForLoop(name string) *Principal {
	return &Principal{Type: Loop, ID: "loop/" + name, Name: name}
}

// Anonymous is who asks without signing in.
func Anonymous() *Principal { return &Principal{Type: Nobody, ID: "nobody"} }

// Request is what the audit keeps of one request, carried in the context by the
// door that took it in.
type Request struct {
	ID     string // unique, shown to users in errors
	Door   string // fhir, rest, socket …
	Remote string // network address
	Agent  string // user agent
}

type requestKey struct{}

// WithRequest puts r in the context.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestOf returns the request in ctx; zero where there is none.
func RequestOf(ctx context.Context) Request {
	r, _ := ctx.Value(requestKey{}).(Request)
	return r
}
