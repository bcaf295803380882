package automation

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"zhiwei/drive/modbus"
	"zhiwei/drive/snmp"
	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
)

// The labels of a device that say how it is set. How it is measured is said by
// the labels of engine/data, of which snmp, modbus and modbus_map serve here too.
const (
	LabelSNMP      = "snmp"         // yes, HOST[:PORT] or :PORT
	LabelSNMPSet   = "snmp_set"     // credential that may write: as snmp_credential of engine/data
	LabelUplinks   = "snmp_uplinks" // ports, separated by commas, behind which the device itself is out of reach
	LabelModbus    = "modbus"       // as snmp
	LabelModbusSet = "modbus_set"   // registers to write where they are others than those of modbus_map
)

// address is where a device is asked, by a label of its that says so.
func address(t engine.RunTarget, label string) (string, error) {
	at := t.Labels[label]
	host, _, err := net.SplitHostPort(t.Address)
	if err != nil {
		host = t.Address
	}
	switch {
	case at == "":
		return "", errs.E(errs.Invalid, "device", t.Name, t.Name+" 没有标签 "+label+"，不知道怎样设置它。", t.Name+" has no label "+label+": how it is set is not known.")
	case at == "yes":
		return host, nil
	case strings.HasPrefix(at, ":"):
		return net.JoinHostPort(host, at[1:]), nil
	}
	return at, nil
}

// snmpPortType turns a port of a switch on or off.
func snmpPortType() Type {
	return Type{
		Name: "snmp-port", Title: kind.T("经 SNMP 开关端口", "Turn a port on or off over SNMP"),
		Safe: func(map[string]any) bool { return true }, // each brings about a state
		Params: []Param{
			{Name: "port", Required: true},
			{Name: "action", Required: true, Options: []string{"on", "off", "status"}},
		},
		Do: doPort,
		Forecast: func(c *Call) kind.Text {
			verb := map[string][2]string{"on": {"打开", "Turn on"}, "off": {"关闭", "Turn off"}, "status": {"查看", "Look at"}}[c.Text("action")]
			return kind.T(verb[0]+"端口 "+c.Text("port"), verb[1]+" the port "+c.Text("port"))
		},
	}
}

func doPort(ctx context.Context, c *Call) (Result, error) {
	if c.Text("port") == "" {
		return Result{}, errs.E(errs.Invalid, "snmp-port", c.Target.Name, "没有说是哪个端口。", "Which port is not said.")
	}
	t, err := c.snmp(ctx)
	if err != nil {
		return Result{}, err
	}
	action := c.Text("action")
	p, err := t.Port(ctx, c.Text("port"))
	if err != nil {
		return Result{}, err
	}
	for up := range strings.SplitSeq(c.Target.Labels[LabelUplinks], ",") {
		if action == "off" && strings.TrimSpace(up) == p.Name {
			return Result{}, errs.E(errs.Conflict, "snmp-port", c.Target.Name, p.Name+" 是上联口（标签 snmp_uplinks）：关了它就够不到设备，打不开了。", p.Name+" is an uplink (label snmp_uplinks): once it is off the device is out of reach, and it cannot be turned on.")
		}
	}
	was := p.Enabled
	if action != "status" {
		if p, err = t.EnablePort(ctx, c.Text("port"), action == "on"); err != nil {
			return Result{}, err
		}
	}
	fmt.Fprintf(c.Out, "%s: enabled %v, up %v\n", p.Name, p.Enabled, p.Up)
	r := Result{OK: action == "status" || p.Enabled == (action == "on"), Detail: map[string]any{"enabled": p.Enabled, "up": p.Up, "changed": p.Enabled != was}}
	if !r.OK {
		r.Say = kind.T("设备没有照办。", "The device did not do it.")
	}
	return r, nil
}

// snmp is how the target is set over SNMP.
func (c *Call) snmp(ctx context.Context) (snmp.Target, error) {
	at, err := address(c.Target, LabelSNMP)
	if err != nil {
		return snmp.Target{}, err
	}
	l := c.Target.Labels
	t := snmp.Target{Address: at}
	name := cmp.Or(l[LabelSNMPSet], l["snmp_credential"], l[LabelCredential])
	cred, err := c.reach.credential(ctx, name)
	switch {
	case err != nil:
		return t, err
	case name == "":
		return t, errs.E(errs.Invalid, "snmp", c.Target.Name, c.Target.Name+" 没有标签 snmp_set，不知道用哪个凭据来写。", c.Target.Name+" has no label snmp_set: the credential to write with is not known.")
	case cred.User == "":
		t.Community = cred.Secret
	default:
		auth, priv, two := strings.Cut(cred.Secret, "\n")
		if !two {
			priv = auth
		}
		for _, s := range []string{auth, priv} {
			c.reach.redact.add(strings.TrimSpace(s))
		}
		t.User = &snmp.User{Name: cred.User, Authentication: cmp.Or(l["snmp_auth"], "SHA"), AuthPassword: strings.TrimSpace(auth), Privacy: cmp.Or(l["snmp_priv"], "AES"), PrivPassword: strings.TrimSpace(priv)}
		if t.User.Privacy == "none" {
			t.User.Privacy, t.User.PrivPassword = "", ""
		}
	}
	return t, nil
}

// snmpSetType sets one number of a device by its object identifier, and reads it
// back.
func snmpSetType() Type {
	return Type{
		Name: "snmp-set", Title: kind.T("经 SNMP 设定", "Set a number over SNMP"),
		Safe: func(with map[string]any) bool { _, to := with["value"]; return to }, // cycle would move on again
		Params: []Param{
			{Name: "oid", Required: true}, // {port} in it is the port's index
			{Name: "port"},
			{Name: "value"}, // a whole number
			{Name: "cycle"}, // instead: whole numbers, separated by commas; the one after the present is set
		},
		Check: func(with map[string]any) error {
			_, value := with["value"]
			_, cycle := with["cycle"]
			if value == cycle {
				return errs.E(errs.Invalid, "snmp-set", "value", "value 与 cycle 须写且只写一个。", "Either value or cycle is given.")
			}
			return nil
		},
		Do: doSNMPSet,
		Forecast: func(c *Call) kind.Text {
			if list := c.Text("cycle"); list != "" {
				return kind.T("把 "+c.Text("oid")+" 设为 "+list+" 中现值的下一个", "Set "+c.Text("oid")+" to the one of "+list+" after the present")
			}
			return kind.T("设定 "+c.Text("oid")+" 为 "+c.Text("value"), "Set "+c.Text("oid")+" to "+c.Text("value"))
		},
	}
}

func doSNMPSet(ctx context.Context, c *Call) (Result, error) {
	t, err := c.snmp(ctx)
	if err != nil {
		return Result{}, err
	}
	oid := c.Text("oid")
	if strings.Contains(oid, "{port}") {
		if c.Text("port") == "" {
			return Result{}, errs.E(errs.Invalid, "snmp-set", c.Target.Name, "没有说是哪个端口。", "Which port is not said.")
		}
		p, err := t.Port(ctx, c.Text("port"))
		if err != nil {
			return Result{}, err
		}
		oid = strings.ReplaceAll(oid, "{port}", p.Index)
	}
	if !objectID.MatchString(oid) {
		return Result{}, errs.E(errs.Invalid, "snmp-set", oid, "对象标识应如 1.3.6.1.2.1.2.2.1.7.3。", "An object identifier is such as 1.3.6.1.2.1.2.2.1.7.3.")
	}
	var list []int
	for text := range strings.SplitSeq(cmp.Or(c.Text("cycle"), c.Text("value")), ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
		if err != nil {
			return Result{}, errs.E(errs.Invalid, "snmp-set", text, "设定值应为整数。", "The value must be a whole number.")
		}
		list = append(list, int(n))
	}
	to := list[0]
	if c.Text("cycle") != "" {
		is, err := t.Integer(ctx, oid)
		if err != nil {
			return Result{}, err
		}
		if i := slices.Index(list, is); i >= 0 {
			to = list[(i+1)%len(list)]
		}
		if to == is {
			return Result{}, errs.E(errs.Invalid, "snmp-set", c.Target.Name, "没有别的值可换。", "There is no other value to change to.")
		}
	}
	former, now, err := t.SetInteger(ctx, oid, to)
	switch {
	case errs.Is(err, errs.Unavailable) && c.Text("cycle") != "":
		return Result{}, Unclear(err)
	case err != nil:
		return Result{}, err
	}
	fmt.Fprintf(c.Out, "%s: %d, before %d\n", oid, now, former)
	r := Result{OK: now == to, Detail: map[string]any{"former": int64(former), "value": int64(now)}}
	if !r.OK {
		r.Say = kind.T("设备没有照办。", "The device did not do it.")
	}
	return r, nil
}

var objectID = regexp.MustCompile(`^[0-2](\.[0-9]{1,10}){2,100}$`)

// modbusSetType sets a point of a device by the name of its metric: the map of
// registers by which it is measured tells where it stands.
func modbusSetType() Type {
	return Type{
		Name: "modbus-set", Title: kind.T("经 Modbus 设定", "Set a point over Modbus"),
		Safe:   func(map[string]any) bool { return true }, // it brings about a state
		Params: []Param{{Name: "metric", Required: true}, {Name: "value", Required: true}},
		Do:     doModbus,
		Forecast: func(c *Call) kind.Text {
			return kind.T("设定 "+c.Text("metric")+" 为 "+c.Text("value"), "Set "+c.Text("metric")+" to "+c.Text("value"))
		},
	}
}

func doModbus(ctx context.Context, c *Call) (Result, error) {
	at, err := address(c.Target, LabelModbus)
	if err != nil {
		return Result{}, err
	}
	if !strings.Contains(at, "://") {
		if _, _, err := net.SplitHostPort(at); err != nil {
			at = net.JoinHostPort(at, "502") // IANA's port of Modbus
		}
		at = "tcp://" + at
	}
	value, err := strconv.ParseFloat(c.Text("value"), 64)
	if err != nil {
		return Result{}, errs.E(errs.Invalid, "modbus-set", c.Text("value"), "设定值应为数字。", "The value must be a number.")
	}
	unit, err := strconv.ParseUint(cmp.Or(c.Target.Labels["modbus_unit"], "1"), 10, 8)
	if err != nil {
		return Result{}, errs.E(errs.Invalid, "modbus-set", c.Target.Name, "标签 modbus_unit 应为 1–247。", "The label modbus_unit is 1 to 247.")
	}
	r, err := register(c.Target, c.Text("metric"))
	if err != nil {
		return Result{}, err
	}
	d := &modbus.Device{URL: at, Unit: uint8(unit), Clock: c.Clock(), Registers: []modbus.Register{r}}
	read := func() (float64, error) {
		told, err := d.Sample(ctx)
		for _, s := range told {
			if s.Name == r.Metric {
				return s.Value, err
			}
		}
		return math.NaN(), err
	}
	former, err := read()
	if err != nil {
		return Result{}, err // nothing was written yet
	}
	if err := d.Write(ctx, r, value); err != nil {
		return Result{}, err
	}
	is, err := read()
	if err != nil {
		return Result{}, err
	}
	fmt.Fprintf(c.Out, "%s = %v\n", r.Metric, is)
	// The register holds steps of its scale.
	ok := math.Abs(is-value) <= max(math.Abs(r.Scale), 1e-6)/2+1e-9
	out := Result{OK: ok, Detail: map[string]any{}}
	for name, v := range map[string]float64{"value": is, "former": former} {
		if !math.IsNaN(v) { // NaN is no JSON
			out.Detail[name] = v
		}
	}
	if !ok {
		out.Say = kind.T(fmt.Sprintf("写入后读出的是 %v，设备没有照办。", is), fmt.Sprintf("It reads %v afterwards; the device did not do it.", is))
	}
	return out, nil
}

// register finds where a metric is set: in modbus_set, else in the maps by which
// the device is measured.
func register(t engine.RunTarget, metric string) (modbus.Register, error) {
	labels := []string{LabelModbusSet}
	for _, l := range slices.Sorted(maps.Keys(t.Labels)) {
		if strings.HasPrefix(l, "modbus_map") {
			labels = append(labels, l)
		}
	}
	for _, l := range labels {
		list, err := modbus.ParseMap(t.Labels[l])
		if err != nil {
			return modbus.Register{}, err
		}
		for _, r := range list {
			if r.Metric == metric && (r.Table == modbus.Coil || r.Table == modbus.Holding) {
				return r, nil
			}
		}
	}
	return modbus.Register{}, errs.E(errs.NotFound, "modbus-set", t.Name, t.Name+" 的点表里没有可写的 "+metric+"；请在标签 modbus_set 里写明。", "The map of "+t.Name+" has no "+metric+" that can be written; name it in the label modbus_set.")
}
