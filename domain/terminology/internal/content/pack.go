package content

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Packed is many systems, value sets and maps in one compressed table. It is
// read as it is asked: the directory at once, each entry on first use, the
// definitions of concepts when the first one is wanted. It is safe for
// concurrent use.
//
// The table is two deflated blocks, the first with its length before it. The
// first holds the directory and the entries as unsigned varints and strings with
// their length before them; the second the definitions.
type Packed struct {
	Sources []string // where the content comes from, with its licence

	text    string // the first block; strings of entries are parts of it
	entries map[place]*entry
	order   []place

	late []byte // the second block, deflated
	once sync.Once
	defs []string
}

// place names an entry: what it is and its URL.
type place struct {
	kind byte
	url  string
}

const (
	kindSystem byte = iota
	kindValueSet
	kindConceptMap
)

type entry struct {
	version string
	from    int
	once    sync.Once
	value   any
}

// Packer collects what Packed reads.
type Packer struct {
	Sources []string
	items   []packedItem
	defs    writer
	count   int
	seen    map[place]bool
}

type packedItem struct {
	place
	version string
	body    []byte
}

func (p *Packer) add(kind byte, url, version string, body []byte) error {
	at := place{kind, url}
	if url == "" || p.seen[at] {
		return fmt.Errorf("%q stands twice or has no url", url)
	}
	if p.seen == nil {
		p.seen = map[place]bool{}
	}
	p.seen[at] = true
	p.items = append(p.items, packedItem{at, version, body})
	return nil
}

// System adds a code system. It fails where its URL is there already.
func (p *Packer) System(s *System) error {
	var w writer
	w.strs(s.URL, s.Version, s.Name, s.Title, s.Content, s.ValueSet, s.Language)
	w.flag(s.FoldCase)
	w.num(p.count)
	w.num(len(s.Concepts))
	for i := range s.Concepts {
		c := &s.Concepts[i]
		w.strs(c.Code, c.Display)
		w.num(len(c.Parents))
		w.strs(c.Parents...)
		w.flag(c.Inactive)
		w.flag(c.Abstract)
		w.designations(c.Designations)
		w.num(len(c.Properties))
		for _, q := range c.Properties {
			w.strs(q.Code, q.Type, q.Value)
		}
		p.defs.strs(c.Definition)
	}
	p.count += len(s.Concepts)
	return p.add(kindSystem, s.URL, s.Version, w.b)
}

// ValueSet adds a value set.
func (p *Packer) ValueSet(v *ValueSet) error {
	var w writer
	w.strs(v.URL, v.Version, v.Name, v.Title, v.Status)
	switch {
	case v.Inactive == nil:
		w.num(0)
	case *v.Inactive:
		w.num(1)
	default:
		w.num(2)
	}
	for _, list := range [][]Include{v.Include, v.Exclude} {
		w.num(len(list))
		for _, in := range list {
			w.strs(in.System, in.Version)
			w.num(len(in.Concepts))
			for _, c := range in.Concepts {
				w.strs(c.Code, c.Display)
				w.designations(c.Designations)
			}
			w.num(len(in.Filters))
			for _, f := range in.Filters {
				w.strs(f.Property, f.Op, f.Value)
			}
			w.num(len(in.ValueSets))
			w.strs(in.ValueSets...)
		}
	}
	return p.add(kindValueSet, v.URL, v.Version, w.b)
}

// ConceptMap adds a map.
func (p *Packer) ConceptMap(m *ConceptMap) error {
	var w writer
	w.strs(m.URL, m.Version, m.Name, m.Title, m.Status, m.Source, m.Target)
	w.num(len(m.Groups))
	for _, g := range m.Groups {
		w.strs(g.Source, g.SourceVersion, g.Target, g.TargetVersion, g.Unmapped.Mode, g.Unmapped.Code, g.Unmapped.Display, g.Unmapped.URL)
		w.num(len(g.Elements))
		for _, e := range g.Elements {
			w.strs(e.Code, e.Display)
			w.num(len(e.Targets))
			for _, t := range e.Targets {
				w.strs(t.Code, t.Display, t.Equivalence, t.Comment)
				for _, list := range [][]Dependency{t.DependsOn, t.Product} {
					w.num(len(list))
					for _, d := range list {
						w.strs(d.Property, d.System, d.Value, d.Display)
					}
				}
			}
		}
	}
	return p.add(kindConceptMap, m.URL, m.Version, w.b)
}

// Bytes is the table.
func (p *Packer) Bytes() ([]byte, error) {
	var head writer
	head.num(len(p.Sources))
	head.strs(p.Sources...)
	head.num(len(p.items))
	at := 0
	for _, it := range p.items {
		head.num(int(it.kind))
		head.strs(it.url, it.version)
		head.num(at)
		at += len(it.body)
	}
	core := head.b
	for _, it := range p.items {
		core = append(core, it.body...)
	}
	var defs writer
	defs.num(p.count)
	first, err := deflate(core)
	if err != nil {
		return nil, err
	}
	second, err := deflate(append(defs.b, p.defs.b...))
	if err != nil {
		return nil, err
	}
	out := binary.AppendUvarint(nil, uint64(len(first)))
	return append(append(out, first...), second...), nil
}

func deflate(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func inflate(b []byte) ([]byte, error) { return io.ReadAll(flate.NewReader(bytes.NewReader(b))) }

// Open reads the directory of a table.
func Open(table []byte) (p *Packed, err error) {
	n, used := binary.Uvarint(table)
	if used <= 0 || n > uint64(len(table)-used) {
		return nil, errors.New("terminology: the table is cut short")
	}
	body, err := inflate(table[used : used+int(n)])
	if err != nil {
		return nil, fmt.Errorf("terminology: %w", err)
	}
	defer damaged(&err)
	p = &Packed{text: string(body), late: table[used+int(n):], entries: map[place]*entry{}}
	r := &reader{s: p.text}
	p.Sources = r.list()
	count := r.num()
	for range count {
		at := place{kind: byte(r.num()), url: r.str()}
		p.entries[at] = &entry{version: r.str(), from: r.num()}
		p.order = append(p.order, at)
	}
	for _, e := range p.entries {
		e.from += r.at
	}
	return p, nil
}

// damaged turns the panic of a reader that ran over the end into an error.
func damaged(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("terminology: damaged table: %v", r)
	}
}

// System finds a code system; nil where there is none.
func (p *Packed) System(url string) *System {
	s, _ := p.find(place{kindSystem, url}, p.readSystem).(*System)
	return s
}

// ValueSet finds a value set; nil where there is none.
func (p *Packed) ValueSet(url string) *ValueSet {
	v, _ := p.find(place{kindValueSet, url}, readValueSet).(*ValueSet)
	return v
}

// ConceptMap finds a map; nil where there is none.
func (p *Packed) ConceptMap(url string) *ConceptMap {
	m, _ := p.find(place{kindConceptMap, url}, readConceptMap).(*ConceptMap)
	return m
}

// Systems, ValueSets and ConceptMaps list the URLs of what is here, in order.
func (p *Packed) Systems() []string { return p.urls(kindSystem) }

// ValueSets lists the URLs of the value sets.
func (p *Packed) ValueSets() []string { return p.urls(kindValueSet) }

// ConceptMaps lists the URLs of the maps.
func (p *Packed) ConceptMaps() []string { return p.urls(kindConceptMap) }

func (p *Packed) urls(kind byte) []string {
	var out []string
	for _, at := range p.order {
		if at.kind == kind {
			out = append(out, at.url)
		}
	}
	return out
}

func (p *Packed) find(at place, read func(*reader) any) any {
	e := p.entries[at]
	if e == nil {
		return nil
	}
	e.once.Do(func() { e.value = read(&reader{s: p.text, at: e.from}) })
	return e.value
}

// definition gives one of the definitions, which are inflated on first use.
func (p *Packed) definition(i int) string {
	p.once.Do(func() {
		raw, err := inflate(p.late)
		if err != nil {
			panic(err) // the table is part of the program and was read when it was made
		}
		r := &reader{s: string(raw)}
		p.defs = make([]string, r.num())
		for i := range p.defs {
			p.defs[i] = r.str()
		}
	})
	return p.defs[i]
}

func (p *Packed) readSystem(r *reader) any {
	s := &System{URL: r.str(), Version: r.str(), Name: r.str(), Title: r.str(), Content: r.str(), ValueSet: r.str(), Language: r.str(), FoldCase: r.flag()}
	first := r.num()
	s.define = func(i int) string { return p.definition(first + i) }
	s.Concepts = make([]Concept, r.num())
	for i := range s.Concepts {
		c := &s.Concepts[i]
		c.Code, c.Display = r.str(), r.str()
		c.Parents = r.list()
		c.Inactive, c.Abstract = r.flag(), r.flag()
		c.Designations = r.designations()
		if n := r.num(); n > 0 {
			c.Properties = make([]Property, n)
			for j := range c.Properties {
				c.Properties[j] = Property{Code: r.str(), Type: r.str(), Value: r.str()}
			}
		}
	}
	return s
}

func readValueSet(r *reader) any {
	v := &ValueSet{URL: r.str(), Version: r.str(), Name: r.str(), Title: r.str(), Status: r.str()}
	if n := r.num(); n > 0 {
		yes := n == 1
		v.Inactive = &yes
	}
	for _, list := range []*[]Include{&v.Include, &v.Exclude} {
		for range r.num() {
			in := Include{System: r.str(), Version: r.str()}
			for range r.num() {
				in.Concepts = append(in.Concepts, Listed{Code: r.str(), Display: r.str(), Designations: r.designations()})
			}
			for range r.num() {
				in.Filters = append(in.Filters, Filter{Property: r.str(), Op: r.str(), Value: r.str()})
			}
			in.ValueSets = r.list()
			*list = append(*list, in)
		}
	}
	return v
}

func readConceptMap(r *reader) any {
	m := &ConceptMap{URL: r.str(), Version: r.str(), Name: r.str(), Title: r.str(), Status: r.str(), Source: r.str(), Target: r.str()}
	for range r.num() {
		g := Group{Source: r.str(), SourceVersion: r.str(), Target: r.str(), TargetVersion: r.str(), Unmapped: Unmapped{Mode: r.str(), Code: r.str(), Display: r.str(), URL: r.str()}}
		for range r.num() {
			e := Element{Code: r.str(), Display: r.str()}
			for range r.num() {
				t := Target{Code: r.str(), Display: r.str(), Equivalence: r.str(), Comment: r.str()}
				for _, list := range []*[]Dependency{&t.DependsOn, &t.Product} {
					for range r.num() {
						*list = append(*list, Dependency{Property: r.str(), System: r.str(), Value: r.str(), Display: r.str()})
					}
				}
				e.Targets = append(e.Targets, t)
			}
			g.Elements = append(g.Elements, e)
		}
		m.Groups = append(m.Groups, g)
	}
	return m
}

type writer struct{ b []byte }

func (w *writer) num(n int) { w.b = binary.AppendUvarint(w.b, uint64(n)) }

func (w *writer) flag(v bool) {
	if v {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}

func (w *writer) strs(list ...string) {
	for _, s := range list {
		w.num(len(s))
		w.b = append(w.b, s...)
	}
}

func (w *writer) designations(list []Designation) {
	w.num(len(list))
	for _, d := range list {
		w.strs(d.Language, d.Use.System, d.Use.Code, d.Use.Display, d.Value)
	}
}

// reader reads what writer wrote, out of one string so that all it gives are
// parts of that. It panics beyond the end; see damaged.
type reader struct {
	s  string
	at int
}

func (r *reader) num() int {
	n := 0
	for shift := 0; shift < 63; shift += 7 {
		b := r.s[r.at]
		r.at++
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	panic("number too long")
}

func (r *reader) flag() bool {
	r.at++
	return r.s[r.at-1] == 1
}

func (r *reader) str() string {
	n := r.num()
	s := r.s[r.at : r.at+n]
	r.at += n
	return s
}

func (r *reader) list() []string {
	n := r.num()
	if n == 0 {
		return nil
	}
	out := make([]string, n)
	for i := range out {
		out[i] = r.str()
	}
	return out
}

func (r *reader) designations() []Designation {
	n := r.num()
	if n == 0 {
		return nil
	}
	out := make([]Designation, n)
	for i := range out {
		out[i] = Designation{Language: r.str(), Use: Coding{System: r.str(), Code: r.str(), Display: r.str()}, Value: r.str()}
	}
	return out
}
