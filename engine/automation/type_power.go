package automation

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"zhiwei/drive/ups"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// redfishPowerType turns a machine on and off through its management controller
// (DMTF DSP0266, ComputerSystem.Reset).
func redfishPowerType() Type {
	return Type{
		Name: "redfish-power", Title: kind.T("经 Redfish 开关机", "Power over Redfish"),
		Safe: func(with map[string]any) bool { // on and off bring about a state; a restart interrupts again
			a, _ := with["action"].(string)
			return a == "on" || a == "off" || a == "shutdown" || a == "status"
		},
		Params: []Param{
			{Name: "url", Required: true},
			{Name: "system"},
			{Name: "user"},
			{Name: "password", Secret: true},
			{Name: "trust"},
			{Name: "action", Required: true, Options: []string{"on", "off", "shutdown", "restart", "force-restart", "status"}},
		},
		Do: doRedfish,
		Forecast: func(c *Call) kind.Text {
			return kind.T("经 "+c.Text("url")+" 执行电源动作 "+c.Text("action"), "Power action "+c.Text("action")+" over "+c.Text("url"))
		},
	}
}

// resets are the ResetType values of DSP0268 for our actions, the wanted one
// first.
var resets = map[string][]string{
	"on": {"On", "ForceOn"}, "off": {"ForceOff"}, "shutdown": {"GracefulShutdown"},
	"restart": {"GracefulRestart"}, "force-restart": {"ForceRestart", "PowerCycle"},
}

type redfishSystem struct {
	ID         string `json:"@odata.id"`
	Name       string
	PowerState string
	Actions    map[string]struct {
		Target    string   `json:"target"`
		Allowable []string `json:"ResetType@Redfish.AllowableValues"`
	}
}

func doRedfish(ctx context.Context, c *Call) (Result, error) {
	password, err := c.Secret(ctx, "password")
	if err != nil {
		return Result{}, err
	}
	base, err := url.Parse(strings.TrimRight(c.Text("url"), "/"))
	if err != nil || base.Host == "" {
		return Result{}, errs.E(errs.Invalid, "redfish", c.Text("url"), "管理口地址应为 https://主机。", "The controller's address reads https://host.")
	}
	hc := client(c.Text("trust"))
	ask := func(method, where string, send, into any) error {
		raw := []byte{}
		if send != nil {
			if raw, err = json.Marshal(send); err != nil {
				return err
			}
		}
		ref, err := url.Parse(where)
		if err != nil || ref.Host != "" && ref.Host != base.Host {
			return errs.E(errs.Conflict, "redfish", where, "管理口指向了别的主机，不予执行。", "The controller points to another host, which is not followed.")
		}
		req, err := http.NewRequestWithContext(ctx, method, base.ResolveReference(ref).String(), strings.NewReader(string(raw)))
		if err != nil {
			return err
		}
		req.Header.Set("OData-Version", "4.0")
		req.Header.Set("Content-Type", "application/json")
		if u := c.Text("user"); u != "" {
			req.SetBasicAuth(u, password)
		}
		resp, err := hc.Do(req)
		if err != nil {
			return errs.E(errs.Unavailable, "redfish", base.Host, "管理口 "+base.Host+" 没有应答："+plainCause(err), "The controller "+base.Host+" does not answer: "+plainCause(err)).Because(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return errs.Wrap("redfish", base.Host, err)
		}
		if resp.StatusCode >= 400 {
			return errs.E(errs.Conflict, "redfish", where, fmt.Sprintf("管理口拒绝了请求（%d）。", resp.StatusCode), fmt.Sprintf("The controller refused the request (%d).", resp.StatusCode))
		}
		if into == nil {
			return nil
		}
		if err := json.Unmarshal(text, into); err != nil {
			return errs.E(errs.Unavailable, "redfish", where, "管理口的应答读不懂。", "The controller's answer cannot be read.").Because(err)
		}
		return nil
	}
	at := c.Text("system")
	if at == "" {
		var all struct {
			Members []struct {
				ID string `json:"@odata.id"`
			}
		}
		if err := ask(http.MethodGet, "/redfish/v1/Systems", nil, &all); err != nil {
			return Result{}, err
		}
		if len(all.Members) != 1 {
			return Result{}, errs.E(errs.Conflict, "redfish", base.Host, fmt.Sprintf("管理口下有 %d 台系统，请用 system 指明一台。", len(all.Members)), fmt.Sprintf("The controller has %d systems; name one by system.", len(all.Members)))
		}
		at = all.Members[0].ID
	}
	var sys redfishSystem
	if err := ask(http.MethodGet, at, nil, &sys); err != nil {
		return Result{}, err
	}
	action := c.Text("action")
	want := map[string]string{"on": "On", "off": "Off", "shutdown": "Off"}[action]
	detail := func() map[string]any { return map[string]any{"power": sys.PowerState, "system": sys.ID} }
	fmt.Fprintf(c.Out, "%s: %s\n", sys.Name, sys.PowerState)
	if action == "status" || sys.PowerState == want {
		return Result{OK: true, Detail: detail()}, nil
	}
	reset := sys.Actions["#ComputerSystem.Reset"]
	typ := ""
	for _, r := range resets[action] {
		if typ == "" && (len(reset.Allowable) == 0 || contains(reset.Allowable, r)) {
			typ = r
		}
	}
	if reset.Target == "" || typ == "" {
		return Result{}, errs.E(errs.Conflict, "redfish", at, "这台机器不支持这个电源动作。", "This machine does not support this power action.")
	}
	if err := ask(http.MethodPost, reset.Target, map[string]string{"ResetType": typ}, nil); err != nil {
		if errs.Is(err, errs.Unavailable) {
			return Result{}, Unclear(err)
		}
		return Result{}, err
	}
	fmt.Fprintf(c.Out, "ResetType %s\n", typ)
	for want != "" && sys.PowerState != want {
		if err := pauseFor(ctx, c.Clock(), 2*time.Second); err != nil {
			return Result{}, errs.E(errs.Unavailable, "redfish", at, "电源没有在时限内变为 "+want+"，现在是 "+sys.PowerState+"。", "The power did not become "+want+" in time; it is "+sys.PowerState+".")
		}
		if err := ask(http.MethodGet, at, nil, &sys); err != nil {
			return Result{}, err
		}
	}
	return Result{OK: true, Detail: detail()}, nil
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
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
