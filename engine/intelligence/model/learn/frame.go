// Package learn trains and serves the stock models: from rows over time to
// weights, and from weights and the newest rows to a judgement. It knows no
// records, no series store and no champion; it does what it is told with numbers,
// the same numbers giving the same weights.
package learn

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/kernel/errs"
)

// Frame is rows over time of one thing.
type Frame struct {
	Thing   string // id; empty: the set is of one thing without a name
	Columns []string
	Step    time.Duration
	Times   []int64     // Unix milliseconds, ascending
	Cells   [][]float64 // by row, then column; NaN where there is no value
	Fault   []bool      // by row: a labelled fault; nil: the set has no labels
}

// Rows is the number of rows.
func (f Frame) Rows() int { return len(f.Times) }

// Part is the rows [from, to). It shares the cells.
func (f Frame) Part(from, to int) Frame {
	out := f
	out.Times, out.Cells = f.Times[from:to], f.Cells[from:to]
	if f.Fault != nil {
		out.Fault = f.Fault[from:to]
	}
	return out
}

// Before gives the rows before an instant and those at and after it.
func (f Frame) Before(at int64) (before, rest Frame) {
	n, _ := slices.BinarySearch(f.Times, at)
	return f.Part(0, n), f.Part(n, f.Rows())
}

// Held is the share of a data set's time, its newest, that a model is judged on
// and never learns from.
const Held = 0.25

// Split divides frames at one instant, so that share of their common time lies
// behind it: what is judged is always later than what was learnt. The gap rows
// before the instant belong to neither, since a window over them would see both.
func Split(frames []Frame, share float64, gap int) (past, held []Frame) {
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for _, f := range frames {
		if f.Rows() > 0 {
			first, last = min(first, f.Times[0]), max(last, f.Times[f.Rows()-1])
		}
	}
	if first > last {
		return nil, nil
	}
	at := last - int64(share*float64(last-first))
	for _, f := range frames {
		a, b := f.Before(at)
		if n := max(a.Rows()-gap, 0); n > 0 {
			past = append(past, a.Part(0, n))
		}
		if b.Rows() > 0 {
			held = append(held, b)
		}
	}
	return past, held
}

// The bounds of a table that is read: those of a cut of the data engine, with
// room for sets brought from elsewhere.
const (
	maxCells   = 4_000_000
	maxColumns = 4096
	maxLine    = 1 << 20
)

// Table is a data set as it is kept: CSV with the header "timestamp,…", Unix
// seconds, empty cells where there is no value.
type Table struct {
	Columns []string
	Times   []int64 // Unix milliseconds, strictly ascending
	Cells   [][]float64
}

// ReadTable reads a table. Invalid, naming the line, where it is not one;
// TooLarge above 4,000,000 cells.
func ReadTable(r io.Reader) (Table, error) {
	const op = "read data set"
	wrong := func(line int, zh, en string) error {
		return errs.E(errs.Invalid, op, strconv.Itoa(line), fmt.Sprintf("数据集第 %d 行：%s", line, zh), fmt.Sprintf("Line %d of the data set: %s", line, en))
	}
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	var t Table
	for line := 1; s.Scan(); line++ {
		cells, ok := fieldsOf(s.Text())
		if !ok {
			return Table{}, wrong(line, "引号不成对。", "the quotes do not match.")
		}
		if line == 1 {
			if len(cells) < 2 || cells[0] != "timestamp" || len(cells) > maxColumns {
				return Table{}, wrong(line, "首行须是 timestamp 和至少一列。", "the header must be timestamp and one column at least.")
			}
			t.Columns = cells[1:]
			continue
		}
		if len(cells) != len(t.Columns)+1 {
			return Table{}, wrong(line, fmt.Sprintf("应有 %d 个值，实有 %d 个。", len(t.Columns)+1, len(cells)), fmt.Sprintf("%d values are wanted, %d are there.", len(t.Columns)+1, len(cells)))
		}
		if (len(t.Cells)+1)*len(t.Columns) > maxCells {
			return Table{}, errs.E(errs.TooLarge, op, "cells", "数据集超过 400 万个值。", "The data set has more than 4,000,000 values.")
		}
		at, err := strconv.ParseFloat(cells[0], 64)
		if err != nil || math.IsNaN(at) || math.Abs(at) > 1e11 {
			return Table{}, wrong(line, "时间须是 Unix 秒。", "the time must be in Unix seconds.")
		}
		ms := int64(math.Round(at * 1000))
		if n := len(t.Times); n > 0 && ms <= t.Times[n-1] {
			return Table{}, wrong(line, "时间须递增。", "times must ascend.")
		}
		row := make([]float64, len(t.Columns))
		for i, c := range cells[1:] {
			if c == "" {
				row[i] = math.NaN()
				continue
			}
			v, err := strconv.ParseFloat(c, 64)
			if err != nil {
				return Table{}, wrong(line, "“"+c+"”不是数。", "“"+c+"” is not a number.")
			}
			if math.IsInf(v, 0) {
				v = math.NaN() // a value that says nothing is as none
			}
			row[i] = v
		}
		t.Times, t.Cells = append(t.Times, ms), append(t.Cells, row)
	}
	if err := s.Err(); err != nil {
		return Table{}, errs.E(errs.Invalid, op, "line", "数据集无法读取："+err.Error(), "The data set cannot be read: "+err.Error())
	}
	if len(t.Times) == 0 {
		return Table{}, wrong(1, "没有数据。", "there is no data.")
	}
	return t, nil
}

// fieldsOf splits a line of CSV (RFC 4180 without line breaks in cells). ok is
// false where quotes do not match.
func fieldsOf(line string) (cells []string, ok bool) {
	line = strings.TrimSuffix(line, "\r")
	if !strings.Contains(line, `"`) {
		return strings.Split(line, ","), true
	}
	var cell bytes.Buffer
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"' && quoted && i+1 < len(line) && line[i+1] == '"':
			cell.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			cells = append(cells, cell.String())
			cell.Reset()
		default:
			cell.WriteByte(c)
		}
	}
	return append(cells, cell.String()), !quoted
}

// Frames splits a table by thing: columns are named "THING|metric", and every
// thing has the same metrics in the end, absent ones without values. A table
// without "|" in every column is of one thing without a name.
func (t Table) Frames() []Frame {
	step := t.step()
	type column struct{ at, metric int }
	own := map[string][]column{}
	var things, metrics []string
	for i, c := range t.Columns {
		thing, name, cut := strings.Cut(c, "|")
		if !cut {
			return []Frame{{Columns: t.Columns, Step: step, Times: t.Times, Cells: t.Cells}}
		}
		if own[thing] == nil {
			things = append(things, thing)
		}
		k := slices.Index(metrics, name)
		if k < 0 {
			k, metrics = len(metrics), append(metrics, name)
		}
		own[thing] = append(own[thing], column{i, k})
	}
	out := make([]Frame, 0, len(things))
	for _, thing := range things {
		f := Frame{Thing: thing, Columns: metrics, Step: step, Times: t.Times, Cells: make([][]float64, len(t.Times))}
		for r := range f.Cells {
			row := make([]float64, len(metrics))
			for i := range row {
				row[i] = math.NaN()
			}
			for _, c := range own[thing] {
				row[c.metric] = t.Cells[r][c.at]
			}
			f.Cells[r] = row
		}
		out = append(out, f)
	}
	return out
}

// step is the usual distance of rows: their median.
func (t Table) step() time.Duration {
	if len(t.Times) < 2 {
		return time.Minute
	}
	gaps := make([]int64, len(t.Times)-1)
	for i := range gaps {
		gaps[i] = t.Times[i+1] - t.Times[i]
	}
	slices.Sort(gaps)
	return time.Duration(gaps[len(gaps)/2]) * time.Millisecond
}
