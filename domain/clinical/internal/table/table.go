// Package table is the compact form of the FHIR R4 definitions: what gen writes
// and package clinical reads. It holds definitions only and judges no document.
package table

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
)

// Class tells the three sorts of types apart.
type Class uint8

// The classes of types.
const (
	Primitive Class = iota
	Complex         // data types and the nested elements of resources, named by path: "Patient.contact"
	Resource
)

// Table is all definitions of one FHIR release.
type Table struct {
	Types   []Type
	Codes   [][]string // code lists of required bindings; the first is empty: no binding
	Targets [][]string // lists of resource types; the first is empty: no limit
	Params  []Param
}

// Type is one type and its properties as they are written in JSON: a choice
// element stands once for each of its types.
type Type struct {
	Name  string
	Class Class
	Props []Prop
}

// Prop is one property of a type.
type Prop struct {
	Name    string
	Choice  string // name without the type, for a choice element: "value"; else empty
	Type    int    // index into Table.Types; -1: any resource
	Min     int
	Many    bool
	Summary bool // stands in a summary of the resource (ElementDefinition.isSummary)
	Codes   int  // index into Table.Codes
	Targets int  // index into Table.Targets, for Reference and canonical
}

// Param is one search parameter.
type Param struct {
	Code    string
	Type    string
	Bases   []string
	Expr    string
	Targets int
	Parts   []Part // of a composite
}

// Part is one component of a composite parameter.
type Part struct {
	Code string // of the parameter it is defined by
	Expr string
}

// Encode writes t: a string table, then everything as unsigned varints over it,
// deflated.
func Encode(t *Table) ([]byte, error) {
	e := &encoder{index: map[string]uint64{}}
	e.num(len(t.Types))
	for _, ty := range t.Types {
		e.str(ty.Name)
		e.num(int(ty.Class))
		e.num(len(ty.Props))
		for _, p := range ty.Props {
			e.str(p.Name)
			e.str(p.Choice)
			e.num(p.Type + 1)
			flags := p.Min << 2
			if p.Many {
				flags |= 1
			}
			if p.Summary {
				flags |= 2
			}
			e.num(flags)
			e.num(p.Codes)
			e.num(p.Targets)
		}
	}
	for _, lists := range [][][]string{t.Codes, t.Targets} {
		e.num(len(lists))
		for _, l := range lists {
			e.strs(l)
		}
	}
	e.num(len(t.Params))
	for _, p := range t.Params {
		e.str(p.Code)
		e.str(p.Type)
		e.strs(p.Bases)
		e.str(p.Expr)
		e.num(p.Targets)
		e.num(len(p.Parts))
		for _, c := range p.Parts {
			e.str(c.Code)
			e.str(c.Expr)
		}
	}
	return e.pack()
}

// pack puts the strings in front of the body and deflates both.
func (e *encoder) pack() ([]byte, error) {
	var head []byte
	head = binary.AppendUvarint(head, uint64(len(e.order)))
	for _, s := range e.order {
		head = binary.AppendUvarint(head, uint64(len(s)))
		head = append(head, s...)
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(append(head, e.body...)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

type encoder struct {
	index map[string]uint64
	order []string
	body  []byte
}

func (e *encoder) flag(b bool) {
	if b {
		e.num(1)
	} else {
		e.num(0)
	}
}

func (e *encoder) num(n int) { e.body = binary.AppendUvarint(e.body, uint64(n)) }

func (e *encoder) str(s string) {
	i, ok := e.index[s]
	if !ok {
		i = uint64(len(e.order))
		e.index[s] = i
		e.order = append(e.order, s)
	}
	e.body = binary.AppendUvarint(e.body, i)
}

func (e *encoder) strs(l []string) {
	e.num(len(l))
	for _, s := range l {
		e.str(s)
	}
}

// Decode reads what Encode wrote.
func Decode(b []byte) (t *Table, err error) {
	d, err := unpack(b)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("definitions: damaged table: %v", r)
		}
	}()
	d.names()
	t = &Table{Types: make([]Type, d.num())}
	for i := range t.Types {
		ty := &t.Types[i]
		ty.Name = d.str()
		ty.Class = Class(d.num())
		ty.Props = make([]Prop, d.num())
		for j := range ty.Props {
			p := &ty.Props[j]
			p.Name, p.Choice = d.str(), d.str()
			p.Type = d.num() - 1
			flags := d.num()
			p.Min, p.Many, p.Summary = flags>>2, flags&1 != 0, flags&2 != 0
			p.Codes, p.Targets = d.num(), d.num()
		}
	}
	t.Codes, t.Targets = d.lists(), d.lists()
	t.Params = make([]Param, d.num())
	for i := range t.Params {
		p := &t.Params[i]
		p.Code, p.Type, p.Bases, p.Expr, p.Targets = d.str(), d.str(), d.strs(), d.str(), d.num()
		p.Parts = make([]Part, d.num())
		for j := range p.Parts {
			p.Parts[j] = Part{Code: d.str(), Expr: d.str()}
		}
	}
	return t, nil
}

type decoder struct {
	raw     []byte
	at      int
	strings []string
}

// unpack inflates what pack wrote.
func unpack(b []byte) (*decoder, error) {
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(b)))
	if err != nil {
		return nil, fmt.Errorf("definitions: %w", err)
	}
	return &decoder{raw: raw}, nil
}

// names reads the string table.
func (d *decoder) names() {
	all := string(d.raw) // every string is a part of this one
	strs := make([]string, d.num())
	for i := range strs {
		n := d.num()
		strs[i] = all[d.at : d.at+n]
		d.at += n
	}
	d.strings = strs
}

func (d *decoder) num() int {
	v, n := binary.Uvarint(d.raw[d.at:])
	if n <= 0 {
		panic("number cut short")
	}
	d.at += n
	return int(v)
}

func (d *decoder) str() string { return d.strings[d.num()] }

func (d *decoder) strs() []string {
	n := d.num()
	if n == 0 {
		return nil
	}
	out := make([]string, n)
	for i := range out {
		out[i] = d.str()
	}
	return out
}

func (d *decoder) lists() [][]string {
	out := make([][]string, d.num())
	for i := range out {
		out[i] = d.strs()
	}
	return out
}
