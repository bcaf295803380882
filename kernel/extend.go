package kernel

import (
	"context"
	"slices"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
)

// extension is what a kind has beside its declaration.
type extension struct {
	declared []kind.Param
	further  []string // names of the further parameters
	unready  []string // of these, those whose index is not whole
}

// Extend gives a kind search parameters beside those it was declared with, in
// place of further ones given before; none takes them away again. Whoever
// searches by one that is named in unready is refused with Unavailable until
// Extend is called without it. The declaration of the kind and its record stay
// as they are.
//
// NotFound where there is no such kind, Conflict where a name is taken.
func (r *Registry) Extend(kindName string, params []kind.Param, unready []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kinds[kindName]
	if k == nil {
		return errs.NotFoundf("extend", "%s", kindName)
	}
	x, there := r.extensions[kindName]
	if !there {
		x.declared = k.Search
	}
	x.further, x.unready = nil, slices.Clone(unready)
	all := slices.Clone(x.declared)
	for _, p := range params {
		_, own := search.Builtin(p.Name)
		if own || slices.ContainsFunc(all, func(o kind.Param) bool { return o.Name == p.Name }) {
			return errs.E(errs.Conflict, "extend", p.Name, "类别 "+kindName+" 已有查询参数 "+p.Name+"。", "The kind "+kindName+" has a search parameter "+p.Name+" already.").At(p.Name)
		}
		all = append(all, p)
		x.further = append(x.further, p.Name)
	}
	if r.extensions == nil {
		r.extensions = map[string]extension{}
	}
	r.extensions[kindName] = x
	next := *k // who holds the kind as it was keeps it as it was
	next.Search = all
	r.kinds[kindName], r.plurals[k.Plural] = &next, &next
	r.generation++
	return nil
}

// Generation grows with every Extend: what was made from the declarations
// before is out of date.
func (r *Registry) Generation() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.generation
}

// reindexPage is how many records one transaction of a reindex takes.
const reindexPage = 500

// Reindex takes every record of a kind through its format again, from the place
// after on ("": from the start), without new versions. told is called after each
// transaction with the number of records it took and the place reached, which
// can be given again after a crash; it may be nil. Records that are written
// meanwhile are indexed by their writers.
func (k *Kernel) Reindex(ctx context.Context, kindName, after string, told func(records int, after string) error) error {
	root := identity.Root()
	q := search.Query{Kind: kindName, Limit: reindexPage, After: after}
	for {
		page, err := k.store.Search(ctx, k.View(root), q)
		if err != nil {
			return err
		}
		if err := k.reindexRecords(ctx, page.Records); err != nil {
			return err
		}
		q.After = page.Next
		if told != nil {
			if err := told(len(page.Records), q.After); err != nil {
				return err
			}
		}
		if q.After == "" {
			return nil
		}
	}
}
