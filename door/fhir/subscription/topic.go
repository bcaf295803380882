package subscription

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// topic says which writes are events.
type topic struct {
	url      string
	triggers []trigger
}

// trigger is one way for a write to be an event.
// Source: FHIR R5 SubscriptionTopic.resourceTrigger.
type trigger struct {
	kind                   string // "": any type
	create, update, delete bool
	query                  *queryCriteria // nil: not asked
	path                   *fhirpath.Expr // over %previous and %current; nil: not asked. Not read where query is there: they say the same twice
}

// queryCriteria compare a version with the one before.
// Source: FHIR R5 SubscriptionTopic.resourceTrigger.queryCriteria.
type queryCriteria struct {
	previous, current       []search.Clause
	hasPrevious, hasCurrent bool
	createPasses            bool // resultForCreate: the test of the version before, where there is none
	deletePasses            bool // resultForDelete: the test of the version after
	both                    bool
}

// concerns tells whether writes of a type can be events of the topic.
func (t *topic) concerns(typ string) bool {
	return slices.ContainsFunc(t.triggers, func(g trigger) bool { return g.kind == "" || g.kind == typ })
}

// kinds lists the types of the topic; none means every type.
func (t *topic) kinds() []string {
	var out []string
	for _, g := range t.triggers {
		if g.kind == "" {
			return nil
		}
		if !slices.Contains(out, g.kind) {
			out = append(out, g.kind)
		}
	}
	return out
}

// BuiltIn is the prefix of the topics every installation has:
//
//	urn:zhiwei:topic:<Type>:create   a resource of the type was created
//	urn:zhiwei:topic:<Type>:update   … changed
//	urn:zhiwei:topic:<Type>:delete   … deleted
//	urn:zhiwei:topic:<Type>:change   any of the three; <Type> may be "any"
//	urn:zhiwei:topic:encounter-start an Encounter came to be in progress
//	urn:zhiwei:topic:encounter-end   an Encounter came to be finished
const BuiltIn = "urn:zhiwei:topic:"

// topics knows the topics of this installation: those built in, and those that
// stand as Basic resources in the form the Backport gives SubscriptionTopic in
// R4.
type topics struct {
	kernel   *kernel.Kernel
	protocol Protocol

	mu    sync.Mutex
	byURL map[string]*topic // of Basic resources; nil: to be read
}

// forget is called when a Basic changed.
func (s *topics) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byURL = nil
}

// find gives the topic of a canonical URL, with or without "|version". Invalid
// where there is none.
func (s *topics) find(canonical string) (*topic, error) {
	url, _, _ := strings.Cut(canonical, "|")
	if name, ok := strings.CutPrefix(url, BuiltIn); ok {
		if t := builtIn(url, name); t != nil {
			return t, nil
		}
	} else {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.byURL == nil {
			if err := s.load(context.Background()); err != nil {
				return nil, err
			}
		}
		if t := s.byURL[url]; t != nil {
			return t, nil
		}
	}
	return nil, wrong("Subscription.criteria",
		"“"+canonical+"”既不是“类型?条件”形式的查询，也不是已知主题的地址；内置主题形如 "+BuiltIn+"Observation:change。",
		"“"+canonical+"” is neither a query like Observation?code=… nor the URL of a topic that is known; those built in look like "+BuiltIn+"Observation:change.")
}

func builtIn(url, name string) *topic {
	became := func(status string) *topic {
		is := []search.Clause{{Param: "status", Any: []search.Value{{AnySystem: true, Code: status}}}}
		was := slices.Clone(is)
		was[0].Not = true
		return &topic{url: url, triggers: []trigger{{kind: "Encounter", create: true, update: true, query: &queryCriteria{
			previous: was, current: is, hasPrevious: true, hasCurrent: true, createPasses: true, both: true,
		}}}}
	}
	switch name {
	case "encounter-start":
		return became("in-progress")
	case "encounter-end":
		return became("finished")
	}
	typ, what, _ := strings.Cut(name, ":")
	g := trigger{kind: typ, create: what == "create" || what == "change", update: what == "update" || what == "change", delete: what == "delete" || what == "change"}
	if typ == "any" {
		g.kind = ""
	} else if !clinical.IsResourceType(typ) {
		return nil
	}
	if !g.create && !g.update && !g.delete {
		return nil
	}
	return &topic{url: url, triggers: []trigger{g}}
}

// Where the parts of a SubscriptionTopic stand in a Basic: cross-version
// extensions of R5 or R4B, and the code that says what the Basic is.
// Source: Subscriptions R5 Backport 1.1.0, "Topics in FHIR R4"; R5
// versions.html#extensions.
const topicCode = "SubscriptionTopic"

// element gives the extension of an element of SubscriptionTopic, whichever
// release's URL it carries.
func element(list []extension, name string) []extension {
	var out []extension
	for _, x := range list {
		for _, release := range []string{"5.0", "4.3"} {
			if x.URL == "http://hl7.org/fhir/"+release+"/StructureDefinition/extension-SubscriptionTopic."+name {
				out = append(out, x)
			}
		}
	}
	return out
}

// load reads the topics among the Basic resources. One that is wrong is left
// out; who subscribes to it is told that it is not known.
func (s *topics) load(ctx context.Context) error {
	s.byURL = map[string]*topic{}
	code := search.Clause{Param: "code", Any: []search.Value{{AnySystem: true, Code: topicCode}}}
	q := search.Query{Kind: "Basic", Where: []search.Clause{code}, Limit: 1000}
	for {
		page, err := s.kernel.Store().Search(ctx, s.kernel.View(identity.Root()), q)
		if err != nil {
			s.byURL = nil
			return err
		}
		for i := range page.Records {
			if t, err := s.read(&page.Records[i]); err == nil {
				s.byURL[t.url] = t
			}
		}
		if q.After = page.Next; q.After == "" {
			return nil
		}
	}
}

// read reads a topic from a Basic. Invalid where a part of it is not known: an
// event must not be told, or kept back, by half of its rule.
func (s *topics) read(r *record.Record) (*topic, error) {
	var in struct {
		Extension []extension `json:"extension"`
		Modifier  []extension `json:"modifierExtension"`
	}
	if err := json.Unmarshal(r.Data, &in); err != nil {
		return nil, errs.Wrap("topic", r.Key.String(), err)
	}
	t := &topic{}
	for _, x := range element(in.Extension, "url") {
		t.url = x.URI
	}
	if t.url == "" {
		return nil, wrong("Basic.extension", "主题缺少地址（url）。", "The topic has no url.")
	}
	for _, x := range element(in.Modifier, "status") {
		if x.Code == "retired" {
			return nil, wrong("Basic.modifierExtension", "主题 "+t.url+" 已停用。", "The topic "+t.url+" is retired.")
		}
	}
	if len(element(in.Extension, "eventTrigger")) > 0 {
		return nil, wrong("Basic.extension", "不支持 eventTrigger。", "eventTrigger is not supported.")
	}
	for _, x := range element(in.Extension, "resourceTrigger") {
		g, err := s.readTrigger(x.Extension)
		if err != nil {
			return nil, err
		}
		t.triggers = append(t.triggers, g)
	}
	if len(t.triggers) == 0 {
		return nil, wrong("Basic.extension", "主题没有 resourceTrigger。", "The topic has no resourceTrigger.")
	}
	return t, nil
}

func (s *topics) readTrigger(list []extension) (g trigger, err error) {
	for _, x := range list {
		switch x.URL {
		case "description":
		case "resource":
			g.kind = strings.TrimPrefix(x.URI, "http://hl7.org/fhir/StructureDefinition/")
			if !clinical.IsResourceType(g.kind) {
				return g, wrong("Basic.extension", x.URI+" 不是 R4 的资源类型。", x.URI+" is no resource type of R4.")
			}
		case "supportedInteraction":
			switch x.Code {
			case "create":
				g.create = true
			case "update":
				g.update = true
			case "delete":
				g.delete = true
			default:
				return g, wrong("Basic.extension", "不支持的交互 "+x.Code+"。", "The interaction "+x.Code+" is not supported.")
			}
		case "queryCriteria", "fhirPathCriteria":
		default:
			return g, wrong("Basic.extension", "不认识 resourceTrigger 的成分 "+x.URL+"。", "resourceTrigger has no part "+x.URL+".")
		}
	}
	if g.kind == "" {
		return g, wrong("Basic.extension", "resourceTrigger 缺少 resource。", "resourceTrigger names no resource.")
	}
	if !g.create && !g.update && !g.delete { // R5: none listed means any
		g.create, g.update, g.delete = true, true, true
	}
	if query := find(list, "queryCriteria"); query != nil {
		g.query, err = s.readQuery(g.kind, query.Extension)
		return g, err
	}
	if x := find(list, "fhirPathCriteria"); x != nil {
		if g.path, err = fhirpath.Compile(x.String); err != nil {
			return g, wrongPath(err)
		}
	}
	return g, nil
}

// wrongPath says what is wrong with a topic's FHIRPath, or with what it met.
func wrongPath(err error) error {
	zh, en := err.Error(), err.Error()
	if e := (*fhirpath.Error)(nil); errors.As(err, &e) {
		zh, en = e.ZH, e.EN
	}
	return wrong("Basic.extension", "主题的 FHIRPath 表达式有误："+zh, "The topic's FHIRPath expression is wrong: "+en)
}

// holds evaluates FHIRPath criteria: true alone is true, nothing is not. A
// version that is not there is an empty collection.
func (g *trigger) holds(now time.Time, before, after *kernel.Indexed) (bool, error) {
	model := clinical.FHIRPathModel()
	env := &fhirpath.Env{Model: model, Now: now, Vars: map[string]fhirpath.Collection{"previous": {}, "current": {}}}
	var focus fhirpath.Collection
	for name, v := range map[string]*kernel.Indexed{"previous": before, "current": after} {
		if v == nil {
			continue
		}
		doc := maps.Clone(v.Doc)
		doc["resourceType"], doc["id"] = v.Kind, v.ID
		if channel, ok := doc["channel"].(map[string]any); ok && v.Kind == Kind {
			// An expression that looked at another's secret would tell it bit by bit.
			channel = maps.Clone(channel)
			delete(channel, "header")
			doc["channel"] = channel
		}
		env.Vars[name] = fhirpath.Collection{fhirpath.Resource(model, doc)}
		if focus == nil || name == "current" {
			focus = env.Vars[name]
		}
	}
	out, err := g.path.Eval(env, focus)
	if err != nil {
		return false, wrongPath(err)
	}
	return len(out) == 1 && out[0].Raw() == true, nil
}

func (s *topics) readQuery(typ string, list []extension) (*queryCriteria, error) {
	q := &queryCriteria{}
	for _, x := range list {
		var err error
		switch x.URL {
		case "previous":
			q.hasPrevious = true
			q.previous, err = s.protocol.Criteria(typ, strings.TrimPrefix(x.String, typ+"?"))
		case "current":
			q.hasCurrent = true
			q.current, err = s.protocol.Criteria(typ, strings.TrimPrefix(x.String, typ+"?"))
		case "resultForCreate":
			q.createPasses = x.Code == "test-passes"
		case "resultForDelete":
			q.deletePasses = x.Code == "test-passes"
		case "requireBoth":
			q.both = x.Boolean != nil && *x.Boolean
		default:
			err = wrong("Basic.extension", "不认识 queryCriteria 的成分 "+x.URL+"。", "queryCriteria has no part "+x.URL+".")
		}
		if err != nil {
			return nil, err
		}
	}
	return q, nil
}

// fires tells whether a change is an event by its trigger's criteria. before and
// after test a version's clauses; ok is false where there is no such version.
func (q *queryCriteria) fires(before, after func([]search.Clause) (holds, there bool, err error)) (bool, error) {
	if q == nil {
		return true, nil
	}
	test := func(given bool, clauses []search.Clause, of func([]search.Clause) (bool, bool, error), absent bool) (bool, error) {
		if !given {
			return q.both, nil // what is not asked stands in the way of nothing
		}
		holds, there, err := of(clauses)
		if err != nil || there {
			return holds, err
		}
		return absent, nil
	}
	was, err := test(q.hasPrevious, q.previous, before, q.createPasses)
	if err != nil {
		return false, err
	}
	is, err := test(q.hasCurrent, q.current, after, q.deletePasses)
	if err != nil {
		return false, err
	}
	if !q.hasPrevious && !q.hasCurrent {
		return true, nil
	}
	if q.both {
		return was && is, nil
	}
	return was || is, nil
}
