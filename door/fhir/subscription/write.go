package subscription

import (
	"context"

	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// write is one entry of the feed as it is held against lines: what it needs is
// read once, and only if it is asked for.
type write struct {
	x      *matcher
	entry  *record.Entry
	now    *kernel.Indexed // the version; of a deletion, the one before
	prior  *record.Record  // the version before; nil: none
	looked bool            // prior has been looked for
	before *kernel.Indexed // prior, indexed
	what   string          // memory of op
	sees   map[string]bool
}

// read reads one version; nil where there is none, it was purged, or it is a
// deletion.
func (w *write) read(ctx context.Context, n int64) (*record.Record, error) {
	if n < 1 {
		return nil, nil
	}
	k := w.x.kernel
	r, err := k.Store().Version(ctx, k.View(w.x.self), w.entry.Key, n)
	if errs.Is(err, errs.NotFound) {
		return nil, nil
	}
	if err != nil || r.Deleted {
		return nil, err
	}
	return &r, nil
}

// index reads what a version is found by; nil where it cannot be read any more.
func (w *write) index(r *record.Record) (*kernel.Indexed, error) {
	ix, err := w.x.kernel.Indexed(*r)
	if errs.Is(err, errs.Invalid) {
		w.x.log.Warn("a stored version cannot be read for subscriptions", "record", r.Key.String(), "version", r.Version, "err", err)
		return nil, nil
	}
	return ix, err
}

// subject is what the filters are asked of: the version, of a deletion the one
// before. nil where there is none.
func (w *write) subject(ctx context.Context) (*kernel.Indexed, error) {
	n := w.entry.Version
	if w.entry.Op == record.Delete {
		n--
	}
	r, err := w.read(ctx, n)
	if r == nil || err != nil {
		return nil, err
	}
	w.now, err = w.index(r)
	return w.now, err
}

// previous is the version before the write; nil where it made the record.
func (w *write) previous(ctx context.Context) (*record.Record, error) {
	if !w.looked {
		var err error
		if w.prior, err = w.read(ctx, w.entry.Version-1); err != nil {
			return nil, err
		}
		w.looked = true
	}
	return w.prior, nil
}

// earlier is previous with what it is found by.
func (w *write) earlier(ctx context.Context) (*kernel.Indexed, error) {
	r, err := w.previous(ctx)
	if r == nil || err != nil || w.before != nil {
		return w.before, err
	}
	if w.entry.Op == record.Delete {
		w.before = w.now
	} else {
		w.before, err = w.index(r)
	}
	return w.before, err
}

// op is what the write did to the resource. What follows a deletion creates.
func (w *write) op(ctx context.Context) (string, error) {
	if w.what != "" {
		return w.what, nil
	}
	switch {
	case w.entry.Op == record.Delete:
		w.what = opDelete
	case w.entry.Op == record.Create || w.entry.Op == record.Undelete || w.entry.Version == 1:
		w.what = opCreate
	default:
		r, err := w.previous(ctx)
		if err != nil {
			return "", err
		}
		if w.what = opUpdate; r == nil {
			w.what = opCreate
		}
	}
	return w.what, nil
}

// tells gives what a write is to a line; "" where it is nothing to it, or must
// not be told.
func (w *write) tells(ctx context.Context, l *line) (string, error) {
	def := l.def.Load()
	op, err := w.op(ctx)
	if err != nil || !def.tells(w.entry.Kind) {
		return "", err
	}
	who, gone, err := w.x.voices(ctx, def)
	if gone != nil {
		l.fail(gone)
	}
	if err != nil || gone != nil {
		return "", err
	}
	fires := false
	for i := range def.topic.triggers {
		if fires, err = w.fires(ctx, who[0], &def.topic.triggers[i], op); err != nil {
			return "", err
		}
		if fires {
			break
		}
	}
	if !fires {
		return "", nil
	}
	for _, p := range who {
		// What a condition asks of other records is asked as each may see them.
		ok, err := w.x.kernel.Satisfies(ctx, p, w.now, def.where[w.entry.Kind])
		if err == nil && ok {
			ok, err = w.visible(ctx, p)
		}
		if !ok || err != nil {
			return "", err
		}
	}
	return op, nil
}

func (w *write) fires(ctx context.Context, p *identity.Principal, g *trigger, op string) (bool, error) {
	if g.kind != "" && g.kind != w.entry.Kind || !(g.create && op == opCreate || g.update && op == opUpdate || g.delete && op == opDelete) {
		return false, nil
	}
	if g.path != nil {
		before, err := w.earlier(ctx)
		if err != nil {
			return false, err
		}
		if op == opDelete {
			return g.holds(w.x.clock.Now(), before, nil)
		}
		return g.holds(w.x.clock.Now(), before, w.now)
	}
	test := func(read func() (*kernel.Indexed, error)) func([]search.Clause) (bool, bool, error) {
		return func(where []search.Clause) (bool, bool, error) {
			v, err := read()
			if v == nil || err != nil {
				return false, false, err
			}
			ok, err := w.x.kernel.Satisfies(ctx, p, v, where)
			return ok, true, err
		}
	}
	return g.query.fires(
		test(func() (*kernel.Indexed, error) { return w.earlier(ctx) }),
		test(func() (*kernel.Indexed, error) {
			if op == opDelete {
				return nil, nil
			}
			return w.now, nil
		}))
}

// visible tells whether a principal may see the record, asked once for each.
func (w *write) visible(ctx context.Context, p *identity.Principal) (bool, error) {
	if ok, known := w.sees[p.ID]; known {
		return ok, nil
	}
	ok, err := w.x.kernel.MaySee(ctx, p, w.entry.Key)
	if err == nil {
		if w.sees == nil {
			w.sees = map[string]bool{}
		}
		w.sees[p.ID] = ok
	}
	return ok, err
}
