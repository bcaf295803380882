package kernel

import (
	"encoding/json"
	"slices"
	"strings"

	"zhiwei/kernel/access"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/shape"
)

// finder searches as the program itself, inside a transaction or outside.
type finder func(q search.Query) (search.Page, error)

// matches tells whether a predicate covers one record, by its place alone: the
// record need not be stored yet.
func (k *Kernel) matches(find finder, pred access.Predicate, r *record.Record) (bool, error) {
	if pred.All {
		return true, nil
	}
	persons := r.Place.Persons()
	if len(pred.Only) > 0 && !slices.ContainsFunc(persons, func(p record.Key) bool { return slices.Contains(pred.Only, p) }) {
		return false, nil
	}
	shown := false
	for i := 0; i < len(pred.Terms) && !shown; i++ {
		var err error
		if shown, err = covers(find, &pred.Terms[i], r, persons); err != nil {
			return false, err
		}
	}
	if !shown || pred.Denied == nil {
		return shown, nil
	}
	for _, person := range persons {
		denied, err := k.denies(find, pred.Denied, person)
		if denied || err != nil {
			return false, err
		}
	}
	return true, nil
}

// covers tells whether one term shows a record.
func covers(find finder, t *access.Term, r *record.Record, persons []record.Key) (bool, error) {
	if r.Place.Label != "" && slices.Contains(t.Veiled, r.Place.Label) {
		return false, nil
	}
	switch {
	case t.Any,
		t.Owners != nil && r.Place.Owner != "" && slices.Contains(t.Owners, r.Place.Owner),
		t.Depts != nil && r.Place.Dept != "" && slices.Contains(t.Depts, r.Place.Dept),
		t.Orgs != nil && r.Place.Org != "" && slices.Contains(t.Orgs, r.Place.Org),
		t.Homes != nil && slices.Contains(t.Homes, r.Home),
		t.Subjects != nil && slices.ContainsFunc(persons, func(p record.Key) bool { return slices.Contains(t.Subjects, p) }),
		t.IDs != nil && slices.Contains(t.IDs, r.ID):
		return true, nil
	case t.Treating != nil:
		for _, person := range persons {
			if ok, err := treats(find, t.Treating, person); ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}

// denies tells whether a person denied what d asks, and nobody broke the glass.
func (k *Kernel) denies(find finder, d *access.Denied, person record.Key) (bool, error) {
	q := search.Query{Kind: d.Kind, Where: []search.Clause{{Param: d.Subject, Any: []search.Value{{Ref: person}}}}}
	for {
		page, err := find(q)
		if err != nil {
			return false, err
		}
		for i := range page.Records {
			x, err := k.Indexed(page.Records[i])
			if err != nil {
				return false, err
			}
			if !d.Fits(&x.Index) {
				continue
			}
			if d.Opened == nil {
				return true, nil
			}
			opened, err := treats(find, d.Opened, person)
			return !opened, err
		}
		if q.After = page.Next; q.After == "" {
			return false, nil
		}
	}
}

func treats(find finder, t *access.Treating, subject record.Key) (bool, error) {
	where := append(held(t), search.Clause{Param: t.Subject, Any: []search.Value{{Ref: subject}}})
	page, err := find(search.Query{Kind: t.Kind, Limit: 1, Where: where})
	return len(page.Records) > 0, err
}

// held asks for the relations of the members that are active.
func held(t *access.Treating) []search.Clause {
	member := search.Clause{Param: t.Member}
	for _, m := range t.Members {
		member.Any = append(member.Any, search.Value{Ref: m})
	}
	states := search.Clause{Param: search.ParamState}
	for _, s := range t.States {
		states.Any = append(states.Any, search.Value{AnySystem: true, Code: s})
	}
	where := []search.Clause{member, states}
	if t.Until != "" {
		at := search.Millis(t.At)
		where = append(where, search.Clause{Param: t.Until, Any: []search.Value{{Compare: search.Sa, Lo: at, Hi: at + 1}}})
	}
	return where
}

// placement takes a record's place from its data by the declared paths, and from
// what it refers to.
func (k *Kernel) placement(decl *kind.Kind, key record.Key, doc map[string]any, ix *search.Index, creator, owner string) record.Placement {
	p := record.Placement{Org: bareID(textAt(doc, decl.Place.Org)), Dept: bareID(textAt(doc, decl.Place.Dept))}
	if decl.Place.Owner == "@creator" {
		if p.Owner = owner; owner == "" {
			p.Owner = creator
		}
	} else {
		p.Owner = textAt(doc, decl.Place.Owner)
	}
	if decl.Place.Subject == "@self" {
		p.Subject = key
	} else if s, ok := record.ParseKey(textAt(doc, decl.Place.Subject)); ok {
		p.Subject = s
	}
	if c := &decl.Place.Compartment; len(c.Params) > 0 {
		for i := range ix.Refs {
			ref := &ix.Refs[i]
			if ref.Target.Kind != c.Of || ref.Target == p.Subject || slices.Contains(p.Others, ref.Target) || !slices.Contains(c.Params, ref.Param) {
				continue
			}
			if p.Subject.IsZero() {
				p.Subject = ref.Target
			} else {
				p.Others = append(p.Others, ref.Target)
			}
		}
	}
	if decl.Place.Label != "" {
		p.Label = k.label(shape.Values(doc, decl.Place.Label))
	}
	return p
}

// label is the strictest declared label among codings.
func (k *Kernel) label(codings []any) string {
	for _, l := range slices.Backward(k.rules.Privacy.Labels) {
		for _, c := range codings {
			if m, ok := c.(map[string]any); ok && m["system"] == l.System && m["code"] == l.Code {
				return l.Code
			}
		}
	}
	return ""
}

// bareID takes the id out of a reference; other texts stay as they are.
func bareID(s string) string {
	if key, ok := record.ParseKey(s); ok {
		return key.ID
	}
	return s
}

// textAt is the first text at a path; a reference object gives its reference.
func textAt(doc map[string]any, path string) string {
	if path == "" {
		return ""
	}
	for _, v := range shape.Values(doc, path) {
		switch x := v.(type) {
		case string:
			return x
		case map[string]any:
			if s, ok := x["reference"].(string); ok {
				return s
			}
		}
	}
	return ""
}

// masked lists what p may not read of a kind: hidden fields and secrets. The
// program itself reads secrets: it must compare a password with its hash.
func masked(p *identity.Principal, k *kind.Kind) []string {
	if p.Trusted() {
		return nil
	}
	out := access.HiddenFields(p, k)
	for _, f := range k.Fields {
		if f.Type == kind.Secret {
			out = append(out, f.Name)
		}
	}
	return out
}

// mask takes hidden fields out of the data.
func mask(r *record.Record, fields []string) error {
	if len(fields) == 0 || len(r.Data) == 0 {
		return nil
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(r.Data, &doc); err != nil {
		return errs.Wrap("read", r.Key.String(), err)
	}
	n := len(doc)
	for _, f := range fields {
		delete(doc, f)
	}
	if len(doc) == n {
		return nil
	}
	out, err := json.Marshal(doc)
	r.Data = out
	return err
}

// checkQuery refuses to search or sort by what p may not see, at every step of
// every chain. It fails with Forbidden.
func (k *Kernel) checkQuery(p *identity.Principal, kindName string, where []search.Clause, sort []search.Sort) error {
	decl := k.registry.Find(kindName)
	if decl == nil {
		return errs.E(errs.Invalid, "search", kindName, "没有名为 "+kindName+" 的类别。", "There is no kind named "+kindName+".")
	}
	hidden := masked(p, decl)
	may := func(name string) error {
		d := decl.Param(name)
		if d == nil || len(hidden) == 0 {
			return nil
		}
		for _, f := range hidden {
			if looksAt(d, f) {
				return errs.E(errs.Forbidden, "search", name, "您无权按 "+name+" 查询或排序。", "You may not search or sort by "+name+".").At(name)
			}
		}
		return nil
	}
	for _, s := range sort {
		if err := may(s.Param); err != nil {
			return err
		}
	}
	for _, c := range where {
		if c.Param != "" {
			if err := may(c.Param); err != nil {
				return err
			}
		}
		if err := k.checkQuery(p, kindName, c.Or, nil); err != nil {
			return err
		}
		if c.Chain != nil {
			if err := k.checkQuery(p, c.Chain.Kind, c.Chain.Where, nil); err != nil {
				return err
			}
		}
		if c.Has != nil {
			by := []search.Clause{{Param: c.Has.Param}}
			if err := k.checkQuery(p, c.Has.Kind, append(by, c.Has.Where...), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// looksAt tells whether a parameter's path mentions a property. A foreign path
// is read as a list of names: refusing too much is safe, too little is not.
func looksAt(p *kind.Param, field string) bool {
	paths := p.Path
	for i := range p.Parts {
		paths += " " + p.Parts[i].Path
	}
	return slices.Contains(strings.FieldsFunc(paths, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}), field)
}

// actor is the principal as expressions see it.
func actor(p *identity.Principal) map[string]any {
	list := func(s []string) []string {
		if s == nil {
			return []string{}
		}
		return s
	}
	return map[string]any{"id": p.ID, "name": p.Name, "person": p.Person, "roles": list(p.Roles), "depts": list(p.Depts), "orgs": list(p.Orgs)}
}
