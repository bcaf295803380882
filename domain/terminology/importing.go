package terminology

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"zhiwei/domain/terminology/internal/content"
	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// Unit is what is imported of a code system at a time. Written again it changes
// nothing, so an import that was killed is simply begun again.
type Unit struct {
	System   string          `json:"system"`
	Version  string          `json:"version,omitempty"` // empty: the system has none
	Name     string          `json:"name,omitempty"`
	Title    string          `json:"title,omitempty"`
	Language string          `json:"language,omitempty"` // BCP 47, of the displays
	Resource json.RawMessage `json:"resource,omitempty"` // a CodeSystem to take the rest from; its concepts are not looked at
	Concepts []*Imported     `json:"concepts,omitempty"`
	// Outside are parents that are in none of the files: what stands above them is
	// looked up in the system as it is here.
	Outside []string `json:"outside,omitempty"`
	// Last closes an import: the concepts are counted, and those that another
	// version had and this one has not become inactive.
	Last bool `json:"last,omitempty"`
}

// Imported is one concept of a unit. Ancestors are all codes above it that the
// files tell of, its parents among them.
type Imported = conceptData

// Report is what came of a unit.
type Report struct {
	Written int      `json:"written"`           // new or changed
	Same    int      `json:"same"`              // were there just so
	Retired int      `json:"retired,omitempty"` // became inactive: another version had them
	Total   int      `json:"total,omitempty"`   // of the system, at the end
	Strange []string `json:"strange,omitempty"` // parents that the system does not have
}

// Bounds of an import.
const (
	maxUnit   = 5000 // concepts of one unit
	pieceSize = 250  // concepts that share a transaction, so that nobody's own write waits long
	maxText   = 4000 // of a name, in bytes
)

// Import writes a unit: the CodeSystem resource with content "not-present", and
// a record for each concept, behind people's writes and by the checks of every
// other write. Errors: Invalid where the unit makes no sense; Conflict where a
// CodeSystem of that URL has its concepts in itself; Forbidden; TooLarge.
func (s *Service) Import(ctx context.Context, p *identity.Principal, u Unit) (Report, error) {
	var rep Report
	if u.System == "" || strings.ContainsAny(u.System, " |") {
		return rep, errs.E(errs.Invalid, "import", u.System, "请给出代码系统的 URI，其中不能有空格或竖线。", "Give the URI of the code system; it holds no space and no bar.").At("system")
	}
	if len(u.Concepts) > maxUnit {
		return rep, errs.E(errs.TooLarge, "import", u.System, "一批最多 5,000 个概念。", "A unit has at most 5,000 concepts.").At("concepts")
	}
	ctx = audit.WithTrail(ctx, nil) // what is compared is not what anybody read
	if err := s.declare(ctx, p, &u, -1); err != nil {
		return rep, err
	}
	above, strange, err := s.outside(ctx, p, &u)
	if err != nil {
		return rep, err
	}
	rep.Strange = strange
	for i, c := range u.Concepts {
		if c == nil || c.Code == "" {
			return rep, errs.E(errs.Invalid, "import", u.System, "有的概念没有代码。", "A concept has no code.").At("concepts")
		}
		if len(c.Code) > maxText || strings.TrimSpace(c.Code) != c.Code {
			return rep, errs.E(errs.Invalid, "import", c.Code, "代码前后不能有空格，也不能超过 4,000 字节。", "A code has no blanks around it and at most 4,000 bytes.").At("concepts.code")
		}
		c.System, c.Version = u.System, u.Version
		for _, a := range c.Ancestors {
			for _, b := range above[a] {
				if b != c.Code && !slices.Contains(c.Ancestors, b) {
					u.Concepts[i].Ancestors = append(c.Ancestors, b)
				}
			}
		}
	}
	for part := range slices.Chunk(u.Concepts, pieceSize) {
		if err := s.write(ctx, p, part, &rep); err != nil {
			return rep, err
		}
	}
	if !u.Last {
		return rep, nil
	}
	if err := s.retire(ctx, p, &u, &rep); err != nil {
		return rep, err
	}
	page, err := s.k.Search(ctx, p, search.Query{Kind: ConceptKind, Where: ofSystem(u.System), Limit: 1, Total: true})
	if err != nil {
		return rep, err
	}
	rep.Total = int(page.Total)
	return rep, s.declare(ctx, p, &u, rep.Total)
}

func ofSystem(url string) []search.Clause {
	return []search.Clause{{Param: paramSystem, Any: []search.Value{{AnySystem: true, Code: url}}}}
}

// declare writes the CodeSystem resource where it is missing or differs. count
// is the number of concepts; -1 leaves it.
func (s *Service) declare(ctx context.Context, p *identity.Principal, u *Unit, count int) error {
	sum := sha256.Sum256([]byte(u.System))
	key := record.Key{Kind: codeSystemKind, ID: "imported-" + hex.EncodeToString(sum[:12])}
	old, err := resource(ctx, s, p, codeSystemKind, u.System, "", readSystem)
	if err != nil {
		return err
	}
	if old != nil && len(old.system.Concepts) > 0 {
		return errs.E(errs.Conflict, "import", u.System, "已有一个自带概念的 CodeSystem 使用此 URL；请先删除它，或改用别的 URI。", "A CodeSystem of this URL has its concepts in itself; delete it first, or use another URI.").At("system")
	}
	was, err := s.k.Read(ctx, p, key)
	there := err == nil
	if err != nil && !errs.Is(err, errs.NotFound) {
		return err
	}
	doc := map[string]any{}
	if there {
		if err := json.Unmarshal(was.Data, &doc); err != nil {
			return errs.Wrap("import", key.String(), err)
		}
	}
	if len(u.Resource) > 0 {
		given := map[string]any{}
		if err := json.Unmarshal(u.Resource, &given); err != nil || given["resourceType"] != codeSystemKind {
			return errs.E(errs.Invalid, "import", u.System, "resource 不是 CodeSystem 资源。", "resource is not a CodeSystem resource.").At("resource").Because(err)
		}
		delete(given, "concept")
		delete(given, "id")
		delete(given, "meta")
		for name, v := range given {
			doc[name] = v
		}
	}
	doc["resourceType"], doc["url"], doc["content"] = codeSystemKind, u.System, content.NotPresent
	for name, v := range map[string]string{"version": u.Version, "name": u.Name, "title": u.Title, "language": u.Language} {
		if v != "" {
			doc[name] = v
		}
	}
	for name, v := range map[string]any{"status": "active", "name": systemName(u.System), "caseSensitive": true, "hierarchyMeaning": "is-a"} {
		if _, ok := doc[name]; !ok {
			doc[name] = v
		}
	}
	if count >= 0 {
		doc["count"] = count
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return errs.Wrap("import", key.String(), err)
	}
	c := kernel.Change{Op: record.Create, Key: key, Data: data, Upsert: true}
	if there {
		c.Op, c.Expect = record.Update, was.Version
		var before map[string]any
		if json.Unmarshal(was.Data, &before) == nil && sameDoc(before, data) {
			return nil
		}
	}
	_, err = s.k.Write(ctx, p, c)
	return err
}

func sameDoc(before map[string]any, data []byte) bool {
	var after map[string]any
	return json.Unmarshal(data, &after) == nil && reflect.DeepEqual(before, after)
}

// systemName makes a name for programs out of a URI: letters, digits and
// underscores, the first a capital (FHIR R4 invariant csd-0).
func systemName(uri string) string {
	_, last := cutLast(strings.TrimRight(uri, "/"), "/")
	var b strings.Builder
	for _, r := range last {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	name := strings.Trim(b.String(), "_")
	if name == "" || !(name[0] >= 'a' && name[0] <= 'z' || name[0] >= 'A' && name[0] <= 'Z') {
		name = "Codes_" + name
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func cutLast(s, sep string) (before, after string) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):]
	}
	return "", s
}

// outside looks up what stands above parents that the files do not have.
func (s *Service) outside(ctx context.Context, p *identity.Principal, u *Unit) (above map[string][]string, strange []string, err error) {
	above = map[string][]string{}
	e := s.ask(p)
	for _, code := range u.Outside {
		x, err := e.lookup(ctx, u.System, "", code)
		if err != nil {
			return nil, nil, err
		}
		if x == nil {
			strange = append(strange, code)
			continue
		}
		above[code] = x.Concept.Ancestors
		if m, ok := x.held.(inMemory); ok {
			above[code] = m.Ancestors(x.Concept.Code)
		}
	}
	return above, strange, nil
}

// write puts the concepts that are new or changed into one transaction. What is
// there is read in it, so that two imports at once lose nothing.
func (s *Service) write(ctx context.Context, p *identity.Principal, part []*Imported, rep *Report) error {
	prepared := make([]*kernel.Prepared, len(part))
	keys := make([]record.Key, len(part))
	twice := map[string]bool{}
	for i, c := range part {
		if twice[c.Code] {
			return errs.E(errs.Invalid, "import", c.Code, "代码 "+c.Code+" 在同一批中出现两次。", "The code "+c.Code+" stands twice in one unit.").At("concepts.code")
		}
		twice[c.Code] = true
		for j := range c.Properties {
			if c.Properties[j].Type == "" {
				c.Properties[j].Type = "string"
			}
		}
		data, err := json.Marshal(c)
		if err != nil {
			return errs.Wrap("import", c.Code, err)
		}
		keys[i] = conceptKey(c.System, c.Code)
		if prepared[i], err = s.k.Prepare(ctx, p, kernel.Change{Op: record.Update, Key: keys[i], Data: data, Upsert: true, Expect: kernel.AnyVersion}); err != nil {
			return err
		}
	}
	same := 0
	err := s.k.Transact(ctx, p, store.Bulk, keys, func(t *kernel.Txn) error {
		same = 0
		for i, pr := range prepared {
			is, err := isThere(t, keys[i], part[i])
			if err != nil {
				return err
			}
			if is {
				same++
				continue
			}
			if _, err := t.Apply(pr); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		rep.Same += same
		rep.Written += len(part) - same
	}
	return err
}

// isThere tells whether a concept stands there just so. Conflict where another
// one has its id.
func isThere(t *kernel.Txn, key record.Key, c *Imported) (bool, error) {
	r, err := t.Get(key)
	if errs.Is(err, errs.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	was, err := readConcept(&r)
	if err != nil {
		return false, err
	}
	if was.System != c.System || was.Code != c.Code {
		return false, errs.E(errs.Conflict, "import", c.Code, "代码 "+c.Code+" 的编号已被 "+was.System+" 的 "+was.Code+" 占用。", "The id of code "+c.Code+" is taken by "+was.Code+" of "+was.System+".")
	}
	return reflect.DeepEqual(was, c), nil
}

// retire makes the concepts inactive that the version imported does not have.
// Without a version nothing says that the files were the whole system.
func (s *Service) retire(ctx context.Context, p *identity.Principal, u *Unit, rep *Report) error {
	if u.Version == "" {
		return nil
	}
	q := search.Query{Kind: ConceptKind, Limit: pieceSize, Where: append(ofSystem(u.System),
		search.Clause{Param: paramVersion, Not: true, Any: []search.Value{{AnySystem: true, Code: u.Version}}},
		search.Clause{Param: paramInactive, Not: true, Any: []search.Value{{AnySystem: true, Code: "true"}}},
	)}
	for {
		page, err := s.k.Search(ctx, p, q)
		if err != nil || len(page.Records) == 0 {
			return err
		}
		prepared, keys := make([]*kernel.Prepared, len(page.Records)), make([]record.Key, len(page.Records))
		for i := range page.Records {
			r := &page.Records[i]
			d, err := readConcept(r)
			if err != nil {
				return err
			}
			d.Inactive = true
			data, err := json.Marshal(d)
			if err != nil {
				return errs.Wrap("import", d.Code, err)
			}
			keys[i] = r.Key
			if prepared[i], err = s.k.Prepare(ctx, p, kernel.Change{Op: record.Update, Key: r.Key, Expect: r.Version, Data: data}); err != nil {
				return err
			}
		}
		err = s.k.Transact(ctx, p, store.Bulk, keys, func(t *kernel.Txn) error {
			for _, pr := range prepared {
				if _, err := t.Apply(pr); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		rep.Retired += len(keys)
	}
}
