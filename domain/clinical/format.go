package clinical

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
)

// FormatName is the name under which kinds ask for Format.
const FormatName = "fhir-r4"

// Format reads, checks, indexes and writes FHIR R4 resources as JSON. It is
// safe for concurrent use.
type Format struct {
	extract   *extractor
	validator atomic.Pointer[Validator] // of what is written

	parameters atomic.Pointer[parameters] // of a hospital's own
}

// NewFormat makes a Format; times without a zone are taken in local, the zone
// of the site.
func NewFormat(local *time.Location) *Format {
	return &Format{extract: &extractor{def: r4(), local: local, layouts: map[string]*layout{}}}
}

// Parse checks raw against the definition of the kind's resource type. The
// canonical bytes are raw without blanks, with resourceType first and meta
// second, without id, meta.versionId and meta.lastUpdated, which the record
// itself holds; numbers stay as they were written. raw must not be changed
// afterwards.
//
// Invalid, with the path of the failing element, where raw is not such a
// resource; TooLarge beyond MaxSize.
func (f *Format) Parse(k *kind.Kind, raw []byte) (doc map[string]any, canonical []byte, err error) {
	p, err := parse(k.Name, raw)
	return p.doc, p.canonical, err
}

// Index takes what the resource is found by: by all search parameters of its
// type, and, a Consent, by what it denies. Invalid where a Consent denies what
// cannot be denied.
func (f *Format) Index(k *kind.Kind, doc map[string]any) (search.Index, error) {
	ix := f.extract.index(r4().byName[k.Name], doc)
	if k.Name == consentKind {
		if err := appendDenials(&ix, doc, f.extract.local); err != nil {
			return search.Index{}, err
		}
	}
	return ix, nil
}

// Encode writes a document that was changed, in the order of the definitions,
// and checks it again. Invalid as Parse.
func (f *Format) Encode(k *kind.Kind, doc map[string]any) ([]byte, error) {
	var b bytes.Buffer
	if err := encode(&b, r4().byName[k.Name], doc); err != nil {
		return nil, err
	}
	p, err := parse(k.Name, b.Bytes())
	return p.canonical, err
}

func encode(b *bytes.Buffer, t *typeDef, v any) error {
	switch v := v.(type) {
	case map[string]any:
		b.WriteByte('{')
		for i, name := range order(t, v) {
			if i > 0 {
				b.WriteByte(',')
			}
			key, err := json.Marshal(name)
			if err != nil {
				return err
			}
			b.Write(key)
			b.WriteByte(':')
			var inner *typeDef
			if t != nil {
				if j, ok := t.byName[name]; ok {
					inner = t.props[j].typ
				}
			}
			if err := encode(b, inner, v[name]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := encode(b, t, item); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		enc := json.NewEncoder(b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1) // the encoder ends with a line feed
	}
	return nil
}

// appendString writes s as a JSON string.
func appendString(b []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string can always be written
	}
	return append(b, buf.Bytes()[:buf.Len()-1]...)
}

// order lists the names in v as the definition of t has them; the extensions of
// a primitive follow it.
func order(t *typeDef, v map[string]any) []string {
	names := make([]string, 0, len(v))
	for n := range v {
		names = append(names, n)
	}
	rank := func(n string) int {
		if n == "resourceType" || t == nil {
			return -1
		}
		if i, ok := t.byName[strings.TrimPrefix(n, "_")]; ok {
			return i
		}
		return len(t.props)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		ab, bb := strings.TrimPrefix(a, "_"), strings.TrimPrefix(b, "_")
		if ab == bb {
			return len(a) - len(b)
		}
		return strings.Compare(ab, bb)
	})
	return names
}
