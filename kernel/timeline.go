package kernel

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/expr"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/lifecycle"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

// Timeline is the replay of one record.
type Timeline struct {
	Steps   []Step
	InState []Span      // in the order the states were first entered
	Due     time.Time   // when the state's time is over; zero: no limit or standing still
	Remind  []time.Time // reminders before that
	Paused  bool
}

// Step is one version, with what it changed.
type Step struct {
	Version int64
	At      time.Time
	Mark    record.Mark
	State   string
	Deleted bool
	Changes []FieldChange
}

// FieldChange is a top-level property before and after; nil is absent.
type FieldChange struct {
	Field    string
	From, To any
}

// Span is the time spent in one state, all stays together.
type Span struct {
	State string
	Time  time.Duration
}

// maxSteps bounds a replay; older steps of a longer life are left out from the
// front and the record's history still has them.
const maxSteps = 2000

// Timeline replays one record as p may see it, from its own versions.
func (k *Kernel) Timeline(ctx context.Context, p *identity.Principal, key record.Key) (Timeline, error) {
	var out Timeline
	var versions []record.Record
	q := store.HistoryQuery{Key: key, Limit: 1000}
	for len(versions) < maxSteps {
		page, err := k.History(ctx, p, q)
		if err != nil {
			return out, err
		}
		versions = append(versions, page.Versions...)
		if q.Before = page.Next; q.Before == "" {
			break
		}
	}
	if len(versions) == 0 {
		return out, errs.NotFoundf("timeline", "%s", key)
	}
	slices.Reverse(versions)
	spent := map[string]time.Duration{}
	var order []string
	var before map[string]any
	for i := range versions {
		v := &versions[i]
		var doc map[string]any
		if err := json.Unmarshal(v.Data, &doc); err != nil && len(v.Data) > 0 {
			return out, errs.Wrap("timeline", key.String(), err)
		}
		step := Step{Version: v.Version, At: v.UpdatedAt, Mark: v.Mark, State: v.State, Deleted: v.Deleted}
		if i > 0 {
			step.Changes = diff(before, doc)
		}
		out.Steps = append(out.Steps, step)
		before = doc
		if v.State == "" {
			continue
		}
		end := k.clock.Now()
		if i+1 < len(versions) {
			end = versions[i+1].UpdatedAt
		} else if v.Deleted {
			end = v.UpdatedAt
		}
		if _, seen := spent[v.State]; !seen {
			order = append(order, v.State)
		}
		spent[v.State] += max(end.Sub(v.UpdatedAt), 0)
	}
	for _, s := range order {
		out.InState = append(out.InState, Span{s, spent[s]})
	}
	last := &versions[len(versions)-1]
	if decl := k.registry.Find(key.Kind); decl != nil && !last.Deleted {
		s := decl.Lifecycle.State(last.State)
		out.Due = last.NextAt
		out.Remind = lifecycle.Reminders(s, last.NextAt)
		out.Paused = s != nil && s.Limit != nil && last.NextAt.IsZero()
	}
	return out, nil
}

func diff(a, b map[string]any) []FieldChange {
	var out []FieldChange
	names := map[string]bool{}
	for n := range a {
		names[n] = true
	}
	for n := range b {
		names[n] = true
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if !reflect.DeepEqual(a[n], b[n]) {
			out = append(out, FieldChange{n, a[n], b[n]})
		}
	}
	return out
}

// scope is what guards look at outside a transaction.
func (k *Kernel) scope(ctx context.Context, p *identity.Principal, r *record.Record, data map[string]any) expr.Scope {
	return expr.Scope{
		Data: data, Old: data, State: r.State, ID: r.ID, Actor: actor(p),
		Now: k.clock.Now(), Entered: r.EnteredAt, Reader: guardReader{k, k.get(ctx), k.find(ctx)},
	}
}
