package knowledge_test

import (
	"fmt"
	"strconv"
	"testing"

	"zhiwei/engine"
)

// campus is a topology of n things or a little more: racks of hosts with virtual
// machines, each with a database or a web server and an application, on switches,
// power and cooling.
func campus(n int) []engine.Thing {
	var out []engine.Thing
	add := func(id string, class engine.Class, on ...engine.Link) string {
		out = append(out, engine.Thing{ID: id, Class: class, State: engine.Confirmed, Name: id, On: on})
		return id
	}
	link := func(how engine.LinkType, to string) engine.Link { return engine.Link{Type: how, Thing: to} }
	room := add("room", engine.ClassRoom, link(engine.CooledBy, add("ac", engine.ClassCooling)))
	ups, core := add("ups", engine.ClassUPS), add("core", engine.ClassSwitch)
	ns := add("ns", engine.ClassMiddleware)
	for r := 0; len(out) < n; r++ {
		rack := add(fmt.Sprint("rack", r), engine.ClassRack, link(engine.MemberOf, room))
		pdu := add(fmt.Sprint("pdu", r), engine.ClassPower, link(engine.PoweredBy, ups))
		sw := add(fmt.Sprint("sw", r), engine.ClassSwitch, link(engine.ConnectedTo, core), link(engine.PoweredBy, pdu))
		last := ""
		for h := range 5 {
			no := fmt.Sprint(r, "h", h)
			port := add("port"+no, engine.ClassPort, link(engine.MemberOf, sw))
			host := add("host"+no, engine.ClassHost, link(engine.MemberOf, rack), link(engine.PoweredBy, pdu), link(engine.ConnectedTo, port))
			for v := range 2 {
				id := fmt.Sprint(no, "v", v)
				vm := add("vm"+id, engine.ClassVM, link(engine.RunsOn, host))
				if last == "" {
					last = add("db"+id, engine.ClassDatabase, link(engine.RunsOn, vm))
					continue
				}
				web := add("web"+id, engine.ClassMiddleware, link(engine.RunsOn, vm), link(engine.Uses, last), link(engine.Uses, ns))
				add("app"+id, engine.ClassApplication, link(engine.Uses, web))
			}
		}
	}
	return out
}

// storm is what a switch's death and a full disk elsewhere make of a campus.
func mixedStorm(t testing.TB) []engine.Symptom {
	lines := []string{"sw0/ probe_icmp_loss_ratio=1", "core/ probe_icmp_loss_ratio=0", "sw1/ probe_icmp_loss_ratio=0"}
	for h := range 5 {
		no := "0h" + strconv.Itoa(h)
		lines = append(lines, "host"+no+"/ probe_icmp_loss_ratio=1", "port"+no+"/ interface_up=0", "port"+no+"/ interface_enabled=1")
		for v := range 2 {
			id := fmt.Sprint(no, "v", v)
			lines = append(lines, "vm"+id+"/ probe_icmp_loss_ratio=1", "web"+id+"/ probe_success=0", "app"+id+"/ probe_success=0")
		}
	}
	for h := range 5 {
		no := "1h" + strconv.Itoa(h)
		lines = append(lines, "host"+no+"/ probe_icmp_loss_ratio=0", "host"+no+"/ node_load5=2", "vm"+no+"v0/ probe_icmp_loss_ratio=0", "vm"+no+"v0/ node_load5=3")
	}
	return told(t, append(lines,
		"vm1h0v0/ node_filesystem_avail_bytes{mountpoint=/var}=1e8", "vm1h0v0/ node_filesystem_size_bytes{mountpoint=/var}=1e11",
		"vm1h0v0/ log:could not write to file: No space left on device", "db1h0v0/ probe_success=0",
		"db1h0v0/ log:could not write to file: No space left on device",
		"web1h0v1/ log:connection timed out while connecting to upstream request", "web1h0v1/ probe_http_status_code=502",
	)...)
}

// A storm over 500 things is thought through in some milliseconds, and both
// faults in it are found.
func TestAStormIsThoughtThrough(t *testing.T) {
	topo, given := engine.NewTopology(campus(500)), mixedStorm(t)
	t.Logf("%d things, %d symptoms", len(topo.IDs()), len(given))
	v := base(t).Infer(topo, given)
	for _, mode := range []string{"switch-down", "space-full"} {
		if !held(v, mode) {
			t.Errorf("%s is not held: %s", mode, v.Say.EN)
		}
	}
}

func BenchmarkInferCampus(b *testing.B) {
	topo, given, k := engine.NewTopology(campus(500)), mixedStorm(b), base(b)
	for b.Loop() {
		k.Infer(topo, given)
	}
}
