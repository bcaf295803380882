// Package smart asks disks how they are, by smartctl of smartmontools 7 on this
// machine or over a shell of another one. It says what they tell, foresees
// nothing, starts no self-test and wakes no disk that sleeps.
package smart

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"math"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Disks are those of a machine.
type Disks struct {
	Clock clock.Clock
	// Run runs a script with the machine's shell and gives what it said; Here is
	// that of this machine.
	Run func(ctx context.Context, script string) ([]byte, error)
	// Devices are the disks that are asked: "/dev/sda"; one behind a controller with
	// its type: "/dev/bus/0 megaraid,8". None: all that smartctl finds.
	Devices []string

	mu    sync.Mutex
	told  []series.Sample
	wrong error
	read  time.Time
}

// readEvery is how often disks are asked: what they count moves in days, and each
// question interrupts their work. smartd asks every half an hour.
const readEvery = 10 * time.Minute

// maxDisks bounds what is told of one machine.
const maxDisks = 500

const op = "measure disks"

// device is how a disk may be called: a path, and the type of smartctl's -d.
var device = regexp.MustCompile(`^/dev/[A-Za-z0-9/_.:-]{1,60}( [A-Za-z0-9,+/-]{1,40})?$`)

// Name names the source.
func (*Disks) Name() string { return "smart" }

// Validate says what is wrong with Devices: Invalid.
func (d *Disks) Validate() error {
	for _, name := range d.Devices {
		if !device.MatchString(name) {
			return errs.E(errs.Invalid, op, name, "“"+name+"”不是磁盘；应为 /dev/sda，或控制器后的 /dev/bus/0 megaraid,8。", "“"+name+"” is no disk; it reads /dev/sda, or behind a controller /dev/bus/0 megaraid,8.").At("devices")
		}
	}
	return nil
}

// Here runs a script with the shell of this machine.
func Here(ctx context.Context, script string) ([]byte, error) {
	c := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	c.WaitDelay = time.Second
	out, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		err = nil // what it said tells
	}
	return out, errs.Wrap(op, "", err)
}

// script asks each disk. The account is root, or may run smartctl by sudo without
// a password. A disk whose type is "scsi" in a scan may be an ATA one behind a
// translation, which smartctl finds out by itself.
func (d *Disks) script(mark string) string {
	list := "$c --scan"
	if len(d.Devices) > 0 {
		list = "printf '%s\\n'"
		for _, name := range d.Devices {
			path, kind, typed := strings.Cut(name, " ")
			if typed {
				path += " -d " + kind
			}
			list += " '" + path + "'"
		}
	}
	return "{ LC_ALL=C; PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export LC_ALL PATH\n" +
		"c=smartctl; command -v $c || { printf '\\n" + mark + " none\\n'; exit 0; }\n" +
		`[ "$(id -u)" = 0 ] || ! sudo -n $c --version > /dev/null || c="sudo -n smartctl"` + "\n" +
		list + " | while read -r dev flag kind rest; do\n" +
		`[ "$flag" = -d ] && [ "$kind" != scsi ] || { flag=; kind=; }` + "\n" +
		"printf '\\n" + mark + ` disk %s\n' "$dev $kind"` + "\n" +
		"$c -n standby -a -j $flag $kind \"$dev\" < /dev/null\n" +
		"done; printf '\\n" + mark + " end\\n'; } 2> /dev/null"
}

// Sample tells of each disk what it last said; they are asked every ten minutes.
// What a disk does not tell is left out, and so is one that sleeps. The errors are
// those of Run; Invalid where smartctl is not there, no disk is found, or one of
// Devices tells nothing of its health; Forbidden where the account may not ask.
// Beside the error is what the other disks tell.
func (d *Disks) Sample(ctx context.Context) ([]series.Sample, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.Clock.Now()
	if d.read.IsZero() || now.Sub(d.read) >= readEvery || now.Before(d.read) {
		mark := "@" + rand.Text()
		said, err := d.Run(ctx, d.script(mark))
		if err != nil {
			return nil, err
		}
		if d.told, d.wrong, err = d.hear(said, mark); err != nil {
			return nil, err
		}
		d.read = now
	}
	out := make([]series.Sample, len(d.told))
	for i, s := range d.told {
		s.At = now
		out[i] = s
	}
	return out, d.wrong
}

// hear reads what the script said. err is that nothing is known; wrong is what
// some disks did not tell.
func (d *Disks) hear(said []byte, mark string) (told []series.Sample, wrong, err error) {
	parts := bytes.Split(said, []byte("\n"+mark+" "))
	var silent []error
	whole, disks := false, 0
	for _, part := range parts[1:] {
		head, text, _ := bytes.Cut(part, []byte("\n"))
		name, is := strings.CutPrefix(strings.TrimSpace(string(head)), "disk ")
		switch {
		case string(head) == "none":
			return nil, nil, errs.E(errs.Invalid, op, "", "目标上没有 smartctl；请安装 smartmontools 7 或更新的版本。", "There is no smartctl on the machine; install smartmontools 7 or newer.")
		case string(head) == "end":
			whole = true
		case is && disks < maxDisks:
			disks++
			if bytes.Contains(text, []byte("in STANDBY mode")) || bytes.Contains(text, []byte("in SLEEP mode")) {
				continue
			}
			h, err := Read(bytes.NewReader(text))
			if err != nil {
				silent = append(silent, errs.E(errs.KindOf(err), op, name, "磁盘 "+name+"："+errs.Sentence(err, "zh"), "Disk "+name+": "+errs.Sentence(err, "en")).Because(err))
				continue
			}
			told = append(told, h.samples(label(name))...)
		}
	}
	if !whole {
		return nil, nil, errs.E(errs.Unavailable, op, "", "目标没有说完磁盘的情况；请稍后再看。", "The machine did not tell of its disks to the end; look again later.")
	}
	if disks == 0 {
		return nil, nil, errs.E(errs.Invalid, op, "", "smartctl 没有找到磁盘；虚拟机的磁盘请在其宿主机上看。", "smartctl finds no disk; look at the disks of a virtual machine on its host.")
	}
	if len(silent) == 0 || len(d.Devices) == 0 && len(told) > 0 && !errs.Is(silent[0], errs.Forbidden) {
		return told, nil, nil // a logical disk of a controller has no health of its own
	}
	return told, silent[0], nil
}

// label is how people call the disk: sda, nvme0, bus/0:megaraid,8.
func label(name string) string {
	path, kind, _ := strings.Cut(strings.TrimPrefix(name, "/dev/"), " ")
	if strings.Contains(kind, ",") {
		return path + ":" + kind
	}
	return path
}

// samples are what a disk tells, without a time.
func (h Health) samples(device string) []series.Sample {
	truth := map[bool]float64{true: 1}
	out := []series.Sample{
		{Name: "disk_info", Value: 1, Labels: map[string]string{"device": device, "model": clean(h.Model), "serial": clean(h.Serial), "protocol": clean(h.Protocol)}},
		{Name: "disk_smart_healthy", Value: truth[!h.Failing]},
		{Name: "disk_selftest_failed", Value: truth[h.SelfTest]},
		{Name: "disk_reallocated_sectors", Value: h.Reallocated},
		{Name: "disk_pending_sectors", Value: h.Pending},
		{Name: "disk_uncorrectable_errors", Value: h.Uncorrectable},
		{Name: "disk_end_to_end_errors", Value: h.EndToEnd},
		{Name: "disk_offline_uncorrectable_sectors", Value: h.Offline},
		{Name: "disk_wear_ratio", Value: h.Wear},
		{Name: "disk_spare_ratio", Value: h.Spare},
		{Name: "disk_spare_floor_ratio", Value: h.SpareFloor},
		{Name: "disk_power_on_seconds", Value: h.Hours * 3600},
		{Name: "disk_temperature_celsius", Value: h.Temperature},
	}
	if h.Protocol == "NVMe" {
		out = append(out, series.Sample{Name: "disk_critical_warning", Value: float64(h.Warning)})
	}
	some := out[:0]
	for _, s := range out {
		if math.IsNaN(s.Value) {
			continue
		}
		if s.Labels == nil {
			s.Labels = map[string]string{"device": device}
		}
		some = append(some, s)
	}
	return some
}

// clean makes a label of what a disk says of itself.
func clean(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	return strings.ToValidUTF8(strings.TrimSpace(s), "?")
}
