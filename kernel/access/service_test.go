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
