package main

import (
	"net"
	"strconv"
	"testing"

	"zhiwei/drive/scrape"
	"zhiwei/drive/snmp"
	"zhiwei/kernel/clock"
)

// The devices of the fleet speak what our drives read, each at its own address:
// fifty measurements each, and none while they are silent.
func TestTheFleetIsMeasuredByOurDrives(t *testing.T) {
	f, err := newFleet(4)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	address := func(i, port int) string { return net.JoinHostPort(f.devices[i].address.String(), strconv.Itoa(port)) }
	port := &snmp.Device{Target: snmp.Target{Address: address(1, f.snmpPort()), Community: "bench", Timeout: 200e6}, Clock: clock.System()}
	page := &scrape.Target{URL: "http://" + address(2, f.webPort()) + "/metrics", Clock: clock.System()}
	for _, broken := range []bool{false, true} {
		f.devices[1].broken.Store(broken)
		f.devices[2].broken.Store(broken)
		list, err := port.Sample(t.Context())
		want := fleetTold
		if broken { // no duplex of a port that is down
			want--
		}
		if err != nil || len(list) != want {
			t.Fatalf("a switch told %d measurements, %v", len(list), err)
		}
		for _, m := range list {
			if m.Name == "interface_up" && m.Labels["interface"] == "Gi0/3" && (m.Value == 0) != broken {
				t.Errorf("broken %v: %+v", broken, m)
			}
		}
		if list, err = page.Sample(t.Context()); err != nil || len(list) != fleetTold {
			t.Fatalf("a host told %d measurements, %v", len(list), err)
		}
		for _, m := range list {
			if m.Name == "node_filesystem_readonly" && m.Labels["mountpoint"] == "/data" && (m.Value == 1) != broken {
				t.Errorf("broken %v: %+v", broken, m)
			}
		}
	}
	f.devices[1].silent.Store(true)
	f.devices[2].silent.Store(true)
	if list, err := port.Sample(t.Context()); err == nil {
		t.Errorf("a silent switch told %d measurements", len(list))
	}
	if list, err := page.Sample(t.Context()); err == nil {
		t.Errorf("a silent host told %d measurements", len(list))
	}
	if late, rounds := f.lateness(); rounds != 2 || len(late) != 0 {
		t.Errorf("%d rounds, %v late", rounds, late)
	}
}
