package fhirpath

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// decimal is an exact decimal number, unscaled × 10^-scale. The scale is kept
// as written: 1.50 and 1.5 are equal but have different precision.
type decimal struct {
	unscaled big.Int
	scale    int // never negative
}

// Bounds on numbers: what is larger is no number of FHIRPath, which asks for 28
// digits (N1, "Decimal"), and would only serve to exhaust a server.
const (
	maxDigits = 400
	quotient  = 28 // digits after the point of a division that does not end
)

var ten = big.NewInt(10)

func pow10(n int) *big.Int { return new(big.Int).Exp(ten, big.NewInt(int64(n)), nil) }

func decimalFromInt(n int64) *decimal {
	d := &decimal{}
	d.unscaled.SetInt64(n)
	return d
}

// parseDecimal reads a JSON number or a literal; ok is false for anything else
// and for a number beyond maxDigits.
func parseDecimal(s string) (_ *decimal, ok bool) {
	mantissa, exp := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		var err error
		mantissa = s[:i]
		if exp, err = strconv.Atoi(s[i+1:]); err != nil || exp > maxDigits || exp < -maxDigits {
			return nil, false
		}
	}
	whole, frac, point := strings.Cut(mantissa, ".")
	if point && frac == "" || whole == "" || len(mantissa) > maxDigits {
		return nil, false
	}
	digits := whole + frac
	for i := 0; i < len(digits); i++ {
		if c := digits[i]; (c < '0' || c > '9') && (i > 0 || (c != '-' && c != '+') || len(whole) == 1) {
			return nil, false
		}
	}
	d := &decimal{scale: len(frac) - exp}
	if _, ok := d.unscaled.SetString(digits, 10); !ok {
		return nil, false
	}
	if d.scale < 0 {
		d.unscaled.Mul(&d.unscaled, pow10(-d.scale))
		d.scale = 0
	}
	return d, true
}

// String writes the digits d was given with, without an exponent.
func (d *decimal) String() string {
	s := new(big.Int).Abs(&d.unscaled).String()
	if d.scale > 0 {
		if len(s) <= d.scale {
			s = strings.Repeat("0", d.scale-len(s)+1) + s
		}
		s = s[:len(s)-d.scale] + "." + s[len(s)-d.scale:]
	}
	if d.unscaled.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// align brings both to one scale.
func align(a, b *decimal) (x, y *big.Int, scale int) {
	switch {
	case a.scale < b.scale:
		return new(big.Int).Mul(&a.unscaled, pow10(b.scale-a.scale)), &b.unscaled, b.scale
	case a.scale > b.scale:
		return &a.unscaled, new(big.Int).Mul(&b.unscaled, pow10(a.scale-b.scale)), a.scale
	}
	return &a.unscaled, &b.unscaled, a.scale
}

func (d *decimal) cmp(o *decimal) int {
	x, y, _ := align(d, o)
	return x.Cmp(y)
}

func (d *decimal) add(o *decimal) *decimal {
	x, y, s := align(d, o)
	out := &decimal{scale: s}
	out.unscaled.Add(x, y)
	return out
}

func (d *decimal) sub(o *decimal) *decimal {
	x, y, s := align(d, o)
	out := &decimal{scale: s}
	out.unscaled.Sub(x, y)
	return out
}

func (d *decimal) mul(o *decimal) *decimal {
	out := &decimal{scale: d.scale + o.scale}
	out.unscaled.Mul(&d.unscaled, &o.unscaled)
	return out
}

// div divides, to the quotient's places where it does not end sooner; nil for
// a division by zero.
func (d *decimal) div(o *decimal) *decimal {
	if o.unscaled.Sign() == 0 {
		return nil
	}
	num := new(big.Int).Mul(&d.unscaled, pow10(quotient+o.scale))
	den := new(big.Int).Mul(&o.unscaled, pow10(d.scale))
	out := &decimal{scale: quotient}
	divideRounded(&out.unscaled, num, den)
	return out.trim(0)
}

// divideRounded sets z to num/den, half away from zero.
func divideRounded(z, num, den *big.Int) {
	half := new(big.Int).Abs(den)
	n := new(big.Int).Lsh(new(big.Int).Abs(num), 1)
	n.Add(n, half)
	n.Quo(n, half.Lsh(half, 1))
	if num.Sign()*den.Sign() < 0 {
		n.Neg(n)
	}
	z.Set(n)
}

// quo is the whole part of the quotient; ok is false for a division by zero.
func (d *decimal) quo(o *decimal) (*decimal, bool) {
	if o.unscaled.Sign() == 0 {
		return nil, false
	}
	x, y, _ := align(d, o)
	out := &decimal{}
	out.unscaled.Quo(x, y)
	return out, true
}

// rem is what quo leaves; ok is false for a division by zero.
func (d *decimal) rem(o *decimal) (*decimal, bool) {
	if o.unscaled.Sign() == 0 {
		return nil, false
	}
	x, y, s := align(d, o)
	out := &decimal{scale: s}
	out.unscaled.Rem(x, y)
	return out, true
}

// trim is d without its trailing zeros, down to least places after the point.
func (d *decimal) trim(least int) *decimal {
	out := &decimal{scale: d.scale}
	out.unscaled.Set(&d.unscaled)
	var q, r big.Int
	for out.scale > least {
		q.QuoRem(&out.unscaled, ten, &r)
		if r.Sign() != 0 {
			break
		}
		out.unscaled.Set(&q)
		out.scale--
	}
	return out
}

// equivalent compares to the places of the one that has fewer, trailing zeros
// left out (N1, "Equivalent").
func (d *decimal) equivalent(o *decimal) bool {
	x, y := d.trim(0), o.trim(0)
	places := min(x.scale, y.scale)
	return x.round(places, halfAway).cmp(y.round(places, halfAway)) == 0
}

// The ways to give up places.
type rounding uint8

const (
	halfAway rounding = iota // to the nearest, half away from zero
	toFloor
	toCeiling
	toZero
)

// round gives d with the given places after the point, zeros added where it has
// fewer.
func (d *decimal) round(places int, how rounding) *decimal {
	out := &decimal{scale: places}
	if places >= d.scale {
		out.unscaled.Mul(&d.unscaled, pow10(places-d.scale))
		return out
	}
	den := pow10(d.scale - places)
	if how == halfAway {
		divideRounded(&out.unscaled, &d.unscaled, den)
		return out
	}
	var rem big.Int
	out.unscaled.QuoRem(&d.unscaled, den, &rem)
	switch {
	case how == toFloor && rem.Sign() < 0:
		out.unscaled.Sub(&out.unscaled, big.NewInt(1))
	case how == toCeiling && rem.Sign() > 0:
		out.unscaled.Add(&out.unscaled, big.NewInt(1))
	}
	return out
}

func (d *decimal) neg() *decimal {
	out := &decimal{scale: d.scale}
	out.unscaled.Neg(&d.unscaled)
	return out
}

func (d *decimal) abs() *decimal {
	out := &decimal{scale: d.scale}
	out.unscaled.Abs(&d.unscaled)
	return out
}

func (d *decimal) sign() int { return d.unscaled.Sign() }

// int64 is d as a whole number; ok is false where it has a fraction or does not
// fit.
func (d *decimal) int64() (int64, bool) {
	w := d.round(0, toZero)
	if w.cmp(d) != 0 || !w.unscaled.IsInt64() {
		return 0, false
	}
	return w.unscaled.Int64(), true
}

// rat is d as a fraction.
func (d *decimal) rat() *big.Rat { return new(big.Rat).SetFrac(&d.unscaled, pow10(d.scale)) }

// decimalFromRat is r to the quotient's places.
func decimalFromRat(r *big.Rat) *decimal {
	out := &decimal{scale: quotient}
	divideRounded(&out.unscaled, new(big.Int).Mul(r.Num(), pow10(quotient)), r.Denom())
	return out.trim(0)
}

func (d *decimal) float() float64 {
	f, _ := d.rat().Float64()
	return f
}

// decimalFromFloat takes what a transcendental function gave: 15 significant
// digits, all that a float64 vouches for. nil for infinities and NaN.
func decimalFromFloat(f float64) *decimal {
	if math.IsInf(f, 0) || math.IsNaN(f) || math.Abs(f) > 1e28 {
		return nil
	}
	d, ok := parseDecimal(strconv.FormatFloat(f, 'e', 14, 64))
	if !ok {
		return nil
	}
	return d.trim(1)
}
