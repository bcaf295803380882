package storetest

import (
	"context"
	"sync/atomic"
	"testing"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
	"zhiwei/kernel/store"
)

func TestModel(t *testing.T) {
	Run(t, func(_ *testing.T, defs store.Defs, clk clock.Clock) store.Store { return NewModel(Site, defs, clk) })
}

// TestModelShared proves the shared suite itself sound: two handles on one
// model are what two stores over one database should be.
func TestModelShared(t *testing.T) {
	RunShared(t, func(_ *testing.T, defs store.Defs, clk clock.Clock) func() store.Store {
		m := NewModel(Site, defs, clk)
		return func() store.Store { return &handle{Model: m} }
	})
}

// handle is one of several on a model, closed by itself.
type handle struct {
	*Model
	closed atomic.Bool
}

func (h *handle) Close() error {
	h.closed.Store(true)
	return nil
}

func (h *handle) Write(ctx context.Context, p store.Priority, keys []record.Key, change func(store.Tx) error) (store.Commit, error) {
	if h.closed.Load() {
		return store.Commit{}, errs.E(errs.Unavailable, "write", "store", "存储已关闭。", "The store is closed.")
	}
	return h.Model.Write(ctx, p, keys, change)
}
