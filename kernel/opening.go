package kernel

import (
	"context"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// openings gives the persons whose records p holds open by breaking the glass,
// each with the reason he gave; nil where he cannot or did not. It asks the store
// only about principals who hold the role of openers.
func (k *Kernel) openings(find finder, p *identity.Principal) (map[record.Key]string, error) {
	rel := &k.rules.Privacy.Opening
	if rel.Kind == "" || p.Trusted() || !p.Has(k.rules.Privacy.Opener) {
		return nil, nil
	}
	decl := k.registry.Find(rel.Kind)
	if decl == nil || decl.Param(rel.Subject) == nil {
		return nil, nil
	}
	q := search.Query{Kind: rel.Kind, Limit: 1000, Where: held(k.rules.Opening(p))}
	page, err := find(q)
	if err != nil || len(page.Records) == 0 {
		return nil, err
	}
	out := make(map[record.Key]string, len(page.Records))
	for i := range page.Records {
		doc, err := decode(page.Records[i].Data)
		if err != nil {
			return nil, err
		}
		if person, ok := record.ParseKey(textAt(doc, decl.Param(rel.Subject).Path)); ok {
			out[person] = textAt(doc, "reason")
		}
	}
	return out, nil
}

// markOpened notes in the trail of a read that it disclosed what was opened.
func (k *Kernel) markOpened(find finder, p *identity.Principal, trail *audit.Trail, records []record.Record) error {
	if trail == nil {
		return nil
	}
	open, err := k.openings(find, p)
	if err != nil {
		return errs.Wrap("audit", "opening", err)
	}
	for i := 0; i < len(records) && len(open) > 0; i++ {
		for _, person := range records[i].Place.Persons() {
			if reason, ok := open[person]; ok {
				trail.Opened(reason)
				return nil
			}
		}
	}
	return nil
}

// noteOpened notes in the trail of a write that it touched what was opened.
func (k *Kernel) noteOpened(ctx context.Context, t *Txn) error {
	trail := audit.TrailOf(ctx)
	if trail == nil {
		return nil
	}
	open, err := k.openings(t.find, t.p)
	if err != nil {
		return errs.Wrap("audit", "opening", err)
	}
	for i := 0; i < len(t.about) && len(open) > 0; i++ {
		if person, ok := record.ParseKey(t.about[i].Patient); ok {
			if reason, ok := open[person]; ok {
				trail.Opened(reason)
				return nil
			}
		}
	}
	return nil
}
