package predict

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/drive/smart"
	"zhiwei/engine"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/series"
)

// Series is what is asked of the store of series: kernel/series.Store has it.
type Series interface {
	Query(ctx context.Context, expr string, at time.Time) (series.Result, error)
	QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) (series.Result, error)
}

// WarrantyLabel is the label of a thing that says until when it is under warranty
// or contract: "2027-06-30".
const WarrantyLabel = "warranty_until"

// Look foresees what the series and the ledger tell, most urgent first: capacity
// over the last 30 days, disks over the last 60, memory over the last day,
// certificates, warranties. It asks the store some twenty queries, however many
// things there are, and as many more as it takes to read the history of what may
// fill up, 50 things at a time; once an hour is often enough. Things that are
// dismissed or retired are left out; series of what is not among things are told
// under the id in their label thing, or else instance. What could not be asked is
// in err, beside the predictions of the rest.
func Look(ctx context.Context, s Series, things []engine.Thing, now time.Time) ([]engine.Prediction, error) {
	l := &look{ctx: ctx, s: s, now: now, names: map[string]string{}, gone: map[string]bool{}}
	for _, t := range things {
		l.names[t.ID] = t.Name
		l.gone[t.ID] = t.State == engine.Dismissed || t.State == engine.Retired
	}
	l.capacities()
	l.disks()
	l.memories()
	l.certificates()
	for _, t := range things {
		if ends, err := time.ParseInLocation(time.DateOnly, t.Labels[WarrantyLabel], now.Location()); err == nil {
			l.add(Warranty(now, t.ID, ends.AddDate(0, 0, 1)))
		}
	}
	slices.SortFunc(l.out, func(a, b engine.Prediction) int {
		if c := b.Severity.Rank() - a.Severity.Rank(); c != 0 {
			return c
		}
		if c := cmp.Compare(b.Probability, a.Probability); c != 0 {
			return c
		}
		return strings.Compare(a.Key(), b.Key())
	})
	return l.out, errors.Join(l.failed...)
}

type look struct {
	ctx    context.Context
	s      Series
	now    time.Time
	names  map[string]string
	gone   map[string]bool
	out    []engine.Prediction
	failed []error
}

func (l *look) add(p engine.Prediction, ok bool) {
	if ok && !l.gone[p.Thing] {
		l.out = append(l.out, p)
	}
}

func (l *look) ask(expr string, at time.Time) []series.Points {
	r, err := l.s.Query(l.ctx, expr, at)
	if err != nil {
		l.failed = append(l.failed, err)
	}
	return r.Series
}

// owner is whose a series is, and by which label.
func owner(labels map[string]string) (id, label string) {
	if id := labels[engine.ThingLabel]; id != "" {
		return id, engine.ThingLabel
	}
	return labels["instance"], "instance"
}

// name is what people call a thing.
func (l *look) name(id string) string {
	if n := l.names[id]; n != "" {
		return n
	}
	return id
}

// store is one kind of thing that fills up: its used share as PromQL, in which %
// stands for further matchers, the label that tells which of a thing's, and what it
// is called.
type store struct {
	used, label, zh, en string
}

var stores = []store{
	{`1 - node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|squashfs|iso9660|overlay"%} / node_filesystem_size_bytes{fstype!~"tmpfs|ramfs|squashfs|iso9660|overlay"%}`, "mountpoint", "文件系统", "File system"},
	{`1 - node_filesystem_files_free{fstype!~"tmpfs|ramfs|squashfs|iso9660|overlay"%} / node_filesystem_files{fstype!~"tmpfs|ramfs|squashfs|iso9660|overlay"%}`, "mountpoint", "索引节点", "Inodes of"},
	{`database_tablespace_used_bytes{tablespace!=""%} / database_tablespace_size_bytes{tablespace!=""%}`, "tablespace", "表空间", "Table space"},
	{`database_archive_used_ratio{job!="-"%}`, "", "归档空间", "Archive area"},
	{`database_transaction_id_age{job!="-"%} / 2147483648`, "database", "事务号", "Transaction ids of"}, // PostgreSQL, Routine Vacuuming §25.1.5: they wrap at 2^31
	{`storage_pool_used_bytes{pool!=""%} / storage_pool_size_bytes{pool!=""%}`, "pool", "存储池", "Storage pool"},
	{`storage_snapshot_used_bytes{job!="-"%} / storage_snapshot_size_bytes{job!="-"%}`, "", "快照空间", "Snapshot space"},
	{`device_storage_used_bytes{type="disk"%} / device_storage_size_bytes{type="disk"%}`, "storage", "设备存储", "Storage"},
	{`1 - backup_target_free_ratio{job!="-"%}`, "", "备份介质", "Place of backups"},
}

// together is of how many things a history is asked at once.
const together = 50

// capacities looks at what is more than half full, or would fill within the time
// at the pace of the last day; of that alone the history is read.
func (l *look) capacities() {
	for _, st := range stores {
		all := "(" + strings.ReplaceAll(st.used, "%", "") + ")"
		first := all + " > 0.5 or " + all + " + 30 * (" + all + " - " + strings.ReplaceAll(offset(st.used, "1d"), "%", "") + ") > 1"
		ids := map[string]map[string]bool{}
		for _, p := range l.ask(first, l.now) {
			id, label := owner(p.Labels)
			if ids[label] == nil {
				ids[label] = map[string]bool{}
			}
			ids[label][id] = true
		}
		for _, label := range slices.Sorted(maps.Keys(ids)) {
			for batch := range slices.Chunk(slices.Sorted(maps.Keys(ids[label])), together) {
				for i, id := range batch {
					batch[i] = regexp.QuoteMeta(id)
				}
				match := "," + label + "=~" + strconv.Quote(strings.Join(batch, "|"))
				r, err := l.s.QueryRange(l.ctx, strings.ReplaceAll(st.used, "%", match), l.now.Add(-30*day), l.now, time.Hour)
				if err != nil {
					l.failed = append(l.failed, err)
					continue
				}
				for _, p := range r.Series {
					l.capacity(st, p)
				}
			}
		}
	}
}

// offset asks a quotient some time ago.
func offset(expr, ago string) string {
	return "(" + strings.ReplaceAll(expr, "%}", "%} offset "+ago) + ")"
}

func (l *look) capacity(st store, p series.Points) {
	used := make([]Sample, len(p.Points))
	for i, v := range p.Points {
		used[i] = Sample{time.UnixMilli(v.At), v.Value}
	}
	id, label := owner(p.Labels)
	part := p.Labels[st.label]
	metric := strings.ReplaceAll(st.used, "%", ","+label+"="+strconv.Quote(id))
	if st.label != "" {
		metric = strings.ReplaceAll(st.used, "%", ","+label+"="+strconv.Quote(id)+","+st.label+"="+strconv.Quote(part))
	}
	at := strings.TrimSpace(l.name(id) + " " + part)
	pr, ok := Capacity(l.now, id, strings.TrimSpace(strings.ToLower(st.en)+" "+part), kind.T(at+" 的"+st.zh, st.en+" "+at), metric, used)
	l.add(pr, ok)
}

// disk is one disk of one thing.
type disk struct{ thing, device string }

// told names the metrics that tell of disks: those of the catalogue, and those of
// Prometheus' smartctl_exporter 0.12.
var told = map[string]func(h *Health, v float64, labels map[string]string){
	"disk_smart_healthy":                 func(h *Health, v float64, _ map[string]string) { h.Failing = v == 0 },
	"disk_reallocated_sectors":           func(h *Health, v float64, _ map[string]string) { h.Reallocated = v },
	"disk_pending_sectors":               func(h *Health, v float64, _ map[string]string) { h.Pending = v },
	"disk_uncorrectable_errors":          func(h *Health, v float64, _ map[string]string) { h.Uncorrectable = v },
	"disk_end_to_end_errors":             func(h *Health, v float64, _ map[string]string) { h.EndToEnd = v },
	"disk_offline_uncorrectable_sectors": func(h *Health, v float64, _ map[string]string) { h.Offline = v },
	"disk_selftest_failed":               func(h *Health, v float64, _ map[string]string) { h.SelfTest = v > 0 },
	"disk_critical_warning":              func(h *Health, v float64, _ map[string]string) { h.Warning = uint8(min(max(v, 0), 255)) },
	"disk_wear_ratio":                    func(h *Health, v float64, _ map[string]string) { h.Wear = v },
	"disk_spare_ratio":                   func(h *Health, v float64, _ map[string]string) { h.Spare = v },
	"disk_spare_floor_ratio":             func(h *Health, v float64, _ map[string]string) { h.SpareFloor = v },
	"disk_power_on_seconds":              func(h *Health, v float64, _ map[string]string) { h.Hours = v / 3600 },
	"disk_info": func(h *Health, _ float64, labels map[string]string) {
		h.Model, h.Serial = labels["model"], labels["serial"]
	},
	"smartctl_device_smart_status":              func(h *Health, v float64, _ map[string]string) { h.Failing = v == 0 },
	"smartctl_device_percentage_used":           func(h *Health, v float64, _ map[string]string) { h.Wear = v / 100 },
	"smartctl_device_available_spare":           func(h *Health, v float64, _ map[string]string) { h.Spare = v / 100 },
	"smartctl_device_available_spare_threshold": func(h *Health, v float64, _ map[string]string) { h.SpareFloor = v / 100 },
	"smartctl_device_critical_warning":          func(h *Health, v float64, _ map[string]string) { h.Warning = uint8(min(max(v, 0), 255)) },
	"smartctl_device_media_errors":              func(h *Health, v float64, _ map[string]string) { h.Uncorrectable = v },
	"smartctl_device_power_on_seconds":          func(h *Health, v float64, _ map[string]string) { h.Hours = v / 3600 },
	"smartctl_scsi_grown_defect_list":           func(h *Health, v float64, _ map[string]string) { h.Reallocated = v },
	"smartctl_read_total_uncorrected_errors":    func(h *Health, v float64, _ map[string]string) { h.Uncorrectable = v },
	"smartctl_device_attribute": func(h *Health, v float64, labels map[string]string) {
		switch v := smart.Count(v); labels["attribute_id"] {
		case "5":
			h.Reallocated = v
		case "184":
			h.EndToEnd = v
		case "187":
			h.Uncorrectable = v
		case "197":
			h.Pending = v
		case "198":
			h.Offline = v
		}
	},
}

// looks back are the times at which disks are asked: those before tell growth.
var looksBack = []time.Duration{59 * day, 30 * day, 7 * day, day, 0}

func (l *look) disks() {
	expr := `{__name__=~"` + strings.Join(slices.Sorted(maps.Keys(told)), "|") + `",attribute_value_type=~"raw|",attribute_id=~"5|184|187|197|198|"}`
	history := map[disk][]Health{}
	for _, ago := range looksBack {
		at := l.now.Add(-ago)
		now := map[disk]*Health{}
		for _, p := range l.ask(expr, at) {
			if len(p.Points) == 0 {
				continue
			}
			id, _ := owner(p.Labels)
			d := disk{id, p.Labels["device"]}
			if now[d] == nil {
				h := smart.Unknown()
				h.At = at
				now[d] = &h
			}
			if v := p.Points[0].Value; !math.IsNaN(v) {
				told[p.Labels["__name__"]](now[d], v, p.Labels)
			}
		}
		for d, h := range now {
			history[d] = append(history[d], *h)
		}
	}
	for d, list := range history {
		if list[len(list)-1].At.Equal(l.now) { // it still tells
			l.add(Disk(l.now, d.thing, d.device, list))
		}
	}
}

func (l *look) memories() {
	type module struct{ thing, controller string }
	list := map[module][]MemoryError{}
	take := func(expr string, ago time.Duration, uncorrectable bool) {
		for _, p := range l.ask(expr, l.now) {
			id, _ := owner(p.Labels)
			m := module{id, "MC" + p.Labels["controller"]}
			n := int(math.Round(p.Points[0].Value))
			for _, e := range list[m] { // of the day, less those of the hour
				if !e.Uncorrectable && !uncorrectable {
					n -= e.Count
				}
			}
			if n > 0 {
				list[m] = append(list[m], MemoryError{At: l.now.Add(-ago), Rank: -1, Bank: -1, Row: -1, Column: -1, Count: n, Uncorrectable: uncorrectable})
			}
		}
	}
	take(`increase(node_edac_correctable_errors_total[1h]) > 0.5`, 30*time.Minute, false)
	take(`increase(node_edac_correctable_errors_total[24h]) > 0.5`, 12*time.Hour, false)
	take(`increase(node_edac_uncorrectable_errors_total[30d]) > 0.5`, 12*time.Hour, true)
	for m, errors := range list {
		l.add(Memory(l.now, m.thing, m.controller, errors))
	}
}

func (l *look) certificates() {
	for _, p := range l.ask(`probe_ssl_earliest_cert_expiry < time() + 2592000`, l.now) {
		id, _ := owner(p.Labels)
		l.add(Certificate(l.now, id, p.Labels["check"], time.Unix(int64(p.Points[0].Value), 0)))
	}
}
