package clinical

import (
	"strings"

	"zhiwei/domain/clinical/fhirpath"
)

// pathExpr is an expression of a search parameter of one's own that the compact
// form of path.go cannot say: the whole of FHIRPath evaluates it.
type pathExpr struct{ expr *fhirpath.Expr }

// pathBranches compiles an expression over resources of a type by the whole of
// FHIRPath, and checks its elements.
func pathBranches(t *typeDef, src string) ([]expr, error) {
	e, err := fhirpath.Compile(src)
	if err != nil {
		return nil, err
	}
	if err := e.Check(FHIRPathModel(), t.name); err != nil {
		return nil, err
	}
	return []expr{pathExpr{e}}, nil
}

func (p pathExpr) String() string { return p.expr.String() }

// eval gives nothing where the evaluation fails: what a resource cannot be found
// by does not keep it from being stored.
func (p pathExpr) eval(in node, out []node) []node {
	doc, ok := in.v.(map[string]any)
	if !ok {
		return out
	}
	m := FHIRPathModel()
	found, err := p.expr.Eval(&fhirpath.Env{Model: m}, fhirpath.Collection{fhirpath.Resource(m, doc)})
	if err != nil {
		return out
	}
	for _, v := range found {
		name := strings.TrimPrefix(v.Type(), "FHIR.")
		out = append(out, node{v.Raw(), r4().byName[name]})
	}
	return out
}
