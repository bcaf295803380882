package winrm_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"zhiwei/drive/winrm"
	"zhiwei/drive/winrm/winrmtest"
	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// told is what the script prints, as ConvertTo-Json writes it: counters of WMI as
// numbers or as text, a list of one with and without brackets.
const told = `{"now":1767225603.5,
"os":{"name":"Microsoft Windows Server 2022 Standard","version":"10.0.20348","machine":"64-bit","host":"PACS-GW","boot":1767139203,"total":8589934592,"free":2147483648,"processes":113},
"cpu":[{"cpu":"0","idle":900000000,"user":"60000000","kernel":40000000,"irq":1000000,"dpc":2000000}],
"paging":{"value":[{"total":1073741824,"used":1048576}],"Count":1},
"volumes":[{"name":"C:\\","type":"NTFS","size":107374182400,"free":5368709120},{"name":"D:\\mnt\\images\\","type":"ReFS","size":"1000","free":"10"}],
"disks":{"name":"0 C:","rb":1,"wb":2,"r":3,"w":4},
"net":[{"name":"Ethernet _2","rb":10,"tb":20,"re":1,"te":0,"rd":2,"td":null}],
"leap":3,"errors":{"System":2,"Application":0},
"defender":{"on":false,"made":1767000000},
"products":[{"name":"Windows Defender","state":393472},{"name":"Other","state":266240}],
"services":[{"name":"Spooler","status":"Running"},{"name":"MSSQLSERVER","status":"Stopped"}],
"processes":[{"pid":4,"name":"sqlservr.exe","line":"\"C:\\sql\\sqlservr.exe\" -s","begun":1767139300,"kernel":10000000,"user":"30000000","rss":4096,"threads":40},{"pid":9,"name":"svchost.exe","line":null,"begun":null,"kernel":0,"user":0,"rss":1,"threads":1}]}`

func lines(list []series.Sample) []string {
	var out []string
	for _, s := range list {
		var l []string
		for k, v := range s.Labels {
			l = append(l, k+"="+v)
		}
		slices.Sort(l)
		out = append(out, fmt.Sprintf("%s{%s} %v", s.Name, strings.Join(l, ","), s.Value))
	}
	slices.Sort(out)
	return out
}

// Proves B01 (its part that is Windows): processors, memory, disks, network,
// services, processes, the event log, the clock and the antivirus of a Windows
// machine are told by the names that those of a Linux machine have.
func TestMachine(t *testing.T) {
	t.Parallel()
	s := winrmtest.New(t, false, func(_ context.Context, c winrmtest.Call) winrmtest.Result {
		if c.Env["ZW_FACTS"] != "1" || c.Env["ZW_SERVICES"] != "Spooler,MSSQLSERVER,gone" || c.Env["ZW_PROCESSES"] != "1" {
			t.Errorf("environment %v", c.Env)
		}
		return winrmtest.Result{Stdout: told + "\r\n"}
	})
	m := &winrm.Machine{
		Clock: clock.NewManual(time.Unix(1767225600, 0)), Said: client(t, s, nil).Said, Facts: true,
		Services: []string{"Spooler", "MSSQLSERVER", "gone"}, Names: []string{"sqlservr", "his.exe"},
	}
	list, err := m.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`antivirus_running{product=Other} 1`,
		`clock_offset_seconds{} 3.5`,
		`host_event_log_errors{log=Application} 0`,
		`host_event_log_errors{log=System} 2`,
		`namedprocess_namegroup_cpu_seconds_total{groupname=sqlservr,mode=system} 1`,
		`namedprocess_namegroup_cpu_seconds_total{groupname=sqlservr,mode=user} 3`,
		`namedprocess_namegroup_memory_bytes{groupname=sqlservr,memtype=resident} 4096`,
		`namedprocess_namegroup_num_procs{groupname=his.exe} 0`,
		`namedprocess_namegroup_num_procs{groupname=sqlservr} 1`,
		`namedprocess_namegroup_num_threads{groupname=sqlservr} 40`,
		`namedprocess_namegroup_oldest_start_time_seconds{groupname=sqlservr} 1.7671393e+09`,
		`node_boot_time_seconds{} 1.767139203e+09`,
		`node_cpu_seconds_total{cpu=0,mode=idle} 90`,
		`node_cpu_seconds_total{cpu=0,mode=irq} 0.1`,
		`node_cpu_seconds_total{cpu=0,mode=softirq} 0.2`,
		`node_cpu_seconds_total{cpu=0,mode=system} 3.7`,
		`node_cpu_seconds_total{cpu=0,mode=user} 6`,
		`node_disk_read_bytes_total{device=0 C:} 1`,
		`node_disk_reads_completed_total{device=0 C:} 3`,
		`node_disk_writes_completed_total{device=0 C:} 4`,
		`node_disk_written_bytes_total{device=0 C:} 2`,
		`node_filesystem_avail_bytes{device=C:\,fstype=NTFS,mountpoint=C:} 5.36870912e+09`,
		`node_filesystem_avail_bytes{device=D:\mnt\images\,fstype=ReFS,mountpoint=D:\mnt\images} 10`,
		`node_filesystem_free_bytes{device=C:\,fstype=NTFS,mountpoint=C:} 5.36870912e+09`,
		`node_filesystem_free_bytes{device=D:\mnt\images\,fstype=ReFS,mountpoint=D:\mnt\images} 10`,
		`node_filesystem_size_bytes{device=C:\,fstype=NTFS,mountpoint=C:} 1.073741824e+11`,
		`node_filesystem_size_bytes{device=D:\mnt\images\,fstype=ReFS,mountpoint=D:\mnt\images} 1000`,
		`node_memory_MemAvailable_bytes{} 2.147483648e+09`,
		`node_memory_MemFree_bytes{} 2.147483648e+09`,
		`node_memory_MemTotal_bytes{} 8.589934592e+09`,
		`node_memory_SwapFree_bytes{} 1.072693248e+09`,
		`node_memory_SwapTotal_bytes{} 1.073741824e+09`,
		`node_network_receive_bytes_total{device=Ethernet _2} 10`,
		`node_network_receive_drop_total{device=Ethernet _2} 2`,
		`node_network_receive_errs_total{device=Ethernet _2} 1`,
		`node_network_transmit_bytes_total{device=Ethernet _2} 20`,
		`node_network_transmit_drop_total{device=Ethernet _2} 0`,
		`node_network_transmit_errs_total{device=Ethernet _2} 0`,
		`node_processes_pids{} 113`,
		`node_time_seconds{} 1.7672256035e+09`,
		`node_timex_sync_status{} 0`,
		`node_uname_info{machine=64-bit,nodename=PACS-GW,release=10.0.20348,sysname=Windows} 1`,
		`service_running{service=MSSQLSERVER} 0`,
		`service_running{service=Spooler} 1`,
		`service_running{service=gone} 0`,
	}
	if got := lines(list); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestNoMeasurements(t *testing.T) {
	for _, said := range []string{"", "[]", "{}", `{"now":"x"}`, "Access denied"} {
		m := &winrm.Machine{Clock: clock.System(), Facts: true, Said: func(context.Context, string, map[string]string) ([]byte, error) { return []byte(said), nil }}
		if _, err := m.Sample(t.Context()); !errs.Is(err, errs.Invalid) {
			t.Errorf("%q: %v", said, err)
		}
	}
}
