package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"zhiwei/drive/remotewrite"
	"zhiwei/engine"
	"zhiwei/engine/data"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
)

const agentExample = "ZHIWEI_TOKEN=zw_… zhiwei agent --data /var/lib/zhiwei-agent --to https://centre.example"

// farewell is how long a stop tries to send what still waits; the rest stays on
// disk.
const farewell = 5 * time.Second

// agentConfig is the configuration file of an agent:
//
//	things:
//	  - thing: lis-db              # id of its record in the centre; label "thing"
//	    name: LIS database         # label "instance"; absent: the id
//	    address: 10.0.0.7
//	    labels: {sql: postgres://monitor@10.0.0.7/lis, sql_credential: pg, probe_tls: "10.0.0.7:443"}
//	credentials:
//	  pg: {user: monitor, file: /etc/zhiwei/pg.secret}
//	push: {only: [node_*, probe_*], every: 1m}   # what goes up, and how often; absent: all
//
// The labels are those of things in the ledger (engine/data.TargetLabels).
type agentConfig struct {
	things []struct {
		Thing   string            `yaml:"thing"`
		Name    string            `yaml:"name"`
		Address string            `yaml:"address"`
		Labels  map[string]string `yaml:"labels"`
	}
	credentials map[string]struct {
		User string `yaml:"user"`
		File string `yaml:"file"` // holds the secret and nothing else
	}
	push upward
}

// agent measures the machine it runs on and the things it is told of, and pushes
// to a centre. It keeps no records and opens no port.
func agent(ctx context.Context, e env, args []string) error {
	fs := flags(e, "agent", agentExample)
	dir := fs.String("data", "", "队列目录 folder for what waits to be sent (made if it is not there)")
	to := fs.String("to", "", "中心地址 the centre: https://HOST[:PORT], or a whole remote-write address")
	tokenFile := fs.String("token-file", "", "存有令牌的文件；不写则用环境变量 ZHIWEI_TOKEN file that holds the token; else $ZHIWEI_TOKEN")
	ca := fs.String("ca", "", "中心证书的签发者（PEM）；不写则用系统的 who signed the centre's certificate (PEM); else the system's")
	thing := fs.String("thing", "", "本机在中心的编号（标签 thing）；不写则为主机名 id of this machine in the centre (label thing); else its host name")
	instance := fs.String("instance", "", "本机的名称（标签 instance）；不写则为主机名 name of this machine (label instance); else its host name")
	every := fs.Duration("every", 15*time.Second, "采集间隔 how often is measured, 1s to 24h")
	queueMB := fs.Int64("queue", 256, "队列上限，单位 MB bound of the queue in MB")
	file := fs.String("config", "", "配置文件（YAML）：其它采集对象 configuration file (YAML): what else is measured")
	if err := parse(fs, args); err != nil {
		return err
	}
	if err := noRest(fs); err != nil {
		return err
	}
	if *dir == "" {
		return usage{"请用 --data 指明队列目录。 Say with --data where to keep what waits to be sent."}
	}
	if *every < time.Second || *every > 24*time.Hour {
		return usage{"--every 须在 1s 到 24h 之间。 --every is from 1s to 24h."}
	}
	if *queueMB < 1 || *queueMB > 1<<20 {
		return usage{"--queue 须在 1 到 1048576 之间。 --queue is from 1 to 1048576."}
	}
	target, err := pushTo(*to)
	if err != nil {
		return err
	}
	authorization, err := agentToken(e, *tokenFile)
	if err != nil {
		return err
	}
	client, err := pushClient(*ca)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return errs.Wrap("agent", "hostname", err)
	}
	own := engine.Thing{ID: *thing, Name: *instance, Labels: map[string]string{"local": "yes"}}
	if own.ID == "" {
		own.ID = host
	}
	if own.Name == "" {
		own.Name = host
	}
	targets, limits, err := agentTargets(*file, own)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return errs.E(errs.Unavailable, "agent", *dir, "无法建立队列目录 "+*dir+"。", "The folder "+*dir+" cannot be made.").Because(err)
	}
	release, err := lock(*dir)
	if err != nil {
		return err
	}
	defer release()
	clk := clock.System()
	queue, err := remotewrite.Open(filepath.Join(*dir, "queue"), *queueMB<<20, clk)
	if err != nil {
		return err
	}
	defer queue.Close()

	up, _, err := limits.to(queue)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(e.stderr, nil))
	sender := &remotewrite.Sender{Queue: queue, URL: target.String(), Authorization: authorization, Client: client, Clock: clk, Log: log}
	collector := &data.Collector{Series: up, Clock: clk, Log: log, Every: *every, Instance: own.Name}
	for _, t := range append(targets, data.Target{ID: "push", Thing: own.ID, Instance: own.Name, Source: sender}) {
		collector.Watch(t)
	}
	fmt.Fprintf(e.stdout, "治未 zhiwei agent %s  %s → %s\n", version, own.Name, target.Redacted())
	if ip := net.ParseIP(target.Hostname()); target.Scheme == "http" && target.Hostname() != "localhost" && !ip.IsLoopback() {
		fmt.Fprintln(e.stdout, "注意：到中心的连接未加密，令牌可被窃听；请改用 https。 Note: the line to the centre is not encrypted and the token can be overheard; use https.")
	}

	// What was measured last is still sent where the line stands.
	sending, endSending := context.WithCancel(context.WithoutCancel(ctx))
	defer endSending()
	var running sync.WaitGroup
	running.Go(func() { sender.Run(sending) })
	collector.Run(ctx)
	last := time.AfterFunc(farewell, endSending)
	defer last.Stop()
	for n, _ := queue.Waiting(); n > 0 && sending.Err() == nil; n, _ = queue.Waiting() {
		due, stop := clk.After(50 * time.Millisecond)
		select {
		case <-due:
		case <-sending.Done():
		}
		stop()
	}
	endSending()
	running.Wait()
	return nil
}

// pushTo is the address to push to: the path of remote write where none is
// given.
func pushTo(to string) (*url.URL, error) {
	u, err := url.Parse(to)
	if to == "" || err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usage{"请用 --to 指明中心，例如 https://centre.example。 Say the centre with --to, such as https://centre.example."}
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/api/v1/write"
	}
	return u, nil
}

// agentToken is the whole Authorization header. A token is never an argument:
// arguments can be read by everybody on the machine.
func agentToken(e env, file string) (string, error) {
	token := e.getenv("ZHIWEI_TOKEN")
	if file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return "", errs.E(errs.Invalid, "agent", file, "读不到令牌文件 "+file+"。", "The token file "+file+" cannot be read.").Because(err)
		}
		token = string(raw)
	}
	token = strings.TrimSpace(token)
	if token == "" || strings.ContainsAny(token, " \r\n") {
		return "", errs.E(errs.Invalid, "agent", "token", "请把令牌放进 ZHIWEI_TOKEN 或 --token-file；在中心用 zhiwei token create --scope system/series.c 创建。",
			"Put the token into ZHIWEI_TOKEN or --token-file; make one in the centre with zhiwei token create --scope system/series.c.")
	}
	return "Bearer " + token, nil
}

// pushClient trusts the given authority, or those of the system, and follows no
// redirect: the token is for one server.
func pushClient(ca string) (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		raw, err := os.ReadFile(ca)
		pool := x509.NewCertPool()
		if err == nil && !pool.AppendCertsFromPEM(raw) {
			err = errors.New("no certificate in it")
		}
		if err != nil {
			return nil, errs.E(errs.Invalid, "agent", ca, "证书文件 "+ca+" 读不出证书（PEM）。", "No certificate (PEM) can be read from "+ca+".").Because(err)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// agentTargets is what is measured, the machine itself and what the configuration
// names, and what of it goes up. A label that is wrong stops the start.
func agentTargets(file string, own engine.Thing) ([]data.Target, upward, error) {
	conf, err := loadConfig(file)
	var c agentConfig
	if err != nil {
		return nil, c.push, err
	}
	if err := conf.section("things", &c.things); err != nil {
		return nil, c.push, err
	}
	if err := conf.section("credentials", &c.credentials); err != nil {
		return nil, c.push, err
	}
	if err := conf.section("push", &c.push); err != nil {
		return nil, c.push, err
	}
	if err := conf.strangers(); err != nil {
		return nil, c.push, err
	}
	things := []engine.Thing{own}
	seen := map[string]bool{own.ID: true}
	for i, t := range c.things {
		if t.Thing == "" || seen[t.Thing] {
			return nil, c.push, conf.wrong(fmt.Errorf("things[%d]: each thing has an id of its own in %q", i, "thing"))
		}
		seen[t.Thing] = true
		if t.Name == "" {
			t.Name = t.Thing
		}
		things = append(things, engine.Thing{ID: t.Thing, Name: t.Name, Address: t.Address, Labels: t.Labels})
	}
	measures := &data.Measures{Clock: clock.System(), Secret: func(name string) (user, secret string, err error) {
		cred, ok := c.credentials[name]
		if !ok {
			return "", "", errs.E(errs.Invalid, "agent", name, "配置中没有凭据 "+name+"。", "The configuration has no credential "+name+".")
		}
		raw, err := os.ReadFile(cred.File)
		if err != nil {
			return "", "", errs.E(errs.Invalid, "agent", name, "读不到凭据 "+name+" 的文件。", "The file of the credential "+name+" cannot be read.").Because(err)
		}
		return cred.User, strings.TrimRight(string(raw), "\r\n"), nil
	}}
	var out []data.Target
	for _, t := range things {
		list, err := measures.Targets(t)
		if err != nil {
			return nil, c.push, err
		}
		out = append(out, list...)
	}
	return out, c.push, nil
}
