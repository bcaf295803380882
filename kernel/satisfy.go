package kernel

import (
	"context"
	"encoding/json"
	"slices"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// Indexed is one version of a record, read and with what it is found by, so
// that it can be held against many queries.
type Indexed struct {
	record.Record
	Doc   map[string]any // the data; numbers are json.Number
	Index search.Index   // with the parameters that every kind has
}

// Indexed reads a version for Satisfies. Invalid where its data is not, or no
// longer, of its kind.
func (k *Kernel) Indexed(r record.Record) (*Indexed, error) {
	decl := k.registry.Find(r.Kind)
	if decl == nil {
		return nil, errs.NotFoundf("match", "%s", r.Kind)
	}
	f, err := k.registry.format(decl)
	if err != nil {
		return nil, err
	}
	// What is stored may be read in place; Parse keeps what it is given.
	doc, _, err := f.Parse(decl, append(json.RawMessage(nil), r.Data...))
	if err != nil {
		return nil, err
	}
	out := &Indexed{Record: r, Doc: doc}
	if out.Index, err = f.Index(decl, doc); err != nil {
		return nil, err
	}
	ix := &out.Index
	code := func(param, code string) {
		if code != "" {
			ix.Tokens = append(ix.Tokens, search.Token{Param: param, Code: code})
		}
	}
	code(search.ParamID, r.ID)
	code(search.ParamState, r.State)
	code(search.ParamHome, r.Home)
	at := func(param string, ms int64) {
		ix.Dates = append(ix.Dates, search.Date{Param: param, Lo: ms, Hi: ms + 1})
	}
	at(search.ParamCreated, search.Millis(r.CreatedAt))
	at(search.ParamUpdated, search.Millis(r.UpdatedAt))
	if !r.NextAt.IsZero() {
		at(search.ParamNext, search.Millis(r.NextAt))
	}
	return out, nil
}

// Satisfies tells whether a version satisfies every clause, as p's search would
// find it were it the newest: the version itself is judged in memory, and only
// what a clause asks of other records is asked of the store, as it stands now
// and as p may see it. Whether p may see the version is not judged here.
//
// Errors: those of a search; a clause whose index is not whole yet is
// Unavailable, as in a search.
func (k *Kernel) Satisfies(ctx context.Context, p *identity.Principal, x *Indexed, where []search.Clause) (bool, error) {
	if x.Deleted {
		return false, nil
	}
	for i := range where {
		ok, err := k.satisfies(ctx, p, x, &where[i])
		if !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (k *Kernel) satisfies(ctx context.Context, p *identity.Principal, x *Indexed, c *search.Clause) (bool, error) {
	if len(c.Or) > 0 {
		for i := range c.Or {
			if ok, err := k.satisfies(ctx, p, x, &c.Or[i]); ok || err != nil {
				return ok != c.Not, err
			}
		}
		return c.Not, nil
	}
	decl, _ := k.registry.Param(x.Kind, c.Param)
	over := search.Answers{Over: decl.Over, Only: decl.Only, Parts: decl.Parts}
	if len(over.Over) == 0 {
		over.Over = []string{c.Param}
	}
	if decl.Type == string(kind.NearParam) {
		over = search.Answers{}
	} else if holds, known := x.Index.Holds(*c, over); known {
		return holds, nil
	}
	find := func(q search.Query) (bool, error) {
		q.Limit = 1
		page, err := k.store.Search(ctx, k.View(p), q)
		return len(page.Records) > 0, err
	}
	self := search.Clause{Param: search.ParamID, Any: []search.Value{{AnySystem: true, Code: x.ID}}}
	switch {
	case c.Chain != nil:
		// The version's own references, whatever the newest refers to.
		targets := search.Clause{Param: search.ParamID}
		for _, r := range x.Index.Refs {
			if slices.Contains(over.Over, r.Param) && r.URL == "" && r.Target.Kind == c.Chain.Kind {
				targets.Any = append(targets.Any, search.Value{AnySystem: true, Code: r.Target.ID})
			}
		}
		if len(targets.Any) == 0 {
			return c.Not, nil
		}
		ok, err := find(search.Query{Kind: c.Chain.Kind, Where: append([]search.Clause{targets}, c.Chain.Where...)})
		return ok != c.Not, err
	case c.Has != nil:
		here := search.Clause{Param: c.Has.Param, Any: []search.Value{{Ref: x.Key}}}
		ok, err := find(search.Query{Kind: c.Has.Kind, Where: append([]search.Clause{here}, c.Has.Where...)})
		return ok != c.Not, err
	}
	// What only the store can tell is told of the newest version.
	return find(search.Query{Kind: x.Kind, Where: []search.Clause{self, *c}})
}
