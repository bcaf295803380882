package modbus

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"zhiwei/kernel/errs"
)

// MapForm is the form of one register in a map that is written as text. The
// blanks are free; what stands in brackets may be left out:
//
//	METRIC[{LABEL=VALUE,…}] = TABLE:ADDRESS[:TYPE] [* SCALE] [+ OFFSET] [! NONE …]
//
// TABLE is coil, discrete, input or holding; ADDRESS is as sent, from 0; TYPE is
// uint16 (also where it is left out of a register), int16, uint32, int32,
// float32, the latter three with "swap" behind them where the low register
// stands first, or bitN for bit N of a register. NONE is a raw value that means
// that there is none.
const MapForm = `METRIC{LABEL=VALUE}=TABLE:ADDRESS:TYPE*SCALE+OFFSET!NONE`

var registerForm = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{([^{}]*)\})?\s*=\s*(coil|discrete|input|holding)\s*:\s*([0-9]{1,5})\s*(?::\s*([a-z0-9]+))?\s*` +
	`(?:\*\s*([-+0-9.eE]+?))?\s*(?:\+\s*([-+0-9.eE]+?))?\s*((?:!\s*[-+0-9.eE]+\s*)*)$`)

var pairForm = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"?([^"]*?)"?\s*$`)

// ParseMap reads registers of MapForm, separated by semicolons or lines. Invalid
// with the register that cannot be read.
func ParseMap(text string) ([]Register, error) {
	var out []Register
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '\n' }) {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		r, err := parseRegister(part)
		if err != nil {
			return nil, errs.E(errs.Invalid, op, part, "Modbus 点表里的“"+part+"”读不懂；应如 environment_temperature_celsius{sensor=cold}=input:0:int16*0.1。",
				"“"+part+"” in the Modbus map cannot be read; it is such as environment_temperature_celsius{sensor=cold}=input:0:int16*0.1.").Because(err)
		}
		out = append(out, r)
	}
	return out, nil
}

func parseRegister(s string) (r Register, err error) {
	m := registerForm.FindStringSubmatch(s)
	if m == nil {
		return r, fmt.Errorf("not of the form %s", MapForm)
	}
	r.Metric, r.Table = m[1], Table(m[3])
	if strings.TrimSpace(m[2]) != "" {
		r.Labels = map[string]string{}
		for _, pair := range strings.Split(m[2], ",") {
			p := pairForm.FindStringSubmatch(pair)
			if p == nil {
				return r, fmt.Errorf("not a label: %q", pair)
			}
			r.Labels[p[1]] = p[2]
		}
	}
	address, err := strconv.ParseUint(m[4], 10, 16)
	if err != nil {
		return r, err
	}
	r.Address = uint16(address)
	if err := r.typed(m[5]); err != nil {
		return r, err
	}
	for _, n := range []struct {
		text string
		to   *float64
	}{{m[6], &r.Scale}, {m[7], &r.Offset}} {
		if n.text == "" {
			continue
		}
		if *n.to, err = number(n.text); err != nil {
			return r, err
		}
	}
	for _, none := range strings.FieldsFunc(m[8], func(c rune) bool { return c == '!' || c == ' ' || c == '\t' }) {
		v, err := number(none)
		if err != nil {
			return r, err
		}
		r.None = append(r.None, v)
	}
	return r, nil
}

func number(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && (math.IsInf(v, 0) || math.IsNaN(v)) {
		err = fmt.Errorf("not a number: %s", s)
	}
	return v, err
}

// typed takes the type as it is written.
func (r *Register) typed(s string) error {
	if r.Table == Coil || r.Table == Discrete {
		if r.Type = Bit; s != "" && s != string(Bit) {
			return fmt.Errorf("%s holds bits, not %s", r.Table, s)
		}
		return nil
	}
	if s == "" {
		r.Type = Uint16
		return nil
	}
	if n, is := strings.CutPrefix(s, string(Bit)); is {
		bit, err := strconv.ParseUint(n, 10, 4)
		r.Type, r.Bit = Bit, int(bit)
		return err
	}
	s, r.Swap = strings.CutSuffix(s, "swap")
	r.Type = Type(s)
	if r.size() == 0 || r.Swap && r.size() == 1 {
		return fmt.Errorf("no such type: %s", s)
	}
	return nil
}
