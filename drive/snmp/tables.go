package snmp

import (
	"cmp"
	"context"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"

	"zhiwei/kernel/errs"
)

// ordered lists the indices of columns, numbers in their order.
func ordered(columns ...map[string]value) []string {
	all := map[string]bool{}
	for _, c := range columns {
		for index := range c {
			all[index] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
}

// learnt counts the MAC addresses at each port.
func (r *round) learnt(names map[string]string) {
	ports := r.column(bridgePort)
	count := map[string]float64{}
	for _, v := range r.column(fdbPort) {
		if n, ok := v.number(); ok {
			if index, ok := ports[strconv.Itoa(int(n))].number(); ok {
				count[names[strconv.Itoa(int(index))]]++
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		if name != "" {
			r.add("bridge_mac_addresses", count[name], "interface", name)
		}
	}
}

// vlans tells in which VLAN each port is. A device that does not say which interface
// a bridge port is numbers both alike.
func (r *round) vlans(names map[string]string) {
	ports, vlans := r.column(bridgePort), r.column(portVLAN)
	for _, port := range ordered(vlans) {
		index := port
		if n, ok := ports[port].number(); ok {
			index = strconv.Itoa(int(n))
		}
		if n, ok := vlans[port].number(); ok && names[index] != "" {
			r.add("interface_vlan", n, "interface", names[index])
		}
	}
}

// ENTITY-SENSOR-MIB entPhySensorTable, and the names of ENTITY-MIB.
const (
	sensorType   = "1.3.6.1.2.1.99.1.1.1.1"
	sensorScale  = "1.3.6.1.2.1.99.1.1.1.2"
	sensorDigits = "1.3.6.1.2.1.99.1.1.1.3"
	sensorValue  = "1.3.6.1.2.1.99.1.1.1.4"
	sensorStatus = "1.3.6.1.2.1.99.1.1.1.5"
	entityName   = "1.3.6.1.2.1.47.1.1.1.1.7"
)

// sensorMetrics by EntitySensorDataType.
var sensorMetrics = map[float64]string{
	3: "hardware_voltage_volts", 4: "hardware_voltage_volts", 5: "hardware_current_amperes", 6: "hardware_power_watts",
	8: "hardware_temperature_celsius", 10: "hardware_fan_rpm",
}

func (r *round) sensors() {
	types := r.column(sensorType)
	if len(types) == 0 {
		return
	}
	scale, digits, values, status, names := r.column(sensorScale), r.column(sensorDigits), r.column(sensorValue), r.column(sensorStatus), r.column(entityName)
	for _, index := range ordered(types) {
		kind, _ := types[index].number()
		v, ok := values[index].number()
		state, said := status[index].number()
		if sensorMetrics[kind] == "" || !ok || said && state != 1 { // ok(1)
			continue
		}
		if n, ok := scale[index].number(); ok { // units(9), each step a thousand
			v *= math.Pow(1000, n-9)
		}
		if n, ok := digits[index].number(); ok {
			v *= math.Pow(10, -n)
		}
		name := names[index].text()
		if name == "" {
			name = index
		}
		r.add(sensorMetrics[kind], v, "sensor", name)
	}
}

// HOST-RESOURCES-MIB.
const (
	processorLoad = "1.3.6.1.2.1.25.3.3.1.2"
	storageType   = "1.3.6.1.2.1.25.2.3.1.2"
	storageDescr  = "1.3.6.1.2.1.25.2.3.1.3"
	storageUnit   = "1.3.6.1.2.1.25.2.3.1.4"
	storageSize   = "1.3.6.1.2.1.25.2.3.1.5"
	storageUsed   = "1.3.6.1.2.1.25.2.3.1.6"
)

// storageTypes by the last number of hrStorageTypes.
var storageTypes = map[string]string{"2": "memory", "3": "swap", "4": "disk", "9": "flash"}

func (r *round) host() {
	load := r.column(processorLoad)
	for i, index := range ordered(load) {
		if n, ok := load[index].number(); ok {
			r.add("device_processor_load_ratio", n/100, "processor", strconv.Itoa(i))
		}
	}
	types := r.column(storageType)
	if len(types) == 0 {
		return
	}
	names, unit, size, used := r.column(storageDescr), r.column(storageUnit), r.column(storageSize), r.column(storageUsed)
	for _, index := range ordered(types) {
		oid := types[index].text()
		kind := storageTypes[oid[strings.LastIndexByte(oid, '.')+1:]]
		u, ok1 := unit[index].number()
		n, ok2 := size[index].number()
		m, ok3 := used[index].number()
		if kind == "" || !ok1 || !ok2 || !ok3 || n <= 0 {
			continue
		}
		r.add("device_storage_size_bytes", u*n, "storage", names[index].text(), "type", kind)
		r.add("device_storage_used_bytes", u*m, "storage", names[index].text(), "type", kind)
	}
}

// Neighbour is somebody a device sees at one of its ports.
type Neighbour struct {
	Port    string // of the device asked
	Source  string // lldp, arp, bridge
	Name    string // what the neighbour calls itself; lldp only
	MAC     string
	Address string // IP address; arp, and lldp where it tells one
	There   string // the neighbour's own port; lldp only
}

const (
	bridgePort = "1.3.6.1.2.1.17.1.4.1.2" // dot1dBasePortIfIndex
	fdbPort    = "1.3.6.1.2.1.17.4.3.1.2" // dot1dTpFdbPort, index: the MAC address
	arpMAC     = "1.3.6.1.2.1.4.22.1.2"   // ipNetToMediaPhysAddress, index: ifIndex and IP address
	arpType    = "1.3.6.1.2.1.4.22.1.4"   // ipNetToMediaType

	lldpLocalPort = "1.0.8802.1.1.2.1.3.7.1.3" // lldpLocPortId, index: port number
	lldpLocalDesc = "1.0.8802.1.1.2.1.3.7.1.4"
	lldpChassisAs = "1.0.8802.1.1.2.1.4.1.1.4" // lldpRemChassisIdSubtype, index: time, port number, remote
	lldpChassis   = "1.0.8802.1.1.2.1.4.1.1.5"
	lldpPortAs    = "1.0.8802.1.1.2.1.4.1.1.6"
	lldpPort      = "1.0.8802.1.1.2.1.4.1.1.7"
	lldpName      = "1.0.8802.1.1.2.1.4.1.1.9"
	lldpAddress   = "1.0.8802.1.1.2.1.4.2.1.3" // lldpRemManAddrIfSubtype, index: …, subtype, length, address
)

// Neighbours tells whom a device sees: LLDP first, then its ARP and bridge
// tables, each in the order of its ports. Errors as Identify; a table that is
// longer than is read is returned beside TooLarge.
func (t Target) Neighbours(ctx context.Context) ([]Neighbour, error) {
	s, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if _, err := s.get(sysUpTime); err != nil {
		return nil, err
	}
	r := &round{s: s}
	names := names(r)
	out := append(r.lldp(names), r.arp(names)...)
	ports := r.column(bridgePort)
	fdb := r.column(fdbPort)
	for _, index := range ordered(fdb) {
		n, ok := fdb[index].number()
		at, there := ports[strconv.Itoa(int(n))].number()
		if mac := numbers(index, 6); ok && there && mac != nil {
			out = append(out, Neighbour{Port: names[strconv.Itoa(int(at))], Source: "bridge", MAC: net.HardwareAddr(mac).String()})
		}
	}
	if r.err == nil && len(fdb) >= maxRows {
		r.err = s.failed(errRows)
	}
	if errs.Is(r.err, errs.Unavailable) && len(out) == 0 {
		return nil, r.err
	}
	return out, r.err
}

func (r *round) arp(names map[string]string) (out []Neighbour) {
	macs, types := r.column(arpMAC), r.column(arpType)
	for _, index := range ordered(macs) {
		at, ip, _ := strings.Cut(index, ".")
		if kind, ok := types[index].number(); ok && kind == 2 { // invalid(2)
			continue
		}
		if b := numbers(ip, 4); b != nil && macs[index].mac() != "" {
			out = append(out, Neighbour{Port: names[at], Source: "arp", MAC: macs[index].mac(), Address: net.IP(b).String()})
		}
	}
	return out
}

func (r *round) lldp(names map[string]string) (out []Neighbour) {
	remote := r.column(lldpChassis)
	if len(remote) == 0 {
		return nil
	}
	as, ports, portsAs, said := r.column(lldpChassisAs), r.column(lldpPort), r.column(lldpPortAs), r.column(lldpName)
	local, described := r.column(lldpLocalPort), r.column(lldpLocalDesc)
	address := map[string]string{}
	for index := range r.column(lldpAddress) {
		// time.port.remote.subtype.length.address…; subtype 1 is IPv4
		f := strings.SplitN(index, ".", 6)
		if len(f) == 6 && f[3] == "1" && f[4] == "4" {
			if b := numbers(f[5], 4); b != nil {
				address[strings.Join(f[:3], ".")] = net.IP(b).String()
			}
		}
	}
	known := map[string]bool{}
	for _, n := range names {
		known[n] = true
	}
	for _, index := range ordered(remote) {
		f := strings.Split(index, ".")
		if len(f) != 3 {
			continue
		}
		// The local port is named by the LLDP port table; where that gives no name
		// of a port, the port number is mostly its ifIndex (IEEE 802.1AB §9.4.3).
		here := local[f[1]].text()
		if !known[here] {
			here = described[f[1]].text()
		}
		if !known[here] && names[f[1]] != "" {
			here = names[f[1]]
		}
		n := Neighbour{Port: here, Source: "lldp", Name: said[index].text(), Address: address[index], There: ports[index].text()}
		if kind, _ := as[index].number(); kind == 4 { // macAddress(4)
			n.MAC = remote[index].mac()
		}
		if kind, _ := portsAs[index].number(); kind == 3 { // macAddress(3)
			n.There = ports[index].mac()
		}
		out = append(out, n)
	}
	return out
}

// numbers reads n decimal bytes separated by dots; nil where they are none.
func numbers(s string, n int) []byte {
	f := strings.Split(s, ".")
	if len(f) != n {
		return nil
	}
	out := make([]byte, n)
	for i, x := range f {
		v, err := strconv.ParseUint(x, 10, 8)
		if err != nil {
			return nil
		}
		out[i] = byte(v)
	}
	return out
}
