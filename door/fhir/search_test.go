package fhir_test

// link gives the address of a relation of a Bundle; "" where it has none.
func (a answer) link(relation string) string {
	list, _ := a.json["link"].([]any)
	for _, l := range list {
		if m, ok := l.(map[string]any); ok && m["relation"] == relation {
			url, _ := m["url"].(string)
			return url
		}
	}
	return ""
}
