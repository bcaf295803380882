package terminology

import (
	"context"
	"slices"

	"zhiwei/domain/terminology/internal/content"
)

// inMemory holds a system whose concepts are in memory: an embedded one, or a
// CodeSystem resource that has its concepts in it.
type inMemory struct{ *content.System }

var _ holding = inMemory{}

func (m inMemory) about() *content.System { return m.System }

func (m inMemory) find(_ context.Context, code string) (*Concept, error) {
	if i := m.Find(code); i >= 0 {
		return &m.Concepts[i], nil
	}
	return nil, nil
}

func (m inMemory) isA(c *Concept, code string) bool { return m.IsA(c.Code, code) }

func (m inMemory) children(_ context.Context, code string, limit int) ([]string, error) {
	var out []string
	for _, i := range m.Children(code) {
		if len(out) == limit {
			break
		}
		out = append(out, m.Concepts[i].Code)
	}
	return out, nil
}

func (m inMemory) definition(c *Concept) string {
	if i := m.Find(c.Code); i >= 0 {
		return m.Definition(i)
	}
	return c.Definition
}

func (m inMemory) each(ctx context.Context, s selection, f func(*Concept) (bool, error)) error {
	query := fold(s.text)
	for i := range m.Concepts {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		c := &m.Concepts[i]
		if !m.selects(s, query, i) {
			continue
		}
		if going, err := f(c); err != nil || !going {
			return err
		}
	}
	return nil
}

func (m inMemory) selects(s selection, query string, i int) bool {
	c := &m.Concepts[i]
	switch {
	case s.active && c.Inactive:
		return false
	case query != "" && !m.Folded(i).Has(query):
		return false
	case s.top && len(c.Parents) > 0:
		return false
	case s.parent != "" && !slices.Contains(c.Parents, s.parent):
		return false
	case s.under != "" && (s.below && c.Code == s.under || !m.IsA(c.Code, s.under)):
		return false
	}
	return true
}

func (m inMemory) count(selection) int { return -1 }
