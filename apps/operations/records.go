package operations

import (
	"context"
	"encoding/json"
	"time"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// ensure creates a record that is not there yet; it leaves one that is.
func ensure(ctx context.Context, k *kernel.Kernel, p *identity.Principal, key record.Key, data any) error {
	if _, err := k.Read(ctx, p, key); !errs.Is(err, errs.NotFound) {
		return err
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return errs.Wrap("create", key.String(), err)
	}
	_, err = k.Write(ctx, p, kernel.Change{Op: record.Create, Key: key, Data: raw})
	if errs.Is(err, errs.Conflict) {
		return nil // another process was first
	}
	return err
}

// each reads all records of a kind that match, page by page.
func each(ctx context.Context, k *kernel.Kernel, p *identity.Principal, q search.Query, do func(record.Record) error) error {
	q.Limit = 1000
	for {
		page, err := k.Search(ctx, p, q)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			if err := do(r); err != nil {
				return err
			}
		}
		if q.After = page.Next; q.After == "" {
			return nil
		}
	}
}

// inStates is the condition that a record is in one of the states.
func inStates(states ...string) search.Clause {
	c := search.Clause{Param: search.ParamState}
	for _, s := range states {
		c.Any = append(c.Any, search.Value{AnySystem: true, Code: s})
	}
	return c
}

// since is the condition that a record was made at t or later.
func since(t time.Time) search.Clause {
	return search.Clause{Param: search.ParamCreated, Any: []search.Value{{Compare: search.Ge, Lo: t.UnixMilli(), Hi: t.UnixMilli() + 1}}}
}

// ms is a time as records keep it.
func ms(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func some[T any](v T) *T { return &v }
