package engine

// Of what is pushed to others: drive/remotewrite. An agent tells them of itself,
// so that its centre sees what never arrived.
var _ = declare(
	Metric{Name: "zhiwei_push_samples_sent_total", Type: Counter, Unit: "1", Title: tr("已推送样本", "Samples pushed")},
	Metric{Name: "zhiwei_push_samples_refused_total", Type: Counter, Unit: "1", Title: tr("对方未全部收下的请求中的样本", "Samples of requests that the receiver did not keep in full")},
	Metric{Name: "zhiwei_push_samples_lost_total", Type: Counter, Unit: "1", Title: tr("因队列已满丢失的样本", "Samples lost since the queue was full")},
	Metric{Name: "zhiwei_push_failures_total", Type: Counter, Unit: "1", Title: tr("推送失败次数", "Requests that failed")},
	Metric{Name: "zhiwei_push_samples_waiting", Type: Gauge, Unit: "1", Title: tr("待推送样本", "Samples that wait to be pushed")},
	Metric{Name: "zhiwei_push_bytes_waiting", Type: Gauge, Unit: "By", Title: tr("待推送数据量", "Bytes that wait to be pushed")},
)
