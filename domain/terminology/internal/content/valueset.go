package content

// ValueSet is one value set as it is written: what it takes and what it leaves
// out (FHIR R4 ValueSet.compose). Where there is no compose but an expansion,
// the codes of the expansion stand as includes.
type ValueSet struct {
	URL      string
	Version  string
	Name     string
	Title    string
	Status   string
	Inactive *bool // compose.inactive: whether inactive codes are taken; nil: not said
	Include  []Include
	Exclude  []Include
}

// Include is one part of a value set. All that is set must hold of a code: the
// system, one of the concepts if any are listed, every filter, and every value
// set named.
type Include struct {
	System    string
	Version   string
	Concepts  []Listed
	Filters   []Filter
	ValueSets []string // canonicals
}

// Listed is a code named by a value set, with the display it wants.
type Listed struct {
	Code         string
	Display      string
	Designations []Designation
}

// Filter is a condition on the concepts of a system. Op is a code of FHIR R4
// filter-operator.
type Filter struct {
	Property string
	Op       string
	Value    string
}

// ConceptMap is one map between systems.
type ConceptMap struct {
	URL     string
	Version string
	Name    string
	Title   string
	Status  string
	Source  string // canonical of the value set mapped from; empty: not said
	Target  string
	Groups  []Group
}

// Group maps codes of one system to codes of another.
type Group struct {
	Source        string
	SourceVersion string
	Target        string
	TargetVersion string
	Elements      []Element
	Unmapped      Unmapped
}

// Element is one code mapped from.
type Element struct {
	Code    string
	Display string
	Targets []Target
}

// Target is one code mapped to. Equivalence is a code of FHIR R4
// concept-map-equivalence; Code is empty where nothing answers to the source.
type Target struct {
	Code        string
	Display     string
	Equivalence string
	Comment     string
	DependsOn   []Dependency
	Product     []Dependency
}

// Dependency is what must be known beside the code, or what results beside it.
type Dependency struct {
	Property string
	System   string
	Value    string
	Display  string
}

// Unmapped says what to do with a code that no element names: mode provided
// (the code itself), fixed (Code), or other-map (URL); empty: nothing.
type Unmapped struct {
	Mode    string
	Code    string
	Display string
	URL     string
}

// Compose is what the value set takes and leaves out, as FHIR writes it.
func (v *ValueSet) Compose() any {
	out := map[string]any{}
	if v.Inactive != nil {
		out["inactive"] = *v.Inactive
	}
	for name, list := range map[string][]Include{"include": v.Include, "exclude": v.Exclude} {
		var parts []any
		for _, in := range list {
			part := map[string]any{}
			for key, value := range map[string]string{"system": in.System, "version": in.Version} {
				if value != "" {
					part[key] = value
				}
			}
			var concepts, filters []any
			for _, c := range in.Concepts {
				one := map[string]any{"code": c.Code}
				if c.Display != "" {
					one["display"] = c.Display
				}
				concepts = append(concepts, one)
			}
			for _, f := range in.Filters {
				filters = append(filters, map[string]any{"property": f.Property, "op": f.Op, "value": f.Value})
			}
			if concepts != nil {
				part["concept"] = concepts
			}
			if filters != nil {
				part["filter"] = filters
			}
			if in.ValueSets != nil {
				part["valueSet"] = in.ValueSets
			}
			parts = append(parts, part)
		}
		if parts != nil {
			out[name] = parts
		}
	}
	return out
}
