package access_test

import (
	"testing"

	"zhiwei/kernel/access"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
)

// A token's scopes decide in place of grants; what no grant opens to anybody, and
// what "*" never covers, they do not open either.
func TestScopesDecideForServices(t *testing.T) {
	kinds := map[string]*kind.Kind{
		"book":   {Name: "book", Access: []kind.Grant{{Role: "librarian", Can: []string{"*"}}}, Hide: []kind.Hidden{{Field: "price", Except: []string{"librarian"}}}},
		"secret": {Name: "secret"},
	}
	rules := &access.Rules{Site: "here", Kind: func(name string) *kind.Kind { return kinds[name] }}
	service := func(scopes []string, roles ...string) *identity.Principal {
		return &identity.Principal{Type: identity.Service, ID: "token/x", Scopes: scopes, Roles: roles}
	}
	all, some := service([]string{"system/*.cruds"}), service([]string{"system/book.rs"})
	for _, c := range []struct {
		p         *identity.Principal
		kind, can string
		want      bool
	}{
		{all, "book", "read", true},
		{all, "book", "create", true},
		{all, "book", "delete", true},
		{all, "book", "lend", true},
		{all, "book", "purge", false},
		{all, "book", "import", false},
		{all, "secret", "read", false},
		{all, "none", "read", false},
		{some, "book", "read", true},
		{some, "book", "search", true},
		{some, "book", "create", false},
		{some, "book", "lend", false},
		{service([]string{}), "book", "read", false},                      // limited to nothing
		{service(nil), "book", "read", false},                             // not limited by scopes: grants decide
		{service(nil, "librarian"), "book", "read", true},                 //
		{service([]string{"user/book.rs"}, "x"), "book", "create", false}, // nor does a scope of reading write
		{&identity.Principal{Type: identity.User, ID: "user/x", Scopes: []string{"system/*.cruds"}}, "book", "read", false}, // scopes limit people, they give them nothing
	} {
		if got := rules.MayEver(c.p, c.kind, c.can); got != c.want {
			t.Errorf("%v %v %s %s: %v", c.p.Scopes, c.p.Roles, c.can, c.kind, got)
		}
	}
	if h := access.HiddenFields(all, kinds["book"]); len(h) != 1 {
		t.Errorf("a token sees hidden fields: %v", h)
	}
}

// Scopes of one patient give that patient's records and what belongs to nobody;
// without the patient, and for every other kind, nothing.
func TestScopesOfOnePatient(t *testing.T) {
	all := []kind.Grant{{Role: "admin", Can: []string{"*"}}}
	kinds := map[string]*kind.Kind{
		"note":  {Name: "note", Access: all, Place: kind.Place{Subject: "subject"}},
		"group": {Name: "group", Access: all, Place: kind.Place{Compartment: kind.Compartment{Of: "patient", Params: []string{"member"}}}},
		"ward":  {Name: "ward", Access: all, Place: kind.Place{Shared: true}},
		"user":  {Name: "user", Access: all},
	}
	rules := &access.Rules{Kind: func(name string) *kind.Kind { return kinds[name] }}
	app := func(patient string, scopes ...string) *identity.Principal {
		return &identity.Principal{Type: identity.Service, ID: "token/x", Scopes: scopes, Patient: patient}
	}
	for _, c := range []struct {
		p         *identity.Principal
		kind, can string
		want      string // all, one, none
	}{
		{app("patient/1", "patient/*.rs"), "note", "read", "one"},
		{app("patient/1", "patient/*.rs"), "group", "search", "one"},
		{app("patient/1", "patient/*.rs"), "note", "create", "none"},
		{app("patient/1", "patient/*.cruds"), "note", "create", "one"},
		{app("patient/1", "patient/*.cruds"), "ward", "read", "all"},
		{app("patient/1", "patient/*.cruds"), "ward", "update", "none"},
		{app("patient/1", "patient/*.cruds"), "user", "read", "none"},
		{app("", "patient/*.rs"), "note", "read", "none"},
		{app("", "patient/*.rs"), "ward", "read", "all"},
		{app("patient/1", "patient/note.rs"), "group", "read", "none"},
		{app("patient/1", "patient/*.rs", "system/note.rs"), "note", "read", "all"},
		{app("patient/1", "patient/*.rs", "system/note.rs"), "group", "read", "one"},
	} {
		p, got := rules.Predicate(c.p, c.kind, c.can), "none"
		switch {
		case p.All:
			got = "all"
		case len(p.Terms) == 1 && len(p.Terms[0].Subjects) == 1 && p.Terms[0].Subjects[0].String() == "patient/1":
			got = "one"
		case !p.None():
			got = "some"
		}
		if got != c.want {
			t.Errorf("%v %s %s: %s, want %s", c.p.Scopes, c.can, c.kind, got, c.want)
		}
	}
	// They limit a person too: what his grants give, of that patient.
	nurse := &identity.Principal{Type: identity.User, ID: "user/n", Roles: []string{"admin"}, Scopes: []string{"patient/*.rs"}, Patient: "patient/1"}
	kinds["note"].Access = []kind.Grant{{Role: "admin", Can: []string{"read"}, When: kind.Own}}
	if p := rules.Predicate(nurse, "note", "read"); len(p.Only) != 1 || len(p.Terms) != 1 || p.Terms[0].Owners == nil {
		t.Errorf("%+v", p)
	}
}
