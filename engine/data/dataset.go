package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/series"
)

// Column is one column of a cut.
type Column struct {
	// Name; one that begins with "*|" becomes a column THING|… of each value of the
	// label "thing" in what Expr gives.
	Name     string
	Expr     string  // PromQL that gives one series at most, or one a thing
	Min, Max float64 // what the values can be; both 0: any number
}

// Cut says what is cut out of the series store.
type Cut struct {
	Columns     []Column
	From, Until time.Time // both ends belong to it
	Step        time.Duration
}

// maxCells bounds a cut: 4 MB of numbers, a month of 12 metrics by the minute.
const maxCells = 500_000

// Table is a cut that was made. A cell without a value is NaN.
type Table struct {
	Columns []Column    // those of the cut, with one of each thing where it asks for them
	Times   []time.Time // strictly ascending, one step apart
	Cells   [][]float64 // by row, then column
}

// Make cuts. Invalid where the cut or an expression is wrong or gives several
// series, TooLarge above 500,000 cells; otherwise the errors of the store.
func (c Cut) Make(ctx context.Context, store series.Store) (Table, error) {
	const op = "cut data set"
	switch {
	case len(c.Columns) == 0:
		return Table{}, errs.E(errs.Invalid, op, "columns", "数据集至少要有一列。", "A data set needs a column at least.").At("columns")
	case c.Step < time.Second || c.Until.Before(c.From):
		return Table{}, errs.E(errs.Invalid, op, "step", "数据集的间隔至少 1 秒，止不得早于起。", "The step of a data set is 1 s at least, and it must not end before it begins.").At("step")
	case int64(c.Until.Sub(c.From)/c.Step+1) > int64(maxCells/len(c.Columns)):
		return Table{}, tooManyCells()
	}
	var out Table
	row := map[int64]int{}
	for at := c.From; !at.After(c.Until); at = at.Add(c.Step) {
		row[at.UnixMilli()] = len(out.Times)
		out.Times = append(out.Times, at)
	}
	var columns [][]float64
	add := func(col Column) []float64 {
		cells := make([]float64, len(out.Times))
		for i := range cells {
			cells[i] = math.NaN()
		}
		columns, out.Columns = append(columns, cells), append(out.Columns, col)
		return cells
	}
	for _, col := range c.Columns {
		rest, each := strings.CutPrefix(col.Name, "*|")
		things := map[string][]float64{}
		var one []float64
		if !each {
			one = add(col)
		}
		// A query has its own bound of steps; a long cut is asked for in parts.
		const steps = 10_000
		for from := c.From; !from.After(c.Until); from = from.Add(steps * c.Step) {
			until := from.Add((steps - 1) * c.Step)
			if until.After(c.Until) {
				until = c.Until
			}
			r, err := store.QueryRange(ctx, col.Expr, from, until, c.Step)
			if err != nil {
				return Table{}, errs.Wrap(op, col.Name, err)
			}
			slices.SortFunc(r.Series, func(a, b series.Points) int {
				return strings.Compare(a.Labels[engine.ThingLabel], b.Labels[engine.ThingLabel])
			})
			last := ""
			for i, s := range r.Series {
				thing := s.Labels[engine.ThingLabel]
				if !each && i > 0 || each && (thing == "" || i > 0 && thing == last) {
					return Table{}, errs.E(errs.Invalid, op, col.Name, fmt.Sprintf("列“%s”的查询得到 %d 条序列，须是一条，或列名以 *| 开头而每个对象一条；请加上标签或求和。", col.Name, len(r.Series)),
						fmt.Sprintf("The expression of the column “%s” gives %d series, not one, or, with a name that begins with *|, one a thing; add labels or sum up.", col.Name, len(r.Series))).At("columns." + col.Name)
				}
				last = thing
				cells := one
				if each {
					if cells = things[thing]; cells == nil {
						if (len(columns)+1)*len(out.Times) > maxCells {
							return Table{}, tooManyCells()
						}
						cells = add(Column{Name: thing + "|" + rest, Expr: col.Expr, Min: col.Min, Max: col.Max})
						things[thing] = cells
					}
				}
				for _, p := range s.Points {
					if n, there := row[p.At]; there {
						cells[n] = p.Value
					}
				}
			}
		}
	}
	for r := range out.Times {
		cells := make([]float64, len(columns))
		for i := range columns {
			cells[i] = columns[i][r]
		}
		out.Cells = append(out.Cells, cells)
	}
	return out, nil
}

func tooManyCells() error {
	return errs.E(errs.TooLarge, "cut data set", "cells", "数据集超过 50 万个值；请缩短时间、加大间隔或减少列。", "The data set has more than 500,000 values; shorten it, widen the step or take fewer columns.")
}

// CSV is the table as it is kept and as engineers read it: a header
// "timestamp,…", Unix seconds, empty cells where there is no value. The same
// table gives the same bytes anywhere.
func (t Table) CSV() []byte {
	var b strings.Builder
	b.WriteString("timestamp")
	for _, c := range t.Columns {
		b.WriteByte(',')
		if strings.ContainsAny(c.Name, ",\"\r\n") {
			b.WriteString(`"` + strings.ReplaceAll(c.Name, `"`, `""`) + `"`)
		} else {
			b.WriteString(c.Name)
		}
	}
	b.WriteByte('\n')
	for i, at := range t.Times {
		b.WriteString(strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', -1, 64))
		for _, v := range t.Cells[i] {
			b.WriteByte(',')
			if !math.IsNaN(v) {
				b.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// Digest names the content: SHA-256 of CSV and of the labels in order, in
// hexadecimal. Two versions with one digest are the same.
func Digest(t Table, labels []engine.DatasetLabel) string {
	h := sha256.New()
	h.Write(t.CSV())
	lines := make([]string, len(labels))
	for i, l := range labels {
		lines[i] = fmt.Sprintf("%d %d %q %q %q %q\n", l.From.UnixMilli(), l.Until.UnixMilli(), l.Thing, l.Name, l.By, l.Source)
	}
	slices.Sort(lines)
	for _, l := range lines {
		h.Write([]byte(l))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// freshFor is after how long a data set counts half for freshness: what runs in
// a hospital changes by the month (new versions, new wards).
const freshFor = 30 * 24 * time.Hour

// Quality scores a table and its labels, seen from now. An empty table has the
// quality nought.
func Quality(t Table, labels []engine.DatasetLabel, now time.Time) engine.DatasetQuality {
	cells, filled, good := 0, 0, 0
	for _, row := range t.Cells {
		for i, v := range row {
			cells++
			if math.IsNaN(v) {
				continue
			}
			filled++
			c := t.Columns[i]
			if !math.IsInf(v, 0) && (c.Min == 0 && c.Max == 0 || v >= c.Min && v <= c.Max) {
				good++
			}
		}
	}
	if filled == 0 {
		return engine.DatasetQuality{}
	}
	wrong := 0
	for i := range t.Times {
		if i > 0 && !t.Times[i].After(t.Times[i-1]) || contradicted(t.Times[i], labels) {
			wrong++
		}
	}
	age := max(now.Sub(t.Times[len(t.Times)-1]), 0)
	q := engine.DatasetQuality{
		Completeness: float64(filled) / float64(cells),
		Consistency:  1 - float64(wrong)/float64(len(t.Times)),
		Freshness:    math.Exp2(-float64(age) / float64(freshFor)),
		Range:        float64(good) / float64(filled),
	}
	q.Score = math.Pow(q.Completeness*q.Consistency*q.Freshness*q.Range, 0.25)
	return q
}

// contradicted tells whether labels say of an instant and the same thing both
// that it was normal and that it was not.
func contradicted(at time.Time, labels []engine.DatasetLabel) bool {
	var normal, fault []string
	for _, l := range labels {
		if at.Before(l.From) || at.After(l.Until) {
			continue
		}
		if l.Name == "normal" {
			normal = append(normal, l.Thing)
		} else {
			fault = append(fault, l.Thing)
		}
	}
	for _, n := range normal {
		for _, f := range fault {
			if n == f || n == "" || f == "" {
				return true
			}
		}
	}
	return false
}
