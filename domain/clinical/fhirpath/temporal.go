package fhirpath

import (
	"fmt"
	"math/big"
	"strings"
	"time"
)

// precision says which parts of a date or time are given.
type precision uint8

const (
	toYear precision = iota + 1
	toMonth
	toDay
	toHour
	toMinute
	toSecond
	toFraction
)

// temporal is a Date, a DateTime or a Time with the parts that were given; what
// was not given is unknown, not zero.
type temporal struct {
	kind      System
	precision precision
	year      int
	month     int
	day       int
	hour      int
	minute    int
	second    int
	nano      int
	digits    int // of the fraction
	zone      bool
	offset    int // minutes east of Greenwich
}

// parseTemporal reads the text of a FHIR primitive or of a literal without its
// @. A date is a DateTime too where one is asked for.
func parseTemporal(kind System, s string) (*temporal, bool) {
	t := &temporal{kind: kind}
	ok := true
	number := func(digits int) int {
		if len(s) < digits {
			ok = false
			return 0
		}
		n := 0
		for i := range digits {
			if s[i] < '0' || s[i] > '9' {
				ok = false
				return 0
			}
			n = n*10 + int(s[i]-'0')
		}
		s = s[digits:]
		return n
	}
	next := func(c byte) bool {
		if s != "" && s[0] == c {
			s = s[1:]
			return true
		}
		return false
	}
	clock := func() {
		t.hour, t.precision = number(2), toHour
		if !next(':') {
			return
		}
		t.minute, t.precision = number(2), toMinute
		if !next(':') {
			return
		}
		t.second, t.precision = number(2), toSecond
		if !next('.') {
			return
		}
		t.precision = toFraction
		unit := 100_000_000
		for s != "" && s[0] >= '0' && s[0] <= '9' {
			t.nano += int(s[0]-'0') * unit
			unit /= 10
			t.digits++
			s = s[1:]
		}
		ok = ok && t.digits > 0
	}
	if kind == Time {
		clock()
		return t, ok && s == "" && t.valid()
	}
	t.year, t.precision = number(4), toYear
	if next('-') {
		t.month, t.precision = number(2), toMonth
		if next('-') {
			t.day, t.precision = number(2), toDay
		}
	}
	if kind == DateTime && next('T') && s != "" {
		if t.precision != toDay {
			return nil, false
		}
		clock()
		switch {
		case next('Z'):
			t.zone = true
		case s != "" && (s[0] == '+' || s[0] == '-'):
			sign := 1
			if s[0] == '-' {
				sign = -1
			}
			s = s[1:]
			h := number(2)
			ok = next(':') && ok
			t.zone, t.offset = true, sign*(h*60+number(2))
		}
	}
	return t, ok && s == "" && t.valid()
}

func (t *temporal) valid() bool {
	if t.hour > 23 || t.minute > 59 || t.second > 60 || t.offset < -14*60 || t.offset > 14*60 {
		return false
	}
	if t.kind == Time || t.precision < toMonth {
		return true
	}
	if t.month < 1 || t.month > 12 {
		return false
	}
	return t.precision < toDay || t.day >= 1 && t.day <= lastDay(t.year, t.month)
}

func lastDay(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// momentOf is a point in time as a DateTime to the millisecond.
func momentOf(at time.Time) *temporal {
	_, offset := at.Zone()
	return &temporal{
		kind: DateTime, precision: toFraction,
		year: at.Year(), month: int(at.Month()), day: at.Day(),
		hour: at.Hour(), minute: at.Minute(), second: at.Second(),
		nano: at.Nanosecond() / 1e6 * 1e6, digits: 3, zone: true, offset: offset / 60,
	}
}

// String writes t as FHIR does, without the @ and T of literals.
func (t *temporal) String() string {
	var b strings.Builder
	if t.kind != Time {
		fmt.Fprintf(&b, "%04d", t.year)
		if t.precision >= toMonth {
			fmt.Fprintf(&b, "-%02d", t.month)
		}
		if t.precision >= toDay {
			fmt.Fprintf(&b, "-%02d", t.day)
		}
		if t.precision >= toHour {
			b.WriteByte('T')
		}
	}
	if t.precision >= toHour {
		fmt.Fprintf(&b, "%02d", t.hour)
	}
	if t.precision >= toMinute {
		fmt.Fprintf(&b, ":%02d", t.minute)
	}
	if t.precision >= toSecond {
		fmt.Fprintf(&b, ":%02d", t.second)
	}
	if t.precision == toFraction {
		s := fmt.Sprintf("%09d", t.nano)
		b.WriteByte('.')
		b.WriteString(s[:min(max(t.digits, 1), 9)])
	}
	if t.zone {
		switch o := t.offset; {
		case o == 0:
			b.WriteByte('Z')
		case o < 0:
			fmt.Fprintf(&b, "-%02d:%02d", -o/60, -o%60)
		default:
			fmt.Fprintf(&b, "+%02d:%02d", o/60, o%60)
		}
	}
	return b.String()
}

// wall is t as if it were UTC; parts that are not given are the first there are.
func (t *temporal) wall() time.Time {
	return time.Date(t.year, time.Month(max(t.month, 1)), max(t.day, 1), t.hour, t.minute, t.second, t.nano, time.UTC)
}

// setWall takes the parts of t, as far as it has them, from at.
func (t *temporal) setWall(at time.Time) {
	t.year = at.Year()
	if t.precision >= toMonth {
		t.month = int(at.Month())
	}
	if t.precision >= toDay {
		t.day = at.Day()
	}
	t.hour, t.minute, t.second, t.nano = at.Hour(), at.Minute(), at.Second(), at.Nanosecond()
}

// compare orders t and o; known is false where the parts that are given do not
// tell (N1, "Date/Time Equality": different precisions; one with a zone and
// one without, less than the widest offset apart).
func (t *temporal) compare(o *temporal) (cmp int, known bool) {
	if t.precision >= toHour && o.precision >= toHour && t.kind != Time {
		if t.zone != o.zone {
			const widest = 14 * time.Hour
			d := t.utc().Sub(o.utc())
			switch {
			case d > widest:
				return 1, true
			case d < -widest:
				return -1, true
			}
			return 0, false
		}
		if t.zone && t.offset != o.offset {
			t, o = t.inUTC(), o.inUTC()
		}
	}
	for _, p := range [...]struct {
		at   precision
		x, y int
	}{
		{toYear, t.year, o.year},
		{toMonth, t.month, o.month},
		{toDay, t.day, o.day},
		{toHour, t.hour, o.hour},
		{toMinute, t.minute, o.minute},
		{toSecond, t.second, o.second},
		{toFraction, t.nano, o.nano},
	} {
		if p.at == toFraction && t.precision >= toSecond && o.precision >= toSecond {
			return compareInts(p.x, p.y), true // seconds and their fraction are one number
		}
		hasT, hasO := t.precision >= p.at, o.precision >= p.at
		if !hasT && !hasO {
			break
		}
		if hasT != hasO {
			return 0, false
		}
		if c := compareInts(p.x, p.y); c != 0 {
			return c, true
		}
	}
	return 0, true
}

func compareInts(x, y int) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func (t *temporal) utc() time.Time { return t.wall().Add(-time.Duration(t.offset) * time.Minute) }

func (t *temporal) inUTC() *temporal {
	c := *t
	c.setWall(t.utc())
	c.offset = 0
	return &c
}

// The calendar units, from the finest, with how many of the one before they are
// where a date is not precise enough to tell (N1, "Date/Time Arithmetic").
var calendarSteps = []struct {
	unit string
	at   precision
	of   int64
}{
	{"millisecond", toFraction, 1},
	{"second", toSecond, 1000},
	{"minute", toMinute, 60},
	{"hour", toHour, 60},
	{"day", toDay, 24},
	{"month", toMonth, 30},
	{"year", toYear, 12},
}

// add moves t by a whole number of a calendar unit; nil where the result is
// outside the years 1 to 9999.
func (t *temporal) add(n int64, unit string) *temporal {
	const far = 10_000 * 366 * 86_400 * 1000
	if n > far || n < -far {
		return nil
	}
	if unit == "week" {
		n, unit = n*7, "day"
	}
	i := 0
	for calendarSteps[i].unit != unit {
		i++
	}
	for calendarSteps[i].at > t.precision {
		if calendarSteps[i].unit == "day" && t.precision == toYear {
			n, i = n/365, len(calendarSteps)-1
			break
		}
		i++
		n /= calendarSteps[i].of
	}
	c := *t
	at := t.wall()
	switch calendarSteps[i].unit {
	case "year":
		at = addMonths(at, n*12)
	case "month":
		at = addMonths(at, n)
	case "day":
		at = at.AddDate(0, 0, int(n))
	default:
		for ; i > 0; i-- {
			n *= calendarSteps[i].of
		}
		const day = 86_400_000
		at = at.AddDate(0, 0, int(n/day)).Add(time.Duration(n%day) * time.Millisecond)
	}
	c.setWall(at)
	if t.kind == Time {
		c.year, c.month, c.day = 0, 0, 0
	} else if c.year < 1 || c.year > 9999 {
		return nil
	}
	return &c
}

// addMonths keeps the day of the month, or takes the last day of a shorter one.
func addMonths(at time.Time, n int64) time.Time {
	months := int64(at.Year())*12 + int64(at.Month()) - 1 + n
	year, month := int(months/12), int(months%12)+1
	if months < 0 || year > 9999 {
		return time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	day := min(at.Day(), lastDay(year, month))
	return time.Date(year, time.Month(month), day, at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
}

// addQuantity moves t by a duration, whose fraction is dropped. The definite
// months and years of UCUM are refused: a calendar has none.
func (t *temporal) addQuantity(q *quantity, sign int64) (*temporal, *Error) {
	unit := q.unit
	if !q.calendar {
		switch u, ok := calendarOfCode[unit]; {
		case ok && u != "month" && u != "year":
			unit = u
		case calendarSingular(unit) != "":
			unit = calendarSingular(unit)
		default:
			return nil, execution("日期只能加减日历时长（如 3 days），不能用单位“"+unit+"”。",
				"A date moves by calendar durations such as 3 days, not by "+unit+".")
		}
	}
	n := q.value.round(0, toZero)
	if !n.unscaled.IsInt64() {
		return nil, nil
	}
	return t.add(sign*n.unscaled.Int64(), unit), nil
}

// precisionDigits counts the digits of what is given, as precision() does.
func (t *temporal) precisionDigits() int {
	d := [...]int{0, 4, 6, 8, 10, 12, 14, 17}[t.precision]
	if t.kind == Time {
		d -= 8
	}
	return d
}

// boundary is the least (or greatest) moment t can mean, to the given digits;
// nil for digits that are no precision. A moment without a zone may be anywhere
// from +14:00 to -12:00.
func (t *temporal) boundary(high bool, digits int) *temporal {
	c := *t
	want := precision(0)
	for p, d := range [...]int{0, 4, 6, 8, 10, 12, 14, 17} {
		if t.kind == Time {
			d -= 8
		}
		if d == digits && p > 0 {
			want = precision(p)
		}
	}
	if want == 0 || t.kind == Date && want > toDay {
		return nil
	}
	pick := func(low, highest int) int {
		if high {
			return highest
		}
		return low
	}
	had := t.precision
	if had < toMonth {
		c.month = pick(1, 12)
	}
	if had < toDay && t.kind != Time {
		c.day = pick(1, lastDay(c.year, c.month))
	}
	if had < toHour {
		c.hour, c.minute = pick(0, 23), pick(0, 59)
	}
	// An hour without minutes is no FHIR time: it is taken as the full hour.
	if had < toSecond {
		c.second = pick(0, 59)
	}
	if had < toFraction {
		c.nano, c.digits = pick(0, 999_000_000), 3
	}
	if !c.zone && c.kind == DateTime && want >= toHour {
		c.zone, c.offset = true, pick(14*60, -12*60)
	}
	c.precision = want
	if want < toHour {
		c.zone = false
	}
	return &c
}

// span is how far apart t and o are in a calendar unit, whole units only, as
// difference() and duration() ask; ok is false where either is not precise
// enough.
func (t *temporal) span(o *temporal, unit string) (int64, bool) {
	if t.zone && o.zone {
		t, o = t.inUTC(), o.inUTC()
	}
	var need precision
	for _, s := range calendarSteps {
		if s.unit == unit || unit == "week" && s.unit == "day" {
			need = s.at
		}
	}
	if need == 0 || t.precision < need || o.precision < need {
		return 0, false
	}
	a, b := t.wall(), o.wall()
	if need <= toMonth {
		sign := int64(1)
		if b.Before(a) {
			a, b, sign = b, a, -1
		}
		months := int64(b.Year()-a.Year())*12 + int64(b.Month()) - int64(a.Month())
		if addMonths(a, months).After(b) {
			months--
		}
		if unit == "year" {
			months /= 12
		}
		return sign * months, true
	}
	ms := new(big.Int).SetInt64(b.UnixMilli() - a.UnixMilli())
	per := map[string]int64{"millisecond": 1, "second": 1000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 7 * 86_400_000}[unit]
	return ms.Quo(ms, big.NewInt(per)).Int64(), true
}
