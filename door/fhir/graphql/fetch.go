package graphql

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
)

// single reads Patient(id: …).
func (x *run) single(p *planned) (map[string]any, error) {
	key := record.Key{Kind: p.of, ID: p.args[idArgument].(string)}
	if !record.ValidID(key.ID) {
		return nil, failure(p.field.Position, errs.NotFoundf("graphql", "%s/%s", key.Kind, key.ID))
	}
	return x.read(p.field.Position, key, "")
}

// read reads a resource, once a request.
func (x *run) read(at *ast.Position, key record.Key, version string) (map[string]any, error) {
	name := key.String() + "/" + version
	doc, known := x.documents[name]
	if !known {
		if err := x.fetched(at, 1); err != nil {
			return nil, err
		}
		var err error
		if doc, err = x.src.Read(x.ctx, key, version); err != nil && !errs.Is(err, errs.NotFound) {
			return nil, failure(at, err)
		}
		x.documents[name] = doc
	}
	if doc == nil {
		return nil, failure(at, errs.NotFoundf("graphql", "%s", key))
	}
	return doc, nil
}

// fetched counts resources against their bound.
func (x *run) fetched(at *ast.Position, n int) error {
	if x.resources += n; x.resources > MaxResources {
		most := strconv.Itoa(MaxResources)
		return tooLarge(at, "一次查询最多读取 "+most+" 个资源；请以参数缩小范围，或用 Connection 分页。", "One query reads at most "+most+" resources; narrow it by arguments, or ask for pages by a Connection.")
	}
	return nil
}

// resolve reads what a Reference refers to. doc is nil where there is nothing to
// show: the target is of another type than the one asked for, or cannot be
// resolved and is optional.
func (x *run) resolve(p *planned, at place) (doc map[string]any, holder *resource, err error) {
	pos := p.field.Position
	optional, _ := p.args[optionalArgument].(bool)
	only, limited := p.args[typeArgument].(string)
	literal, _ := at.doc["reference"].(string)
	missing := func() (map[string]any, *resource, error) {
		if optional {
			return nil, nil, nil
		}
		return nil, nil, failure(pos, errs.E(errs.NotFound, "graphql", literal, "无法找到引用 "+literal+" 的资源；如允许缺失，请写 resource(optional: true)。",
			"What the reference "+literal+" refers to cannot be found; where it may be absent, write resource(optional: true)."))
	}
	if inside, local := strings.CutPrefix(literal, "#"); local {
		doc, holder = contained(at.holder, inside)
	} else if key, version, ok := x.src.Reference(literal); ok {
		if limited && key.Kind != only {
			return nil, nil, nil
		}
		if doc, err = x.read(pos, key, version); errs.Is(err, errs.NotFound) {
			doc, err = nil, nil
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if doc == nil {
		return missing()
	}
	if name, _ := doc[resourceTypeName].(string); limited && name != only {
		return nil, nil, nil
	}
	return doc, holder, nil
}

// contained finds "#id" in the resource that contains what stands here; "#" alone
// is that resource itself (FHIR R4 §2.3.0.7).
func contained(holder *resource, id string) (map[string]any, *resource) {
	if holder == nil || holder.doc == nil {
		return nil, nil
	}
	for holder.outer != nil {
		holder = holder.outer
	}
	if id == "" {
		return holder.doc, nil
	}
	list, _ := holder.doc["contained"].([]any)
	for _, c := range list {
		if doc, ok := c.(map[string]any); ok && doc["id"] == id {
			return doc, holder
		}
	}
	return nil, nil
}

// page asks the source for a page.
func (x *run) page(at *ast.Position, s Search) (Page, error) {
	if x.searches++; x.searches > MaxSearches {
		n := strconv.Itoa(MaxSearches)
		return Page{}, tooLarge(at, "一次查询最多执行 "+n+" 次检索；请减少列表或缩小外层范围。", "One query runs at most "+n+" searches; ask for fewer lists, or narrow the outer one.")
	}
	page, err := x.src.Search(x.ctx, s)
	if err != nil {
		return Page{}, failure(at, err)
	}
	if !s.Quiet {
		err = x.fetched(at, len(page.Resources))
	}
	return page, err
}

// criteria are the arguments of a list or connection as a REST search has them:
// the values of an array are alternatives, and a comma is part of a value.
func (x *run) criteria(p *planned, at place) url.Values {
	out := url.Values{}
	for name, v := range p.args {
		list, many := v.([]any)
		if !many {
			list = []any{v}
		}
		var values []string
		for _, one := range list {
			s, _ := text(one)
			if name != sortArgument {
				s = strings.ReplaceAll(s, ",", `\,`)
			}
			values = append(values, s)
		}
		switch name {
		case pathArgument, countArgument, cursorArgument:
		case referenceArgument:
			out.Add(v.(string), at.holder.key().String())
		case sortArgument:
			out.Set(sortArgument, strings.Join(values, ","))
		default:
			out.Add(x.parameter(p.of, name).Name, strings.Join(values, ","))
		}
	}
	return out
}

// list answers PatientList(…): all matches, or the first _count of them. Where all
// are too many it says so rather than leaving some out.
func (x *run) list(p *planned, at place) ([]any, error) {
	pos := p.field.Position
	s := Search{Type: p.of, Query: x.criteria(p, at)}
	count, limited := p.args[countArgument].(int)
	var out []any
	for {
		most := MaxPage
		if limited {
			most = count - len(out)
		}
		s.Query.Set(countArgument, strconv.Itoa(most))
		page, err := x.page(pos, s)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Resources {
			out = append(out, r)
		}
		if page.Next == "" || limited && len(out) >= count {
			break
		}
		s.After = page.Next
	}
	return x.chosen(p, at, out)
}

// chosen keeps the matches that the argument fhirpath holds for.
func (x *run) chosen(p *planned, at place, list []any) ([]any, error) {
	if p.where == nil || len(list) == 0 {
		return list, nil
	}
	typed := *p
	typed.member.typ = x.engine.schema.resource(p.of)
	var out []any
	for _, r := range list {
		inside := at
		inside.holder = &resource{doc: r.(map[string]any)}
		one, err := x.satisfying(&typed, inside, []any{r})
		if err != nil {
			return nil, err
		}
		out = append(out, one...)
	}
	return out, nil
}

// cursor is a page of a connection: the search it is of and where it begins. It
// says nothing that the client did not, and is read as its own words are.
type cursor struct {
	Type   string `json:"t"`
	Query  string `json:"q,omitempty"`
	Where  string `json:"f,omitempty"`
	Size   int    `json:"n"`
	Offset int    `json:"o,omitempty"`
	After  string `json:"a,omitempty"` // empty with an offset: to be walked to
}

func (c cursor) text() string {
	b, err := json.Marshal(c)
	if err != nil {
		return "" // strings and numbers always marshal
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// cursorOf reads a cursor of a type. Invalid where it is none.
func cursorOf(at *ast.Position, typ, s string) (c cursor, query url.Values, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err == nil {
		query, err = url.ParseQuery(c.Query)
	}
	if err != nil || c.Type != typ || c.Size < 1 || c.Size > MaxPage || c.Offset < 0 || c.After == "" && c.Offset > MaxSkipped {
		return c, nil, invalid(at, "_cursor 不是 "+typ+connectionSuffix+" 给出的位置；请从第一页重新开始。", "The _cursor was not given by "+typ+connectionSuffix+"; start again from the first page.")
	}
	return c, query, nil
}

// connection answers PatientConnection(…): one page and the cursors of others.
// The cursors previous and last are walked to from the first page, at most
// MaxSkipped matches far; beyond it they are absent.
func (x *run) connection(p *planned, at place) (map[string]any, error) {
	pos := p.field.Position
	c := cursor{Type: p.of, Size: defaultPage}
	var query url.Values
	if given, ok := p.args[cursorArgument].(string); ok {
		var err error
		if c, query, err = cursorOf(pos, p.of, given); err != nil {
			return nil, err
		}
		if c.Where != "" {
			if p, err = p.withPath(pos, c.Where); err != nil {
				return nil, err
			}
		}
	} else {
		query = x.criteria(p, at)
		c.Query = query.Encode()
		c.Where, _ = p.args[pathArgument].(string)
		if n, ok := p.args[countArgument].(int); ok {
			c.Size = n
		}
	}
	asked := x.asks(p)
	s := Search{Type: p.of, Query: query, After: c.After, Total: asked["count"] || asked["last"] || c.Size == 0}
	if c.After == "" && c.Offset > 0 {
		if err := x.walk(pos, &s, c.Offset); err != nil {
			return nil, err
		}
	}
	s.Query.Set(countArgument, strconv.Itoa(c.Size))
	page, err := x.page(pos, s)
	if err != nil {
		return nil, err
	}
	number := func(n int) json.Number { return json.Number(strconv.Itoa(n)) }
	out := map[string]any{"offset": number(c.Offset), "pagesize": number(c.Size)}
	if page.Total >= 0 {
		out["count"] = json.Number(strconv.FormatInt(page.Total, 10))
	}
	if c.Size == 0 {
		return out, nil
	}
	x.links(out, c, page)
	list := make([]any, len(page.Resources))
	for i, r := range page.Resources {
		list[i] = r
	}
	if list, err = x.chosen(p, at, list); err != nil {
		return nil, err
	}
	edges := make([]any, len(list))
	for i, r := range list {
		edges[i] = map[string]any{"mode": "match", resourceField: r}
	}
	out["edges"] = edges
	return out, nil
}

// links sets the cursors of a page's neighbours.
func (x *run) links(out map[string]any, c cursor, page Page) {
	to := func(offset int, after string) string {
		o := c
		o.Offset, o.After = offset, after
		return o.text()
	}
	out["first"] = to(0, "")
	if page.Next != "" {
		out["next"] = to(c.Offset+len(page.Resources), page.Next)
	}
	if before := max(c.Offset-c.Size, 0); c.Offset > 0 && before <= MaxSkipped {
		out["previous"] = to(before, "")
	}
	if page.Total < 0 {
		return
	}
	last := 0
	if page.Total > 0 {
		last = int((page.Total - 1) / int64(c.Size) * int64(c.Size))
	}
	if last <= MaxSkipped {
		out["last"] = to(last, "")
	}
}

// walk passes over the matches before a page.
func (x *run) walk(at *ast.Position, s *Search, offset int) error {
	total := s.Total
	s.Total, s.Quiet = false, true
	for offset > 0 {
		s.Query.Set(countArgument, strconv.Itoa(min(offset, MaxPage)))
		page, err := x.page(at, *s)
		if err != nil {
			return err
		}
		if offset -= len(page.Resources); page.Next == "" {
			break // matches have gone since
		}
		s.After = page.Next
	}
	s.Total, s.Quiet = total, false
	return nil
}

// withPath is the field with the expression that its cursor carries.
func (p *planned) withPath(at *ast.Position, src string) (*planned, error) {
	if _, err := compile(at, src); err != nil {
		return nil, err
	}
	where, err := compile(at, "where("+src+"\n)")
	if err != nil {
		return nil, err
	}
	again := *p
	again.where = where
	return &again, nil
}

// asks are the fields of a connection that are wanted.
func (x *run) asks(p *planned) map[string]bool {
	out := map[string]bool{}
	fields, err := x.plan(p.set, p.member.typ)
	if err != nil {
		return out // the selection was planned when it was checked
	}
	for _, f := range fields {
		out[f.field.Name] = true
	}
	return out
}
