package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// fleet is many devices on this machine, each with an address of its own in
// 127.0.0.0/8: half of them speak SNMP v2c, as switches of three ports, half
// Prometheus' exposition, as hosts. Each tells 50 measurements.
type fleet struct {
	devices []device
	agent   *net.UDPConn
	web     net.Listener
	server  *http.Server
	readers sync.WaitGroup
	began   time.Time
	objects []object
}

// device is one of a fleet. Those of even number are hosts.
type device struct {
	address netip.Addr
	silent  atomic.Bool // answers nothing
	broken  atomic.Bool // a host: its file system can no longer be written to; a switch: a port is down

	mu     sync.Mutex
	begun  time.Time       // of the last round
	late   []time.Duration // how far each round began from its time
	rounds int
}

// every is how often the fleet is to be measured, and told how many measurements
// each device tells.
const (
	fleetEvery = 30 * time.Second
	fleetTold  = 50
	fleetNet   = 127<<24 | 90<<16
)

func newFleet(n int) (*fleet, error) {
	f := &fleet{devices: make([]device, n), began: time.Now(), objects: objects()}
	for i := range f.devices {
		f.devices[i].address = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(fleetNet+1+i))))
	}
	var err error
	// One socket for all addresses: the system tells which one was asked.
	if f.agent, err = net.ListenUDP("udp4", &net.UDPAddr{}); err != nil {
		return nil, err
	}
	_ = f.agent.SetReadBuffer(4 << 20)
	raw, err := f.agent.SyscallConn()
	if err != nil {
		return nil, err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1) }); err != nil || set != nil {
		return nil, errors.Join(err, set)
	}
	if f.web, err = net.Listen("tcp4", "0.0.0.0:0"); err != nil {
		return nil, err
	}
	f.server = &http.Server{Handler: http.HandlerFunc(f.expose), ReadHeaderTimeout: time.Minute}
	for range 2 {
		f.readers.Go(f.answer)
	}
	f.readers.Go(func() { _ = f.server.Serve(f.web) })
	return f, nil
}

func (f *fleet) close() {
	_ = f.agent.Close()
	_ = f.server.Close()
	f.readers.Wait()
}

// snmpPort and webPort are the same at every device.
func (f *fleet) snmpPort() int { return f.agent.LocalAddr().(*net.UDPAddr).Port }
func (f *fleet) webPort() int  { return f.web.Addr().(*net.TCPAddr).Port }

// at finds the device of an address.
func (f *fleet) at(a [4]byte) (int, *device) {
	i := int(binary.BigEndian.Uint32(a[:])) - fleetNet - 1
	if i < 0 || i >= len(f.devices) {
		return 0, nil
	}
	return i, &f.devices[i]
}

// asked notes that somebody asks; what comes within a third of the interval
// belongs to one round.
func (d *device) asked() {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	gap := now.Sub(d.begun)
	if gap < fleetEvery/3 {
		return
	}
	if d.rounds++; !d.begun.IsZero() {
		d.late = append(d.late, (gap - fleetEvery).Abs())
	}
	d.begun = now
}

// lateness is how far rounds began from their time since the last call.
func (f *fleet) lateness() (out latencies, rounds int) {
	for i := range f.devices {
		d := &f.devices[i]
		d.mu.Lock()
		out = append(out, d.late...)
		rounds += d.rounds
		d.late, d.rounds = nil, 0
		d.mu.Unlock()
	}
	return out, rounds
}

// noise is a number in [0, 1) that is a device's own and changes slowly.
func noise(i, of int, t float64) float64 {
	x := math.Sin(float64(i*31+of*17)*12.9898)*43758.5453 + t/600
	return 0.5 + 0.4*math.Sin(2*math.Pi*x) + 0.05*math.Sin(37*x+t)
}

// expose answers as an exporter on a host does.
func (f *fleet) expose(w http.ResponseWriter, r *http.Request) {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || len(local.IP.To4()) != 4 {
		http.NotFound(w, r)
		return
	}
	i, d := f.at([4]byte(local.IP.To4()))
	if d == nil {
		http.NotFound(w, r)
		return
	}
	if d.silent.Load() {
		panic(http.ErrAbortHandler)
	}
	d.asked()
	t := time.Since(f.began).Seconds()
	b := make([]byte, 0, 6<<10)
	n := 0
	put := func(name string, v float64) {
		b = append(b, name...)
		b = append(b, ' ')
		b = strconv.AppendFloat(b, v, 'g', -1, 64)
		b = append(b, '\n')
		n++
	}
	rises := func(name string, rate float64) { put(name, math.Floor(1e6+rate*t*(0.9+0.2*noise(i, n, 0)))) }
	for _, l := range []string{"1", "5", "15"} {
		put("node_load"+l, math.Round(300*noise(i, n, t))/100)
	}
	put("node_boot_time_seconds", float64(f.began.Unix()-864000))
	put("node_memory_MemTotal_bytes", 16<<30)
	for _, m := range []string{"MemAvailable", "MemFree", "Buffers", "Cached"} {
		put("node_memory_"+m+"_bytes", math.Floor((6+noise(i, n, t))*(1<<30)))
	}
	put("node_memory_SwapTotal_bytes", 2<<30)
	put("node_memory_SwapFree_bytes", 2<<30)
	for k, mount := range []string{"/", "/data"} {
		of := `{device="/dev/sda` + strconv.Itoa(k+1) + `",fstype="ext4",mountpoint="` + mount + `"}`
		readonly := 0.0
		if d.broken.Load() && k == 1 {
			readonly = 1
		}
		put("node_filesystem_size_bytes"+of, 500e9)
		put("node_filesystem_avail_bytes"+of, math.Floor(200e9+1e9*noise(i, n, t)))
		put("node_filesystem_files"+of, 1e7)
		put("node_filesystem_files_free"+of, math.Floor(9e6+1e5*noise(i, n, t)))
		put("node_filesystem_readonly"+of, readonly)
	}
	for _, cpu := range []string{"0", "1"} {
		for _, mode := range []struct {
			name string
			rate float64
		}{{"idle", 0.8}, {"user", 0.15}, {"system", 0.04}, {"iowait", 0.01}} {
			put(`node_cpu_seconds_total{cpu="`+cpu+`",mode="`+mode.name+`"}`, math.Round(100*(1e5+mode.rate*t))/100)
		}
	}
	for _, m := range []string{"reads_completed_total", "writes_completed_total", "read_bytes_total", "written_bytes_total"} {
		rises(`node_disk_`+m+`{device="sda"}`, 500)
	}
	for _, m := range []string{"io_time_seconds_total", "read_time_seconds_total", "write_time_seconds_total"} {
		put(`node_disk_`+m+`{device="sda"}`, math.Round(1000*(1e4+0.05*t))/1000)
	}
	for _, way := range []string{"receive", "transmit"} {
		rises(`node_network_`+way+`_bytes_total{device="eth0"}`, 1e6)
		rises(`node_network_`+way+`_packets_total{device="eth0"}`, 1e3)
		put(`node_network_`+way+`_errs_total{device="eth0"}`, 0)
	}
	put("node_filefd_allocated", math.Floor(3000+500*noise(i, n, t)))
	put("node_filefd_maximum", 1e6)
	put("node_procs_running", math.Floor(1+3*noise(i, n, t)))
	put("node_procs_blocked", 0)
	put("node_timex_offset_seconds", 1e-5*noise(i, n, t))
	put("node_timex_sync_status", 1)
	put("node_sockstat_TCP_tw", math.Floor(100*noise(i, n, t)))
	put("node_vmstat_oom_kill", 0)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(b) // who asked may be gone
}

// object is something that an SNMP agent tells: its identifier, and what writes
// its value.
type object struct {
	id    []uint32
	value func(b []byte, i int, d *device, t float64) []byte
}

// Types of SNMP values and messages (RFC 2578 §7, RFC 3416 §3).
const (
	berInteger = 0x02
	berOctets  = 0x04
	berOID     = 0x06
	berCounter = 0x41
	berGauge   = 0x42
	berTicks   = 0x43
	berLong    = 0x46 // Counter64
	berNoSuch  = 0x80
	berEnd     = 0x82
	pduGet     = 0xa0
	pduAnswer  = 0xa2
	pduBulk    = 0xa5
)

// objects are those of a switch of three ports, in the order of their
// identifiers: 50 measurements come of them in drive/snmp.
func objects() []object {
	var out []object
	add := func(id string, value func(b []byte, i int, d *device, t float64) []byte) {
		var o object
		for part := range strings.SplitSeq(id, ".") {
			n, _ := strconv.ParseUint(part, 10, 32) // the identifiers stand below
			o.id = append(o.id, uint32(n))
		}
		o.value = value
		out = append(out, o)
	}
	fixed := func(kind byte, v uint64) func([]byte, int, *device, float64) []byte {
		return func(b []byte, _ int, _ *device, _ float64) []byte { return berNumber(b, kind, v) }
	}
	text := func(s string) func([]byte, int, *device, float64) []byte {
		return func(b []byte, _ int, _ *device, _ float64) []byte {
			return append(append(b, berOctets, byte(len(s))), s...)
		}
	}
	rises := func(kind byte, rate float64) func([]byte, int, *device, float64) []byte {
		return func(b []byte, _ int, _ *device, t float64) []byte { return berNumber(b, kind, uint64(1e6+rate*t)) }
	}
	add("1.3.6.1.2.1.1.3.0", func(b []byte, _ int, _ *device, t float64) []byte {
		return berNumber(b, berTicks, uint64(8640000+100*t))
	})
	add("1.3.6.1.2.1.17.2.4.0", fixed(berCounter, 3))
	for p := 1; p <= 3; p++ {
		port, last := strconv.Itoa(p), p == 3
		add("1.3.6.1.2.1.2.2.1.2."+port, text("GigabitEthernet0/"+port))
		add("1.3.6.1.2.1.2.2.1.5."+port, fixed(berGauge, 1e9))
		add("1.3.6.1.2.1.2.2.1.7."+port, fixed(berInteger, 1))
		add("1.3.6.1.2.1.2.2.1.8."+port, func(b []byte, _ int, d *device, _ float64) []byte {
			if last && d.broken.Load() {
				return berNumber(b, berInteger, 2)
			}
			return berNumber(b, berInteger, 1)
		})
		add("1.3.6.1.2.1.2.2.1.9."+port, fixed(berTicks, 8640000))
		for _, c := range []string{"13", "14", "19", "20"} {
			add("1.3.6.1.2.1.2.2.1."+c+"."+port, fixed(berCounter, 0))
		}
		add("1.3.6.1.2.1.10.7.2.1.3."+port, fixed(berCounter, 0))
		add("1.3.6.1.2.1.10.7.2.1.8."+port, fixed(berCounter, 0))
		add("1.3.6.1.2.1.10.7.2.1.19."+port, fixed(berInteger, 3))
		add("1.3.6.1.2.1.31.1.1.1.1."+port, text("Gi0/"+port))
		add("1.3.6.1.2.1.31.1.1.1.6."+port, rises(berLong, 1e6))
		add("1.3.6.1.2.1.31.1.1.1.7."+port, rises(berLong, 1e3))
		add("1.3.6.1.2.1.31.1.1.1.9."+port, rises(berLong, 5))
		add("1.3.6.1.2.1.31.1.1.1.10."+port, rises(berLong, 1e6))
		add("1.3.6.1.2.1.31.1.1.1.11."+port, rises(berLong, 1e3))
		add("1.3.6.1.2.1.31.1.1.1.15."+port, fixed(berGauge, 1000))
	}
	slices.SortFunc(out, func(a, b object) int { return slices.Compare(a.id, b.id) })
	return out
}

// answer answers SNMP until the socket is closed.
func (f *fleet) answer() {
	in, oob, out := make([]byte, 4<<10), make([]byte, 64), make([]byte, 0, 64<<10)
	for {
		n, m, _, from, err := f.agent.ReadMsgUDPAddrPort(in, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// What the system says of where it came to: a header of 16 bytes, the
		// interface, the address to answer from, the address that was asked (ip(7)).
		const header, info = 16, 12
		if err != nil || m < header+info {
			continue
		}
		i, d := f.at([4]byte(oob[header+8 : header+12]))
		if d == nil || d.silent.Load() {
			continue
		}
		d.asked()
		reply, ok := f.reply(out[:0], in[:n], i, d)
		if !ok {
			continue
		}
		clear(oob[header : header+4])
		copy(oob[header+4:], oob[header+8:header+12])
		_, _, _ = f.agent.WriteMsgUDPAddrPort(reply, oob[:m], from) // as a device, it does not ask whether it arrived
	}
}

// reply makes the answer to GET and GETBULK of SNMP v2c (RFC 3416 §4.2); ok is
// false where the packet is none.
func (f *fleet) reply(out, in []byte, i int, d *device) (_ []byte, ok bool) {
	_, message, _, ok := berTake(in)
	if !ok {
		return nil, false
	}
	var field [3][]byte // version, community, message
	var kind byte
	for k := range field {
		if kind, field[k], message, ok = berTake(message); !ok {
			return nil, false
		}
	}
	var part [4][]byte // request, non-repeaters, repetitions, bindings
	body := field[2]
	for k := range part {
		if _, part[k], body, ok = berTake(body); !ok {
			return nil, false
		}
	}
	single, repeat := 0, 1
	if kind == pduBulk && len(part[1]) > 0 && len(part[2]) > 0 {
		single, repeat = int(part[1][len(part[1])-1]), int(part[2][len(part[2])-1])
	} else if kind != pduGet {
		return nil, false
	}
	var asked [][]uint32
	for bindings := part[3]; len(bindings) > 0; {
		var one []byte
		if _, one, bindings, ok = berTake(bindings); !ok {
			return nil, false
		}
		_, id, _, ok := berTake(one)
		if !ok {
			return nil, false
		}
		asked = append(asked, berIdentifier(id))
	}
	t := time.Since(f.began).Seconds()
	var told []byte
	if kind == pduGet {
		for _, id := range asked {
			at, found := slices.BinarySearchFunc(f.objects, id, func(o object, id []uint32) int { return slices.Compare(o.id, id) })
			told = f.bind(told, id, at, !found, berNoSuch, i, d, t)
		}
	} else {
		for k := range repeat {
			if len(told) > 1300 { // of a packet of an Ethernet: a device sends no longer ones
				break
			}
			for j, id := range asked {
				if k > 0 && j < single {
					continue
				}
				at, found := slices.BinarySearchFunc(f.objects, id, func(o object, id []uint32) int { return slices.Compare(o.id, id) })
				if found {
					at++
				}
				end := at >= len(f.objects)
				if !end {
					asked[j] = f.objects[at].id
				}
				told = f.bind(told, asked[j], at, end, berEnd, i, d, t)
			}
		}
	}
	pdu := berWrap(nil, berInteger, part[0])
	pdu = append(pdu, berInteger, 1, 0, berInteger, 1, 0) // no error
	pdu = berWrap(pdu, 0x30, told)
	whole := berWrap(nil, berInteger, field[0])
	whole = berWrap(whole, berOctets, field[1])
	return berWrap(out, 0x30, berWrap(whole, pduAnswer, pdu)), true
}

// bind appends an identifier with its value, or with what says that there is none.
func (f *fleet) bind(b []byte, id []uint32, at int, none bool, say byte, i int, d *device, t float64) []byte {
	one := berWrap(nil, berOID, berObject(id))
	if none {
		one = append(one, say, 0)
	} else {
		one = f.objects[at].value(one, i, d, t)
	}
	return berWrap(b, 0x30, one)
}

// berTake reads one value: its type, what is in it, and what follows.
func berTake(b []byte) (kind byte, body, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	n, head := int(b[1]), 2
	if n >= 0x80 {
		more := n & 0x7f
		if more == 0 || more > 2 || len(b) < 2+more {
			return 0, nil, nil, false
		}
		n = 0
		for _, c := range b[2 : 2+more] {
			n = n<<8 | int(c)
		}
		head += more
	}
	if len(b) < head+n {
		return 0, nil, nil, false
	}
	return b[0], b[head : head+n], b[head+n:], true
}

// berWrap appends a value of a type.
func berWrap(b []byte, kind byte, body []byte) []byte {
	b = append(b, kind)
	switch n := len(body); {
	case n < 0x80:
		b = append(b, byte(n))
	case n < 0x100:
		b = append(b, 0x81, byte(n))
	default:
		b = append(b, 0x82, byte(n>>8), byte(n))
	}
	return append(b, body...)
}

// berNumber appends a number that is not below 0.
func berNumber(b []byte, kind byte, v uint64) []byte {
	full := binary.BigEndian.AppendUint64([]byte{0}, v)
	for len(full) > 1 && full[0] == 0 && full[1] < 0x80 {
		full = full[1:]
	}
	return append(append(b, kind, byte(len(full))), full...)
}

// berObject writes an identifier, berIdentifier reads it (X.690 §8.19).
func berObject(id []uint32) []byte {
	b := []byte{byte(id[0]*40 + id[1])}
	for _, v := range id[2:] {
		for shift := 28; shift > 0; shift -= 7 {
			if v>>shift != 0 {
				b = append(b, byte(v>>shift)|0x80)
			}
		}
		b = append(b, byte(v)&0x7f)
	}
	return b
}

func berIdentifier(b []byte) []uint32 {
	if len(b) == 0 {
		return nil
	}
	id := []uint32{uint32(b[0]) / 40, uint32(b[0]) % 40}
	v := uint32(0)
	for _, c := range b[1:] {
		v = v<<7 | uint32(c&0x7f)
		if c < 0x80 {
			id, v = append(id, v), 0
		}
	}
	return id
}

// wait returns when every device was asked once.
func (f *fleet) wait(ctx context.Context, within time.Duration) error {
	for end := time.Now().Add(within); ; {
		some := 0
		for i := range f.devices {
			d := &f.devices[i]
			d.mu.Lock()
			if d.rounds > 0 {
				some++
			}
			d.mu.Unlock()
		}
		if some == len(f.devices) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d devices were asked within %v", some, len(f.devices), within)
		}
		if err := rest(ctx, time.Second); err != nil {
			return err
		}
	}
}
