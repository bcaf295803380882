package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zhiwei/kernel/errs"
)

// How long what is measured is kept stands in the configuration; what makes no
// sense is refused with its key.
func TestSeriesAreKeptAsConfigured(t *testing.T) {
	days := func(n int) *int { return &n }
	for _, c := range []struct {
		conf seriesConfig
		want string // raw, then each step, or the key that is refused
	}{
		{seriesConfig{}, "30d 5m0s:180d 1h0m0s:1825d"},
		{seriesConfig{RawDays: 10, FiveMinuteDays: days(60), HourDays: days(3650), MaxSeries: 5, MaxGB: 2}, "10d 5m0s:60d 1h0m0s:3650d"},
		{seriesConfig{FiveMinuteDays: days(0)}, "30d 1h0m0s:1825d"},
		{seriesConfig{FiveMinuteDays: days(0), HourDays: days(0)}, "30d"},
		{seriesConfig{RawDays: 400}, "400d 1h0m0s:1825d"}, // no use for the step that is shorter
		{seriesConfig{RawDays: 7}, "series.raw_days"},
		{seriesConfig{RawDays: -1}, "series.raw_days"},
		{seriesConfig{FiveMinuteDays: days(30)}, "series.five_minute_days"},
		{seriesConfig{HourDays: days(180)}, "series.hour_days"},
		{seriesConfig{HourDays: days(-1)}, "series.hour_days"},
		{seriesConfig{MaxSeries: -1}, "series.max_series"},
		{seriesConfig{MaxGB: -1}, "series.max_gb"},
	} {
		o, err := c.conf.options()
		got := errs.PathOf(err)
		if err == nil {
			got = fmt.Sprintf("%.0fd", o.Retention.Hours()/24)
			for _, s := range o.Steps {
				got += fmt.Sprintf(" %s:%.0fd", s.Every, s.Keep.Hours()/24)
			}
			if o.MaxSeries != c.conf.MaxSeries || o.MaxBytes != c.conf.MaxGB<<30 || o.Steps == nil {
				t.Errorf("%+v", o)
			}
		}
		if got != c.want {
			t.Errorf("%+v: %s, not %s", c.conf, got, c.want)
		}
	}

	dir := t.TempDir()
	conf := filepath.Join(dir, "c.yaml")
	write := func(text string) {
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("series: {raw_days: 3}\n")
	if code, _, e := do(t, "serve", "--data", filepath.Join(dir, "a"), "--listen", "127.0.0.1:0", "--config", conf); code != 1 || !strings.Contains(e, "series.raw_days") {
		t.Errorf("%d %s", code, e)
	}
	write("series: {raw_days: 14, five_minute_days: 0, hour_days: 730, max_series: 50000}\n")
	_, _, stop := serving(t, filepath.Join(dir, "b"), "--config", conf)
	stop()
	steps, err := filepath.Glob(filepath.Join(dir, "b", "series", "step-*"))
	if err != nil || len(steps) != 1 || filepath.Base(steps[0]) != "step-"+time.Hour.String() {
		t.Errorf("%v, %v", steps, err)
	}
}
