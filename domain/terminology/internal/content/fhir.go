package content

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"zhiwei/kernel/errs"
)

// maxDepth bounds the nesting of concepts in a resource.
const maxDepth = 200

// invalid is the error of a resource that cannot be used as what it says it is.
func invalid(subject, zh, en string) error {
	return errs.E(errs.Invalid, "terminology", subject, zh, en)
}

type jsonCoding struct {
	System  string `json:"system"`
	Version string `json:"version"`
	Code    string `json:"code"`
	Display string `json:"display"`
}

type jsonDesignation struct {
	Language string     `json:"language"`
	Use      jsonCoding `json:"use"`
	Value    string     `json:"value"`
}

type jsonProperty map[string]json.RawMessage

type jsonConcept struct {
	Code        string            `json:"code"`
	Display     string            `json:"display"`
	Definition  string            `json:"definition"`
	Designation []jsonDesignation `json:"designation"`
	Property    []jsonProperty    `json:"property"`
	Concept     []jsonConcept     `json:"concept"`
}

type jsonSystem struct {
	ResourceType  string        `json:"resourceType"`
	URL           string        `json:"url"`
	Version       string        `json:"version"`
	Name          string        `json:"name"`
	Title         string        `json:"title"`
	Language      string        `json:"language"`
	Content       string        `json:"content"`
	CaseSensitive *bool         `json:"caseSensitive"`
	ValueSet      string        `json:"valueSet"`
	Concept       []jsonConcept `json:"concept"`
}

// ReadSystem reads a CodeSystem in JSON. The hierarchy is that of nested
// concepts and of the properties parent, child and subsumedBy
// (FHIR R4 §4.8.10, concept-properties). Invalid where raw is none.
func ReadSystem(raw []byte) (*System, error) {
	var j jsonSystem
	if err := json.Unmarshal(raw, &j); err != nil || j.ResourceType != "CodeSystem" {
		return nil, invalid("CodeSystem", "这不是 CodeSystem 资源。", "This is not a CodeSystem resource.")
	}
	s := &System{
		URL: j.URL, Version: j.Version, Name: j.Name, Title: j.Title, Language: j.Language, Content: j.Content, ValueSet: j.ValueSet,
		FoldCase: j.CaseSensitive != nil && !*j.CaseSensitive,
	}
	if err := s.add(j.Concept, "", 0); err != nil {
		return nil, err
	}
	s.adopt()
	return s, nil
}

// ReadConcept reads one concept of a CodeSystem in JSON with those nested in it.
// Their property child is left among the properties.
func ReadConcept(raw []byte) ([]Concept, error) {
	var j jsonConcept
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, invalid("concept", "concept 无法识别。", "A concept cannot be read.")
	}
	var s System
	err := s.add([]jsonConcept{j}, "", 0)
	return s.Concepts, err
}

func (s *System) add(list []jsonConcept, parent string, depth int) error {
	if depth > maxDepth {
		return invalid(s.URL, "代码系统的层次超过 200 层。", "The code system is nested deeper than 200 levels.")
	}
	for i := range list {
		j := &list[i]
		c := Concept{Code: j.Code, Display: j.Display, Definition: j.Definition, Designations: designations(j.Designation)}
		if parent != "" {
			c.Parents = []string{parent}
		}
		for _, p := range j.Property {
			c.property(p)
		}
		s.Concepts = append(s.Concepts, c)
		if err := s.add(j.Concept, j.Code, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func designations(list []jsonDesignation) []Designation {
	var out []Designation
	for _, d := range list {
		out = append(out, Designation{Language: d.Language, Use: Coding(d.Use), Value: d.Value})
	}
	return out
}

// property takes one property; those that FHIR gives a meaning of its own
// (concept-properties) also set what they mean.
func (c *Concept) property(j jsonProperty) {
	var p Property
	for name, raw := range j {
		switch {
		case name == "code":
			if json.Unmarshal(raw, &p.Code) != nil {
				return
			}
		case strings.HasPrefix(name, "value"):
			p.Type = strings.ToLower(name[5:6]) + name[6:]
			switch p.Type {
			case "coding":
				var v jsonCoding
				if json.Unmarshal(raw, &v) != nil {
					return
				}
				p.Type, p.Value = "Coding", v.System+"|"+v.Code
			default:
				if json.Unmarshal(raw, &p.Value) != nil { // a number or a boolean
					p.Value = string(bytes.TrimSpace(raw))
				}
			}
		}
	}
	c.Take(p)
}

// Take adds a property and does what FHIR says it means: parent and subsumedBy
// are the hierarchy; inactive, status and notSelectable flag the concept.
func (c *Concept) Take(p Property) {
	if p.Code == "" || p.Type == "" {
		return
	}
	switch p.Code {
	case "parent", "subsumedBy":
		if p.Type == "code" && p.Value != c.Code && !slices.Contains(c.Parents, p.Value) {
			c.Parents = append(c.Parents, p.Value)
		}
		if p.Type == "code" {
			return
		}
	case "inactive":
		c.Inactive = c.Inactive || p.Value == "true"
	case "status":
		c.Inactive = c.Inactive || inactiveStatus(p.Value)
	case "notSelectable", "abstract":
		c.Abstract = c.Abstract || p.Value == "true"
	}
	c.Properties = append(c.Properties, p)
}

func inactiveStatus(s string) bool {
	switch strings.ToLower(s) {
	case "retired", "deprecated", "inactive":
		return true
	}
	return false
}

// adopt turns the property child of a parent into a parent of the child.
func (s *System) adopt() {
	at := map[string]int{}
	for i := range s.Concepts {
		at[s.Concepts[i].Code] = i
	}
	for i := range s.Concepts {
		c := &s.Concepts[i]
		c.Properties = slices.DeleteFunc(c.Properties, func(p Property) bool {
			if p.Code != "child" || p.Type != "code" {
				return false
			}
			if j, ok := at[p.Value]; ok && j != i && !slices.Contains(s.Concepts[j].Parents, c.Code) {
				s.Concepts[j].Parents = append(s.Concepts[j].Parents, c.Code)
			}
			return true
		})
		if len(c.Properties) == 0 {
			c.Properties = nil
		}
	}
}

type jsonInclude struct {
	System  string `json:"system"`
	Version string `json:"version"`
	Concept []struct {
		Code        string            `json:"code"`
		Display     string            `json:"display"`
		Designation []jsonDesignation `json:"designation"`
	} `json:"concept"`
	Filter []struct {
		Property string `json:"property"`
		Op       string `json:"op"`
		Value    string `json:"value"`
	} `json:"filter"`
	ValueSet []string `json:"valueSet"`
}

type jsonContains struct {
	jsonCoding
	Abstract bool           `json:"abstract"`
	Contains []jsonContains `json:"contains"`
}

type jsonValueSet struct {
	ResourceType string `json:"resourceType"`
	URL          string `json:"url"`
	Version      string `json:"version"`
	Name         string `json:"name"`
	Title        string `json:"title"`
	Status       string `json:"status"`
	Compose      *struct {
		Inactive *bool         `json:"inactive"`
		Include  []jsonInclude `json:"include"`
		Exclude  []jsonInclude `json:"exclude"`
	} `json:"compose"`
	Expansion *struct {
		Contains []jsonContains `json:"contains"`
	} `json:"expansion"`
}

// ReadValueSet reads a ValueSet in JSON. Invalid where raw is none.
func ReadValueSet(raw []byte) (*ValueSet, error) {
	var j jsonValueSet
	if err := json.Unmarshal(raw, &j); err != nil || j.ResourceType != "ValueSet" {
		return nil, invalid("ValueSet", "这不是 ValueSet 资源。", "This is not a ValueSet resource.")
	}
	v := &ValueSet{URL: j.URL, Version: j.Version, Name: j.Name, Title: j.Title, Status: j.Status}
	switch {
	case j.Compose != nil:
		v.Inactive = j.Compose.Inactive
		v.Include, v.Exclude = includes(j.Compose.Include), includes(j.Compose.Exclude)
	case j.Expansion != nil:
		v.expanded(j.Expansion.Contains, 0)
	}
	return v, nil
}

func includes(list []jsonInclude) []Include {
	var out []Include
	for _, j := range list {
		in := Include{System: j.System, Version: j.Version, ValueSets: j.ValueSet}
		for _, c := range j.Concept {
			in.Concepts = append(in.Concepts, Listed{Code: c.Code, Display: c.Display, Designations: designations(c.Designation)})
		}
		for _, f := range j.Filter {
			in.Filters = append(in.Filters, Filter(f))
		}
		out = append(out, in)
	}
	return out
}

// expanded takes the codes of an expansion as includes, one for each run of
// codes of one system.
func (v *ValueSet) expanded(list []jsonContains, depth int) {
	if depth > maxDepth {
		return
	}
	for _, c := range list {
		if c.Code != "" && !c.Abstract {
			if n := len(v.Include); n == 0 || v.Include[n-1].System != c.System || v.Include[n-1].Version != c.Version {
				v.Include = append(v.Include, Include{System: c.System, Version: c.Version})
			}
			in := &v.Include[len(v.Include)-1]
			in.Concepts = append(in.Concepts, Listed{Code: c.Code, Display: c.Display})
		}
		v.expanded(c.Contains, depth+1)
	}
}

type jsonDependency struct {
	Property string `json:"property"`
	System   string `json:"system"`
	Value    string `json:"value"`
	Display  string `json:"display"`
}

type jsonConceptMap struct {
	ResourceType string `json:"resourceType"`
	URL          string `json:"url"`
	Version      string `json:"version"`
	Name         string `json:"name"`
	Title        string `json:"title"`
	Status       string `json:"status"`
	SourceURI    string `json:"sourceUri"`
	SourceCanon  string `json:"sourceCanonical"`
	TargetURI    string `json:"targetUri"`
	TargetCanon  string `json:"targetCanonical"`
	Group        []struct {
		Source        string `json:"source"`
		SourceVersion string `json:"sourceVersion"`
		Target        string `json:"target"`
		TargetVersion string `json:"targetVersion"`
		Element       []struct {
			Code    string `json:"code"`
			Display string `json:"display"`
			Target  []struct {
				Code        string           `json:"code"`
				Display     string           `json:"display"`
				Equivalence string           `json:"equivalence"`
				Comment     string           `json:"comment"`
				DependsOn   []jsonDependency `json:"dependsOn"`
				Product     []jsonDependency `json:"product"`
			} `json:"target"`
		} `json:"element"`
		Unmapped *struct {
			Mode    string `json:"mode"`
			Code    string `json:"code"`
			Display string `json:"display"`
			URL     string `json:"url"`
		} `json:"unmapped"`
	} `json:"group"`
}

// ReadConceptMap reads a ConceptMap in JSON. Invalid where raw is none.
func ReadConceptMap(raw []byte) (*ConceptMap, error) {
	var j jsonConceptMap
	if err := json.Unmarshal(raw, &j); err != nil || j.ResourceType != "ConceptMap" {
		return nil, invalid("ConceptMap", "这不是 ConceptMap 资源。", "This is not a ConceptMap resource.")
	}
	m := &ConceptMap{URL: j.URL, Version: j.Version, Name: j.Name, Title: j.Title, Status: j.Status, Source: j.SourceCanon + j.SourceURI, Target: j.TargetCanon + j.TargetURI}
	for _, jg := range j.Group {
		g := Group{Source: jg.Source, SourceVersion: jg.SourceVersion, Target: jg.Target, TargetVersion: jg.TargetVersion}
		for _, je := range jg.Element {
			e := Element{Code: je.Code, Display: je.Display}
			for _, jt := range je.Target {
				t := Target{Code: jt.Code, Display: jt.Display, Equivalence: jt.Equivalence, Comment: jt.Comment}
				for _, d := range jt.DependsOn {
					t.DependsOn = append(t.DependsOn, Dependency(d))
				}
				for _, d := range jt.Product {
					t.Product = append(t.Product, Dependency(d))
				}
				e.Targets = append(e.Targets, t)
			}
			g.Elements = append(g.Elements, e)
		}
		if jg.Unmapped != nil {
			g.Unmapped = Unmapped(*jg.Unmapped)
		}
		m.Groups = append(m.Groups, g)
	}
	return m, nil
}
