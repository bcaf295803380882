package operations

import (
	"cmp"
	"time"

	"zhiwei/kernel/errs"
)

// config is the section "operations" of the configuration file. What it leaves out
// is: every 5s, measure 15s, settle 6s, patience 1m, intents 1m.
type config struct {
	// Every is how often the signs are looked for, Measure how often things are
	// measured that do not say otherwise.
	Every   string `yaml:"every"`
	Measure string `yaml:"measure"`
	// Settle is how long symptoms may gather before anything is done, Patience how
	// long a cause may be sought before a person is called.
	Settle   string `yaml:"settle"`
	Patience string `yaml:"patience"`
	// Intents is how often it is looked at how far intents are met. To be set before
	// there are any: what was measured counts by the step it was measured at.
	Intents string `yaml:"intents"`

	every, measure, settle, patience, intents time.Duration
}

func (c *config) validate() error {
	for _, d := range []struct {
		name        string
		text        string
		usual       string
		into        *time.Duration
		least, most time.Duration
	}{
		{"every", c.Every, "5s", &c.every, time.Second, time.Minute},
		{"measure", c.Measure, "15s", &c.measure, time.Second, time.Hour},
		{"settle", c.Settle, "6s", &c.settle, 0, 10 * time.Minute},
		{"patience", c.Patience, "1m", &c.patience, time.Second, time.Hour},
		{"intents", c.Intents, "1m", &c.intents, time.Second, 10 * time.Minute},
	} {
		v, err := time.ParseDuration(cmp.Or(d.text, d.usual))
		if err != nil || v < d.least || v > d.most {
			return errs.E(errs.Invalid, "config", "operations."+d.name, "operations."+d.name+" 须是 "+d.least.String()+" 到 "+d.most.String()+" 之间的时长，例如 15s。",
				"operations."+d.name+" must be a duration from "+d.least.String()+" to "+d.most.String()+", such as 15s.").At("operations." + d.name)
		}
		*d.into = v
	}
	return nil
}
