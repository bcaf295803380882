package storetest

import (
	"zhiwei/kernel/kind"
	"zhiwei/kernel/store"
)

// Defs is a table of kinds and their parameters, by kind and name. It
// implements store.Defs; every index in it is whole.
type Defs map[string]map[string]store.Param

var _ store.Defs = Defs(nil)

// Param finds a parameter in the table.
func (d Defs) Param(kindName, name string) (store.Param, bool) {
	p, ok := d[kindName][name]
	return p, ok
}

// Ready is true for every parameter of the table.
func (d Defs) Ready(kindName, name string) bool {
	_, ok := d[kindName][name]
	return ok
}

// About is the subject of readings, which have one at most.
func (d Defs) About(kindName string) string {
	if kindName == Reading {
		return "subject"
	}
	return ""
}

// Unready is defs with one parameter whose index does not cover every record
// yet, as while a reindex runs.
func Unready(defs store.Defs, kindName, name string) store.Defs {
	return unready{defs, kindName, name}
}

type unready struct {
	store.Defs
	kind, name string
}

func (u unready) Ready(kindName, name string) bool {
	return (kindName != u.kind || name != u.name) && u.Defs.Ready(kindName, name)
}

func plain(t kind.ParamType) store.Param { return store.Param{Type: string(t)} }

func composite(name string, types ...kind.ParamType) store.Param {
	p := store.Param{Type: string(kind.CompositeParam)}
	for i, t := range types {
		p.Parts = append(p.Parts, []string{PartName(name, i)})
		p.PartTypes = append(p.PartTypes, string(t))
	}
	return p
}

// place is a parameter of places: points of the unit sphere.
func place(name string) store.Param {
	p := composite(name, kind.NumberParam, kind.NumberParam, kind.NumberParam)
	p.Type = string(kind.NearParam)
	return p
}

// PartName is the index name of a composite's part.
func PartName(param string, part int) string { return param + "#" + string(rune('0'+part)) }

// The test kinds. They use every type of parameter; "tie" is the relation that
// makes a person treated, "ban" holds what persons deny.
const (
	Person  = "person"
	Ward    = "ward"
	Reading = "reading"
	Tie     = "tie"
	Ban     = "ban"
)

// Clinic is the table of the test kinds.
func Clinic() Defs {
	return Defs{
		Person: {
			"identifier": plain(kind.TokenParam),
			"name":       plain(kind.StringParam),
			"about":      plain(kind.WordsParam),
			"birthdate":  plain(kind.DateParam),
			"ward":       plain(kind.ReferenceParam),
			"friend":     plain(kind.ReferenceParam),
			"profile":    plain(kind.URIParam),
			"children":   plain(kind.NumberParam),
			"mate":       {Type: string(kind.ReferenceParam), Over: []string{"friend"}, Only: []string{Person}},
			"known-as":   {Type: string(kind.StringParam), Over: []string{"name", "about"}},
		},
		Ward: {
			"name":   plain(kind.WordsParam),
			"code":   plain(kind.TokenParam),
			"partof": plain(kind.ReferenceParam),
			"at":     place("at"),
		},
		Reading: {
			"code":       plain(kind.TokenParam),
			"subject":    plain(kind.ReferenceParam),
			"ward":       plain(kind.ReferenceParam),
			"date":       plain(kind.DateParam),
			"value":      plain(kind.QuantityParam),
			"score":      plain(kind.NumberParam),
			"note":       plain(kind.WordsParam),
			"code-value": composite("code-value", kind.TokenParam, kind.QuantityParam),
			"code-date":  composite("code-date", kind.TokenParam, kind.DateParam),
			"part":       composite("part", kind.TokenParam, kind.QuantityParam),
			"any-code":   {Type: string(kind.TokenParam), Over: []string{"code", PartName("part", 0)}},
			"any-value":  {Type: string(kind.QuantityParam), Over: []string{"value", PartName("part", 1)}},
			"any": {
				Type: string(kind.CompositeParam), PartTypes: []string{string(kind.TokenParam), string(kind.QuantityParam)},
				Parts: [][]string{{"code", PartName("part", 0)}, {"value", PartName("part", 1)}},
			},
			"code-note":  composite("code-note", kind.TokenParam, kind.StringParam),
			"code-words": composite("code-words", kind.TokenParam, kind.WordsParam),
			"code-of":    composite("code-of", kind.TokenParam, kind.ReferenceParam),
		},
		Tie: {
			"member": plain(kind.ReferenceParam),
			"whom":   plain(kind.ReferenceParam),
			"until":  plain(kind.DateParam),
		},
		Ban: {
			"whom": plain(kind.ReferenceParam),
		},
	}
}
