package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// question is one kind of search with its goal.
type question struct {
	name  string
	paths []string
	goal  Goal
}

// questions are the searches of NUMBERS.md "Records and FHIR", over what the
// bundles hold.
func (a *asked) questions(ctx context.Context) ([]question, error) {
	patients, err := a.keys(ctx, "Patient", 200)
	if err != nil {
		return nil, err
	}
	codes := a.codes[:min(len(a.codes), 40)]
	var byCode, byBoth, byDate, chained []string
	for i, c := range codes {
		byCode = append(byCode, observations("code", c))
		for j := range 5 {
			byBoth = append(byBoth, observations("subject", patients[(i*5+j)%len(patients)], "code", c))
		}
	}
	for year := 2011; year <= 2020; year++ {
		for month := 1; month <= 12; month++ {
			from := time.Date(year, time.Month(month), 1, 0, 0, 0, 0, time.UTC)
			byDate = append(byDate, observations("date", "ge"+from.Format(time.DateOnly), "date", "lt"+from.AddDate(0, 6, 0).Format(time.DateOnly), "_sort", "-date"))
		}
	}
	for i, n := range a.names {
		chained = append(chained, observations("subject:Patient.name", n, "code", codes[i%min(5, len(codes))]))
	}
	return []question{
		{"search by code", byCode, Goal{AtLeast: 2000, Stretch: 4000}},
		{"search by subject and code", byBoth, Goal{AtLeast: 2000, Stretch: 4000}},
		{"search by a range of dates, newest first", byDate, Goal{AtLeast: 1000, Stretch: 2000}},
		{"search chained by the patient's name, and code", chained, Goal{AtLeast: 800, Stretch: 1500}},
	}, nil
}

// searches measures the searches of NUMBERS.md, a patient's whole record, and
// what breaks other servers: long lists of alternatives and two chained values.
func searches(ctx context.Context, b *bench, store string) (err error) {
	a, err := b.asked(ctx, store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	list, err := a.questions(ctx)
	if err != nil {
		return err
	}
	for _, q := range list {
		m := metered(a.cmd.Process.Pid)
		got, err := a.ask(ctx, q.paths, 5*time.Second)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		b.add(Figure{
			Name: q.name, Goal: q.goal, Got: got.perSecond(), Unit: "/s", Command: "GET " + unescaped(slices.Min(q.paths)),
			Note: fmt.Sprintf("%d different queries; %.1f KB an answer, %.0f %% of them empty; p50 %.1f ms, p99 %.1f ms. %s",
				len(q.paths), float64(got.Bytes)/float64(got.Requests)/1000, 100*float64(got.Empty)/float64(got.Requests), ms(got.P50), ms(got.P99), m.cost(got.All)),
		})
	}
	if err := everything(ctx, b, a); err != nil {
		return err
	}
	return longLists(ctx, b, a)
}

// ask puts paths to the program over 32 connections.
func (a *asked) ask(ctx context.Context, paths []string, d time.Duration) (Answered, error) {
	return load(ctx, Load{
		Address: a.address, Token: a.bearer, Connections: connections, Paths: shuffled(paths), Must: []string{`"type":"searchset"`},
		WarmSeconds: a.b.long(time.Second).Seconds(), Seconds: a.b.long(d).Seconds(),
	})
}

// everything measures a patient's whole record, every page of it.
func everything(ctx context.Context, b *bench, a *asked) error {
	patients, err := a.keys(ctx, "Patient", 200)
	if err != nil {
		return err
	}
	paths := make([]string, len(patients))
	for i, p := range patients {
		paths[i] = "/fhir/" + p + "/$everything"
	}
	m := metered(a.cmd.Process.Pid)
	got, err := a.ask(ctx, paths, 10*time.Second)
	if err != nil {
		return fmt.Errorf("$everything: %w", err)
	}
	b.add(Figure{
		Name: "Patient/$everything, complete", Goal: Goal{AtLeast: 20, Stretch: 50}, Got: got.perSecond(), Unit: "/s", Command: "GET /fhir/Patient/{id}/$everything, 32 connections",
		Note: fmt.Sprintf("%d patients; %.2f MB an answer; p50 %.0f ms, p99 %.0f ms. %s", len(paths), float64(got.Bytes)/float64(got.Requests)/1e6, ms(got.P50), ms(got.P99), m.cost(got.All)),
	})
	return nil
}

// longLists measures single requests with 500 alternatives and with two chained
// values, one after another.
func longLists(ctx context.Context, b *bench, a *asked) error {
	var refs []string
	for _, typ := range []string{"Patient", "Encounter"} {
		keys, err := a.keys(ctx, typ, 500)
		if err != nil {
			return err
		}
		refs = append(refs, keys...)
	}
	codes := slices.Clone(a.codes)
	for i := 0; len(codes) < 500; i++ {
		codes = append(codes, fmt.Sprintf("http://loinc.org|none-%d", i))
	}
	family := a.names[:min(len(a.names), 2)]
	for _, q := range []struct{ name, path string }{
		{"500 codes", observations("code", strings.Join(codes[:500], ","))},
		{"500 codes of one patient", observations("subject", refs[0], "code", strings.Join(codes[:500], ","))},
		{"500 references", observations("encounter", strings.Join(refs[len(refs)-min(len(refs), 500):], ","))},
		{"two chained values", observations("subject:Patient.name", strings.Join(family, ","), "encounter:Encounter.status", "finished")},
	} {
		var took []time.Duration
		for range 30 {
			begun := time.Now()
			if err := a.get(ctx, a.bearer, q.path, nil); err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
			took = append(took, time.Since(begun))
		}
		slices.Sort(took)
		b.add(Figure{
			Name: "one search by " + q.name + ", slowest of 30", Goal: Goal{AtMost: 200}, Got: ms(took[len(took)-1]), Unit: "ms",
			Command: "GET " + clip(unescaped(q.path), 100), Note: fmt.Sprintf("p50 %.1f ms.", ms(took[len(took)/2])),
		})
	}
	return nil
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}

// observations is the path of a search, of pairs of name and value.
func observations(pairs ...string) string {
	var q strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		q.WriteString(pairs[i] + "=" + url.QueryEscape(pairs[i+1]) + "&")
	}
	return "/fhir/Observation?" + q.String() + "_count=50"
}

func unescaped(path string) string {
	if s, err := url.QueryUnescape(path); err == nil {
		return s
	}
	return path
}
