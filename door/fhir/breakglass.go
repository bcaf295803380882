package fhir

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"zhiwei/domain/clinical"
	"zhiwei/door/gate"
	"zhiwei/kernel"
	"zhiwei/kernel/audit"
	"zhiwei/kernel/errs"
	"zhiwei/kernel/identity"
	"zhiwei/kernel/record"
)

// breakGlassRoutes are the operation that opens a patient's records in an
// emergency.
func (d *Door) breakGlassRoutes() []gate.Route {
	return []gate.Route{{
		Method: http.MethodPost, Pattern: Prefix + "/Patient/{id}/$break-glass", Permission: gate.Can(clinical.BreakGlassKind, "create"),
		Action: "break-glass", Handle: d.breakGlass, Problem: d.problem,
	}}
}

// breakGlass answers POST /fhir/Patient/{id}/$break-glass with Parameters
// "reason" (a string, required) and "minutes" (how long, by default
// clinical.BreakGlassMinutes, at most BreakGlassMaxMinutes). It answers with
// Parameters: the opening's reference in the house, the patient and when it ends.
// Whether there is such a patient is told to nobody who cannot break the glass;
// who can is told, and the audit keeps that he asked.
//
// Errors: Invalid without a reason or with an impossible time; NotFound where
// there is no such patient.
func (d *Door) breakGlass(w http.ResponseWriter, r *http.Request, p *identity.Principal) error {
	patient := record.Key{Kind: "Patient", ID: r.PathValue("id")}
	if !record.ValidID(patient.ID) {
		return errs.NotFoundf("break-glass", "%s", patient)
	}
	audit.TrailOf(r.Context()).Name("break-glass", patient.String())
	params, err := operationParams(r)
	if err != nil {
		return err
	}
	bad := func(name, zh, en string) error { return errs.E(errs.Invalid, "break-glass", name, zh, en).At(name) }
	minutes := clinical.BreakGlassMinutes
	for name, values := range params {
		switch {
		case name == "_format" || name == "_pretty" || name == "reason":
		case name == "minutes":
			if minutes, err = strconv.Atoi(values[0]); err != nil || minutes < 1 || minutes > clinical.BreakGlassMaxMinutes {
				return bad(name, "minutes 应为 1–"+strconv.Itoa(clinical.BreakGlassMaxMinutes)+" 的整数。", "minutes is a whole number from 1 to "+strconv.Itoa(clinical.BreakGlassMaxMinutes)+".")
			}
		default:
			return unknownParameter(name)
		}
	}
	reason := strings.TrimSpace(params.Get("reason"))
	if reason == "" {
		return bad("reason", "请写明打开患者记录的理由（参数 reason）。", "Say why the patient's records must be opened (the parameter reason).")
	}
	from := d.k.Clock().Now().UTC().Truncate(time.Second)
	until := from.Add(time.Duration(minutes) * time.Minute)
	data, err := json.Marshal(map[string]any{
		"member": p.ID, "patient": patient.String(), "reason": reason, "from": from.Format(time.RFC3339), "until": until.Format(time.RFC3339),
	})
	if err != nil {
		return errs.Wrap("break-glass", patient.String(), err)
	}
	audit.TrailOf(r.Context()).Opened(reason)
	made, err := d.k.Write(r.Context(), p, kernel.Change{Op: record.Create, Key: record.Key{Kind: clinical.BreakGlassKind}, Data: data})
	if errs.Is(err, errs.Conflict) {
		return errs.NotFoundf("break-glass", "%s", patient).Because(err)
	}
	if err != nil {
		return err
	}
	return sendJSON(w, r, http.StatusOK, map[string]any{
		"resourceType": "Parameters",
		"parameter": []map[string]any{
			{"name": "opening", "valueString": made[0].Key.String()},
			{"name": "patient", "valueReference": fhirReference{Reference: patient.String()}},
			{"name": "until", "valueInstant": until.Format(instant)},
		},
	})
}
