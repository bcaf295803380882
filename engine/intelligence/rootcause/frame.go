package rootcause

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"zhiwei/kernel/errs"
)

// Frame is a table of metrics over time: one row an instant, one column a metric
// of a service.
type Frame struct {
	Time    []float64 // Unix seconds, rising
	Columns []Column
}

// Column is one metric of one service.
type Column struct {
	Service string
	Metric  string    // may be empty where the header named no metric
	Values  []float64 // as many as there are times; NaN where nothing was measured
}

// Edge is a call: From sends requests to To.
type Edge struct{ From, To string }

// missing are the ways tables write "not measured".
var missing = []string{"", "nan", "null", "none", "na", "n/a", "-"}

// ReadFrame reads a CSV table whose first column is `time` in Unix seconds and
// whose others are named service_metric, cut at the first `_`, or service|metric
// where there is a `|`. An empty cell, NaN, null or an infinite number is a
// missing value. Rows are put in order of time. subject names the table in
// errors, which are of the kind Invalid: no header or no row, a first column
// that is not time, a column named twice or without a service, a row of another
// length, or a cell that is no number.
func ReadFrame(r io.Reader, subject string) (*Frame, error) {
	in := csvReader(r)
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, bad(subject, "是空的：第一行应为 time,服务_指标…。", "is empty: its first line must be time,service_metric….")
	}
	if err != nil {
		return nil, unreadable(subject, err)
	}
	header = slices.Clone(header)
	if !strings.EqualFold(strings.TrimSpace(header[0]), "time") {
		return nil, bad(subject, fmt.Sprintf("的第一列是 %q，应为 time（Unix 秒）。", header[0]), fmt.Sprintf("begins with the column %q, which must be time (Unix seconds).", header[0]))
	}
	f := &Frame{Columns: make([]Column, len(header)-1)}
	seen := map[[2]string]bool{}
	for i, name := range header[1:] {
		service, metric := split(name)
		if service == "" {
			return nil, bad(subject, fmt.Sprintf("的第 %d 列 %q 没有服务名；列名应为 服务_指标 或 服务|指标。", i+2, name),
				fmt.Sprintf("has no service in the name of column %d, %q; columns are named service_metric or service|metric.", i+2, name))
		}
		if seen[[2]string{service, metric}] {
			return nil, bad(subject, fmt.Sprintf("有两列同名 %q；请只留一列。", name), fmt.Sprintf("has two columns %q; keep one.", name))
		}
		seen[[2]string{service, metric}] = true
		f.Columns[i] = Column{Service: service, Metric: metric}
	}
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, unreadable(subject, err)
		}
		line, _ := in.FieldPos(0)
		at, err := number(row[0])
		if err != nil || math.IsNaN(at) {
			return nil, bad(subject, fmt.Sprintf("第 %d 行的 time 是 %q，应为 Unix 秒。", line, row[0]), fmt.Sprintf("has the time %q in line %d, which must be Unix seconds.", row[0], line))
		}
		f.Time = append(f.Time, at)
		for i, cell := range row[1:] {
			v, err := number(cell)
			if err != nil {
				return nil, bad(subject, fmt.Sprintf("第 %d 行 %q 列的 %q 不是数。", line, header[i+1], cell), fmt.Sprintf("has %q in line %d, column %q, which is not a number.", cell, line, header[i+1]))
			}
			f.Columns[i].Values = append(f.Columns[i].Values, v)
		}
	}
	if len(f.Time) == 0 {
		return nil, bad(subject, "只有表头，没有数据行。", "has a header and no rows.")
	}
	f.sort()
	return f, nil
}

// ReadEdges reads a CSV table of two columns, `from,to` = caller,callee. Calls of
// a service to itself and repetitions are left out. Errors are of the kind
// Invalid.
func ReadEdges(r io.Reader, subject string) ([]Edge, error) {
	in := csvReader(r)
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, bad(subject, "是空的：第一行应为 from,to。", "is empty: its first line must be from,to.")
	}
	if err != nil {
		return nil, unreadable(subject, err)
	}
	if len(header) != 2 || !strings.EqualFold(strings.TrimSpace(header[0]), "from") || !strings.EqualFold(strings.TrimSpace(header[1]), "to") {
		return nil, bad(subject, fmt.Sprintf("的表头是 %q，应为 from,to（调用方,被调用方）。", strings.Join(header, ",")), fmt.Sprintf("has the header %q, which must be from,to (caller,callee).", strings.Join(header, ",")))
	}
	var edges []Edge
	seen := map[Edge]bool{}
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return edges, nil
		}
		if err != nil {
			return nil, unreadable(subject, err)
		}
		e := Edge{strings.TrimSpace(row[0]), strings.TrimSpace(row[1])}
		if e.From == "" || e.To == "" {
			line, _ := in.FieldPos(0)
			return nil, bad(subject, fmt.Sprintf("第 %d 行缺调用方或被调用方。", line), fmt.Sprintf("lacks the caller or the callee in line %d.", line))
		}
		if e.From != e.To && !seen[e] {
			seen[e] = true
			edges = append(edges, e)
		}
	}
}

// csvReader skips the byte order mark that spreadsheets write.
func csvReader(r io.Reader) *csv.Reader {
	b := bufio.NewReader(r)
	if mark, _ := b.Peek(3); string(mark) == "\ufeff" {
		_, _ = b.Discard(3) // just peeked at
	}
	in := csv.NewReader(b)
	in.ReuseRecord = true
	return in
}

// split cuts a column's name into service and metric.
func split(name string) (service, metric string) {
	name = strings.TrimSpace(name)
	cut := "_"
	if strings.Contains(name, "|") {
		cut = "|"
	}
	service, metric, _ = strings.Cut(name, cut)
	return strings.TrimSpace(service), strings.TrimSpace(metric)
}

func number(s string) (float64, error) {
	s = strings.TrimSpace(s)
	if slices.Contains(missing, strings.ToLower(s)) {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if math.IsInf(v, 0) {
		return math.NaN(), nil // written so, or too large for a float
	}
	return v, err
}

// sort puts the rows in order of time; rows of one instant keep their order.
func (f *Frame) sort() {
	if slices.IsSorted(f.Time) {
		return
	}
	order := make([]int, len(f.Time))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(f.Time[a], f.Time[b]) })
	f.keep(order)
}

// keep reduces the frame to the given rows, in their order.
func (f *Frame) keep(rows []int) {
	pick := func(v []float64) []float64 {
		out := make([]float64, len(rows))
		for i, r := range rows {
			out[i] = v[r]
		}
		return out
	}
	f.Time = pick(f.Time)
	for i := range f.Columns {
		f.Columns[i].Values = pick(f.Columns[i].Values)
	}
}

func bad(subject, zh, en string) *errs.Error {
	return errs.E(errs.Invalid, "rootcause", subject, "表 "+subject+" "+zh, "The table "+subject+" "+en)
}

// unreadable tells a malformed table from a failing reader.
func unreadable(subject string, err error) error {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return errs.E(errs.Unavailable, "rootcause", subject, "读不出表 "+subject+"；请检查文件。", "The table "+subject+" cannot be read; check the file.").Because(err)
	}
	if errors.Is(p.Err, csv.ErrFieldCount) {
		return bad(subject, fmt.Sprintf("第 %d 行的列数与表头不同。", p.Line), fmt.Sprintf("has another number of columns in line %d than in its header.", p.Line)).Because(err)
	}
	return bad(subject, fmt.Sprintf("第 %d 行不是合法的 CSV（引号不配对）。", p.Line), fmt.Sprintf("is not valid CSV in line %d (quotes do not match).", p.Line)).Because(err)
}
