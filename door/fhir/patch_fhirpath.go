package fhir

import (
	"errors"
	"net/http"

	"zhiwei/door/fhir/pathpatch"
)

// parseFHIRPathPatch reads the Parameters of a FHIRPath Patch for resources of
// a type. Invalid, naming the parameter, where they are none; what the patcher
// finds not to fit the resource has status 422.
func parseFHIRPathPatch(typ string, raw []byte) (patcher, error) {
	p, err := pathpatch.Parse(raw)
	if err != nil {
		return nil, err
	}
	return func(doc map[string]any) (map[string]any, error) {
		after, err := p.Apply(typ, doc)
		if errors.Is(err, pathpatch.ErrUnfit) {
			return nil, withStatus(http.StatusUnprocessableEntity, err)
		}
		return after, err
	}, nil
}
