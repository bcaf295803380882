package jsonpatch

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Equal compares two values as the test operation does: objects whatever the
// order of their members, numbers by their value (RFC 6902 §4.6).
func Equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		o, ok := b.(map[string]any)
		if !ok || len(o) != len(a) {
			return false
		}
		for k, v := range a {
			w, there := o[k]
			if !there || !Equal(v, w) {
				return false
			}
		}
		return true
	case []any:
		o, ok := b.([]any)
		if !ok || len(o) != len(a) {
			return false
		}
		for i := range a {
			if !Equal(a[i], o[i]) {
				return false
			}
		}
		return true
	case json.Number:
		o, ok := b.(json.Number)
		return ok && (a == o || sameNumber(string(a), string(o)))
	}
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	return a == b
}

// sameNumber compares two literals exactly and without expanding their
// exponents: 1e999999999 costs nothing.
func sameNumber(a, b string) bool {
	x, ok1 := parseNumber(a)
	y, ok2 := parseNumber(b)
	return ok1 && ok2 && x == y
}

// number is digits × 10^exponent, digits without zeros at either end; zero has
// none.
type number struct {
	negative bool
	digits   string
	exponent int64
}

func parseNumber(s string) (n number, ok bool) {
	s, n.negative = strings.CutPrefix(s, "-")
	mantissa, exp, _ := strings.Cut(strings.ToLower(s), "e")
	if exp != "" {
		var err error
		if n.exponent, err = strconv.ParseInt(exp, 10, 32); err != nil {
			return n, false
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	n.exponent -= int64(len(fraction))
	digits := strings.TrimLeft(whole+fraction, "0")
	n.digits = strings.TrimRight(digits, "0")
	n.exponent += int64(len(digits) - len(n.digits))
	if n.digits == "" {
		return number{}, true // no sign and no exponent: all zeros are one
	}
	return n, true
}
