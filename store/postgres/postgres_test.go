package postgres_test

import (
	"testing"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
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

func TestCheckOfSoundStore(t *testing.T) {
	s := open(t, storetest.Postgres(t), storetest.Clinic(), clock.System())
	for i := range 5 {
		_, err := s.Write(t.Context(), store.Person, nil, func(tx store.Tx) error {
			tx.Audit(audit.Entry{Who: "user/a", Action: "create", Outcome: audit.OK})
			return tx.Put(store.Version{
				Record: record.Record{Key: record.Key{Kind: storetest.Ward, ID: "w"}, Version: int64(i + 1), State: "open", CreatedAt: tx.Now(), UpdatedAt: tx.Now(), Data: []byte(`{}`)},
				Index:  search.Index{Texts: search.TextEntries("name", "三病区", true, 0), Tokens: []search.Token{{Param: "code", Code: "a"}}},
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := s.Check(t.Context(), func(d store.Damage) { t.Errorf("%+v", d) })
	if err != nil {
		t.Fatal(err)
	}
}
