package intent

import (
	"slices"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/kind"
)

// dimension is what a number with a unit says.
type dimension string

// The dimensions, by the unit in which their values are kept.
const (
	seconds dimension = "s"
	ratio   dimension = "1"
	celsius dimension = "Cel"
	bytes   dimension = "By"
	watts   dimension = "W"
	count   dimension = "{n}"  // a number of something
	flag    dimension = "bool" // 0 or 1: it is so or it is not
)

// Measure is something that intents are about: what it is called, where it is
// measured and what can be done for it.
type Measure struct {
	Code  string    `json:"code"`
	Title kind.Text `json:"title"`
	Unit  dimension `json:"unit"`
	// Classes tell it: a goal about another class is measured at what that stands on
	// and belongs to one of these. Empty: any class.
	Classes []engine.Class `json:"classes,omitempty"`
	// Query is PromQL with $ in place of label matchers; one series a part of a
	// thing. Empty: it is told by incidents.
	Query string   `json:"query,omitempty"`
	Parts []string `json:"parts,omitempty"` // labels that tell the parts of a thing apart
	// Want is the value of a flag that is good.
	Want float64 `json:"want,omitempty"`
	// Look and Ahead are how far back a trend is read and how far on it is drawn; 0:
	// it has no trend.
	Look  time.Duration `json:"look,omitempty"`
	Ahead time.Duration `json:"ahead,omitempty"`
	// Low and High are runbooks that help where the value is below or above what is
	// wanted: the stock policies.
	Low  []string `json:"low,omitempty"`
	High []string `json:"high,omitempty"`

	age     bool         // "once a day" bounds it
	self    engine.Class // whose measure it is where nobody is named
	open    bool         // said of all of self, things of any class tell it
	words   []string     // how people call it, beside the title; lower case
	implied bool         // a number of this unit said of one of Classes means it
}

// The matchers that choose file systems: not those that are full by nature or
// hold what the kernel makes up, and for data not those of the boot and of the
// system's packages. Types after node_exporter's default for
// --collector.filesystem.fs-types-exclude, with read-only images added; memory
// file systems count where people put something, as in the knowledge packs.
const (
	realFiles = `fstype!~"ramfs|devtmpfs|squashfs|iso9660|overlay|autofs|proc|sysfs|cgroup2?|erofs",mountpoint!~"/(run|dev|proc|sys)($|/.*)"`
	dataFiles = realFiles + `,fstype!="vfat",mountpoint!~"/(boot|snap|usr|var/lib/docker|var/lib/containers)($|/.*)"`
)

var (
	machines     = []engine.Class{engine.ClassHost, engine.ClassVM, engine.ClassContainer}
	disks        = []engine.Class{engine.ClassVolume, engine.ClassDisk, engine.ClassHost, engine.ClassVM}
	rooms        = []engine.Class{engine.ClassRoom, engine.ClassSensor, engine.ClassRack, engine.ClassCooling}
	supplies     = []engine.Class{engine.ClassUPS, engine.ClassBattery}
	stores       = []engine.Class{engine.ClassDatabase}
	applications = []engine.Class{engine.ClassApplication, engine.ClassComponent, engine.ClassMiddleware}
	networks     = []engine.Class{engine.ClassSwitch, engine.ClassRouter, engine.ClassFirewall, engine.ClassPort, engine.ClassCable, engine.ClassAccessPoint}
)

// measures is the catalogue. Metric names are those of engine.Metrics and of
// drive/host.
var measures = []Measure{
	{
		Code: "response-time", Title: kind.T("应答时间", "response time"), Unit: seconds,
		// An unanswered check took for ever, however soon it failed.
		Query: `probe_duration_seconds{$} / probe_success{$}`, Parts: []string{"check"}, Look: 2 * time.Hour, Ahead: time.Hour,
		High:  []string{"service-restart"},
		words: []string{"应答", "响应", "响应时间", "应答用时", "返回", "延迟", "时延", "答复", "answer", "answers", "answered", "respond", "responds", "response", "responses", "reply", "replies", "latency", "answer time", "reply time"},
	},
	{
		Code: "answer-time", Title: kind.T("响应用时", "answer time"), Unit: seconds, Classes: []engine.Class{engine.SubjectIncident},
		words: []string{"应答", "响应", "处置", "处理", "接手", "响应时间", "事件响应时间", "answer", "answers", "answered", "respond", "responds", "response", "response time", "handle", "handled", "acknowledge", "acknowledged", "react to", "reacted to"},
	},
	{
		Code: "availability", Title: kind.T("可用性", "availability"), Unit: flag, Want: 1,
		Query: `probe_success{$} or (up{$} unless on (thing, instance) probe_success{$})`, Parts: []string{"check"}, Low: []string{"service-restart"},
		words: []string{"可用", "可用率", "在线", "正常运行", "available", "up", "online", "reachable", "uptime", "works"},
	},
	{
		Code: "temperature", Title: kind.T("温度", "temperature"), Unit: celsius, Classes: rooms, implied: true,
		Query: `environment_temperature_celsius{$}`, Parts: []string{"sensor"}, Look: time.Hour, Ahead: time.Hour, High: []string{"cooling-start"},
		words: []string{"气温", "环境温度", "温湿度"},
	},
	{
		Code: "humidity", Title: kind.T("相对湿度", "relative humidity"), Unit: ratio, Classes: rooms, implied: true,
		Query: `environment_humidity_ratio{$}`, Parts: []string{"sensor"}, Look: 2 * time.Hour, Ahead: time.Hour,
		words: []string{"湿度", "温湿度", "humidity", "rh"},
	},
	{
		Code: "leak", Title: kind.T("漏水", "leak"), Unit: flag, Want: 0, Classes: rooms, Query: `environment_leak{$}`, Parts: []string{"sensor"}, High: []string{"call-person"},
		words: []string{"水浸", "积水", "water leak", "water"},
	},
	{
		Code: "part-temperature", Title: kind.T("部件温度", "part temperature"), Unit: celsius,
		Classes: []engine.Class{engine.ClassHost, engine.ClassDisk, engine.ClassSwitch, engine.ClassArray, engine.ClassRouter}, implied: true,
		Query: `hardware_temperature_celsius{$}`, Parts: []string{"sensor"}, Look: time.Hour, Ahead: time.Hour, High: []string{"fan-speed-up"},
		words: []string{"温度", "硬件温度", "temperature", "hardware temperature"},
	},
	{
		Code: "backup-age", Title: kind.T("距上次成功备份", "backup age"), Unit: seconds,
		Classes: []engine.Class{engine.ClassDatabase, engine.ClassBackupJob, engine.ClassApplication, engine.ClassHost, engine.ClassVM},
		Query:   `time() - backup_last_success_timestamp_seconds{$}`, Look: 2 * time.Hour, Ahead: 24 * time.Hour, High: []string{"backup-rerun"},
		age: true, words: []string{"备份", "备份间隔", "备份时间间隔", "上次备份", "最近一次备份", "上一次备份", "最近的备份", "backup", "backups", "backed up", "back up", "age of the backup", "last backup", "age of the last backup"},
	},
	{
		Code: "restore-test-age", Title: kind.T("距上次恢复验证", "restore test age"), Unit: seconds, Classes: []engine.Class{engine.ClassDatabase, engine.ClassBackupJob},
		Query: `time() - backup_last_restore_test_timestamp_seconds{$}`, Look: 2 * time.Hour, Ahead: 24 * time.Hour, High: []string{"database-restore-verify"},
		age: true, words: []string{"恢复验证", "恢复演练", "备份恢复验证", "restore test", "restore tests"},
	},
	{
		Code: "backup-duration", Title: kind.T("备份用时", "backup duration"), Unit: seconds, Classes: []engine.Class{engine.ClassDatabase, engine.ClassBackupJob, engine.ClassHost, engine.ClassVM},
		Query: `backup_duration_seconds{$}`, words: []string{"备份耗时", "备份时长", "duration of the backup", "backup time"},
	},
	{
		Code: "free-space", Title: kind.T("剩余空间比例", "free space"), Unit: ratio, Classes: disks,
		Query: `node_filesystem_avail_bytes{$} / node_filesystem_size_bytes{$}`, Parts: []string{"mountpoint", "device"}, Look: 6 * time.Hour, Ahead: 24 * time.Hour,
		Low:   []string{"clear-space"},
		words: []string{"剩余空间", "可用空间", "空闲空间", "剩余容量", "可用容量", "空闲容量", "磁盘空间余量", "留有", "留出", "剩余", "空间", "space", "free disk space", "free capacity", "space free", "space left", "available space", "remaining space", "free"},
	},
	{
		Code: "free-bytes", Title: kind.T("剩余空间大小", "free bytes"), Unit: bytes, Classes: disks,
		Query: `node_filesystem_avail_bytes{$}`, Parts: []string{"mountpoint", "device"}, Look: 6 * time.Hour, Ahead: 24 * time.Hour, Low: []string{"clear-space"},
		words: []string{"剩余空间", "可用空间", "空闲空间", "剩余容量", "可用容量", "空闲容量", "free space", "free disk space", "free capacity", "space free", "space left", "available space", "remaining space", "free"},
	},
	{
		Code: "used-space", Title: kind.T("已用空间比例", "used space"), Unit: ratio, Classes: disks,
		Query: `1 - node_filesystem_avail_bytes{$} / node_filesystem_size_bytes{$}`, Parts: []string{"mountpoint", "device"}, Look: 6 * time.Hour, Ahead: 24 * time.Hour,
		High:  []string{"clear-space"},
		words: []string{"空间", "space", "空间使用率", "磁盘使用率", "已用空间", "使用率", "占用率", "disk usage", "space used", "usage", "utilisation", "utilization", "full"},
	},
	{
		Code: "processor-load", Title: kind.T("处理器使用率", "processor load"), Unit: ratio, Classes: machines,
		Query: `1 - avg by (thing, instance) (rate(node_cpu_seconds_total{mode="idle",$}[5m]))`, Look: time.Hour, Ahead: 30 * time.Minute,
		words: []string{"cpu", "cpu 使用率", "cpu使用率", "cpu 占用率", "cpu占用率", "处理器负载", "处理器占用率", "cpu usage", "cpu load", "processor usage", "processor utilisation", "cpu utilisation", "cpu utilization"},
	},
	{
		Code: "free-memory", Title: kind.T("可用内存比例", "free memory"), Unit: ratio, Classes: machines,
		Query: `node_memory_MemAvailable_bytes{$} / node_memory_MemTotal_bytes{$}`, Look: 6 * time.Hour, Ahead: 6 * time.Hour,
		words: []string{"可用内存", "剩余内存", "空闲内存", "available memory", "memory free", "memory left"},
	},
	{
		Code: "memory-use", Title: kind.T("内存使用率", "memory use"), Unit: ratio, Classes: machines,
		Query: `1 - node_memory_MemAvailable_bytes{$} / node_memory_MemTotal_bytes{$}`, Look: 6 * time.Hour, Ahead: 6 * time.Hour,
		words: []string{"内存占用率", "内存占用", "memory usage", "memory utilisation", "memory used"},
	},
	{
		Code: "replication-lag", Title: kind.T("复制延迟", "replication lag"), Unit: seconds, Classes: stores,
		Query: `database_replication_lag_seconds{$}`, Look: time.Hour, Ahead: 30 * time.Minute, High: []string{"database-repair-replica"},
		words: []string{"同步延迟", "主从延迟", "复制滞后", "同步滞后", "replica lag", "replication delay", "lag"},
	},
	{
		Code: "connection-use", Title: kind.T("连接使用率", "connection use"), Unit: ratio, Classes: stores,
		Query: `sum by (thing, instance) (database_connections{$}) / max by (thing, instance) (database_connections_limit{$})`, Look: time.Hour, Ahead: time.Hour,
		High:  []string{"database-end-idle-sessions"},
		words: []string{"连接数使用率", "连接占用率", "connection usage", "connections used"},
	},
	{
		Code: "connections", Title: kind.T("连接数", "connections"), Unit: count, Classes: stores,
		Query: `sum by (thing, instance) (database_connections{$})`, Look: time.Hour, Ahead: time.Hour, High: []string{"database-end-idle-sessions"},
		words: []string{"会话数", "sessions", "number of connections"},
	},
	{
		Code: "blocked-sessions", Title: kind.T("被锁阻塞的会话数", "blocked sessions"), Unit: count, Classes: stores,
		Query: `database_sessions_blocked{$}`, High: []string{"database-end-sessions"}, words: []string{"阻塞会话", "阻塞的会话", "锁等待", "sessions blocked", "lock waits"},
	},
	{
		Code: "query-age", Title: kind.T("最长查询时间", "longest query"), Unit: seconds, Classes: stores,
		Query: `database_query_age_seconds{$}`, High: []string{"database-cancel-queries"}, words: []string{"慢查询", "查询时间", "query age", "query time", "query", "queries"},
	},
	{
		Code: "packet-loss", Title: kind.T("丢包率", "packet loss"), Unit: ratio,
		Query: `probe_icmp_loss_ratio{$}`, Parts: []string{"check"}, Look: time.Hour, Ahead: 30 * time.Minute, words: []string{"丢包", "loss", "lost packets"},
	},
	{
		Code: "round-trip", Title: kind.T("往返时延", "round trip time"), Unit: seconds,
		Query: `probe_icmp_rtt_seconds{$}`, Parts: []string{"check"}, Look: time.Hour, Ahead: 30 * time.Minute, words: []string{"网络延迟", "网络时延", "ping", "round trip", "network latency"},
	},
	{
		Code: "port-up", Title: kind.T("端口连通", "port connection"), Unit: flag, Want: 1, Classes: networks,
		Query: `interface_up{$} and interface_enabled{$} == 1`, Parts: []string{"interface"}, words: []string{"端口在线", "ports up", "port up"},
	},
	{
		Code: "certificate-left", Title: kind.T("证书剩余有效期", "certificate validity"), Unit: seconds,
		Query: `probe_ssl_earliest_cert_expiry{$} - time()`, Parts: []string{"check"}, Look: 2 * time.Hour, Ahead: 24 * time.Hour, Low: []string{"certificate-renew"},
		self: engine.ClassCertificate, open: true, words: []string{"证书有效期", "剩余有效期", "有效期", "到期时间", "certificate lifetime", "validity", "valid", "remaining validity", "time to expiry"},
	},
	{
		Code: "clock-offset", Title: kind.T("时钟偏差", "clock offset"), Unit: seconds,
		Query: `abs(clock_offset_seconds{$})`, Look: 2 * time.Hour, Ahead: time.Hour, High: []string{"time-sync"}, words: []string{"时间偏差", "时间误差", "时钟误差", "clock error", "time offset", "clock drift"},
	},
	{
		Code: "battery-charge", Title: kind.T("电池电量", "battery charge"), Unit: ratio, Classes: supplies,
		Query: `ups_battery_charge_ratio{$}`, Look: time.Hour, Ahead: time.Hour, Low: []string{"shed-load"}, words: []string{"电量", "charge"},
	},
	{
		Code: "battery-runtime", Title: kind.T("电池续航时间", "battery runtime"), Unit: seconds, Classes: supplies, implied: true,
		Query: `ups_battery_runtime_seconds{$}`, Look: time.Hour, Ahead: time.Hour, Low: []string{"shed-load"},
		words: []string{"续航", "续航时间", "能撑", "支撑", "后备时间", "可用时间", "供电时间", "runtime", "run time", "lasts", "battery time"},
	},
	{
		Code: "ups-load", Title: kind.T("负载率", "load"), Unit: ratio, Classes: supplies,
		Query: `ups_load_ratio{$}`, Look: time.Hour, Ahead: time.Hour, High: []string{"shed-load"}, words: []string{"负载", "load ratio"},
	},
	{
		Code: "power", Title: kind.T("用电功率", "power draw"), Unit: watts, implied: true,
		Classes: []engine.Class{engine.ClassPower, engine.ClassRoom, engine.ClassRack, engine.ClassCooling, engine.ClassUPS, engine.ClassHost},
		Query:   `sum by (thing, instance) (power_active_watts{$} or hardware_power_watts{$})`, Look: time.Hour, Ahead: time.Hour,
		words: []string{"功率", "用电", "能耗", "耗电", "power consumption", "power use", "power usage", "consumption"},
	},
	{
		Code: "queue-length", Title: kind.T("待消费消息数", "queue length"), Unit: count, Classes: applications,
		Query: `queue_messages_ready{$}`, Parts: []string{"queue"}, Look: time.Hour, Ahead: time.Hour, words: []string{"消息积压", "积压", "队列长度", "backlog", "waiting messages", "messages waiting"},
	},
	{
		Code: "disk-wear", Title: kind.T("固态盘磨损比例", "disk wear"), Unit: ratio, Classes: []engine.Class{engine.ClassDisk, engine.ClassHost, engine.ClassArray},
		Query: `disk_wear_ratio{$}`, Parts: []string{"device"}, words: []string{"磨损", "磨损率", "wear"},
	},
	{
		Code: "definitions-age", Title: kind.T("病毒库距更新", "virus definition age"), Unit: seconds,
		Query: `time() - antivirus_definitions_timestamp_seconds{$}`, Look: 2 * time.Hour, Ahead: 24 * time.Hour, High: []string{"antivirus-update"},
		age: true, self: engine.ClassHost, words: []string{"病毒库", "病毒库更新", "virus definitions", "antivirus definitions"},
	},
}

// Measures lists the catalogue.
func Measures() []Measure { return slices.Clone(measures) }

// MeasureNamed finds a measure by code.
func MeasureNamed(code string) (Measure, bool) {
	for _, m := range measures {
		if m.Code == code {
			return m, true
		}
	}
	return Measure{}, false
}

// cases tells whether the measure counts incidents, not time.
func (m Measure) cases() bool { return m.Query == "" }

// of tells whether a class can be asked for the measure, itself or by what it
// stands on.
func (m Measure) of(class string) bool {
	switch {
	case class == engine.SubjectIncident:
		return m.cases()
	case m.cases():
		return false
	case class == "" || len(m.Classes) == 0:
		return true
	}
	if slices.Contains(m.Classes, engine.Class(class)) {
		return true
	}
	// What people use is well where what it stands on is: the disks of an
	// application. A room is not asked for its disks.
	return slices.Contains(applications, engine.Class(class)) ||
		class == string(engine.ClassDatabase) && (slices.Contains(m.Classes, engine.ClassHost) || slices.Contains(m.Classes, engine.ClassVM))
}
