package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"os"
	"strconv"
	"strings"
	"sync"

	"zhiwei/apps/operations"
	"zhiwei/door/gate"
	"zhiwei/door/otlp"
	"zhiwei/door/prometheus"
	"zhiwei/door/remotewrite"
	"zhiwei/door/snmptrap"
	"zhiwei/door/syslog"
	"zhiwei/kernel/errs"
)

// intake is what others send that is neither a page nor a record: measurements
// and logs.
type intake struct {
	// Section "intake" of the configuration:
	//
	//	intake:
	//	  syslog: {udp: ":514", tcp: ":514", tls: ":6514", cert: FILE, key: FILE}
	//	  traps:
	//	    address: ":162"
	//	    communities: [NAME]
	//	    users: [{name: NAME, auth: SHA256, auth_file: FILE, priv: AES, priv_file: FILE}]
	//
	// of version 3: auth is MD5, SHA, SHA224, SHA256, SHA384 or SHA512 (SHA where
	// absent), priv DES, AES, AES192, AES256, AES192C or AES256C (AES where there is a
	// priv_file); the files hold the passwords.
	config struct {
		Syslog struct {
			UDP  string `yaml:"udp"`
			TCP  string `yaml:"tcp"`
			TLS  string `yaml:"tls"`
			Cert string `yaml:"cert"`
			Key  string `yaml:"key"`
		} `yaml:"syslog"`
		Traps struct {
			Address     string     `yaml:"address"`
			Communities []string   `yaml:"communities"`
			Users       []trapUser `yaml:"users"`
		} `yaml:"traps"`
	}
	written remotewrite.Counts
	sent    otlp.Counts
	logs    *syslog.Door
	traps   *snmptrap.Door
	wait    sync.WaitGroup
	stop    context.CancelFunc
}

// trapUser is who may send traps of SNMP version 3.
type trapUser struct {
	Name     string `yaml:"name"`
	Auth     string `yaml:"auth"`
	AuthFile string `yaml:"auth_file"`
	Priv     string `yaml:"priv"`
	PrivFile string `yaml:"priv_file"`
}

// user reads the passwords. Invalid where a file cannot be read.
func (u trapUser) user(at string) (snmptrap.User, error) {
	out := snmptrap.User{Name: u.Name, Authentication: cmp.Or(strings.ToUpper(u.Auth), "SHA"), Privacy: strings.ToUpper(u.Priv)}
	for _, f := range []struct {
		key, file string
		into      *string
	}{{"auth_file", u.AuthFile, &out.AuthPassword}, {"priv_file", u.PrivFile, &out.PrivPassword}} {
		if f.file == "" {
			continue // the door says what is missing
		}
		raw, err := os.ReadFile(f.file)
		if err != nil {
			return out, errs.E(errs.Invalid, "config", at+"."+f.key, "无法读取 "+at+"."+f.key+"。", at+"."+f.key+" cannot be read.").At(at + "." + f.key).Because(err)
		}
		*f.into = strings.TrimRight(string(raw), "\r\n")
	}
	if u.PrivFile != "" && out.Privacy == "" {
		out.Privacy = "AES"
	}
	return out, nil
}

// routes are where measurements and logs are pushed to over HTTP.
func (h *house) intakeRoutes() []gate.Route {
	if h.series == nil {
		return nil
	}
	clk := h.kernel.Clock()
	routes := remotewrite.Routes(remotewrite.Options{Series: h.series, Clock: clk, Counts: &h.intake.written})
	o := otlp.Options{Series: h.series, Clock: clk, Counts: &h.intake.sent}
	if op := h.operator(); op != nil {
		o.Logs = func(list []otlp.Log) error {
			for _, l := range list {
				op.Hear(operations.Line{At: l.At, Thing: l.Thing, From: []string{l.Instance, l.Job}, Text: l.Text})
			}
			return nil
		}
	}
	return append(routes, otlp.Routes(o)...)
}

// listenIntake opens the doors that the configuration names.
func (h *house) listenIntake(ctx context.Context) error {
	in := &h.intake
	op := h.operator()
	if err := h.config.section("intake", &in.config); err != nil || op == nil {
		return err
	}
	ctx, in.stop = context.WithCancel(context.WithoutCancel(ctx))
	if c := in.config.Syslog; c.UDP != "" || c.TCP != "" || c.TLS != "" {
		o := syslog.Options{UDP: c.UDP, TCP: c.TCP, TLS: c.TLS, Clock: h.kernel.Clock(), Log: h.log.With("door", "syslog"), Take: func(m syslog.Message) {
			op.Hear(operations.Line{At: m.At, From: []string{m.Host, m.From}, Text: m.Text})
		}}
		if c.TLS != "" {
			pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
			if err != nil {
				return errs.E(errs.Invalid, "config", "intake.syslog", "intake.syslog 的 cert 或 key 无法读取。", "cert or key of intake.syslog cannot be read.").Because(err)
			}
			o.Config = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		}
		var err error
		if in.logs, err = syslog.Open(o); err != nil {
			return err
		}
		in.wait.Go(func() { in.logs.Serve(ctx) })
	}
	if c := in.config.Traps; c.Address != "" {
		o := snmptrap.Options{Address: c.Address, Communities: c.Communities, Clock: h.kernel.Clock(), Take: func(t snmptrap.Trap) {
			values := map[string]string{}
			for _, v := range t.Vars {
				values[v.OID] = v.Text
			}
			op.HearTrap(t.From, t.OID, values)
		}}
		for i, u := range c.Users {
			user, err := u.user("intake.traps.users[" + strconv.Itoa(i) + "]")
			if err != nil {
				return err
			}
			o.Users = append(o.Users, user)
		}
		var err error
		if in.traps, err = snmptrap.Open(o); err != nil {
			return err
		}
		in.wait.Go(func() { in.traps.Serve(ctx) })
	}
	return nil
}

// close ends what listens.
func (in *intake) close() {
	if in.stop != nil {
		in.stop()
		in.wait.Wait()
	}
}

// metrics are what came in and what was not kept.
func (in *intake) metrics(strangers int64) []prometheus.Family {
	count := func(name, help string, v int64) prometheus.Family {
		return prometheus.One(name, "counter", help, float64(v))
	}
	out := []prometheus.Family{
		count("zhiwei_intake_remote_write_samples_total", "Samples kept that came by remote write.", in.written.Samples.Load()),
		count("zhiwei_intake_remote_write_dropped_total", "Samples not kept that came by remote write.", in.written.Dropped.Load()+in.written.Ahead.Load()+in.written.Unnamed.Load()),
		count("zhiwei_intake_strangers_total", "Log lines and traps of senders that the ledger does not know.", strangers),
	}
	if in.logs != nil {
		c := in.logs.Counts()
		out = append(out, count("zhiwei_intake_syslog_dropped_total", "Syslog messages that were not taken since too many waited.", c.Dropped))
	}
	if in.traps != nil {
		c := in.traps.Counts()
		out = append(
			out, count("zhiwei_intake_traps_received_total", "Packets that came to the door of traps.", c.Received),
			count("zhiwei_intake_traps_refused_total", "Traps of an unknown community, or that no user of version 3 can have sent.", c.Refused),
			count("zhiwei_intake_traps_dropped_total", "Traps that were not taken since too many waited.", c.Dropped),
		)
	}
	return out
}
