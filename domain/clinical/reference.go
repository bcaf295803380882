package clinical

import (
	"strings"

	"zhiwei/kernel/record"
)

// Literal is the literal of a Reference: a record of this server, or a URL.
type Literal struct {
	Type    string // resource type; empty for a URL
	ID      string
	Version string // after /_history/; empty: any
	URL     string // absolute URL or URN; empty for a record
}

// Key is the record it names; zero for a URL.
func (l Literal) Key() record.Key { return record.Key{Kind: l.Type, ID: l.ID} }

// ParseReference reads Type/id, Type/id/_history/version and absolute URLs
// (FHIR R4 §2.3.0.1). ok is false for all else: fragments, searches and types
// that do not exist.
func ParseReference(s string) (l Literal, ok bool) {
	if hasScheme(s) {
		return Literal{URL: s}, true
	}
	typeName, rest, found := strings.Cut(s, "/")
	if !found || !IsResourceType(typeName) {
		return Literal{}, false
	}
	id, version, versioned := strings.Cut(rest, "/_history/")
	if !isID(id) || versioned && !isID(version) {
		return Literal{}, false
	}
	return Literal{Type: typeName, ID: id, Version: version}, true
}

// hasScheme tells whether s begins with a URI scheme (RFC 3986 §3.1).
func hasScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c == ':':
			return i > 0
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return false
}
