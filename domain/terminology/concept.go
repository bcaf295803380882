package terminology

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"zhiwei/kernel/app"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/shape"
)

// ConceptKind is the kind of the concepts of imported code systems. A system of
// hundreds of thousands of codes would be one resource of tens of megabytes;
// so its CodeSystem says content "not-present", and each concept is a record.
const ConceptKind = "concept"

// conceptFormat is the name under which the kind asks for its Format.
const conceptFormat = "concept"

// RoleTerminologist keeps code systems and their concepts.
const RoleTerminologist = "terminologist"

// What concepts are searched by.
const (
	paramCode     = "code"     // token: system|code
	paramSystem   = "system"   // uri
	paramParent   = "parent"   // token: system|code of each code directly above
	paramAncestor = "ancestor" // token: system|code of each code above, and of the concept itself
	paramName     = "name"     // words: code, display and other names
	paramProperty = "property" // token: system#property|value
	paramInactive = "inactive" // token
	paramVersion  = "version"  // token
)

// Module brings the concepts of imported code systems into a house.
type Module struct{}

var _ app.Module = Module{}

// Register implements app.Module.
func (Module) Register(r *app.Registrar) error {
	r.Format(conceptFormat, format{})
	r.Kind(Concepts())
	return nil
}

// Concepts declares the kind of imported concepts. What everybody codes with,
// everybody may read.
func Concepts() kind.Kind {
	T := kind.T
	return kind.Kind{
		Name: ConceptKind, Plural: "concepts", Format: conceptFormat,
		Title: T("编码概念", "Concept"),
		Help:  T("导入的代码系统中的一个代码，及其名称和上下级。", "One code of an imported code system, with its names and its place in the hierarchy."),
		Fields: []kind.Field{
			{Name: "system", Type: kind.String, Title: T("代码系统", "System"), Required: true},
			{Name: "code", Type: kind.String, Title: T("代码", "Code"), Required: true},
			{Name: "display", Type: kind.String, Title: T("名称", "Display")},
			{Name: "definition", Type: kind.Markdown, Title: T("定义", "Definition")},
			{Name: "version", Type: kind.String, Title: T("系统版本", "Version of the system"), Help: T("最近一次含有此代码的版本", "the newest version that has the code")},
			{Name: "inactive", Type: kind.Bool, Title: T("已停用", "Inactive")},
			{Name: "abstract", Type: kind.Bool, Title: T("仅作分组", "Abstract")},
			{Name: "parents", Type: kind.String, Many: true, Title: T("上级代码", "Parents")},
			{Name: "ancestors", Type: kind.String, Many: true, Title: T("所有上级代码", "Ancestors"), Help: T("由导入算出", "worked out by the import")},
			{Name: "designations", Type: kind.Object, Many: true, Title: T("其他名称", "Designations"), Fields: []kind.Field{
				{Name: "language", Type: kind.String, Title: T("语言", "Language")},
				{Name: "use", Type: kind.String, Title: T("用途", "Use"), Help: T("系统|代码", "system|code")},
				{Name: "value", Type: kind.String, Title: T("名称", "Name"), Required: true},
			}},
			{Name: "properties", Type: kind.Object, Many: true, Title: T("属性", "Properties"), Fields: []kind.Field{
				{Name: "code", Type: kind.String, Title: T("属性", "Property"), Required: true},
				{Name: "type", Type: kind.String, Title: T("类型", "Type"), Default: "string"},
				{Name: "value", Type: kind.String, Title: T("值", "Value"), Required: true},
			}},
		},
		Search: []kind.Param{
			{Name: paramCode, Type: kind.TokenParam, Path: "code"},
			{Name: paramSystem, Type: kind.URIParam, Path: "system"},
			{Name: paramParent, Type: kind.TokenParam, Path: "parents", Title: T("上级代码", "Parent")},
			{Name: paramAncestor, Type: kind.TokenParam, Path: "ancestors", Title: T("所属上级（含自身）", "At or below")},
			{Name: paramName, Type: kind.WordsParam, Path: "display", Title: T("名称", "Name")},
			{Name: paramProperty, Type: kind.TokenParam, Path: "properties", Title: T("属性", "Property")},
			{Name: paramInactive, Type: kind.TokenParam, Path: "inactive", Title: T("已停用", "Inactive")},
			{Name: paramVersion, Type: kind.TokenParam, Path: "version", Title: T("系统版本", "Version")},
		},
		Access: []kind.Grant{
			{Role: RoleTerminologist, Can: []string{"*", "import"}},
			{Role: "clinical-admin", Can: []string{"*", "import"}},
			{Role: "*", Can: []string{"read"}},
		},
		View: kind.View{
			TitleField: "display", Columns: []string{"code", "display", "system", "inactive", "updatedAt"},
			Filters: []string{paramName, paramCode, paramSystem, paramAncestor}, Sort: paramCode, Menu: "clinical", Icon: "Collection", Order: 220,
		},
	}
}

// conceptData is a concept as its record holds it.
type conceptData struct {
	System       string                `json:"system"`
	Code         string                `json:"code"`
	Display      string                `json:"display,omitempty"`
	Definition   string                `json:"definition,omitempty"`
	Version      string                `json:"version,omitempty"`
	Inactive     bool                  `json:"inactive,omitempty"`
	Abstract     bool                  `json:"abstract,omitempty"`
	Parents      []string              `json:"parents,omitempty"`
	Ancestors    []string              `json:"ancestors,omitempty"`
	Designations []ImportedDesignation `json:"designations,omitempty"`
	Properties   []ImportedProperty    `json:"properties,omitempty"`
}

// ImportedDesignation is another name of an Imported concept. Use is
// system|code.
type ImportedDesignation struct {
	Language string `json:"language,omitempty"`
	Use      string `json:"use,omitempty"`
	Value    string `json:"value"`
}

// ImportedProperty is a property of an Imported concept.
type ImportedProperty struct {
	Code  string `json:"code"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

func (d *conceptData) concept() *Concept {
	c := &Concept{
		Code: d.Code, Display: d.Display, Definition: d.Definition, Inactive: d.Inactive, Abstract: d.Abstract,
		Parents: d.Parents, Ancestors: d.Ancestors,
	}
	for _, n := range d.Designations {
		system, code := canonical(n.Use)
		c.Designations = append(c.Designations, Designation{Language: n.Language, Use: Coding{System: system, Code: code}, Value: n.Value})
	}
	for _, p := range d.Properties {
		c.Properties = append(c.Properties, Property(p))
	}
	return c
}

// NewImported gives a concept the form in which it is imported. System and
// version are set by the import.
func NewImported(c *Concept) *Imported {
	d := &conceptData{
		Code: c.Code, Display: c.Display, Definition: c.Definition, Inactive: c.Inactive, Abstract: c.Abstract,
		Parents: c.Parents, Ancestors: c.Ancestors,
	}
	for _, n := range c.Designations {
		use := ""
		if n.Use.Code != "" {
			use = n.Use.System + "|" + n.Use.Code
		}
		d.Designations = append(d.Designations, ImportedDesignation{n.Language, use, n.Value})
	}
	for _, p := range c.Properties {
		d.Properties = append(d.Properties, ImportedProperty(p))
	}
	return d
}

// conceptKey is the record of a concept: its id is derived from system and code,
// so that importing again finds it. Codes that an id can hold stand in it as
// they are.
func conceptKey(system, code string) record.Key {
	sum := sha256.Sum256([]byte(system))
	id := hex.EncodeToString(sum[:6])
	if plain := id + "." + code; code != "" && record.ValidID(plain) {
		return record.Key{Kind: ConceptKind, ID: plain}
	}
	sum = sha256.Sum256([]byte(code))
	return record.Key{Kind: ConceptKind, ID: id + "-" + hex.EncodeToString(sum[:20])}
}

// format is the native shape with an index of its own: codes stand in their
// system, and a concept is found below everything above it.
type format struct{ shape.Format }

// Index takes what a concept is found by.
func (format) Index(_ *kind.Kind, doc map[string]any) (search.Index, error) {
	raw, err := json.Marshal(doc)
	if err != nil {
		return search.Index{}, err
	}
	var d conceptData
	if err := json.Unmarshal(raw, &d); err != nil {
		return search.Index{}, err
	}
	return d.index(), nil
}

func (d *conceptData) index() search.Index {
	var ix search.Index
	token := func(param, system, code string) {
		t := search.Token{Param: param, System: system, Code: code}
		if code != "" && !slices.Contains(ix.Tokens, t) {
			ix.Tokens = append(ix.Tokens, t)
		}
	}
	token(paramCode, d.System, d.Code)
	token(paramSystem, "", d.System)
	token(paramVersion, "", d.Version)
	token(paramAncestor, d.System, d.Code)
	for _, c := range d.Ancestors {
		token(paramAncestor, d.System, c)
	}
	for _, c := range d.Parents {
		token(paramParent, d.System, c)
	}
	for _, p := range d.Properties {
		token(paramProperty, d.System+"#"+p.Code, p.Value)
	}
	if d.Inactive {
		token(paramInactive, "", "true")
	}
	ix.Texts = d.names()
	return ix
}

// names are the texts a concept is found by: its code and all it is called.
func (d *conceptData) names() []search.Text {
	list := []string{d.Code, d.Display}
	for _, n := range d.Designations {
		list = append(list, n.Value)
	}
	var out []search.Text
	for _, n := range list {
		for _, t := range search.TextEntries(paramName, n, true, 0) {
			if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	return out
}

// named tells whether the index finds the concept by a folded word.
func (d *conceptData) named(word string) bool {
	return slices.ContainsFunc(d.names(), func(t search.Text) bool { return strings.HasPrefix(t.Fold, word) })
}
