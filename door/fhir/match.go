package fhir

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/door/gate"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

func (d *Door) matchRoutes() []gate.Route {
	return []gate.Route{{Method: http.MethodPost, Pattern: Prefix + "/Patient/$match", Permission: gate.Can("Patient", "read"), Action: "search", Handle: d.match, Problem: d.problem}}
}

// matchScan is how many patients each way of looking (by identifier, by name
// and birth date, …) brings to be compared.
const matchScan = 200

// What agreement is worth of a whole of 100, and what a contradiction takes
// away. The weights are ours; R4 leaves them to the server. An identifier says
// most and gender least; name, birth date and gender together say as much as an
// identifier.
const (
	identifierWeight = 45
	nameWeight       = 20
	birthWeight      = 20
	telecomWeight    = 10
	genderWeight     = 5

	probableFrom = 45
	possibleFrom = 20
)

// matchGrade is the extension of an entry's search that says how sure a match is.
//
// Source: FHIR R4 http://hl7.org/fhir/StructureDefinition/match-grade.
const matchGrade = "http://hl7.org/fhir/StructureDefinition/match-grade"

// person is what of a Patient is compared.
type person struct {
	Identifier []struct{ System, Value string }
	Name       []struct {
		Text, Family string
		Given        []string
	}
	Telecom   []struct{ System, Value string }
	BirthDate string
	Gender    string
}

// matched is a patient and how well it fits.
type matched struct {
	rec   record.Record
	score int // of 100
	grade string
}

// match answers Patient/$match (R4 Patient/$match): who is probably meant by what
// is known of somebody. With onlyCertainMatches it answers the one it is sure
// of, or nobody.
func (d *Door) match(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	if err := acceptable(r, r.URL.Query()); err != nil {
		return err
	}
	raw, err := body(r)
	if err != nil {
		return err
	}
	given, certain, most, err := readMatch(raw)
	if err != nil {
		return err
	}
	found, err := d.alike(r, p, given)
	if err != nil {
		return err
	}
	if certain {
		found = slices.DeleteFunc(found, func(m matched) bool { return m.grade != "certain" })
		if len(found) > 1 {
			found = nil // sure of none of them
		}
	}
	total := len(found)
	found = found[:min(total, most)]
	out := object{"resourceType": "Bundle", "type": "searchset", "total": total}
	var entries []object
	for i := range found {
		m := &found[i]
		audit.TrailOf(r.Context()).Read(subjectOf(&m.rec))
		entries = append(entries, object{
			"fullUrl": d.baseURL(r) + "/" + m.rec.Key.String(), "resource": json.RawMessage(appendResource(nil, &m.rec)),
			"search": object{"mode": "match", "score": float64(m.score) / 100, "extension": []object{{"url": matchGrade, "valueCode": m.grade}}},
		})
	}
	if entries != nil {
		out["entry"] = entries
	}
	return sendJSON(w, r, http.StatusOK, out)
}

// readMatch reads the Parameters of $match, or a Patient alone. Invalid naming
// what is not known or missing.
func readMatch(raw []byte) (given person, certain bool, most int, err error) {
	bad := func(name, zh, en string) error { return errs.E(errs.Invalid, "match", name, zh, en).At(name) }
	var in struct {
		ResourceType string
		Parameter    []struct {
			Name         string
			Resource     json.RawMessage
			ValueBoolean *bool
			ValueInteger *int
		}
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return given, false, 0, bad("Parameters", "正文不是有效的 Parameters。", "The body is no valid Parameters.")
	}
	most = defaultCount
	patient := json.RawMessage(raw)
	if in.ResourceType != "Patient" {
		patient = nil
	}
	for _, q := range in.Parameter {
		switch {
		case q.Name == "resource" && q.Resource != nil:
			patient = q.Resource
		case q.Name == "onlyCertainMatches" && q.ValueBoolean != nil:
			certain = *q.ValueBoolean
		case q.Name == "count" && q.ValueInteger != nil && *q.ValueInteger > 0:
			most = min(*q.ValueInteger, maxCount)
		default:
			return given, false, 0, bad(q.Name, "$match 的参数是 resource（Patient）、onlyCertainMatches（布尔）和 count（正整数）；"+q.Name+" 不符。", "$match takes resource (a Patient), onlyCertainMatches (a boolean) and count (a positive integer); "+q.Name+" is none of them.")
		}
	}
	if typ, _ := clinical.Head(patient); typ != "Patient" {
		return given, false, 0, bad("resource", "请在参数 resource 中给出要查找的 Patient。", "Give the Patient to look for as the parameter resource.")
	}
	if err := json.Unmarshal(patient, &given); err != nil {
		return given, false, 0, bad("resource", "resource 不是有效的 Patient。", "resource is no valid Patient.")
	}
	return given, certain, most, nil
}

// alike gives the patients that fit, the best first. Invalid where too little is
// told to look for.
func (d *Door) alike(r *http.Request, p *identity.Principal, given person) ([]matched, error) {
	queries, err := d.ways(given, d.baseURL(r))
	if err != nil {
		return nil, err
	}
	seen := map[record.Key]bool{}
	var out []matched
	for _, where := range queries {
		// Comparing is not showing: what is answered stands in the audit.
		page, err := d.k.Search(audit.WithTrail(r.Context(), nil), p, search.Query{Kind: "Patient", Where: where, Limit: matchScan})
		if err != nil {
			return nil, err
		}
		for i := range page.Records {
			rec := page.Records[i]
			if seen[rec.Key] {
				continue
			}
			seen[rec.Key] = true
			var is person
			if err := json.Unmarshal(rec.Data, &is); err != nil {
				return nil, errs.Wrap("match", rec.Key.String(), err)
			}
			if score, grade := compare(given, is); grade != "" {
				out = append(out, matched{rec, score, grade})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b matched) int {
		if a.score != b.score {
			return b.score - a.score
		}
		return strings.Compare(a.rec.ID, b.rec.ID)
	})
	return out, nil
}

// ways are the queries that bring whoever might be meant.
func (d *Door) ways(given person, base string) ([][]search.Clause, error) {
	parser := d.parser(base, nil)
	var out [][]search.Clause
	add := func(pairs ...string) error {
		var where []search.Clause
		for i := 0; i < len(pairs); i += 2 {
			c, err := parser.Clause("Patient", pairs[i], pairs[i+1])
			if err != nil {
				return err
			}
			where = append(where, c)
		}
		out = append(out, where)
		return nil
	}
	var ids, phones []search.Value
	for _, i := range given.Identifier {
		if i.Value != "" {
			ids = append(ids, search.Value{System: i.System, AnySystem: i.System == "", Code: i.Value})
		}
	}
	for _, t := range given.Telecom {
		if t.Value != "" {
			phones = append(phones, search.Value{AnySystem: true, Code: t.Value})
		}
	}
	if ids != nil {
		out = append(out, []search.Clause{{Param: "identifier", Any: ids}})
	}
	if phones != nil {
		out = append(out, []search.Clause{{Param: "telecom", Any: phones}})
	}
	var names []string
	for _, n := range given.Name {
		name := n.Family
		if name == "" {
			name = n.Text
		}
		if search.Fold(name) != "" {
			names = append(names, escape.Replace(name))
		}
	}
	for _, name := range names {
		pairs := []string{"name", name}
		if given.BirthDate != "" {
			if err := add(append(slices.Clone(pairs), "birthdate", given.BirthDate)...); err != nil {
				return nil, err
			}
		}
		if given.Gender != "" {
			pairs = append(pairs, "gender", escape.Replace(given.Gender))
		}
		if err := add(pairs...); err != nil {
			return nil, err
		}
	}
	if given.BirthDate != "" && len(names) == 0 {
		if err := add("birthdate", given.BirthDate); err != nil {
			return nil, err
		}
	}
	if out == nil {
		return nil, errs.E(errs.Invalid, "match", "resource", "请至少给出标识、姓名、出生日期或联系方式之一。", "Tell an identifier, a name, a birth date or a contact at the least.").At("resource")
	}
	return out, nil
}

// escape writes text as one value of a criterion.
var escape = strings.NewReplacer(`\`, `\\`, `,`, `\,`, `$`, `\$`, `|`, `\|`)

// agreement of one part of what is known of two persons.
type agreement int

const (
	unknown agreement = iota // one of them lacks it
	differs
	partly
	agrees
)

// compare scores how well somebody fits what is told: 0–100, and the grade;
// "" for who is not worth telling.
func compare(given, is person) (score int, grade string) {
	id, name, birth := sameIdentifier(given, is), sameName(given, is), sameBirth(given.BirthDate, is.BirthDate)
	gender := unknown
	if given.Gender != "" && is.Gender != "" && given.Gender != "unknown" && is.Gender != "unknown" {
		if gender = differs; given.Gender == is.Gender {
			gender = agrees
		}
	}
	for _, part := range []struct {
		agreement
		weight int
	}{{id, identifierWeight}, {name, nameWeight}, {birth, birthWeight}, {gender, genderWeight}, {sameTelecom(given, is), telecomWeight}} {
		switch part.agreement {
		case agrees:
			score += part.weight
		case partly:
			score += part.weight / 2
		case differs:
			score -= part.weight / 2
		}
	}
	score = max(score, 0)
	switch {
	case id == agrees && name != differs && birth != differs && gender != differs && (name == agrees || birth == agrees):
		return score, "certain"
	case score >= probableFrom:
		return score, "probable"
	case score >= possibleFrom:
		return score, "possible"
	}
	return score, ""
}

// sameIdentifier: one in common agrees; another value in one system differs.
func sameIdentifier(a, b person) agreement {
	out := unknown
	for _, x := range a.Identifier {
		for _, y := range b.Identifier {
			switch {
			case x.Value == "" || x.System != y.System && x.System != "":
			case x.Value == y.Value:
				return agrees
			case x.System != "":
				out = differs
			}
		}
	}
	return out
}

// sameName: the whole name agrees however its parts were entered; family or a
// given name alone agrees in part.
func sameName(a, b person) agreement {
	wholeA, partsA := spoken(a)
	wholeB, partsB := spoken(b)
	common := func(x, y []string) bool {
		return slices.ContainsFunc(x, func(s string) bool { return slices.Contains(y, s) })
	}
	switch {
	case len(wholeA) == 0 || len(wholeB) == 0:
		return unknown
	case common(wholeA, wholeB):
		return agrees
	case common(partsA, partsB) || common(partsA, wholeB) || common(wholeA, partsB):
		return partly
	}
	return differs
}

// spoken gives a person's names, folded and without blanks: whole, family first
// and last, and in parts.
func spoken(p person) (whole, parts []string) {
	plain := func(s string) string { return strings.ReplaceAll(search.Fold(s), " ", "") }
	add := func(list []string, s string) []string {
		if s = plain(s); s != "" {
			list = append(list, s)
		}
		return list
	}
	for _, n := range p.Name {
		given := strings.Join(n.Given, "")
		whole = add(add(add(whole, n.Text), n.Family+given), given+n.Family)
		parts = add(parts, n.Family)
		for _, g := range n.Given {
			parts = add(parts, g)
		}
	}
	return whole, parts
}

// sameBirth compares dates of any precision: a year agrees in part with a day of
// it.
func sameBirth(a, b string) agreement {
	switch {
	case a == "" || b == "":
		return unknown
	case a == b:
		return agrees
	case strings.HasPrefix(a, b) || strings.HasPrefix(b, a):
		return partly
	}
	return differs
}

// sameTelecom: another number is no contradiction.
func sameTelecom(a, b person) agreement {
	for _, x := range a.Telecom {
		for _, y := range b.Telecom {
			if x.Value != "" && x.Value == y.Value {
				return agrees
			}
		}
	}
	return unknown
}
