package fhir

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/door/fhir/jsonpatch"
	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// JSONPatchType is the media type of RFC 6902.
const JSONPatchType = "application/json-patch+json"

// acceptPatch lists what PATCH takes (RFC 5789 §3.1).
const acceptPatch = JSONPatchType + ", " + ContentType

// patcher gives the resource a patch makes of doc, which it leaves alone.
type patcher func(doc map[string]any) (map[string]any, error)

// patch answers PATCH /fhir/Type/id and PATCH /fhir/Type?criteria, with a JSON
// Patch or a FHIRPath Patch (R4 §3.1.0.8).
func (d *Door) patch(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	typ, err := typeOf(r)
	if err != nil {
		return err
	}
	w.Header().Set("Accept-Patch", acceptPatch)
	s, err := changeStep(r, typ)
	if err != nil {
		return err
	}
	ct := r.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(ct)
	if ct == "" || err != nil || media != JSONPatchType && !slices.Contains(jsonTypes, media) {
		return withStatus(http.StatusUnsupportedMediaType, errs.E(errs.Invalid, "patch", ct,
			"请以 "+JSONPatchType+" 发送 JSON Patch，或以 "+ContentType+" 发送 FHIRPath Patch 的 Parameters。", "Send a JSON Patch as "+JSONPatchType+", or the Parameters of a FHIRPath Patch as "+ContentType+"."))
	}
	raw, err := bodyBytes(r)
	if err != nil {
		return err
	}
	if s.patch, err = readPatch(typ, media, raw); err != nil {
		return err
	}
	c := commitment{base: d.baseURL(r)}
	if err := d.withProvenance(r, p, s, &c); err != nil {
		return err
	}
	if err := d.commit(r.Context(), p, []*step{s}, c); err != nil {
		return err
	}
	return d.written(w, r, s)
}

// readPatch reads a patch of a media type. Invalid where it is none.
func readPatch(typ, media string, raw []byte) (patcher, error) {
	if media != JSONPatchType {
		return parseFHIRPathPatch(typ, raw)
	}
	ops, err := jsonpatch.Parse(raw)
	if err != nil {
		return nil, err
	}
	return func(doc map[string]any) (map[string]any, error) {
		out, err := jsonpatch.Apply(doc, ops)
		if errors.Is(err, jsonpatch.ErrTest) {
			return nil, withStatus(http.StatusUnprocessableEntity, err)
		}
		if err != nil {
			return nil, err
		}
		m, ok := out.(map[string]any)
		if !ok {
			return nil, errs.E(errs.Invalid, "patch", typ, "补丁之后不再是一个 JSON 对象。", "After the patch this is no longer a JSON object.")
		}
		return m, nil
	}, nil
}

// entryPatch reads the patch of an entry of a Bundle: a Binary with a JSON Patch,
// or the Parameters of a FHIRPath Patch (R4 §3.1.0.11.1).
func entryPatch(typ string, e *clinical.Entry) (patcher, error) {
	if e.Type != "Binary" {
		return parseFHIRPathPatch(typ, e.Resource)
	}
	var b struct {
		ContentType string `json:"contentType"`
		Data        string `json:"data"`
	}
	if err := json.Unmarshal(e.Resource, &b); err != nil {
		return nil, errs.E(errs.Invalid, "patch", typ, "Binary 不是有效的 JSON。", "The Binary is not valid JSON.").Because(err)
	}
	media, _, err := mime.ParseMediaType(b.ContentType)
	if err != nil || media != JSONPatchType {
		return nil, withStatus(http.StatusUnsupportedMediaType, errs.E(errs.Invalid, "patch", b.ContentType, "Bundle 中的 Binary 补丁应为 "+JSONPatchType+"。", "A patch in a Binary of a Bundle is "+JSONPatchType+".").At("contentType"))
	}
	raw, err := base64.StdEncoding.DecodeString(b.Data)
	if err != nil {
		return nil, errs.E(errs.Invalid, "patch", typ, "Binary.data 不是有效的 base64。", "Binary.data is not valid base64.").At("data").Because(err)
	}
	return readPatch(typ, media, raw)
}

// patched reads what a step patches and gives it its new resource and the
// version it was made of. Whoever may not see the record finds nothing.
func (d *Door) patched(ctx context.Context, p *identity.Principal, s *step) error {
	key := record.Key{Kind: s.typ, ID: s.id}
	if s.id == "" {
		return errs.E(errs.NotFound, "patch", s.typ+"?"+s.query, "没有记录符合条件 "+s.typ+"?"+s.query+"；补丁只能修改已有的记录。", "Nothing matches "+s.typ+"?"+s.query+"; a patch changes only what is there.")
	}
	// Reading to write is not disclosing: the audit of the write names the record.
	rec, err := d.k.Read(audit.WithTrail(ctx, nil), p, key)
	if err != nil {
		return err
	}
	if s.ifMatch != kernel.AnyVersion && s.ifMatch != rec.Version {
		return notAsExpected(key.String(), "这条记录刚被他人修改过，请重新读取后再提交。", "Somebody else has changed this record; read it again and submit anew.")
	}
	before, err := document(&rec)
	if err != nil {
		return err
	}
	after, err := s.patch(before)
	if err != nil {
		return err
	}
	if err := kept(s.typ, before, after); err != nil {
		return err
	}
	prune(after)
	s.expect = rec.Version
	s.raw, err = d.format.Encode(d.k.Registry().Find(s.typ), after)
	return err
}

// kept refuses a patch of what the server itself says: the type, the id, the
// version and its time.
func kept(typ string, before, after map[string]any) error {
	refuse := func(path string) error {
		return withStatus(http.StatusUnprocessableEntity, errs.E(errs.Invalid, "patch", path, path+" 由系统维护，补丁不能修改它。", path+" is kept by the server; a patch cannot change it.").At(path))
	}
	for _, name := range []string{"resourceType", "id"} {
		if before[name] != after[name] {
			if name == "id" {
				name = typ + ".id"
			}
			return refuse(name)
		}
	}
	was, _ := before["meta"].(map[string]any)
	is, _ := after["meta"].(map[string]any)
	for _, name := range []string{"versionId", "lastUpdated"} {
		// A meta that was replaced as a whole without them is no attempt.
		if v, given := is[name]; given && v != was[name] {
			return refuse(typ + ".meta." + name)
		}
	}
	return nil
}

// prune takes out arrays and objects that a patch has emptied: in FHIR there are
// none (R4 §2.6.2, "JSON representation").
func prune(v any) (empty bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, item := range v {
			if list, ok := item.([]any); ok {
				list = slices.DeleteFunc(list, func(x any) bool { return x != nil && prune(x) })
				if v[name] = list; len(list) == 0 || !slices.ContainsFunc(list, func(x any) bool { return x != nil }) && strings.HasPrefix(name, "_") {
					delete(v, name)
				}
				continue
			}
			if prune(item) {
				delete(v, name)
			}
		}
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}
