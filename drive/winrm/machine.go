package winrm

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Machine measures a Windows machine by a script of PowerShell 3.0 or later that
// it runs there: nothing is installed. Names and labels are those of drive/host
// where it has one, so that what is known of Linux machines holds here too:
// node_cpu_seconds_total, node_memory_*, node_filesystem_* (mountpoint "C:"),
// node_disk_*, node_network_*, node_boot_time_seconds, node_time_seconds,
// clock_offset_seconds, node_timex_sync_status, node_processes_*,
// namedprocess_namegroup_*; beside them service_running, host_event_log_errors,
// antivirus_running and antivirus_definitions_timestamp_seconds.
type Machine struct {
	Clock clock.Clock
	// Said runs a script with an environment, as Client.Said.
	Said func(ctx context.Context, script string, env map[string]string) ([]byte, error)
	// Facts tells of the machine; else only of Services and Names.
	Facts bool
	// Services are told of by name, 0 also where there is no such service.
	Services []string
	// Names are processes that are told of also where they do not run; Match tells
	// whether one is meant. Command lines are seen by administrators only.
	Names []string
	Match func(pid int, name string, args []string, want string) bool
}

// Name names the source.
func (*Machine) Name() string { return "windows" }

// script prints one JSON object. Each part stands alone: what a machine does not
// have, or does not let this account see, is left out. Times are Unix seconds;
// raw counters are read, whose unit is 100 ns where they are of time. The first
// digit of "w32tm /query /status" is the leap indicator in any language of
// Windows; 3 is "not synchronised" (RFC 5905 §7.3).
const script = `Remove-TypeData System.Array -ErrorAction SilentlyContinue
$r=@{}
function P($n,$f){try{$v=&$f;if($null -ne $v){$r[$n]=$v}}catch{}}
function U($d){[math]::Round(($d.ToUniversalTime()-[datetime]'1970-01-01').TotalSeconds,3)}
$c='Get-CimInstance'
P now {U (Get-Date)}
if($env:ZW_FACTS){
P os {$o=&$c Win32_OperatingSystem;@{name=$o.Caption;version=$o.Version;machine=$o.OSArchitecture;host=$o.CSName;boot=U $o.LastBootUpTime;total=1024*$o.TotalVisibleMemorySize;free=1024*$o.FreePhysicalMemory;processes=$o.NumberOfProcesses}}
P cpu {,@(&$c Win32_PerfRawData_PerfOS_Processor|?{$_.Name -ne '_Total'}|%{@{cpu=$_.Name;idle=$_.PercentIdleTime;user=$_.PercentUserTime;kernel=$_.PercentPrivilegedTime;irq=$_.PercentInterruptTime;dpc=$_.PercentDPCTime}})}
P paging {,@(&$c Win32_PageFileUsage|%{@{total=1MB*$_.AllocatedBaseSize;used=1MB*$_.CurrentUsage}})}
P volumes {,@(&$c Win32_Volume -Filter 'DriveType=3'|?{$_.Capacity -and $_.Name -notlike '\\?\*'}|%{@{name=$_.Name;type=$_.FileSystem;size=$_.Capacity;free=$_.FreeSpace}})}
P disks {,@(&$c Win32_PerfRawData_PerfDisk_PhysicalDisk|?{$_.Name -ne '_Total'}|%{@{name=$_.Name;rb=$_.DiskReadBytesPersec;wb=$_.DiskWriteBytesPersec;r=$_.DiskReadsPersec;w=$_.DiskWritesPersec}})}
P net {,@(&$c Win32_PerfRawData_Tcpip_NetworkInterface|%{@{name=$_.Name;rb=$_.BytesReceivedPersec;tb=$_.BytesSentPersec;re=$_.PacketsReceivedErrors;te=$_.PacketsOutboundErrors;rd=$_.PacketsReceivedDiscarded;td=$_.PacketsOutboundDiscarded}})}
P leap {$l=@(w32tm /query /status 2>$null)[0];if($LASTEXITCODE -eq 0 -and $l -match ':\s*(\d)'){[int]$matches[1]}}
P errors {$e=@{};foreach($l in 'System','Application'){$e[$l]=@(Get-WinEvent -FilterHashtable @{LogName=$l;Level=1,2;StartTime=(Get-Date).AddMinutes(-15)} -MaxEvents 1000 -ErrorAction SilentlyContinue).Count};$e}
P defender {$d=Get-MpComputerStatus;@{on=[bool]($d.AMServiceEnabled -and $d.RealTimeProtectionEnabled);made=U $d.AntivirusSignatureLastUpdated}}
P products {,@(&$c -Namespace root/SecurityCenter2 AntiVirusProduct|%{@{name=$_.displayName;state=$_.productState}})}
}
if($env:ZW_SERVICES){P services {,@(Get-Service|?{($env:ZW_SERVICES -split ',') -contains $_.Name}|%{@{name=$_.Name;status="$($_.Status)"}})}}
if($env:ZW_PROCESSES){P processes {,@(&$c Win32_Process|%{@{pid=$_.ProcessId;name=$_.Name;line=$_.CommandLine;begun=$(if($_.CreationDate){U $_.CreationDate});kernel=$_.KernelModeTime;user=$_.UserModeTime;rss=$_.WorkingSetSize;threads=$_.ThreadCount}})}}
$r|ConvertTo-Json -Compress -Depth 4
`

// machine is what the script prints. Windows writes 64-bit numbers of its
// counters as numbers, or as text where they come from WMI: number takes both.
type machine struct {
	Now *number `json:"now"`
	OS  *struct {
		Name      string `json:"name"`
		Version   string `json:"version"`
		Machine   string `json:"machine"`
		Host      string `json:"host"`
		Boot      number `json:"boot"`
		Total     number `json:"total"`
		Free      number `json:"free"`
		Processes number `json:"processes"`
	} `json:"os"`
	CPU list[struct {
		CPU    string `json:"cpu"`
		Idle   number `json:"idle"`
		User   number `json:"user"`
		Kernel number `json:"kernel"` // with irq and dpc
		IRQ    number `json:"irq"`
		DPC    number `json:"dpc"`
	}] `json:"cpu"`
	Paging list[struct {
		Total number `json:"total"`
		Used  number `json:"used"`
	}] `json:"paging"`
	Volumes list[struct {
		Name string `json:"name"`
		Type string `json:"type"`
		Size number `json:"size"`
		Free number `json:"free"`
	}] `json:"volumes"`
	Disks list[struct {
		Name   string `json:"name"`
		Read   number `json:"rb"`
		Wrote  number `json:"wb"`
		Reads  number `json:"r"`
		Writes number `json:"w"`
	}] `json:"disks"`
	Net list[struct {
		Name      string `json:"name"`
		Received  number `json:"rb"`
		Sent      number `json:"tb"`
		InErrors  number `json:"re"`
		OutErrors number `json:"te"`
		InDrops   number `json:"rd"`
		OutDrops  number `json:"td"`
	}] `json:"net"`
	Leap     *number           `json:"leap"`
	Errors   map[string]number `json:"errors"`
	Defender *struct {
		On   bool   `json:"on"`
		Made number `json:"made"`
	} `json:"defender"`
	Products list[struct {
		Name  string `json:"name"`
		State number `json:"state"`
	}] `json:"products"`
	Services list[struct {
		Name   string `json:"name"`
		Status string `json:"status"`
	}] `json:"services"`
	Processes list[process] `json:"processes"`
}

type process struct {
	PID     number `json:"pid"`
	Name    string `json:"name"`
	Line    string `json:"line"`
	Begun   number `json:"begun"`
	Kernel  number `json:"kernel"`
	User    number `json:"user"`
	RSS     number `json:"rss"`
	Threads number `json:"threads"`
}

// list is a list; PowerShell before 6 may write one as {"value": [...], "Count": n},
// and one entry without brackets.
type list[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (l *list[T]) UnmarshalJSON(b []byte) error {
	if b = bytes.TrimSpace(b); len(b) == 0 || b[0] != '{' {
		return json.Unmarshal(b, (*[]T)(l))
	}
	var wrapped struct {
		Value *[]T `json:"value"`
		Count *int
	}
	if err := json.Unmarshal(b, &wrapped); err == nil && wrapped.Value != nil && wrapped.Count != nil {
		*l = *wrapped.Value
		return nil
	}
	*l = make([]T, 1)
	return json.Unmarshal(b, &(*l)[0])
}

// number is a number, or text that holds one; null is 0.
type number float64

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	b = bytes.Trim(b, `"`)
	if len(b) == 0 || string(b) == "null" {
		return nil
	}
	var f float64
	err := json.Unmarshal(b, &f)
	*n = number(f)
	return err
}

// Sample reads everything once. Errors: those of Said, and Invalid where the
// answer is none of the script.
func (m *Machine) Sample(ctx context.Context) ([]series.Sample, error) {
	env := map[string]string{}
	if m.Facts {
		env["ZW_FACTS"] = "1"
	}
	if len(m.Services) > 0 {
		env["ZW_SERVICES"] = strings.Join(m.Services, ",")
	}
	if len(m.Names) > 0 {
		env["ZW_PROCESSES"] = "1"
	}
	began := m.Clock.Now()
	said, err := m.Said(ctx, script, env)
	if err != nil {
		return nil, err
	}
	told, err := parseMachine(said)
	if err != nil {
		return nil, err
	}
	out := told.samples(began, m.Clock.Now())
	for _, s := range m.Services {
		running := 0.0
		for _, t := range told.Services {
			if strings.EqualFold(t.Name, s) && t.Status == "Running" {
				running = 1
			}
		}
		out.add("service_running", running, "service", s)
	}
	for _, name := range m.Names {
		out.named(told.Processes, name, m.Match)
	}
	return out.samples, nil
}

func parseMachine(said []byte) (*machine, error) {
	var m machine
	said = bytes.TrimPrefix(bytes.TrimSpace(said), []byte("\ufeff"))
	if err := json.Unmarshal(said, &m); err != nil || m.Now == nil {
		return nil, errs.E(errs.Invalid, op, "", "目标没有给出测量结果；须是 PowerShell 3.0 或更高的 Windows。", "The machine did not give its measurements; it must be Windows with PowerShell 3.0 or later.").Because(err)
	}
	return &m, nil
}

// batch collects samples of one instant.
type batch struct {
	at      time.Time
	samples []series.Sample
}

// add takes name, value and label pairs.
func (b *batch) add(name string, v float64, labels ...string) {
	s := series.Sample{Name: name, At: b.at, Value: v, Labels: make(map[string]string, len(labels)/2)}
	for i := 0; i+1 < len(labels); i += 2 {
		s.Labels[labels[i]] = labels[i+1]
	}
	b.samples = append(b.samples, s)
}

// ticks is how many units of a raw counter of time make a second.
const ticks = 1e7

// samples tells the facts; began and ended are when the machine was asked.
func (m *machine) samples(began, ended time.Time) *batch {
	out := &batch{at: began}
	there := float64(*m.Now)
	out.add("node_time_seconds", there)
	from, until := float64(began.UnixMicro())/1e6, float64(ended.UnixMicro())/1e6
	out.add("clock_offset_seconds", min(0, there-from)+max(0, there-until))
	if o := m.OS; o != nil && o.Total > 0 {
		out.add("node_boot_time_seconds", float64(o.Boot))
		out.add("node_memory_MemTotal_bytes", float64(o.Total))
		out.add("node_memory_MemFree_bytes", float64(o.Free))
		out.add("node_memory_MemAvailable_bytes", float64(o.Free)) // what Windows calls free holds what it can throw away
		out.add("node_processes_pids", float64(o.Processes))
		out.add("node_uname_info", 1, "sysname", "Windows", "release", o.Version, "machine", o.Machine, "nodename", o.Host)
	}
	for _, c := range m.CPU {
		for mode, v := range map[string]number{"idle": c.Idle, "user": c.User, "system": max(0, c.Kernel-c.IRQ-c.DPC), "irq": c.IRQ, "softirq": c.DPC} {
			out.add("node_cpu_seconds_total", float64(v)/ticks, "cpu", c.CPU, "mode", mode)
		}
	}
	total, used := number(0), number(0)
	for _, p := range m.Paging {
		total, used = total+p.Total, used+p.Used
	}
	if m.Paging != nil {
		out.add("node_memory_SwapTotal_bytes", float64(total))
		out.add("node_memory_SwapFree_bytes", float64(total-used))
	}
	for _, v := range m.Volumes {
		l := []string{"device", v.Name, "fstype", v.Type, "mountpoint", strings.TrimSuffix(v.Name, `\`)}
		out.add("node_filesystem_size_bytes", float64(v.Size), l...)
		out.add("node_filesystem_free_bytes", float64(v.Free), l...)
		out.add("node_filesystem_avail_bytes", float64(v.Free), l...)
	}
	for _, d := range m.Disks {
		out.add("node_disk_read_bytes_total", float64(d.Read), "device", d.Name)
		out.add("node_disk_written_bytes_total", float64(d.Wrote), "device", d.Name)
		out.add("node_disk_reads_completed_total", float64(d.Reads), "device", d.Name)
		out.add("node_disk_writes_completed_total", float64(d.Writes), "device", d.Name)
	}
	for _, n := range m.Net {
		out.add("node_network_receive_bytes_total", float64(n.Received), "device", n.Name)
		out.add("node_network_transmit_bytes_total", float64(n.Sent), "device", n.Name)
		out.add("node_network_receive_errs_total", float64(n.InErrors), "device", n.Name)
		out.add("node_network_transmit_errs_total", float64(n.OutErrors), "device", n.Name)
		out.add("node_network_receive_drop_total", float64(n.InDrops), "device", n.Name)
		out.add("node_network_transmit_drop_total", float64(n.OutDrops), "device", n.Name)
	}
	if m.Leap != nil {
		out.add("node_timex_sync_status", b2f(*m.Leap != 3))
	}
	for name, n := range m.Errors {
		out.add("host_event_log_errors", float64(n), "log", name)
	}
	m.antivirus(out)
	return out
}

// antivirus tells of Defender, and of what the security centre of a desktop
// Windows lists beside it. Bits 12–15 of productState are 1 where a product is on.
func (m *machine) antivirus(out *batch) {
	others := false
	for _, p := range m.Products {
		if strings.Contains(p.Name, "Defender") {
			continue
		}
		if on := int64(p.State)>>12&0xf == 1; on {
			others = true
			out.add("antivirus_running", 1, "product", p.Name)
		}
	}
	// Defender steps back where another product is on: that is no lack of one.
	if d := m.Defender; d != nil && (d.On || !others) {
		out.add("antivirus_running", b2f(d.On), "product", "Defender")
		if d.Made > 0 {
			out.add("antivirus_definitions_timestamp_seconds", float64(d.Made))
		}
	}
}

// named tells of the processes that are meant by a name.
func (b *batch) named(all []process, name string, match func(int, string, []string, string) bool) {
	var n, threads, user, kernel, rss float64
	oldest := number(0)
	for _, p := range all {
		bare := p.Name
		if len(bare) > 4 && strings.EqualFold(bare[len(bare)-4:], ".exe") {
			bare = bare[:len(bare)-4]
		}
		args := strings.Fields(p.Line)
		if !strings.EqualFold(p.Name, name) && !strings.EqualFold(bare, name) && !(match != nil && match(int(p.PID), bare, args, name)) {
			continue
		}
		n, threads, rss = n+1, threads+float64(p.Threads), rss+float64(p.RSS)
		user, kernel = user+float64(p.User)/ticks, kernel+float64(p.Kernel)/ticks
		if oldest == 0 || p.Begun > 0 && p.Begun < oldest {
			oldest = p.Begun
		}
	}
	b.add("namedprocess_namegroup_num_procs", n, "groupname", name)
	if n == 0 {
		return
	}
	b.add("namedprocess_namegroup_num_threads", threads, "groupname", name)
	b.add("namedprocess_namegroup_cpu_seconds_total", user, "groupname", name, "mode", "user")
	b.add("namedprocess_namegroup_cpu_seconds_total", kernel, "groupname", name, "mode", "system")
	b.add("namedprocess_namegroup_memory_bytes", rss, "groupname", name, "memtype", "resident")
	if oldest > 0 {
		b.add("namedprocess_namegroup_oldest_start_time_seconds", float64(oldest), "groupname", name)
	}
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
