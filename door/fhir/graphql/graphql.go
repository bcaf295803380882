// Package graphql answers GraphQL queries over FHIR R4 resources: it reads the
// query, checks every field and argument against the definitions before anything
// is fetched, and walks the documents that a Source hands it. It speaks no HTTP,
// reads no store and changes nothing: a mutation is refused.
//
// Sources: FHIR R4 §3.1.8 "Using GraphQL with FHIR"
// (http://hl7.org/fhir/R4/graphql.html) and the GraphQL specification of October
// 2021. Where the two differ, FHIR's page decides: what a resource does not hold
// is left out rather than null, and a failure answers no data at all.
package graphql

import (
	"context"
	"net/url"
	"sync"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/record"
)

// Bounds of one request. What goes beyond is refused, never cut short.
const (
	MaxQuery     = 64 << 10 // bytes of the query
	MaxTokens    = 10_000   // tokens of the query
	MaxDepth     = 32       // selections inside each other, fragments followed
	MaxFields    = 2_000    // fields and aliases, each fragment counted where it is spread
	MaxSearches  = 500      // lists and connections asked of the source, pages counted one by one
	MaxResources = 2_000    // resources fetched
	MaxValues    = 500_000  // values in the answer
	MaxPage      = 1_000    // resources of one page of a list or a connection
	MaxSkipped   = 20_000   // matches passed over on the way to a previous or last page

	maxDescribed   = 2_000_000 // values that describe the schema, which whole is some ten megabytes
	maxEvaluations = 20_000    // FHIRPath evaluations
	maxSteps       = 200_000   // steps of one of them
	defaultPage    = 50        // resources of a page where _count is not given
)

// Request is one query with what it was sent with.
type Request struct {
	Query     string
	Operation string         // operationName; empty: the only one
	Variables map[string]any // as JSON was read, numbers as json.Number
}

// Parameter is a search parameter of a type.
type Parameter struct {
	Name      string   // as the standard writes it, with hyphens
	Type      string   // token, string, reference …
	Reference bool     // its values are references
	Targets   []string // of a reference: the types it may point at; none: any
}

// Page is one page of a search.
type Page struct {
	Resources []map[string]any // as JSON was read, numbers as json.Number
	Next      string           // the source's own cursor; empty: this is the last
	Total     int64            // -1 where it was not asked for
}

// Search is what a Source is asked for.
type Search struct {
	Type  string
	Query url.Values // as of a REST search, with _count
	After string     // Next of the page before
	Total bool       // also count all matches
	Quiet bool       // the page is passed over, not shown
}

// Source reads for one principal. What he may not see is not there.
type Source interface {
	// Read gives a resource; version is empty for the newest. NotFound where there
	// is none or it is hidden; whatever else a read of the door fails with.
	Read(ctx context.Context, key record.Key, version string) (map[string]any, error)
	// Search gives a page of matches. Invalid, naming the parameter, where a value
	// cannot be read; Forbidden where the type may not be read at all.
	Search(ctx context.Context, s Search) (Page, error)
	// Parameters are those a type is searched by.
	Parameters(typ string) []Parameter
	// Reference reads the literal of a reference: the record it names, and its
	// version where it says one. ok is false for what is not of this server.
	Reference(literal string) (key record.Key, version string, ok bool)
}

// Failure is the error of a query that is not answered.
type Failure struct {
	Line, Column int   // in the query; 0: not known
	Path         []any // response keys and indexes; nil before execution
	Executing    bool  // the query was well formed, and answering it failed
	err          error
}

// Error is the cause's text.
func (f *Failure) Error() string { return f.err.Error() }

// Unwrap gives the cause, an errs.Error.
func (f *Failure) Unwrap() error { return f.err }

// Engine answers queries over one set of definitions. It is safe for concurrent
// use.
type Engine struct {
	schema *schema
	env    fhirpath.Env
	// telling is held while the schema is told: an answer of tens of megabytes is
	// made one at a time.
	telling sync.Mutex
}

// New makes an engine over the types of a model; resources names those that can
// be asked for.
func New(m fhirpath.Model, resources []string) *Engine {
	return &Engine{schema: newSchema(m, resources), env: fhirpath.Env{Model: m, Paths: true, MaxSteps: maxSteps}}
}

// Execute answers a query over all resources, or over the one resource given, and
// returns the JSON of "data". now is the time expressions of FHIRPath see.
//
// The error is a *Failure: Invalid for what is not well formed, not known or a
// mutation; TooLarge beyond a bound; NotFound for a resource asked for by id or
// reference that is not there; and what the source fails with.
func (e *Engine) Execute(ctx context.Context, src Source, now time.Time, req Request, one map[string]any) ([]byte, error) {
	x := &run{engine: e, ctx: ctx, src: src, env: e.env, plans: map[planKey][]*planned{}, documents: map[string]map[string]any{}}
	x.env.Now = now
	op, err := x.prepare(req)
	if err != nil {
		return nil, err
	}
	root, doc := e.schema.query, map[string]any(nil)
	if one != nil {
		name, _ := one["resourceType"].(string)
		if root, doc = e.schema.resource(name), one; root == nil {
			return nil, invalid(nil, "没有资源类型 "+name+"。", "There is no resource type "+name+".")
		}
	}
	if err := x.check(op.SelectionSet, root); err != nil {
		return nil, err
	}
	out := newObject()
	if err := x.object(place{doc: doc, typ: root, holder: &resource{doc: one}}, op.SelectionSet, out); err != nil {
		return nil, x.failed(err)
	}
	return out.append(nil), nil
}

// failed puts the place in the answer to an error of execution.
func (x *run) failed(err error) error {
	f, ok := err.(*Failure)
	if !ok {
		f = &Failure{err: err}
	}
	f.Executing = true
	if f.Path == nil {
		f.Path = append([]any{}, x.path...)
	}
	return f
}

// invalid is the failure for what a query may not say.
func invalid(at *ast.Position, zh, en string) *Failure {
	return failure(at, errs.E(errs.Invalid, "graphql", "", zh, en))
}

func tooLarge(at *ast.Position, zh, en string) *Failure {
	return failure(at, errs.E(errs.TooLarge, "graphql", "", zh, en))
}

func failure(at *ast.Position, err error) *Failure {
	f := &Failure{err: err}
	if at != nil {
		f.Line, f.Column = at.Line, at.Column
	}
	return f
}
