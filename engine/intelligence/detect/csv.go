package detect

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/errs"
)

// longestRow is how many bytes a row may have: a timestamp and a number need
// not even a hundred, and a file that is none must not fill the memory.
const longestRow = 64 << 10

// Copy reads a series as CSV with the header timestamp,value and writes each row
// with two more columns, timestamp,value,anomaly_score,alarm: the score from 0
// to 1 with six digits, the alarm 0 or 1. Timestamps and values are written as
// they were read. Rows go out as they come in; nothing is read twice.
//
// A timestamp is RFC 3339, "2006-01-02 15:04:05" with or without fractions or
// seconds (taken as UTC), a date, or a number: Unix seconds, or milliseconds,
// microseconds or nanoseconds where it is too large for seconds. An empty value
// and NaN are a gap: the row gets score 0. Empty lines are left out; a byte order
// mark and CRLF are understood.
//
// Invalid where the header or a row is something else, with the line's number;
// the rows before it have been written by then.
func Copy(w io.Writer, r io.Reader, d *Detector) error {
	in := bufio.NewReaderSize(r, longestRow)
	out := bufio.NewWriterSize(w, 64<<10)
	err := copyRows(out, in, d)
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	return err
}

func copyRows(out *bufio.Writer, in *bufio.Reader, d *Detector) error {
	header := false
	var row []byte
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return broken(n, "这一行太长", "the line is too long")
		case err != nil && !errors.Is(err, io.EOF):
			return err
		}
		last := err != nil
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(bytes.TrimSpace(line)) == 0:
		case !header:
			if string(line) != "timestamp,value" {
				return broken(n, fmt.Sprintf("表头是 %q，不是 timestamp,value", clip(line)), fmt.Sprintf("the header is %q, not timestamp,value", clip(line)))
			}
			header = true
			if _, err := out.WriteString("timestamp,value,anomaly_score,alarm\n"); err != nil {
				return err
			}
		default:
			at, value, err := parseRow(n, line)
			if err != nil {
				return err
			}
			v := d.Next(at, value)
			row = append(row[:0], line...)
			row = append(row, ',')
			row = strconv.AppendFloat(row, v.Score, 'f', 6, 64)
			if v.Alarm {
				row = append(row, ",1\n"...)
			} else {
				row = append(row, ",0\n"...)
			}
			if _, err := out.Write(row); err != nil {
				return err
			}
			if in.Buffered() == 0 { // somebody may be watching at the other end of a pipe
				if err := out.Flush(); err != nil {
					return err
				}
			}
		}
		if last {
			if !header {
				return broken(n, "没有表头 timestamp,value", "there is no header timestamp,value")
			}
			return nil
		}
	}
}

func parseRow(n int, line []byte) (time.Time, float64, error) {
	first, second, found := bytes.Cut(line, []byte{','})
	if !found || bytes.IndexByte(second, ',') >= 0 {
		columns := bytes.Count(line, []byte{','}) + 1
		return time.Time{}, 0, broken(n, fmt.Sprintf("有 %d 列，应为两列 timestamp,value", columns), fmt.Sprintf("there are %d columns, not the two timestamp,value", columns))
	}
	at, ok := parseTime(strings.TrimSpace(string(first)))
	if !ok {
		return time.Time{}, 0, broken(n, fmt.Sprintf("看不懂时间 %q", clip(first)), fmt.Sprintf("%q is not a time", clip(first)))
	}
	word := strings.TrimSpace(string(second))
	if word == "" {
		return at, math.NaN(), nil
	}
	value, err := strconv.ParseFloat(word, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return time.Time{}, 0, broken(n, fmt.Sprintf("%q 不是数", clip(second)), fmt.Sprintf("%q is not a number", clip(second)))
	}
	return at, value, nil
}

// layouts are the times we read beside numbers.
var layouts = []string{time.DateTime, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05Z07:00", time.DateOnly, "2006/01/02 15:04:05", "2006/01/02 15:04"}

func parseTime(s string) (time.Time, bool) {
	if number, err := strconv.ParseFloat(s, 64); err == nil {
		// Seconds until the year 5138; above, the next smaller unit.
		for number >= 1e11 && !math.IsInf(number, 1) {
			number /= 1e3
		}
		if math.IsNaN(number) || math.Abs(number) > 1e11 {
			return time.Time{}, false
		}
		whole, part := math.Modf(number)
		return time.Unix(int64(whole), int64(part*1e9)), true
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func broken(n int, zh, en string) error {
	return errs.E(errs.Invalid, "detect", fmt.Sprintf("line %d", n), fmt.Sprintf("第 %d 行：%s。请改正后重试。", n, zh), fmt.Sprintf("Line %d: %s. Correct it and try again.", n, en))
}

// clip keeps a quotation short.
func clip(b []byte) string {
	if len(b) > 60 {
		return string(b[:60]) + "…"
	}
	return string(b)
}
