package data

import (
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/drive/database"
	"zhiwei/drive/host"
	"zhiwei/drive/ipmi"
	"zhiwei/drive/log"
	"zhiwei/drive/modbus"
	"zhiwei/drive/probe"
	"zhiwei/drive/redfish"
	"zhiwei/drive/scrape"
	"zhiwei/drive/smart"
	"zhiwei/drive/snmp"
	"zhiwei/drive/ups"
	"zhiwei/drive/winrm"
	"zhiwei/engine"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// Measures finds what measures the things of the ledger.
type Measures struct {
	Clock clock.Clock
	// Secret gives the account and the secret (password, key, community, token) of
	// a credential by its name. Both are kept in memory by the sources that need
	// them, and shown nowhere.
	Secret func(credential string) (user, secret string, err error)

	table host.Table // of this machine's processes, for all that ask for some
}

// TargetLabel is a label of a thing that says how it is measured.
type TargetLabel struct {
	Name    string    // with "[_NAME]" behind it where there may be several, told apart by a name
	Form    string    // of its value
	Example string    // a value
	Tells   string    // the metrics that come of it; empty of a setting of another label
	Title   kind.Text // what it does
}

// TargetLabels are the labels that Targets and LogFiles read, in the order in
// which people read them. A thing may have any other labels, except such as
// begin like one of these: "probe_htpp" is a mistake and not a label of its own.
//
// Where a value names a host and a port, "yes" is the address of the thing with
// the usual port, ":1161" its address with that port. Accounts and secrets never
// stand in a label: a label names a credential.
func TargetLabels() []TargetLabel {
	out := make([]TargetLabel, len(ways))
	for i, w := range ways {
		out[i] = w.TargetLabel
		if w.many {
			out[i].Name += "[_NAME]"
		}
	}
	return out
}

// way is a label, and what it makes.
type way struct {
	TargetLabel
	many bool
	make func(*asked) (Source, error) // nil of a setting
}

var ways []way

// Forms of values.
const (
	at      = "yes | HOST[:PORT] | :PORT"
	account = "NAME"
)

func init() { // the makers read the table again
	tr := kind.T
	ways = []way{
		{TargetLabel{"every", "DURATION", "15s", "", tr("多久测一次，1s–24h；不写则随全局设置。", "How often it is measured, 1s to 24h; without it as set for all.")}, false, nil},
		{TargetLabel{"credential", account, "switches", "", tr("凭据名：下列方式没有写明自己的凭据时用它。", "Credential for the ways below that name none of their own.")}, false, nil},
		{TargetLabel{"snmp", at, "yes", "interface_*, device_*, bridge_*, hardware_*", tr("经 SNMP 测量交换机等设备；凭据没有账号时是 v2c 团体名，有账号时是 v3。", "Measures a switch or other device over SNMP; a credential without an account is a v2c community, one with an account is of v3.")}, false, (*asked).snmp},
		{TargetLabel{"snmp_community", "TEXT", "public", "", tr("不保密的 v2c 团体名。", "A v2c community that is no secret.")}, false, nil},
		{TargetLabel{"snmp_credential", account, "switches", "", tr("SNMP 的凭据；v3 的密文为认证口令，另有加密口令时写在第二行。", "Credential of SNMP; its secret in v3 is the authentication password, with the privacy password in a second line where there is another.")}, false, nil},
		{TargetLabel{"snmp_auth", "MD5 | SHA | SHA224 | SHA256 | SHA384 | SHA512", "SHA256", "", tr("v3 认证算法，不写则为 SHA。", "Authentication of v3; SHA where absent.")}, false, nil},
		{TargetLabel{"snmp_priv", "none | DES | AES | AES192 | AES256 | AES192C | AES256C", "AES", "", tr("v3 加密算法，不写则为 AES。", "Privacy of v3; AES where absent.")}, false, nil},
		{TargetLabel{"redfish", "URL", "https://10.0.0.20", "hardware_*", tr("经 Redfish 测量服务器的管理口。", "Measures a server's controller over Redfish.")}, false, (*asked).redfish},
		{TargetLabel{"redfish_cert", "SHA-256", "ab:cd:…", "", tr("管理口自签证书的 SHA-256 指纹。", "SHA-256 of the controller's own certificate.")}, false, nil},
		{TargetLabel{"redfish_credential", account, "bmc", "", tr("Redfish 的凭据。", "Credential of Redfish.")}, false, nil},
		{TargetLabel{"ipmi", at, "10.0.0.21", "hardware_*", tr("经 IPMI 测量服务器的管理口；本机须有 ipmitool。", "Measures a server's controller over IPMI; this machine needs ipmitool.")}, false, (*asked).ipmi},
		{TargetLabel{"ipmi_credential", account, "bmc", "", tr("IPMI 的凭据。", "Credential of IPMI.")}, false, nil},
		{TargetLabel{"ups", "NAME@HOST[:PORT]", "ups1@10.0.0.30", "ups_*", tr("经 NUT（upsd）测量 UPS。", "Measures a UPS at a NUT server (upsd).")}, false, (*asked).ups},
		{TargetLabel{"modbus", "yes | HOST[:PORT] | :PORT | rtuovertcp://HOST:PORT | rtu:///dev/…", "10.0.0.40:502", "environment_*, cooling_*, power_*", tr("经 Modbus 测量空调、电表、传感器；须有 modbus_map。", "Measures an air conditioner, a meter or a sensor over Modbus; needs modbus_map.")}, false, (*asked).modbus},
		{TargetLabel{"modbus_unit", "1–247", "1", "", tr("Modbus 单元号，不写则为 1。", "Modbus unit; 1 where absent.")}, false, nil},
		{TargetLabel{"modbus_map", modbus.MapForm + ";…", "environment_temperature_celsius{sensor=cold}=input:0:int16*0.1;cooling_running=coil:0", "", tr("点表，分号分隔；一个标签写不下时接着写 modbus_map_2 等。", "Its registers, separated by semicolons; more in modbus_map_2 and so on where one label is too short.")}, true, nil},
		{TargetLabel{"scrape", "URL", "http://10.0.0.7:9100/metrics", "*", tr("采集 Prometheus 格式的指标。", "Reads metrics in Prometheus' format.")}, true, (*asked).scrape},
		{TargetLabel{"scrape_credential", account, "his-metrics", "", tr("采集用的凭据：有账号时用 Basic，没有时用 Bearer；不会用 credential 的。", "Credential for reading them: Basic with an account, Bearer without; credential is not used for it.")}, false, nil},
		{TargetLabel{"pulse", "METRIC", "lis_results_total", "work_*", tr("采集到的哪个计数随业务增长：它停了而服务仍应答，也会被发现。", "Which counter that is read grows with the work done: where it stands still while the service answers, it is noticed all the same.")}, false, nil},
		{TargetLabel{"probe_http", "URL [TEXT]", "http://10.0.0.7/login 登录", "probe_*", tr("检查网页能否打开，应答里须有空格后的文字。", "Checks that a web address answers, with the text behind the blank in its answer.")}, true, (*asked).probeHTTP},
		{TargetLabel{"probe_tcp", "HOST:PORT | :PORT", ":5432", "probe_*", tr("检查端口能否连接。", "Checks that a port takes connections.")}, true, (*asked).probeTCP},
		{TargetLabel{"probe_tls", "HOST:PORT [NAME]", "his.example:443", "probe_ssl_*, probe_tls_*", tr("检查证书：何时到期、是否可信、是否合乎名称。", "Checks a certificate: when it expires, whether it is trusted and fits its name.")}, true, (*asked).probeTLS},
		{TargetLabel{"tls_ca", "PATH", "/etc/ssl/hospital-ca.pem", "", tr("本机上的 PEM 文件：probe_http 与 probe_tls 信任的签发者。", "PEM file on this machine: the issuers that probe_http and probe_tls trust.")}, false, nil},
		{TargetLabel{"probe_dns", "NAME[=ADDRESS][@SERVER[:PORT]]", "his.example=10.0.0.7@10.0.0.53", "probe_dns_*", tr("检查域名能否解析、是否解析到应有的地址。", "Checks that a name resolves, and to the address it should.")}, true, (*asked).probeDNS},
		{TargetLabel{"probe_icmp", "yes | HOST", "yes", "probe_icmp_*", tr("测往返时延与丢包。", "Measures round trip and loss.")}, true, (*asked).probeICMP},
		{TargetLabel{"sql", "yes | URL", "yes", "database_*", tr("测量数据库或缓存：postgres://账号@主机:端口/库名、mysql://账号@主机:端口/（MariaDB 亦然）、redis://主机:端口；yes 即标签 database 的地址。", "Measures a database or cache: postgres://account@host:port/database, mysql://account@host:port/ (MariaDB too), redis://host:port; yes is the address in the label database.")}, false, (*asked).sql},
		{TargetLabel{"sql_credential", account, "pg-monitor", "", tr("数据库的凭据，账号宜有 pg_monitor；MariaDB：PROCESS、BINLOG MONITOR、REPLICA MONITOR。", "Credential of the database; its account should have pg_monitor; of MariaDB PROCESS, BINLOG MONITOR, REPLICA MONITOR.")}, false, nil},
		{TargetLabel{"local", "yes", "yes", "node_*, namedprocess_*", tr("它就是本程序所在的主机。", "It is the machine that this program runs on.")}, false, (*asked).local},
		{TargetLabel{"ssh", at, "yes", "node_*, namedprocess_*, clock_offset_seconds", tr("经 SSH 测量 Linux 主机，不装代理；用标签 credential、user、host_key、port。", "Measures a Linux machine over SSH without an agent; uses the labels credential, user, host_key, port.")}, false, (*asked).ssh},
		{TargetLabel{"process", "NAME[,NAME…]", "his-api", "namedprocess_*", tr("看这些进程，没有时也报 0 个；名中有空格或斜杠时看命令行。via 为 local 或没有地址时看本机，否则经 SSH。", "Watches these processes, and tells 0 where there are none; one with a blank or slash is part of the command line. On this machine where via is local or there is no address, else over SSH.")}, false, (*asked).process},
		{TargetLabel{"smart", "yes | DEVICE[;DEVICE…]", "yes", "disk_*", tr("磁盘自述的健康（SMART）：yes 为主机的全部磁盘，或写 sda、“bus/0 megaraid,8”；主机上须有 smartmontools，账号须为 root 或可 sudo -n smartctl。在哪台机器上看，同 process。", "What disks say of their health (SMART): yes is all of the machine, else sda, “bus/0 megaraid,8”; the machine needs smartmontools, the account root or sudo -n smartctl. On which machine: as process.")}, false, (*asked).smart},
		{TargetLabel{"volume", "PATH", "/data", "node_filesystem_*", tr("本机上的一个目录：它所在文件系统的空间。", "A folder of this machine: the space of the file system it lies on.")}, false, (*asked).volume},
		{TargetLabel{"backup_files", "PATTERN", "/backup/his-*.dump", "backup_last_*", tr("备份任务在本机留下的文件：最新一个的时间和大小。", "The files a backup job leaves on this machine: when the newest was written and how large it is.")}, false, (*asked).backups},
		{TargetLabel{"access_log", "PATH", "/var/log/nginx/access.log", "http_path_*", tr("本机上 Web 服务器或网关的访问日志（nginx、Apache 的格式）：按路径首段数应答成功与 404。", "The access log of a web server or gateway on this machine, in the format of nginx and Apache: answers with success and with 404, by the first part of the path.")}, true, (*asked).accessLog},
		{TargetLabel{"log_files", "PATH[:PATH…]", "/var/log/his.log", "", tr("本机上它的日志文件，冒号分隔。", "Its log files on this machine, separated by colons.")}, false, nil},
	}
}

var metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

// asked is one label of a thing that is turned into a source.
type asked struct {
	*Measures
	thing engine.Thing
	label string
	value string
}

// bad is the error of a label, which says what to write.
func bad(thing engine.Thing, label, form, zh, en string) error {
	return errs.E(errs.Invalid, "measure", thing.Name, thing.Name+" 的标签 "+label+" "+zh+"；应写作 "+form+"。", "The label "+label+" of "+thing.Name+" "+en+"; it reads "+form+".").At("labels." + label)
}

func (a *asked) bad(zh, en string) error {
	return bad(a.thing, a.label, wayOf(a.label).Form, "的值“"+a.value+"”"+zh, "has the value “"+a.value+"”, which "+en)
}

// wayOf finds the way of a label; nil where it is none of ours.
func wayOf(label string) *way {
	for i := range ways {
		if ways[i].Name == label {
			return &ways[i]
		}
	}
	for i := range ways {
		if n, is := strings.CutPrefix(label, ways[i].Name+"_"); is && ways[i].many && n != "" {
			return &ways[i]
		}
	}
	return nil
}

// families are how labels begin that can only be meant for us.
var families = []string{"probe_", "snmp_", "modbus_", "ipmi_", "redfish_", "scrape_", "sql_", "ssh_", "process_", "log_file"}

// acting are labels within the families by which automation acts on a thing.
var acting = []string{"snmp_set", "modbus_set", "modbus_start", "modbus_setpoint", "modbus_dry", "modbus_fan"}

// Targets are what measures a thing, by its labels (see TargetLabels): one target
// for each way. Its id is that of the thing, a slash and the label, and stays the
// same as long as the label is there; its settings are those of now: call it
// again when the thing or a credential has changed.
//
// A label that is malformed, unknown within a family of ours, or whose credential
// is missing leaves its target out; the other targets are returned beside the
// error, which is Invalid, or that of Secret, and names each such label. A thing
// without such labels has no targets and no error.
func (m *Measures) Targets(thing engine.Thing) ([]Target, error) {
	var out []Target
	var wrong []error
	every := time.Duration(0)
	for _, label := range slices.Sorted(maps.Keys(thing.Labels)) {
		w := wayOf(label)
		value := strings.TrimSpace(thing.Labels[label])
		a := &asked{m, thing, label, value}
		switch {
		case w == nil:
			ours := slices.ContainsFunc(families, func(f string) bool { return strings.HasPrefix(label, f) })
			if ours && !slices.Contains(acting, label) {
				wrong = append(wrong, bad(thing, label, strings.Join(names(), ", "), "不认识", "is not known"))
			}
		case label == "every":
			d, err := time.ParseDuration(value)
			if err != nil || d < time.Second || d > 24*time.Hour {
				wrong = append(wrong, a.bad("不是 1s 到 24h 的时长", "is no time from 1s to 24h"))
				continue
			}
			every = d
		case w.make != nil:
			s, err := w.make(a)
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			if s == nil { // another label's source tells it too
				continue
			}
			t := Target{ID: thing.ID + "/" + label, Thing: thing.ID, Instance: thing.Name, Source: s}
			switch s.(type) {
			case *ipmi.Target, *smart.Disks, *winrm.Machine:
				t.Timeout = slow
			case *host.Remote:
				t.Timeout = script
			}
			out = append(out, t)
		}
	}
	for i := range out {
		out[i].Every = every
	}
	if _, err := LogFiles(thing); err != nil {
		wrong = append(wrong, err)
	}
	return out, joined(thing, wrong)
}

// joined makes one error of several.
func joined(thing engine.Thing, list []error) error {
	if len(list) < 2 {
		return errors.Join(list...)
	}
	var zh, en []string
	for _, e := range list {
		zh, en = append(zh, errs.Sentence(e, "zh")), append(en, errs.Sentence(e, "en"))
	}
	return errs.E(errs.KindOf(list[0]), "measure", thing.Name, strings.Join(zh, " "), strings.Join(en, " ")).At(errs.PathOf(list[0])).Because(errors.Join(list...))
}

// names lists the labels.
func names() []string {
	var out []string
	for _, l := range TargetLabels() {
		out = append(out, l.Name)
	}
	return out
}

// LogFiles are the log files of a thing on this machine. Invalid where a path is
// not absolute.
func LogFiles(thing engine.Thing) ([]string, error) {
	const label = "log_files"
	var out []string
	for _, p := range strings.Split(thing.Labels[label], ":") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		if !filepath.IsAbs(p) {
			return nil, (&asked{thing: thing, label: label, value: thing.Labels[label]}).bad("里的“"+p+"”不是以 / 开头的路径", "holds “"+p+"”, no path that begins with /")
		}
		out = append(out, filepath.Clean(p))
	}
	return out, nil
}

// How long a round may take where a third of the interval is too little: a
// controller that is asked for its sensors, a machine under load that must run a
// script.
const (
	slow   = time.Minute
	script = 10 * time.Second
)

// endpoint reads "yes", "HOST", "HOST:PORT" or ":PORT"; usual is the port where
// none is named, "" where one must be.
func (a *asked) endpoint(value, usual string) (string, error) {
	home, port := "", usual
	switch h, p, err := net.SplitHostPort(value); {
	case value == "yes":
	case err == nil:
		home, port = h, p
	case strings.ContainsAny(value, " /@") || value == "" || strings.Contains(value, ":") && net.ParseIP(strings.Trim(value, "[]")) == nil:
		return "", a.bad("不是主机与端口", "is no host and port")
	default:
		home = strings.Trim(value, "[]")
	}
	if home == "" {
		if home = a.thing.Address; home == "" {
			return "", a.bad("需要对象的地址，而台账里没有", "needs the address of the thing, and the ledger has none")
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", a.bad("里没有 1–65535 的端口", "has no port from 1 to 65535")
	}
	return net.JoinHostPort(home, port), nil
}

// account gives the user and password of the credential that label names, else
// the label credential; both empty where neither is there. A private key is no
// password: it is never sent anywhere.
func (a *asked) account(label string) (user, password string, err error) {
	name := cmp.Or(a.thing.Labels[label], a.thing.Labels["credential"])
	if name == "" {
		return "", "", nil
	}
	user, password, err = a.named(label, name)
	if err == nil && isKey(password) {
		return "", "", bad(a.thing, label, account, "缺少，而凭据“"+name+"”是私钥、不是口令", "is missing, and the credential “"+name+"” is a private key and no password")
	}
	return user, password, err
}

func isKey(secret string) bool { return strings.HasPrefix(strings.TrimSpace(secret), "-----BEGIN ") }

func (a *asked) named(label, credential string) (user, secret string, err error) {
	if a.Secret == nil {
		return "", "", errs.E(errs.Unavailable, "measure", a.thing.Name, "这里没有凭据可用。", "There are no credentials here.")
	}
	user, secret, err = a.Secret(credential)
	if err != nil {
		return "", "", errs.E(errs.KindOf(err), "measure", a.thing.Name, a.thing.Name+" 的标签 "+label+"：凭据“"+credential+"”取不到；请登记它。"+errs.Sentence(err, "zh"),
			"Label "+label+" of "+a.thing.Name+": the credential “"+credential+"” cannot be had; enter it. "+errs.Sentence(err, "en")).At("labels." + label).Because(err)
	}
	return user, secret, nil
}

func (a *asked) snmp() (Source, error) {
	address, err := a.endpoint(a.value, "161")
	if err != nil {
		return nil, err
	}
	l := a.thing.Labels
	t := snmp.Target{Address: address, Community: l["snmp_community"]}
	if t.Community == "" {
		user, secret, err := a.account("snmp_credential")
		switch {
		case err != nil:
			return nil, err
		case user == "" && secret == "":
			return nil, bad(a.thing, "snmp_credential", "NAME", "或 snmp_community 缺少", "or snmp_community is missing")
		case user == "":
			t.Community = secret
		default:
			auth, priv, two := strings.Cut(secret, "\n")
			if !two {
				priv = auth
			}
			t.User = &snmp.User{Name: user, Authentication: cmp.Or(l["snmp_auth"], "SHA"), AuthPassword: strings.TrimSpace(auth), Privacy: cmp.Or(l["snmp_priv"], "AES"), PrivPassword: strings.TrimSpace(priv)}
			if t.User.Privacy == "none" {
				t.User.Privacy, t.User.PrivPassword = "", ""
			}
		}
	}
	return &snmp.Device{Target: t, Clock: a.Clock}, nil
}

func (a *asked) redfish() (Source, error) {
	if u, err := url.Parse(a.value); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return nil, a.bad("不是完整地址", "is no whole address")
	}
	user, secret, err := a.account("redfish_credential")
	if err != nil {
		return nil, err
	}
	return &redfish.Target{URL: a.value, User: user, Password: secret, Fingerprint: a.thing.Labels["redfish_cert"], Clock: a.Clock}, nil
}

func (a *asked) ipmi() (Source, error) {
	address, err := a.endpoint(a.value, "623")
	if err != nil {
		return nil, err
	}
	user, secret, err := a.account("ipmi_credential")
	if err != nil {
		return nil, err
	}
	if user == "" {
		return nil, bad(a.thing, "ipmi_credential", account, "缺少，或凭据没有账号", "is missing, or names a credential without an account")
	}
	return &ipmi.Target{Address: address, User: user, Password: secret, Clock: a.Clock}, nil
}

func (a *asked) ups() (Source, error) {
	name, where, ok := strings.Cut(a.value, "@")
	if !ok || name == "" || where == "" || strings.ContainsAny(name, " \t") {
		return nil, a.bad("不合格式", "is of another form")
	}
	address, err := a.endpoint(where, "3493")
	if err != nil {
		return nil, err
	}
	return &ups.Target{Address: address, UPS: name, Clock: a.Clock}, nil
}

func (a *asked) modbus() (Source, error) {
	d := &modbus.Device{URL: a.value, Unit: 1, Clock: a.Clock}
	if !strings.Contains(a.value, "://") {
		address, err := a.endpoint(a.value, "502")
		if err != nil {
			return nil, err
		}
		d.URL = "tcp://" + address
	}
	if text := a.thing.Labels["modbus_unit"]; text != "" {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil {
			return nil, bad(a.thing, "modbus_unit", "1–247", "的值“"+text+"”不是数", "has the value “"+text+"”, which is no number")
		}
		d.Unit = uint8(n)
	}
	for _, label := range slices.Sorted(maps.Keys(a.thing.Labels)) {
		if label != "modbus_map" && !strings.HasPrefix(label, "modbus_map_") {
			continue
		}
		list, err := modbus.ParseMap(a.thing.Labels[label])
		if err != nil {
			return nil, bad(a.thing, label, modbus.MapForm+";…", "："+errs.Sentence(err, "zh"), "is wrong: "+errs.Sentence(err, "en"))
		}
		d.Registers = append(d.Registers, list...)
	}
	if len(d.Registers) == 0 {
		return nil, bad(a.thing, "modbus_map", modbus.MapForm+";…", "缺少", "is missing")
	}
	return d, d.Validate()
}

func (a *asked) scrape() (Source, error) {
	u, err := url.Parse(a.value)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return nil, a.bad("不是完整地址，或含有口令", "is no whole address, or holds a password")
	}
	t := &scrape.Target{URL: a.value, Job: strings.TrimPrefix(a.label, "scrape_"), Clock: a.Clock}
	if credential := a.thing.Labels["scrape_credential"]; credential != "" {
		user, secret, err := a.named("scrape_credential", credential)
		if err != nil {
			return nil, err
		}
		t.Authorization = "Bearer " + secret
		if user != "" {
			t.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+secret))
		}
	}
	if metric := a.thing.Labels["pulse"]; metric != "" {
		if !metricName.MatchString(metric) {
			return nil, bad(a.thing, "pulse", "lis_results_total", "不是指标名", "is no name of a metric")
		}
		return &pulse{Source: t, metric: metric}, nil
	}
	return t, nil
}

// probe makes a check. It is called as its label is: http, http_login.
func (a *asked) probe(m probe.Measured) (Source, error) {
	m.Check, m.Prober = strings.TrimPrefix(a.label, "probe_"), NewProber(a.Clock)
	return &m, nil
}

// patience of a check: a service that takes longer does not work for people.
const checkTimeout = 5 * time.Second

func (a *asked) probeHTTP() (Source, error) {
	address, text, _ := strings.Cut(a.value, " ")
	roots, err := a.roots()
	if err != nil {
		return nil, err
	}
	c := probe.Check{HTTP: address, Expect: strings.TrimSpace(text), Roots: roots, Timeout: checkTimeout}
	if c.Validate() != nil {
		return nil, a.bad("不是完整地址", "is no whole address")
	}
	return a.probe(probe.Measured{What: &c})
}

func (a *asked) probeTCP() (Source, error) {
	address, err := a.endpoint(a.value, "")
	if err != nil {
		return nil, err
	}
	return a.probe(probe.Measured{What: &probe.Check{TCP: address, Timeout: checkTimeout}})
}

func (a *asked) probeTLS() (Source, error) {
	where, name, _ := strings.Cut(a.value, " ")
	address, err := a.endpoint(where, "443")
	if err != nil {
		return nil, err
	}
	roots, err := a.roots()
	if err != nil {
		return nil, err
	}
	return a.probe(probe.Measured{TLS: &probe.TLS{Address: address, Name: strings.TrimSpace(name), Roots: roots}})
}

// roots are the issuers that the checks of the thing trust; nil: those of the
// system.
func (a *asked) roots() (*x509.CertPool, error) {
	file := a.thing.Labels["tls_ca"]
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		return nil, bad(a.thing, "tls_ca", "PATH", "的文件“"+file+"”读不了或里面没有证书", "names the file “"+file+"”, which cannot be read or holds no certificate")
	}
	return roots, nil
}

func (a *asked) probeDNS() (Source, error) {
	rest, server, _ := strings.Cut(a.value, "@")
	name, want, wanted := strings.Cut(rest, "=")
	name = strings.TrimSuffix(name, ".")
	if name == "" || strings.ContainsAny(name, " /:") || wanted && net.ParseIP(want) == nil {
		return nil, a.bad("不合格式", "is of another form")
	}
	if strings.Contains(a.value, "@") {
		address, err := a.endpoint(server, "53")
		if err != nil {
			return nil, err
		}
		server = address
	}
	return a.probe(probe.Measured{DNS: &probe.DNS{Server: server, Name: name, Want: want}})
}

func (a *asked) probeICMP() (Source, error) {
	to := a.value
	if to == "yes" {
		to = a.thing.Address
	}
	if to == "" || strings.ContainsAny(to, " /@") {
		return nil, a.bad("没有主机", "names no host")
	}
	return a.probe(probe.Measured{ICMP: &probe.ICMP{Address: to}})
}

func (a *asked) sql() (Source, error) {
	address := a.value
	if address == "yes" {
		if address = a.thing.Labels["database"]; address == "" {
			return nil, a.bad("需要标签 database 的地址", "needs the address in the label database")
		}
	}
	user, secret, err := a.account("sql_credential")
	if err != nil {
		return nil, err
	}
	d := &database.Target{URL: address, User: user, Password: secret, Clock: a.Clock}
	if err := d.Validate(); err != nil {
		return nil, a.bad("不能用："+errs.Sentence(err, "zh"), "cannot be used: "+errs.Sentence(err, "en"))
	}
	return d, nil
}

func (a *asked) smart() (Source, error) {
	d := &smart.Disks{Clock: a.Clock}
	if a.value != "yes" {
		for _, name := range strings.Split(a.value, ";") {
			d.Devices = append(d.Devices, "/dev/"+strings.TrimPrefix(strings.TrimSpace(name), "/dev/"))
		}
	}
	if d.Validate() != nil {
		return nil, a.bad("不是磁盘", "is no disk")
	}
	l, err := a.machine()
	if err != nil {
		return nil, err
	}
	if d.Run = smart.Here; l != nil {
		d.Run = l.run
	}
	return d, nil
}

func (a *asked) volume() (Source, error) {
	if !filepath.IsAbs(a.value) {
		return nil, a.bad("不是以 / 开头的路径", "is no path that begins with /")
	}
	return &host.Volume{Clock: a.Clock, Path: filepath.Clean(a.value)}, nil
}

func (a *asked) backups() (Source, error) {
	if _, err := filepath.Match(a.value, ""); err != nil || !filepath.IsAbs(a.value) {
		return nil, a.bad("不是以 / 开头的模式", "is no pattern that begins with /")
	}
	return &host.Backups{Clock: a.Clock, Files: a.value}, nil
}

func (a *asked) accessLog() (Source, error) {
	if !filepath.IsAbs(a.value) {
		return nil, a.bad("不是以 / 开头的路径", "is no path that begins with /")
	}
	return &log.Access{Path: a.value, Clock: a.Clock}, nil
}

func (a *asked) local() (Source, error) {
	if a.value != "yes" {
		return nil, a.bad("只能是 yes", "can only be yes")
	}
	return &host.Machine{Clock: a.Clock}, nil
}
