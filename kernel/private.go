package kernel

import (
	"encoding/json"
	"strings"

	"zhiwei/kernel/access"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
)

// conceal takes out of a record what is its owner's alone.
func conceal(p *identity.Principal, decl *kind.Kind, r *record.Record) error {
	if decl == nil || len(decl.Private) == 0 || len(r.Data) == 0 {
		return nil
	}
	for _, path := range access.PrivatePaths(p, decl, r.Place.Owner) {
		data, err := without(r.Data, path)
		if err != nil {
			return errs.Wrap("read", r.Key.String(), err)
		}
		r.Data = data
	}
	return nil
}

// without takes a path of names out of JSON; what is not there is left as it is.
func without(data json.RawMessage, path string) (json.RawMessage, error) {
	name, rest, deep := strings.Cut(path, ".")
	var list []json.RawMessage
	if json.Unmarshal(data, &list) == nil && list != nil {
		for i := range list {
			var err error
			if list[i], err = without(list[i], path); err != nil {
				return nil, err
			}
		}
		return json.Marshal(list)
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(data, &doc); err != nil || doc[name] == nil {
		return data, nil // not an object, or without that name: nothing to take out
	}
	if !deep {
		delete(doc, name)
		delete(doc, "_"+name) // FHIR: what stands beside a primitive
		return json.Marshal(doc)
	}
	inner, err := without(doc[name], rest)
	if err != nil {
		return nil, err
	}
	doc[name] = inner
	return json.Marshal(doc)
}
