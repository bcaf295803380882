// Package redfish asks the management controllers of servers over Redfish: what
// they are, whether they are on, how their parts, temperatures, fans and power
// supplies do. It can reset a system where it is told to, and changes nothing
// else.
//
// Source: DMTF DSP0266 (Redfish Specification) and DSP2046 (resources Chassis,
// ComputerSystem, Thermal, Power).
package redfish

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/common"
	"github.com/stmcginnis/gofish/redfish"

	"zhiwei/kernel/clock"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Bounds of one round.
const (
	maxBody  = 8 << 20 // of one answer
	maxParts = 64      // systems, and chassis, that are asked
)

// Target is a management controller.
type Target struct {
	URL      string // "https://10.0.0.20"; http only where the network is trusted
	User     string
	Password string // never logged
	// Fingerprint is the SHA-256 of the controller's certificate in hexadecimal,
	// colons allowed: most certificates of controllers are their own. Empty: the
	// certificate must be one that this machine trusts.
	Fingerprint string
	Clock       clock.Clock
}

const op = "redfish"

// Name names the source.
func (*Target) Name() string { return "redfish" }

var errCertificate = errors.New("another certificate than the one that is expected")

// bounded cuts off what is longer than any controller's answer, and notes a
// refusal: of lists the library keeps no more of it than a text.
type bounded struct {
	*http.Transport
	denied *atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.Transport.RoundTrip(r)
	if err == nil {
		if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
			b.denied.Store(true)
		}
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxBody), res.Body}
	}
	return res, err
}

// talk is a conversation with a controller.
type talk struct {
	*gofish.APIClient
	url    string
	denied atomic.Bool
	end    func() // closes its connections
}

func (t *Target) connect(ctx context.Context) (*talk, error) {
	u, err := url.Parse(t.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return nil, errs.E(errs.Invalid, op, "", "Redfish 地址须如 https://10.0.0.20，用户与口令另填。", "A Redfish address is such as https://10.0.0.20; user and password are given apart.").At("url")
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if want := strings.ToLower(strings.ReplaceAll(t.Fingerprint, ":", "")); want != "" {
		settings.InsecureSkipVerify = true // the certificate itself is compared instead
		settings.VerifyConnection = func(s tls.ConnectionState) error {
			got := sha256.Sum256(s.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(got[:])), []byte(want)) != 1 {
				return errCertificate
			}
			return nil
		}
	}
	c := &talk{url: t.URL}
	transport := bounded{&http.Transport{TLSClientConfig: settings, MaxIdleConnsPerHost: 1, MaxResponseHeaderBytes: 64 << 10}, &c.denied}
	c.end = transport.CloseIdleConnections
	// A redirect could carry the password elsewhere.
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c.APIClient, err = gofish.ConnectContext(ctx, gofish.ClientConfig{
		Endpoint: u.Scheme + "://" + u.Host, Username: t.User, Password: t.Password, BasicAuth: true, HTTPClient: client,
	})
	if err != nil {
		c.end()
		return nil, c.failed(err)
	}
	return c, nil
}

func (t *talk) failed(err error) error {
	var own *errs.Error
	switch {
	case errors.As(err, &own):
		return err
	case t.denied.Load():
		return errs.E(errs.Forbidden, op, t.url, "管理口 "+t.url+" 不接受这个用户或口令，或不允许这样做。", "The controller "+t.url+" does not take this user or password, or does not allow this.").Because(err)
	case errors.Is(err, errCertificate):
		return errs.E(errs.Forbidden, op, t.url, "管理口 "+t.url+" 出示的证书与登记的不同；请确认没有被冒充，再更新指纹。", "The controller "+t.url+" shows another certificate than the registered one; make sure that nobody poses as it, then renew the fingerprint.").Because(err)
	}
	return errs.E(errs.Unavailable, op, t.url, "管理口 "+t.url+" 没有给出 Redfish 应答；请检查地址、网络与证书。", "The controller "+t.url+" does not answer in Redfish; check address, network and certificate.").Because(err)
}

// System is a computer behind the controller.
type System struct {
	ID, Name, Manufacturer, Model, Serial, UUID string
	On                                          bool
	Resets                                      []string // that it allows; empty: not said
}

// Systems tells what the controller looks after. Unavailable where it does not
// answer, Forbidden where it refuses the user or shows another certificate,
// Invalid where the settings are wrong.
func (t *Target) Systems(ctx context.Context) ([]System, error) {
	c, err := t.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer c.end()
	list, err := c.Service.Systems()
	if err != nil {
		return nil, c.failed(err)
	}
	var out []System
	for _, s := range list[:min(len(list), maxParts)] {
		one := System{ID: s.ID, Name: s.Name, Manufacturer: s.Manufacturer, Model: s.Model, Serial: s.SerialNumber, UUID: strings.ToLower(s.UUID), On: s.PowerState == redfish.OnPowerState}
		for _, r := range s.SupportedResetTypes {
			one.Resets = append(one.Resets, string(r))
		}
		out = append(out, one)
	}
	return out, nil
}

// Reset switches a system: On, ForceOff, GracefulShutdown, GracefulRestart,
// ForceRestart, PowerCycle (DSP2046, ResetType). It is said once; whether it was
// done is seen in Systems. id may be empty where there is one system. NotFound
// where there is no such system, Invalid where it does not know the reset;
// otherwise as Systems.
func (t *Target) Reset(ctx context.Context, id, reset string) error {
	c, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer c.end()
	list, err := c.Service.Systems()
	if err != nil {
		return c.failed(err)
	}
	for _, s := range list {
		if s.ID != id && !(id == "" && len(list) == 1) {
			continue
		}
		if len(s.SupportedResetTypes) > 0 && !slices.Contains(s.SupportedResetTypes, redfish.ResetType(reset)) {
			return errs.E(errs.Invalid, op, t.URL, fmt.Sprintf("这台主机不支持 %s；可用：%v。", reset, s.SupportedResetTypes), fmt.Sprintf("This system does not know %s; it knows %v.", reset, s.SupportedResetTypes))
		}
		if err := s.Reset(redfish.ResetType(reset)); err != nil {
			return c.failed(err)
		}
		return nil
	}
	return errs.E(errs.NotFound, op, t.URL, fmt.Sprintf("管理口 %s 上没有主机“%s”（共 %d 台）；请写明编号。", t.URL, id, len(list)), fmt.Sprintf("The controller %s has no system “%s” (of %d); say which.", t.URL, id, len(list)))
}

// told collects samples.
type told struct {
	at  time.Time
	out []series.Sample
}

func (t *told) add(name string, v float64, labels ...string) {
	m := series.Sample{Name: name, At: t.at, Value: v}
	if len(labels) == 2 {
		m.Labels = map[string]string{labels[0]: labels[1]}
	}
	t.out = append(t.out, m)
}

// health of a part; one that is not there or says nothing is not told.
func (t *told) health(part string, s common.Status) {
	level, known := map[common.Health]float64{common.OKHealth: 0, common.WarningHealth: 1, common.CriticalHealth: 2}[s.Health]
	if known && there(s) {
		t.add("hardware_health", level, "component", part)
	}
}

func there(s common.Status) bool {
	return s.State != common.AbsentState && s.State != common.DisabledState
}

// Sample reads systems, temperatures, fans and power supplies once. A part of
// the controller that fails is left out and named in the error, which is
// Unavailable; the others are returned beside it. Otherwise as Systems.
func (t *Target) Sample(ctx context.Context) ([]series.Sample, error) {
	out := &told{at: t.Clock.Now()}
	c, err := t.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer c.end()
	systems, err := c.Service.Systems()
	if err != nil {
		return nil, c.failed(err)
	}
	on := 0.0
	for _, s := range systems[:min(len(systems), maxParts)] {
		if s.PowerState == redfish.OnPowerState {
			on = 1
		}
		out.health("system "+s.ID, s.Status)
		out.health("memory "+s.ID, s.MemorySummary.Status)
		out.health("processor "+s.ID, s.ProcessorSummary.Status)
	}
	if len(systems) > 0 {
		out.add("hardware_powered_on", on)
	}
	bodies, err := c.Service.Chassis()
	if err != nil {
		return out.out, c.failed(err)
	}
	var first error
	for _, b := range bodies[:min(len(bodies), maxParts)] {
		if ctx.Err() != nil {
			return out.out, c.failed(ctx.Err())
		}
		out.health("chassis "+b.ID, b.Status)
		for _, read := range []func() error{func() error { return out.thermal(b) }, func() error { return out.power(b) }} {
			if err := read(); err != nil && first == nil {
				first = c.failed(err)
			}
		}
	}
	return out.out, first
}

func (t *told) thermal(b *redfish.Chassis) error {
	thermal, err := b.Thermal()
	if err != nil || thermal == nil {
		return err
	}
	for _, x := range thermal.Temperatures {
		if !there(x.Status) {
			continue
		}
		t.add("hardware_temperature_celsius", float64(x.ReadingCelsius), "sensor", x.Name)
		if x.UpperThresholdCritical > 0 {
			t.add("hardware_temperature_limit_celsius", float64(x.UpperThresholdCritical), "sensor", x.Name)
		}
	}
	for _, x := range thermal.Fans {
		t.health(x.Name, x.Status)
		switch {
		case !there(x.Status):
		case x.ReadingUnits == redfish.PercentReadingUnits:
			t.add("hardware_fan_ratio", float64(x.Reading)/100, "sensor", x.Name)
		default:
			t.add("hardware_fan_rpm", float64(x.Reading), "sensor", x.Name)
		}
	}
	return nil
}

func (t *told) power(b *redfish.Chassis) error {
	power, err := b.Power()
	if err != nil || power == nil {
		return err
	}
	for _, x := range power.PowerControl {
		if x.PowerConsumedWatts > 0 {
			t.add("hardware_power_watts", float64(x.PowerConsumedWatts), "sensor", x.Name)
		}
	}
	for _, x := range power.PowerSupplies {
		t.health(x.Name, x.Status)
	}
	for _, x := range power.Voltages {
		if there(x.Status) {
			t.add("hardware_voltage_volts", float64(x.ReadingVolts), "sensor", x.Name)
			if x.LowerThresholdCritical != 0 {
				t.add("hardware_voltage_least_volts", float64(x.LowerThresholdCritical), "sensor", x.Name)
			}
			if x.UpperThresholdCritical != 0 {
				t.add("hardware_voltage_most_volts", float64(x.UpperThresholdCritical), "sensor", x.Name)
			}
		}
	}
	return nil
}
