package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/store/storetest"
)

// BenchmarkLongLists is one of 500 values of each type. Goal of issue 3: 200 ms.
func BenchmarkLongLists(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "records.db"), storetest.Clinic(), clock.System())
	storetest.BenchLongLists(b, s, func() time.Duration { return 0 })
}
