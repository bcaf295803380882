package automation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"zhiwei/drive/ipmi"
	"zhiwei/drive/redfish"
	"zhiwei/drive/ups"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// The labels of a machine that say how its management controller is asked: those
// by which engine/data measures it.
const (
	LabelRedfish = "redfish" // https://… of it
	LabelIPMI    = "ipmi"    // yes, HOST[:PORT] or :PORT
)

// powerType turns a machine on and off through its management controller, over
// Redfish where the machine's labels have it, else over IPMI.
func powerType() Type {
	return Type{
		Name: "power", Title: kind.T("开关机", "Turn a machine on or off"),
		Safe: func(with map[string]any) bool { // on and off bring about a state; a restart interrupts again
			a, _ := with["action"].(string)
			return a == "on" || a == "off" || a == "shutdown" || a == "status"
		},
		Params: []Param{
			{Name: "action", Required: true, Options: []string{"on", "off", "shutdown", "restart", "force-restart", "status"}},
			{Name: "credential"}, // its name; empty: as the labels redfish_credential, ipmi_credential say
			{Name: "user"},       // where not the credential's
			{Name: "system"},     // its Id, where a Redfish controller has several
		},
		Do: doPower,
		Forecast: func(c *Call) kind.Text {
			return kind.T("电源动作 "+c.Text("action"), "Power action "+c.Text("action"))
		},
	}
}

// controller is a management controller, whatever it speaks.
type controller struct {
	on    func(ctx context.Context) (bool, error)
	order func(ctx context.Context) error // what the action asks for, once
}

func doPower(ctx context.Context, c *Call) (Result, error) {
	ctl, err := c.controller(ctx)
	if err != nil {
		return Result{}, err
	}
	on, err := ctl.on(ctx)
	if err != nil {
		return Result{}, err
	}
	action, said := c.Text("action"), map[bool]string{true: "On", false: "Off"}
	want, settles := map[string]bool{"on": true, "off": false, "shutdown": false}[action]
	fmt.Fprintln(c.Out, said[on])
	if action == "status" || settles && on == want {
		return Result{OK: true, Detail: map[string]any{"power": said[on], "changed": false}}, nil
	}
	if err := ctl.order(ctx); err != nil {
		if errs.Is(err, errs.Unavailable) {
			return Result{}, Unclear(err)
		}
		return Result{}, err
	}
	fmt.Fprintln(c.Out, action)
	for settles && on != want {
		if err := pauseFor(ctx, c.Clock(), 2*time.Second); err != nil {
			return Result{}, errs.E(errs.Unavailable, "power", c.Target.Name, "电源没有在时限内变为 "+said[want]+"。", "The power did not become "+said[want]+" in time.")
		}
		if on, err = ctl.on(ctx); err != nil {
			return Result{}, err
		}
	}
	return Result{OK: true, Detail: map[string]any{"power": said[on], "changed": true}}, nil
}

// controller finds the target's management controller and the account for it.
func (c *Call) controller(ctx context.Context) (controller, error) {
	l := c.Target.Labels
	label, words := LabelIPMI, map[string][]string{"on": {ipmi.On}, "off": {ipmi.Off}, "shutdown": {ipmi.Soft}, "restart": {ipmi.Reset}, "force-restart": {ipmi.Cycle}}
	if l[LabelRedfish] != "" {
		// ResetType of DSP2046, the wanted one first.
		label, words = LabelRedfish, map[string][]string{
			"on": {"On", "ForceOn"}, "off": {"ForceOff"}, "shutdown": {"GracefulShutdown"}, "restart": {"GracefulRestart"}, "force-restart": {"ForceRestart", "PowerCycle"},
		}
	}
	if l[label] == "" {
		return controller{}, errs.E(errs.Invalid, "power", c.Target.Name, c.Target.Name+" 没有标签 redfish 或 ipmi，不知道怎样开关它。", c.Target.Name+" has no label redfish or ipmi: how it is switched is not known.")
	}
	cred, err := c.reach.credential(ctx, cmp.Or(c.Text("credential"), l[label+"_credential"]))
	if err != nil {
		return controller{}, err
	}
	user, action := cmp.Or(c.Text("user"), cred.User), words[c.Text("action")]
	if label == LabelIPMI {
		at, err := address(c.Target, LabelIPMI)
		if err != nil {
			return controller{}, err
		}
		if _, _, err := net.SplitHostPort(at); err != nil {
			at = net.JoinHostPort(at, "623") // IANA's port of IPMI
		}
		t := &ipmi.Target{Address: at, User: user, Password: cred.Secret, Clock: c.Clock()}
		return controller{
			on: func(ctx context.Context) (bool, error) {
				told, err := t.Sample(ctx)
				for _, s := range told {
					if s.Name == "hardware_powered_on" {
						return s.Value == 1, nil
					}
				}
				return false, errs.E(errs.Unavailable, "power", at, "管理口 "+at+" 没有说电源的状态。", "The controller "+at+" does not say whether the power is on.").Because(err)
			},
			order: func(ctx context.Context) error { return t.Power(ctx, action[0]) },
		}, nil
	}
	t := &redfish.Target{URL: l[LabelRedfish], User: user, Password: cred.Secret, Fingerprint: l["redfish_cert"], Clock: c.Clock()}
	var system redfish.System
	return controller{
		on: func(ctx context.Context) (bool, error) {
			list, err := t.Systems(ctx)
			if err != nil {
				return false, err
			}
			i := slices.IndexFunc(list, func(s redfish.System) bool {
				return s.ID == c.Text("system") || c.Text("system") == "" && len(list) == 1
			})
			if i < 0 {
				return false, errs.E(errs.Conflict, "power", t.URL, fmt.Sprintf("管理口下有 %d 台系统，请用 system 指明一台。", len(list)), fmt.Sprintf("The controller has %d systems; name one by system.", len(list)))
			}
			system = list[i]
			return system.On, nil
		},
		order: func(ctx context.Context) error {
			i := slices.IndexFunc(action, func(r string) bool { return len(system.Resets) == 0 || slices.Contains(system.Resets, r) })
			if i < 0 {
				return errs.E(errs.Conflict, "power", t.URL, "这台机器不支持这个电源动作。", "This machine does not support this power action.")
			}
			return t.Reset(ctx, system.ID, action[i])
		},
	}, nil
}

// errPin refuses a certificate that is not the one given.
var errPin = errors.New("the certificate is not the one on record")

// pinned accepts one certificate, by the SHA-256 of its DER form in hexadecimal,
// with or without colons.
func pinned(sum string) func([][]byte, [][]*x509.Certificate) error {
	want := strings.ToLower(strings.NewReplacer(":", "", " ", "", "SHA256", "", "sha256", "").Replace(sum))
	return func(raw [][]byte, _ [][]*x509.Certificate) error {
		if len(raw) == 0 {
			return errPin
		}
		if got := sha256.Sum256(raw[0]); hex.EncodeToString(got[:]) != want {
			return errPin
		}
		return nil
	}
}

// upsType gives a UPS a command through its NUT server (Network UPS Tools,
// network protocol, INSTCMD).
func upsType() Type {
	return Type{
		Name: "ups", Title: kind.T("UPS 命令", "UPS command"),
		Safe: func(with map[string]any) bool {
			cmd, _ := with["command"].(string)
			return strings.HasPrefix(cmd, "beeper.") || cmd == "load.on" || cmd == "shutdown.stop" || cmd == "test.battery.stop"
		},
		Params: []Param{{Name: "ups", Required: true}, {Name: "command", Required: true}, {Name: "user"}, {Name: "password", Secret: true}},
		Do:     doUPS,
		Forecast: func(c *Call) kind.Text {
			return kind.T("让 UPS "+c.Text("ups")+" 执行 "+c.Text("command"), "Have the UPS "+c.Text("ups")+" do "+c.Text("command"))
		},
	}
}

func doUPS(ctx context.Context, c *Call) (Result, error) {
	name, host, ok := strings.Cut(c.Text("ups"), "@")
	if !ok || host == "" || name == "" {
		return Result{}, errs.E(errs.Invalid, "ups", c.Text("ups"), "UPS 应写作 名称@主机。", "A UPS reads NAME@HOST.")
	}
	password, err := c.Secret(ctx, "password")
	if err != nil {
		return Result{}, err
	}
	t := &ups.Target{Address: host, UPS: name, User: c.Text("user"), Password: password, Clock: c.Clock()}
	if _, err := t.Variables(ctx); err != nil {
		return Result{}, err // nothing was said yet
	}
	if err := t.Command(ctx, c.Text("command")); err != nil {
		if errs.Is(err, errs.Unavailable) {
			return Result{}, Unclear(err)
		}
		return Result{}, err
	}
	return Result{OK: true}, nil
}
