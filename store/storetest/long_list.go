package storetest

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// Sizes of BenchLongLists: 6,000 records of three kinds, asked for one of 500
// values.
const (
	listedReadings = 5000
	listedPersons  = 900
	listedWards    = 100
	listed         = 500
)

// BenchLongLists measures what it costs to ask for one of 500 values of each
// type, with and without the total. Issue 3 wants an answer within 200 ms. The
// lists are of many lengths, so that a statement made for one does not serve
// all. It reports milliseconds of processor time of this process; those of a
// database outside it are in others, which says how much of both was used.
func BenchLongLists(b *testing.B, s store.Store, others func() time.Duration) {
	b.Helper()
	saveListed(b, s)
	for _, c := range []struct {
		name, kind, param string
		value             func(i int) search.Value
	}{
		{"id", Person, search.ParamID, func(i int) search.Value { return code(fmt.Sprint("p", i)) }},
		{"code", Reading, "code", func(i int) search.Value { return codeIn("s", fmt.Sprint("c", i)) }},
		{"reference", Reading, "subject", func(i int) search.Value { return to(person(fmt.Sprint("p", i))) }},
		{"text", Person, "name", func(i int) search.Value { return text(search.Starts, fmt.Sprintf("name%04d", i)) }},
		{"uri", Person, "profile", func(i int) search.Value {
			return search.Value{AnySystem: true, Code: fmt.Sprint("http://p/", i), Under: true}
		}},
		{"date", Reading, "date", func(i int) search.Value { return during(search.Eq, int64(i)*listedDay, int64(i+1)*listedDay) }},
		{"date-period", Person, "birthdate", func(i int) search.Value { return during(search.Eq, int64(i)*listedDay, int64(i+90)*listedDay) }},
		{"date-ge", Reading, "date", func(i int) search.Value {
			return during(search.Ge, int64(i+2500)*listedDay, int64(i+2501)*listedDay)
		}},
		{"date-ap", Reading, "date", func(i int) search.Value { return during(search.Ap, int64(i)*listedDay, int64(i+1)*listedDay) }},
		{"quantity", Reading, "value", func(i int) search.Value { return amount(search.Eq, float64(i), float64(i)+0.9, ucum, "kg") }},
		{"number", Reading, "score", func(i int) search.Value { return number(search.Ap, 0.9*float64(i), 1.1*float64(i)) }},
		{"composite", Reading, "code-value", func(i int) search.Value {
			return search.Value{Parts: []search.Value{codeIn("s", fmt.Sprint("c", i%50)), amount(search.Eq, float64(i), float64(i)+0.9, ucum, "kg")}}
		}},
		{"composite-date", Reading, "code-date", func(i int) search.Value {
			return search.Value{Parts: []search.Value{code(fmt.Sprint("c", i%50)), during(search.Ge, int64(i)*listedDay, int64(i+1)*listedDay)}}
		}},
	} {
		clause := func(n int) search.Clause {
			out := search.Clause{Param: c.param}
			for i := range listed - n%64 {
				out.Any = append(out.Any, c.value(2*i+1))
			}
			return out
		}
		with := anyOf("ward", to(ward("w1")), to(ward("w2")))
		for _, q := range []struct {
			name  string
			query func(n int) search.Query
		}{
			{"page", func(n int) search.Query { return search.Query{Where: []search.Clause{clause(n)}} }},
			{"total", func(n int) search.Query { return search.Query{Where: []search.Clause{clause(n)}, Total: true} }},
			{"beside", func(n int) search.Query { return search.Query{Where: []search.Clause{with, clause(n)}, Total: true} }},
			{"none-of", func(n int) search.Query {
				not := clause(n)
				not.Not = true
				return search.Query{Where: []search.Clause{not}, Total: true}
			}},
		} {
			b.Run(c.name+"/"+q.name, func(b *testing.B) {
				n, total := 0, int64(0)
				from, outside := processor(), others()
				for b.Loop() {
					query := q.query(n)
					query.Kind = c.kind
					page, err := s.Search(b.Context(), Root(), query)
					if err != nil {
						b.Fatal(err)
					}
					n, total = n+1, max(page.Total, int64(len(page.Records)))
				}
				b.ReportMetric(float64((processor()-from).Microseconds())/1000/float64(n), "cpu-ms/op")
				b.ReportMetric(float64((others()-outside).Microseconds())/1000/float64(n), "server-ms/op")
				b.ReportMetric(float64(total), "found")
			})
		}
	}
}

// listedDay is a day in milliseconds.
const listedDay = 86_400_000

// saveListed saves what BenchLongLists asks for. Half the births are periods of
// two months, which are kept apart.
func saveListed(b *testing.B, s store.Store) {
	b.Helper()
	var list []Draft
	for i := range listedWards {
		list = append(list, Draft{Key: ward(fmt.Sprint("w", i))})
	}
	for i := range listedPersons {
		n := fmt.Sprint(i)
		list = append(list, Draft{Key: person("p" + n), Index: search.Index{
			Tokens: []search.Token{{Param: "identifier", System: "s", Code: n}, {Param: "profile", Code: "http://p/" + n}},
			Texts:  search.TextEntries("name", fmt.Sprintf("name%04d", i), false, 0),
			Dates:  []search.Date{{Param: "birthdate", Lo: int64(i) * listedDay, Hi: int64(i+1+i%2*60) * listedDay}},
		}})
	}
	for i := range listedReadings {
		f, lo := float64(i%2000), int64(i)*listedDay
		token := search.Token{System: "s", Code: fmt.Sprint("c", i%700)}
		at := func(t search.Token, param string) search.Token {
			t.Param = param
			if param != "code" {
				t.Occ, t.Code = 1, fmt.Sprint("c", i%50)
			}
			return t
		}
		list = append(list, Draft{Key: reading(fmt.Sprint("r", i)), Index: search.Index{
			Tokens: []search.Token{at(token, "code"), at(token, PartName("code-value", 0)), at(token, PartName("code-date", 0))},
			Dates:  []search.Date{{Param: "date", Lo: lo, Hi: lo + 1}, {Param: PartName("code-date", 1), Lo: lo, Hi: lo + 1, Occ: 1}},
			Quantities: []search.Quantity{
				{Param: "score", Lo: f, Hi: f},
				{Param: "value", System: ucum, Unit: "kg", Lo: f, Hi: f + 0.5},
				{Param: PartName("code-value", 1), System: ucum, Unit: "kg", Lo: f, Hi: f + 0.5, Occ: 1},
			},
			Refs: []search.Ref{ref("subject", person(fmt.Sprint("p", i%listedPersons))), ref("ward", ward(fmt.Sprint("w", i%listedWards)))},
		}})
	}
	for len(list) > 0 {
		n := min(len(list), 500)
		if _, err := Save(b.Context(), s, list[:n]...); err != nil {
			b.Fatal(err)
		}
		list = list[n:]
	}
}

// processor is the processor time this process has used.
func processor() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
