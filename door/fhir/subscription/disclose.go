package subscription

import (
	"context"
	"strconv"

	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

// principalsOf gives those behind a subscription as they stand now, its maker
// first. The errors are those of People.Of.
func (m *Module) principalsOf(ctx context.Context, def *definition) ([]*identity.Principal, error) {
	var out []*identity.Principal
	for _, id := range def.behind() {
		p, err := m.People.People.Of(ctx, id)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// disclose reads what events may tell, as those behind the subscription, and
// asker where there is one, may see it now. What leaves is in the audit before it
// does.
func (m *Module) disclose(ctx context.Context, def *definition, asker *identity.Principal, how content, events []event) ([]notice, error) {
	told := make([]notice, len(events))
	for i := range events {
		told[i].event = events[i]
	}
	if len(events) == 0 || how == empty {
		return told, nil
	}
	who, err := m.principalsOf(ctx, def)
	if err != nil {
		return nil, err
	}
	trail := audit.TrailOf(ctx)
	if asker != nil {
		who = append(who, asker)
	} else {
		trail = &audit.Trail{}
		ctx = audit.WithTrail(ctx, trail)
	}
	for i := range told {
		if err := m.show(ctx, who, how, &told[i]); err != nil {
			return nil, err
		}
	}
	if asker != nil {
		return told, nil // the request's own entry says it
	}
	by := who[0]
	e := audit.Entry{
		At: m.clock.Now(), Who: by.ID, Name: by.Name, Purpose: by.Purpose, Action: "notify", Subject: def.key.String(), Outcome: audit.OK, Door: Name,
	}
	trail.Close(&e)
	e.Action, e.Subject = "notify", def.key.String()
	e.Detail = "events " + strconv.FormatInt(events[0].N, 10) + "–" + strconv.FormatInt(events[len(events)-1].N, 10)
	if def.endpoint != nil {
		e.Remote = def.endpoint.Host
	}
	return told, m.kernel.Store().Audit(ctx, e)
}

// show fills one notice with what everybody in who may see.
func (m *Module) show(ctx context.Context, who []*identity.Principal, how content, n *notice) error {
	key, ok := n.key()
	if !ok {
		return nil
	}
	for _, p := range who {
		if how == idOnly || n.Op == opDelete {
			ok, err := m.kernel.MaySee(ctx, p, key)
			if err != nil || !ok {
				return err
			}
			audit.TrailOf(ctx).Read("")
			continue
		}
		r, err := m.kernel.ReadVersion(ctx, p, key, n.Version)
		if errs.Is(err, errs.Forbidden) { // no right to history: then only what still stands
			if r, err = m.kernel.Read(ctx, p, key); err == nil && r.Version != n.Version {
				r.Data = nil
			}
		}
		if errs.Is(err, errs.NotFound) {
			if kernel.IsGone(err) {
				continue
			}
			n.resource = nil
			return nil
		}
		if err != nil {
			return err
		}
		// Of two who may see different parts, the smaller one is what both may see.
		if len(r.Data) > 0 && (n.resource == nil || len(r.Data) < len(n.resource.Data)) {
			n.resource = &r
		}
	}
	n.shown = true
	return nil
}
