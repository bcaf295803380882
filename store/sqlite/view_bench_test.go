package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"zhiwei/kernel/access"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
	"zhiwei/store/storetest"
)

// BenchmarkViews is what it costs to see only some: 30,000 readings of 10,000
// persons, of whom one member treats 2,000 and 300 deny something to somebody.
func BenchmarkViews(b *testing.B) {
	const persons, readings, treated, deniers = 10_000, 30_000, 2_000, 300
	s := open(b, filepath.Join(b.TempDir(), "records.db"), storetest.Clinic(), clock.System())
	person := func(i int) record.Key { return record.Key{Kind: storetest.Person, ID: fmt.Sprintf("p%d", i)} }
	put := func(n int, make func(i int) store.Version) {
		for from := 0; from < n; from += 1000 {
			_, err := s.Write(b.Context(), store.Bulk, nil, func(tx store.Tx) error {
				for i := from; i < min(from+1000, n); i++ {
					v := make(i)
					v.Version, v.Home, v.Data = 1, storetest.Site, []byte("{}")
					if err := tx.Put(v); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	put(persons, func(i int) store.Version {
		return store.Version{Record: record.Record{Key: person(i), Place: record.Placement{Subject: person(i)}}}
	})
	put(readings, func(i int) store.Version {
		who := person(i % persons)
		v := store.Version{Record: record.Record{Key: record.Key{Kind: storetest.Reading, ID: fmt.Sprintf("r%d", i)}, Place: record.Placement{Subject: who}}}
		v.Index.Refs = []search.Ref{{Param: "subject", Target: who}}
		v.Index.Tokens = []search.Token{{Param: "code", System: "s", Code: fmt.Sprint(i % 50)}}
		return v
	})
	put(treated, func(i int) store.Version {
		v := store.Version{Record: record.Record{Key: record.Key{Kind: storetest.Tie, ID: fmt.Sprintf("t%d", i)}, State: "active"}}
		v.Index.Refs = []search.Ref{{Param: "member", Target: person(persons - 1)}, {Param: "whom", Target: person(i)}}
		return v
	})
	put(deniers, func(i int) store.Version {
		v := store.Version{Record: record.Record{Key: record.Key{Kind: storetest.Ban, ID: fmt.Sprintf("b%d", i)}}}
		v.Index.Refs = []search.Ref{{Param: kind.DenyEntry, Target: person(2 * i)}}
		v.Index.Tokens = []search.Token{{Param: kind.DenyEntry, Code: kind.DenialCode([]string{kind.Whatever, person(persons - 1).String()}[i%2], storetest.Reading, kind.Whatever)}}
		return v
	})
	member := &identity.Principal{Type: identity.User, ID: "user/m", Person: person(persons - 1).String()}
	treating := storetest.As(member, kind.Treating)
	guarded := storetest.As(member, kind.Treating)
	plain := guarded.Rules.Kind
	guarded.Rules.Kind = func(name string) *kind.Kind {
		k := *plain(name)
		k.Place.Subject = "subject"
		return &k
	}
	guarded.Rules.Now = time.Now
	guarded.Rules.Privacy = kind.Privacy{
		Opening: kind.Relation{Kind: storetest.Tie, Member: "member", Subject: "whom", States: []string{"open"}, Until: "until"},
		Denial:  kind.Denial{Kind: storetest.Ban, Subject: "whom"},
		Labels:  []kind.Label{{System: "s", Code: "R", When: []string{kind.Treating}}},
	}
	subject := search.Clause{Param: "subject", Any: []search.Value{{Ref: person(7)}}}
	code := search.Clause{Param: "code", Any: []search.Value{{AnySystem: true, Code: "7"}}}
	for _, v := range []struct {
		name string
		view access.View
	}{{"all", storetest.Root()}, {"treating", treating}, {"treating+consent", guarded}} {
		for _, q := range []struct {
			name string
			q    search.Query
		}{
			{"subject", search.Query{Where: []search.Clause{subject}}},
			{"code", search.Query{Where: []search.Clause{code}}},
			{"code+total", search.Query{Where: []search.Clause{code}, Total: true}},
		} {
			q.q.Kind, q.q.Limit = storetest.Reading, 50
			b.Run(v.name+"/"+q.name, func(b *testing.B) {
				for b.Loop() {
					page, err := s.Search(b.Context(), v.view, q.q)
					if err != nil || len(page.Records) == 0 {
						b.Fatalf("%d records, %v", len(page.Records), err)
					}
				}
			})
		}
	}
}
