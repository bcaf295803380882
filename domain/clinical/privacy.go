package clinical

import "zhiwei/kernel/kind"

// confidentiality is the code system of meta.security that says how far a record
// may be shown. Source: HL7 v3 Confidentiality; FHIR R4 §6.1.1.
const confidentiality = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"

// Roles that see what others do not.
const (
	// RoleRestricted sees restricted records (R) wherever a grant shows the others.
	RoleRestricted = "clinical-restricted"
	// RoleVeryRestricted sees restricted and very restricted records (R, V).
	RoleVeryRestricted = "clinical-very-restricted"
	// RoleBreakGlass may open the records of a patient he does not treat.
	RoleBreakGlass = "break-glass"
	// RoleReviewer reviews what was opened so.
	RoleReviewer = "privacy-reviewer"
)

// Privacy declares what stands against seeing a patient's records:
//
//   - consents of the patient that deny (see consent.go), unless the glass was
//     broken (see breakglass.go);
//   - the confidentiality R, which is shown to those who treat and to whoever
//     wrote it, and V, shown to whoever wrote it. Breaking the glass shows both.
func Privacy() kind.Privacy {
	return kind.Privacy{
		Opening: kind.Relation{Kind: BreakGlassKind, Member: "member", Subject: "patient", States: []string{"open"}, Until: "until"},
		Opener:  RoleBreakGlass,
		Denial:  kind.Denial{Kind: consentKind, Subject: "patient"},
		Labels: []kind.Label{
			{System: confidentiality, Code: "R", When: []string{kind.Own, kind.Treating, kind.Opened}, Roles: []string{RoleRestricted, RoleVeryRestricted}},
			{System: confidentiality, Code: "V", When: []string{kind.Own, kind.Opened}, Roles: []string{RoleVeryRestricted}},
		},
	}
}
