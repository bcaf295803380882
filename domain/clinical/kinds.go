package clinical

import (
	"slices"
	"strings"

	"zhiwei/kernel"
	"zhiwei/kernel/kind"
)

// Roles in clinical records. A role of an application is built from them.
const (
	RoleAdmin     = "clinical-admin"  // everything but import and purge
	RoleClinician = "clinician"       // the records of the patients one treats, and what belongs to no patient
	RoleReader    = "clinical-reader" // reads everything
	RoleEraser    = "clinical-eraser" // reads everything and erases history, which the law may ask for (个人信息保护法 第四十七条)
)

// Menu is the section of the menu that the main types stand in.
const Menu = "clinical"

// Kinds declares one kind for every resource type of R4. Their names are the
// type names; the path under /api is the name in lower case.
func Kinds() []kind.Kind {
	d := r4()
	out := make([]kind.Kind, 0, len(d.resources))
	for _, t := range d.resources {
		out = append(out, declare(d, t))
	}
	return out
}

func declare(d *definitions, t *typeDef) kind.Kind {
	k := kind.Kind{
		Name: t.name, Plural: strings.ToLower(t.name), App: Menu, Format: FormatName,
		Title: titles[t.name],
		Help:  kind.T("FHIR R4 资源 "+t.name, "FHIR R4 resource "+t.name),
		Place: kind.Place{Owner: "@creator", Subject: subjectPath(d, t), Label: "meta.security"},
	}
	l, err := newLayout(d, t, nil)
	if err != nil {
		panic(err) // the definitions are part of the program; a test compiles them all
	}
	k.Search = l.params
	k.Place.Compartment = compartment(&k)
	k.Place.Shared = k.Place.Subject == "" && len(k.Place.Compartment.Params) == 0 && !containers[t.name]
	k.Access = grants(&k)
	guardSubscription(&k)
	if v, ok := views[t.name]; ok {
		k.View, k.Fields = v.view, v.fields
		k.View.Menu = Menu
		if k.View.TitleField == "" {
			k.View.TitleField = k.View.Columns[0] // what it is: the first thing the list says
		}
	} else {
		k.View.Columns = []string{"updatedAt"}
		for _, f := range []string{"identifier", "patient", "code", "date"} {
			if k.Param(f) != nil {
				k.View.Filters = append(k.View.Filters, f)
			}
		}
	}
	return k
}

// grants are who may do what. Records of patients are for those who treat one of
// them and for whoever wrote them. What may hold anybody's data and names nobody
// is for its author alone until an application's profile says more: closed is
// the safe side. The administrator of clinical data is held back by nothing: who
// keeps the data must be able to mend it, and all he does stands in the audit.
func grants(k *kind.Kind) []kind.Grant {
	mine, all := "", ""
	switch {
	case containers[k.Name], k.Name == "AuditEvent":
		mine, all = kind.Own, kind.Released
	case !k.Place.Shared:
		mine, all = kind.Own+"|"+kind.Treating, kind.Released
	}
	out := []kind.Grant{
		{Role: RoleAdmin, Can: []string{"*"}},
		{Role: RoleClinician, Can: []string{"read", "history", "create", "update"}, When: mine},
	}
	if k.Name == "AuditEvent" { // who looked at what is for those who keep watch
		return append(out, kind.Grant{Role: kernel.RoleAuditAdmin, Can: []string{"read", "history"}})
	}
	return append(out,
		kind.Grant{Role: RoleReader, Can: []string{"read", "history"}, When: all},
		kind.Grant{Role: RoleEraser, Can: []string{"read", "history", "purge"}, When: all})
}

// containers are the types that may hold data of any patient, or criteria that
// name any, and are in no patient's compartment.
// Source: FHIR R4 CompartmentDefinition/patient, which leaves them out.
var containers = map[string]bool{
	"Binary": true, "Bundle": true, "Contract": true, "Linkage": true, "MessageHeader": true, "Parameters": true, "Subscription": true,
}

// compartment gives the entries by which records of a kind belong to patients.
func compartment(k *kind.Kind) kind.Compartment {
	var out kind.Compartment
	for _, name := range CompartmentParams("Patient", k) {
		p := k.Param(name)
		if p == nil {
			continue
		}
		out.Of = "Patient"
		entries := p.Over
		if len(entries) == 0 {
			entries = []string{name}
		}
		for _, e := range entries {
			if !slices.Contains(out.Params, e) {
				out.Params = append(out.Params, e)
			}
		}
	}
	return out
}

// subjectPath gives the path of the one element that names the patient a
// resource is about: that of the search parameter patient, else subject, where
// it is a plain path of elements that do not repeat. Empty where there is none.
func subjectPath(d *definitions, t *typeDef) string {
	if t.name == "Patient" {
		return "@self"
	}
	for _, code := range []string{"patient", "subject"} {
		p := d.param(t.name, code)
		if p == nil {
			continue
		}
		for branch := range strings.SplitSeq(p.Expr, "|") {
			path, ok := strings.CutPrefix(strings.TrimSpace(branch), t.name+".")
			if !ok {
				continue
			}
			path = strings.TrimSuffix(path, ".where(resolve() is Patient)")
			if namesOnePatient(t, path) {
				return path
			}
		}
	}
	return ""
}

// namesOnePatient tells whether the path leads over elements that do not repeat
// to a reference that may name a patient.
func namesOnePatient(t *typeDef, path string) bool {
	for name := range strings.SplitSeq(path, ".") {
		i, ok := t.byName[name]
		if !ok || t.props[i].many || t.props[i].typ == nil {
			return false
		}
		p := &t.props[i]
		if p.typ.name == "Reference" {
			if p.targets == nil {
				return true
			}
			for _, target := range p.targets {
				if target == "Patient" {
					return true
				}
			}
			return false
		}
		t = p.typ
	}
	return false
}

type view struct {
	view   kind.View
	fields []kind.Field // what the columns show; the shape itself is the Format's
}

func field(name string, t kind.FieldType, zh, en string) kind.Field {
	return kind.Field{Name: name, Type: t, Title: kind.T(zh, en)}
}

// views are the lists of the types people look at; the columns are elements of
// the resource.
var views = map[string]view{
	"Patient": {
		kind.View{Columns: []string{"name", "gender", "birthDate", "updatedAt"}, Filters: []string{"name", "identifier", "birthdate"}, Icon: "User", Order: 10},
		[]kind.Field{field("name", kind.Any, "姓名", "Name"), field("gender", kind.String, "性别", "Gender"), field("birthDate", kind.Date, "出生日期", "Date of birth")},
	},
	"Encounter": {
		kind.View{TitleField: "type", Columns: []string{"class", "status", "subject", "period", "updatedAt"}, Filters: []string{"patient", "identifier", "date"}, Icon: "OfficeBuilding", Order: 20},
		[]kind.Field{field("class", kind.Any, "类别", "Class"), field("status", kind.String, "状态", "Status"), field("subject", kind.Any, "患者", "Patient"), field("period", kind.Any, "起止时间", "Period")},
	},
	"Condition": {
		kind.View{Columns: []string{"code", "subject", "onsetDateTime", "updatedAt"}, Filters: []string{"patient", "code"}, Icon: "FirstAidKit", Order: 30},
		[]kind.Field{field("code", kind.Any, "诊断", "Diagnosis"), field("subject", kind.Any, "患者", "Patient"), field("onsetDateTime", kind.String, "起病时间", "Onset")},
	},
	"AllergyIntolerance": {
		kind.View{Columns: []string{"code", "patient", "criticality", "updatedAt"}, Filters: []string{"patient", "code"}, Icon: "Warning", Order: 40},
		[]kind.Field{field("code", kind.Any, "过敏原", "Substance"), field("patient", kind.Any, "患者", "Patient"), field("criticality", kind.String, "严重程度", "Criticality")},
	},
	"Observation": {
		kind.View{Columns: []string{"code", "subject", "valueQuantity", "effectiveDateTime", "status", "updatedAt"}, Filters: []string{"patient", "code", "date"}, Icon: "DataLine", Order: 50},
		[]kind.Field{field("code", kind.Any, "项目", "Item"), field("subject", kind.Any, "患者", "Patient"), field("valueQuantity", kind.Any, "结果", "Value"), field("effectiveDateTime", kind.String, "时间", "Time"), field("status", kind.String, "状态", "Status")},
	},
	"DiagnosticReport": {
		kind.View{Columns: []string{"code", "subject", "status", "effectiveDateTime", "updatedAt"}, Filters: []string{"patient", "code", "date"}, Icon: "Document", Order: 60},
		[]kind.Field{field("code", kind.Any, "报告", "Report"), field("subject", kind.Any, "患者", "Patient"), field("status", kind.String, "状态", "Status"), field("effectiveDateTime", kind.String, "时间", "Time")},
	},
	"ServiceRequest": {
		kind.View{Columns: []string{"code", "subject", "status", "authoredOn", "updatedAt"}, Filters: []string{"patient", "code", "identifier"}, Icon: "Tickets", Order: 70},
		[]kind.Field{field("code", kind.Any, "项目", "Item"), field("subject", kind.Any, "患者", "Patient"), field("status", kind.String, "状态", "Status"), field("authoredOn", kind.String, "开立时间", "Ordered")},
	},
	"MedicationRequest": {
		kind.View{Columns: []string{"medicationCodeableConcept", "subject", "status", "authoredOn", "updatedAt"}, Filters: []string{"patient", "code", "date"}, Icon: "Box", Order: 80},
		[]kind.Field{field("medicationCodeableConcept", kind.Any, "药品", "Medication"), field("subject", kind.Any, "患者", "Patient"), field("status", kind.String, "状态", "Status"), field("authoredOn", kind.String, "开立时间", "Ordered")},
	},
	"Procedure": {
		kind.View{Columns: []string{"code", "subject", "status", "updatedAt"}, Filters: []string{"patient", "code", "date"}, Icon: "Scissor", Order: 90},
		[]kind.Field{field("code", kind.Any, "手术与操作", "Procedure"), field("subject", kind.Any, "患者", "Patient"), field("status", kind.String, "状态", "Status")},
	},
	"Immunization": {
		kind.View{Columns: []string{"vaccineCode", "patient", "status", "occurrenceDateTime", "updatedAt"}, Filters: []string{"patient", "date"}, Icon: "Umbrella", Order: 100},
		[]kind.Field{field("vaccineCode", kind.Any, "疫苗", "Vaccine"), field("patient", kind.Any, "患者", "Patient"), field("status", kind.String, "状态", "Status"), field("occurrenceDateTime", kind.String, "接种时间", "Given at")},
	},
	"ImagingStudy": {
		kind.View{Columns: []string{"description", "subject", "status", "started", "updatedAt"}, Filters: []string{"patient", "identifier"}, Icon: "Picture", Order: 110},
		[]kind.Field{field("description", kind.String, "检查", "Study"), field("subject", kind.Any, "患者", "Patient"), field("status", kind.String, "状态", "Status"), field("started", kind.String, "开始时间", "Started")},
	},
	"Practitioner": {
		kind.View{Columns: []string{"name", "gender", "updatedAt"}, Filters: []string{"name", "identifier"}, Icon: "Avatar", Order: 120},
		[]kind.Field{field("name", kind.Any, "姓名", "Name"), field("gender", kind.String, "性别", "Gender")},
	},
	"Organization": {
		kind.View{TitleField: "name", Columns: []string{"name", "updatedAt"}, Filters: []string{"name", "identifier"}, Icon: "School", Order: 130},
		[]kind.Field{field("name", kind.String, "名称", "Name")},
	},
	"Location": {
		kind.View{TitleField: "name", Columns: []string{"name", "status", "updatedAt"}, Filters: []string{"name", "identifier"}, Icon: "Location", Order: 140},
		[]kind.Field{field("name", kind.String, "名称", "Name"), field("status", kind.String, "状态", "Status")},
	},
}
