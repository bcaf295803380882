// Package site carries records between sites: what one wrote is read from its
// feed and applied at another, in order, once, with the cursor in the same
// transaction. It knows no transport: a door carries batches.
package site

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// Batch is a stretch of one site's feed with the versions it tells of. Versions
// that came from elsewhere are left out: each site tells of its own.
type Batch struct {
	From     record.Position `json:"from"` // what the receiver must have applied
	To       record.Position `json:"to"`
	Versions []Version       `json:"versions"`
}

// Version is one version and the hash under which it stands in its feed.
type Version struct {
	Record record.Record `json:"record"`
	Hash   []byte        `json:"hash"`
}

// Read gives the next batch after a position of this site: at most limit feed
// entries. An empty batch has To equal to From. Conflict where the position is of
// another epoch: the receiver must compare anew.
func Read(ctx context.Context, k *kernel.Kernel, after record.Position, limit int) (Batch, error) {
	head, err := k.Store().Position(ctx)
	if err != nil {
		return Batch{}, err
	}
	if after.Site == "" {
		after = record.Position{Site: head.Site, Epoch: head.Epoch}
	}
	b := Batch{From: after, To: after}
	if after.Site != head.Site || after.Epoch != head.Epoch {
		return b, errs.E(errs.Conflict, "replicate", after.String(), "对端的数据已换代，需要重新比对。", "The peer's data has a new epoch; compare anew.")
	}
	entries, err := k.Store().Feed(ctx, after.Seq, limit)
	if err != nil {
		return b, err
	}
	view := k.View(identity.Root())
	for _, e := range entries {
		b.To = e.Position
		if local(e.Kind) {
			continue
		}
		r, err := k.Store().Version(ctx, view, e.Key, e.Version)
		if errs.Is(err, errs.NotFound) {
			continue // purged meanwhile: its hash remains here, nothing to carry
		}
		if err != nil {
			return b, err
		}
		if writer(r) == k.Site() {
			b.Versions = append(b.Versions, Version{Record: r, Hash: e.Hash})
		}
	}
	return b, nil
}

// local kinds speak of this site only.
func local(kindName string) bool { return kindName == kernel.PeerKind || kindName == kernel.KindKind }

// writer is the site that wrote a version.
func writer(r record.Record) string {
	if r.Mark.Site != "" {
		return r.Mark.Site
	}
	return r.Home
}

// peer is how far a site's feed was applied.
type peer struct {
	Epoch int64 `json:"epoch"`
	Seq   int64 `json:"seq"`
}

// Applied tells how far a site's feed was applied here; the zero Seq where
// nothing was.
func Applied(ctx context.Context, k *kernel.Kernel, site string) (record.Position, error) {
	r, err := k.Read(ctx, identity.Root(), record.Key{Kind: kernel.PeerKind, ID: site})
	if errs.Is(err, errs.NotFound) {
		return record.Position{Site: site}, nil
	}
	if err != nil {
		return record.Position{}, err
	}
	var p peer
	if err := json.Unmarshal(r.Data, &p); err != nil {
		return record.Position{}, errs.Wrap("replicate", site, err)
	}
	return record.Position{Site: site, Epoch: p.Epoch, Seq: p.Seq}, nil
}

// Apply applies a batch in one transaction together with its cursor and gives
// the position reached. A batch that came before is passed over. Conflict with
// "have N" where one is missing before it; Invalid where a version is not what
// its hash says.
func Apply(ctx context.Context, k *kernel.Kernel, b Batch) (record.Position, error) {
	as := &identity.Principal{Type: identity.System, ID: "site/" + b.From.Site, Name: b.From.Site}
	for i := range b.Versions {
		if !bytes.Equal(store.HashVersion(&b.Versions[i].Record), b.Versions[i].Hash) {
			return record.Position{}, errs.E(errs.Invalid, "replicate", b.Versions[i].Record.Key.String(), "收到的版本与其校验值不符，已拒收。", "A version is not what its hash says; the batch was refused.")
		}
	}
	have, err := Applied(ctx, k, b.From.Site)
	if err != nil {
		return have, err
	}
	if have.Seq == 0 {
		have.Epoch = b.From.Epoch
	}
	if b.From.Epoch != have.Epoch || b.From.Seq > have.Seq {
		return have, errs.E(errs.Conflict, "replicate", b.From.String(), "中间有缺口，本站已收到 "+strconv.FormatInt(have.Seq, 10)+"。", "There is a gap; have "+strconv.FormatInt(have.Seq, 10)+".")
	}
	if b.To.Seq <= have.Seq {
		return have, nil
	}
	keys := make([]record.Key, 0, len(b.Versions)+1)
	cursor := record.Key{Kind: kernel.PeerKind, ID: b.From.Site}
	keys = append(keys, cursor)
	for i := range b.Versions {
		keys = append(keys, b.Versions[i].Record.Key)
	}
	err = k.Transact(ctx, as, store.Bulk, keys, func(t *kernel.Txn) error {
		for i := range b.Versions {
			if err := apply(ctx, k, t, as, b.Versions[i]); err != nil {
				return err
			}
		}
		data, err := json.Marshal(peer{b.To.Epoch, b.To.Seq})
		if err != nil {
			return errs.Wrap("replicate", cursor.String(), err)
		}
		return put(ctx, k, t, as, kernel.Change{Op: record.Update, Upsert: true, Expect: kernel.AnyVersion, Key: cursor, Data: data})
	})
	if err != nil {
		return have, err
	}
	return b.To, nil
}

func put(ctx context.Context, k *kernel.Kernel, t *kernel.Txn, as *identity.Principal, c kernel.Change) error {
	pr, err := k.Prepare(ctx, as, c)
	if err != nil {
		return err
	}
	_, err = t.Apply(pr)
	return err
}

// apply decides what one foreign version is here: the next of its line, one we
// have, or the late write of an old home, which becomes a claim beside the
// winner and a task for a person.
func apply(ctx context.Context, k *kernel.Kernel, t *kernel.Txn, as *identity.Principal, v Version) error {
	r := v.Record
	cur, there, err := t.Newest(r.Key)
	if err != nil {
		return err
	}
	switch {
	case r.Version == cur.Version+1 && r.HomeEpoch >= cur.HomeEpoch && (!there || cur.Home == writer(r) || r.HomeEpoch > cur.HomeEpoch):
		return t.Replica(r, true)
	case there && r.HomeEpoch < cur.HomeEpoch:
		return late(ctx, k, t, as, r, cur)
	case there && r.Version <= cur.Version:
		return nil
	}
	return errs.E(errs.Conflict, "replicate", r.Key.String(), "版本不衔接，需要重新比对。", "The version does not follow the one here; compare anew.")
}

func late(ctx context.Context, k *kernel.Kernel, t *kernel.Txn, as *identity.Principal, r, cur record.Record) error {
	id := loop.DerivedID("late", r.Key.String(), strconv.FormatInt(r.HomeEpoch, 10), strconv.FormatInt(r.Version, 10), r.Mark.By)
	if _, there, err := t.Newest(record.Key{Kind: kernel.ClaimKind, ID: id}); err != nil || there {
		return err
	}
	var doc map[string]any
	if err := json.Unmarshal(r.Data, &doc); err != nil {
		return errs.Wrap("replicate", r.Key.String(), err)
	}
	verb := r.Mark.Verb
	if verb == "" {
		verb = r.Mark.Op.String()
	}
	claim, err := json.Marshal(kernel.Claim{About: r.Key.String(), Verb: verb, State: r.Mark.From, Epoch: r.HomeEpoch, Evidence: r.Mark.Evidence, Data: doc, Late: true})
	if err != nil {
		return errs.Wrap("replicate", r.Key.String(), err)
	}
	if err := put(ctx, k, t, as, kernel.Change{Op: record.Create, Key: record.Key{Kind: kernel.ClaimKind, ID: id}, Data: claim}); err != nil {
		return err
	}
	task, err := json.Marshal(loop.Task{
		Title: "旧保管站点的写入需要核对：" + r.Key.String(),
		Text:  "站点 " + writer(r) + " 在记录被 " + cur.Home + " 接管后仍有写入（" + verb + "），请对照两者决定。\n\nA late write of the site " + writer(r) + " (" + verb + ") stands beside the record that " + cur.Home + " adopted; compare the two and decide.",
		Role:  kernel.RoleSystemAdmin, About: kernel.ClaimKind + "/" + id, Cause: "claim",
	})
	if err != nil {
		return errs.Wrap("replicate", r.Key.String(), err)
	}
	return put(ctx, k, t, as, kernel.Change{Op: record.Create, Key: record.Key{Kind: kernel.TaskKind, ID: "task-" + id}, Data: task})
}
