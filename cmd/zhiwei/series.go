package main

import (
	"path/filepath"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/series/local"
)

// seriesConfig is the section "series" of the configuration: how long what is
// measured is kept, in days, and how much of it.
//
//	series: {raw_days: 30, five_minute_days: 180, hour_days: 1825, max_series: 0, max_gb: 4}
//
// 0 of five_minute_days and hour_days leaves the step out; what is absent, and 0 of
// the others, is as set here.
type seriesConfig struct {
	RawDays        int   `yaml:"raw_days"`
	FiveMinuteDays *int  `yaml:"five_minute_days"`
	HourDays       *int  `yaml:"hour_days"`
	MaxSeries      int64 `yaml:"max_series"`
	MaxGB          int64 `yaml:"max_gb"` // of samples as they came
}

const (
	oneDay = 24 * time.Hour
	// leastRaw is the least time samples are kept as they came: a sample may come
	// seven days late, and is thinned only when none that is older can come.
	leastRaw = 8
	mostDays = 100 * 366
)

// options are those of the store. Invalid where they make no sense.
func (c seriesConfig) options() (local.Options, error) {
	bad := func(key, zh, en string) error {
		return errs.E(errs.Invalid, "config", "series."+key, "series."+key+" "+zh+"。", "series."+key+" "+en+".").At("series." + key)
	}
	o := local.Options{MaxSeries: c.MaxSeries, MaxBytes: c.MaxGB << 30}
	raw := 30
	if c.RawDays != 0 {
		raw = c.RawDays
	}
	if raw < leastRaw || raw > mostDays {
		return o, bad("raw_days", "须为 8 到 36600 天：样本可能晚到七天", "must be 8 to 36600 days: a sample may come seven days late")
	}
	o.Retention = time.Duration(raw) * oneDay
	if c.MaxSeries < 0 || c.MaxSeries > 10_000_000 {
		return o, bad("max_series", "须为 0 到 10000000", "must be 0 to 10000000")
	}
	if c.MaxGB < 0 || c.MaxGB > 1<<20 {
		return o, bad("max_gb", "须为 0 到 1048576", "must be 0 to 1048576")
	}
	o.Steps = []local.Step{}
	finer := raw
	for i, s := range []struct {
		key  string
		days *int
	}{{"five_minute_days", c.FiveMinuteDays}, {"hour_days", c.HourDays}} {
		step := local.DefaultSteps[i]
		if s.days != nil {
			step.Keep = time.Duration(*s.days) * oneDay
		}
		days := int(step.Keep / oneDay)
		switch {
		case days == 0:
			continue
		case s.days == nil && days <= finer: // what is finer reaches further back: no use
			continue
		case days <= finer || days > mostDays:
			return o, bad(s.key, "须为 0，或比更细的保留得更久", "must be 0, or longer than what is finer is kept")
		}
		finer = days
		o.Steps = append(o.Steps, step)
	}
	return o, nil
}

// openSeries opens the store of what is measured.
func (h *house) openSeries() (err error) {
	var c seriesConfig
	if err := h.config.section("series", &c); err != nil {
		return err
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	o.Log = h.log
	h.series, err = local.Open(filepath.Join(h.dir, "series"), o)
	return err
}
