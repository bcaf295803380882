package clinical

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"

	"zhiwei/domain/clinical/fhirpath"
	"zhiwei/domain/clinical/internal/table"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/search"
)

// SearchParameters of a hospital's own are resources: whoever may write one adds
// a parameter to its base types while its status is active. It is compiled like
// those of R4, and refused until every record of its types is indexed by it (see
// ParameterIndex). What it cannot be compiled from is refused when it is
// written.

// parameterKind is the type that declares search parameters.
const parameterKind = "SearchParameter"

// coreParameters begins the URLs of R4's own parameters.
const coreParameters = "http://hl7.org/fhir/SearchParameter/"

// maxParameters bounds the parameters of one's own.
const maxParameters = 500

// ownParameter is one active SearchParameter, read.
type ownParameter struct {
	id      string
	version int64  // of the resource
	url     string // its canonical name
	code    string
	typ     string
	expr    string
	bases   []string
	targets []string
	parts   []table.Part // of a composite
}

// parameters keeps the search parameters of a hospital's own in effect: in the
// format, which indexes by them, and in the registry, which answers by them.
type parameters struct {
	format *Format
	k      *kernel.Kernel

	mu     sync.Mutex
	active map[string]*ownParameter     // by id
	taken  map[string]map[string]string // type → code → id
}

// attachParameters reads the parameters of k, and again whenever this process
// writes one.
func attachParameters(f *Format, k *kernel.Kernel) *parameters {
	p := &parameters{format: f, k: k}
	k.Watch(parameterKind, p.refresh)
	k.Watch(ParameterIndexKind, p.refresh)
	p.refresh()
	return p
}

// refresh puts into effect what the store says now. What cannot be read stays
// as it was: the loop that builds the indexes asks again.
func (p *parameters) refresh() { _ = p.load(context.Background()) }

func (p *parameters) load(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.k.Registry().Find(ParameterIndexKind) == nil {
		return nil // a house without the clinical module's own kinds
	}
	whole, err := p.whole(ctx)
	if err != nil {
		return err
	}
	active := map[string]*ownParameter{}
	byType := map[string][]*ownParameter{}
	taken := map[string]map[string]string{}
	err = p.each(ctx, parameterKind, search.Clause{Param: "status", Any: []search.Value{{AnySystem: true, Code: "active"}}}, func(id string, version int64, doc map[string]any) {
		own, err := readParameter(p.format.extract, doc)
		if err != nil || own == nil {
			return // written before it was checked, or one of R4's own
		}
		own.id, own.version = id, version
		own.bases = slices.DeleteFunc(own.bases, func(base string) bool { return taken[base][own.code] != "" })
		for _, base := range own.bases {
			byType[base] = append(byType[base], own)
			if taken[base] == nil {
				taken[base] = map[string]string{}
			}
			taken[base][own.code] = id
		}
		if len(own.bases) > 0 {
			active[id] = own
		}
	})
	if err != nil {
		return err
	}
	for base := range p.taken {
		if byType[base] == nil {
			byType[base] = nil // its last one is gone
		}
	}
	for base, list := range byType {
		var unready []string
		for _, own := range list {
			if whole[own.id] != own.version {
				unready = append(unready, own.code)
			}
		}
		params, err := p.format.extract.extend(base, list)
		if err != nil {
			return err
		}
		if err := p.k.Registry().Extend(base, params, unready); err != nil {
			return err
		}
	}
	p.active, p.taken = active, taken
	return nil
}

// whole gives for each parameter the version whose index is whole.
func (p *parameters) whole(ctx context.Context) (map[string]int64, error) {
	out := map[string]int64{}
	err := p.each(ctx, ParameterIndexKind, search.Clause{Param: search.ParamState, Any: []search.Value{{AnySystem: true, Code: indexWhole}}}, func(id string, _ int64, doc map[string]any) {
		if n, ok := doc["of"].(json.Number); ok {
			out[id], _ = n.Int64()
		}
	})
	return out, err
}

// each calls f with every record of a kind that satisfies a clause, by id, so
// that all processes see them in one order.
func (p *parameters) each(ctx context.Context, kindName string, where search.Clause, f func(id string, version int64, doc map[string]any)) error {
	q := search.Query{Kind: kindName, Where: []search.Clause{where}, Sort: []search.Sort{{Param: search.ParamID}}, Limit: maxParameters}
	page, err := p.k.Search(ctx, identity.Root(), q)
	if err != nil {
		return err
	}
	for i := range page.Records {
		r := &page.Records[i]
		dec := json.NewDecoder(strings.NewReader(string(r.Data)))
		dec.UseNumber()
		var doc map[string]any
		if err := dec.Decode(&doc); err != nil {
			return errs.Wrap("search parameters", r.Key.String(), err)
		}
		f(r.ID, r.Version, doc)
	}
	return nil
}

// find gives the active parameter of a SearchParameter; nil where it is in no
// effect.
func (p *parameters) find(id string) *ownParameter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.active[id]
}

// check refuses a SearchParameter that could not come into effect.
func (p *parameters) check(doc map[string]any) error {
	if doc["status"] != "active" {
		return nil
	}
	own, err := readParameter(p.format.extract, doc)
	if err != nil || own == nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, base := range own.bases {
		// A new version of what defines it already bears the same URL.
		if id := p.taken[base][own.code]; id != "" && p.active[id].url != own.url {
			return badDefinition("code", base+" 的参数 "+own.code+" 已由 SearchParameter/"+id+" 定义。", "The parameter "+own.code+" of "+base+" is defined by SearchParameter/"+id+" already.")
		}
	}
	if len(p.active) >= maxParameters {
		return badDefinition("status", "自定义查询参数已达上限，请先停用不再使用的。", "There are as many search parameters of one's own as there may be; retire some first.")
	}
	return nil
}

func badDefinition(element, zh, en string) error {
	return errs.E(errs.Invalid, "search parameter", element, zh, en).At(parameterKind + "." + element)
}

// ownTypes are the types a parameter of one's own may have.
var ownTypes = []string{"number", "date", "string", "token", "reference", "quantity", "uri", "composite"}

// readParameter reads an active SearchParameter and compiles it; nil where it is
// one of R4's own, which are there anyway. Invalid, with the element, where it
// cannot come into effect.
func readParameter(x *extractor, doc map[string]any) (*ownParameter, error) {
	p := &ownParameter{url: str(doc, "url"), code: str(doc, "code"), typ: str(doc, "type"), expr: str(doc, "expression"), targets: texts(doc["target"])}
	core := strings.HasPrefix(str(doc, "url"), coreParameters)
	for _, base := range texts(doc["base"]) {
		if !IsResourceType(base) {
			return nil, badDefinition("base", "查询参数的 base 请写明资源类型，不能是 "+base+"。", "A search parameter names resource types as its base, not "+base+".")
		}
		defined := x.def.param(base, p.code) != nil
		if defined && core {
			continue
		}
		if defined {
			return nil, badDefinition("code", base+" 已有标准参数 "+p.code+"，请另取名称。", base+" has a parameter "+p.code+" in the standard; choose another code.")
		}
		p.bases = append(p.bases, base)
	}
	switch {
	case len(p.bases) == 0:
		return nil, nil
	case !isParameterCode(p.code):
		return nil, badDefinition("code", "参数名应以字母开头，只含字母、数字和连字符。", "A parameter's code begins with a letter and holds letters, digits and hyphens.")
	case !slices.Contains(ownTypes, p.typ):
		return nil, badDefinition("type", "自定义参数的类型只能是 "+strings.Join(ownTypes, "、")+"。", "A search parameter of one's own has one of the types "+strings.Join(ownTypes, ", ")+".")
	case p.expr == "":
		return nil, badDefinition("expression", "查询参数需要 FHIRPath 表达式。", "A search parameter needs a FHIRPath expression.")
	}
	if p.typ == string(kind.CompositeParam) {
		if err := p.readParts(x, doc); err != nil {
			return nil, err
		}
	}
	for _, base := range p.bases {
		if err := p.compiles(x, base); err != nil {
			zh, en := err.Error(), err.Error()
			if e := (*fhirpath.Error)(nil); errors.As(err, &e) {
				zh, en = e.ZH, e.EN
			}
			return nil, badDefinition("expression", "表达式不能用于 "+base+"："+zh, "The expression does not fit "+base+": "+en)
		}
	}
	return p, nil
}

// readParts reads the components of a composite. Each is a parameter that R4
// defines for all of its bases, and an expression below the composite's own.
func (p *ownParameter) readParts(x *extractor, doc map[string]any) error {
	list, _ := doc["component"].([]any)
	for _, item := range list {
		c, _ := item.(map[string]any)
		url := str(c, "definition")
		// R4 names them Type-code, or by what several types share: clinical-code.
		name, core := strings.CutPrefix(url, coreParameters)
		_, code, _ := strings.Cut(name, "-")
		for _, base := range p.bases {
			def := x.def.param(base, code)
			if !core || def == nil || def.Type == string(kind.CompositeParam) || !searchable(def) {
				return badDefinition("component.definition", "组合参数的各部分应是 "+base+" 的标准参数，例如 "+coreParameters+"clinical-code；"+url+" 不是。", "The components of a composite are parameters that the standard defines for "+base+", such as "+coreParameters+"clinical-code; "+url+" is none.")
			}
		}
		p.parts = append(p.parts, table.Part{Code: code, Expr: str(c, "expression")})
	}
	if len(p.parts) < 2 {
		return badDefinition("component", "组合参数至少有两个部分。", "A composite has two components at the least.")
	}
	return nil
}

// compiles tells whether the expression can be read over a type, names only
// elements that are there, and looks at something.
func (p *ownParameter) compiles(x *extractor, base string) error {
	sources := []string{p.expr}
	for _, part := range p.parts {
		sources = append(sources, "("+p.expr+").select("+part.Expr+")")
	}
	for _, src := range sources {
		e, err := fhirpath.Compile(src)
		if err != nil {
			return err
		}
		if err := e.Check(FHIRPathModel(), base); err != nil {
			return err
		}
	}
	l, err := newLayout(x.def, x.def.byName[base], []*ownParameter{p})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(l.params, func(k kind.Param) bool { return k.Name == p.code }) {
		return &fhirpath.Error{ZH: "其中没有属于 " + base + " 的部分", EN: "no part of it looks at " + base}
	}
	return nil
}

func isParameterCode(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// definition is the parameter as the table has those of R4.
func (p *ownParameter) definition() *table.Param {
	return &table.Param{Code: p.code, Type: p.typ, Bases: p.bases, Expr: p.expr, Parts: p.parts}
}

// extend puts parameters beside those of R4 and gives their declarations.
func (x *extractor) extend(typ string, own []*ownParameter) ([]kind.Param, error) {
	t := x.def.byName[typ]
	l, err := newLayout(x.def, t, own)
	if err != nil {
		return nil, errs.Wrap("search parameters", typ, err)
	}
	x.mu.Lock()
	x.layouts[typ] = l
	x.mu.Unlock()
	var out []kind.Param
	for _, p := range own {
		for _, k := range l.params {
			if k.Name == p.code {
				out = append(out, k)
			}
		}
	}
	return out, nil
}
