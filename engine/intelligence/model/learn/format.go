package learn

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"zhiwei/kernel/errs"
)

// The format of weights: "ZWMODEL1", the length of the head as a big-endian
// uint32, the head in JSON, then every tensor of the head's list row by row as
// big-endian IEEE 754 doubles, and nothing after.
const magic = "ZWMODEL1"

// maxHead and maxTensors bound what is read before anything is believed.
const (
	maxHead    = 8 << 20
	maxTensors = 64
)

type head struct {
	Algorithm string    `json:"algorithm"`
	Purpose   string    `json:"purpose"`
	Columns   []string  `json:"columns"`
	Step      int64     `json:"step"` // milliseconds
	Window    int       `json:"window"`
	Mean      []float64 `json:"mean"`
	Std       []float64 `json:"std"`
	Threshold float64   `json:"threshold"`
	Reference Reference `json:"reference"`
	Tensors   []sized   `json:"tensors"`
}

type sized struct {
	Name string `json:"name"`
	Rows int    `json:"rows"`
	Cols int    `json:"cols"`
}

// Encode gives the weights as bytes; the same model gives the same bytes.
func (m *Model) Encode() ([]byte, error) {
	tensors := m.net.tensors()
	h := head{
		Algorithm: m.Algorithm, Purpose: m.Purpose, Columns: m.Columns, Step: m.Step.Milliseconds(), Window: m.Window,
		Mean: m.Mean, Std: m.Std, Threshold: m.Threshold, Reference: m.Reference,
	}
	names := slices.Sorted(maps.Keys(tensors))
	for _, name := range names {
		h.Tensors = append(h.Tensors, sized{name, tensors[name].rows, tensors[name].cols})
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, errs.Wrap("encode model", m.Algorithm, err)
	}
	out := append([]byte(magic), binary.BigEndian.AppendUint32(nil, uint32(len(text)))...)
	out = append(out, text...)
	for _, name := range names {
		for _, v := range tensors[name].v {
			out = binary.BigEndian.AppendUint64(out, math.Float64bits(v))
		}
	}
	return out, nil
}

func damaged(what string) error {
	return errs.E(errs.Invalid, "read model", what, "模型的权重文件不完整或不是本程序的格式（"+what+"）。", "The model's weights are damaged or not of this program's format ("+what+").")
}

// Decode reads weights. Invalid where they are not whole, of another version, or
// do not fit together: what is decoded can be asked without failing.
func Decode(b []byte) (*Model, error) {
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(rest) < 4 {
		return nil, damaged("magic")
	}
	n := binary.BigEndian.Uint32(rest)
	if rest = rest[4:]; n > maxHead || uint64(n) > uint64(len(rest)) {
		return nil, damaged("head")
	}
	var h head
	if err := json.Unmarshal(rest[:n], &h); err != nil {
		return nil, damaged("head")
	}
	rest = rest[n:]
	cols := len(h.Columns)
	alg, there := stock[h.Algorithm]
	switch {
	case !there || !slices.Contains(alg.purposes, h.Purpose):
		return nil, damaged("algorithm")
	case cols == 0 || cols > maxColumns || len(h.Mean) != cols || len(h.Std) != cols:
		return nil, damaged("columns")
	case h.Window < alg.least || h.Window > maxWindow || h.Step <= 0 || h.Step > math.MaxInt64/int64(time.Millisecond):
		return nil, damaged("window")
	case len(h.Reference.Edges) != cols || len(h.Reference.Shares) != cols || len(h.Tensors) > maxTensors:
		return nil, damaged("reference")
	}
	for c := range cols {
		if !(h.Std[c] > 0) || len(h.Reference.Shares[c]) != len(h.Reference.Edges[c])+2 || !slices.IsSorted(h.Reference.Edges[c]) {
			return nil, damaged("reference")
		}
	}
	if !slices.IsSorted(h.Reference.Scores) {
		return nil, damaged("reference")
	}
	tensors := map[string]*tensor{}
	for _, s := range h.Tensors {
		if s.Rows < 0 || s.Cols < 0 || s.Rows > maxWeights || s.Cols > maxWeights || s.Rows*s.Cols > maxWeights || len(rest) < 8*s.Rows*s.Cols || tensors[s.Name] != nil {
			return nil, damaged("tensor " + s.Name)
		}
		t := &tensor{rows: s.Rows, cols: s.Cols, v: make([]float64, s.Rows*s.Cols)}
		for i := range t.v {
			t.v[i] = math.Float64frombits(binary.BigEndian.Uint64(rest[8*i:]))
			if math.IsNaN(t.v[i]) || math.IsInf(t.v[i], 0) {
				return nil, damaged("tensor " + s.Name)
			}
		}
		rest = rest[8*len(t.v):]
		tensors[s.Name] = t
	}
	if len(rest) > 0 {
		return nil, damaged("end")
	}
	m := &Model{
		Algorithm: h.Algorithm, Purpose: h.Purpose, Columns: h.Columns, Step: time.Duration(h.Step) * time.Millisecond, Window: h.Window,
		Mean: h.Mean, Std: h.Std, Threshold: h.Threshold, Reference: h.Reference,
	}
	net, err := alg.read(m, tensors)
	if err != nil {
		return nil, err
	}
	m.net = net
	return m, nil
}

// wanted is a tensor of a known size.
type wanted struct {
	name       string
	to         **tensor
	rows, cols int
}

// shaped takes the tensors that a model wants, no more and no fewer.
func shaped(got map[string]*tensor, want []wanted) error {
	if len(got) != len(want) {
		return damaged("tensors")
	}
	for _, w := range want {
		t := got[w.name]
		if t == nil || t.rows != w.rows || t.cols != w.cols {
			return damaged("tensor " + w.name)
		}
		*w.to = t
	}
	return nil
}
