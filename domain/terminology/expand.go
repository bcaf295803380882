package terminology

import (
	"context"
	"slices"

	"zhiwei/domain/terminology/internal/content"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
)

// maxExpansion is the longest expansion that is given without paging.
const maxExpansion = 10_000

// ExpandRequest asks for the codes of a value set: FHIR R4 ValueSet/$expand.
type ExpandRequest struct {
	URL        string // canonical, url|version; or
	Resource   []byte // the ValueSet itself, in JSON
	Filter     string // words of a name, Chinese, pinyin or initials, or the start of a code
	Offset     int
	Count      int // -1: all, as far as they are not too many; 0: only how many there are
	ActiveOnly bool
	Selectable bool     // no concepts that only group others (excludeNotForUI)
	Without    []string // canonicals of systems to leave out (exclude-system)
	Definition bool     // with the definition of the value set (includeDefinition)
	Versions   []string // url|version of systems, where the value set names no version (system-version)
}

// Described is what a resource says of itself.
type Described struct {
	URL, Version, Name, Title, Status string
}

// Expansion is the answer.
type Expansion struct {
	Set     Described
	Total   int // -1: not known without reading them all
	Offset  int
	Codes   []Found
	More    bool     // there are codes behind these
	Partial bool     // a system is here in part only, so codes may be missing
	Used    []string // canonicals of the systems the codes are from
	Compose any      // ValueSet.compose, to be written as JSON; nil where it was not asked for
}

// Expand lists the codes of a value set. Errors: NotFound where the value set or
// a system it takes codes from is not here; TooLarge where there are more than
// 10,000 codes and no page was asked for, or where too many concepts would have
// to be read; Invalid where the value set cannot be evaluated.
func (s *Service) Expand(ctx context.Context, p *identity.Principal, r ExpandRequest) (Expansion, error) {
	e := s.ask(p)
	v, err := e.requested(ctx, r.URL, r.Resource)
	if err != nil {
		return Expansion{}, err
	}
	v = withVersions(v, r.Versions)
	e.strict = true
	out := Expansion{Set: describe(v), Offset: r.Offset}
	if r.Definition {
		out.Compose = v.Compose()
	}
	sel := selection{text: r.Filter, active: r.ActiveOnly}
	if r.Count >= 0 {
		sel.first = r.Offset + r.Count + 1
	}
	counted := true
	err = e.walk(ctx, v, sel, 0, func(x Found) (bool, error) {
		if r.Selectable && x.Concept.Abstract || slices.ContainsFunc(r.Without, x.isOf) {
			return true, nil
		}
		if out.Total++; out.Total <= r.Offset {
			return true, nil
		}
		switch {
		case r.Count < 0 && len(out.Codes) == maxExpansion:
			return false, costly(v.URL)
		case r.Count >= 0 && len(out.Codes) == r.Count:
			out.More = true
			_, counted = x.held.(stored)
			counted = !counted // what is in memory is counted to the end
			return counted, nil
		}
		if name := versioned(x.System, x.Version); !slices.Contains(out.Used, name) {
			out.Used = append(out.Used, name)
		}
		out.Codes = append(out.Codes, x)
		return true, nil
	})
	if err != nil {
		return Expansion{}, err
	}
	out.Partial = e.open
	if !counted {
		if out.Total, err = e.size(ctx, v, r, sel); err != nil {
			return Expansion{}, err
		}
	}
	return out, nil
}

// isOf tells whether a code is of a system named by a canonical.
func (x Found) isOf(name string) bool {
	url, version := canonical(name)
	return x.System == url && (version == "" || x.Version == version)
}

func versioned(url, version string) string {
	if version == "" {
		return url
	}
	return url + "|" + version
}

func describe(v *content.ValueSet) Described {
	return Described{URL: v.URL, Version: v.Version, Name: v.Name, Title: v.Title, Status: v.Status}
}

// requested finds or reads the value set a request is about.
func (e *evaluation) requested(ctx context.Context, url string, raw []byte) (*content.ValueSet, error) {
	if len(raw) > 0 {
		return content.ReadValueSet(raw)
	}
	if url == "" {
		return nil, errs.E(errs.Invalid, "terminology", "ValueSet", "请用 url 或 valueSet 指明值集。", "Say which value set with url or valueSet.").At("url")
	}
	v, err := e.named(ctx, url)
	if err == nil && v == nil {
		err = noValueSet(url)
	}
	return v, err
}

// withVersions gives the value set with versions where it names none.
func withVersions(v *content.ValueSet, versions []string) *content.ValueSet {
	if len(versions) == 0 {
		return v
	}
	out := *v
	for _, list := range []*[]content.Include{&out.Include, &out.Exclude} {
		*list = slices.Clone(*list)
		for i := range *list {
			in := &(*list)[i]
			for _, name := range versions {
				if url, version := canonical(name); url == in.System && in.Version == "" {
					in.Version = version
				}
			}
		}
	}
	return &out
}

// size tells how many codes a value set has without reading them: -1 but for a
// whole system whose resource says how many concepts it has.
func (e *evaluation) size(ctx context.Context, v *content.ValueSet, r ExpandRequest, sel selection) (int, error) {
	if len(v.Include) != 1 || len(v.Exclude) > 0 || r.Selectable || len(r.Without) > 0 {
		return -1, nil
	}
	in := &v.Include[0]
	if len(in.Concepts) > 0 || len(in.Filters) > 0 || len(in.ValueSets) > 0 {
		return -1, nil
	}
	held, err := e.lib.systems(ctx, in.System, in.Version)
	if err != nil || len(held) != 1 {
		return -1, err
	}
	return held[0].count(sel), nil
}
