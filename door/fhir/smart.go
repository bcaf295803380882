package fhir

import (
	"net/http"

	"zhiwei/door/gate"
	"zhiwei/kernel/identity"
)

// smartRoutes are the addresses of SMART discovery: at the root of the FHIR
// server, as the standard has it, and at that of the host, where some clients
// look. Source: SMART App Launch 2.2.0 §2.0.9.2, "Using Well-Known".
func (d *Door) smartRoutes() []gate.Route {
	var out []gate.Route
	for _, at := range []string{Prefix, ""} {
		out = append(out, gate.Route{Method: http.MethodGet, Pattern: at + "/.well-known/smart-configuration", Permission: gate.Open, Action: "capabilities", Quiet: true, Handle: d.smart, Problem: d.problem})
	}
	return out
}

// smart says what of SMART is here: scopes of both versions, on bearer tokens
// that the security administrator gives out. There is no authorization server
// yet, so no endpoint, grant type or launch is named.
func (d *Door) smart(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
	if err := onlyFormat(r.URL.Query()); err != nil {
		return err
	}
	return sendJSON(w, r, http.StatusOK, object{
		"grant_types_supported":            []string{},
		"code_challenge_methods_supported": []string{},
		"scopes_supported":                 []string{"system/*.cruds", "system/*.rs", "user/*.cruds", "user/*.rs", "patient/*.rs", "system/*.read", "system/*.write", "patient/*.read"},
		"capabilities":                     []string{"permission-v1", "permission-v2"},
	})
}

// security is the part of the CapabilityStatement that says how to be let in.
func (d *Door) security() object {
	return object{
		"cors":        false,
		"description": "Bearer tokens with SMART on FHIR scopes (versions 1 and 2), given out by the security administrator, or a session of the pages. There is no OAuth authorization endpoint.",
		"service":     []object{{"text": "Bearer token"}},
	}
}
