package fhir_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"zhiwei/kernel"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// BenchmarkRead reads by id over HTTP from 32 connections, each read audited.
func BenchmarkRead(b *testing.B) {
	s := serve(b)
	const n = 2000
	var changes []kernel.Change
	for i := range n {
		id := fmt.Sprint("o", i)
		changes = append(changes, kernel.Change{Op: record.Create, Key: record.Key{Kind: "Observation", ID: id}, Data: []byte(`{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4","display":"` + strings.Repeat("Heart rate ", 120) + `x"}]}}`)})
	}
	if _, err := s.kernel.Write(context.Background(), identity.Root(), changes...); err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var at atomic.Int64
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := client.Get(fmt.Sprintf("%s/fhir/Observation/o%d", s.url, at.Add(1)%n))
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
				b.Error(res.Status, err)
			}
			res.Body.Close()
		}
	})
}
