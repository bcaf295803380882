package model

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"zhiwei/engine"
	"zhiwei/engine/intelligence/model/learn"
	"zhiwei/kernel/blob"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/loop"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// set is what a model needs of a data-set record.
type set struct {
	record.Record
	data struct {
		Name    string
		Version int
		Columns []column
		From    time.Time
		Until   time.Time
		Step    string
		Labels  []engine.DatasetLabel
		Content string // address of the table
	}
}

type column struct {
	Name string `json:"name"`
	Expr string `json:"expr"`
	Min  string `json:"min,omitempty"`
	Max  string `json:"max,omitempty"`
}

// dataset reads the data set of a model. ok is false where there is none.
func dataset(ctx context.Context, h *loop.Handle, ref string) (s set, ok bool, err error) {
	key, valid := record.ParseKey(ref)
	if !valid {
		return s, false, nil
	}
	if s.Record, ok, err = h.Read(ctx, key); err != nil || !ok {
		return s, false, err
	}
	if err := json.Unmarshal(s.Data, &s.data); err != nil {
		return s, false, errs.Wrap("data set", ref, err)
	}
	return s, true, nil
}

func (s set) step() time.Duration { return max(length(s.data.Step, time.Minute), time.Second) }

// everyThing begins the name of a column that stands for one column a thing.
const everyThing = "*|"

// inputs are the live inputs of models that learn from the set: what was declared,
// or the set's columns. Invalid where a column names one thing, for then it must
// be said how the same is asked of all.
func (s set) inputs(declared []engine.ModelInput) ([]engine.ModelInput, error) {
	if len(declared) > 0 {
		return declared, nil
	}
	var out []engine.ModelInput
	for _, c := range s.data.Columns {
		name := strings.TrimPrefix(c.Name, everyThing)
		if strings.Contains(name, "|") {
			return nil, errs.E(errs.Invalid, "train", "inputs", "数据集的列只属于一个对象（“"+c.Name+"”）；请在模型的 inputs 里写明每个指标怎样查询。",
				"A column of the data set is of one thing (“"+c.Name+"”); say in the model's inputs how each metric is asked for.").At("inputs")
		}
		out = append(out, engine.ModelInput{Name: name, Expr: c.Expr})
	}
	return out, nil
}

// frames are the rows of a data set by thing, with the labels of faults.
func rowsOf(ctx context.Context, h *loop.Handle, s set) ([]learn.Frame, error) {
	b, err := fetch(ctx, h, s.data.Content)
	if err != nil {
		return nil, err
	}
	table, err := learn.ReadTable(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	frames := table.Frames()
	for i := range frames {
		frames[i].Step = s.step()
	}
	return labelled(frames, s.data.Labels), nil
}

// around adds to the frames of a graph model what the things stand on, by the
// ledger as it is now.
func around(ctx context.Context, h *loop.Handle, algorithm string, frames []learn.Frame) ([]learn.Frame, error) {
	if algorithm != engine.ByGraph || len(frames) == 0 {
		return frames, nil
	}
	on := map[string][]string{}
	if h.Kernel().Registry().Find(engine.ThingKind) != nil {
		q := search.Query{Kind: engine.ThingKind, Limit: 1000}
		for {
			page, err := h.Kernel().Search(ctx, h.Principal(), q)
			if err != nil {
				return nil, err
			}
			for _, r := range page.Records {
				thing, err := engine.ThingOf(r)
				if err != nil {
					return nil, err
				}
				for _, link := range thing.On {
					on[thing.ID] = append(on[thing.ID], link.Thing)
				}
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
	}
	return learn.Around(frames, func(thing string) []string { return on[thing] }), nil
}

// known marks the live rows of a model of faults by what was labelled since: the
// labels of every frozen version of its data set.
func known(ctx context.Context, h *loop.Handle, m entry, frames []learn.Frame) ([]learn.Frame, error) {
	if m.data.Purpose != engine.ForFailure {
		return frames, nil
	}
	own, there, err := dataset(ctx, h, m.data.Data)
	if err != nil || !there {
		return frames, err
	}
	page, err := h.Kernel().Search(ctx, h.Principal(), search.Query{
		Kind: engine.DatasetKind, Limit: 100, Sort: []search.Sort{{Param: search.ParamUpdated, Desc: true}},
		Where: []search.Clause{{Param: search.ParamState, Any: []search.Value{{AnySystem: true, Code: engine.Frozen}, {AnySystem: true, Code: engine.Outdated}}}},
	})
	if err != nil {
		return nil, err
	}
	var labels []engine.DatasetLabel
	for _, r := range page.Records {
		var s set
		if err := json.Unmarshal(r.Data, &s.data); err != nil {
			return nil, errs.Wrap("data set", r.Key.String(), err)
		}
		if s.data.Name == own.data.Name {
			labels = append(labels, s.data.Labels...)
		}
	}
	return labelled(frames, labels), nil
}

// normal is the label of a stretch that was looked at and found good.
const normal = "normal"

// labelled marks the rows that labels call faults. Where none does, frames have no
// labels.
func labelled(frames []learn.Frame, labels []engine.DatasetLabel) []learn.Frame {
	if !slices.ContainsFunc(labels, func(l engine.DatasetLabel) bool { return l.Name != normal }) {
		return frames
	}
	for i := range frames {
		f := &frames[i]
		f.Fault = make([]bool, f.Rows())
		for _, l := range labels {
			if l.Name == normal || l.Thing != "" && strings.TrimPrefix(l.Thing, engine.ThingKind+"/") != f.Thing {
				continue
			}
			for r, at := range f.Times {
				if at >= l.From.UnixMilli() && at <= l.Until.UnixMilli() {
					f.Fault[r] = true
				}
			}
		}
	}
	return frames
}

// maxBlob bounds what is read of a blob: four million numbers as text.
const maxBlob = 128 << 20

// fetch reads a blob. Invalid where it is larger than anything of ours.
func fetch(ctx context.Context, h *loop.Handle, address string) ([]byte, error) {
	if h.Kernel().Blobs() == nil || !strings.HasPrefix(address, blob.Prefix) {
		return nil, errs.NotFoundf("read", "%s", address)
	}
	r, size, err := h.Kernel().Blobs().Open(ctx, address)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > maxBlob {
		return nil, errs.E(errs.Invalid, "read", address, "内容过大，不是数据集或模型。", "The content is too large for a data set or a model.")
	}
	return io.ReadAll(r)
}

// grid is the instants at which series are asked for.
type grid struct {
	from, until time.Time
	step        time.Duration
}

// mostRows bounds the rows of one grid.
const mostRows = 100_000

func (g grid) rows() int {
	if g.until.Before(g.from) {
		return 0
	}
	return int(min(int64(g.until.Sub(g.from)/g.step)+1, mostRows))
}

func (g grid) at(row int) int64 { return g.from.Add(time.Duration(row) * g.step).UnixMilli() }

// ask gives the series of an expression by thing, NaN where there is no value.
// Series that name no thing are of the thing "". Invalid where several are of one
// thing.
func (e *Engine) ask(ctx context.Context, g grid, expr string) (map[string][]float64, error) {
	const steps = 10_000 // a query has its own bound
	out := map[string][]float64{}
	for first := 0; first < g.rows(); first += steps {
		last := min(first+steps, g.rows()) - 1
		r, err := e.series.QueryRange(ctx, expr, time.UnixMilli(g.at(first)), time.UnixMilli(g.at(last)), g.step)
		if err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for _, s := range r.Series {
			thing := s.Labels[engine.ThingLabel]
			if seen[thing] {
				return nil, errs.E(errs.Invalid, "query", expr, "查询“"+expr+"”对同一对象得到多条序列；请求和或加上标签。", "The expression “"+expr+"” gives several series of one thing; sum up or add labels.").At("inputs")
			}
			seen[thing] = true
			values := out[thing]
			if values == nil {
				values = make([]float64, g.rows())
				for i := range values {
					values[i] = math.NaN()
				}
				out[thing] = values
			}
			for _, p := range s.Points {
				if i := int((p.At - g.at(0)) / g.step.Milliseconds()); i >= 0 && i < len(values) {
					values[i] = p.Value
				}
			}
		}
	}
	return out, nil
}

// recent gives the live rows of a model's inputs by thing. most bounds how many
// things; which is drawn by their names, always the same; 0 means all.
func (e *Engine) recent(ctx context.Context, m *learn.Model, inputs []engine.ModelInput, from, until time.Time, most int) ([]learn.Frame, error) {
	until = until.Truncate(m.Step)
	g := grid{from: from.Truncate(m.Step), until: until, step: m.Step}
	if g.rows() == 0 {
		return nil, nil
	}
	if n := len(inputs); n == 0 {
		return nil, errs.E(errs.Invalid, "score", "inputs", "模型没有写明实时输入。", "The model names no live inputs.").At("inputs")
	}
	got := make([]map[string][]float64, len(inputs))
	var things []string
	for i, in := range inputs {
		var err error
		if got[i], err = e.ask(ctx, g, in.Expr); err != nil {
			return nil, err
		}
		for thing := range got[i] {
			if !slices.Contains(things, thing) {
				things = append(things, thing)
			}
		}
	}
	slices.Sort(things)
	if most > 0 && len(things) > most {
		slices.SortFunc(things, func(a, b string) int { return int(share("sample", a)) - int(share("sample", b)) })
		things = things[:most]
	}
	frames := make([]learn.Frame, 0, len(things))
	for _, thing := range things {
		f := learn.Frame{Thing: thing, Step: m.Step}
		for _, in := range inputs {
			f.Columns = append(f.Columns, in.Name)
		}
		for r := range g.rows() {
			row := make([]float64, len(inputs))
			for i := range inputs {
				row[i] = math.NaN()
				if values := got[i][thing]; values != nil {
					row[i] = values[r]
				}
			}
			f.Times, f.Cells = append(f.Times, g.at(r)), append(f.Cells, row)
		}
		frames = append(frames, f)
	}
	return frames, nil
}

// share is where a thing stands in a grey release, 0–9999 parts of ten thousand:
// always the same for a task, so that a larger share holds the smaller one.
func share(task, thing string) uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s\x00%s", task, thing)
	x := h.Sum32() // FNV's low bits are weak for short names; mix them
	x ^= x >> 16
	x *= 0x7feb352d
	x ^= x >> 15
	return x % 10_000
}
