package logs

import (
	"strings"
	"unicode/utf8"
)

// whole says what a run is where it can be said of the run as one.
func whole(run string) (class, bool) {
	var digits, letters, dots, slashes, back, under, colons, ats, hyphens, upper, humps, other int
	for i := range len(run) {
		switch c := run[i]; {
		case digit(c):
			digits++
		case c >= 'a' && c <= 'z':
			letters++
		case c >= 'A' && c <= 'Z':
			letters++
			upper++
			if i > 0 && run[i-1] >= 'a' && run[i-1] <= 'z' {
				humps++
			}
		case c == '.':
			dots++
		case c == '/':
			slashes++
		case c == '\\':
			back++
		case c == '_':
			under++
		case c == ':':
			colons++
		case c == '-':
			hyphens++
		case c == '@':
			ats++
		case c >= utf8.RuneSelf:
			return word, false
		default:
			other++
		}
	}
	switch run {
	case "true", "false", "null", "nil", "NaN", "True", "False", "None", "TRUE", "FALSE", "NULL":
		return value, true
	}
	if strings.Index(run, "://") > 0 {
		return value, true
	}
	if back > 0 && letters > 0 || run[0] == '/' && len(run) > 1 || slashes > 1 && colons == 0 {
		return value, true // a path
	}
	if letters == 0 && digits > 0 {
		return value, true // number, date, time, IPv4 with port
	}
	if colons > 1 && hex(run) {
		return value, true // IPv6 or MAC
	}
	if at := strings.IndexByte(run, '@'); ats == 1 && colons == 0 && at > 0 && at < len(run)-1 && (dots > 0 || upper == 0 && other == 0) {
		return value, true // a mailbox, or a user at a host
	}
	if colons == 1 {
		i := strings.IndexByte(run, ':')
		if i+1 < len(run) && allDigits(run[i+1:]) && (dots > 0 || strings.IndexByte(run[:i], '/') >= 0) {
			return value, true // host:port
		}
	}
	if colons > 0 || ats > 0 || strings.ContainsAny(run, "#&?*") {
		return word, false
	}
	if digits > 0 {
		return value, true
	}
	if len(run) >= 8 && len(run)%4 == 0 && hex(run) && letters == len(run) {
		return value, true // ffffffff
	}
	if dots > 0 || under > 0 || hyphens > 1 || humps > 0 || slashes > 0 || other > 0 {
		return name, true
	}
	return word, true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !digit(s[i]) {
			return false
		}
	}
	return s != ""
}

// hex says whether s has nothing but hexadecimal digits, colons and dots.
func hex(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' || c == ':' || c == '.') {
			return false
		}
	}
	return true
}

// number says whether s is a number, perhaps with a sign and separators.
func number(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(digit(c) || c == '.' || c == '-' || c == '+' || c == ',') {
			return false
		}
	}
	return true
}

// units are what may follow a number and belongs to it, in the forms that
// change with the number.
var units = set("byte", "bytes", "B", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "kB", "kb", "mb", "gb",
	"ms", "msec", "msecs", "us", "ns", "s", "sec", "secs", "second", "seconds", "min", "mins", "minute", "minutes",
	"hour", "hours", "hr", "hrs", "day", "days", "millisecond", "milliseconds", "MHz", "GHz", "kHz", "Hz", "%",
	"秒", "毫秒", "分钟", "小时", "天", "字节")

// days are the words a date is written with beside its numbers.
var days = set("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
	"Sep", "Oct", "Nov", "Dec", "AM", "PM", "UTC", "GMT", "CST", "EST", "PST", "PDT", "EDT", "CEST", "CET")

func set(words ...string) map[string]bool {
	out := make(map[string]bool, len(words))
	for _, w := range words {
		out[w] = true
	}
	return out
}
