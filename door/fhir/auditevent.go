package fhir

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"zhiwei/domain/clinical"
	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
)

// The house's own audit is read as AuditEvent beside those that clients post.
// Each entry is one, with the id "audit.<number>"; it has one version and cannot
// be written. Who keeps the audit reads all of it (the role of the audit
// administrator, or a token whose scopes name AuditEvent); a token launched for
// one patient reads what is about that patient.

const (
	auditType   = "AuditEvent"
	auditPrefix = "audit."
	// auditScanned bounds the entries that one page looks at, where few of them are
	// what was asked for: the page is then short and its next link goes on.
	auditScanned = 20_000
	auditBatch   = 500
)

// Code systems of R4's AuditEvent.
const (
	auditEventType   = "http://terminology.hl7.org/CodeSystem/audit-event-type"
	interactions     = "http://hl7.org/fhir/restful-interaction"
	dicomCodes       = "http://dicom.nema.org/resources/ontology/DCM"
	entityTypes      = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
	objectRoles      = "http://terminology.hl7.org/CodeSystem/object-role"
	sourceTypes      = "http://terminology.hl7.org/CodeSystem/security-source-type"
	actReason        = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
	principalSystem  = "urn:zhiwei:principal"
	auditActionCodes = "urn:zhiwei:audit-action"
)

// auditReach is which entries of the house's audit a principal may read.
type auditReach struct {
	all     bool
	patient string // where not all: those about this patient; empty: none
}

func (d *Door) auditReach(p *identity.Principal) auditReach {
	reads := func(scope string) bool {
		_, perms, _ := strings.Cut(scope, ".")
		return strings.ContainsAny(perms, "r*")
	}
	switch {
	case d.k.Rules().Predicate(p, auditType, "read").None():
		return auditReach{}
	case p.Trusted(), p.Has(kernel.RoleAuditAdmin):
		return auditReach{all: true}
	}
	for _, s := range p.Scopes {
		// "system/*" is not enough: that much is given to every interface, and the
		// audit is for those who keep it.
		if strings.HasPrefix(s, "system/"+auditType+".") && reads(s) {
			return auditReach{all: true}
		}
	}
	if slices.ContainsFunc(p.Scopes, func(s string) bool { return strings.HasPrefix(s, "patient/") && reads(s) }) {
		return auditReach{patient: p.Patient}
	}
	return auditReach{}
}

func (a auditReach) none() bool { return !a.all && a.patient == "" }

func (a auditReach) sees(e *audit.Entry) bool {
	return a.all || a.patient != "" && e.Patient == a.patient
}

// readAudit reads one entry of the house's audit. ok is false where there is no
// such entry or it is hidden: what is stored under the id, if anything, is then
// what is read.
func (d *Door) readAudit(ctx context.Context, p *identity.Principal, key record.Key) (rec record.Record, ok bool, err error) {
	digits, ok := strings.CutPrefix(key.ID, auditPrefix)
	if !ok || key.Kind != auditType {
		return rec, false, nil
	}
	seq, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || seq < 1 {
		return rec, false, nil //nolint:nilerr // an id like any other
	}
	if reach := d.auditReach(p); !reach.none() {
		list, err := d.k.Store().Audits(ctx, audit.Query{Before: seq + 1, Limit: 1})
		if err != nil {
			return rec, true, err
		}
		if len(list) == 1 && list[0].Seq == seq && reach.sees(&list[0]) {
			audit.TrailOf(ctx).Read(list[0].Patient)
			rec, err = d.auditEvent(&list[0])
			return rec, true, err
		}
	}
	return rec, false, nil
}

// auditCursor is a place in both: the stored AuditEvents and the house's audit.
type auditCursor struct {
	Stored     string `json:"s,omitempty"`
	House      int64  `json:"h,omitempty"`
	StoredDone bool   `json:"sd,omitempty"`
	HouseDone  bool   `json:"hd,omitempty"`
}

// searchAudit answers a search of AuditEvent over both, newest first.
func (d *Door) searchAudit(ctx context.Context, p *identity.Principal, reach auditReach, q search.Query) (search.Page, error) {
	newest := []search.Sort{{Param: "date", Desc: true}}
	if len(q.Sort) > 0 && !slices.Equal(q.Sort, newest) {
		return search.Page{}, errs.E(errs.Invalid, "search", "_sort", "审计记录只能按 -date 排序。", "The audit is sorted by -date only.").At("_sort")
	}
	q.Sort = newest
	var at auditCursor
	if q.After != "" {
		raw, err := base64.RawURLEncoding.DecodeString(q.After)
		if err != nil || json.Unmarshal(raw, &at) != nil {
			return search.Page{}, errs.E(errs.Invalid, "search", cursorParam, "分页位置无效；请从第一页重新开始。", "The page cursor is not valid; start again from the first page.").At(cursorParam)
		}
	}
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	stored := search.Page{Total: -1}
	q.Limit, q.After = limit, at.Stored
	if !at.StoredDone {
		var err error
		if stored, err = d.k.Search(ctx, p, q); err != nil {
			return stored, err
		}
	}
	house := houseAudit{door: d, ctx: ctx, p: p, reach: reach, at: at.House, done: at.HouseDone}
	if err := house.gather(q.Where, limit); err != nil {
		return search.Page{}, err
	}
	out := search.Page{Total: -1}
	i, j := 0, 0
	for len(out.Records) < limit {
		switch {
		case j < len(house.found) && (i == len(stored.Records) || !recorded(&stored.Records[i]).After(house.found[j].UpdatedAt)):
			out.Records = append(out.Records, house.found[j])
			at.House = house.seqs[j]
			j++
			continue
		case i < len(stored.Records) && (j < len(house.found) || house.done || !recorded(&stored.Records[i]).Before(house.horizon)):
			out.Records = append(out.Records, stored.Records[i])
			i++
			continue
		}
		break
	}
	if j == len(house.found) {
		at.House, at.HouseDone = house.at, house.done
	}
	if !at.StoredDone {
		switch {
		case i == len(stored.Records):
			at.Stored, at.StoredDone = stored.Next, stored.Next == ""
		case i > 0: // the place after the last that was taken
			q.Limit = i
			page, err := d.k.Store().Search(ctx, d.k.View(p), q)
			if err != nil {
				return out, err
			}
			at.Stored = page.Next
		}
	}
	if !at.StoredDone || !at.HouseDone {
		raw, err := json.Marshal(at)
		if err != nil {
			return out, errs.Wrap("search", auditType, err)
		}
		out.Next = base64.RawURLEncoding.EncodeToString(raw)
	}
	audit.TrailOf(ctx).ReadMany("", j)
	return out, nil
}

// recorded is when a stored AuditEvent was recorded.
func recorded(r *record.Record) time.Time {
	var doc struct {
		Recorded time.Time `json:"recorded"`
	}
	if json.Unmarshal(r.Data, &doc) != nil {
		return r.UpdatedAt
	}
	return doc.Recorded
}

// houseAudit gathers the entries of the house's audit that satisfy a search.
type houseAudit struct {
	door  *Door
	ctx   context.Context
	p     *identity.Principal
	reach auditReach

	at      int64 // entries with a smaller number are still to come; 0: all
	done    bool
	horizon time.Time // everything newer has been looked at
	found   []record.Record
	seqs    []int64
}

func (h *houseAudit) gather(where []search.Clause, limit int) error {
	q := pushed(where)
	if q.Patient == "" {
		q.Patient = h.reach.patient
	}
	q.Limit = auditBatch
	for scanned := 0; !h.done && len(h.found) < limit && scanned < auditScanned; {
		q.Before = h.at
		list, err := h.door.k.Store().Audits(h.ctx, q)
		if err != nil {
			return err
		}
		for i := range list {
			e := &list[i]
			scanned++
			h.at, h.horizon = e.Seq, e.At
			if !h.reach.sees(e) {
				continue
			}
			rec, err := h.door.auditEvent(e)
			if err != nil {
				return err
			}
			x, err := h.door.k.Indexed(rec)
			if err != nil {
				return err
			}
			ok, err := h.door.k.Satisfies(h.ctx, h.p, x, where)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			h.found, h.seqs = append(h.found, rec), append(h.seqs, e.Seq)
			if len(h.found) == limit {
				return nil
			}
		}
		h.done = len(list) < auditBatch
	}
	return nil
}

// pushed takes from the clauses what the store's audit is indexed by. It may
// select too much, never too little.
func pushed(where []search.Clause) (q audit.Query) {
	for i := range where {
		c := &where[i]
		if c.Not || c.Missing != nil || c.Chain != nil || c.Has != nil || c.Beside != "" || len(c.Any) != 1 {
			continue
		}
		v := &c.Any[0]
		switch {
		case c.Param == "patient" && !v.Ref.IsZero():
			q.Patient = v.Ref.String()
		case c.Param == "altid" && v.Code != "":
			q.Who = v.Code
		case c.Param == "outcome" && v.Code == "0":
			q.Outcome = audit.OK
		case c.Param == "date" && (v.Compare == search.Ge || v.Compare == search.Gt || v.Compare == search.Sa || v.Compare == search.Eq) && v.Lo > search.MinTime:
			q.Since = later(q.Since, time.UnixMilli(v.Lo).UTC())
		}
		if c.Param == "date" && (v.Compare == search.Le || v.Compare == search.Lt || v.Compare == search.Eb || v.Compare == search.Eq) && v.Hi < search.MaxTime {
			if until := time.UnixMilli(v.Hi).UTC(); q.Until.IsZero() || until.Before(q.Until) {
				q.Until = until
			}
		}
	}
	return q
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// fhirCoding and the types below are as much of R4's data types as we write.
type fhirCoding struct {
	System  string `json:"system,omitempty"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

type fhirConcept struct {
	Coding []fhirCoding `json:"coding,omitempty"`
	Text   string       `json:"text,omitempty"`
}

type fhirReference struct {
	Reference  string          `json:"reference,omitempty"`
	Identifier *fhirIdentifier `json:"identifier,omitempty"`
	Display    string          `json:"display,omitempty"`
}

type fhirIdentifier struct {
	System string `json:"system,omitempty"`
	Value  string `json:"value"`
}

// whoOf refers to a principal: by reference where it is a FHIR resource, else by
// its name in the house.
func whoOf(id, name string) fhirReference {
	if key, ok := record.ParseKey(id); ok && clinical.IsResourceType(key.Kind) {
		return fhirReference{Reference: id, Display: name}
	}
	return fhirReference{Identifier: &fhirIdentifier{principalSystem, id}, Display: name}
}

type auditAgent struct {
	Who       fhirReference `json:"who"`
	AltID     string        `json:"altId,omitempty"`
	Name      string        `json:"name,omitempty"`
	Requestor bool          `json:"requestor"`
	Network   *auditNetwork `json:"network,omitempty"`
}

type auditNetwork struct {
	Address string `json:"address"`
	Type    string `json:"type"`
}

type auditEntity struct {
	What  *fhirReference `json:"what,omitempty"`
	Type  *fhirCoding    `json:"type,omitempty"`
	Role  *fhirCoding    `json:"role,omitempty"`
	Name  string         `json:"name,omitempty"`
	Query []byte         `json:"query,omitempty"` // base64 in JSON
}

type auditEventResource struct {
	ResourceType   string        `json:"resourceType"`
	Type           fhirCoding    `json:"type"`
	Subtype        []fhirCoding  `json:"subtype,omitempty"`
	Action         string        `json:"action"`
	Recorded       string        `json:"recorded"`
	Outcome        string        `json:"outcome"`
	OutcomeDesc    string        `json:"outcomeDesc,omitempty"`
	PurposeOfEvent []fhirConcept `json:"purposeOfEvent,omitempty"`
	Agent          []auditAgent  `json:"agent"`
	Source         auditSource   `json:"source"`
	Entity         []auditEntity `json:"entity,omitempty"`
}

type auditSource struct {
	Site     string        `json:"site,omitempty"`
	Observer fhirReference `json:"observer"`
	Type     []fhirCoding  `json:"type"`
}

// auditOutcomes are R4's codes for our outcomes: a refusal is the lesser failure.
var auditOutcomes = map[audit.Outcome]string{audit.OK: "0", audit.Refused: "4", audit.Failed: "8"}

// printable makes any text one that FHIR takes as a string: what strangers sent
// stands in the audit as they sent it.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if c < ' ' || c == utf8.RuneError || c == 0x7f {
			return ' '
		}
		return c
	}, s))
}

// auditEvent is one entry of the house's audit as a resource.
func (d *Door) auditEvent(entry *audit.Entry) (record.Record, error) {
	shown := *entry
	e := &shown
	for _, s := range []*string{&e.Who, &e.Name, &e.Behalf, &e.Purpose, &e.Reason, &e.Action, &e.Subject, &e.Detail, &e.Remote} {
		*s = printable(*s)
	}
	a := auditEventResource{
		ResourceType: auditType, Action: auditAction(e.Action), Recorded: e.At.UTC().Format(instant),
		Type:    fhirCoding{auditEventType, "rest", "RESTful Operation"},
		Outcome: cmp.Or(auditOutcomes[e.Outcome], "8"), OutcomeDesc: e.Detail,
		Source: auditSource{
			Site: d.k.Site(), Observer: fhirReference{Identifier: &fhirIdentifier{principalSystem, "site/" + d.k.Site()}, Display: "Zhiwei " + d.k.Site()},
			Type: []fhirCoding{{sourceTypes, "4", "Application Server"}},
		},
	}
	switch {
	case strings.HasPrefix(e.Action, "sign-in"), strings.HasPrefix(e.Action, "sign-out"):
		a.Type = fhirCoding{dicomCodes, "110114", "User Authentication"}
		a.Subtype = []fhirCoding{{dicomCodes, "110122", "Login"}}
		if strings.HasPrefix(e.Action, "sign-out") {
			a.Subtype[0] = fhirCoding{dicomCodes, "110123", "Logout"}
		}
	case slices.Contains(restfulActions, e.Action):
		a.Subtype = []fhirCoding{{interactions, e.Action, e.Action}}
	default:
		a.Subtype = []fhirCoding{{auditActionCodes, strings.Join(strings.Fields(cmp.Or(e.Action, "unknown")), "-"), ""}}
	}
	if e.Purpose != "" || e.Reason != "" {
		c := fhirConcept{Text: e.Reason}
		if e.Purpose != "" {
			c.Coding = []fhirCoding{{System: actReason, Code: strings.Join(strings.Fields(e.Purpose), "-")}}
		}
		a.PurposeOfEvent = []fhirConcept{c}
	}
	e.Who = cmp.Or(e.Who, "nobody")
	agent := auditAgent{Who: whoOf(e.Who, e.Name), AltID: e.Who, Name: e.Name, Requestor: true}
	if e.Remote != "" {
		agent.Network = &auditNetwork{Address: e.Remote, Type: "2"} // an IP address
	}
	a.Agent = append(a.Agent, agent)
	if e.Behalf != "" {
		a.Agent = append(a.Agent, auditAgent{Who: whoOf(e.Behalf, ""), AltID: e.Behalf})
	}
	a.Entity = auditEntities(e)
	data, err := json.Marshal(a)
	if err != nil {
		return record.Record{}, errs.Wrap("audit", auditType, err)
	}
	return record.Record{
		Key: record.Key{Kind: auditType, ID: auditPrefix + strconv.FormatInt(e.Seq, 10)}, Version: 1, Home: d.k.Site(),
		CreatedAt: e.At, UpdatedAt: e.At, EnteredAt: e.At, Data: data,
	}, nil
}

// restfulActions are the actions of the audit that R4's restful-interaction
// names so.
var restfulActions = []string{"read", "vread", "update", "patch", "delete", "history", "create", "search", "capabilities", "transaction", "batch", "operation"}

// auditAction is R4's audit-event-action for an action of the house; what is not
// one of the four is an execution.
func auditAction(action string) string {
	switch action {
	case "create", "import":
		return "C"
	case "read", "vread", "search", "history", "export":
		return "R"
	case "update", "patch", "undelete":
		return "U"
	case "delete", "purge":
		return "D"
	}
	if strings.HasPrefix(action, "verb:") {
		return "U"
	}
	return "E"
}

// auditEntities are what an entry is about: the patient, and what was asked for.
// A query stands as such: R4 constraint sev-1 allows a name or a query.
func auditEntities(e *audit.Entry) (out []auditEntity) {
	if key, ok := record.ParseKey(e.Patient); ok && clinical.IsResourceType(key.Kind) {
		out = append(out, auditEntity{
			What: &fhirReference{Reference: e.Patient}, Type: &fhirCoding{entityTypes, "1", "Person"}, Role: &fhirCoding{objectRoles, "1", "Patient"},
		})
	}
	if e.Subject == "" || strings.TrimPrefix(e.Subject, Prefix+"/") == e.Patient {
		return out
	}
	x := auditEntity{Type: &fhirCoding{entityTypes, "2", "System Object"}}
	subject, _, _ := strings.Cut(e.Subject, " +")     // "Kind/id +3": the first of several
	subject = strings.TrimPrefix(subject, Prefix+"/") // what was read stands there by its address
	of, version, _ := strings.Cut(subject, "/_history")
	key, isKey := record.ParseKey(of)
	_, query, isQuery := strings.Cut(e.Subject, "?")
	switch {
	case isKey && clinical.IsResourceType(key.Kind):
		x.What = &fhirReference{Reference: of}
		if _, n, ok := strings.Cut(version, "/"); ok && record.ValidID(n) {
			x.What.Reference = subject
		}
		x.Role = &fhirCoding{objectRoles, "4", "Domain Resource"}
	case isQuery && query != "":
		x.Query = []byte(e.Subject)
		x.Role = &fhirCoding{objectRoles, "24", "Query"}
	}
	if x.Query == nil && x.What == nil {
		x.Name = e.Subject
	}
	return append(out, x)
}
