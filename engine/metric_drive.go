package engine

// What the drives of this house tell, beside the names of node_exporter and
// process-exporter that drive/host keeps. Ratios are 0–1, booleans 0 or 1.
// Labels that every target gets (job, instance, thing) are not repeated here.

var (
	perInterface = []string{"interface"}
	perPart      = []string{"component"}
	perSensor    = []string{"sensor"}
	perCheck     = []string{"check"}
	perDatabase  = []string{"database"}
)

// Of every target, by the collector.
var _ = declare(
	Metric{Name: "up", Type: Gauge, Unit: "1", Title: tr("可采集", "Could be measured")},
	Metric{Name: "scrape_duration_seconds", Type: Gauge, Unit: "s", Title: tr("采集用时", "Time one round took")},
	Metric{Name: "scrape_samples_scraped", Type: Gauge, Unit: "1", Title: tr("本轮样本数", "Samples of one round")},
	Metric{Name: "measure_refused", Type: Gauge, Unit: "1", Title: tr("采集的账号被拒绝", "The account that measures was turned away")},
	Metric{Name: "zhiwei_collector_targets", Type: Gauge, Unit: "1", Title: tr("采集对象数", "Targets of the collector")},
	Metric{Name: "zhiwei_collector_rounds_running", Type: Gauge, Unit: "1", Title: tr("正在进行的采集", "Rounds under way")},
	Metric{Name: "zhiwei_collector_rounds_waiting", Type: Gauge, Unit: "1", Title: tr("排队的采集", "Rounds that wait for their turn")},
	Metric{Name: "zhiwei_collector_rounds_failed_total", Type: Counter, Unit: "1", Title: tr("失败的采集", "Rounds that told nothing")},
	Metric{Name: "zhiwei_collector_rounds_skipped_total", Type: Counter, Unit: "1", Title: tr("跳过的采集", "Rounds left out")},
	Metric{Name: "zhiwei_collector_samples_dropped_total", Type: Counter, Unit: "1", Title: tr("丢弃的样本", "Samples dropped")},
)

// Of the work that a service does: by the counter that its label pulse names, and
// of the access log of a gateway.
var _ = declare(
	Metric{Name: "work_done_total", Type: Counter, Unit: "1", Title: tr("完成的业务量", "Work done, by the counter that the label pulse names")},
	Metric{Name: "work_missing", Type: Gauge, Unit: "1", Title: tr("照平时应已完成而没有的业务量", "Work that would have been done since the counter last grew, had it gone on as usual")},
	Metric{Name: "http_paths", Type: Gauge, Unit: "1", Title: tr("访问日志里的路径数", "Paths of an access log")},
	Metric{Name: "http_path_found_total", Type: Counter, Unit: "1", Labels: []string{"path"}, Title: tr("某路径应答成功的请求", "Requests of a path that were answered with success")},
	Metric{Name: "http_path_missing_total", Type: Counter, Unit: "1", Labels: []string{"path"}, Title: tr("某路径应答 404 的请求", "Requests of a path that were answered “not found”")},
	Metric{Name: "http_path_missing_ratio", Type: Gauge, Unit: "1", Labels: []string{"path"}, Title: tr("某路径本轮应答 404 的比例", "Share of a path's requests of this round that were answered “not found”")},
)

// Of what answers SNMP: drive/snmp.
var _ = declare(
	Metric{Name: "device_uptime_seconds", Type: Gauge, Unit: "s", Title: tr("设备运行时间", "Time since the device started")},
	Metric{Name: "interface_up", Type: Gauge, Unit: "1", Labels: perInterface, Title: tr("端口已连通", "Port is up")},
	Metric{Name: "interface_enabled", Type: Gauge, Unit: "1", Labels: perInterface, Title: tr("端口已启用", "Port is meant to be up")},
	Metric{Name: "interface_speed_bits_per_second", Type: Gauge, Unit: "bit/s", Labels: perInterface, Title: tr("端口速率", "Speed of the port")},
	Metric{Name: "interface_full_duplex", Type: Gauge, Unit: "1", Labels: perInterface, Title: tr("端口为全双工", "Port is full duplex")},
	Metric{Name: "interface_vlan", Type: Gauge, Unit: "1", Labels: perInterface, Title: tr("端口所在 VLAN", "VLAN of what comes in untagged")},
	Metric{Name: "interface_flaps_total", Type: Counter, Unit: "1", Labels: perInterface, Title: tr("端口通断次数", "Times the port went up or down")},
	Metric{Name: "interface_receive_bytes_total", Type: Counter, Unit: "By", Labels: perInterface, Title: tr("端口接收字节", "Bytes received")},
	Metric{Name: "interface_transmit_bytes_total", Type: Counter, Unit: "By", Labels: perInterface, Title: tr("端口发送字节", "Bytes sent")},
	Metric{Name: "interface_receive_packets_total", Type: Counter, Unit: "1", Labels: perInterface, Title: tr("端口接收单播包", "Unicast packets received")},
	Metric{Name: "interface_transmit_packets_total", Type: Counter, Unit: "1", Labels: perInterface, Title: tr("端口发送单播包", "Unicast packets sent")},
	Metric{Name: "interface_receive_broadcast_packets_total", Type: Counter, Unit: "1", Labels: perInterface, Title: tr("端口接收广播包", "Broadcast packets received")},
	Metric{Name: "interface_receive_errors_total", Type: Counter, Unit: "1", Labels: perInterface, Title: tr("端口接收错包", "Packets received in error")},
	Metric{Name: "interface_transmit_errors_total", Type: Counter, Unit: "1", Labels: perInterface, Title: tr("端口发送错包", "Packets that could not be sent for errors")},
	Metric{Name: "interface_receive_discards_total", Type: Counter, Unit: "1", Labels: perInterface, Title: tr("端口接收丢包", "Received packets thrown away")},
	Metric{Name: "interface_transmit_discards_total", Type: Counter, Unit: "1", Labels: perInterface, Title: tr("端口发送丢包", "Packets thrown away before sending")},
	Metric{Name: "interface_fcs_errors_total", Type: Counter, Unit: "1", Labels: perInterface, Title: tr("端口校验错帧", "Frames whose check sum was wrong")},
	Metric{Name: "interface_late_collisions_total", Type: Counter, Unit: "1", Labels: perInterface, Title: tr("端口迟冲突", "Late collisions: a sign of unequal duplex")},
	Metric{Name: "bridge_topology_changes_total", Type: Counter, Unit: "1", Title: tr("生成树拓扑变化", "Changes of the spanning tree")},
	Metric{Name: "bridge_mac_addresses", Type: Gauge, Unit: "1", Labels: perInterface, Title: tr("端口学到的地址数", "MAC addresses learnt at the port")},
	Metric{Name: "device_processor_load_ratio", Type: Gauge, Unit: "1", Labels: []string{"processor"}, Title: tr("设备处理器负载", "Load of a device's processor")},
	Metric{Name: "device_storage_size_bytes", Type: Gauge, Unit: "By", Labels: []string{"storage", "type"}, Title: tr("设备存储容量", "Size of a device's memory or storage")},
	Metric{Name: "device_storage_used_bytes", Type: Gauge, Unit: "By", Labels: []string{"storage", "type"}, Title: tr("设备存储已用", "Used of a device's memory or storage")},
)

// Of the body of machines: drive/snmp (ENTITY-SENSOR-MIB), drive/redfish.
var _ = declare(
	Metric{Name: "hardware_powered_on", Type: Gauge, Unit: "1", Title: tr("主机已上电", "Machine is switched on")},
	Metric{Name: "hardware_health", Type: Gauge, Unit: "1", Labels: perPart, Title: tr("部件状况：0 正常、1 警告、2 严重", "Health of a part: 0 fine, 1 warning, 2 critical")},
	Metric{Name: "hardware_temperature_celsius", Type: Gauge, Unit: "Cel", Labels: perSensor, Title: tr("部件温度", "Temperature of a part")},
	Metric{Name: "hardware_temperature_limit_celsius", Type: Gauge, Unit: "Cel", Labels: perSensor, Title: tr("部件温度上限", "Temperature that is critical for a part")},
	Metric{Name: "hardware_fan_rpm", Type: Gauge, Unit: "/min", Labels: perSensor, Title: tr("风扇转速", "Speed of a fan")},
	Metric{Name: "hardware_fan_ratio", Type: Gauge, Unit: "1", Labels: perSensor, Title: tr("风扇相对转速", "Speed of a fan of its full speed")},
	Metric{Name: "hardware_voltage_volts", Type: Gauge, Unit: "V", Labels: perSensor, Title: tr("部件电压", "Voltage of a part")},
	Metric{Name: "hardware_voltage_least_volts", Type: Gauge, Unit: "V", Labels: perSensor, Title: tr("部件电压下限", "Voltage below which a part is in danger")},
	Metric{Name: "hardware_voltage_most_volts", Type: Gauge, Unit: "V", Labels: perSensor, Title: tr("部件电压上限", "Voltage above which a part is in danger")},
	Metric{Name: "hardware_current_amperes", Type: Gauge, Unit: "A", Labels: perSensor, Title: tr("部件电流", "Current of a part")},
	Metric{Name: "hardware_power_watts", Type: Gauge, Unit: "W", Labels: perSensor, Title: tr("部件功率", "Power a part takes")},
	Metric{Name: "hardware_event_log_entries", Type: Gauge, Unit: "1", Title: tr("硬件事件日志条数", "Entries of the hardware's event log")},
)

// Of UPSes: drive/ups.
var _ = declare(
	Metric{Name: "ups_on_line", Type: Gauge, Unit: "1", Title: tr("市电供电", "UPS runs on mains")},
	Metric{Name: "ups_on_battery", Type: Gauge, Unit: "1", Title: tr("电池供电", "UPS runs on battery")},
	Metric{Name: "ups_low_battery", Type: Gauge, Unit: "1", Title: tr("电池电量低", "UPS battery is low")},
	Metric{Name: "ups_replace_battery", Type: Gauge, Unit: "1", Title: tr("电池需更换", "UPS battery is to be replaced")},
	Metric{Name: "ups_overload", Type: Gauge, Unit: "1", Title: tr("UPS 过载", "UPS is overloaded")},
	Metric{Name: "ups_bypass", Type: Gauge, Unit: "1", Title: tr("UPS 旁路", "UPS is bypassed: no protection")},
	Metric{Name: "ups_battery_charge_ratio", Type: Gauge, Unit: "1", Title: tr("电池电量", "Charge of the battery")},
	Metric{Name: "ups_battery_runtime_seconds", Type: Gauge, Unit: "s", Title: tr("电池可用时间", "Time the battery lasts")},
	Metric{Name: "ups_battery_voltage_volts", Type: Gauge, Unit: "V", Title: tr("电池电压", "Voltage of the battery")},
	Metric{Name: "ups_temperature_celsius", Type: Gauge, Unit: "Cel", Title: tr("UPS 温度", "Temperature of the UPS")},
	Metric{Name: "ups_load_ratio", Type: Gauge, Unit: "1", Title: tr("UPS 负载率", "Load of the UPS")},
	Metric{Name: "ups_input_voltage_volts", Type: Gauge, Unit: "V", Title: tr("输入电压", "Voltage of the mains")},
	Metric{Name: "ups_input_frequency_hertz", Type: Gauge, Unit: "Hz", Title: tr("输入频率", "Frequency of the mains")},
	Metric{Name: "ups_output_voltage_volts", Type: Gauge, Unit: "V", Title: tr("输出电压", "Voltage the UPS gives")},
)

// Of rooms, air conditioners and meters: drive/modbus, by the register map of
// the device.
var _ = declare(
	Metric{Name: "environment_temperature_celsius", Type: Gauge, Unit: "Cel", Labels: perSensor, Title: tr("环境温度", "Temperature of the room")},
	Metric{Name: "environment_humidity_ratio", Type: Gauge, Unit: "1", Labels: perSensor, Title: tr("环境相对湿度", "Relative humidity of the room")},
	Metric{Name: "environment_leak", Type: Gauge, Unit: "1", Labels: perSensor, Title: tr("漏水", "Water where none may be")},
	Metric{Name: "environment_smoke", Type: Gauge, Unit: "1", Labels: perSensor, Title: tr("烟感报警", "Smoke")},
	Metric{Name: "cooling_running", Type: Gauge, Unit: "1", Title: tr("空调运行", "Air conditioner runs")},
	Metric{Name: "cooling_alarm", Type: Gauge, Unit: "1", Title: tr("空调报警", "Air conditioner raises an alarm")},
	Metric{Name: "cooling_setpoint_celsius", Type: Gauge, Unit: "Cel", Title: tr("空调设定温度", "Temperature the air conditioner is set to")},
	Metric{Name: "cooling_supply_temperature_celsius", Type: Gauge, Unit: "Cel", Title: tr("送风温度", "Temperature of the air it gives")},
	Metric{Name: "cooling_return_temperature_celsius", Type: Gauge, Unit: "Cel", Title: tr("回风温度", "Temperature of the air it takes")},
	Metric{Name: "power_voltage_volts", Type: Gauge, Unit: "V", Labels: []string{"phase"}, Title: tr("配电电压", "Voltage of a phase")},
	Metric{Name: "power_current_amperes", Type: Gauge, Unit: "A", Labels: []string{"phase"}, Title: tr("配电电流", "Current of a phase")},
	Metric{Name: "power_active_watts", Type: Gauge, Unit: "W", Labels: []string{"phase"}, Title: tr("有功功率", "Active power of a phase")},
	Metric{Name: "power_energy_joules_total", Type: Counter, Unit: "J", Title: tr("电能", "Energy taken")},
	Metric{Name: "power_breaker_closed", Type: Gauge, Unit: "1", Labels: []string{"circuit"}, Title: tr("断路器合闸", "Breaker is closed")},
)

// Of checks from outside: drive/probe.
var _ = declare(
	Metric{Name: "probe_success", Type: Gauge, Unit: "1", Labels: perCheck, Title: tr("检查成功", "Check succeeded")},
	Metric{Name: "probe_failure", Type: Gauge, Unit: "1", Labels: []string{"check", "reason"}, Title: tr("检查失败的原因：refused、timeout、answer、tls、dns、unreachable", "Why a check failed: refused, timeout, answer, tls, dns, unreachable")},
	Metric{Name: "probe_duration_seconds", Type: Gauge, Unit: "s", Labels: perCheck, Title: tr("检查用时", "Time a check took")},
	Metric{Name: "probe_http_status_code", Type: Gauge, Unit: "1", Labels: perCheck, Title: tr("HTTP 状态码", "HTTP status")},
	Metric{Name: "probe_ssl_earliest_cert_expiry", Type: Gauge, Unit: "s", Labels: perCheck, Title: tr("证书到期时刻（Unix 秒）", "When the first certificate of the chain expires, Unix seconds")},
	Metric{Name: "probe_tls_trusted", Type: Gauge, Unit: "1", Labels: perCheck, Title: tr("证书可信", "Certificate is trusted and fits its name")},
	Metric{Name: "probe_icmp_rtt_seconds", Type: Gauge, Unit: "s", Labels: perCheck, Title: tr("往返时延", "Round trip time")},
	Metric{Name: "probe_icmp_loss_ratio", Type: Gauge, Unit: "1", Labels: perCheck, Title: tr("丢包率", "Packets without an answer")},
	Metric{Name: "probe_dns_answers", Type: Gauge, Unit: "1", Labels: perCheck, Title: tr("域名应答数", "Answers to a name")},
)

// Of databases and caches: drive/database (PostgreSQL, MariaDB and MySQL, Redis).
var _ = declare(
	Metric{Name: "database_queries_slow_total", Type: Counter, Unit: "1", Title: tr("慢语句数", "Statements that took longer than the server's limit")},
	Metric{Name: "database_lock_waits_total", Type: Counter, Unit: "1", Title: tr("行锁等待次数", "Times a session waited for a row")},
	Metric{Name: "database_buffer_size_bytes", Type: Gauge, Unit: "By", Title: tr("缓冲池大小", "Size of the buffer pool")},
	Metric{Name: "database_buffer_used_bytes", Type: Gauge, Unit: "By", Title: tr("缓冲池已用", "Data in the buffer pool")},
	Metric{Name: "database_buffer_dirty_bytes", Type: Gauge, Unit: "By", Title: tr("缓冲池脏页", "Data in the buffer pool that is not written yet")},
	Metric{Name: "database_buffer_waits_total", Type: Counter, Unit: "1", Title: tr("等待空闲缓冲页次数", "Times a free page of the buffer pool was waited for")},
	Metric{Name: "database_binary_log_bytes", Type: Gauge, Unit: "By", Title: tr("二进制日志大小", "Size of the binary logs")},
	Metric{Name: "database_replication_receiving", Type: Gauge, Unit: "1", Title: tr("副本在接收日志", "Replica receives the log")},
	Metric{Name: "database_replication_applying", Type: Gauge, Unit: "1", Title: tr("副本在应用日志", "Replica applies the log")},
	Metric{Name: "database_replication_paused", Type: Gauge, Unit: "1", Title: tr("副本的应用被暂停", "Somebody paused what the replica applies")},
	Metric{Name: "database_replication_failed", Type: Gauge, Unit: "1", Title: tr("副本应用日志出错", "Replica stopped at a change that it could not apply")},
	Metric{Name: "database_connect_seconds", Type: Gauge, Unit: "s", Title: tr("数据库连接用时", "Time a connection and sign-in took")},
	Metric{Name: "database_temporary_bytes_total", Type: Counter, Unit: "By", Labels: perDatabase, Title: tr("临时文件字节", "Bytes written to temporary files")},
	Metric{Name: "database_commands_total", Type: Counter, Unit: "1", Title: tr("执行的命令数", "Commands done")},
	Metric{Name: "database_keys", Type: Gauge, Unit: "1", Labels: perDatabase, Title: tr("键数", "Keys")},
	Metric{Name: "database_keys_hit_total", Type: Counter, Unit: "1", Title: tr("键命中次数", "Keys that were asked for and there")},
	Metric{Name: "database_keys_missed_total", Type: Counter, Unit: "1", Title: tr("键未命中次数", "Keys that were asked for and not there")},
	Metric{Name: "database_memory_fragmentation_ratio", Type: Gauge, Unit: "1", Title: tr("内存占用与所用之比", "Memory taken of the system to memory used")},
	Metric{Name: "database_up", Type: Gauge, Unit: "1", Title: tr("数据库可用", "Database answers")},
	Metric{Name: "database_connections", Type: Gauge, Unit: "1", Labels: []string{"state"}, Title: tr("数据库连接数", "Connections of a database")},
	Metric{Name: "database_connections_limit", Type: Gauge, Unit: "1", Title: tr("数据库连接上限", "Connections a database allows")},
	Metric{Name: "database_sessions_blocked", Type: Gauge, Unit: "1", Title: tr("被锁阻塞的会话", "Sessions that wait for a lock")},
	Metric{Name: "database_transaction_age_seconds", Type: Gauge, Unit: "s", Title: tr("最长事务时间", "Age of the oldest open transaction")},
	Metric{Name: "database_query_age_seconds", Type: Gauge, Unit: "s", Title: tr("最长查询时间", "Age of the longest running query that is no backup")},
	Metric{Name: "database_idle_transaction_seconds", Type: Gauge, Unit: "s", Title: tr("事务中空闲最久的时间", "How long the session that idles inside a transaction for longest has done so; 0 where none does")},
	Metric{Name: "database_sync_wait_seconds", Type: Gauge, Unit: "s", Title: tr("提交等待同步副本最久的时间", "How long the statement that waits longest for a synchronous replica has run; 0 where none waits")},
	Metric{Name: "database_prepared_transaction_seconds", Type: Gauge, Unit: "s", Title: tr("两阶段事务悬挂最久的时间", "How long ago the transaction was prepared that has waited for its second phase for longest; 0 where none waits")},
	Metric{Name: "database_client_held_seconds", Type: Gauge, Unit: "s", Title: tr("请求被搁置最久的时间", "How long the client has waited whose command is held back for longest; 0 where none is")},
	Metric{Name: "database_settings_loaded_timestamp_seconds", Type: Gauge, Unit: "s", Title: tr("参数文件最近载入的时间", "When the settings were last read from their files")},
	Metric{Name: "database_started_timestamp_seconds", Type: Gauge, Unit: "s", Title: tr("数据库启动的时间", "When the database was started")},
	Metric{Name: "database_size_bytes", Type: Gauge, Unit: "By", Labels: perDatabase, Title: tr("数据库大小", "Size of a database")},
	Metric{Name: "database_transactions_total", Type: Counter, Unit: "1", Labels: []string{"database", "outcome"}, Title: tr("事务数", "Transactions")},
	Metric{Name: "database_deadlocks_total", Type: Counter, Unit: "1", Labels: perDatabase, Title: tr("死锁数", "Deadlocks")},
	Metric{Name: "database_is_replica", Type: Gauge, Unit: "1", Title: tr("数据库为副本", "Database is a replica")},
	Metric{Name: "database_replicas", Type: Gauge, Unit: "1", Title: tr("在线副本数", "Replicas that are connected")},
	Metric{Name: "database_replication_connected", Type: Gauge, Unit: "1", Title: tr("副本已连主库", "Replica is connected to its source")},
	Metric{Name: "database_replication_lag_seconds", Type: Gauge, Unit: "s", Title: tr("复制延迟", "How far a replica is behind in time")},
	Metric{Name: "database_replication_delay_seconds", Type: Gauge, Unit: "s", Title: tr("副本设定的延迟", "How much later a replica is told to apply what it receives")},
	Metric{Name: "database_replication_lag_bytes", Type: Gauge, Unit: "By", Labels: []string{"replica"}, Title: tr("复制落后字节", "How far a replica is behind in bytes")},
	Metric{Name: "database_slot_kept_ratio", Type: Gauge, Unit: "1", Labels: []string{"replica"}, Title: tr("停用复制槽留住的日志与平时上限之比", "Log that a slot nobody uses keeps, by what the server keeps at most for itself")},
	Metric{Name: "database_memory_used_bytes", Type: Gauge, Unit: "By", Title: tr("数据库内存已用", "Memory a database uses")},
	Metric{Name: "database_memory_limit_bytes", Type: Gauge, Unit: "By", Title: tr("数据库内存上限", "Memory a database may use")},
	Metric{Name: "database_connections_rejected_total", Type: Counter, Unit: "1", Title: tr("被拒连接数", "Connections refused at the limit")},
	Metric{Name: "database_keys_evicted_total", Type: Counter, Unit: "1", Title: tr("被逐出的键", "Keys thrown out for want of memory")},
	Metric{Name: "database_snapshot_ok", Type: Gauge, Unit: "1", Title: tr("快照成功", "Last snapshot could be written")},
)

// Of what comes in by itself: the Counts of door/syslog and door/snmptrap, and of
// log files, drive/log.
var _ = declare(
	Metric{Name: "zhiwei_intake_received_total", Type: Counter, Unit: "1", Labels: []string{"door"}, Title: tr("收到的条目", "Entries received")},
	Metric{Name: "zhiwei_intake_dropped_total", Type: Counter, Unit: "1", Labels: []string{"door", "reason"}, Title: tr("丢弃的条目", "Entries dropped")},
	Metric{Name: "zhiwei_intake_waiting", Type: Gauge, Unit: "1", Labels: []string{"door"}, Title: tr("排队的条目", "Entries that wait")},
)

// Of disks, as they tell of themselves: drive/smart, beside those of the
// catalogue that knowledge asks for (disk_smart_healthy and others).
var perDisk = []string{"device"}

var _ = declare(
	Metric{Name: "disk_info", Type: Gauge, Unit: "1", Labels: []string{"device", "model", "serial", "protocol"}, Title: tr("磁盘型号与序列号", "Model and serial number of a disk")},
	Metric{Name: "disk_uncorrectable_errors", Type: Gauge, Unit: "1", Labels: perDisk, Title: tr("无法纠正的读写错误", "Errors that could not be corrected")},
	Metric{Name: "disk_end_to_end_errors", Type: Gauge, Unit: "1", Labels: perDisk, Title: tr("端到端校验错误", "End-to-end errors")},
	Metric{Name: "disk_offline_uncorrectable_sectors", Type: Gauge, Unit: "1", Labels: perDisk, Title: tr("离线无法纠正的扇区", "Sectors uncorrectable offline")},
	Metric{Name: "disk_selftest_failed", Type: Gauge, Unit: "1", Labels: perDisk, Title: tr("最近一次自检出错", "Last self-test found an error")},
	Metric{Name: "disk_critical_warning", Type: Gauge, Unit: "1", Labels: perDisk, Title: tr("NVMe 严重告警位", "Critical warning of NVMe, as bits")},
	Metric{Name: "disk_spare_floor_ratio", Type: Gauge, Unit: "1", Labels: perDisk, Title: tr("备用块下限", "Spare blocks below which the maker calls it critical")},
	Metric{Name: "disk_temperature_celsius", Type: Gauge, Unit: "Cel", Labels: perDisk, Title: tr("磁盘温度", "Temperature of a disk")},
	Metric{Name: "disk_power_on_seconds", Type: Gauge, Unit: "s", Labels: perDisk, Title: tr("磁盘通电时间", "Time a disk was in use")},
)
