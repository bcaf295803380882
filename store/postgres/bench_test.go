package postgres_test

import (
	"testing"

	"zhiwei/kernel/clock"
	"zhiwei/store/storetest"
)

// BenchmarkLongLists is one of 500 values of each type. Goal of issue 3: 200 ms.
func BenchmarkLongLists(b *testing.B) {
	server := storetest.NewPostgres(b)
	s := open(b, server.Database(b), storetest.Clinic(), clock.System())
	storetest.BenchLongLists(b, s, server.Processor)
}
