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

// searches measures the searches of NUMBERS.md: they are goals of the next
// issue, and show here where this one stands.
func searches(ctx context.Context, b *bench, store string) (err error) {
	a, err := b.asked(ctx, store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	patients, err := a.keys(ctx, "Patient", 200)
	if err != nil {
		return err
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
	for _, q := range []struct {
		name  string
		paths []string
		goal  Goal
	}{
		{"search by code", byCode, Goal{AtLeast: 2000, Stretch: 4000, Later: true}},
		{"search by subject and code", byBoth, Goal{AtLeast: 2000, Stretch: 4000, Later: true}},
		{"search by a range of dates, newest first", byDate, Goal{AtLeast: 1000, Stretch: 2000, Later: true}},
		{"search chained by the patient's name, and code", chained, Goal{AtLeast: 800, Stretch: 1500, Later: true}},
	} {
		m := metered(a.cmd.Process.Pid)
		got, err := load(ctx, Load{
			Address: a.address, Token: a.bearer, Connections: connections, Paths: shuffled(q.paths), Must: []string{`"type":"searchset"`},
			WarmSeconds: b.long(time.Second).Seconds(), Seconds: b.long(5 * time.Second).Seconds(),
		})
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		b.add(Figure{
			Name: q.name, Goal: q.goal, Got: got.perSecond(), Unit: "/s", Command: "GET " + unescaped(slices.Min(q.paths)),
			Note: fmt.Sprintf("%d different queries; %.1f KB an answer, %.0f %% of them empty; p50 %.1f ms, p99 %.1f ms. %s",
				len(q.paths), float64(got.Bytes)/float64(got.Requests)/1000, 100*float64(got.Empty)/float64(got.Requests), ms(got.P50), ms(got.P99), m.cost(got.All)),
		})
	}
	return nil
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
