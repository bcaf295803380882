// Package terminology answers what codes mean: which code systems, value sets
// and maps there are, whether a code is in a set, what stands above and below
// it, and how it is called in Chinese and English. It does not check resources;
// who does asks it about their codes.
//
// What the program carries (Standard) is the terminology of FHIR R4 with the v2
// and v3 tables and the ICD-10 categories in Chinese. A Service adds what the
// hospital has: CodeSystem, ValueSet and ConceptMap resources, and the concepts
// of imported systems, which are records of their own.
//
// Sources: FHIR R4 §4.6–4.9 (using codes, CodeSystem, ValueSet, ConceptMap) and
// the operations of the terminology service (terminology-service.html).
package terminology

import (
	"strings"

	"zhiwei/domain/terminology/internal/content"
)

// The shapes of terminology, as they are in memory.
type (
	// Coding is a code in a system.
	Coding = content.Coding
	// Concept is one code with its names, its place in the hierarchy and its
	// properties.
	Concept = content.Concept
	// Designation is another name of a concept.
	Designation = content.Designation
	// Property is one further statement about a concept.
	Property = content.Property
	// Dependency is what a map needs or gives beside a code.
	Dependency = content.Dependency
)

// Found is a concept with the system it stands in.
type Found struct {
	System  string
	Version string // of the system; empty: it has none
	Concept *Concept
	Display string // what the value set calls it, else the concept's own display

	held holding
}

// ICD10 is the system of the categories that the program carries in Chinese.
const ICD10 = "http://hl7.org/fhir/sid/icd-10"

// canonical splits url|version.
func canonical(s string) (url, version string) {
	url, version, _ = strings.Cut(s, "|")
	return url, version
}
