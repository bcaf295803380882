package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Body is the body of a server: its fans and temperatures, told by a management
// controller over Redfish (DMTF DSP0266; resources of DSP2046).
type Body struct {
	serial string
	mu     sync.Mutex
	fans   []int // rpm
	inlet  float64
	cpu    float64
	psu    string  // health of the second power supply
	volts  float64 // of the 12 V rail
	dust   float64 // °C by which it is hotter than it should be
	off    bool
	power  func(on bool) // told when somebody switches it
	srv    *http.Server
	l      net.Listener

	Fingerprint string // SHA-256 of its certificate, hexadecimal
}

// The account of the management controllers.
const (
	redfishUser     = "monitor"
	redfishPassword = "monitor-only"
)

// railVolts is what the 12 V rail has; below railLeast the board is in danger.
const (
	railVolts = 12.1
	railLeast = 11.0
)

// fanRPM is what a fan turns at; one of Speed failed turns at 0.
const fanRPM = 6200

func newBody(at, serial string, cert tls.Certificate) (*Body, error) {
	l, err := tls.Listen("tcp", at, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(cert.Certificate[0])
	b := &Body{serial: serial, fans: []int{fanRPM, fanRPM - 80, fanRPM + 60}, inlet: 23, cpu: 52, psu: "OK", volts: railVolts, l: l, Fingerprint: hex.EncodeToString(sum[:])}
	b.srv = &http.Server{Handler: b, ReadHeaderTimeout: 5 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = b.srv.Serve(l) }()
	return b, nil
}

// Set changes the body under its lock.
func (b *Body) Set(change func(b *Body)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

// Pass lets the temperatures follow the room and the fans.
func (b *Body) Pass(room float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inlet = room
	target := room + 29 + b.dust
	for _, f := range b.fans {
		if f == 0 {
			target += 14
		}
	}
	b.cpu += (target - b.cpu) / 20
}

// Off tells whether it is switched off.
func (b *Body) Off() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.off
}

// FansTurn tells whether every fan turns.
func (b *Body) FansTurn() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.fans {
		if f == 0 {
			return false
		}
	}
	return true
}

type object = map[string]any

func health(bad bool) object {
	if bad {
		return object{"State": "Enabled", "Health": "Critical"}
	}
	return object{"State": "Enabled", "Health": "OK"}
}

// ServeHTTP answers as a controller does.
func (b *Body) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if user, password, _ := r.BasicAuth(); path != "/redfish/v1" && (user != redfishUser || password != redfishPassword) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodPost {
		b.reset(w, r, path)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	link := func(p string) object { return object{"@odata.id": p} }
	list := func(p string) object {
		return object{"@odata.id": p, "Members@odata.count": 1, "Members": []object{link(p + "/1")}}
	}
	const chassis, system = "/redfish/v1/Chassis/1", "/redfish/v1/Systems/1"
	var answer object
	switch path {
	case "/redfish/v1":
		answer = object{"@odata.id": path, "Id": "RootService", "RedfishVersion": "1.15.0", "Systems": link("/redfish/v1/Systems"), "Chassis": link("/redfish/v1/Chassis")}
	case "/redfish/v1/Systems", "/redfish/v1/Chassis":
		answer = list(path)
	case system:
		answer = object{
			"@odata.id": path, "Id": "1", "Name": "server", "Manufacturer": "Inspur", "Model": "NF5280M6", "SerialNumber": b.serial, "PowerState": map[bool]string{true: "Off", false: "On"}[b.off],
			"Actions": object{"#ComputerSystem.Reset": object{"target": system + resetAction, "ResetType@Redfish.AllowableValues": []string{"On", "ForceOff", "PowerCycle"}}},
			"Status":  health(false), "MemorySummary": object{"Status": health(false)},
		}
	case chassis:
		answer = object{"@odata.id": path, "Id": "1", "Name": "chassis", "Status": health(b.volts < railLeast), "Thermal": link(chassis + "/Thermal"), "Power": link(chassis + "/Power")}
	case chassis + "/Thermal":
		var fans []object
		for i, rpm := range b.fans {
			fans = append(fans, object{"MemberId": string(rune('0' + i)), "Name": "Fan" + string(rune('1'+i)), "Reading": rpm, "ReadingUnits": "RPM", "Status": health(rpm == 0)})
		}
		answer = object{
			"@odata.id": path, "Id": "Thermal", "Name": "thermal", "Fans": fans,
			"Temperatures": []object{
				{"MemberId": "0", "Name": "Inlet", "ReadingCelsius": b.inlet, "UpperThresholdCritical": 42, "Status": health(b.inlet > 42)},
				{"MemberId": "1", "Name": "CPU1", "ReadingCelsius": b.cpu, "UpperThresholdCritical": 90, "Status": health(b.cpu > 90)},
			},
		}
	case chassis + "/Power":
		answer = object{
			"@odata.id": path, "Id": "Power", "Name": "power", "PowerControl": []object{{"MemberId": "0", "Name": "System", "PowerConsumedWatts": 344}},
			"PowerSupplies": []object{
				{"MemberId": "0", "Name": "PSU1", "Status": health(false)},
				{"MemberId": "1", "Name": "PSU2", "Status": health(b.psu != "OK")},
			},
			"Voltages": []object{{"MemberId": "0", "Name": "P12V", "ReadingVolts": b.volts, "LowerThresholdCritical": railLeast, "Status": health(b.volts < railLeast)}},
		}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// resetAction is where a system is switched on and off (DSP2046, ComputerSystem).
const resetAction = "/Actions/ComputerSystem.Reset"

// reset switches the server as it was asked to.
func (b *Body) reset(w http.ResponseWriter, r *http.Request, path string) {
	var asked struct{ ResetType string }
	if err := json.NewDecoder(io.LimitReader(r.Body, 4096)).Decode(&asked); err != nil || !strings.HasSuffix(path, resetAction) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	on := asked.ResetType != "ForceOff"
	b.mu.Lock()
	b.off = !on
	tell := b.power
	b.mu.Unlock()
	if tell != nil {
		tell(on)
	}
	w.WriteHeader(http.StatusNoContent)
}

// Close ends the controller.
func (b *Body) Close() { _ = b.srv.Close() }
