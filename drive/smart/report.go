package smart

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strings"
	"time"

	"zhiwei/kernel/errs"
)

// Health is what a disk says of itself at one time. Counts that it does not tell
// are NaN.
type Health struct {
	At       time.Time
	Protocol string // ATA, NVMe, SCSI
	Model    string
	Serial   string
	// Failing says that the disk itself expects to fail: its self-assessment, or a
	// pre-failure attribute beyond its threshold.
	Failing bool
	// SelfTest says that the last self-test that ended found an error.
	SelfTest bool
	// Counts of attributes, as raw values; each has a meaning of its own, told by
	// signs. NVMe and SCSI disks tell the like under the same numbers: media errors
	// as 187, grown defects as 5.
	Reallocated   float64 // 5
	EndToEnd      float64 // 184
	Uncorrectable float64 // 187
	Pending       float64 // 197
	Offline       float64 // 198
	Wear          float64 // share of the life that is used, may pass 1
	Spare         float64 // share of spare blocks left
	SpareFloor    float64 // share below which the maker calls it critical
	Warning       uint8   // NVMe critical warning (NVM Express Base 1.4 §5.14.1.2)
	Hours         float64 // in use
	Temperature   float64 // °C
}

// Unknown is a Health that tells nothing.
func Unknown() Health {
	n := math.NaN()
	return Health{Reallocated: n, EndToEnd: n, Uncorrectable: n, Pending: n, Offline: n, Wear: n, Spare: n, SpareFloor: n, Hours: n, Temperature: n}
}

// report is what is read of smartctl's JSON (smartmontools 7, format 1.0).
type report struct {
	Program struct {
		Messages []struct {
			Text string `json:"string"`
		} `json:"messages"`
	} `json:"smartctl"`
	Device struct {
		Protocol string `json:"protocol"`
	} `json:"device"`
	Model  string `json:"model_name"`
	Serial string `json:"serial_number"`
	Local  struct {
		Time int64 `json:"time_t"`
	} `json:"local_time"`
	Status *struct {
		Passed *bool `json:"passed"`
	} `json:"smart_status"`
	Rotation *float64 `json:"rotation_rate"` // 0: solid state
	PowerOn  *struct {
		Hours float64 `json:"hours"`
	} `json:"power_on_time"`
	Temperature struct {
		Current *float64 `json:"current"`
	} `json:"temperature"`
	ATA struct {
		Table []struct {
			ID     int     `json:"id"`
			Value  float64 `json:"value"`
			Failed string  `json:"when_failed"`
			Flags  struct {
				Prefailure bool `json:"prefailure"`
			} `json:"flags"`
			Raw struct {
				Value float64 `json:"value"`
			} `json:"raw"`
		} `json:"table"`
	} `json:"ata_smart_attributes"`
	Tests struct {
		Standard testLog `json:"standard"`
		Extended testLog `json:"extended"`
	} `json:"ata_smart_self_test_log"`
	NVMe *struct {
		Warning    uint8    `json:"critical_warning"`
		Spare      *float64 `json:"available_spare"`
		SpareFloor *float64 `json:"available_spare_threshold"`
		Used       *float64 `json:"percentage_used"`
		Media      *float64 `json:"media_errors"`
	} `json:"nvme_smart_health_information_log"`
	Defects *float64 `json:"scsi_grown_defect_list"`
	Errors  map[string]struct {
		Uncorrected *float64 `json:"total_uncorrected_errors"`
	} `json:"scsi_error_counter_log"`
	Endurance *float64 `json:"scsi_percentage_used_endurance_indicator"`
}

// testLog lists the self-tests, latest first; those under way or interrupted have
// no passed.
type testLog struct {
	Table []struct {
		Status struct {
			Passed *bool `json:"passed"`
		} `json:"status"`
	} `json:"table"`
}

// The most that is read of a report: those of disks with long logs take 100 kB.
const reportSize = 4 << 20

// Read reads what `smartctl -a -j` writes of one ATA, NVMe or SCSI disk. Invalid
// where it is none, or tells nothing of the health of a disk; Forbidden where
// smartctl says that it may not ask the disk; TooLarge above 4 MiB.
func Read(r io.Reader) (Health, error) {
	data, err := io.ReadAll(io.LimitReader(r, reportSize+1))
	if err != nil {
		return Health{}, errs.Wrap("read", "smartctl", err)
	}
	if len(data) > reportSize {
		return Health{}, errs.E(errs.TooLarge, "read", "smartctl", "smartctl 的输出超过 4 MiB。", "The output of smartctl is larger than 4 MiB.")
	}
	bad := errs.E(errs.Invalid, "read", "smartctl", "这不是 smartctl -a -j 的输出，或其中没有磁盘健康信息。",
		"This is not what smartctl -a -j writes, or it tells nothing of the health of a disk.")
	var in report
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&in); err != nil {
		return Health{}, bad.Because(err)
	}
	h := Unknown()
	h.Protocol, h.Model, h.Serial = in.Device.Protocol, in.Model, in.Serial
	if in.Local.Time > 0 {
		h.At = time.Unix(in.Local.Time, 0).UTC()
	}
	told := in.NVMe != nil || in.Defects != nil || len(in.ATA.Table) > 0
	if in.Status != nil && in.Status.Passed != nil {
		told, h.Failing = true, !*in.Status.Passed
	}
	if !told {
		for _, m := range in.Program.Messages {
			if strings.Contains(m.Text, "Permission denied") || strings.Contains(m.Text, "Operation not permitted") {
				return Health{}, errs.E(errs.Forbidden, "read", "smartctl", "账号无权读取磁盘健康信息；请用 root，或允许 sudo -n smartctl。", "The account may not ask the disks for their health; use root, or allow sudo -n smartctl.")
			}
		}
		return Health{}, bad
	}
	if in.PowerOn != nil {
		h.Hours = Count(in.PowerOn.Hours)
	}
	if v := in.Temperature.Current; v != nil && *v > -100 && *v < 200 {
		h.Temperature = *v
	}
	for _, a := range in.ATA.Table {
		switch a.ID {
		case 5:
			h.Reallocated = Count(a.Raw.Value)
		case 184:
			h.EndToEnd = Count(a.Raw.Value)
		case 187:
			h.Uncorrectable = Count(a.Raw.Value)
		case 197:
			h.Pending = Count(a.Raw.Value)
		case 198:
			h.Offline = Count(a.Raw.Value)
		case 177, 202, 231, 233: // wear levelling, life used or left: the normalised value counts down from 100
			if w := 1 - a.Value/100; in.Rotation != nil && *in.Rotation == 0 && a.Value >= 0 && a.Value <= 100 && !(w <= h.Wear) {
				h.Wear = w
			}
		}
		if a.Failed == "now" && a.Flags.Prefailure {
			h.Failing = true
		}
	}
	for _, list := range []testLog{in.Tests.Extended, in.Tests.Standard} {
		if i := len(list.Table); i > 0 && list.Table[0].Status.Passed != nil && !*list.Table[0].Status.Passed {
			h.SelfTest = true
		}
	}
	if n := in.NVMe; n != nil {
		h.Warning = n.Warning
		h.Uncorrectable = given(n.Media, 1)
		h.Wear, h.Spare, h.SpareFloor = given(n.Used, 0.01), given(n.Spare, 0.01), given(n.SpareFloor, 0.01)
	}
	if in.Defects != nil {
		h.Reallocated = given(in.Defects, 1)
	}
	for _, e := range in.Errors {
		if u := given(e.Uncorrected, 1); !math.IsNaN(u) {
			h.Uncorrectable = u + max(h.Uncorrectable, 0)
			if math.IsNaN(h.Uncorrectable) {
				h.Uncorrectable = u
			}
		}
	}
	if in.Endurance != nil {
		h.Wear = given(in.Endurance, 0.01)
	}
	return h, nil
}

// Count is a number of errors, NaN where it makes no sense. Makers pack other things into the upper bits of
// the six bytes of a raw value; the lower four hold the count.
func Count(v float64) float64 {
	if v < 0 || v != v || v >= 1<<48 {
		return math.NaN()
	}
	return float64(uint64(v) & (1<<32 - 1))
}

// given is a number in a unit, NaN where it is absent or makes no sense.
func given(v *float64, unit float64) float64 {
	if v == nil || *v < 0 || *v > 1e15 {
		return math.NaN()
	}
	return *v * unit
}
