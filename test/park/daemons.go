package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"zhiwei/drive/snmp"
	"zhiwei/drive/ups"
	"zhiwei/kernel/clock"
)

// wire lays a wire through the switch to where a daemon listens.
func (w *World) wire(name, to string) error {
	x, err := newWire(w.net.at(name), to, uint64(hostPart[name]))
	if err == nil {
		w.Wires[name] = x
	}
	return err
}

// dialled is content where something takes connections at an address.
func dialled(at string) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
		if err == nil {
			_ = c.Close()
		}
		return err
	}
}

// redisMemory is what the cache may hold; it evicts nothing by itself.
const redisMemory = "24mb"

// addSmall adds the cache, the broker and the name server.
func (w *World) addSmall(context.Context) error {
	host, at := w.net.inner("his-redis")
	if err := w.wire("his-redis", at); err != nil {
		return err
	}
	if err := w.put(fmt.Sprintf("bind %s\nport %d\nprotected-mode no\nsave \"\"\nappendonly no\nmaxmemory %s\nmaxmemory-policy noeviction\ndir %s\n", host, ports["his-redis"], redisMemory, w.file("cache")), "conf", "redis.conf"); err != nil {
		return err
	}
	w.Units.Add(&Unit{Name: "his-redis", Path: find("redis-server"), Args: []string{w.file("conf", "redis.conf")}, Dir: w.Dir, Ready: func(ctx context.Context) error {
		_, _, err := redisDo(ctx, at, "PING")
		return err
	}})

	host, mq := w.net.inner("mq-1")
	if err := w.wire("mq-1", mq); err != nil {
		return err
	}
	if err := w.put(fmt.Sprintf("listener %d %s\nallow_anonymous true\npersistence false\nsys_interval 1\nmax_queued_messages 100000\nmax_inflight_messages 5\n", ports["mq-1"], host), "conf", "mosquitto.conf"); err != nil {
		return err
	}
	w.Units.Add(&Unit{Name: "mq-1", Path: find("mosquitto"), Args: []string{"-c", w.file("conf", "mosquitto.conf")}, Dir: w.Dir, As: w.lesser, Ready: dialled(mq)})

	if err := w.mendZone(); err != nil {
		return err
	}
	w.Units.Add(&Unit{Name: "dns-1", Path: w.named("dns-1"), Args: []string{"dns", w.net.at("dns-1"), w.file("dns", "zone.json")}, Dir: w.Dir, Ready: func(ctx context.Context) error {
		_, err := lookup(ctx, w.net.at("dns-1"), apiName)
		return err
	}})
	return nil
}

// apiName is the name by which the front end finds the service behind it.
const apiName = "his-api.hospital.internal"

// mendZone writes the zone as it should be.
func (w *World) mendZone() error {
	return w.putJSON(map[string]string{apiName: w.net.host("his-api"), "his-db.hospital.internal": w.net.host("his-db")}, "dns", "zone.json")
}

// named gives this program under the name of a service, so that the list of
// processes shows the service's name.
func (w *World) named(name string) string {
	link := w.file("bin", name)
	if !exists(link) {
		_ = os.Symlink(w.program, link)
	}
	return link
}

// addServices adds the four services of the hospital itself, of which his-api
// stands behind the switch.
func (w *World) addServices(ctx context.Context) error {
	_, api := w.net.inner("his-api")
	if err := w.wire("his-api", api); err != nil {
		return err
	}
	if err := w.addVolume(ctx); err != nil {
		return err
	}
	db := dsn(w.net.at("his-db"))
	for _, c := range []tierConfig{
		{Role: "api", Name: "his-api", Listen: api, Database: db, Pool: 8, Cache: w.net.at("his-redis")},
		{Role: "lis", Name: "lis-api", Listen: w.net.at("lis-api"), Database: db, Pool: 5, Broker: w.net.at("mq-1"), Threads: 5, Heap: 160},
		{Role: "pacs", Name: "pacs-api", Listen: w.net.at("pacs-api"), Database: db, Pool: 5, Folder: w.file("volume")},
		{Role: "web", Name: "his-web", Listen: w.net.at("his-web"), Upstream: fmt.Sprintf("http://%s:%d", apiName, ports["his-api"]), Resolver: w.net.at("dns-1"), Handles: 320},
	} {
		c.Log, c.Faults = w.file("log", c.Name+".app.log"), w.file("faults", c.Name)
		if err := w.putJSON(c, "conf", c.Name+".json"); err != nil {
			return err
		}
		if err := copyFile(w.file("good", c.Name+".json"), w.file("conf", c.Name+".json")); err != nil {
			return err
		}
		w.Units.Add(&Unit{Name: c.Name, Path: w.named(c.Name), Args: []string{"tier", w.file("conf", c.Name+".json")}, Dir: w.Dir, Ready: dialled(c.Listen)})
	}
	return nil
}

// volumeSize is the size of the imaging store where it is a file system of its
// own: small, so that it can be filled.
const volumeSize = 48 << 20

// volumeInodes is how many files it may hold.
const volumeInodes = 1200

// addVolume makes the imaging store: a file system of its own in a file where
// the park is root and the machine has loop devices, else a folder.
func (w *World) addVolume(ctx context.Context) error {
	if w.Root && find("mkfs.ext4") != "" && exists("/dev/loop-control") {
		image := w.file("volume.img")
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			return err
		}
		if err := os.Truncate(image, volumeSize); err != nil {
			return err
		}
		if _, err := w.Units.output(ctx, nil, nil, find("mkfs.ext4"), "-q", "-m", "0", "-N", fmt.Sprint(volumeInodes), image); err != nil {
			return err
		}
		_, err := w.Units.output(ctx, nil, nil, find("mount"), "-o", "loop", image, w.file("volume"))
		w.volume = err == nil
	}
	return w.Units.within(func() error {
		return errors.Join(os.MkdirAll(w.file("volume", "images"), 0o755), os.MkdirAll(w.file("volume", "cache"), 0o755))
	})
}

// addGate adds nginx, the front door.
func (w *World) addGate(context.Context) error {
	if err := w.renewCertificate(); err != nil {
		return err
	}
	at := func(name string) string { return w.net.at(name) }
	conf := fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/nginx/pid;
error_log %[1]s/log/his-gate.error.log warn;
events { worker_connections 512; }
http {
  access_log %[1]s/log/his-gate.access.log;
  client_body_temp_path %[1]s/nginx/body; proxy_temp_path %[1]s/nginx/proxy; fastcgi_temp_path %[1]s/nginx/fcgi; uwsgi_temp_path %[1]s/nginx/uwsgi; scgi_temp_path %[1]s/nginx/scgi;
  proxy_connect_timeout 2s; proxy_read_timeout 5s;
  server {
    listen %[2]s ssl;
    ssl_certificate %[1]s/conf/his-gate.crt; ssl_certificate_key %[1]s/conf/his-gate.key;
    location / { proxy_pass http://%[3]s; }
    location /lis/ { proxy_pass http://%[4]s; }
    location /pacs/ { proxy_pass http://%[5]s; }
  }
}
`, w.Dir, at("his-gate"), at("his-web"), at("lis-api"), at("pacs-api"))
	if err := w.put(conf, "conf", "nginx.conf"); err != nil {
		return err
	}
	if err := copyFile(w.file("good", "nginx.conf"), w.file("conf", "nginx.conf")); err != nil {
		return err
	}
	w.Units.Add(&Unit{Name: "his-gate", Path: find("nginx"), Args: []string{"-c", w.file("conf", "nginx.conf"), "-e", w.file("log", "his-gate.error.log")}, Dir: w.Dir, Ready: dialled(at("his-gate"))})
	return nil
}

// renewCertificate issues the certificate of the front door anew, for 90 days.
func (w *World) renewCertificate() error {
	return w.issue(time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, 90))
}

func (w *World) issue(from, to time.Time) error {
	cert, key, err := w.CA.Issue("his.hospital.internal", w.net.host("his-gate"), from, to)
	if err != nil {
		return err
	}
	return errors.Join(w.put(string(cert), "conf", "his-gate.crt"), w.put(string(key), "conf", "his-gate.key"))
}

// addDevices adds the switch, the UPS, the room and the bodies of the servers.
func (w *World) addDevices(ctx context.Context) error {
	w.Switch = newSwitch(w.file("snmp"))
	for port, names := range map[string][]string{"GE1-0-1": {"his-db", "his-redis"}, "GE1-0-2": {"his-api"}, "GE1-0-4": {"mq-1"}} {
		for _, n := range names {
			w.Switch.Plug(port, w.Wires[n])
		}
	}
	if err := w.Switch.write(); err != nil {
		return err
	}
	args := []string{"--data-dir=" + w.file("snmp"), "--cache-dir=" + w.file("snmp-cache"), "--agent-udpv4-endpoint=" + w.net.at("sw-core")}
	_ = os.Chmod(w.file("snmp-cache"), 0o777)
	target := snmp.Target{Address: w.net.at("sw-core"), Community: "public", Timeout: time.Second}
	w.Units.Add(&Unit{Name: "sw-core", Path: find("snmpsimd"), Args: args, Dir: w.Dir, As: w.lesser, Ready: func(ctx context.Context) error {
		_, err := target.Identify(ctx)
		return err
	}})
	if err := w.addUPS(); err != nil {
		return err
	}
	var err error
	if w.Room, err = newRoom(w.net.at("ac-1")); err != nil {
		return err
	}
	for _, name := range []string{"srv-app-01", "srv-db-01"} {
		var cert tls.Certificate
		if cert, err = w.CA.Pair(name, w.net.host(name)); err != nil {
			return err
		}
		if w.Bodies[name], err = newBody(fmt.Sprintf("%s:%d", w.net.host(name), redfishPort), "SN-"+name, cert); err != nil {
			return err
		}
	}
	w.Bodies["srv-db-01"].Set(func(b *Body) { b.power = w.switchServer })
	if err := os.MkdirAll(w.file("facts"), 0o755); err != nil {
		return err
	}
	if w.Facts, err = newFacts(w); err != nil {
		return err
	}
	w.Facts.SetDisk("sda", 0, 0, false)
	return w.Facts.SetClock(0.0004)
}

// addUPS adds NUT's server with its dummy driver, which reads the state of the
// UPS from a file.
func (w *World) addUPS() error {
	for name, text := range map[string]string{
		"ups.conf":   "[ups-1]\n driver = dummy-ups\n port = ups-1.dev\n mode = dummy-loop\n",
		"upsd.conf":  fmt.Sprintf("LISTEN %s %d\nSTATEPATH %s\n", w.net.host("ups-1"), ports["ups-1"], w.file("nut")),
		"upsd.users": "[monitor]\n password = monitor-only\n instcmds = all\n",
	} {
		if err := os.WriteFile(w.file("nut", name), []byte(text), 0o640); err != nil {
			return err
		}
	}
	if err := w.tell(usualUPS()); err != nil {
		return err
	}
	dir := w.file("nut")
	env := []string{"NUT_CONFPATH=" + dir, "NUT_STATEPATH=" + dir, "NUT_ALTPIDPATH=" + dir, "NUT_PIDPATH=" + dir}
	user := "root"
	if !w.Root {
		user = os.Getenv("USER")
	}
	target := &ups.Target{Address: w.net.at("ups-1"), UPS: "ups-1", Clock: clock.System()}
	w.Units.Add(&Unit{Name: "ups-driver", Path: find("dummy-ups"), Args: []string{"-F", "-a", "ups-1", "-u", user}, Env: env, Dir: dir})
	w.Units.Add(&Unit{Name: "ups-1", Path: find("upsd"), Args: []string{"-F", "-u", user}, Env: env, Dir: dir, Ready: func(ctx context.Context) error {
		_, err := target.Sample(ctx)
		return err
	}})
	return nil
}

// upsState is how the UPS does: its status in NUT's words (OL, OB, LB, RB …), the
// charge and the load in percent, the runtime in seconds, the voltage of the mains.
type upsState struct {
	status                        string
	charge, runtime, load, supply float64
}

func usualUPS() upsState { return upsState{"OL", 100, 1800, 37.5, 221.4} }

// tell lets the UPS say how it does.
func (w *World) tell(u upsState) error {
	w.devices.Lock()
	defer w.devices.Unlock()
	return w.setUPS(u)
}

// upsState is what the UPS says.
func (w *World) upsState() upsState {
	w.devices.Lock()
	defer w.devices.Unlock()
	return w.ups
}

func (w *World) setUPS(u upsState) error {
	w.ups = u
	text := fmt.Sprintf("ups.status: %s\nbattery.charge: %.0f\nbattery.runtime: %.0f\nups.load: %.1f\ninput.voltage: %.1f\noutput.voltage: 220.0\nups.temperature: 31\nups.mfr: Park\n", u.status, u.charge, u.runtime, u.load, u.supply)
	// Renamed into place: the driver must not read half a file.
	if err := w.put(text, "nut", "new.dev"); err != nil {
		return err
	}
	return os.Rename(w.file("nut", "new.dev"), w.file("nut", "ups-1.dev"))
}

// addServers adds the SSH servers of the hosts. Each shows this machine.
func (w *World) addServers(ctx context.Context) error {
	key := func(name string) error {
		_, err := w.Units.output(ctx, nil, nil, find("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", w.file("ssh", name))
		return err
	}
	if err := key("operator"); err != nil {
		return err
	}
	if err := copyFile(w.file("ssh", "authorized_keys"), w.file("ssh", "operator.pub")); err != nil {
		return err
	}
	if w.Root {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd asks for it
			return err
		}
	}
	for _, name := range []string{"srv-app-01", "srv-db-01"} {
		if err := key(name); err != nil {
			return err
		}
		conf := fmt.Sprintf("ListenAddress %s:%d\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\nMaxStartups 50\n",
			w.net.host(name), ports[name], w.file("ssh", name), w.file("ssh", "authorized_keys"))
		if err := w.put(conf, "conf", name+".sshd"); err != nil {
			return err
		}
		w.Units.Add(&Unit{Name: name, Path: find("sshd"), Args: []string{"-D", "-e", "-f", w.file("conf", name+".sshd")}, Dir: w.Dir, Ready: dialled(w.net.at(name))})
	}
	return nil
}

// hostKey is the public key of a server, as the ledger's label has it.
func (w *World) hostKey(name string) string {
	raw, _ := os.ReadFile(w.file("ssh", name+".pub"))
	f := strings.Fields(string(raw))
	if len(f) < 2 {
		return ""
	}
	return f[0] + " " + f[1]
}

// rogue starts a program that nobody ordered, by a name of its own, and gives its
// end. It burns one processor for the park's time or until it is killed.
func (w *World) rogue(name string) (*exec.Cmd, error) {
	cmd := exec.Command(w.named(name), "burn")
	cmd.Dir = w.Dir
	if err := w.Units.spawn(cmd); err != nil {
		return nil, err
	}
	go func() { _ = cmd.Wait() }()
	return cmd, nil
}
