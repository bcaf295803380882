import { exactNumber, numberText } from './exact'
import { localReference, type Coding, type Resource } from './fhir'

/**
 * The elements people fill in by hand, a type: the usual ones of R4's
 * definitions (http://hl7.org/fhir/R4/resourcelist.html). Everything else of a
 * resource is edited as JSON; the form never touches what it does not show.
 */

/** How an element is filled in; "date" is a dateTime too where people know the day more often than the hour; "choice" is a CodeableConcept of a short list, "coding" a Coding of one. */
export type Shape = 'string' | 'text' | 'bool' | 'date' | 'dateTime' | 'code' | 'choice' | 'coding' | 'concept' | 'reference' | 'quantity'

export interface Element {
  /** FHIRPath without the type; [0] is the first of several: "name[0].text". */
  path: string
  shape: Shape
  required?: boolean
  /** URL of the value set that a list is made of. */
  codes?: string
  /** Types that a reference may name. */
  to?: string[]
  /** Siblings that are written with a first value, and taken away with the last: a telecom's system. */
  with?: Record<string, string>
}

type More = Omit<Element, 'path' | 'shape'>
const r4 = 'http://hl7.org/fhir/ValueSet/'
const one = (path: string, shape: Shape, more: More = {}): Element => ({ path, shape, ...more })
const must = (path: string, shape: Shape, more: More = {}): Element => one(path, shape, { ...more, required: true })
const list = (path: string, shape: 'code' | 'choice' | 'coding', set: string, required = false): Element => one(path, shape, { codes: set.includes(':') ? set : r4 + set, required })
const who = (path: string, required = false): Element => one(path, 'reference', { to: ['Patient'], required })
const by = (path: string): Element => one(path, 'reference', { to: ['Practitioner', 'Organization'] })

const note = one('note[0].text', 'text')
const person = [one('name[0].text', 'string'), one('name[0].family', 'string'), one('name[0].given[0]', 'string'), list('gender', 'code', 'administrative-gender'), one('birthDate', 'date')]
const number = [one('identifier[0].value', 'string'), one('identifier[0].system', 'string')]
const phone = one('telecom[0].value', 'string', { with: { system: 'phone' } })
const address = one('address[0].text', 'string')
const active = one('active', 'bool')

const elements: Record<string, Element[]> = {
  Patient: [...person, ...number, phone, address, one('managingOrganization', 'reference', { to: ['Organization'] }), active],
  Practitioner: [...person, ...number, phone, active],
  Organization: [one('name', 'string'), ...number, phone, one('partOf', 'reference', { to: ['Organization'] }), active],
  Location: [one('name', 'string'), list('status', 'code', 'location-status'), one('managingOrganization', 'reference', { to: ['Organization'] })],
  Encounter: [
    who('subject'), list('status', 'code', 'encounter-status', true), list('class', 'coding', 'http://terminology.hl7.org/ValueSet/v3-ActEncounterCode', true), one('type[0]', 'concept'),
    one('period.start', 'dateTime'), one('period.end', 'dateTime'), one('serviceProvider', 'reference', { to: ['Organization'] }), one('reasonCode[0]', 'concept'),
  ],
  Condition: [
    who('subject', true), one('code', 'concept'), list('clinicalStatus', 'choice', 'condition-clinical'), list('verificationStatus', 'choice', 'condition-ver-status'),
    one('onsetDateTime', 'date'), one('abatementDateTime', 'date'), one('recordedDate', 'date'), note,
  ],
  AllergyIntolerance: [
    who('patient', true), one('code', 'concept'), list('criticality', 'code', 'allergy-intolerance-criticality'), list('clinicalStatus', 'choice', 'allergyintolerance-clinical'),
    list('verificationStatus', 'choice', 'allergyintolerance-verification'), one('recordedDate', 'date'), one('reaction[0].manifestation[0]', 'concept'), note,
  ],
  Observation: [
    who('subject'), list('status', 'code', 'observation-status', true), list('category[0]', 'choice', 'observation-category'), must('code', 'concept'), one('effectiveDateTime', 'dateTime'),
    one('valueQuantity', 'quantity'), one('valueCodeableConcept', 'concept'), one('valueString', 'string'), by('performer[0]'), note,
  ],
  MedicationRequest: [
    who('subject', true), list('status', 'code', 'medicationrequest-status', true), list('intent', 'code', 'medicationrequest-intent', true), must('medicationCodeableConcept', 'concept'),
    one('authoredOn', 'dateTime'), by('requester'), one('dosageInstruction[0].text', 'text'), note,
  ],
  Procedure: [who('subject', true), list('status', 'code', 'event-status', true), one('code', 'concept'), one('performedDateTime', 'dateTime'), note],
  Immunization: [who('patient', true), list('status', 'code', 'immunization-status', true), must('vaccineCode', 'concept'), must('occurrenceDateTime', 'date'), one('lotNumber', 'string'), note],
  ServiceRequest: [who('subject', true), list('status', 'code', 'request-status', true), list('intent', 'code', 'request-intent', true), one('code', 'concept'), one('authoredOn', 'dateTime'), by('requester'), note],
  DiagnosticReport: [who('subject'), list('status', 'code', 'diagnostic-report-status', true), must('code', 'concept'), one('effectiveDateTime', 'dateTime'), one('conclusion', 'text')],
}

/** Elements of which a resource holds at most one: value[x], medication[x] and their like (R4 formats.html#choice). */
const choices = [['value', 'Observation'], ['effective', 'Observation'], ['effective', 'DiagnosticReport'], ['onset', 'Condition'], ['abatement', 'Condition'], ['performed', 'Procedure'], ['occurrence', 'Immunization'], ['medication', 'MedicationRequest']] as const

/** The elements a form shows for a resource; none where its type has no form. Of a choice that is made the others are left out. */
export function elementsOf(doc: Resource): Element[] {
  const own = elements[doc.resourceType] ?? []
  return own.filter(({ path }) => {
    const stem = choices.find(([s, type]) => type === doc.resourceType && new RegExp(`^${s}[A-Z]`).test(path))?.[0]
    const made = stem && Object.keys(doc).find((name) => new RegExp(`^${stem}[A-Z]`).test(name))
    return !made || made === path
  })
}

/** A new resource of a type: what nearly always holds, and the patient it was begun for. */
export function begun(type: string, about: string): Resource {
  const coded = (system: string, code: string) => ({ coding: [{ system, code }] })
  const usual: Record<string, Record<string, unknown>> = {
    Patient: { active: true },
    Practitioner: { active: true },
    Organization: { active: true },
    Condition: { clinicalStatus: coded('http://terminology.hl7.org/CodeSystem/condition-clinical', 'active') },
    AllergyIntolerance: { clinicalStatus: coded('http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical', 'active') },
    Observation: { status: 'final' },
    MedicationRequest: { status: 'active', intent: 'order' },
    Procedure: { status: 'completed' },
    Immunization: { status: 'completed' },
  }
  const doc: Resource = { resourceType: type, ...usual[type] }
  const subject = elements[type]?.find((e) => e.to?.[0] === 'Patient')
  return about && subject ? put(doc, subject.path, { reference: about }) : doc
}

/** The steps of a path: "name[0].text" → name, 0, text. */
function steps(path: string): (string | number)[] {
  return path.split(/[.[\]]+/).filter(Boolean).map((s) => (/^\d+$/.test(s) ? Number(s) : s))
}

/** What stands at a path; undefined where nothing does. */
export function at(doc: unknown, path: string): unknown {
  return steps(path).reduce<unknown>((v, step) => (v !== null && typeof v === 'object' ? (v as Record<string | number, unknown>)[step] : undefined), doc)
}

function bare(v: unknown): boolean {
  return v === undefined || (v !== null && typeof v === 'object' && !('rawJSON' in v) && Object.keys(v).length === 0)
}

function putAt(holder: unknown, [step, ...rest]: (string | number)[], value: unknown): unknown {
  if (step === undefined) return value
  const next = putAt(holder !== null && typeof holder === 'object' ? (holder as Record<string | number, unknown>)[step] : undefined, rest, value)
  if (typeof step === 'number') {
    const all = Array.isArray(holder) ? [...(holder as unknown[])] : []
    if (bare(next)) all.splice(step, 1)
    else all[step] = next
    return all
  }
  const copy = { ...(holder as Record<string, unknown> | undefined) }
  if (bare(next)) delete copy[step]
  else copy[step] = next
  return copy
}

/** A copy of a resource with a value at a path; undefined takes it away, with whatever is empty then. */
export function put(doc: Resource, path: string, value: unknown): Resource {
  return putAt(doc, steps(path), value) as Resource
}

/** A copy of a resource with the value of an element, its companions with it. */
export function fill(doc: Resource, element: Element, value: unknown): Resource {
  let out = put(doc, element.path, value)
  if (!element.with) return out
  const holder = element.path.slice(0, element.path.lastIndexOf('.'))
  const left = at(out, holder) as Record<string, unknown> | undefined
  for (const [name, text] of Object.entries(element.with)) {
    if (!bare(value) && left?.[name] === undefined) out = put(out, `${holder}.${name}`, text)
    else if (bare(value) && left && Object.keys(left).every((k) => element.with![k] === left[k])) out = put(out, `${holder}.${name}`, undefined)
  }
  return out
}

/** The coding that a concept, a coding or a code chooses of a list; '' for none. */
export function chosen(element: Element, value: unknown): string {
  if (element.shape === 'code') return typeof value === 'string' ? value : ''
  const coding = element.shape === 'coding' ? (value as Coding | undefined) : (value as { coding?: Coding[] } | undefined)?.coding?.[0]
  return coding?.code ?? ''
}

/** The value of an element for a code of its list. */
export function choose(element: Element, code: Coding | undefined): unknown {
  if (!code) return undefined
  if (element.shape === 'code') return code.code
  const coding = { system: code.system, code: code.code, ...(code.display ? { display: code.display } : {}) }
  return element.shape === 'coding' ? coding : { coding: [coding] }
}

/** "Patient/17" of a Reference, as people pick it; an address elsewhere as it stands. */
export function referred(value: unknown): string {
  const reference = (value as { reference?: string } | undefined)?.reference ?? ''
  return localReference(reference) || reference
}

/** A Quantity as people type it. */
export function amount(value: unknown): { value?: string; unit?: string } {
  const q = (value ?? {}) as { value?: unknown; unit?: string; code?: string }
  return { value: numberText(q.value) || (typeof q.value === 'string' ? q.value : ''), unit: q.unit ?? q.code }
}

/** A Quantity of what was typed. A unit that was changed loses the code of the old one; text that is no number stays text, for the check to object to. */
export function measured(before: unknown, typed: { value?: string; unit?: string } | undefined): unknown {
  if (!typed?.value) return undefined
  const old = (before ?? {}) as Record<string, unknown>
  const value = exactNumber(typed.value) ?? typed.value
  if (typed.unit === amount(before).unit) return { ...old, value }
  return { value, ...(typed.unit ? { unit: typed.unit, system: 'http://unitsofmeasure.org', code: typed.unit } : {}) }
}
