package logs

import (
	"cmp"
	"slices"
)

// rare is the number of messages below which a template gives way first when the
// Miner is full: a flood of nonsense is all rare, what runs every day is not.
const rare = 8

// evict gives up a quarter of the forms: first those that a general form would
// find again, then those of rare templates, then those not seen for longest.
// Templates left without a form are dropped and counted.
func (m *Miner) evict() {
	general := map[ID]bool{}
	for i := range m.forms {
		f := &m.forms[i]
		f.id = m.Resolve(f.id)
		if f.general {
			general[f.id] = true
			f.seen = max(f.seen, m.templates[f.id].seen)
		}
	}
	class := func(f *form) int {
		switch {
		case !f.general && general[f.id]:
			return 0
		case m.templates[f.id].count < rare:
			return 1
		}
		return 2
	}
	order := m.forms
	slices.SortStableFunc(order, func(a, b form) int {
		if c := cmp.Compare(class(&a), class(&b)); c != 0 {
			return c
		}
		return cmp.Compare(a.seen, b.seen)
	})
	kept := slices.Clone(order[len(order)-m.limit*3/4:])
	slices.SortStableFunc(kept, func(a, b form) int { return cmp.Compare(a.id, b.id) })
	alive := map[ID]bool{}
	for i := range kept {
		alive[kept[i].id] = true
	}
	for id := range m.templates {
		if !alive[id] {
			delete(m.templates, id)
			m.dropped++
		}
	}
	if len(m.known) > m.limit/2 {
		clear(m.known)
	}
	if over := len(m.aliases) - 4*m.limit; over > 0 {
		for _, id := range m.aliases[:over] {
			delete(m.alias, id)
		}
		m.aliases = slices.Clone(m.aliases[over:])
	}
	m.rebuild(kept)
}

// rebuild makes the index over forms anew.
func (m *Miner) rebuild(forms []form) {
	m.empty()
	m.forms = forms
	for i := range forms {
		m.byKey[string(appendKey(m.key[:0], forms[i].tokens, nil))] = int32(i)
		if forms[i].general {
			m.shape(len(forms[i].tokens), forms[i].wild)
		}
	}
	for i := range forms {
		m.index(int32(i), false)
	}
}
