package operations

import (
	"time"

	"zhiwei/kernel/errs"
)

// config is the section "operations" of the configuration file.
type config struct {
	// Every is how often the signs are looked for, Measure how often things are
	// measured that do not say otherwise.
	Every   string `yaml:"every"`
	Measure string `yaml:"measure"`
	// Settle is how long symptoms may gather before anything is done, Patience how
	// long a cause may be sought before a person is called.
	Settle   string `yaml:"settle"`
	Patience string `yaml:"patience"`
	// Syslog are the addresses on which log lines are taken; empty: none.
	Syslog struct {
		UDP string `yaml:"udp"`
		TCP string `yaml:"tcp"`
	} `yaml:"syslog"`

	every, measure, settle, patience time.Duration
}

var defaults = config{Every: "5s", Measure: "15s", Settle: "6s", Patience: "1m"}

func (c *config) validate() error {
	for _, d := range []struct {
		name, text  string
		into        *time.Duration
		least, most time.Duration
	}{
		{"every", c.Every, &c.every, time.Second, time.Minute},
		{"measure", c.Measure, &c.measure, time.Second, time.Hour},
		{"settle", c.Settle, &c.settle, 0, 10 * time.Minute},
		{"patience", c.Patience, &c.patience, time.Second, time.Hour},
	} {
		v, err := time.ParseDuration(d.text)
		if err != nil || v < d.least || v > d.most {
			return errs.E(errs.Invalid, "config", "operations."+d.name, "operations."+d.name+" 须是 "+d.least.String()+" 到 "+d.most.String()+" 之间的时长，例如 15s。",
				"operations."+d.name+" must be a duration from "+d.least.String()+" to "+d.most.String()+", such as 15s.").At("operations." + d.name)
		}
		*d.into = v
	}
	return nil
}
