package kernel

import (
	"context"
	"encoding/json"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/lifecycle"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// Claim is a verb said away from the record's home. It is a record of the site
// where it was said; the home applies or refuses it (ARCHITECTURE.md, "Custody").
type Claim struct {
	About    string         `json:"about"`
	Verb     string         `json:"verb"`
	State    string         `json:"state,omitempty"` // it was said in; in another one the home refuses
	Epoch    int64          `json:"epoch"`           // home epoch it was said under
	Evidence map[string]any `json:"evidence,omitempty"`
	Data     map[string]any `json:"data,omitempty"`
	Late     bool           `json:"late,omitempty"` // a write of an old home after another site had adopted the record
}

// Claim appends a claim on a record that another site keeps. The claimant needs
// the permission he would need at home. Conflict where this site is the home: say
// the verb itself.
func (k *Kernel) Claim(ctx context.Context, p *identity.Principal, key record.Key, verb string, evidence, data map[string]any) (record.Record, error) {
	r, err := k.Read(ctx, p, key)
	if err != nil {
		return record.Record{}, err
	}
	decl := k.registry.Find(key.Kind)
	if r.Home == k.site {
		return record.Record{}, errs.E(errs.Conflict, "claim", key.String(), "这条记录由本站点保管，请直接执行动作。", "This site keeps the record; say the verb itself.")
	}
	v, err := lifecycle.Find(decl, r.State, verb)
	if err != nil {
		return record.Record{}, err
	}
	if ok, err := k.May(ctx, p, &r, verb); err != nil || !ok {
		if err == nil {
			err = k.refusal(p, decl, key, verb)
		}
		return record.Record{}, err
	}
	doc, err := decode(r.Data)
	if err != nil {
		return record.Record{}, err
	}
	if err := lifecycle.CheckEvidence(v, evidence, doc); err != nil {
		return record.Record{}, err
	}
	raw, err := json.Marshal(Claim{About: key.String(), Verb: verb, State: r.State, Epoch: r.HomeEpoch, Evidence: evidence, Data: data})
	if err != nil {
		return record.Record{}, errs.Wrap("claim", key.String(), err)
	}
	// The claim is written as the program on the person's behalf: no role is granted
	// to create claims, since the permission is that of the verb.
	as := &identity.Principal{Type: identity.System, ID: p.ID, Name: p.Name, Behalf: p.Behalf, Purpose: p.Purpose, Session: p.Session}
	out, err := k.Write(ctx, as, Change{Op: record.Create, Key: record.Key{Kind: ClaimKind}, Data: raw})
	if err != nil {
		return record.Record{}, err
	}
	return out[0], nil
}

// Adopt makes this site the home of a record whose home cannot be reached. The
// home epoch rises; what the old home wrote meanwhile becomes claims when it is
// heard of again. It needs the permission "adopt" and a reason.
func (k *Kernel) Adopt(ctx context.Context, p *identity.Principal, key record.Key, reason string) (record.Record, error) {
	if reason == "" {
		return record.Record{}, errs.E(errs.Invalid, "adopt", key.String(), "请说明接管的原因。", "Say why it is adopted.").At("reason")
	}
	var out record.Record
	err := k.Transact(ctx, p, store.Person, []record.Key{key}, func(t *Txn) error {
		r, err := t.Get(key)
		if err != nil {
			return err
		}
		decl := k.registry.Find(key.Kind)
		ok, err := k.matches(t.find, k.rules.Predicate(p, key.Kind, "adopt"), &r)
		if err != nil {
			return err
		}
		if !ok {
			return k.refusal(p, decl, key, "adopt")
		}
		if r.Home == k.site {
			return errs.E(errs.Conflict, "adopt", key.String(), "这条记录已由本站点保管。", "This site keeps the record already.")
		}
		full, _, err := t.tx.Get(key)
		if err != nil {
			return err
		}
		full.Version++
		full.Mark = record.Mark{Op: record.Verb, Verb: "adopt", By: p.ID, ByName: p.Name, Evidence: map[string]any{"reason": reason, "from": full.Home}}
		full.Home, full.UpdatedAt = k.site, t.tx.Now()
		full.HomeEpoch++
		out = full
		return t.Replica(full, false)
	})
	return out, err
}

// Replica writes a version that another site made, or this site makes of
// another's record. It is the business of kernel/site. References may dangle
// where loose.
func (t *Txn) Replica(r record.Record, loose bool) error {
	decl := t.k.registry.Find(r.Kind)
	if decl == nil {
		return errs.E(errs.Conflict, "replicate", r.Key.String(), "本站点还没有类别 "+r.Kind+" 的定义。", "This site has no definition of the kind "+r.Kind+" yet.")
	}
	v := store.Version{Record: r, Loose: loose}
	if !r.Deleted {
		f, err := t.k.registry.format(decl)
		if err != nil {
			return err
		}
		doc, _, err := f.Parse(decl, r.Data)
		if err != nil {
			return err
		}
		if v.Index, err = f.Index(decl, doc); err != nil {
			return err
		}
	}
	return t.tx.Put(v)
}

// Newest gives the newest version whoever may see it: for kernel/site, which
// moves records and shows them to nobody.
func (t *Txn) Newest(key record.Key) (record.Record, bool, error) { return t.tx.Get(key) }
