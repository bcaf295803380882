package subscription

import "zhiwei/kernel/search"

// Criteria reads criteria as the door does.
func (m *Module) Criteria(typ, query string) ([]search.Clause, error) {
	return m.protocol.Criteria(typ, query)
}

// Bound reads a binding token.
func (m *Module) Bound(token string) ([]string, error) {
	b, err := m.bound(token)
	return b.IDs, err
}
