package fhir

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"zhiwei/domain/clinical"
	"zhiwei/kernel"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
	"zhiwei/kernel/search"
	"zhiwei/kernel/store"
)

// A search of Provenance for one target also answers what the house itself knows
// of the target's versions: who wrote each, when and on whose behalf. Such a
// Provenance is derived from the history whenever it is asked for; it carries the
// tag below, has no signature, is seen by whoever may see that history, and
// cannot be written. Its id is "derived.<type>.<version>.<id>", the type by its
// number in R4's list, so that it can be read again.

const (
	provenanceType   = "Provenance"
	derivedPrefix    = "derived."
	provenanceTags   = "urn:zhiwei:provenance"
	participantTypes = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
	dataOperations   = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
)

// derivedCursor begins the cursor of the pages after the stored Provenances.
const derivedCursor = "history:"

type provenanceAgent struct {
	Type       fhirConcept    `json:"type"`
	Who        fhirReference  `json:"who"`
	OnBehalfOf *fhirReference `json:"onBehalfOf,omitempty"`
}

type provenanceResource struct {
	ResourceType string            `json:"resourceType"`
	Meta         provenanceMeta    `json:"meta"`
	Target       []fhirReference   `json:"target"`
	Recorded     string            `json:"recorded"`
	Reason       []fhirConcept     `json:"reason,omitempty"`
	Activity     fhirConcept       `json:"activity"`
	Agent        []provenanceAgent `json:"agent"`
}

type provenanceMeta struct {
	Tag []fhirCoding `json:"tag"`
}

// provenance is what the house knows of one version.
func provenance(v *record.Record) (record.Record, error) {
	operation := map[record.Op]string{record.Create: "CREATE", record.Import: "CREATE", record.Undelete: "CREATE", record.Delete: "DELETE", record.Purge: "DELETE"}[v.Mark.Op]
	if operation == "" {
		operation = "UPDATE"
	}
	agent := provenanceAgent{Type: fhirConcept{Coding: []fhirCoding{{participantTypes, "enterer", "Enterer"}}}, Who: whoOf(v.Mark.By, v.Mark.ByName)}
	if v.Mark.Behalf != "" {
		behalf := whoOf(v.Mark.Behalf, "")
		agent.OnBehalfOf = &behalf
	}
	p := provenanceResource{
		ResourceType: provenanceType, Meta: provenanceMeta{[]fhirCoding{{System: provenanceTags, Code: "derived"}}},
		Target: []fhirReference{{Reference: historyOf(v)}}, Recorded: v.UpdatedAt.UTC().Format(instant),
		Activity: fhirConcept{Coding: []fhirCoding{{System: dataOperations, Code: operation}}, Text: v.Mark.Verb},
		Agent:    []provenanceAgent{agent},
	}
	if reason, ok := v.Mark.Evidence["reason"].(string); ok && reason != "" {
		p.Reason = []fhirConcept{{Text: reason}}
	}
	data, err := json.Marshal(p)
	if err != nil {
		return record.Record{}, errs.Wrap("provenance", v.Key.String(), err)
	}
	return record.Record{
		Key: record.Key{Kind: provenanceType, ID: provenanceID(v)}, Version: 1, Home: v.Home,
		CreatedAt: v.UpdatedAt, UpdatedAt: v.UpdatedAt, EnteredAt: v.UpdatedAt, Place: v.Place, Data: data,
	}, nil
}

// provenanceID names the Provenance of one version; where the whole name would be
// too long for an id, its beginning, by which it cannot be read again.
func provenanceID(v *record.Record) string {
	n := slices.Index(clinical.ResourceTypes(), v.Kind)
	id := derivedPrefix + strconv.Itoa(n) + "." + strconv.FormatInt(v.Version, 10) + "." + v.ID
	return id[:min(len(id), 64)]
}

// derivedOf reads what provenanceID wrote.
func derivedOf(id string) (key record.Key, version int64, ok bool) {
	parts := strings.SplitN(id, ".", 4)
	if len(parts) != 4 || parts[0]+"." != derivedPrefix {
		return key, 0, false
	}
	n, err1 := strconv.Atoi(parts[1])
	version, err2 := strconv.ParseInt(parts[2], 10, 64)
	types := clinical.ResourceTypes()
	if err1 != nil || err2 != nil || n < 0 || n >= len(types) || version < 1 || !record.ValidID(parts[3]) {
		return key, 0, false
	}
	return record.Key{Kind: types[n], ID: parts[3]}, version, true
}

// readProvenance reads a derived Provenance. ok is false where the version it is
// about is not there or hidden: what is stored under the id, if anything, is then
// what is read.
func (d *Door) readProvenance(ctx context.Context, p *identity.Principal, key record.Key) (rec record.Record, ok bool, err error) {
	if key.Kind != provenanceType {
		return rec, false, nil
	}
	target, version, ok := derivedOf(key.ID)
	if !ok {
		return rec, false, nil
	}
	v, err := d.k.ReadVersion(ctx, p, target, version)
	if errs.Is(err, errs.NotFound) || errs.Is(err, errs.Forbidden) {
		return rec, false, nil
	}
	if err != nil {
		return rec, false, err
	}
	rec, err = provenance(&v)
	return rec, true, err
}

// searchProvenance answers a search for one target: what is stored, then what is
// derived, the newest version first.
func (d *Door) searchProvenance(ctx context.Context, p *identity.Principal, target record.Key, q search.Query) (search.Page, error) {
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	var page search.Page
	before, derived := strings.CutPrefix(q.After, derivedCursor)
	if !derived {
		var err error
		if page, err = d.k.Search(ctx, p, q); err != nil || page.Next != "" {
			return page, err
		}
		if len(page.Records) >= limit {
			page.Next, page.Total = derivedCursor, -1
			return page, nil
		}
	}
	page.Total = -1
	h, err := d.k.History(ctx, p, store.HistoryQuery{Key: target, Limit: limit - len(page.Records), Before: before})
	if errs.Is(err, errs.NotFound) || errs.Is(err, errs.Forbidden) {
		return page, nil // hidden, or only its present state may be seen
	}
	if err != nil {
		return page, err
	}
	for i := range h.Versions {
		rec, err := provenance(&h.Versions[i])
		if err != nil {
			return page, err
		}
		x, err := d.k.Indexed(rec)
		if err != nil {
			return page, err
		}
		if ok, err := d.k.Satisfies(ctx, p, x, q.Where); err != nil {
			return page, err
		} else if ok {
			page.Records = append(page.Records, rec)
		}
	}
	if h.Next != "" {
		page.Next = derivedCursor + h.Next
	}
	return page, nil
}

// targetOf is the one target that a search of Provenance names; ok is false
// where it names none or several.
func targetOf(where []search.Clause) (key record.Key, ok bool) {
	for i := range where {
		c := &where[i]
		if c.Param == "target" && !c.Not && c.Chain == nil && len(c.Any) == 1 && !c.Any[0].Ref.IsZero() {
			return c.Any[0].Ref, true
		}
	}
	return key, false
}

// finder answers queries as p may see them, with what the house derives of its
// own audit and history beside what is stored.
func (d *Door) finder(ctx context.Context, p *identity.Principal) finder {
	return func(q search.Query) (search.Page, error) {
		switch q.Kind {
		case auditType:
			if reach := d.auditReach(p); !reach.none() {
				return d.searchAudit(ctx, p, reach, q)
			}
		case provenanceType:
			if target, ok := targetOf(q.Where); ok {
				return d.searchProvenance(ctx, p, target, q)
			}
		}
		return d.k.Search(ctx, p, q)
	}
}

// readDerived reads what the house derives; ok is false for every other key.
func (d *Door) readDerived(ctx context.Context, p *identity.Principal, key record.Key) (record.Record, bool, error) {
	if rec, ok, err := d.readAudit(ctx, p, key); ok || err != nil {
		return rec, ok, err
	}
	return d.readProvenance(ctx, p, key)
}

// provenanceHeader carries a Provenance of what a request writes (R4
// §6.3.4.5); its target is filled in here.
const provenanceHeader = "X-Provenance"

// withProvenance lets a write also write the Provenance that its header carries,
// in the same transaction. Invalid where the header is no Provenance or names a
// target itself.
func (d *Door) withProvenance(r *http.Request, p *identity.Principal, s *step, c *commitment) error {
	raw := r.Header.Get(provenanceHeader)
	if raw == "" {
		return nil
	}
	bad := func(zh, en string) error {
		return errs.E(errs.Invalid, "write", provenanceHeader, zh, en).At(provenanceHeader)
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal([]byte(raw), &doc); err != nil || string(doc["resourceType"]) != `"`+provenanceType+`"` {
		return bad("请求头 X-Provenance 应为一个 JSON 的 Provenance 资源。", "The header X-Provenance must be a Provenance resource in JSON.")
	}
	if doc["target"] != nil {
		return bad("X-Provenance 中不要写 target；它由本次写入的资源填写。", "Leave target out of X-Provenance: it is what this request writes.")
	}
	after := c.reads
	c.reads = func(t *kernel.Txn) error {
		if s.prepared != nil && s.result.Version > 0 { // something was written
			target, err := json.Marshal([]fhirReference{{Reference: historyOf(&s.result)}})
			if err != nil {
				return errs.Wrap("write", provenanceHeader, err)
			}
			doc["target"] = target
			data, err := json.Marshal(doc)
			if err != nil {
				return errs.Wrap("write", provenanceHeader, err)
			}
			pr, err := d.k.Prepare(r.Context(), p, kernel.Change{Op: record.Create, Key: record.Key{Kind: provenanceType}, Data: data})
			if err != nil {
				return err
			}
			if _, err := t.Apply(pr); err != nil {
				return err
			}
		}
		if after != nil {
			return after(t)
		}
		return nil
	}
	return nil
}
