package fhir

import (
	"strings"
	"sync"
)

// definitionURL is the canonical URL by which R4 defines a search parameter of a
// type: the type and the code, unless several types share the definition.
func definitionURL(typ, code string) string {
	id := typ + "-" + code
	if strings.HasPrefix(code, "_") {
		id = "Resource-" + code[1:]
	} else if group := sharedDefinitions()[id]; group != "" {
		id = group
	}
	return "http://hl7.org/fhir/SearchParameter/" + id
}

// sharedDefinitions gives the name of a definition that several types share, by
// type and code.
var sharedDefinitions = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	for _, group := range []string{"clinical", "conformance", "individual", "medications"} {
		for name, types := range shared {
			code, ok := strings.CutPrefix(name, group+"-")
			if !ok {
				continue
			}
			for typ := range strings.FieldsSeq(types) {
				out[typ+"-"+code] = name
			}
		}
	}
	return out
})

// shared are the definitions of search parameters that several types have.
//
// Source: FHIR R4 search parameters (http://hl7.org/fhir/R4/searchparameter-registry.html).
var shared = map[string]string{
	"clinical-code":                     "AllergyIntolerance Condition DeviceRequest DiagnosticReport FamilyMemberHistory List Medication MedicationAdministration MedicationDispense MedicationRequest MedicationStatement Observation Procedure ServiceRequest",
	"clinical-date":                     "AllergyIntolerance CarePlan CareTeam ClinicalImpression Composition Consent DiagnosticReport Encounter EpisodeOfCare FamilyMemberHistory Flag Immunization List Observation Procedure RiskAssessment SupplyRequest",
	"clinical-encounter":                "Composition DeviceRequest DiagnosticReport DocumentReference Flag List NutritionOrder Observation Procedure RiskAssessment ServiceRequest VisionPrescription",
	"clinical-identifier":               "AllergyIntolerance CarePlan CareTeam Composition Condition Consent DetectedIssue DeviceRequest DiagnosticReport DocumentManifest DocumentReference Encounter EpisodeOfCare FamilyMemberHistory Goal ImagingStudy Immunization List MedicationAdministration MedicationDispense MedicationRequest MedicationStatement NutritionOrder Observation Procedure RiskAssessment ServiceRequest SupplyDelivery SupplyRequest VisionPrescription",
	"clinical-patient":                  "AllergyIntolerance CarePlan CareTeam ClinicalImpression Composition Condition Consent DetectedIssue DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference Encounter EpisodeOfCare FamilyMemberHistory Flag Goal ImagingStudy Immunization List MedicationAdministration MedicationDispense MedicationRequest MedicationStatement NutritionOrder Observation Procedure RiskAssessment ServiceRequest SupplyDelivery VisionPrescription",
	"clinical-type":                     "AllergyIntolerance Composition DocumentManifest DocumentReference Encounter EpisodeOfCare",
	"conformance-context":               "CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition ImplementationGuide MessageDefinition NamingSystem OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-context-quantity":      "CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition ImplementationGuide MessageDefinition NamingSystem OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-context-type":          "CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition ImplementationGuide MessageDefinition NamingSystem OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-context-type-quantity": "CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition ImplementationGuide MessageDefinition NamingSystem OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-context-type-value":    "CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition ImplementationGuide MessageDefinition NamingSystem OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-date":                  "CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition ImplementationGuide MessageDefinition NamingSystem OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-description":           "CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition ImplementationGuide MessageDefinition NamingSystem OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-identifier":            "CodeSystem ConceptMap MessageDefinition StructureDefinition StructureMap ValueSet",
	"conformance-jurisdiction":          "CapabilityStatement CodeSystem ConceptMap GraphDefinition ImplementationGuide MessageDefinition NamingSystem OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-name":                  "CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition ImplementationGuide MessageDefinition NamingSystem OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-publisher":             "CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition ImplementationGuide MessageDefinition NamingSystem OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-status":                "CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition ImplementationGuide MessageDefinition NamingSystem OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-title":                 "CapabilityStatement CodeSystem ConceptMap ImplementationGuide MessageDefinition OperationDefinition StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-url":                   "CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition ImplementationGuide MessageDefinition OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"conformance-version":               "CapabilityStatement CodeSystem CompartmentDefinition ConceptMap GraphDefinition ImplementationGuide MessageDefinition OperationDefinition SearchParameter StructureDefinition StructureMap TerminologyCapabilities ValueSet",
	"individual-address":                "Patient Person Practitioner RelatedPerson",
	"individual-address-city":           "Patient Person Practitioner RelatedPerson",
	"individual-address-country":        "Patient Person Practitioner RelatedPerson",
	"individual-address-postalcode":     "Patient Person Practitioner RelatedPerson",
	"individual-address-state":          "Patient Person Practitioner RelatedPerson",
	"individual-address-use":            "Patient Person Practitioner RelatedPerson",
	"individual-birthdate":              "Patient Person RelatedPerson",
	"individual-email":                  "Patient Person Practitioner PractitionerRole RelatedPerson",
	"individual-family":                 "Patient Practitioner",
	"individual-gender":                 "Patient Person Practitioner RelatedPerson",
	"individual-given":                  "Patient Practitioner",
	"individual-phone":                  "Patient Person Practitioner PractitionerRole RelatedPerson",
	"individual-phonetic":               "Patient Person Practitioner RelatedPerson",
	"individual-telecom":                "Patient Person Practitioner PractitionerRole RelatedPerson",
	"medications-date":                  "MedicationRequest",
	"medications-encounter":             "MedicationRequest",
	"medications-medication":            "MedicationAdministration MedicationDispense MedicationRequest MedicationStatement",
	"medications-prescription":          "MedicationDispense",
	"medications-status":                "MedicationAdministration MedicationDispense MedicationRequest MedicationStatement",
}
