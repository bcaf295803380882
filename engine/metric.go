package engine

import (
	"slices"
	"strings"

	"zhiwei/kernel/kind"
)

// Metric is one entry of the catalogue of measurements. Names follow Prometheus'
// conventions: base unit as a suffix, _total for counters, _info for facts.
type Metric struct {
	Name   string    `json:"name"`
	Type   string    `json:"type"` // gauge or counter
	Unit   string    `json:"unit"` // UCUM: s, By, Cel, %, V, A, W, Pa, 1
	Labels []string  `json:"labels,omitempty"`
	Title  kind.Text `json:"title"`
}

// Types of metrics.
const (
	Gauge   = "gauge"
	Counter = "counter"
)

// ThingLabel is the label that says whose measurement it is: the id of a thing
// record. Series of the machine itself carry the label instance instead, as
// Prometheus has it. No label ever names a person.
const ThingLabel = "thing"

var catalogue = map[string]Metric{}

// declare adds to the catalogue; a name that is declared twice is a mistake of
// ours and stops the program at its start.
func declare(list ...Metric) bool {
	for _, m := range list {
		if _, there := catalogue[m.Name]; there {
			panic("engine: metric " + m.Name + " is declared twice")
		}
		catalogue[m.Name] = m
	}
	return true
}

// Metrics lists the catalogue by name.
func Metrics() []Metric {
	out := make([]Metric, 0, len(catalogue))
	for _, m := range catalogue {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// MetricNamed finds a metric of the catalogue; false where it has none.
func MetricNamed(name string) (Metric, bool) {
	m, ok := catalogue[name]
	return m, ok
}

// What knowledge looks at beside what the drives tell: exporters, scripts and
// people hand these over under these names.
var _ = declare(
	Metric{Name: "backup_last_success_timestamp_seconds", Type: Gauge, Unit: "s", Title: tr("上次备份成功时刻", "When the last backup succeeded")},
	Metric{Name: "backup_last_size_bytes", Type: Gauge, Unit: "By", Title: tr("上次备份大小", "Size of the last backup")},
	Metric{Name: "backup_duration_seconds", Type: Gauge, Unit: "s", Title: tr("上次备份用时", "Time the last backup took")},
	Metric{Name: "backup_window_seconds", Type: Gauge, Unit: "s", Title: tr("备份窗口", "Time a backup may take")},
	Metric{Name: "backup_target_free_ratio", Type: Gauge, Unit: "1", Title: tr("备份介质剩余比例", "Free share of the place of backups")},
	Metric{Name: "backup_restore_test_ok", Type: Gauge, Unit: "1", Title: tr("上次恢复验证成功", "The last restore test worked")},
	Metric{Name: "backup_last_restore_test_timestamp_seconds", Type: Gauge, Unit: "s", Title: tr("上次恢复验证时刻", "When a restore was last tested")},
	Metric{Name: "antivirus_definitions_timestamp_seconds", Type: Gauge, Unit: "s", Title: tr("病毒库时刻", "When the virus definitions were made")},
	Metric{Name: "clock_offset_seconds", Type: Gauge, Unit: "s", Title: tr("时钟偏差", "How far the clock is off")},
	Metric{Name: "battery_cell_voltage_volts", Type: Gauge, Unit: "V", Labels: []string{"cell"}, Title: tr("单体电压", "Voltage of a cell")},
	Metric{Name: "battery_cell_resistance_ohms", Type: Gauge, Unit: "Ohm", Labels: []string{"cell"}, Title: tr("单体内阻", "Resistance of a cell")},
	Metric{Name: "battery_temperature_celsius", Type: Gauge, Unit: "Cel", Title: tr("电池温度", "Temperature of a battery")},
	Metric{Name: "cooling_airflow_ratio", Type: Gauge, Unit: "1", Title: tr("空调风量比例", "Air flow of its design")},
	Metric{Name: "cooling_drying", Type: Gauge, Unit: "1", Title: tr("空调除湿", "Air conditioner dries")},
	Metric{Name: "cooling_filter_pressure_pascals", Type: Gauge, Unit: "Pa", Title: tr("滤网压差", "Pressure across the filter")},
	Metric{Name: "power_current_limit_amperes", Type: Gauge, Unit: "A", Labels: []string{"phase"}, Title: tr("支路额定电流", "Current a circuit may carry")},
	Metric{Name: "power_neutral_current_amperes", Type: Gauge, Unit: "A", Title: tr("零线电流", "Current in the neutral")},
	Metric{Name: "power_terminal_temperature_celsius", Type: Gauge, Unit: "Cel", Labels: []string{"terminal"}, Title: tr("接线端子温度", "Temperature of a terminal")},
	Metric{Name: "earth_resistance_ohms", Type: Gauge, Unit: "Ohm", Title: tr("接地电阻", "Resistance to earth")},
	Metric{Name: "fire_agent_pressure_ratio", Type: Gauge, Unit: "1", Title: tr("灭火剂压力与设计之比", "Pressure of the fire agent of its design")},
	Metric{Name: "fire_agent_weight_ratio", Type: Gauge, Unit: "1", Title: tr("灭火剂重量与设计之比", "Weight of the fire agent of its design")},
	Metric{Name: "database_tablespace_used_bytes", Type: Gauge, Unit: "By", Labels: []string{"tablespace"}, Title: tr("表空间已用", "Used of a table space")},
	Metric{Name: "database_tablespace_size_bytes", Type: Gauge, Unit: "By", Labels: []string{"tablespace"}, Title: tr("表空间上限", "Size a table space may reach")},
	Metric{Name: "database_archive_used_ratio", Type: Gauge, Unit: "1", Title: tr("归档空间使用率", "Used share of the archive area")},
	Metric{Name: "database_undo_used_ratio", Type: Gauge, Unit: "1", Title: tr("回滚空间使用率", "Used share of the undo space")},
	Metric{Name: "database_dead_rows_ratio", Type: Gauge, Unit: "1", Labels: []string{"database"}, Title: tr("死行比例", "Share of dead rows")},
	Metric{Name: "database_statistics_age_seconds", Type: Gauge, Unit: "s", Labels: []string{"database"}, Title: tr("统计信息时长", "Age of the oldest statistics")},
	Metric{Name: "database_transaction_id_age", Type: Gauge, Unit: "1", Labels: []string{"database"}, Title: tr("最老事务号距今", "Transactions since the oldest frozen one")},
	Metric{Name: "dhcp_leases_active", Type: Gauge, Unit: "1", Title: tr("已租地址数", "Addresses leased")},
	Metric{Name: "dhcp_leases_limit", Type: Gauge, Unit: "1", Title: tr("可租地址数", "Addresses that can be leased")},
	Metric{Name: "disk_smart_healthy", Type: Gauge, Unit: "1", Labels: []string{"device"}, Title: tr("磁盘自检健康", "Disk passes its self-assessment")},
	Metric{Name: "disk_reallocated_sectors", Type: Gauge, Unit: "1", Labels: []string{"device"}, Title: tr("重映射扇区数", "Sectors reallocated")},
	Metric{Name: "disk_pending_sectors", Type: Gauge, Unit: "1", Labels: []string{"device"}, Title: tr("待定扇区数", "Sectors pending")},
	Metric{Name: "disk_wear_ratio", Type: Gauge, Unit: "1", Labels: []string{"device"}, Title: tr("固态盘磨损比例", "Share of a disk's life that is used")},
	Metric{Name: "disk_spare_ratio", Type: Gauge, Unit: "1", Labels: []string{"device"}, Title: tr("固态盘备用块比例", "Share of spare blocks left")},
	Metric{Name: "firewall_sessions", Type: Gauge, Unit: "1", Title: tr("会话数", "Sessions")},
	Metric{Name: "firewall_sessions_limit", Type: Gauge, Unit: "1", Title: tr("会话上限", "Sessions that the table holds")},
	Metric{Name: "interface_optic_receive_dbm", Type: Gauge, Unit: "dB[mW]", Labels: []string{"interface"}, Title: tr("光模块收光功率", "Light an optic receives")},
	Metric{Name: "san_port_receive_power_dbm", Type: Gauge, Unit: "dB[mW]", Labels: []string{"interface"}, Title: tr("光纤端口收光功率", "Light a storage port receives")},
	Metric{Name: "middleware_pool_active", Type: Gauge, Unit: "1", Labels: []string{"pool"}, Title: tr("连接池在用连接", "Connections in use")},
	Metric{Name: "middleware_pool_initial", Type: Gauge, Unit: "1", Labels: []string{"pool"}, Title: tr("连接池初始连接数", "Connections a pool begins with")},
	Metric{Name: "middleware_pool_limit", Type: Gauge, Unit: "1", Labels: []string{"pool"}, Title: tr("连接池上限", "Connections a pool may hold")},
	Metric{Name: "middleware_pool_waiting", Type: Gauge, Unit: "1", Labels: []string{"pool"}, Title: tr("等待连接的请求", "Requests that wait for a connection")},
	Metric{Name: "middleware_pool_leaked", Type: Gauge, Unit: "1", Labels: []string{"pool"}, Title: tr("泄漏的连接", "Connections that were not given back")},
	Metric{Name: "middleware_requests_waiting", Type: Gauge, Unit: "1", Title: tr("排队的请求", "Requests that wait for a thread")},
	Metric{Name: "middleware_threads_idle", Type: Gauge, Unit: "1", Title: tr("空闲执行线程", "Idle execute threads")},
	Metric{Name: "middleware_threads_limit", Type: Gauge, Unit: "1", Title: tr("执行线程上限", "Execute threads at most")},
	Metric{Name: "middleware_threads_stuck", Type: Gauge, Unit: "1", Title: tr("阻塞线程", "Stuck threads")},
	Metric{Name: "queue_messages_ready", Type: Gauge, Unit: "1", Labels: []string{"queue"}, Title: tr("待消费消息", "Messages that wait")},
	Metric{Name: "queue_consumers", Type: Gauge, Unit: "1", Labels: []string{"queue"}, Title: tr("消费者数", "Consumers of a queue")},
	Metric{Name: "storage_mirror_lag_seconds", Type: Gauge, Unit: "s", Title: tr("镜像滞后", "How far a mirror is behind")},
	Metric{Name: "storage_pool_used_bytes", Type: Gauge, Unit: "By", Labels: []string{"pool"}, Title: tr("存储池已用", "Used of a storage pool")},
	Metric{Name: "storage_pool_size_bytes", Type: Gauge, Unit: "By", Labels: []string{"pool"}, Title: tr("存储池容量", "Size of a storage pool")},
	Metric{Name: "storage_snapshot_used_bytes", Type: Gauge, Unit: "By", Title: tr("快照空间已用", "Used of the space of snapshots")},
	Metric{Name: "storage_snapshot_size_bytes", Type: Gauge, Unit: "By", Title: tr("快照空间容量", "Size of the space of snapshots")},
	Metric{Name: "tape_free_media", Type: Gauge, Unit: "1", Title: tr("可用磁带数", "Tapes that can be written")},
	Metric{Name: "wireless_channel_busy_ratio", Type: Gauge, Unit: "1", Labels: []string{"radio"}, Title: tr("信道占用率", "Share of time the channel is busy")},
	Metric{Name: "wireless_clients", Type: Gauge, Unit: "1", Labels: []string{"radio"}, Title: tr("接入终端数", "Terminals at an access point")},
	Metric{Name: "wireless_noise_dbm", Type: Gauge, Unit: "dB[mW]", Labels: []string{"radio"}, Title: tr("底噪", "Noise on the channel")},
	Metric{Name: "wireless_retry_ratio", Type: Gauge, Unit: "1", Labels: []string{"radio"}, Title: tr("重传比例", "Share of frames sent again")},
	Metric{Name: "database_archive_failed_total", Type: Counter, Unit: "1", Title: tr("归档失败次数", "Log files that could not be archived")},
	Metric{Name: "database_blocks_hit_total", Type: Counter, Unit: "1", Labels: []string{"database"}, Title: tr("缓存命中块数", "Blocks found in memory")},
	Metric{Name: "database_blocks_read_total", Type: Counter, Unit: "1", Labels: []string{"database"}, Title: tr("读盘块数", "Blocks read from disk")},
	Metric{Name: "database_rows_scanned_total", Type: Counter, Unit: "1", Labels: []string{"database"}, Title: tr("扫描行数", "Rows scanned")},
	Metric{Name: "firewall_denied_total", Type: Counter, Unit: "1", Title: tr("被拒流量次数", "Packets denied")},
	Metric{Name: "power_surges_total", Type: Counter, Unit: "1", Title: tr("浪涌次数", "Surges counted")},
	Metric{Name: "queue_messages_dead_total", Type: Counter, Unit: "1", Labels: []string{"queue"}, Title: tr("死信数", "Messages dead-lettered")},
	Metric{Name: "san_port_crc_errors_total", Type: Counter, Unit: "1", Labels: []string{"interface"}, Title: tr("光纤端口校验错", "CRC errors of a storage port")},
	Metric{Name: "san_port_credit_zero_total", Type: Counter, Unit: "1", Labels: []string{"interface"}, Title: tr("光纤端口缓冲信用为零次数", "Times a storage port had no buffer credit")},
	Metric{Name: "tape_soft_errors_total", Type: Counter, Unit: "1", Labels: []string{"drive"}, Title: tr("磁带软错误", "Soft errors of a tape drive")},
)
