package postgres_test

import (
	"testing"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/store"
	"zhiwei/store/postgres"
	"zhiwei/store/storetest"
)

func open(t testing.TB, url string, defs store.Defs, clk clock.Clock) store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: url, Site: storetest.Site, Defs: defs, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, defs store.Defs, clk clock.Clock) store.Store {
		return open(t, storetest.Postgres(t), defs, clk)
	})
}

func opener(t *testing.T, defs store.Defs, clk clock.Clock) func() store.Store {
	url := storetest.Postgres(t)
	return func() store.Store { return open(t, url, defs, clk) }
}

func TestReopen(t *testing.T) { storetest.RunReopen(t, opener) }

// Proves A02: two processes over one database both write.
func TestShared(t *testing.T) { storetest.RunShared(t, opener) }
