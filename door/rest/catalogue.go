package rest

import (
	"context"
	"net/http"
	"slices"

	"zhiwei/kernel/access"
	"zhiwei/kernel/app"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
)

// silent is ctx for what the door looks up for itself.
func silent(ctx context.Context) context.Context { return audit.WithTrail(ctx, nil) }

// shown is a kind as p may know it: without the fields hidden from him, and with
// what he may ever do.
type shown struct {
	kind.Kind
	Can []string `json:"can"`
}

// can lists what p may ever do on records of a kind.
func (d *Door) can(p *identity.Principal, k *kind.Kind) []string {
	out := []string{}
	try := func(what string) {
		if d.kernel.Rules().MayEver(p, k.Name, what) {
			out = append(out, what)
		}
	}
	for _, what := range []string{"read", "create", "update", "delete", "history", "import"} {
		try(what)
	}
	if k.Lifecycle != nil {
		for i := range k.Lifecycle.Verbs {
			if !k.Lifecycle.Verbs[i].Clock {
				try(k.Lifecycle.Verbs[i].Name)
			}
		}
	}
	return out
}

// visibleKinds are the kinds p may read records of, by name.
func (d *Door) visibleKinds(p *identity.Principal) []shown {
	out := []shown{}
	for _, k := range d.kernel.Registry().Kinds() {
		can := d.can(p, k)
		if !slices.Contains(can, "read") {
			continue
		}
		s := shown{*k, can}
		// Who may see what is the security administrator's knowledge.
		s.Access, s.Hide = nil, nil
		if hidden := access.HiddenFields(p, k); len(hidden) > 0 {
			s.Fields = slices.DeleteFunc(slices.Clone(k.Fields), func(f kind.Field) bool { return slices.Contains(hidden, f.Name) })
			s.Search = slices.DeleteFunc(slices.Clone(k.Search), func(q kind.Param) bool { return slices.Contains(hidden, q.Path) })
			s.View.Columns = slices.DeleteFunc(slices.Clone(k.View.Columns), func(c string) bool { return slices.Contains(hidden, c) })
			s.View.Filters = slices.DeleteFunc(slices.Clone(k.View.Filters), func(f string) bool {
				param := k.Param(f)
				return param != nil && slices.Contains(hidden, param.Path)
			})
		}
		out = append(out, s)
	}
	return out
}

// drawn is the catalogue with only those search parameters that lists are drawn
// with: filters, orders of columns, and one text parameter, which says that the
// kind is found by words. A FHIR type has dozens that no page names, and all of
// them stand at /api/kinds.
func (c catalogue) drawn() catalogue {
	out := catalogue{Items: slices.Clone(c.Items), Menu: c.Menu}
	for i := range out.Items {
		k := &out.Items[i]
		worded := false
		k.Search = slices.DeleteFunc(slices.Clone(k.Search), func(p kind.Param) bool {
			keep := slices.Contains(k.View.Filters, p.Name) ||
				slices.ContainsFunc(k.Fields, func(f kind.Field) bool { return f.Name == p.Path }) ||
				!worded && (p.Type == kind.WordsParam || p.Type == kind.StringParam)
			worded = worded || keep && (p.Type == kind.WordsParam || p.Type == kind.StringParam)
			return !keep
		})
	}
	return out
}

// kinds answers the declarations that p may know and the menu made of them.
func (d *Door) kinds(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r); err != nil {
		return err
	}
	return answer(w, r, http.StatusOK, d.catalogue(p))
}

// catalogue is what p may know of what there is.
type catalogue struct {
	Items []shown       `json:"items"`
	Menu  []app.Section `json:"menu"`
}

func (d *Door) catalogue(p *identity.Principal) catalogue {
	out := catalogue{Items: d.visibleKinds(p), Menu: []app.Section{}}
	for _, s := range d.sections {
		if slices.ContainsFunc(out.Items, func(k shown) bool { return k.View.Menu == s.Name }) {
			out.Menu = append(out.Menu, s)
		}
	}
	slices.SortStableFunc(out.Menu, func(a, b app.Section) int { return a.Order - b.Order })
	return out
}
