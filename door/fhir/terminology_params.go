package fhir

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"zhiwei/domain/terminology"
	"zhiwei/kernel/errs"
)

// maxParameters bounds what one operation may be told.
const maxParameters = 1000

// opParam is what an operation may be told under one name.
type opParam struct {
	kind string // text, bool, number, Coding, CodeableConcept, resource type, or parts
	many bool
	// refuse is the sentence for a parameter of the standard that this server does
	// not act on; empty: it does.
	refuse errs.Text
}

var (
	text1     = opParam{kind: "text"}
	textMany  = opParam{kind: "text", many: true}
	flag1     = opParam{kind: "bool"}
	number1   = opParam{kind: "number"}
	coding1   = opParam{kind: "Coding"}
	concept1  = opParam{kind: "CodeableConcept"}
	partsMany = opParam{kind: "parts", many: true}
)

func resource1(typ string) opParam { return opParam{kind: typ} }

func notActedOn(zh, en string) opParam {
	return opParam{kind: "text", refuse: errs.Text{ZH: zh, EN: en}}
}

// told is what an operation was told, by name.
type told map[string][]given

// given is one value of a parameter.
type given struct {
	text     string // of a primitive
	coding   coding
	concept  codeableConcept
	resource json.RawMessage
	parts    told
}

type coding struct {
	System  string `json:"system,omitempty"`
	Version string `json:"version,omitempty"`
	Code    string `json:"code,omitempty"`
	Display string `json:"display,omitempty"`
}

type codeableConcept struct {
	Coding []coding `json:"coding,omitempty"`
	Text   string   `json:"text,omitempty"`
}

// fhirParameters is the resource Parameters (R4 §Parameters).
type fhirParameters struct {
	ResourceType string          `json:"resourceType"`
	Parameter    []fhirParameter `json:"parameter,omitempty"`
}

// fhirParameter is one parameter; its value stands under value and the name of
// a type, so it is read and written by hand.
type fhirParameter map[string]any

// readTold reads what an operation is told, in the query and in the Parameters
// resource of a POST (R4 §3.2.0.2). An unknown name is refused.
func readTold(r *http.Request, known map[string]opParam) (told, error) {
	query := r.URL.Query()
	if err := acceptable(r, query); err != nil {
		return nil, err
	}
	out := told{}
	for name, values := range query {
		if name == "_format" || name == "_pretty" {
			continue
		}
		if p, ok := known[name]; ok && p.kind != "text" && p.kind != "bool" && p.kind != "number" {
			return nil, errs.E(errs.Invalid, "operation", name, "参数 "+name+" 不能写在地址里；请用 POST 提交 Parameters 资源。", "The parameter "+name+" cannot be given in the address; POST a Parameters resource.").At(name)
		}
		for _, v := range values {
			if err := out.take(known, name, given{text: v}); err != nil {
				return nil, err
			}
		}
	}
	if r.Method != http.MethodPost {
		return out, nil
	}
	raw, err := body(r)
	if err != nil {
		return nil, err
	}
	var in struct {
		ResourceType string                       `json:"resourceType"`
		Parameter    []map[string]json.RawMessage `json:"parameter"`
	}
	if err := json.Unmarshal(raw, &in); err != nil || in.ResourceType != "Parameters" {
		return nil, errs.E(errs.Invalid, "operation", "Parameters", "请以 Parameters 资源提交操作的参数。", "Send the parameters of an operation as a Parameters resource.").At("Parameters").Because(err)
	}
	if err := out.read(known, in.Parameter, 0); err != nil {
		return nil, err
	}
	return out, nil
}

func (t told) read(known map[string]opParam, list []map[string]json.RawMessage, depth int) error {
	if len(list) > maxParameters || depth > 2 {
		return errs.E(errs.TooLarge, "operation", "Parameters", "参数过多或嵌套过深。", "There are too many parameters, or they are nested too deeply.").At("Parameters.parameter")
	}
	for _, p := range list {
		var name string
		if json.Unmarshal(p["name"], &name) != nil || name == "" {
			return errs.E(errs.Invalid, "operation", "Parameters", "每个参数都要有 name。", "Every parameter needs a name.").At("Parameters.parameter.name")
		}
		v, err := readGiven(known[name].kind, name, p, depth)
		if err != nil {
			return err
		}
		if err := t.take(known, name, v); err != nil {
			return err
		}
	}
	return nil
}

// take notes one value. Invalid where the name is not known, or given twice and
// may not be.
func (t told) take(known map[string]opParam, name string, v given) error {
	p, ok := known[name]
	switch {
	case !ok:
		return unknownParameter(name)
	case p.refuse.EN != "":
		return errs.E(errs.Invalid, "operation", name, p.refuse.ZH, p.refuse.EN).At(name)
	case len(t[name]) > 0 && !p.many:
		return errs.E(errs.Invalid, "operation", name, "参数 "+name+" 只能给出一次。", "The parameter "+name+" may be given once.").At(name)
	case len(t[name]) >= maxParameters:
		return errs.E(errs.TooLarge, "operation", name, "参数 "+name+" 重复过多。", "The parameter "+name+" is repeated too often.").At(name)
	case p.kind == "bool" && v.text != "true" && v.text != "false":
		return errs.E(errs.Invalid, "operation", name, "参数 "+name+" 只能是 true 或 false。", "The parameter "+name+" takes true or false.").At(name)
	}
	if p.kind == "number" {
		if _, ok := wholeNumber(v.text); !ok {
			return errs.E(errs.Invalid, "operation", name, "参数 "+name+" 应为不小于 0 的整数。", "The parameter "+name+" takes a whole number from 0 on.").At(name)
		}
	}
	t[name] = append(t[name], v)
	return nil
}

// wholeNumber reads a number from 0 to a billion.
func wholeNumber(s string) (int, bool) {
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' || n > 100_000_000 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, s != ""
}

// dependencyParts are the parts of the parameter dependency of $translate.
var dependencyParts = map[string]opParam{"element": text1, "concept": concept1}

func readGiven(kind, name string, p map[string]json.RawMessage, depth int) (v given, err error) {
	wrong := func(err error) error {
		return errs.E(errs.Invalid, "operation", name, "参数 "+name+" 的值类型不对或无法识别。", "The value of the parameter "+name+" is of the wrong type or cannot be read.").At("Parameters.parameter." + name).Because(err)
	}
	switch kind {
	case "parts":
		var list []map[string]json.RawMessage
		if json.Unmarshal(p["part"], &list) != nil {
			return v, wrong(nil)
		}
		v.parts = told{}
		return v, v.parts.read(dependencyParts, list, depth+1)
	case "Coding":
		if err := json.Unmarshal(p["valueCoding"], &v.coding); err != nil {
			return v, wrong(err)
		}
	case "CodeableConcept":
		if err := json.Unmarshal(p["valueCodeableConcept"], &v.concept); err != nil {
			return v, wrong(err)
		}
	case "text", "bool", "number":
		for key, raw := range p {
			if !strings.HasPrefix(key, "value") || strings.HasPrefix(key, "_") {
				continue
			}
			if json.Unmarshal(raw, &v.text) == nil && kind == "text" {
				return v, nil
			}
			v.text = strings.Trim(string(raw), `"`)
			if kind != "text" {
				return v, nil
			}
		}
		return v, wrong(nil)
	case "":
	default:
		var head struct {
			ResourceType string `json:"resourceType"`
		}
		if v.resource = p["resource"]; json.Unmarshal(v.resource, &head) != nil || head.ResourceType != kind {
			return v, wrong(nil)
		}
	}
	return v, nil
}

func (t told) text(name string) string {
	if len(t[name]) == 0 {
		return ""
	}
	return t[name][0].text
}

func (t told) texts(name string) []string {
	var out []string
	for _, v := range t[name] {
		out = append(out, v.text)
	}
	return out
}

func (t told) is(name string) bool { return t.text(name) == "true" }

func (t told) number(name string, absent int) int {
	if n, ok := wholeNumber(t.text(name)); ok {
		return n
	}
	return absent
}

func (t told) resource(name string) json.RawMessage {
	if len(t[name]) == 0 {
		return nil
	}
	return t[name][0].resource
}

// codings are the codes an operation is asked about: code and system, coding, or
// those of codeableConcept. Invalid where none of the three or several are given.
func (t told) codings(system, version string) ([]terminology.Coding, error) {
	var out []terminology.Coding
	ways := 0
	if c := t.text("code"); c != "" {
		ways++
		out = append(out, terminology.Coding{System: system, Version: version, Code: c, Display: t.text("display")})
	}
	if len(t["coding"]) > 0 {
		ways++
		out = append(out, terminology.Coding(t["coding"][0].coding))
	}
	if len(t["codeableConcept"]) > 0 {
		ways++
		for _, c := range t["codeableConcept"][0].concept.Coding {
			out = append(out, terminology.Coding(c))
		}
	}
	out = slices.DeleteFunc(out, func(c terminology.Coding) bool { return c.Code == "" })
	if ways != 1 || len(out) == 0 {
		return nil, errs.E(errs.Invalid, "operation", "code", "请用 code（和 system）、coding、codeableConcept 三者之一给出代码。", "Give the code by one of code (with system), coding and codeableConcept.").At("code")
	}
	return out, nil
}

// parameter writes one parameter of an answer; kind is the type of the value as
// it stands behind "value".
func parameter(name, kind string, value any) fhirParameter {
	return fhirParameter{"name": name, "value" + kind: value}
}

func parts(name string, list ...fhirParameter) fhirParameter {
	return fhirParameter{"name": name, "part": list}
}

func sendParameters(w http.ResponseWriter, r *http.Request, list []fhirParameter) error {
	return sendJSON(w, r, http.StatusOK, fhirParameters{ResourceType: "Parameters", Parameter: list})
}
