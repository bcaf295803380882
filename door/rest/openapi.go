package rest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"zhiwei/door/gate"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
)

// object is a JSON object under construction.
type object = map[string]any

// openAPI describes what p may use of this door, in OpenAPI 3.1.
func (d *Door) openAPI(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := onlyParams(r); err != nil {
		return err
	}
	return answer(w, r, http.StatusOK, d.describe(p, gate.Lang(r)))
}

func (d *Door) describe(p *identity.Principal, lang string) object {
	schemas := object{"Problem": problemSchema()}
	paths := object{
		"/api/about": object{"get": operation("about", kind.T("这是什么、是否已启用", "What this is, and whether it has been set up").In(lang), nil, ok(object{"type": "object"}), "")},
		"/api/start": object{"get": operation("start", kind.T("页面启动所需：about、session、catalogue", "What a page needs first: about, session, catalogue").In(lang), nil, ok(object{"type": "object"}), "")},
		"/api/feed": object{"get": operation("feed", kind.T("实时变更（Server-Sent Events）", "Live changes (Server-Sent Events)").In(lang),
			[]any{param("after", "query", false, object{"type": "string"}), param("Last-Event-ID", "header", false, object{"type": "string"})},
			object{"200": object{"description": "OK", "content": object{"text/event-stream": object{}}}}, "")},
		"/api/search": object{"get": operation("searchAll", kind.T("跨类别查找", "Search across kinds").In(lang), []any{param("q", "query", true, object{"type": "string"}), param("kind", "query", false, object{"type": "string"})}, ok(object{"type": "object"}), "")},
	}
	tags := []any{}
	for _, k := range d.visibleKinds(p) {
		tags = append(tags, object{"name": k.Name, "description": k.Title.In(lang)})
		schemas[k.Name] = dataSchema(k.Fields, k.Format, lang)
		schemas[k.Name+"-record"] = recordSchema(&k, lang)
		for path, item := range kindPaths(&k, lang) {
			paths[path] = item
		}
	}
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": productName.In(lang), "version": d.version},
		"security": []any{
			object{"token": []any{}}, object{"session": []any{}},
		},
		"tags": tags, "paths": paths,
		"components": object{
			"schemas": schemas,
			"securitySchemes": object{
				"token":   object{"type": "http", "scheme": "bearer"},
				"session": object{"type": "apiKey", "in": "cookie", "name": gate.SessionCookie},
			},
			"responses": object{"Problem": object{
				"description": kind.T("出错", "What went wrong").In(lang),
				"content":     object{"application/problem+json": object{"schema": ref("Problem")}},
			}},
		},
	}
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

func ok(schema object) object {
	return object{"200": object{"description": "OK", "content": object{"application/json": object{"schema": schema}}}}
}

func param(name, in string, required bool, schema object) object {
	return object{"name": name, "in": in, "required": required, "schema": schema}
}

// operation is one method of a path; errors are the same everywhere.
func operation(id, summary string, params []any, responses object, tag string) object {
	responses["default"] = object{"$ref": "#/components/responses/Problem"}
	out := object{"operationId": id, "summary": summary, "responses": responses}
	if params != nil {
		out["parameters"] = params
	}
	if tag != "" {
		out["tags"] = []any{tag}
	}
	return out
}

func kindPaths(k *shown, lang string) object {
	base := "/api/" + k.Plural
	can := func(what string) bool { return slices.Contains(k.Can, what) }
	id := param("id", "path", true, object{"type": "string", "pattern": `^[A-Za-z0-9.-]{1,64}$`})
	ifMatch := param("If-Match", "header", true, object{"type": "string"})
	record := ref(k.Name + "-record")
	content := func(props object, required ...string) object {
		s := object{"type": "object", "properties": props, "additionalProperties": false}
		if len(required) > 0 {
			s["required"] = required
		}
		return object{"required": len(required) > 0, "content": object{"application/json": object{"schema": s}}}
	}
	name := k.Title.In(lang)
	say := func(zh, en string) string { return kind.T(zh+name, en+" "+strings.ToLower(name)).In(lang) }
	with := func(op object, body object) object { op["requestBody"] = body; return op }

	query := []any{}
	for _, p := range k.Search {
		q := param(p.Name, "query", false, object{"type": "string"})
		if t := p.Title.In(lang); t != "" {
			q["description"] = t
		}
		query = append(query, q)
	}
	for _, name := range []string{"_id", "_state", "_updated", "_created", "_next", "_home", "q", "sort", "after"} {
		query = append(query, param(name, "query", false, object{"type": "string"}))
	}
	query = append(query,
		param("limit", "query", false, object{"type": "integer", "minimum": 1, "maximum": maxLimit, "default": defaultLimit}),
		param("total", "query", false, object{"type": "boolean"}))
	page := object{"type": "object", "required": []string{"items", "next"}, "properties": object{
		"items": object{"type": "array", "items": record}, "next": object{"type": []string{"string", "null"}}, "total": object{"type": "integer"},
	}}
	list := object{"get": operation("list-"+k.Name, say("查询", "Search"), query, ok(page), k.Name)}
	if can("create") {
		list["post"] = with(operation("create-"+k.Name, say("新建", "Create"), nil, object{"201": object{"description": "Created", "content": object{"application/json": object{"schema": record}}}}, k.Name),
			content(object{"id": object{"type": "string"}, "data": ref(k.Name)}, "data"))
	}
	one := object{"get": operation("read-"+k.Name, say("读取", "Read"), []any{id}, ok(record), k.Name)}
	if can("update") {
		one["put"] = with(operation("update-"+k.Name, say("修改", "Update"), []any{id, ifMatch}, ok(record), k.Name), content(object{"data": ref(k.Name)}, "data"))
	}
	if can("delete") {
		one["delete"] = operation("delete-"+k.Name, say("删除", "Delete"), []any{id}, object{"204": object{"description": "No Content"}}, k.Name)
	}
	out := object{base: list, base + "/{id}": one}
	for _, sub := range []struct{ path, zh, en string }{{"history", "历史：", "History of"}, {"timeline", "时间线：", "Timeline of"}, {"referring", "引用了它的记录：", "Records that refer to"}} {
		out[base+"/{id}/"+sub.path] = object{"get": operation(sub.path+"-"+k.Name, say(sub.zh, sub.en), []any{id}, ok(object{"type": "object"}), k.Name)}
	}
	if k.Lifecycle == nil {
		return out
	}
	for i := range k.Lifecycle.Verbs {
		v := &k.Lifecycle.Verbs[i]
		if v.Clock || !can(v.Name) {
			continue
		}
		evidence, input, required := object{}, object{}, []string{}
		for _, e := range v.Evidence {
			evidence[e.Name] = fieldSchema(&kind.Field{Type: e.Type, Title: e.Title, To: e.To}, lang)
			if e.Required {
				required = append(required, e.Name)
			}
		}
		for _, f := range v.Input {
			if decl := k.Field(f); decl != nil {
				input[f] = fieldSchema(decl, lang)
			} else {
				input[f] = object{}
			}
		}
		shape := object{"type": "object", "properties": evidence, "additionalProperties": false}
		needs := []string{}
		if len(required) > 0 {
			shape["required"] = required
			needs = []string{"evidence"}
		}
		out[base+"/{id}/do/"+v.Name] = object{"post": with(operation(v.Name+"-"+k.Name, name+"："+v.Title.In(lang), []any{id}, ok(record), k.Name),
			content(object{"version": object{"type": "integer", "minimum": 1}, "evidence": shape, "data": object{"type": "object", "properties": input, "additionalProperties": false}}, needs...))}
	}
	return out
}

func recordSchema(k *shown, lang string) object {
	text, instant := object{"type": "string"}, object{"type": "string", "format": "date-time"}
	state := object{"type": "string"}
	if k.Lifecycle != nil {
		var names []string
		for _, s := range k.Lifecycle.States {
			names = append(names, s.Name)
		}
		state["enum"] = names
	}
	return object{
		"type": "object", "title": k.Title.In(lang), "required": []string{"kind", "id", "version", "state", "site", "updatedAt", "data"},
		"properties": object{
			"kind": object{"const": k.Name}, "id": text, "version": object{"type": "integer", "minimum": 1}, "state": state, "site": text,
			"createdAt": instant, "updatedAt": instant, "enteredAt": instant, "nextAt": instant, "by": text, "byName": text, "data": ref(k.Name),
		},
	}
}

// dataSchema describes the data of a kind. A foreign format is described by its
// own standard, not here.
func dataSchema(fields []kind.Field, format, lang string) object {
	if format != "" {
		return object{"type": "object", "description": format}
	}
	props, required := object{}, []string{}
	for i := range fields {
		f := &fields[i]
		props[f.Name] = fieldSchema(f, lang)
		if f.Required && f.Default == nil {
			required = append(required, f.Name)
		}
	}
	out := object{"type": "object", "properties": props, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func fieldSchema(f *kind.Field, lang string) object {
	s := object{}
	switch f.Type {
	case kind.Int:
		s["type"] = "integer"
		for name, bound := range map[string]string{"minimum": f.Min, "maximum": f.Max} {
			if n, err := strconv.ParseInt(bound, 10, 64); err == nil {
				s[name] = n
			}
		}
	case kind.Bool:
		s["type"] = "boolean"
	case kind.Date:
		s["type"], s["format"] = "string", "date"
	case kind.Time:
		s["type"], s["format"] = "string", "date-time"
	case kind.Decimal:
		s["type"], s["pattern"] = "string", `^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`
	case kind.Duration:
		s["type"], s["examples"] = "string", []string{"36h", "14d"}
	case kind.Code:
		var codes []string
		for _, o := range f.Options {
			codes = append(codes, o.Code)
		}
		s["type"], s["enum"] = "string", codes
	case kind.Ref:
		s["type"], s["pattern"] = "string", `^[A-Za-z][A-Za-z0-9-]*/[A-Za-z0-9.-]{1,64}$`
		if len(f.To) > 0 {
			s["pattern"] = `^(` + strings.Join(f.To, "|") + `)/[A-Za-z0-9.-]{1,64}$`
		}
	case kind.Quantity:
		s["type"] = "object"
		s["properties"] = object{"value": object{"type": "string"}, "unit": object{"type": "string"}}
		s["required"] = []string{"value"}
	case kind.Object:
		s = dataSchema(f.Fields, "", lang)
	case kind.Any:
	default: // String, Markdown, Secret, and an Evidence without a type
		s["type"] = "string"
		if f.MaxLen > 0 {
			s["maxLength"] = f.MaxLen
		}
		if f.Pattern != "" {
			s["pattern"] = `^(?:` + f.Pattern + `)$`
		}
		if f.Type == kind.Secret {
			s["writeOnly"] = true
		}
	}
	if f.Default != nil {
		s["default"] = f.Default
	}
	if f.Many {
		s = object{"type": "array", "items": s}
	}
	if t := f.Title.In(lang); t != "" {
		s["title"] = t
	}
	if h := f.Help.In(lang); h != "" {
		s["description"] = h
	}
	if f.ReadOnly {
		s["readOnly"] = true
	}
	return s
}

// problemSchema is RFC 9457 with the members of gate.Problem.
func problemSchema() object {
	text := object{"type": "string"}
	return object{"type": "object", "required": []string{"type", "title", "status", "kind"}, "properties": object{
		"type": text, "title": text, "status": object{"type": "integer"}, "detail": text, "path": text, "request": text,
		"kind": object{"enum": []string{"internal", "invalid", "unauthenticated", "forbidden", "not-found", "conflict", "too-large", "rate", "unavailable"}},
	}}
}
