package fhir

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/store"
)

func (d *Door) metaRoutes() []gate.Route {
	route := func(method, name, can, action string, h gate.Handler) gate.Route {
		return gate.Route{Method: method, Pattern: Prefix + "/{type}/{id}/$" + name, Permission: gate.CanNamed("type", can), Action: action, Handle: h, Problem: d.problem}
	}
	return []gate.Route{
		route(http.MethodGet, "meta", "read", "read", d.meta),
		route(http.MethodPost, "meta", "read", "read", d.meta),
		route(http.MethodPost, "meta-add", "update", "update", d.changeMeta(addMeta)),
		route(http.MethodPost, "meta-delete", "update", "update", d.changeMeta(deleteMeta)),
		route(http.MethodPost, "purge-history", "purge", "purge", d.purgeHistory),
	}
}

// meta answers GET and POST /fhir/Type/id/$meta: profiles, tags and labels of one
// resource (R4 Resource/$meta).
func (d *Door) meta(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	if err := readable(r); err != nil {
		return err
	}
	rec, err := d.k.Read(r.Context(), p, key)
	if err != nil {
		return err
	}
	return sendMeta(w, r, appendResource(nil, &rec))
}

func sendMeta(w http.ResponseWriter, r *http.Request, resource []byte) error {
	var doc struct {
		Meta json.RawMessage `json:"meta"`
	}
	if err := json.Unmarshal(resource, &doc); err != nil {
		return errs.Wrap("meta", r.URL.Path, err)
	}
	return sendJSON(w, r, http.StatusOK, object{"resourceType": "Parameters", "parameter": []object{{"name": "return", "valueMeta": doc.Meta}}})
}

// metaLists are the elements of meta that $meta-add and $meta-delete change.
var metaLists = []string{"profile", "security", "tag"}

// changeMeta answers POST /fhir/Type/id/$meta-add and $meta-delete. What they
// change is a version of its own, as every change here is.
func (d *Door) changeMeta(change func(list, given []any) []any) gate.Handler {
	return func(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
		key, err := keyOf(r)
		if err != nil {
			return err
		}
		if err := readable(r); err != nil {
			return err
		}
		given, err := givenMeta(r)
		if err != nil {
			return err
		}
		s := &step{method: http.MethodPatch, typ: key.Kind, given: key.ID, ifMatch: kernel.AnyVersion}
		if err := s.match(r.Header.Get("If-Match"), ""); err != nil {
			return err
		}
		s.patch = func(doc map[string]any) (map[string]any, error) {
			meta, _ := doc["meta"].(map[string]any)
			for _, name := range metaLists {
				list, _ := meta[name].([]any)
				more, _ := given[name].([]any)
				meta[name] = change(slices.Clone(list), more)
			}
			return doc, nil
		}
		if err := d.commit(r.Context(), p, []*step{s}, commitment{base: d.baseURL(r)}); err != nil {
			return err
		}
		versionHeaders(w.Header(), &s.result)
		return sendMeta(w, r, appendResource(nil, &s.result))
	}
}

// givenMeta reads the parameter meta of the body.
func givenMeta(r *http.Request) (map[string]any, error) {
	raw, err := body(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		Parameter []struct {
			Name string         `json:"name"`
			Meta map[string]any `json:"valueMeta"`
		} `json:"parameter"`
	}
	if err := json.Unmarshal(raw, &in); err == nil {
		for _, p := range in.Parameter {
			if p.Name == "meta" && p.Meta != nil {
				return p.Meta, nil
			}
		}
	}
	return nil, errs.E(errs.Invalid, "meta", r.URL.Path, "请发送 Parameters，其中参数 meta 的 valueMeta 写明标签、安全标签或规范。", "Send Parameters whose parameter meta holds tags, security labels or profiles in valueMeta.").At("Parameters.parameter")
}

// sameMeta tells whether two entries of a list of meta are one: profiles by
// their URL, codings by system and code (R4 Resource/$meta-add).
func sameMeta(a, b any) bool {
	x, ok1 := a.(map[string]any)
	y, ok2 := b.(map[string]any)
	if ok1 && ok2 {
		return x["system"] == y["system"] && x["code"] == y["code"]
	}
	return !ok1 && !ok2 && a == b
}

func addMeta(list, given []any) []any {
	for _, g := range given {
		if !slices.ContainsFunc(list, func(v any) bool { return sameMeta(v, g) }) {
			list = append(list, g)
		}
	}
	return list
}

func deleteMeta(list, given []any) []any {
	return slices.DeleteFunc(list, func(v any) bool {
		return slices.ContainsFunc(given, func(g any) bool { return sameMeta(v, g) })
	})
}

// purgeHistory answers POST /fhir/Type/id/$purge-history: the older versions are
// erased for good, but for their hashes; the newest stays. It takes a right of its
// own and stands in the audit.
func (d *Door) purgeHistory(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	if err := readable(r); err != nil {
		return err
	}
	page, err := d.k.History(r.Context(), p, store.HistoryQuery{Key: key, Limit: 1})
	if err != nil {
		return err
	}
	if err := d.k.Purge(r.Context(), p, key); err != nil {
		return err
	}
	n := strconv.FormatInt(max(page.Total-1, 0), 10)
	return sendJSON(w, r, http.StatusOK, note("information", "informational", say(r, "已清除 "+n+" 个历史版本；当前版本保留。", "Erased "+n+" older versions; the newest stays.")))
}
