package kernel

import (
	"context"

	"zhiwei/kernel/access"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/lifecycle"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// patient is the person a record is about, for the audit; "" where none.
func patient(r *record.Record) string {
	if r.Place.Subject.IsZero() {
		return ""
	}
	return r.Place.Subject.String()
}

func (k *Kernel) disclose(ctx context.Context, p *identity.Principal, records []record.Record) error {
	trail := audit.TrailOf(ctx)
	if err := k.markOpened(k.find(ctx), p, trail, records); err != nil {
		return err
	}
	var hidden map[string][]string
	for i := range records {
		r := &records[i]
		trail.Read(patient(r))
		if p.Trusted() {
			continue
		}
		fields, known := hidden[r.Kind]
		if !known {
			if decl := k.registry.Find(r.Kind); decl != nil {
				fields = masked(p, decl)
			}
			if hidden == nil {
				hidden = map[string][]string{}
			}
			hidden[r.Kind] = fields
		}
		if err := mask(r, fields); err != nil {
			return err
		}
		if err := conceal(p, k.registry.Find(r.Kind), r); err != nil {
			return err
		}
	}
	return nil
}

// Read gives the newest version as p may see it. NotFound where there is none,
// it is hidden, or it was deleted (IsGone tells the last).
func (k *Kernel) Read(ctx context.Context, p *identity.Principal, key record.Key) (record.Record, error) {
	r, err := k.store.Get(ctx, k.View(p), key)
	if err != nil {
		return record.Record{}, err
	}
	if r.Deleted {
		return record.Record{}, gone(key)
	}
	one := []record.Record{r}
	err = k.disclose(ctx, p, one)
	return one[0], err
}

// ReadVersion gives one version. NotFound as in Read.
func (k *Kernel) ReadVersion(ctx context.Context, p *identity.Principal, key record.Key, version int64) (record.Record, error) {
	if err := k.mayHistory(p, key.Kind); err != nil {
		return record.Record{}, err
	}
	r, err := k.store.Version(ctx, k.View(p), key, version)
	if err != nil {
		return record.Record{}, err
	}
	if r.Deleted {
		return record.Record{}, gone(key)
	}
	one := []record.Record{r}
	err = k.disclose(ctx, p, one)
	return one[0], err
}

// mayHistory: whoever may read a record may read its versions, unless the kind
// grants "history" to some roles only.
func (k *Kernel) mayHistory(p *identity.Principal, kindName string) error {
	decl := k.registry.Find(kindName)
	if decl == nil || p.Trusted() {
		return nil
	}
	restricted := false
	for _, g := range decl.Access {
		for _, c := range g.Can {
			restricted = restricted || c == "history"
		}
	}
	if restricted && k.rules.Predicate(p, kindName, "history").None() {
		return errs.E(errs.Forbidden, "history", kindName, "您无权查看“"+decl.Title.In("zh")+"”的历史。", "You may not see the history of "+decl.Title.In("en")+".")
	}
	return nil
}

// History gives versions, newest first, deletions included.
func (k *Kernel) History(ctx context.Context, p *identity.Principal, q store.HistoryQuery) (store.HistoryPage, error) {
	if err := k.mayHistory(p, q.Key.Kind); err != nil {
		return store.HistoryPage{}, err
	}
	page, err := k.store.History(ctx, k.View(p), q)
	if err != nil {
		return page, err
	}
	return page, k.disclose(ctx, p, page.Versions)
}

// Search answers a query as p may. Forbidden where it looks at a hidden field.
func (k *Kernel) Search(ctx context.Context, p *identity.Principal, q search.Query) (search.Page, error) {
	if err := k.checkQuery(p, q.Kind, q.Where, q.Sort); err != nil {
		return search.Page{}, err
	}
	page, err := k.store.Search(ctx, k.View(p), q)
	if err != nil {
		return page, err
	}
	return page, k.disclose(ctx, p, page.Records)
}

// Referring lists visible records that refer to key.
func (k *Kernel) Referring(ctx context.Context, p *identity.Principal, key record.Key, limit int) ([]store.Link, error) {
	return k.store.Referring(ctx, k.View(p), key, limit)
}

// Counts gives the number of visible live records of each kind.
func (k *Kernel) Counts(ctx context.Context, p *identity.Principal) (map[string]int64, error) {
	return k.store.Counts(ctx, k.View(p))
}

// May tells whether p may do can to a record he has read.
func (k *Kernel) May(ctx context.Context, p *identity.Principal, r *record.Record, can string) (bool, error) {
	return k.matches(k.find(ctx), k.rules.Predicate(p, r.Kind, can), r)
}

func (k *Kernel) find(ctx context.Context) finder {
	return func(q search.Query) (search.Page, error) {
		return k.store.Search(ctx, k.View(identity.Root()), q)
	}
}

func (k *Kernel) get(ctx context.Context) func(record.Key) (record.Record, bool, error) {
	return func(key record.Key) (record.Record, bool, error) {
		r, err := k.store.Get(ctx, access.View{Principal: identity.Root(), Rules: k.rules}, key)
		if errs.Is(err, errs.NotFound) {
			return record.Record{}, false, nil
		}
		return r, err == nil, err
	}
}

// Offer is a verb that could be said on a record now.
type Offer struct {
	Verb *kind.Verb
	Why  error // nil: allowed; else why not now, in a sentence
}

// Verbs lists the verbs that p may say on r in its state, with the reason where
// a guard refuses now. Verbs p may never say are left out.
func (k *Kernel) Verbs(ctx context.Context, p *identity.Principal, r record.Record) ([]Offer, error) {
	decl := k.registry.Find(r.Kind)
	if decl == nil || r.Deleted {
		return nil, nil
	}
	var out []Offer
	var before map[string]any
	for _, v := range lifecycle.Verbs(decl.Lifecycle, r.State) {
		if v.Clock && !p.Trusted() {
			continue
		}
		ok, err := k.May(ctx, p, &r, v.Name)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		o := Offer{Verb: v}
		// Guards look at data the person may not see, and may depend on input not
		// given yet: those are answered when the verb is said.
		if len(v.Guards) > 0 && len(v.Input) == 0 {
			if before == nil {
				full, there, err := k.get(ctx)(r.Key)
				if err != nil || !there {
					return nil, err
				}
				if before, err = decode(full.Data); err != nil {
					return nil, err
				}
			}
			scope := k.scope(ctx, p, &r, before)
			o.Why = lifecycle.Guard(r.Key.String(), v.Guards, scope)
		}
		out = append(out, o)
	}
	return out, nil
}
