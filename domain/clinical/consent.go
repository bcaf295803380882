package clinical

import (
	"fmt"
	"slices"
	"time"

	"zhiwei/kernel/errs"
	"zhiwei/kernel/kind"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// A Consent narrows who sees a patient's records while its status is active and
// its scope is patient-privacy. Whatever it permits beyond what the house allows
// anyhow gives nobody anything; what it denies, nobody but who breaks the glass
// sees. Its rules become index entries of the Consent itself (see kind.Denial),
// so they hold in the very transaction that writes it.
//
// What of a provision is understood: type, period, actor (Practitioner, Patient,
// RelatedPerson, and Organization for whoever belongs to the organisation of the
// same id), action (which must include access), purpose, class (resource types)
// and provisions inside: a denial inside a permission, and a permission inside a
// denial, which is an exception to it. The rest (code, securityLabel, data,
// dataPeriod, deeper nesting) cannot be told of a record before it is read; a
// rule that needs it is refused when it is written, never passed over.
// Source: FHIR R4 §6.2, Consent; §6.2.7 on base policy and exceptions.

const (
	consentKind  = "Consent"
	consentScope = "http://terminology.hl7.org/CodeSystem/consentscope"
	resourceType = "http://hl7.org/fhir/resource-types"
)

// maxConsentCodes bounds the entries of one rule: the product of whom, what and
// for which purpose it denies.
const maxConsentCodes = 2000

// clause is what a provision asks, and in which period. A nil list asks nothing.
type clause struct {
	who, classes, purposes []string
	from, to               int64 // milliseconds; search.MinTime and MaxTime where open
	path                   string
}

// denial is a clause that denies, with its exceptions.
type denial struct {
	clause
	spared []clause
}

// consentDenials reads the rules of a Consent that deny anything. Invalid, with
// the path of the element, where a rule cannot be told of a record.
func consentDenials(doc map[string]any, zone *time.Location) (patient record.Key, rules []denial, err error) {
	if str(doc, "status") != "active" || !coded(doc["scope"], consentScope, "patient-privacy") {
		return patient, nil, nil
	}
	root := &clause{from: search.MinTime, to: search.MaxTime, path: consentKind + ".provision"}
	r := &consentReader{zone: zone}
	deny := coded(doc["policyRule"], actCodes, "OPTOUT") || coded(doc["policyRule"], actCodes, "OPTOUTE")
	provision, _ := doc["provision"].(map[string]any)
	if t := str(provision, "type"); t != "" {
		deny = t == "deny"
	}
	if deny {
		err = r.denial(provision, root)
	} else {
		err = r.permission(provision, root)
	}
	if err != nil || len(r.rules) == 0 {
		return patient, nil, err
	}
	ref, _ := doc["patient"].(map[string]any)
	l, ok := ParseReference(str(ref, "reference"))
	if !ok || l.URL != "" || l.Type != "Patient" {
		return patient, nil, refuseConsent(consentKind+".patient", "知情同意书中的限制必须用引用指明患者。", "A consent that denies must name its patient by a reference.")
	}
	return l.Key(), r.rules, nil
}

func refuseConsent(path, zh, en string) error {
	return errs.E(errs.Invalid, "consent", path, zh, en).At(path)
}

// actCodes is the code system of Consent.policyRule's OPTIN and OPTOUT.
const actCodes = "http://terminology.hl7.org/CodeSystem/v3-ActCode"

// coded tells whether a CodeableConcept has a coding.
func coded(concept any, system, code string) bool {
	c, _ := concept.(map[string]any)
	list, _ := c["coding"].([]any)
	return slices.ContainsFunc(list, func(v any) bool {
		m, _ := v.(map[string]any)
		return str(m, "system") == system && str(m, "code") == code
	})
}

type consentReader struct {
	zone  *time.Location
	rules []denial
}

// permission gathers the denials inside a provision that permits.
func (r *consentReader) permission(p map[string]any, around *clause) error {
	inner, _ := p["provision"].([]any)
	if !slices.ContainsFunc(inner, denies) {
		return nil // what only permits gives nobody anything
	}
	here, err := r.read(p, around.path)
	if err != nil {
		return err
	}
	if here, err = narrowed(around, here); err != nil {
		return err
	}
	for i, v := range inner {
		q, _ := v.(map[string]any)
		path := fmt.Sprintf("%s.provision[%d]", around.path, i)
		here.path = path
		if str(q, "type") == "deny" {
			err = r.denial(q, here)
		} else {
			err = r.permission(q, here)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// denies tells whether a provision or one inside it denies.
func denies(v any) bool {
	p, _ := v.(map[string]any)
	inner, _ := p["provision"].([]any)
	return str(p, "type") == "deny" || slices.ContainsFunc(inner, denies)
}

// denial keeps a provision that denies, with the permissions inside it.
func (r *consentReader) denial(p map[string]any, around *clause) error {
	here, err := r.read(p, around.path)
	if err != nil {
		return err
	}
	if here, err = narrowed(around, here); err != nil {
		return err
	}
	d := denial{clause: *here}
	inner, _ := p["provision"].([]any)
	for i, v := range inner {
		q, _ := v.(map[string]any)
		path := fmt.Sprintf("%s.provision[%d]", around.path, i)
		if deeper, _ := q["provision"].([]any); len(deeper) > 0 {
			return refuseConsent(path+".provision", "例外之中再设例外无法执行；请改写成并列的规则。", "An exception inside an exception cannot be carried out; write the rules side by side.")
		}
		if str(q, "type") == "deny" {
			continue // already denied
		}
		c, err := r.read(q, path)
		if err != nil {
			return err
		}
		d.spared = append(d.spared, *c)
	}
	if n := (len(here.who) + 1) * (len(here.classes) + 1) * (len(here.purposes) + 1); n > maxConsentCodes {
		return refuseConsent(here.path, "这条规则列举过多；请拆成几份知情同意书。", "This rule lists too much; write several consents.")
	}
	if d.from < d.to {
		r.rules = append(r.rules, d)
	}
	return nil
}

// narrowed is a clause inside another: both must hold.
func narrowed(around, here *clause) (*clause, error) {
	out := *here
	out.from, out.to = max(around.from, here.from), min(around.to, here.to)
	switch {
	case out.who == nil:
		out.who = around.who
	case around.who != nil:
		return nil, refuseConsent(here.path+".actor", "外层规则已指明对象，内层不能再指明；请改写成并列的规则。", "The rule around this one names actors already; write the rules side by side.")
	}
	both := func(a, b []string) []string {
		switch {
		case a == nil:
			return b
		case b == nil:
			return a
		}
		shared := []string{}
		for _, s := range a {
			if slices.Contains(b, s) {
				shared = append(shared, s)
			}
		}
		return shared
	}
	out.classes, out.purposes = both(around.classes, here.classes), both(around.purposes, here.purposes)
	return &out, nil
}

// origins are roles of actors that say where data come from or who consents, not
// who may see them.
var origins = []string{"AUT", "CST", "ENT", "INF", "GRANTOR", "CONSENTER"}

// read takes what a provision asks.
func (r *consentReader) read(p map[string]any, path string) (*clause, error) {
	c := &clause{from: search.MinTime, to: search.MaxTime, path: path}
	for _, name := range []string{"securityLabel", "code", "dataPeriod", "data"} {
		if p[name] != nil {
			return nil, refuseConsent(path+"."+name, "暂不能按 "+name+" 执行知情同意；请改用 actor、class、purpose 或 period。", "A consent cannot be carried out by "+name+"; use actor, class, purpose or period.")
		}
	}
	if period, ok := p["period"].(map[string]any); ok {
		var err error
		if s := str(period, "start"); s != "" {
			if c.from, _, err = search.Period(s, r.zone); err != nil {
				return nil, err
			}
		}
		if s := str(period, "end"); s != "" {
			if _, c.to, err = search.Period(s, r.zone); err != nil {
				return nil, err
			}
		}
	}
	if list, ok := p["action"].([]any); ok && !slices.ContainsFunc(list, func(v any) bool { return coded(v, consentActions, "access") }) {
		return nil, refuseConsent(path+".action", "规则的 action 须包含 access（查阅）；其他动作暂不能单独执行。", "The actions of a rule must include access; others cannot be carried out alone.")
	}
	actors, _ := p["actor"].([]any)
	for i, v := range actors {
		who, err := actorOf(v, fmt.Sprintf("%s.actor[%d]", path, i))
		if err != nil {
			return nil, err
		}
		c.who = append(c.who, who)
	}
	var err error
	if c.classes, err = codings(p, "class", path, func(system, code string) bool { return system == resourceType && IsResourceType(code) },
		"class 只能是 R4 的资源类型（"+resourceType+"）。", "A class must be a resource type of R4 ("+resourceType+")."); err != nil {
		return nil, err
	}
	c.purposes, err = codings(p, "purpose", path, func(system, code string) bool { return system == actReasons && code != "" },
		"purpose 须取自 "+actReasons+"。", "A purpose must be of "+actReasons+".")
	return c, err
}

const (
	consentActions = "http://terminology.hl7.org/CodeSystem/consentaction"
	actReasons     = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
)

// actorOf is the reference of an actor.
func actorOf(v any, path string) (string, error) {
	m, _ := v.(map[string]any)
	role, _ := m["role"].(map[string]any)
	list, _ := role["coding"].([]any)
	for _, c := range list {
		if m, _ := c.(map[string]any); slices.Contains(origins, str(m, "code")) {
			return "", refuseConsent(path+".role", "规则只能针对查阅资料的人（如 PRCP、IRCP），不能针对角色 "+str(m, "code")+"。", "A rule is about who sees data (such as PRCP, IRCP), not about the role "+str(m, "code")+".")
		}
	}
	ref, _ := m["reference"].(map[string]any)
	l, ok := ParseReference(str(ref, "reference"))
	if ok && l.URL == "" {
		switch l.Type {
		case "Practitioner", "Patient", "RelatedPerson", "Organization":
			return l.Key().String(), nil
		}
	}
	return "", refuseConsent(path+".reference", "规则的对象须是本系统中的 Practitioner、Patient、RelatedPerson 或 Organization。", "An actor must be a Practitioner, Patient, RelatedPerson or Organization of this system.")
}

func codings(p map[string]any, name, path string, ok func(system, code string) bool, zh, en string) ([]string, error) {
	var out []string
	list, _ := p[name].([]any)
	for i, v := range list {
		m, _ := v.(map[string]any)
		code := str(m, "code")
		if !ok(str(m, "system"), code) {
			return nil, refuseConsent(fmt.Sprintf("%s.%s[%d]", path, name, i), zh, en)
		}
		out = append(out, code)
	}
	return out, nil
}

// appendDenials adds the rules of a Consent to what it is found by. An exception
// that holds for a time only splits its rule into one for each stretch of time.
func appendDenials(ix *search.Index, doc map[string]any, zone *time.Location) error {
	patient, rules, err := consentDenials(doc, zone)
	if err != nil {
		return err
	}
	occ := int32(0)
	for i := range rules {
		d := &rules[i]
		for _, span := range d.spans() {
			ix.Refs = append(ix.Refs, search.Ref{Param: kind.DenyEntry, Target: patient, Occ: occ})
			ix.Tokens = d.appendCodes(ix.Tokens, kind.DenyEntry, occ)
			for j := range d.spared {
				if s := &d.spared[j]; s.from <= span[0] && span[1] <= s.to {
					ix.Tokens = s.appendCodes(ix.Tokens, kind.SpareEntry, occ)
				}
			}
			if span != [2]int64{search.MinTime, search.MaxTime} {
				ix.Dates = append(ix.Dates, search.Date{Param: kind.DenyEntry, Lo: span[0], Hi: span[1], Occ: occ})
			}
			occ++
		}
	}
	return nil
}

// spans cuts the time of a rule where one of its exceptions begins or ends.
func (d *denial) spans() (out [][2]int64) {
	cuts := []int64{d.from, d.to}
	for i := range d.spared {
		for _, at := range []int64{d.spared[i].from, d.spared[i].to} {
			if at > d.from && at < d.to {
				cuts = append(cuts, at)
			}
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i := 1; i < len(cuts); i++ {
		out = append(out, [2]int64{cuts[i-1], cuts[i]})
	}
	return out
}

func (c *clause) appendCodes(list []search.Token, entry string, occ int32) []search.Token {
	any := func(list []string) []string {
		if list == nil {
			return []string{kind.Whatever}
		}
		return list
	}
	for _, who := range any(c.who) {
		for _, class := range any(c.classes) {
			for _, purpose := range any(c.purposes) {
				list = append(list, search.Token{Param: entry, Code: kind.DenialCode(who, class, purpose), Occ: occ})
			}
		}
	}
	return list
}
