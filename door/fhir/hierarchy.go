package fhir

import (
	"slices"
	"strconv"
	"strings"

	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// maxHierarchy is the most records that one :above or :below of a reference
// stands for; what stands for more is refused, never cut short.
const maxHierarchy = 2000

// parents are the names of the parameters by which a type forms a hierarchy of
// its own: partof of Location and Organization, part-of of Encounter and Task.
var parents = []string{"partof", "part-of"}

// parentParam is the parameter that leads from records of a type to that above
// them; nil where the type has no hierarchy.
func (d *Door) parentParam(typ string) *kind.Param {
	k := d.k.Registry().Find(typ)
	if k == nil {
		return nil
	}
	for _, name := range parents {
		if p := k.Param(name); p != nil && p.Type == kind.ReferenceParam && len(p.To) == 1 && p.To[0] == typ {
			return p
		}
	}
	return nil
}

// alongHierarchy answers :below and :above of references (R4 §3.1.1.4.12): it
// puts in place of each record named those below it, or above it, and itself.
// Other criteria, and these modifiers of codes and URIs, it gives back as they
// are.
func (d *Door) alongHierarchy(p search.Parser, typ string, kv pair) (pair, error) {
	key, below := strings.CutSuffix(kv.key, ":below")
	if !below {
		var above bool
		if key, above = strings.CutSuffix(kv.key, ":above"); !above {
			return kv, nil
		}
	}
	var targets []string // of a parameter of the type itself; of a chain, the value says the type
	direct := !strings.ContainsAny(key, ".:")
	if direct {
		decl := d.k.Registry().Find(typ).Param(key)
		if decl == nil || decl.Type != kind.ReferenceParam {
			return kv, nil
		}
		for _, t := range decl.To {
			if d.parentParam(t) != nil {
				targets = append(targets, t)
			}
		}
	}
	var out []string
	for _, v := range search.SplitEscaped(kv.value, ',') {
		v = search.Unescape(strings.TrimPrefix(v, p.Base+"/"))
		of, ok := record.ParseKey(v)
		switch {
		case ok && d.parentParam(of.Kind) != nil:
		case !direct:
			return kv, nil
		case !ok && record.ValidID(v) && len(targets) == 1:
			of = record.Key{Kind: targets[0], ID: v}
		default:
			return kv, badParameter(kv.key, kv.key+" 的值应为有上下级的记录，例如 Location/编号。", "The value of "+kv.key+" is a record that has others above and below it, such as Location/id.")
		}
		asker, ok := p.Terms.(terms)
		if !ok {
			return kv, badParameter(kv.key, "条件写入的条件中不能用 "+kv.key+"。", kv.key+" cannot stand in the criteria of a conditional write.")
		}
		family, err := asker.family(d, of, below)
		if err != nil {
			return kv, err
		}
		out = append(out, family...)
	}
	return pair{key, strings.Join(out, ",")}, nil
}

// family gives a record and all below it, or above it, as far as the principal
// may see them. Finding them is not reading: they do not stand in the audit.
func (t terms) family(d *Door, of record.Key, below bool) ([]string, error) {
	up := d.parentParam(of.Kind)
	seen := map[record.Key]bool{of: true}
	all := []string{of.String()}
	for level := []record.Key{of}; len(level) > 0; {
		var next []record.Key
		for list := range slices.Chunk(level, includeBatch) {
			c := search.Clause{Param: up.Name}
			for _, key := range list {
				if below {
					c.Any = append(c.Any, search.Value{Ref: key})
				} else {
					c.Param = search.ParamID
					c.Any = append(c.Any, search.Value{AnySystem: true, Code: key.ID})
				}
			}
			for q := (search.Query{Kind: of.Kind, Where: []search.Clause{c}, Limit: maxCount}); ; {
				page, err := d.k.Search(audit.WithTrail(t.ctx, nil), t.p, q)
				if err != nil {
					return nil, err
				}
				for i := range page.Records {
					found := []record.Key{page.Records[i].Key}
					if !below {
						if found, err = d.above(page.Records[i], up); err != nil {
							return nil, err
						}
					}
					for _, key := range found {
						if !seen[key] {
							seen[key] = true
							next = append(next, key)
							all = append(all, key.String())
						}
					}
				}
				if len(all) > maxHierarchy {
					return nil, badParameter(of.String(), of.String()+" 的上下级超过 "+strconv.Itoa(maxHierarchy)+" 条，请写明更窄的范围。", of.String()+" stands for more than "+strconv.Itoa(maxHierarchy)+" records; ask for a narrower one.")
				}
				if q.After = page.Next; q.After == "" {
					break
				}
			}
		}
		level = next
	}
	return all, nil
}

// above gives what a record is a part of.
func (d *Door) above(rec record.Record, up *kind.Param) ([]record.Key, error) {
	ix, err := d.k.Indexed(rec)
	if errs.Is(err, errs.Invalid) {
		return nil, nil // not whole, since the reader may not see all of it
	}
	if err != nil {
		return nil, err
	}
	var out []record.Key
	for _, ref := range refsOf(ix, up) {
		if ref.Target.Kind == rec.Kind {
			out = append(out, ref.Target)
		}
	}
	return out, nil
}
