package clinical

import (
	"strings"
	"time"
)

// primitive names the rules the value of a primitive type follows:
// FHIR R4 §2.24.0.1, "Primitive Types".
type primitive uint8

const (
	stringPrimitive primitive = iota // string, markdown: not empty
	booleanPrimitive
	integerPrimitive
	positivePrimitive
	unsignedPrimitive
	decimalPrimitive
	base64Primitive
	instantPrimitive
	datePrimitive
	dateTimePrimitive
	timePrimitive
	codePrimitive
	oidPrimitive
	uuidPrimitive
	idPrimitive
	uriPrimitive // uri, url, canonical: no blanks
	xhtmlPrimitive
)

var primitives = map[string]primitive{
	"string": stringPrimitive, "markdown": stringPrimitive, "boolean": booleanPrimitive,
	"integer": integerPrimitive, "positiveInt": positivePrimitive, "unsignedInt": unsignedPrimitive,
	"decimal": decimalPrimitive, "base64Binary": base64Primitive, "instant": instantPrimitive,
	"date": datePrimitive, "dateTime": dateTimePrimitive, "time": timePrimitive, "code": codePrimitive,
	"oid": oidPrimitive, "uuid": uuidPrimitive, "id": idPrimitive, "uri": uriPrimitive, "url": uriPrimitive,
	"canonical": uriPrimitive, "xhtml": xhtmlPrimitive,
}

// form says the shape a primitive has in JSON.
type form uint8

const (
	inString form = iota
	inNumber
	inBool
)

func (p primitive) form() form {
	switch p {
	case booleanPrimitive:
		return inBool
	case integerPrimitive, positivePrimitive, unsignedPrimitive, decimalPrimitive:
		return inNumber
	}
	return inString
}

// maxString is the longest string: FHIR R4 §2.24.0.1, "no larger than 1 MB".
// Base64 content has no such limit.
const maxString = 1 << 20

// check tells whether s, the unescaped value or the number as written, is a
// value of the primitive type.
func (p primitive) check(s string) bool {
	switch p {
	case stringPrimitive:
		return s != "" && len(s) <= maxString
	case booleanPrimitive:
		return true
	case integerPrimitive:
		return wholeNumber(s, -1<<31, 1<<31-1)
	case positivePrimitive:
		return wholeNumber(s, 1, 1<<31-1)
	case unsignedPrimitive:
		return wholeNumber(s, 0, 1<<31-1)
	case decimalPrimitive:
		return len(s) <= 64
	case base64Primitive:
		return isBase64(s)
	case instantPrimitive, datePrimitive, dateTimePrimitive:
		t, ok := parseTime(s)
		if !ok {
			return false
		}
		switch {
		case p == datePrimitive:
			return t.precision <= dayPrecision
		case p == instantPrimitive && t.precision < secondPrecision:
			return false
		}
		return t.precision <= dayPrecision || t.precision >= secondPrecision && t.zoned
	case timePrimitive:
		_, n, ok := clockTime(s, false)
		return ok && n == len(s)
	case codePrimitive:
		return isCode(s)
	case oidPrimitive:
		return isOID(s)
	case uuidPrimitive:
		return isUUID(s)
	case idPrimitive:
		return isID(s)
	case uriPrimitive:
		return s != "" && len(s) <= maxString && !strings.ContainsAny(s, " \t\r\n")
	case xhtmlPrimitive:
		return strings.HasPrefix(strings.TrimLeft(s, " \t\r\n"), "<div") && len(s) <= maxString
	}
	return false
}

func wholeNumber(s string, least, most int64) bool {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(digits) > 10 || len(digits) != len(s) && digits == "0" {
		return false
	}
	var n int64
	for i := range len(digits) {
		c := digits[i]
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) != len(s) {
		n = -n
	}
	return n >= least && n <= most
}

// isBase64 follows R4's expression (\s*([0-9a-zA-Z\+\/=]){4}\s*)+ with padding
// only at the end.
func isBase64(s string) bool {
	n, pad := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		case c == '=':
			pad++
			n++
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/':
			if pad > 0 {
				return false
			}
			n++
		default:
			return false
		}
	}
	return n > 0 && n%4 == 0 && pad <= 2
}

// isCode follows [^\s]+(\s[^\s]+)*: no blank at either end and never two.
func isCode(s string) bool {
	if s == "" || len(s) > maxString {
		return false
	}
	blank := true
	for i := range len(s) {
		b := s[i] == ' ' || s[i] >= '\t' && s[i] <= '\r'
		if b && blank {
			return false
		}
		blank = b
	}
	return !blank
}

func isID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

// isOID follows urn:oid:[0-2](\.(0|[1-9][0-9]*))+.
func isOID(s string) bool {
	rest, ok := strings.CutPrefix(s, "urn:oid:")
	if !ok || len(rest) < 3 || rest[0] < '0' || rest[0] > '2' || rest[1] != '.' {
		return false
	}
	for part := range strings.SplitSeq(rest[2:], ".") {
		if part == "" || len(part) > 1 && part[0] == '0' || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return true
}

func isUUID(s string) bool {
	rest, ok := strings.CutPrefix(s, "urn:uuid:")
	if !ok || len(rest) != 36 {
		return false
	}
	for i := range len(rest) {
		c := rest[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
				return false
			}
		}
	}
	return true
}

// precision is how exactly a time is given.
type precision uint8

const (
	yearPrecision precision = iota
	monthPrecision
	dayPrecision
	minutePrecision // only in searches
	secondPrecision
	milliPrecision // and finer
)

// partialTime is a date, dateTime or instant with its precision.
type partialTime struct {
	year, month, day, hour, minute, second int
	nanos                                  int
	precision                              precision
	zone                                   int // minutes east of UTC
	zoned                                  bool
}

// parseTime reads a date, dateTime or instant of FHIR R4 §2.24.0.1. Dates that do
// not exist, such as 2023-02-29, are refused. It also takes what only searches
// may use (§3.1.1.4.6): a time without seconds or without a zone.
func parseTime(s string) (partialTime, bool) {
	var t partialTime
	t.month, t.day = 1, 1
	if len(s) < 4 || !digits(s[:4], &t.year) || t.year == 0 {
		return t, false
	}
	s = s[4:]
	if s == "" {
		return t, true
	}
	if len(s) < 3 || s[0] != '-' || !digits(s[1:3], &t.month) || t.month < 1 || t.month > 12 {
		return t, false
	}
	t.precision = monthPrecision
	s = s[3:]
	if s == "" {
		return t, true
	}
	if len(s) < 3 || s[0] != '-' || !digits(s[1:3], &t.day) || t.day < 1 || t.day > daysIn(t.year, t.month) {
		return t, false
	}
	t.precision = dayPrecision
	s = s[3:]
	if s == "" {
		return t, true
	}
	if s[0] != 'T' {
		return t, false
	}
	c, n, ok := clockTime(s[1:], true)
	if !ok {
		return t, false
	}
	t.hour, t.minute, t.second, t.nanos, t.precision = c.hour, c.minute, c.second, c.nanos, c.precision
	s = s[1+n:]
	switch {
	case s == "Z":
		t.zoned = true
		return t, true
	case len(s) == 6 && (s[0] == '+' || s[0] == '-') && s[3] == ':':
		var h, m int
		if !digits(s[1:3], &h) || !digits(s[4:6], &m) || h > 14 || m > 59 || h == 14 && m > 0 {
			return t, false
		}
		t.zone = h*60 + m
		if s[0] == '-' {
			t.zone = -t.zone
		}
		t.zoned = true
		return t, true
	case s == "":
		return t, true
	}
	return t, false
}

// clockTime reads hh:mm:ss with an optional fraction at the start of s and
// tells how many bytes it took. Where short is set, hh:mm alone is enough.
func clockTime(s string, short bool) (t partialTime, n int, ok bool) {
	if len(s) < 5 || s[2] != ':' || !digits(s[0:2], &t.hour) || !digits(s[3:5], &t.minute) || t.hour > 23 || t.minute > 59 {
		return t, 0, false
	}
	t.precision = minutePrecision
	if len(s) < 8 || s[5] != ':' {
		return t, 5, short
	}
	if !digits(s[6:8], &t.second) || t.second > 60 { // 60: a leap second
		return t, 0, false
	}
	t.precision = secondPrecision
	n = 8
	if len(s) > 8 && s[8] == '.' {
		scale := int(time.Second)
		for n = 9; n < len(s) && s[n] >= '0' && s[n] <= '9'; n++ {
			scale /= 10
			t.nanos += int(s[n]-'0') * scale
		}
		if n == 9 {
			return t, 0, false
		}
		t.precision = milliPrecision
	}
	return t, n, true
}

func digits(s string, into *int) bool {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	*into = n
	return true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// period gives the milliseconds [lo, hi) that t covers by its precision
// (§3.1.1.4.6): a year is the whole year. A time without a zone is local.
func (t partialTime) period(local *time.Location) (lo, hi int64) {
	zone := local
	if t.zoned {
		zone = time.UTC
	}
	start := time.Date(t.year, time.Month(t.month), t.day, t.hour, t.minute, t.second, t.nanos, zone)
	if t.zoned {
		start = start.Add(-time.Duration(t.zone) * time.Minute)
	}
	var end time.Time
	switch t.precision {
	case yearPrecision:
		end = start.AddDate(1, 0, 0)
	case monthPrecision:
		end = start.AddDate(0, 1, 0)
	case dayPrecision:
		end = start.AddDate(0, 0, 1)
	case minutePrecision:
		end = start.Add(time.Minute)
	case secondPrecision:
		end = start.Add(time.Second)
	default:
		lo = start.UnixMilli()
		return lo, lo + 1
	}
	return start.UnixMilli(), end.UnixMilli()
}
