package clinical

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"zhiwei/domain/clinical/internal/table"
	"zhiwei/kernel/errs"
)

// The severities of an Issue: http://hl7.org/fhir/R4/valueset-issue-severity.html.
// Only an error refuses a write.
const (
	SeverityError       = "error"
	SeverityWarning     = "warning"
	SeverityInformation = "information"
)

// Issue is one thing that validation found.
type Issue struct {
	Severity   string // one of the severities above
	Code       string // IssueType: structure, required, value, code-invalid, invariant, not-found, informational …
	Expression string // FHIRPath of the element, from the resource type: Patient.name[0].family
	Key        string // of the invariant that does not hold, e.g. obs-6; else empty
	ZH, EN     string // a sentence for a person
}

// maxIssues bounds what is said about one resource; who has a hundred faults to
// mend is not helped by more.
const maxIssues = 100

// Rejection is the error of a document that is refused, with everything that is
// wrong with it. It is an errs.Error of the kind Invalid that tells the first
// issue.
type Rejection struct {
	Issues []Issue // at least one; the first error first
	// Rules says that the document is a resource of R4 and breaks rules about it:
	// invariants, bindings, profiles. Where it is not set, it is no such resource.
	Rules bool

	first *errs.Error
}

// Error renders the first issue for the log.
func (r *Rejection) Error() string { return r.first.Error() }

// Unwrap returns the first issue as an errs.Error.
func (r *Rejection) Unwrap() error { return r.first }

// reject makes the error of the first issue that is an error; nil where there is
// none.
func reject(op, typeName string, issues []Issue, rules bool) error {
	for i := range issues {
		if x := &issues[i]; x.Severity == SeverityError {
			return &Rejection{Issues: issues, Rules: rules, first: errs.E(errs.Invalid, op, typeName, x.ZH, x.EN).At(x.Expression)}
		}
	}
	return nil
}

// fault is what is wrong and where; the path is put together from the inside
// out on the way back, so that a good document pays nothing for it.
type fault struct {
	path []string // innermost first
	zh   string
	en   string
	code string // IssueType; empty: structure
	key  string // of the invariant; empty: none
}

func bad(zh, en string) *fault { return &fault{zh: zh, en: en} }

func (f *fault) in(segment string) *fault {
	f.path = append(f.path, segment)
	return f
}

// as says what type of issue f is.
func (f *fault) as(code string) *fault {
	f.code = code
	return f
}

// of says which invariant f is about.
func (f *fault) of(key string) *fault {
	f.code, f.key = "invariant", key
	return f
}

// at is the FHIRPath of the failing element.
func (f *fault) at(root string) string {
	var b strings.Builder
	b.WriteString(root)
	for i := len(f.path) - 1; i >= 0; i-- {
		s := f.path[i]
		if !strings.HasPrefix(s, "[") && b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s)
	}
	return b.String()
}

func (f *fault) issue(root string) Issue {
	code := f.code
	if code == "" {
		code = "structure"
	}
	return Issue{Severity: SeverityError, Code: code, Expression: f.at(root), Key: f.key, ZH: f.zh, EN: f.en}
}

// all reads a resource that was refused once more, passing over what is wrong,
// and gives everything that is. first is why it was refused. Where raw is not
// JSON there is nothing to go on with.
func (r *reader) all(t *typeDef, raw []byte, first *fault) []*fault {
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return []*fault{first}
	}
	again := &reader{def: r.def, src: r.src, collect: true}
	if _, f := again.root(t, raw); f != nil && len(again.faults) < maxIssues {
		again.faults = append(again.faults, f)
	}
	if len(again.faults) == 0 {
		return []*fault{first}
	}
	return again.faults
}

// refuse makes the error of what the reader found.
func refuse(typeName string, faults []*fault) error {
	issues := make([]Issue, len(faults))
	for i, f := range faults {
		issues[i] = f.issue(typeName)
	}
	return reject("read", typeName, issues, false)
}

// pass notes a fault and moves behind the value that begins at from. It is false
// where the reader must stop.
func (r *reader) pass(f *fault, from int) bool {
	if !r.collect || len(r.faults) == maxIssues {
		return false
	}
	r.at = from
	if r.skip() != nil {
		return false
	}
	r.faults = append(r.faults, f)
	return true
}

// keep notes a fault of an object that was read to its end, or gives it back
// where the reader must stop.
func (r *reader) keep(f *fault) *fault {
	if !r.collect || len(r.faults) == maxIssues {
		return f
	}
	r.faults = append(r.faults, f)
	return nil
}

// within puts a segment in front of the paths of the faults after the first n.
func (r *reader) within(n int, segment string) {
	for _, f := range r.faults[n:] {
		f.in(segment)
	}
}

// isPrimitive tells whether the property is of a primitive type.
func (p *property) isPrimitive() bool { return p.typ != nil && p.typ.class == table.Primitive }
