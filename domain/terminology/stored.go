package terminology

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"zhiwei/domain/terminology/internal/content"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// maxStored is how many records of concepts one question may read.
const maxStored = 20_000

// stored holds an imported system: its concepts are records, read as one
// principal may see them.
type stored struct {
	k      *kernel.Kernel
	p      *identity.Principal
	system *content.System // without concepts
	total  int             // of the system, as its resource says; -1: not said
}

var _ holding = stored{}

func (s stored) about() *content.System { return s.system }

func (s stored) find(ctx context.Context, code string) (*Concept, error) {
	d, err := s.read(ctx, code)
	if d == nil || err != nil {
		return nil, err
	}
	return d.concept(), nil
}

func (s stored) read(ctx context.Context, code string) (*conceptData, error) {
	key := conceptKey(s.system.URL, code)
	r, err := s.k.Read(ctx, s.p, key)
	if errs.Is(err, errs.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d, err := readConcept(&r)
	if err != nil || d.System != s.system.URL || d.Code != code {
		return nil, err
	}
	return d, nil
}

func readConcept(r *record.Record) (*conceptData, error) {
	d := &conceptData{}
	if err := json.Unmarshal(r.Data, d); err != nil {
		return nil, errs.Wrap("terminology", r.Key.String(), err)
	}
	return d, nil
}

func (s stored) isA(c *Concept, code string) bool {
	return c.Code == code || slices.Contains(c.Ancestors, code)
}

func (s stored) definition(c *Concept) string { return c.Definition }

func (s stored) children(ctx context.Context, code string, limit int) ([]string, error) {
	var out []string
	err := s.each(ctx, selection{parent: code}, func(c *Concept) (bool, error) {
		out = append(out, c.Code)
		return len(out) < limit, nil
	})
	return out, err
}

// denseLook is how many concepts are looked at one after the other before the
// index of names is asked for something as short as one letter: so many names
// have it that a page is full long before, while the index would have to list
// them all.
const denseLook = 500

// each reads the selected concepts in the order of their codes. TooLarge beyond
// maxStored.
func (s stored) each(ctx context.Context, sel selection, f func(*Concept) (bool, error)) error {
	visit := func(d *conceptData) (bool, error) {
		if sel.below && d.Code == sel.under {
			return true, nil
		}
		return f(d.concept())
	}
	letter := fold(sel.text)
	if utf8.RuneCountInString(letter) != 1 || sel.first == 0 {
		return s.search(ctx, sel, visit)
	}
	told := map[string]bool{}
	all := sel
	all.text, all.first = "", denseLook/5
	looked, enough := 0, false
	err := s.search(ctx, all, func(d *conceptData) (bool, error) {
		if looked++; d.named(letter) {
			told[d.Code] = true
			if going, err := visit(d); err != nil || !going {
				enough = true
				return false, err
			}
		}
		return looked < denseLook, nil
	})
	if err != nil || enough || looked < denseLook {
		return err
	}
	return s.search(ctx, sel, func(d *conceptData) (bool, error) {
		if told[d.Code] {
			return true, nil
		}
		return visit(d)
	})
}

// search reads concepts from the store until f says false.
func (s stored) search(ctx context.Context, sel selection, f func(*conceptData) (bool, error)) error {
	q := search.Query{Kind: ConceptKind, Where: s.where(sel), Sort: []search.Sort{{Param: paramCode}}, Limit: 100}
	if sel.first > 0 {
		q.Limit = min(sel.first, 1000)
	}
	for read := 0; ; {
		page, err := s.k.Search(ctx, s.p, q)
		if err != nil {
			return err
		}
		for i := range page.Records {
			d, err := readConcept(&page.Records[i])
			if err != nil {
				return err
			}
			if going, err := f(d); err != nil || !going {
				return err
			}
		}
		read += len(page.Records)
		if q.After = page.Next; q.After == "" {
			return nil
		}
		if read >= maxStored {
			return costly(s.system.URL)
		}
		q.Limit = min(4*q.Limit, 1000)
	}
}

// where is a selection as the store searches it. Everything about the hierarchy
// is a token of the concept itself, so nothing is followed.
func (s stored) where(sel selection) []search.Clause {
	token := func(param, system, code string) search.Clause {
		return search.Clause{Param: param, Any: []search.Value{{System: system, Code: code, AnySystem: system == ""}}}
	}
	var out []search.Clause
	if sel.parent != "" {
		out = append(out, token(paramParent, s.system.URL, sel.parent))
	}
	if sel.under != "" {
		out = append(out, token(paramAncestor, s.system.URL, sel.under))
	}
	if sel.property.Code != "" {
		out = append(out, token(paramProperty, s.system.URL+"#"+sel.property.Code, sel.property.Value))
	}
	if len(out) == 0 {
		out = append(out, token(paramSystem, "", s.system.URL))
	}
	if sel.top {
		missing := true
		out = append(out, search.Clause{Param: paramParent, Missing: &missing})
	}
	for word := range strings.FieldsSeq(fold(sel.text)) {
		out = append(out, search.Clause{Param: paramName, Any: []search.Value{{Text: word, Match: search.AnyWord}}})
	}
	if sel.active {
		inactive := token(paramInactive, "", "true")
		inactive.Not = true
		out = append(out, inactive)
	}
	return out
}

// count knows the size of the whole system alone.
func (s stored) count(sel selection) int {
	sel.first = 0
	if sel == (selection{}) {
		return s.total
	}
	return -1
}
