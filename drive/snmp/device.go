package snmp

import (
	"context"
	"encoding/hex"
	"time"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Identity is what a device says of itself. What it does not say is empty.
type Identity struct {
	Name        string // sysName
	Description string // sysDescr
	Object      string // sysObjectID: the vendor's number of the model
	Location    string
	Contact     string
	Engine      string // snmpEngineID, hexadecimal
	MAC         string // base address of its bridge
	Services    int    // sysServices: 2 bridges, 4 routes, 64 has applications (bits, RFC 3418)
	Up          time.Duration
}

const (
	sysDescr    = "1.3.6.1.2.1.1.1.0"
	sysObjectID = "1.3.6.1.2.1.1.2.0"
	sysUpTime   = "1.3.6.1.2.1.1.3.0"
	sysContact  = "1.3.6.1.2.1.1.4.0"
	sysName     = "1.3.6.1.2.1.1.5.0"
	sysLocation = "1.3.6.1.2.1.1.6.0"
	sysServices = "1.3.6.1.2.1.1.7.0"
	engineID    = "1.3.6.1.6.3.10.2.1.1.0"
	baseMAC     = "1.3.6.1.2.1.17.1.1.0"
	topChanges  = "1.3.6.1.2.1.17.2.4.0" // dot1dStpTopChanges
)

// Identify asks a device who it is. Unavailable where it does not answer,
// Forbidden where it refuses the user, Invalid where the settings are wrong.
func (t Target) Identify(ctx context.Context) (Identity, error) {
	s, err := t.open(ctx)
	if err != nil {
		return Identity{}, err
	}
	defer s.close()
	v, err := s.get(sysDescr, sysObjectID, sysUpTime, sysContact, sysName, sysLocation, sysServices, engineID, baseMAC)
	if err != nil {
		return Identity{}, err
	}
	services, _ := v[sysServices].number()
	ticks, _ := v[sysUpTime].number()
	return Identity{
		Name: v[sysName].text(), Description: v[sysDescr].text(), Object: v[sysObjectID].text(), Location: v[sysLocation].text(), Contact: v[sysContact].text(),
		Engine: hex.EncodeToString(v[engineID].octets()), MAC: v[baseMAC].mac(), Services: int(services), Up: time.Duration(ticks) * 10 * time.Millisecond,
	}, nil
}

// Device measures a device. It remembers when its ports changed, to count flaps;
// it must not be used by several goroutines at once.
type Device struct {
	Target
	Clock clock.Clock

	ports map[string]port
	up    float64 // sysUpTime in seconds when ports were read
}

// port is what is remembered of a port between rounds.
type port struct {
	up      bool
	changed float64 // ifLastChange, seconds of sysUpTime
	flaps   float64
}

// Name names the source.
func (*Device) Name() string { return "snmp" }

// column of a table, the metric it becomes, and its label.
type column struct {
	oid, metric string
	or          string // the 32-bit counter where the device lacks this one
}

// Columns by ifIndex: IF-MIB ifXTable and ifTable, EtherLike-MIB dot3StatsTable.
var columns = []column{
	{"1.3.6.1.2.1.31.1.1.1.6", "interface_receive_bytes_total", "1.3.6.1.2.1.2.2.1.10"},
	{"1.3.6.1.2.1.31.1.1.1.10", "interface_transmit_bytes_total", "1.3.6.1.2.1.2.2.1.16"},
	{"1.3.6.1.2.1.31.1.1.1.7", "interface_receive_packets_total", "1.3.6.1.2.1.2.2.1.11"},
	{"1.3.6.1.2.1.31.1.1.1.11", "interface_transmit_packets_total", "1.3.6.1.2.1.2.2.1.17"},
	{"1.3.6.1.2.1.31.1.1.1.9", "interface_receive_broadcast_packets_total", ""},
	{"1.3.6.1.2.1.2.2.1.13", "interface_receive_discards_total", ""},
	{"1.3.6.1.2.1.2.2.1.14", "interface_receive_errors_total", ""},
	{"1.3.6.1.2.1.2.2.1.19", "interface_transmit_discards_total", ""},
	{"1.3.6.1.2.1.2.2.1.20", "interface_transmit_errors_total", ""},
	{"1.3.6.1.2.1.10.7.2.1.3", "interface_fcs_errors_total", ""},
	{"1.3.6.1.2.1.10.7.2.1.8", "interface_late_collisions_total", ""},
}

const (
	ifDescr       = "1.3.6.1.2.1.2.2.1.2"
	ifSpeed       = "1.3.6.1.2.1.2.2.1.5"
	ifAdminStatus = "1.3.6.1.2.1.2.2.1.7"
	ifOperStatus  = "1.3.6.1.2.1.2.2.1.8"
	ifLastChange  = "1.3.6.1.2.1.2.2.1.9"
	ifName        = "1.3.6.1.2.1.31.1.1.1.1"
	ifHighSpeed   = "1.3.6.1.2.1.31.1.1.1.15"
	duplexStatus  = "1.3.6.1.2.1.10.7.2.1.19"
	portVLAN      = "1.3.6.1.2.1.17.7.1.4.5.1.1" // dot1qPvid of Q-BRIDGE-MIB (RFC 4363), index: the bridge port
)

// portColumns are the columns by port that every device has or should have,
// optional the first ones of tables that many have not.
var (
	portColumns = func() []string {
		out := []string{ifName, ifDescr, ifOperStatus, ifAdminStatus, ifLastChange, ifSpeed, ifHighSpeed, duplexStatus}
		for _, c := range columns {
			out = append(out, c.oid)
		}
		return out
	}()
	optional = []string{bridgePort, fdbPort, portVLAN, sensorType, processorLoad, storageType}
)

// round collects the samples of one round.
type round struct {
	s   *session
	at  time.Time
	out []series.Sample
	err error                       // the first that happened
	had map[string]map[string]value // columns that were read before they were asked for
}

func (r *round) add(name string, v float64, labels ...string) {
	m := series.Sample{Name: name, At: r.at, Value: v}
	if len(labels) > 0 {
		m.Labels = map[string]string{}
		for i := 0; i < len(labels); i += 2 {
			m.Labels[labels[i]] = labels[i+1]
		}
	}
	r.out = append(r.out, m)
}

// ahead reads columns that will be asked for, many with one packet.
func (r *round) ahead(rows int, oids ...string) {
	if r.err != nil {
		return
	}
	list, err := r.s.columns(rows, oids...)
	if err != nil && !errs.Is(err, errs.TooLarge) {
		r.err = err
		return
	}
	if r.had == nil {
		r.had = map[string]map[string]value{}
	}
	for i, oid := range oids {
		if err == nil || len(list[i]) == maxRows {
			r.had[oid] = list[i]
		}
	}
}

// column reads a column; after a failure nothing more is asked.
func (r *round) column(oid string) map[string]value {
	if r.err != nil {
		return nil
	}
	if v, had := r.had[oid]; had {
		return v
	}
	v, err := r.s.column(oid)
	if err != nil && !errs.Is(err, errs.TooLarge) {
		r.err = err
	}
	return v
}

// Sample reads ports, sensors, processors, storage and the spanning tree, as far
// as the device has them. Errors as Identify; what was read before one is
// returned beside it.
func (d *Device) Sample(ctx context.Context) ([]series.Sample, error) {
	s, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	r := &round{s: s, at: d.Clock.Now()}
	v, err := s.get(sysUpTime, topChanges)
	if err != nil {
		return nil, err
	}
	ticks, ok := v[sysUpTime].number()
	up := ticks / 100
	if ok {
		r.add("device_uptime_seconds", up)
	}
	if n, ok := v[topChanges].number(); ok {
		r.add("bridge_topology_changes_total", n)
	}
	r.ahead(len(d.ports), portColumns...)
	r.ahead(0, optional...)
	names := names(r)
	d.interfaces(r, names, up)
	r.learnt(names)
	r.vlans(names)
	r.sensors()
	r.host()
	return r.out, r.err
}

// names gives each port a name by ifIndex: ifName, or ifDescr of old devices. A
// name that two ports share gets the index behind it.
func names(r *round) map[string]string {
	out, used := map[string]string{}, map[string]bool{}
	short, long := r.column(ifName), r.column(ifDescr)
	for _, index := range ordered(long, short) {
		name := short[index].text()
		if name == "" {
			name = long[index].text()
		}
		if name == "" || used[name] {
			name += "#" + index
		}
		used[name] = true
		out[index] = name
	}
	return out
}

func (d *Device) interfaces(r *round, names map[string]string, up float64) {
	oper, admin, changed := r.column(ifOperStatus), r.column(ifAdminStatus), r.column(ifLastChange)
	speed, high, duplex := r.column(ifSpeed), r.column(ifHighSpeed), r.column(duplexStatus)
	if r.err != nil {
		return
	}
	restarted := up < d.up
	now := make(map[string]port, len(names))
	for _, index := range ordered(oper) {
		name := names[index]
		if name == "" {
			continue
		}
		state, _ := oper[index].number()
		p, is := d.ports[index], state == 1 // up(1)
		last, known := changed[index].number()
		last /= 100
		switch {
		case d.ports == nil || restarted: // nothing to compare with
		case is != p.up:
			p.flaps++
		case known && last > p.changed && p.changed > 0:
			p.flaps += 2 // away and back between two rounds
		}
		p.up, p.changed = is, last
		now[index] = p
		r.add("interface_up", truth(is), "interface", name)
		if n, ok := admin[index].number(); ok {
			r.add("interface_enabled", truth(n == 1), "interface", name)
		}
		r.add("interface_flaps_total", p.flaps, "interface", name)
		if n, ok := high[index].number(); ok && n > 0 {
			r.add("interface_speed_bits_per_second", n*1e6, "interface", name)
		} else if n, ok := speed[index].number(); ok && n > 0 {
			r.add("interface_speed_bits_per_second", n, "interface", name)
		}
		if n, ok := duplex[index].number(); ok && is && n != 1 { // unknown(1), halfDuplex(2), fullDuplex(3)
			r.add("interface_full_duplex", truth(n == 3), "interface", name)
		}
	}
	d.ports, d.up = now, up
	for _, c := range columns {
		values := r.column(c.oid)
		if len(values) == 0 && c.or != "" {
			values = r.column(c.or)
		}
		for _, index := range ordered(values) {
			if n, ok := values[index].number(); ok && names[index] != "" {
				r.add(c.metric, n, "interface", names[index])
			}
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
