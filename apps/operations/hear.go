package operations

import (
	"strings"
	"time"

	"zhiwei/engine"
)

// Line is a log line that came in from outside.
type Line struct {
	At    time.Time
	Thing string   // id, where the sender says it
	From  []string // else: addresses and names by which the ledger may know the sender
	Text  string
}

// Hear takes in a log line. One of a sender that the ledger does not know is
// counted and left.
func (a *App) Hear(l Line) {
	id := a.sender(l.Thing, l.From)
	if id == "" || !a.isAwake() {
		a.strangers.Add(1)
		return
	}
	a.senses.hear(id, a.clock.Now(), l.Text)
}

// trapped are the kinds of traps that are known as events, by their OID: RFC 3418
// (SNMPv2-MIB), 2863 (IF-MIB), 4188 (BRIDGE-MIB), 4750 (OSPF-TRAP-MIB), 4273
// (BGP4-MIB), 1628 (UPS-MIB).
var trapped = map[string]string{
	"1.3.6.1.6.3.1.1.5.3":   "linkDown",
	"1.3.6.1.2.1.17.0.1":    "newRoot",
	"1.3.6.1.2.1.17.0.2":    "topologyChange",
	"1.3.6.1.2.1.14.16.2.2": "ospfNbrStateChange",
	"1.3.6.1.2.1.15.7.2":    "bgpBackwardTransition",
	"1.3.6.1.2.1.33.2.1":    "upsOnBattery",
}

// over are the traps that end what another told.
var over = map[string]string{"1.3.6.1.6.3.1.1.5.4": "linkDown"}

// HearTrap takes in what a device reports by itself. Anybody may claim to be any
// device: it is evidence among other evidence.
func (a *App) HearTrap(from, oid string, values map[string]string) {
	id := a.sender("", []string{from})
	if id == "" || !a.isAwake() {
		a.strangers.Add(1)
		return
	}
	now := a.clock.Now()
	a.senses.mu.Lock()
	defer a.senses.mu.Unlock()
	if name := trapped[strings.TrimPrefix(oid, ".")]; name != "" {
		a.senses.say(engine.Symptom{Thing: id, Source: engine.FromEvent, Name: name, Labels: values, Since: now, At: now})
	}
	if name := over[strings.TrimPrefix(oid, ".")]; name != "" {
		a.senses.unsay(id, name)
		a.senses.say(engine.Symptom{Thing: id, Source: engine.FromEvent, Name: name, Absent: true, Labels: values, Since: now, At: now})
	}
}

// sender is the thing that sent something; empty where the ledger does not know
// it.
func (a *App) sender(thing string, from []string) string {
	a.world.mu.Lock()
	topo := a.world.topo
	a.world.mu.Unlock()
	if topo == nil {
		return ""
	}
	if _, ok := topo.Thing(thing); ok {
		return thing
	}
	for _, f := range from {
		if f == "" {
			continue
		}
		if t, ok := topo.At(f); ok {
			return t.ID
		}
		if t, ok := topo.Called(f); ok {
			return t.ID
		}
	}
	return ""
}

// unsay takes back an event of a thing.
func (s *senses) unsay(thing, name string) {
	list := s.said[thing]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Source == engine.FromEvent && list[i].Name == name {
			list = append(list[:i:i], list[i+1:]...)
		}
	}
	s.said[thing] = list
}

// Strangers counts the lines and traps of senders that the ledger does not know.
func (a *App) Strangers() int64 { return a.strangers.Load() }

func (a *App) isAwake() bool {
	select {
	case <-a.ready:
		return true
	default:
		return false
	}
}
