package prometheus

import (
	"strings"
	"testing"
)

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"0", "1740816000.25", "-1", "2025-03-01T08:00:00Z", "2025-03-01T08:00:00.123456789+08:00", "NaN", "Inf", "1e300", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parseTime(s)
		if err != nil {
			return
		}
		// A time that was accepted is one that milliseconds can hold.
		if at.Before(minTime) || at.After(maxTime) || at.UnixMilli()/1000 != at.Unix() && at.Unix() >= 0 {
			t.Fatalf("%q became %v", s, at)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"0", "15", "1.5", "5m", "1h30m", "1e300", "-1", "NaN", "Inf", "y", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDuration(s)
		if err == nil && d > 0 && strings.HasPrefix(s, "-") {
			t.Fatalf("%q became %v", s, d)
		}
	})
}
