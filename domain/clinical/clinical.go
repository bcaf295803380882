// Package clinical is the shape of clinical records: the resource types of FHIR
// R4 (4.0.1) as kinds, how their documents are checked, stored and found. It
// speaks no protocol and holds no workflow: an application adds a lifecycle by
// a profile, a door serves the resources.
package clinical
