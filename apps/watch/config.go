package watch

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"zhiwei/engine/automation"
	"zhiwei/engine/data"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
)

// config is the section "watch" of the configuration file. See README.md.
type config struct {
	Services []serviceConfig `yaml:"services"`
	Machine  machineConfig   `yaml:"machine"`
}

// machineConfig is how the machine itself is measured.
type machineConfig struct {
	Every time.Duration `yaml:"every"`
}

// serviceConfig declares one service.
type serviceConfig struct {
	Name   string        `yaml:"name"`
	Check  checkConfig   `yaml:"check"`
	Remedy *remedyConfig `yaml:"remedy"` // nil: a person is called at once
}

// checkConfig is how it is checked. Exactly one of http, tcp, process and
// command is given; zero values take the defaults below.
type checkConfig struct {
	HTTP      string        `yaml:"http"`
	Expect    string        `yaml:"expect"`
	TCP       string        `yaml:"tcp"`
	Process   string        `yaml:"process"`
	Command   []string      `yaml:"command"`
	Every     time.Duration `yaml:"every"`
	Timeout   time.Duration `yaml:"timeout"`
	DownAfter int           `yaml:"down_after"`
}

// remedyConfig is how it is brought back.
type remedyConfig struct {
	Start    []string      `yaml:"start"`
	Dir      string        `yaml:"dir"`
	Attempts int           `yaml:"attempts"`
	Within   time.Duration `yaml:"within"`
}

// What stands where the configuration is silent: found within 15 s, which is
// what a person at a screen takes for "just now", without loading the service.
const (
	defaultEvery     = 5 * time.Second
	defaultTimeout   = 2 * time.Second
	defaultDownAfter = 3
	defaultAttempts  = 3
	defaultWithin    = 10 * time.Second

	// As node_exporter is scraped by default it would be a minute; ten seconds show
	// a process that eats the memory before it has eaten it, for some 300 samples.
	defaultMachineEvery = 10 * time.Second

	minEvery = 100 * time.Millisecond
	maxEvery = 24 * time.Hour
	maxNames = 1000 // services of one configuration
)

// declarations turns the configuration into the declared part of the services.
// Invalid, naming service and key, where something is wrong.
func (c config) declarations() (map[record.Key]declaration, error) {
	out := map[record.Key]declaration{}
	if len(c.Services) > maxNames {
		return nil, wrong("services", fmt.Sprintf("一份配置最多看护 %d 项服务。", maxNames), fmt.Sprintf("One configuration watches at most %d services.", maxNames))
	}
	for i, s := range c.Services {
		where := fmt.Sprintf("watch.services[%d]", i)
		name := strings.TrimSpace(s.Name)
		if name == "" || len([]rune(name)) > 64 || strings.ContainsFunc(name, unicode.IsControl) {
			return nil, wrong(where+".name", "每项服务需要 1–64 个字的名称。", "Each service needs a name of 1–64 characters.")
		}
		where += " (" + name + ")"
		d := declaration{
			Name: name,
			Check: checkData{
				HTTP: s.Check.HTTP, Expect: s.Check.Expect, TCP: s.Check.TCP, Process: s.Check.Process, Command: s.Check.Command,
				Every: duration(or(s.Check.Every, defaultEvery)), Timeout: duration(or(s.Check.Timeout, defaultTimeout)), DownAfter: or(s.Check.DownAfter, defaultDownAfter),
			},
		}
		if every := time.Duration(d.Check.Every); every < minEvery || every > maxEvery {
			return nil, wrong(where+".check.every", "检查间隔须在 100ms 到 24h 之间，并写明单位，例如 every: 5s。", "every must be from 100ms to 24h with its unit, such as every: 5s.")
		}
		if timeout := time.Duration(d.Check.Timeout); timeout < time.Millisecond || timeout > time.Minute {
			return nil, wrong(where+".check.timeout", "超时须在 1ms 到 1m 之间，并写明单位，例如 timeout: 2s。", "timeout must be from 1ms to 1m with its unit, such as timeout: 2s.")
		}
		if d.Check.DownAfter < 1 || d.Check.DownAfter > 100 {
			return nil, wrong(where+".check.down_after", "down_after 须在 1 到 100 之间。", "down_after must be from 1 to 100.")
		}
		if err := d.Check.check().Validate(); err != nil {
			return nil, in(where, err)
		}
		if s.Remedy != nil {
			d.Remedy = &remedyData{Start: s.Remedy.Start, Dir: s.Remedy.Dir, Attempts: or(s.Remedy.Attempts, defaultAttempts), Within: duration(or(s.Remedy.Within, defaultWithin))}
			if err := d.Remedy.remedy().Validate(); err != nil {
				return nil, in(where, err)
			}
		}
		key := serviceKey(name)
		if _, twice := out[key]; twice {
			return nil, wrong(where+".name", "服务名“"+name+"”重复，请改用不同的名称。", "The service name “"+name+"” stands twice; use different names.")
		}
		out[key] = d
	}
	return out, nil
}

// machineEvery is the interval at which the machine is measured.
func (c config) machineEvery() (time.Duration, error) {
	every := or(c.Machine.Every, defaultMachineEvery)
	if every < time.Second || every > time.Hour {
		return 0, wrong("watch.machine.every", "本机的测量间隔须在 1s 到 1h 之间，并写明单位，例如 every: 10s。", "every must be from 1s to 1h with its unit, such as every: 10s.")
	}
	return every, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func wrong(path, zh, en string) error {
	return errs.E(errs.Invalid, "configuration", path, path+"："+zh, path+": "+en).At(path)
}

// in says where in the configuration a part was refused.
func in(where string, err error) error {
	return wrong(where+"."+errs.PathOf(err), errs.Sentence(err, "zh"), errs.Sentence(err, "en"))
}

// serviceKey names the record of a service: by its name where that may be an
// id, else derived from it.
func serviceKey(name string) record.Key {
	id := name
	if !record.ValidID(id) {
		id = loop.DerivedID("service", name)
	}
	return record.Key{Kind: serviceKind, ID: id}
}

func (c checkData) check() data.Check {
	return data.Check{HTTP: c.HTTP, Expect: c.Expect, TCP: c.TCP, Process: c.Process, Command: c.Command, Timeout: time.Duration(c.Timeout)}
}

func (r *remedyData) remedy() automation.Remedy {
	return automation.Remedy{Start: r.Start, Dir: r.Dir, Attempts: r.Attempts, Within: time.Duration(r.Within)}
}
