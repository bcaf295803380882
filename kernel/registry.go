package kernel

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/lifecycle"
	"zhiwei/kernel/search"
	"zhiwei/kernel/shape"
	"zhiwei/kernel/store"
)

// Format is a foreign shape: how its documents are read, checked and indexed.
// The native format of kinds with Fields is shape.Format.
type Format interface {
	// Parse checks raw against the kind's shape and returns the document (numbers
	// as json.Number) and the canonical bytes to store. Invalid with the failing
	// path.
	Parse(k *kind.Kind, raw []byte) (doc map[string]any, canonical []byte, err error)
	// Index gives what the document is found by, references included.
	Index(k *kind.Kind, doc map[string]any) (search.Index, error)
	// Encode gives the canonical bytes of a document changed by a verb.
	Encode(k *kind.Kind, doc map[string]any) ([]byte, error)
}

var _ Format = shape.Format{}

// Validator holds the rules beyond their shape that documents follow: of a Format
// that is one too, or of one kind (see Registry.Rules). They may grow stricter while
// records stand, so that they are asked of what is written and never of what is
// read or indexed again.
type Validator interface {
	// Validate checks a document that Parse gave, before its transaction. Invalid
	// with the failing path.
	Validate(ctx context.Context, k *kind.Kind, doc map[string]any) error
}

// Attacher is a Format that judges documents by records of its kernel, such as
// profiles. Attach is called once, when the kernel is open; it must not write.
type Attacher interface {
	Attach(k *Kernel)
}

// Registry collects what is declared. Declare everything before Open.
type Registry struct {
	mu       sync.RWMutex
	kinds    map[string]*kind.Kind
	plurals  map[string]*kind.Kind
	formats  map[string]Format
	rules    map[string]Validator // by kind
	relation *kind.Relation
	privacy  kind.Privacy
	unready  map[string]map[string]bool // kind → parameters whose index is not whole

	extensions map[string]extension // by kind
	generation int64
}

// NewRegistry gives a registry that holds the kernel's own kinds.
func NewRegistry() *Registry {
	r := &Registry{
		kinds: map[string]*kind.Kind{}, plurals: map[string]*kind.Kind{},
		formats: map[string]Format{"": shape.Format{}}, unready: map[string]map[string]bool{},
	}
	for _, k := range systemKinds() {
		if err := r.Kind(k); err != nil {
			panic(err) // the kernel's own declarations are wrong
		}
	}
	return r
}

// Kind declares a kind. It fails with Invalid where the declaration is wrong,
// Conflict where the name or the plural is taken.
func (r *Registry) Kind(k kind.Kind) error {
	if !validName(k.Name) || k.Plural == "" || strings.ContainsAny(k.Plural, "/?# ") {
		return errs.E(errs.Invalid, "declare", k.Name, "类别需要由字母、数字和连字符组成的名称，以及一个路径名（复数）。", "A kind needs a name of letters, digits and hyphens, and a plural for its path.")
	}
	if k.Title.ZH == "" || k.Title.EN == "" {
		return errs.E(errs.Invalid, "declare", k.Name, "类别 "+k.Name+" 需要中文和英文名称。", "The kind "+k.Name+" needs a title in Chinese and English.")
	}
	if k.Format == "" {
		if err := checkFields(&k); err != nil {
			return err
		}
	}
	if err := lifecycle.Validate(&k); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kinds[k.Name] != nil || r.plurals[k.Plural] != nil {
		return errs.E(errs.Conflict, "declare", k.Name, "名称 "+k.Name+" 或 "+k.Plural+" 已被占用。", "The name "+k.Name+" or "+k.Plural+" is taken.")
	}
	r.kinds[k.Name], r.plurals[k.Plural] = &k, &k
	return nil
}

func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

// checkFields finds paths that name no field: a parameter that never finds
// anything is a mistake of the author, not of the user.
func checkFields(k *kind.Kind) error {
	missing := func(what, path string) error {
		return errs.E(errs.Invalid, "declare", k.Name, fmt.Sprintf("类别 %s 的%s指向不存在的字段 %s。", k.Name, what, path), fmt.Sprintf("In the kind %s, %s points to the field %s, which is not declared.", k.Name, what, path))
	}
	has := func(path string) bool { return path == "" || strings.HasPrefix(path, "@") || fieldAt(k.Fields, path) }
	for _, p := range k.Search {
		if !has(p.Path) {
			return missing("查询参数 search parameter "+p.Name, p.Path)
		}
	}
	for what, path := range map[string]string{"org": k.Place.Org, "dept": k.Place.Dept, "owner": k.Place.Owner, "subject": k.Place.Subject} {
		if !has(path) {
			return missing("位置 place "+what, path)
		}
	}
	for _, c := range k.View.Columns {
		if c != "state" && c != "updatedAt" && c != "createdAt" && !has(c) {
			return missing("列 column", c)
		}
	}
	for _, f := range k.View.Filters {
		if _, ok := search.Builtin(f); !ok && k.Param(f) == nil {
			return missing("筛选 filter", f)
		}
	}
	if s := strings.TrimPrefix(k.View.Sort, "-"); s != "" && k.Param(s) == nil {
		if _, ok := search.Builtin(s); !ok {
			return missing("排序 sort", s)
		}
	}
	return nil
}

func fieldAt(decl []kind.Field, path string) bool {
	name, rest, deep := strings.Cut(path, ".")
	for _, f := range decl {
		if f.Name == name {
			return !deep || f.Type == kind.Any || f.Type == kind.Quantity || f.Type == kind.Object && fieldAt(f.Fields, rest)
		}
	}
	return false
}

// Format declares a foreign shape under the name kinds use.
func (r *Registry) Format(name string, f Format) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.formats[name] = f
}

// Rules declares what the documents of a kind follow beyond its fields. There is
// one Validator of a kind.
func (r *Registry) Rules(kindName string, v Validator) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rules == nil {
		r.rules = map[string]Validator{}
	}
	r.rules[kindName] = v
}

// validate asks the rules of a document's format and kind.
func (r *Registry) validate(ctx context.Context, k *kind.Kind, f Format, doc map[string]any) error {
	if v, ok := f.(Validator); ok {
		if err := v.Validate(ctx, k, doc); err != nil {
			return err
		}
	}
	r.mu.RLock()
	v := r.rules[k.Name]
	r.mu.RUnlock()
	if v == nil {
		return nil
	}
	return v.Validate(ctx, k, doc)
}

// attach gives the formats their kernel.
func (r *Registry) attach(k *Kernel) {
	r.mu.RLock()
	formats := maps.Clone(r.formats)
	r.mu.RUnlock()
	for _, f := range formats {
		if a, ok := f.(Attacher); ok {
			a.Attach(k)
		}
	}
}

// Relation declares what "treating" means. There is one in a house.
func (r *Registry) Relation(rel kind.Relation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.relation = &rel
}

// Privacy declares what stands against the grants. There is one in a house.
func (r *Registry) Privacy(p kind.Privacy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.privacy = p
}

// Find gives a kind by name; nil where there is none.
func (r *Registry) Find(name string) *kind.Kind {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.kinds[name]
}

// ByPlural gives a kind by the path under /api; nil where there is none.
func (r *Registry) ByPlural(plural string) *kind.Kind {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.plurals[plural]
}

// Kinds lists all kinds by name.
func (r *Registry) Kinds() []*kind.Kind {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]*kind.Kind, 0, len(r.kinds))
	for _, k := range r.kinds {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b *kind.Kind) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (r *Registry) format(k *kind.Kind) (Format, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if f := r.formats[k.Format]; f != nil {
		return f, nil
	}
	return nil, errs.E(errs.Internal, "format", k.Format, "缺少格式 "+k.Format+"。", "The format "+k.Format+" is missing.")
}

// Param implements store.Defs.
func (r *Registry) Param(kindName, name string) (store.Param, bool) {
	if b, ok := search.Builtin(name); ok {
		return store.Param{Type: string(b.Type)}, true
	}
	k := r.Find(kindName)
	if k == nil {
		return store.Param{}, false
	}
	p := k.Param(name)
	if p == nil {
		if name == shape.AnyRef {
			return store.Param{Type: string(kind.ReferenceParam)}, true
		}
		return partParam(k, name)
	}
	out := store.Param{Type: string(p.Type), Over: p.Over}
	if p.Only {
		out.Only = p.To
	}
	for i := range p.Parts {
		over := p.Parts[i].Over
		if len(over) == 0 {
			over = []string{shape.PartName(p.Name, i)}
		}
		out.Parts = append(out.Parts, over)
		out.PartTypes = append(out.PartTypes, string(p.Parts[i].Type))
	}
	return out, true
}

// partParam resolves the index name of one part of a composite.
func partParam(k *kind.Kind, name string) (store.Param, bool) {
	base, _, ok := strings.Cut(name, "#")
	if p := k.Param(base); ok && p != nil {
		for i := range p.Parts {
			if shape.PartName(base, i) == name {
				return store.Param{Type: string(p.Parts[i].Type)}, true
			}
		}
	}
	return store.Param{}, false
}

// About implements store.Defs: the name under which what Place.Subject names is
// kept, where some reference parameter looks at just that.
func (r *Registry) About(kindName string) string {
	k := r.Find(kindName)
	if k == nil || k.Place.Subject == "" {
		return ""
	}
	for i := range k.Search {
		p := &k.Search[i]
		if p.Type != kind.ReferenceParam {
			continue
		}
		if slices.Contains(p.Over, k.Place.Subject) {
			return k.Place.Subject
		}
		if len(p.Over) == 0 && p.Path == k.Place.Subject {
			return p.Name
		}
	}
	return ""
}

// Ready implements store.Defs: false while a changed parameter is being indexed.
func (r *Registry) Ready(kindName, name string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return !r.unready[kindName][name] && !slices.Contains(r.extensions[kindName].unready, name)
}

func (r *Registry) setUnready(kindName string, params map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(params) == 0 {
		delete(r.unready, kindName)
		return
	}
	r.unready[kindName] = params
}

var _ store.Defs = (*Registry)(nil)
