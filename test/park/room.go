package main

import (
	"io"
	"log"
	"math"
	"sync"
	"time"

	"github.com/simonvetter/modbus"
)

// Room is the machine room with its air conditioner, which speaks Modbus TCP:
//
//	coil 0        runs (can be written)
//	coil 1        dries (can be written)
//	discrete 0    alarm of the compressor
//	discrete 1    water under the raised floor
//	discrete 2    smoke
//	holding 0     set point, 0.1 °C (can be written)
//	input 0       temperature of the room, 0.1 °C
//	input 1       relative humidity, 0.1 %
//	input 2       temperature of the air it gives, 0.1 °C
//	input 3       pressure across the filter, Pa
//	input 4       air flow, 0.1 % of its design
//
// The room warms while nothing cools it and cools while something does. Its
// gateway carries other devices too, see meters.
type Room struct {
	mu       sync.Mutex
	running  bool
	burnt    bool // the compressor: the fans run, nothing is cooled
	leak     bool
	smoke    bool
	drying   bool
	setPoint float64
	warmth   float64
	humidity float64
	outside  float64 // humidity of the air that comes in
	clogged  float64 // share of the filter
	stuck    float64 // what the sensor of the return air says for ever; 0: it measures
	meters   map[uint8]*meters
	server   *modbus.ModbusServer
}

// What the room does: heat of the servers warms it to 41 °C at the most when
// nothing cools. Both rates are some fifty times those of a real room, so that a
// failure shows in a minute.
const (
	usual   = 23.0
	hottest = 41.0
	warming = 0.30 // °C a second
	cooling = 0.60
	moist   = 55.0 // % of humidity that the air usually has
	wetting = 2.0  // % a second
)

func newRoom(at string) (*Room, error) {
	r := &Room{running: true, setPoint: usual, warmth: usual, humidity: moist, outside: moist, meters: newMeters()}
	s, err := modbus.NewServer(&modbus.ServerConfiguration{URL: "tcp://" + at, Timeout: 30 * time.Second, MaxClients: 20, Logger: log.New(io.Discard, "", 0)}, r)
	if err != nil {
		return nil, err
	}
	r.server = s
	return r, s.Start()
}

// Pass lets time pass.
func (r *Room) Pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if want := r.wants(); r.humidity < want {
		r.humidity = min(want, r.humidity+wetting*d.Seconds())
	} else {
		r.humidity = max(want, r.humidity-wetting*d.Seconds())
	}
	if r.running && !r.burnt && !r.idles() {
		if r.warmth > r.setPoint {
			r.warmth = max(r.setPoint, r.warmth-cooling*d.Seconds())
		} else {
			r.warmth = min(r.setPoint, r.warmth+warming*d.Seconds())
		}
		return
	}
	r.warmth = min(hottest, r.warmth+warming*d.Seconds())
}

// wants is the humidity that the room goes to.
func (r *Room) wants() float64 {
	if r.drying {
		return min(r.outside, moist)
	}
	return r.outside
}

// returns is what the sensor of the return air says.
func (r *Room) returns() float64 {
	if r.stuck > 0 {
		return r.stuck
	}
	return r.warmth
}

// idles tells whether a stuck sensor lets the conditioner think that the room is
// cool enough.
func (r *Room) idles() bool { return r.stuck > 0 && r.stuck <= r.setPoint }

// gives is the temperature of the air that the conditioner gives.
func (r *Room) gives() float64 {
	if r.running && !r.burnt && !r.idles() {
		return r.warmth - 9
	}
	return r.warmth
}

// Humidity is the relative humidity of the room in percent.
func (r *Room) Humidity() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.humidity
}

// Set changes the room under its lock.
func (r *Room) Set(change func(r *Room)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

// Warmth is the temperature of the room in °C.
func (r *Room) Warmth() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.warmth
}

// Cools tells whether the air conditioner runs and cools.
func (r *Room) Cools() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running && !r.burnt
}

func cells[T any](all []T, from, n uint16) ([]T, error) {
	if int(from)+int(n) > len(all) {
		return nil, modbus.ErrIllegalDataAddress
	}
	return all[from : from+n], nil
}

// HandleCoils implements modbus.RequestHandler.
func (r *Room) HandleCoils(q *modbus.CoilsRequest) ([]bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.IsWrite {
		switch {
		case q.Quantity == 1 && q.Addr == 0:
			r.running = q.Args[0]
		case q.Quantity == 1 && q.Addr == 1:
			r.drying = q.Args[0]
		default:
			return nil, modbus.ErrIllegalDataAddress
		}
	}
	return cells([]bool{r.running, r.drying}, q.Addr, q.Quantity)
}

// HandleDiscreteInputs implements modbus.RequestHandler.
func (r *Room) HandleDiscreteInputs(q *modbus.DiscreteInputsRequest) ([]bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.meters[q.UnitId]; m != nil {
		return cells(m.discrete, q.Addr, q.Quantity)
	}
	return cells([]bool{r.burnt, r.leak, r.smoke}, q.Addr, q.Quantity)
}

// HandleHoldingRegisters implements modbus.RequestHandler.
func (r *Room) HandleHoldingRegisters(q *modbus.HoldingRegistersRequest) ([]uint16, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.IsWrite {
		if q.Addr != 0 || q.Quantity != 1 {
			return nil, modbus.ErrIllegalDataAddress
		}
		r.setPoint = float64(q.Args[0]) / 10
	}
	return cells([]uint16{tenths(r.setPoint)}, q.Addr, q.Quantity)
}

// HandleInputRegisters implements modbus.RequestHandler.
func (r *Room) HandleInputRegisters(q *modbus.InputRegistersRequest) ([]uint16, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.meters[q.UnitId]; m != nil {
		return cells(m.input, q.Addr, q.Quantity)
	}
	flow := 1 - 0.7*r.clogged
	if !r.running {
		flow = 0
	}
	return cells([]uint16{tenths(r.returns()), tenths(r.humidity), tenths(r.gives()), uint16(110 + 240*r.clogged), uint16(1000 * flow)}, q.Addr, q.Quantity)
}

func tenths(v float64) uint16 { return uint16(math.Round(v * 10)) }
