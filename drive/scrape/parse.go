package scrape

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Parse reads an exposition; contentType is that of the answer: OpenMetrics
// where it says so, else the text format. Samples without a time get at. Invalid
// with the line where the text cannot be read, TooLarge above 20,000 samples;
// what came before is returned beside either. Of comments only TYPE is read, for
// counters and gauges; exemplars are left out. Names that need quotes (Prometheus 3) are not asked for and not read.
func Parse(body []byte, contentType string, at time.Time) ([]series.Sample, error) {
	open := strings.HasPrefix(contentType, "application/openmetrics-text")
	var out []series.Sample
	types := map[string]series.Type{}
	rest := string(body)
	for n := 1; rest != ""; n++ {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		if line = strings.TrimLeft(line, " \t"); line == "" || line[0] == '#' || line == "\r" {
			if f := strings.Fields(line); len(f) == 4 && f[0] == "#" && f[1] == "TYPE" && len(types) < maxSamples {
				types[f[2]] = map[string]series.Type{"counter": series.Counter, "gauge": series.Gauge}[f[3]]
			}
			continue
		}
		if len(out) == maxSamples {
			return out, tooLarge("")
		}
		s, err := parseLine(line, open)
		if err != nil {
			return out, errs.E(errs.Invalid, "scrape", "", fmt.Sprintf("应答第 %d 行不是 Prometheus 文本格式；请检查采集地址。", n), fmt.Sprintf("Line %d of the answer is not in Prometheus' text format; check the address.", n)).Because(err)
		}
		if s.At.IsZero() {
			s.At = at
		}
		s.Type = types[s.Name]
		out = append(out, s)
	}
	return out, nil
}

func parseLine(line string, open bool) (s series.Sample, err error) {
	n := nameLength(line, true)
	if n == 0 {
		return s, fmt.Errorf("no metric name: %.40q", line)
	}
	s.Name, line = line[:n], strings.TrimLeft(line[n:], " \t")
	if strings.HasPrefix(line, "{") {
		if s.Labels, line, err = parseLabels(line[1:]); err != nil {
			return s, err
		}
	}
	if open {
		line, _, _ = strings.Cut(line, " # ") // an exemplar
	}
	f := strings.Fields(line)
	if len(f) == 0 || len(f) > 2 {
		return s, fmt.Errorf("no value, or more than a value and a time: %.40q", line)
	}
	if s.Value, err = parseValue(f[0]); err != nil || len(f) == 1 {
		return s, err
	}
	if open { // seconds
		sec, err := parseValue(f[1])
		if err != nil || math.IsNaN(sec) || math.Abs(sec) > 1e11 {
			return s, fmt.Errorf("no time: %.40q", f[1])
		}
		s.At = time.UnixMilli(int64(math.Round(sec * 1000))).UTC()
		return s, nil
	}
	ms, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil || ms > 1e14 || ms < -1e14 {
		return s, fmt.Errorf("no time: %.40q", f[1])
	}
	s.At = time.UnixMilli(ms).UTC()
	return s, nil
}

// parseValue is what Go reads as a number, without its hexadecimal numbers and
// underscores.
func parseValue(s string) (float64, error) {
	if strings.ContainsAny(s, "xXpP_") {
		return 0, fmt.Errorf("no number: %.40q", s)
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(v, 0) { // out of range is an infinity, as the format has it
		return 0, err
	}
	return v, nil
}

// nameLength is how many bytes of s are a name; a metric's may hold colons.
func nameLength(s string, metric bool) int {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || metric && c == ':' || i > 0 && c >= '0' && c <= '9') {
			return i
		}
	}
	return len(s)
}

// parseLabels reads what stands behind "{"; rest is what follows "}".
func parseLabels(s string) (labels map[string]string, rest string, err error) {
	labels = map[string]string{}
	for {
		if s = strings.TrimLeft(s, " \t"); strings.HasPrefix(s, "}") {
			return labels, s[1:], nil
		}
		n := nameLength(s, false)
		name := s[:n]
		s = strings.TrimLeft(s[n:], " \t")
		if n == 0 || !strings.HasPrefix(s, "=") {
			return nil, "", fmt.Errorf("no label: %.40q", s)
		}
		s = strings.TrimLeft(s[1:], " \t")
		if !strings.HasPrefix(s, `"`) {
			return nil, "", fmt.Errorf("no label value: %.40q", s)
		}
		value, after, ok := unquote(s[1:])
		if _, twice := labels[name]; !ok || twice {
			return nil, "", fmt.Errorf("label %.40q has no end or stands twice", name)
		}
		labels[name] = value
		if s = strings.TrimLeft(after, " \t"); strings.HasPrefix(s, ",") {
			s = s[1:]
		} else if !strings.HasPrefix(s, "}") {
			return nil, "", fmt.Errorf("labels do not end: %.40q", s)
		}
	}
}

// unquote reads a label value up to its quote; \\, \" and \n are escapes, any
// other backslash stands for itself.
func unquote(s string) (value, rest string, ok bool) {
	end := strings.IndexAny(s, `"\`)
	if end >= 0 && s[end] == '"' {
		return strings.ToValidUTF8(s[:end], "\ufffd"), s[end+1:], true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return strings.ToValidUTF8(b.String(), "\ufffd"), s[i+1:], true
		case c == '\\' && i+1 < len(s) && s[i+1] == 'n':
			b.WriteByte('\n')
			i++
		case c == '\\' && i+1 < len(s) && (s[i+1] == '\\' || s[i+1] == '"'):
			b.WriteByte(s[i+1])
			i++
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
