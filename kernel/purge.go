package kernel

import (
	"context"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// Purge erases the older versions of a record and leaves for each its hash; the
// newest stays (ARCHITECTURE.md, "Erasure"). It needs the permission "purge",
// which no "*" covers, and stands in the audit. NotFound where there is no such
// record or p may not see it, Forbidden where p may not purge it.
func (k *Kernel) Purge(ctx context.Context, p *identity.Principal, key record.Key) error {
	decl := k.registry.Find(key.Kind)
	if decl == nil {
		return errs.NotFoundf("purge", "%s", key)
	}
	return k.Transact(ctx, p, store.Person, []record.Key{key}, func(t *Txn) error {
		r, ok, err := t.tx.Get(key)
		if err == nil && ok {
			ok, err = t.visible(&r)
		}
		if err != nil {
			return err
		}
		if !ok {
			return errs.NotFoundf("purge", "%s", key)
		}
		allowed, err := k.matches(t.find, k.rules.Predicate(p, key.Kind, "purge"), &r)
		if err != nil {
			return err
		}
		if !allowed {
			return k.refusal(p, decl, key, "purge")
		}
		entry := audit.Entry{Action: "purge", Subject: key.String(), Patient: patient(&r)}
		t.about = append(t.about, entry)
		return t.tx.Purge(key, false)
	})
}
