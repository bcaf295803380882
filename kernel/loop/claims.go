package loop

import (
	"context"
	"encoding/json"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// Claims is the loop by which a home applies or refuses what other sites claim.
// A refusal is a task for a person.
func Claims() Loop {
	return Loop{
		Name: "claims", Title: kind.T("异地申报：执行或拒绝", "Claims of other sites: apply or refuse"),
		Watch: []Watch{{Kind: kernel.ClaimKind}}, Look: lookAtClaim,
	}
}

func lookAtClaim(ctx context.Context, h *Handle, key record.Key) (time.Duration, error) {
	r, there, err := h.Read(ctx, key)
	if err != nil || !there {
		return 0, err
	}
	var c kernel.Claim
	if err := json.Unmarshal(r.Data, &c); err != nil {
		return 0, errs.Wrap("claim", key.String(), err)
	}
	about, ok := record.ParseKey(c.About)
	if !ok || c.Late { // late writes are a person's to decide
		return 0, nil
	}
	target, there, err := h.Read(ctx, about)
	if err != nil || !there || target.Home != h.Kernel().Site() {
		return 0, err
	}
	answer := record.Key{Kind: kernel.AnswerKind, ID: DerivedID("answer", key.String())}
	if _, done, err := h.Read(ctx, answer); err != nil || done {
		return 0, err
	}
	if c.State != target.State || c.Epoch != target.HomeEpoch {
		err = errs.E(errs.Conflict, "claim", c.About, "记录的状态已变，申报时为“"+c.State+"”，现在为“"+target.State+"”。", "The record has moved on: it was “"+c.State+"”, it is now “"+target.State+"”.")
	} else {
		// Verb and answer in one transaction: applied exactly once.
		err = h.claimed(ctx, target, c, key, answer, r.Mark)
	}
	if err == nil {
		return 0, nil
	}
	switch errs.KindOf(err) {
	case errs.Conflict, errs.Invalid, errs.Forbidden, errs.NotFound:
		if e := h.Call(ctx, Task{
			Title: "申报被拒绝：" + c.About + " " + c.Verb,
			Text:  errs.Sentence(err, "zh") + "\n\n" + errs.Sentence(err, "en"),
			Role:  kernel.RoleSystemAdmin, About: key.String(), Cause: "claim",
		}, "claim", key.String()); e != nil {
			return 0, e
		}
		return 0, h.Ensure(ctx, answer, map[string]any{"claim": key.String(), "applied": false, "why": errs.Sentence(err, "zh") + " " + errs.Sentence(err, "en")})
	}
	return 0, err
}

// claimed says the claimed verb on behalf of who claimed it, with the evidence
// shown then, and answers the claim in the same transaction.
func (h *Handle) claimed(ctx context.Context, target record.Record, c kernel.Claim, claim, answer record.Key, by record.Mark) error {
	data, err := json.Marshal(c.Data)
	if err != nil {
		return errs.Wrap("claim", claim.String(), err)
	}
	if len(c.Data) == 0 {
		data = nil
	}
	p := *h.principal
	p.Behalf = by.By
	said, err := json.Marshal(map[string]any{"claim": claim.String(), "applied": true})
	if err != nil {
		return errs.Wrap("claim", claim.String(), err)
	}
	_, err = h.Kernel().Write(ctx, &p,
		kernel.Change{Op: record.Verb, Key: target.Key, Expect: target.Version, Verb: c.Verb, Evidence: c.Evidence, Data: data},
		kernel.Change{Op: record.Create, Key: answer, Data: said})
	return err
}
