package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
	"zhiwei/store/storetest"
)

// reading makes an observation-like record with the index rows one usually has.
func reading(i int) store.Version {
	day := int64(i%3650) * 86_400_000
	v := store.Version{Record: record.Record{
		Key: record.Key{Kind: storetest.Reading, ID: fmt.Sprintf("%08x-0000-4000-8000-%012x", i*2654435761, i)}, Version: 1, Home: storetest.Site,
		CreatedAt: time.UnixMilli(1), UpdatedAt: time.UnixMilli(1),
		Place: record.Placement{Subject: record.Key{Kind: storetest.Person, ID: fmt.Sprintf("p%d", i%100)}},
		Mark:  record.Mark{Op: record.Create, By: "user/bench"},
		Data: fmt.Appendf(nil, `{"resourceType":"Observation","id":"%08x-0000-4000-8000-%012x","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs","display":"vital-signs"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"%d-4","display":"Diastolic Blood Pressure"}],"text":"Diastolic Blood Pressure"},"subject":{"reference":"person/p%d"},"effectiveDateTime":"2020-01-01T%02d:00:00+08:00","valueQuantity":{"value":%d.%d,"unit":"mm[Hg]","system":"http://unitsofmeasure.org","code":"mm[Hg]"}}`,
			i*2654435761, i, i%300, i%100, i%24, i%200, i%10),
	}}
	for j := range 6 {
		v.Index.Tokens = append(v.Index.Tokens, search.Token{Param: "code", System: fmt.Sprint("http://s", j), Code: fmt.Sprintf("%d-%d", i%300, j)})
	}
	v.Index.Dates = []search.Date{{Param: "date", Lo: day, Hi: day + 1}}
	v.Index.Quantities = []search.Quantity{{Param: "value", System: "http://unitsofmeasure.org", Unit: "mm[Hg]", Lo: float64(i % 200), Hi: float64(i%200) + 0.1}}
	v.Index.Refs = []search.Ref{{Param: "subject", Target: v.Place.Subject}, {Param: "ward", Target: record.Key{Kind: storetest.Ward, ID: "w1"}}}
	v.Index.Texts = search.TextEntries("note", fmt.Sprintf("reading %d", i%50), true, 0)
	return v
}

func ground(b *testing.B, s store.Store, n int) {
	b.Helper()
	_, err := s.Write(b.Context(), store.Bulk, nil, func(tx store.Tx) error {
		for i := range 100 {
			if err := tx.Put(store.Version{Record: record.Record{Key: record.Key{Kind: storetest.Person, ID: fmt.Sprintf("p%d", i)}, Version: 1, Data: []byte("{}")}}); err != nil {
				return err
			}
		}
		return tx.Put(store.Version{Record: record.Record{Key: record.Key{Kind: storetest.Ward, ID: "w1"}, Version: 1, Data: []byte("{}")}})
	})
	if err != nil {
		b.Fatal(err)
	}
	for from := 0; from < n; from += 500 {
		bulk(b, s, from, 500)
	}
}

func bulk(b *testing.B, s store.Store, from, n int) {
	b.Helper()
	var keys []record.Key
	var list []store.Version
	for i := from; i < from+n; i++ {
		v := reading(i)
		keys, list = append(keys, v.Key), append(list, v)
	}
	_, err := s.Write(b.Context(), store.Bulk, keys, func(tx store.Tx) error {
		for _, v := range list {
			if err := tx.Put(v); err != nil {
				return err
			}
		}
		tx.Audit(audit.Entry{Who: "user/bench", Action: "import", Outcome: audit.OK})
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWrites is the kernel's: one small record, one audit entry a call, 64
// callers. Goal of issue 2: 7,000/s.
func BenchmarkWrites(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "records.db"), storetest.Clinic(), clock.System())
	var id atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			k := record.Key{Kind: storetest.Person, ID: fmt.Sprintf("r%d", id.Add(1))}
			_, err := s.Write(b.Context(), store.Person, []record.Key{k}, func(tx store.Tx) error {
				tx.Audit(audit.Entry{Who: "user/bench", Action: "create", Subject: k.String(), Outcome: audit.OK})
				return tx.Put(store.Version{
					Record: record.Record{Key: k, Version: 1, State: "open", Home: storetest.Site, CreatedAt: tx.Now(), UpdatedAt: tx.Now(), Data: []byte(`{"name":"bench","note":"a small record"}`)},
					Index:  search.Index{Texts: []search.Text{{Param: "name", Fold: "bench", Exact: "bench"}}},
				})
			})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}

// BenchmarkImport is bulk: goal 3,000/s, index rows included.
func BenchmarkImport(b *testing.B) {
	path := filepath.Join(b.TempDir(), "records.db")
	s := open(b, path, storetest.Clinic(), clock.System())
	ground(b, s, 0)
	b.ResetTimer()
	n := 0
	for b.Loop() {
		bulk(b, s, n, 500)
		n += 500
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	if st, err := os.Stat(path); err == nil {
		b.ReportMetric(float64(st.Size())/float64(n), "B/record")
	}
}

// BenchmarkReads and searches over 50,000 readings.
func BenchmarkReads(b *testing.B) {
	const n = 50_000
	s := open(b, filepath.Join(b.TempDir(), "records.db"), storetest.Clinic(), clock.System())
	ground(b, s, n)
	view := storetest.Root()
	b.Run("get", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.Get(b.Context(), view, reading(rand.IntN(n)).Key); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("audit", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := s.Audit(b.Context(), audit.Entry{Who: "user/bench", Action: "read", Subject: "reading/1", Outcome: audit.OK}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	subject := search.Clause{Param: "subject", Any: []search.Value{{Ref: record.Key{Kind: storetest.Person, ID: "p7"}}}}
	code := search.Clause{Param: "code", Any: []search.Value{{AnySystem: true, Code: "7-4"}}}
	const day = 86_400_000
	since := search.Clause{Param: "date", Any: []search.Value{{Compare: search.Ge, Lo: 1000 * day, Hi: 1001 * day}}}
	until := search.Clause{Param: "date", Any: []search.Value{{Compare: search.Lt, Lo: 2000 * day, Hi: 2001 * day}}}
	newest := []search.Sort{{Param: "date", Desc: true}}
	for _, c := range []struct {
		name string
		q    search.Query
	}{
		{"list", search.Query{}},
		{"code", search.Query{Where: []search.Clause{code}}},
		{"subject+code", search.Query{Where: []search.Clause{subject, code}}},
		{"subject+date", search.Query{Where: []search.Clause{subject, since}}},
		{"date+sort", search.Query{Where: []search.Clause{since, until}, Sort: newest}},
		{"code+sort", search.Query{Where: []search.Clause{code}, Sort: newest}},
		{"ward+sort", search.Query{Where: []search.Clause{{Param: "ward", Any: []search.Value{{Ref: record.Key{Kind: storetest.Ward, ID: "w1"}}}}}, Sort: newest}},
		{"date", search.Query{Where: []search.Clause{since}}},
		{"chain", search.Query{Where: []search.Clause{{Param: "subject", Chain: &search.Chain{Kind: storetest.Person, Where: []search.Clause{{Param: "_id", Any: []search.Value{{Code: "p7"}}}}}}, code}}},
		{"word", search.Query{Where: []search.Clause{{Param: "note", Any: []search.Value{{Text: "17", Match: search.AnyWord}}}}}},
		{"total", search.Query{Where: []search.Clause{subject}, Total: true}},
	} {
		c.q.Kind, c.q.Limit = storetest.Reading, 50
		b.Run(c.name, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					page, err := s.Search(b.Context(), view, c.q)
					if err != nil || len(page.Records) == 0 {
						b.Errorf("%d records, %v", len(page.Records), err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "searches/s")
		})
	}
}
