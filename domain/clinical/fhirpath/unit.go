package fhirpath

import (
	"math/big"
	"strconv"
	"strings"
)

// This file reads units of UCUM (The Unified Code for Units of Measure, 2.1)
// and tells by which factor two of them differ. Units on scales with a zero of
// their own (Cel, [degF], pH …) are equal only to themselves.

const ucumSystem = "http://unitsofmeasure.org"

// The base units of UCUM; arbitrary units such as [IU] follow as dimensions of
// their own, which makes them comparable with themselves alone.
var baseUnits = []string{"m", "s", "g", "rad", "K", "C", "cd"}

// scale is a unit in base units: factor × the product of base units to powers.
type scale struct {
	factor *big.Rat
	powers map[string]int
}

var prefixes = map[string]int{
	"Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1,
	"d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}

// atom is a unit defined by another; metric ones take prefixes.
type atom struct {
	factor string // decimal or fraction
	unit   string // in other atoms; empty: a pure number
	metric bool
}

// The units health records use (UCUM 2.1, tables 2 to 24).
var atoms = map[string]atom{
	"10*": {"10", "", false}, "10^": {"10", "", false}, "%": {"1/100", "", false},
	"[ppth]": {"1/1000", "", false}, "[ppm]": {"1/1000000", "", false}, "[ppb]": {"1/1000000000", "", false},
	"[pi]": {"3.1415926535897932384626433832795028841971693993751058209749445923", "", false},
	"mol":  {"602213670000000000000000", "", true}, "eq": {"1", "mol", true}, "osm": {"1", "mol", true},
	"sr": {"1", "rad2", true}, "Hz": {"1", "s-1", true}, "N": {"1", "kg.m/s2", true}, "Pa": {"1", "N/m2", true},
	"J": {"1", "N.m", true}, "W": {"1", "J/s", true}, "A": {"1", "C/s", true}, "V": {"1", "J/C", true},
	"F": {"1", "C/V", true}, "Ohm": {"1", "V/A", true}, "S": {"1", "Ohm-1", true}, "Wb": {"1", "V.s", true},
	"T": {"1", "Wb/m2", true}, "H": {"1", "Wb/A", true}, "lm": {"1", "cd.sr", true}, "lx": {"1", "lm/m2", true},
	"Bq": {"1", "s-1", true}, "Gy": {"1", "J/kg", true}, "Sv": {"1", "J/kg", true}, "kat": {"1", "mol/s", true},
	"U": {"1/60", "umol/s", true}, "gon": {"9/10", "deg", false}, "deg": {"2/360", "[pi].rad", false},
	"'": {"1/60", "deg", false}, "''": {"1/3600", "deg", false},
	"l": {"1", "dm3", true}, "L": {"1", "l", true}, "ar": {"100", "m2", true},
	"min": {"60", "s", false}, "h": {"60", "min", false}, "d": {"24", "h", false}, "wk": {"7", "d", false},
	"a_t": {"365.24219", "d", false}, "a_j": {"365.25", "d", false}, "a_g": {"365.2425", "d", false},
	"a": {"1", "a_j", false}, "mo": {"1/12", "a_j", false}, "mo_j": {"1/12", "a_j", false}, "mo_s": {"29.53059", "d", false}, "mo_g": {"1/12", "a_g", false},
	"t": {"1000", "kg", true}, "bar": {"100000", "Pa", true}, "u": {"1.6605402e-24", "g", true}, "eV": {"1.60217733e-19", "J", true},
	"dyn": {"1", "g.cm/s2", true}, "erg": {"1", "dyn.cm", true}, "P": {"1", "dyn.s/cm2", true}, "G": {"1/10000", "T", true},
	"Ci": {"37000000000", "Bq", true}, "R": {"2.58e-4", "C/kg", true}, "RAD": {"100", "erg/g", true}, "REM": {"1", "RAD", true},
	"g%": {"1", "g/dl", true}, "cal": {"4.184", "J", true}, "[Cal]": {"1", "kcal", false}, "[g]": {"9.80665", "m/s2", true},
	"m[H2O]": {"9.80665", "kPa", true}, "m[Hg]": {"133.3220", "kPa", true}, "[in_i'H2O]": {"1", "m[H2O].[in_i]/m", false}, "[in_i'Hg]": {"1", "m[Hg].[in_i]/m", false},
	"atm": {"101325", "Pa", false}, "[psi]": {"1", "[lbf_av]/[in_i]2", false}, "[lbf_av]": {"1", "[lb_av].[g]", false},
	"[in_i]": {"2.54", "cm", false}, "[ft_i]": {"12", "[in_i]", false}, "[yd_i]": {"3", "[ft_i]", false}, "[mi_i]": {"5280", "[ft_i]", false},
	"[nmi_i]": {"1852", "m", false}, "[kn_i]": {"1", "[nmi_i]/h", false}, "[sin_i]": {"1", "[in_i]2", false}, "[sft_i]": {"1", "[ft_i]2", false},
	"[cin_i]": {"1", "[in_i]3", false}, "[cft_i]": {"1", "[ft_i]3", false}, "[mil_i]": {"1/1000", "[in_i]", false},
	"[gr]": {"64.79891", "mg", false}, "[lb_av]": {"7000", "[gr]", false}, "[oz_av]": {"1/16", "[lb_av]", false}, "[dr_av]": {"1/16", "[oz_av]", false},
	"[ston_av]": {"2000", "[lb_av]", false}, "[stone_av]": {"14", "[lb_av]", false}, "[oz_tr]": {"480", "[gr]", false}, "[lb_tr]": {"12", "[oz_tr]", false},
	"[gal_us]": {"231", "[in_i]3", false}, "[qt_us]": {"1/4", "[gal_us]", false}, "[pt_us]": {"1/2", "[qt_us]", false}, "[cup_us]": {"16", "[tbs_us]", false},
	"[foz_us]": {"1/4", "[gil_us]", false}, "[gil_us]": {"1/4", "[pt_us]", false}, "[tbs_us]": {"1/2", "[foz_us]", false}, "[tsp_us]": {"1/3", "[tbs_us]", false},
	"[foz_br]": {"1/160", "[gal_br]", false}, "[gal_br]": {"4.54609", "l", false}, "[pt_br]": {"1/8", "[gal_br]", false},
	"[ch]": {"1", "", false}, "[Ch]": {"1/3", "mm", false}, "[drp]": {"1/20", "ml", false}, "[diop]": {"1", "m-1", false}, "[HPF]": {"1", "", false}, "[LPF]": {"100", "", false},
	"[car_m]": {"2/10", "g", false}, "st": {"1", "m3", true}, "b": {"100", "fm2", true}, "Ao": {"1/10", "nm", false}, "[MET]": {"3.5", "ml/min/kg", false},
	"bit": {"1", "", true}, "By": {"8", "bit", true}, "[pH]": {"1", "mol/l", false}, "[S]": {"1", "10*-13.s", false}, "[cml_i]": {"1", "[pi]/4.[mil_i]2", false},
	"[degF]": {}, "[degR]": {"5/9", "K", false}, "Cel": {}, "B": {}, "Np": {}, "bit_s": {},
}

// arbitrary are units that only compare with themselves (UCUM §24).
var arbitrary = map[string]bool{
	"[IU]": true, "[iU]": true, "[arb'U]": true, "[USP'U]": true, "[GPL'U]": true, "[MPL'U]": true, "[APL'U]": true, "[beth'U]": true,
	"[anti'Xa'U]": true, "[todd'U]": true, "[dye'U]": true, "[smgy'U]": true, "[bdsk'U]": true, "[ka'U]": true, "[knk'U]": true, "[mclg'U]": true,
	"[tb'U]": true, "[CCID_50]": true, "[TCID_50]": true, "[EID_50]": true, "[PFU]": true, "[FFU]": true, "[CFU]": true, "[IR]": true, "[BAU]": true, "[AU]": true,
	"[Amb'a'1'U]": true, "[PNU]": true, "[Lf]": true, "[D'ag'U]": true, "[FEU]": true, "[ELU]": true, "[EU]": true,
}

// maxPower bounds exponents of units; UCUM codes in use stay below 20.
const maxPower = 30

// parseUnit reads a unit; ok is false for what is not in the table or not
// proportional.
func parseUnit(s string) (scale, bool) {
	p := unitParser{src: s}
	out, ok := p.term(0)
	return out, ok && p.at == len(s)
}

type unitParser struct {
	src   string
	at    int
	depth int // of units defined by units
}

func one() scale { return scale{factor: big.NewRat(1, 1), powers: map[string]int{}} }

func (u scale) times(o scale, sign int) scale {
	f := new(big.Rat)
	if sign > 0 {
		f.Mul(u.factor, o.factor)
	} else {
		f.Quo(u.factor, o.factor)
	}
	powers := make(map[string]int, len(u.powers)+len(o.powers))
	for n, p := range u.powers {
		powers[n] = p
	}
	for n, p := range o.powers {
		if powers[n] += sign * p; powers[n] == 0 {
			delete(powers, n)
		}
	}
	return scale{f, powers}
}

// term reads units joined by . and /, up to the end or a closing bracket.
func (p *unitParser) term(level int) (scale, bool) {
	if level > 8 {
		return scale{}, false
	}
	out, sign := one(), 1
	if p.at < len(p.src) && p.src[p.at] == '/' {
		p.at++
		sign = -1
	}
	for {
		u, ok := p.component(level)
		if !ok {
			return scale{}, false
		}
		out = out.times(u, sign)
		if p.at == len(p.src) || p.src[p.at] == ')' {
			return out, true
		}
		switch p.src[p.at] {
		case '.':
			sign = 1
		case '/':
			sign = -1
		default:
			return scale{}, false
		}
		p.at++
	}
}

func (p *unitParser) component(level int) (scale, bool) {
	if p.at >= len(p.src) {
		return scale{}, false
	}
	switch c := p.src[p.at]; {
	case c == '(':
		p.at++
		u, ok := p.term(level + 1)
		if !ok || p.at >= len(p.src) {
			return scale{}, false
		}
		p.at++
		return u, true
	case c == '{':
		return one(), p.annotation()
	case c >= '0' && c <= '9' && !strings.HasPrefix(p.src[p.at:], "10*") && !strings.HasPrefix(p.src[p.at:], "10^"):
		i := p.at
		for p.at < len(p.src) && p.src[p.at] >= '0' && p.src[p.at] <= '9' {
			p.at++
		}
		f, ok := new(big.Rat).SetString(p.src[i:p.at])
		if !ok || f.Sign() == 0 || p.at-i > maxPower {
			return scale{}, false
		}
		return scale{f, map[string]int{}}, true
	}
	i := p.at
	if strings.HasPrefix(p.src[i:], "10*") || strings.HasPrefix(p.src[i:], "10^") {
		p.at += 3
	} else {
		for inside := false; p.at < len(p.src); p.at++ {
			c := p.src[p.at]
			switch c {
			case '[':
				inside = true
			case ']':
				inside = false
			}
			if !inside && (strings.IndexByte("./(){}-+", c) >= 0 || c >= '0' && c <= '9') {
				break
			}
		}
	}
	name := p.src[i:p.at]
	power := 1
	if e := p.at; p.at < len(p.src) {
		if c := p.src[p.at]; c == '-' || c == '+' {
			p.at++
		}
		for p.at < len(p.src) && p.src[p.at] >= '0' && p.src[p.at] <= '9' {
			p.at++
		}
		if p.at > e {
			n, err := strconv.Atoi(p.src[e:p.at])
			if err != nil || n > maxPower || n < -maxPower || n == 0 {
				return scale{}, false
			}
			power = n
		}
	}
	if p.at < len(p.src) && p.src[p.at] == '{' && !p.annotation() {
		return scale{}, false
	}
	u, ok := p.simple(name)
	if !ok {
		return scale{}, false
	}
	out, sign := one(), 1
	if power < 0 {
		power, sign = -power, -1
	}
	for range power {
		out = out.times(u, sign)
	}
	return out, true
}

// annotation passes over {…}, which says nothing about the amount.
func (p *unitParser) annotation() bool {
	i := strings.IndexByte(p.src[p.at:], '}')
	if i < 0 {
		return false
	}
	p.at += i + 1
	return true
}

// simple finds an atom, with a prefix where it is metric.
func (p *unitParser) simple(name string) (scale, bool) {
	if u, ok := p.atom(name); ok {
		return u, true
	}
	for _, n := range []int{2, 1} {
		if len(name) <= n {
			continue
		}
		exp, ok := prefixes[name[:n]]
		if !ok || !metric(name[n:]) {
			continue
		}
		if u, ok := p.atom(name[n:]); ok {
			f := new(big.Rat).SetInt(pow10(max(exp, -exp)))
			if exp < 0 {
				f.Inv(f)
			}
			u.factor = f.Mul(f, u.factor)
			return u, true
		}
	}
	return scale{}, false
}

func metric(name string) bool {
	for _, b := range baseUnits {
		if b == name {
			return true
		}
	}
	return atoms[name].metric || arbitrary[name]
}

func (p *unitParser) atom(name string) (scale, bool) {
	for _, b := range baseUnits {
		if b == name {
			return scale{big.NewRat(1, 1), map[string]int{name: 1}}, true
		}
	}
	if arbitrary[name] {
		return scale{big.NewRat(1, 1), map[string]int{name: 1}}, true
	}
	a, ok := atoms[name]
	if !ok || a.factor == "" || p.depth > 12 {
		return scale{}, false
	}
	f, _ := new(big.Rat).SetString(a.factor)
	out := scale{f, map[string]int{}}
	if a.unit != "" {
		inner := unitParser{src: a.unit, depth: p.depth + 1}
		u, ok := inner.term(0)
		if !ok {
			return scale{}, false
		}
		out = out.times(u, 1)
	}
	return out, true
}

func (u scale) comparable(o scale) bool {
	if len(u.powers) != len(o.powers) {
		return false
	}
	for n, p := range u.powers {
		if o.powers[n] != p {
			return false
		}
	}
	return true
}
