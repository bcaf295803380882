package fhir

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// maxIncluded is the most resources that one answer includes beside its
// matches. Where there are more, the answer says so in an OperationOutcome.
const maxIncluded = 1000

// includeBatch is how many references one query follows at once.
const includeBatch = 400

// include is one _include or _revinclude (R4 §3.1.1.5.5): the references of a
// parameter of a source type, limited to a target type.
type include struct {
	reverse bool
	again   bool   // :iterate: also from what was included
	source  string // the type that refers; "": any
	param   string
	target  string // "": any
}

// include reads "Source:param", "Source:param:Target", "Source:*" and "*". A
// star is every reference parameter of its source.
func (d *Door) include(typ string, kv pair, modifier string) ([]include, error) {
	bad := func(zh, en string) ([]include, error) { return nil, badParameter(kv.key, zh, en) }
	i := include{reverse: strings.HasPrefix(kv.key, "_rev")}
	switch modifier {
	case "":
	case "iterate", "recurse": // recurse: its name before R4
		i.again = true
	default:
		return bad("参数 "+kv.key+" 的修饰符只能是 :iterate。", kv.key+" takes the modifier :iterate only.")
	}
	parts := strings.Split(kv.value, ":")
	if kv.value == "*" {
		if i.reverse {
			return bad("_revinclude 请写明类型，例如 Observation:subject。", "_revinclude names the type, such as Observation:subject.")
		}
		i.source, i.param = typ, "*"
		if i.again {
			i.source = ""
		}
		return []include{i}, nil
	}
	if len(parts) < 2 || len(parts) > 3 {
		return bad(kv.key+" 的格式为 类型:参数 或 类型:参数:目标类型。", kv.key+" is written Type:parameter or Type:parameter:Target.")
	}
	i.source, i.param = parts[0], parts[1]
	if len(parts) == 3 {
		i.target = parts[2]
	}
	for _, t := range []string{i.source, i.target} {
		if t != "" && !clinical.IsResourceType(t) {
			return bad("“"+t+"”不是 FHIR R4 的资源类型。", t+" is not a resource type of FHIR R4.")
		}
	}
	k := d.k.Registry().Find(i.source)
	if i.param != "*" {
		if p := k.Param(i.param); p == nil || p.Type != kind.ReferenceParam {
			return bad(i.source+" 没有引用参数 "+i.param+"。", i.source+" has no reference parameter "+i.param+".")
		}
		return []include{i}, nil
	}
	if !i.reverse {
		return []include{i}, nil
	}
	var out []include
	for j := range k.Search { // in reverse, one query a parameter
		if p := &k.Search[j]; p.Type == kind.ReferenceParam && (len(p.To) == 0 || slices.Contains(p.To, typ)) {
			one := i
			one.param = p.Name
			out = append(out, one)
		}
	}
	return out, nil
}

// finder answers queries as one principal may see them.
type finder func(q search.Query) (search.Page, error)

// inclusion gathers what is included beside matches.
type inclusion struct {
	d    *Door
	find finder
	seen map[record.Key]bool
	out  []record.Record
	more bool // there was more than maxIncluded
}

// included follows the includes from the matches, and those that iterate from
// what they found, each resource once.
func (d *Door) included(find finder, matches []record.Record, includes []include) (*inclusion, error) {
	x := &inclusion{d: d, find: find, seen: map[record.Key]bool{}}
	if len(includes) == 0 {
		return x, nil
	}
	for i := range matches {
		x.seen[matches[i].Key] = true
	}
	from := matches
	for len(from) > 0 && !x.more {
		at := len(x.out)
		for _, i := range includes {
			var err error
			if i.reverse {
				err = x.referring(from, i)
			} else {
				err = x.referred(from, i)
			}
			if err != nil {
				return nil, err
			}
		}
		includes = slices.DeleteFunc(slices.Clone(includes), func(i include) bool { return !i.again })
		if len(includes) == 0 {
			break
		}
		from = x.out[at:len(x.out):len(x.out)]
	}
	return x, nil
}

// add asks for records and keeps those not seen yet, as far as there is room;
// where fits is given, those that fit.
func (x *inclusion) add(q search.Query, fits func(*record.Record) (bool, error)) error {
	for {
		// One more than there is room for, and room for those seen already.
		q.Limit = min(maxIncluded-len(x.out)+1+len(x.seen), maxCount)
		page, err := x.find(q)
		if err != nil {
			return err
		}
		for i := range page.Records {
			r := &page.Records[i]
			if x.seen[r.Key] {
				continue
			}
			if fits != nil {
				if ok, err := fits(r); err != nil {
					return err
				} else if !ok {
					continue
				}
			}
			if len(x.out) == maxIncluded {
				x.more = true
				return nil
			}
			x.seen[r.Key] = true
			x.out = append(x.out, *r)
		}
		if q.After = page.Next; q.After == "" {
			return nil
		}
	}
}

// referred includes what records refer to by a parameter.
func (x *inclusion) referred(from []record.Record, i include) error {
	ids := map[string][]search.Value{}
	asked := map[record.Key]bool{}
	urls := map[string][]search.Value{}
	names := map[string]bool{} // url, or url|version
	var kinds []string
	for n := range from {
		r := &from[n]
		if i.source != "" && r.Kind != i.source {
			continue
		}
		decl := x.d.k.Registry().Find(r.Kind)
		ix, err := x.d.k.Indexed(*r)
		if errs.Is(err, errs.Invalid) {
			continue // not whole, since the reader may not see all of it
		}
		if err != nil {
			return err
		}
		for m := range decl.Search {
			p := &decl.Search[m]
			if p.Type != kind.ReferenceParam || i.param != "*" && p.Name != i.param {
				continue
			}
			for _, ref := range refsOf(ix, p) {
				switch {
				case ref.URL != "":
					names[ref.URL] = true
					to := p.To
					if len(to) == 0 {
						to = clinical.ResourceTypes()
					}
					for _, t := range to {
						if x.hasURL(t) && (i.target == "" || i.target == t) {
							urls[t] = append(urls[t], canonical(ref.URL))
						}
					}
				case x.seen[ref.Target] || i.target != "" && ref.Target.Kind != i.target || !clinical.IsResourceType(ref.Target.Kind):
				default:
					if !asked[ref.Target] {
						asked[ref.Target] = true
						if ids[ref.Target.Kind] == nil {
							kinds = append(kinds, ref.Target.Kind)
						}
						ids[ref.Target.Kind] = append(ids[ref.Target.Kind], search.Value{AnySystem: true, Code: ref.Target.ID})
					}
				}
			}
		}
	}
	for _, k := range kinds {
		if err := x.batches(k, search.ParamID, ids[k], nil); err != nil {
			return err
		}
	}
	for _, k := range clinical.ResourceTypes() {
		err := x.batches(k, "url", urls[k], func(r *record.Record) (bool, error) { // not another version
			url, version, err := canonicalOf(r)
			return names[url] || names[url+"|"+version], err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// refsOf gives the references of a record by a parameter.
func refsOf(ix *kernel.Indexed, p *kind.Param) []search.Ref {
	var out []search.Ref
	for _, ref := range ix.Index.Refs {
		if (slices.Contains(p.Over, ref.Param) || ref.Param == p.Name) && (!p.Only || ref.URL != "" || slices.Contains(p.To, ref.Target.Kind)) {
			out = append(out, ref)
		}
	}
	return out
}

// hasURL tells whether resources of a type are named by a canonical URL.
func (x *inclusion) hasURL(typ string) bool {
	p := x.d.k.Registry().Find(typ).Param("url")
	return p != nil && p.Type == kind.URIParam
}

// canonical takes the version off a canonical reference.
func canonical(url string) search.Value {
	url, _, _ = strings.Cut(url, "|")
	return search.Value{AnySystem: true, Code: url}
}

// canonicalOf gives the URL and the version by which a resource is named.
func canonicalOf(r *record.Record) (url, version string, err error) {
	var is struct{ URL, Version string }
	err = errs.Wrap("search", r.Key.String(), json.Unmarshal(r.Data, &is))
	return is.URL, is.Version, err
}

// referring includes what refers to records by a parameter.
func (x *inclusion) referring(from []record.Record, i include) error {
	decl := x.d.k.Registry().Find(i.source)
	p := decl.Param(i.param)
	var refs, urls []search.Value
	names := map[string]bool{} // url, and url|version
	for n := range from {
		k := from[n].Key
		if len(p.To) > 0 && !slices.Contains(p.To, k.Kind) || i.target != "" && i.target != k.Kind {
			continue
		}
		refs = append(refs, search.Value{Ref: k})
		if !x.hasURL(k.Kind) {
			continue
		}
		url, version, err := canonicalOf(&from[n])
		if err != nil {
			return err
		}
		if url != "" {
			urls = append(urls, search.Value{URL: url})
			names[url], names[url+"|"+version] = true, true
		}
	}
	if err := x.batches(i.source, i.param, refs, nil); err != nil {
		return err
	}
	return x.batches(i.source, i.param, urls, func(r *record.Record) (bool, error) { // not what means another version
		ix, err := x.d.k.Indexed(*r)
		if errs.Is(err, errs.Invalid) {
			return false, nil // not whole, since the reader may not see all of it
		}
		if err != nil {
			return false, err
		}
		return slices.ContainsFunc(refsOf(ix, p), func(ref search.Ref) bool { return names[ref.URL] }), nil
	})
}

// batches asks for records of a kind by many values of a parameter.
func (x *inclusion) batches(kindName, param string, values []search.Value, fits func(*record.Record) (bool, error)) error {
	for list := range slices.Chunk(values, includeBatch) {
		if x.more {
			return nil
		}
		if err := x.add(search.Query{Kind: kindName, Where: []search.Clause{{Param: param, Any: list}}}, fits); err != nil {
			return err
		}
	}
	return nil
}

// cut says that not all was included; "" where all was.
func (x *inclusion) cut(lang string) string {
	if !x.more {
		return ""
	}
	n := strconv.Itoa(maxIncluded)
	if lang == "en" {
		return "More than " + n + " resources were to be included; the rest is left out. Ask for fewer matches (_count) or includes."
	}
	return "随附的资源超过 " + n + " 个，其余未列出；请减少 _count 或 _include。"
}
