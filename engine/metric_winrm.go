package engine

// Of Windows machines: drive/winrm. What they share with Linux machines has the
// names of node_exporter and process-exporter.
var _ = declare(
	Metric{Name: "service_running", Type: Gauge, Unit: "1", Labels: []string{"service"}, Title: tr("服务在运行", "Service runs")},
	Metric{Name: "host_event_log_errors", Type: Gauge, Unit: "1", Labels: []string{"log"}, Title: tr("近 15 分钟事件日志里的错误", "Errors in the event log of the last 15 minutes")},
	Metric{Name: "antivirus_running", Type: Gauge, Unit: "1", Labels: []string{"product"}, Title: tr("防病毒实时防护开启", "Antivirus protects in real time")},
)
