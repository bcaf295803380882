package main

import (
	"net/http"
	"strconv"
	"strings"

	"zhiwei/apps/operations"
	"zhiwei/door/gate"
	"zhiwei/engine"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

// operator is the application of operations in this program; nil where the
// configuration leaves it out.
func (h *house) operator() *operations.App {
	for _, a := range h.apps.Apps {
		if o, ok := a.Module.(*operations.App); ok {
			return o
		}
	}
	return nil
}

// operations are the routes that tell what records alone do not.
func (h *house) operations() []gate.Route {
	o := h.operator()
	if o == nil || h.series == nil {
		return nil
	}
	may := gate.Role(kernel.RoleSystemAdmin, engine.RoleOps, engine.RoleManager)
	get := func(pattern string, answer func(r *http.Request, p *identity.Principal) (any, error)) gate.Route {
		return gate.Route{Method: http.MethodGet, Pattern: pattern, Permission: may, Quiet: true, Handle: func(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
			v, err := answer(r, p)
			if err != nil {
				return err
			}
			return answerJSON(w, v)
		}}
	}
	return []gate.Route{
		get("/api/operations/overview", func(r *http.Request, p *identity.Principal) (any, error) {
			return o.Overview(r.Context(), p)
		}),
		get("/api/operations/topology", func(r *http.Request, p *identity.Principal) (any, error) {
			steps := 3
			if s := r.FormValue("steps"); s != "" {
				var err error
				if steps, err = strconv.Atoi(s); err != nil || steps < 1 {
					return nil, errs.E(errs.Invalid, "topology", "steps", "steps 须是正整数，例如 3。", "steps must be a positive whole number, such as 3.").At("steps")
				}
			}
			list, err := o.Map(r.Context(), p, r.FormValue("thing"), steps)
			return map[string]any{"things": list}, err
		}),
		get("/api/operations/metrics", func(r *http.Request, _ *identity.Principal) (any, error) {
			if r.FormValue("thing") == "" {
				return nil, errs.E(errs.Invalid, "metrics", "thing", "请用 thing 指明对象。", "Say which thing with the parameter thing.").At("thing")
			}
			list, err := o.Metrics(r.Context(), r.FormValue("thing"))
			return map[string]any{"series": list}, err
		}),
		get("/api/operations/search", func(r *http.Request, _ *identity.Principal) (any, error) {
			list, err := o.Find(r.FormValue("q"))
			return map[string]any{"items": list}, err
		}),
		{
			// The pack by which other programs of the hospital reason as this one does.
			Method: http.MethodGet, Pattern: "/api/operations/pack", Permission: gate.Can(engine.FailureModeKind, "read"), Quiet: true,
			Handle: func(w http.ResponseWriter, r *http.Request, _ *identity.Principal) error {
				version, text, err := o.Pack(r.Context())
				if err != nil {
					return err
				}
				w.Header().Set("ETag", strconv.Quote(version))
				if strings.Contains(r.Header.Get("If-None-Match"), strconv.Quote(version)) {
					w.WriteHeader(http.StatusNotModified)
					return nil
				}
				w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
				_, err = w.Write(text)
				return errs.Wrap("answer", "pack", err)
			},
		},
		get("/api/intents/parse", func(r *http.Request, p *identity.Principal) (any, error) {
			return o.ReadIntent(r.Context(), p, r.FormValue("text"))
		}),
	}
}
