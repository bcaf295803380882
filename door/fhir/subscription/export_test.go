package subscription

import "zhiwei/kernel/search"

// Criteria reads criteria as the door does.
func (m *Module) Criteria(typ, query string) ([]search.Clause, error) {
	return m.protocol.Criteria(typ, query)
}
