import { kindNamed } from '../model/catalogue'
import { refName } from '../model/names'
import { short } from '../model/time'
import { locale, say } from '../words'
import { numberText } from './exact'
import { localReference, type Coding, type Resource } from './fhir'
import { c } from '../words/clinical'

/*
 * FHIR R4 data types as people read them. Every function takes what stood at the
 * element, of any shape, and gives '' where it is not there or not of the type.
 */

type Parts = Record<string, unknown>

function parts(v: unknown): Parts | undefined {
  return v !== null && typeof v === 'object' && !Array.isArray(v) ? (v as Parts) : undefined
}

function list(v: unknown): unknown[] {
  return Array.isArray(v) ? v : v === undefined || v === null ? [] : [v]
}

function str(v: unknown): string {
  return typeof v === 'string' ? v : typeof v === 'number' || typeof v === 'boolean' ? String(v) : ''
}

/** A HumanName: its text, else its parts; names in Chinese characters are written family first, without spaces. */
export function humanName(v: unknown): string {
  const name = parts(v)
  if (!name) return ''
  if (str(name.text)) return str(name.text)
  const family = str(name.family)
  const given = list(name.given).map(str)
  if (/\p{Script=Han}/u.test(family + given.join(''))) return family + given.join('')
  return [...list(name.prefix).map(str), ...given, family].filter(Boolean).join(' ')
}

/** The name to call somebody by: the official one, else the usual, else the first that is not an old one. */
export function nameOfPerson(resource: Resource): string {
  const names = list(resource.name).map(parts)
  const by = (use: string) => names.find((n) => n?.use === use)
  return humanName(by('official') ?? by('usual') ?? names.find((n) => n?.use !== 'old' && n?.use !== 'maiden') ?? names[0])
}

/** A Coding, by its display. */
export function coding(v: unknown): string {
  const it = parts(v)
  return it ? str(it.display) || str(it.code) : ''
}

/** A CodeableConcept: its text, else the first display, else the first code. */
export function concept(v: unknown): string {
  const it = parts(v)
  if (!it) return ''
  if (str(it.text)) return str(it.text)
  const codings = list(it.coding)
  return str(parts(codings.find((x) => str(parts(x)?.display)))?.display) || str(parts(codings[0])?.code)
}

/** The codings of one CodeableConcept or of a list of them. */
export function codings(v: unknown): Coding[] {
  return list(v).flatMap((it) => list(parts(it)?.coding) as Coding[])
}

/** A date, dateTime or instant as exact as it was given: "2021", "2021-03", "2021-03-04" stay; times are shown to the minute here. */
export function date(v: unknown): string {
  const s = str(v)
  return s.includes('T') ? short(s) : s
}

/** The day of a date, dateTime or instant, in the zone of the browser: "2026-09-03". */
export function day(v: unknown): string {
  const s = str(v)
  const at = new Date(s)
  if (!s.includes('T') || Number.isNaN(at.getTime())) return s
  return `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, '0')}-${String(at.getDate()).padStart(2, '0')}`
}

/** A Period. */
export function period(v: unknown): string {
  const it = parts(v)
  if (!it || (!it.start && !it.end)) return ''
  return `${date(it.start) || '…'} – ${date(it.end) || c('until.now')}`
}

/** A Quantity, Age, Money …: comparator, number, unit. */
export function quantity(v: unknown): string {
  const it = parts(v)
  if (!it || it.value === undefined) return ''
  const unit = str(it.unit) || str(it.code) || str(it.currency)
  return str(it.comparator) + number(it.value) + (unit && unit !== '1' ? ' ' + unit : '')
}

/** A number to at most four places, as tables show it; the JSON tree shows it whole. */
export function number(v: unknown): string {
  return typeof v === 'number' ? new Intl.NumberFormat(locale(), { maximumFractionDigits: 4, useGrouping: false }).format(v) : numberText(v) || str(v)
}

/** A Reference: its display, else the name of the record it points at, once that is known and where it may be seen, else what it says. */
export function reference(v: unknown): string {
  const it = parts(v)
  if (!it) return ''
  if (str(it.display)) return str(it.display)
  const to = str(it.reference)
  const local = localReference(to)
  return (local && refName(local)) || to || identifier(it.identifier)
}

/** An Identifier: its value. */
export function identifier(v: unknown): string {
  return str(parts(v)?.value)
}

/** Any element whose type is not known here, by what it looks like. */
export function anything(v: unknown): string {
  if (Array.isArray(v)) return v.map(anything).filter(Boolean).join(c('say.and'))
  const it = parts(v)
  if (!it) return typeof v === 'string' && /^\d{4}-\d\d-\d\dT/.test(v) ? date(v) : typeof v === 'boolean' ? c(v ? 'yes' : 'no') : str(v)
  if ('coding' in it || ('text' in it && !('family' in it) && !('given' in it))) return concept(it)
  if ('family' in it || 'given' in it) return humanName(it)
  if ('reference' in it) return reference(it)
  if ('start' in it || 'end' in it) return period(it)
  if ('value' in it && 'system' in it && !('unit' in it) && !('code' in it)) return identifier(it)
  if ('value' in it) return numberText(it.value) ? quantity(it) : str(it.value)
  if ('code' in it && 'system' in it) return coding(it)
  if ('numerator' in it) return `${quantity(it.numerator)} / ${quantity(it.denominator)}`
  if ('low' in it || 'high' in it) return `${quantity(it.low)} – ${quantity(it.high)}`
  if ('line' in it || 'city' in it) return [it.state, it.city, it.district, ...list(it.line)].map(str).filter(Boolean).join(' ')
  return ''
}

/** The one element of a choice such as value[x], whatever its type: "valueQuantity" for "value". */
export function choice(element: unknown, name: string): unknown {
  const it = parts(element)
  if (!it) return undefined
  if (name in it) return it[name]
  const key = Object.keys(it).find((k) => k.startsWith(name) && /[A-Z]/.test(k.charAt(name.length)))
  return key ? it[key] : undefined
}

/** What an Observation found: its value, else those of its components, else why there is none. */
export function observed(resource: unknown): string {
  const it = parts(resource)
  if (!it) return ''
  const value = anything(choice(it, 'value'))
  if (value) return value
  const components = list(it.component).map((p) => `${concept(parts(p)?.code)} ${anything(choice(p, 'value')) || concept(parts(p)?.dataAbsentReason)}`)
  return components.join(c('say.and')) || concept(it.dataAbsentReason)
}

/** Elements that say when something was, the medically telling ones first. */
const whens = [
  'effectiveDateTime', 'effectiveInstant', 'effectivePeriod', 'performedDateTime', 'performedPeriod', 'onsetDateTime', 'onsetPeriod', 'occurrenceDateTime',
  'occurrencePeriod', 'period', 'started', 'start', 'whenHandedOver', 'authoredOn', 'authored', 'sent', 'date', 'recordedDate', 'assertedDate', 'dateTime', 'issued',
  'created', 'startDate', 'birthDate', 'recorded', 'timestamp',
]

/** When it was, as a FHIR date of any precision; '' where the resource does not say. */
export function when(resource: Resource): string {
  for (const name of whens) {
    const v = resource[name]
    if (typeof v === 'string') return v
    const start = str(parts(v)?.start) || str(parts(v)?.end)
    if (start) return start
  }
  return ''
}

/** Elements that say what something is. */
const whats = ['code', 'vaccineCode', 'medicationCodeableConcept', 'medicationReference', 'type', 'class', 'title', 'description', 'category', 'scope', 'serviceType', 'activity']

/** What it is, in a few words; the type and id where it says nothing itself. */
export function what(resource: Resource): string {
  if (resource.name && typeof resource.name !== 'string') {
    const person = nameOfPerson(resource)
    if (person) return person
  }
  if (typeof resource.name === 'string') return resource.name
  for (const name of whats) {
    const said = anything(resource[name])
    if (said) return said
  }
  return `${resource.resourceType}/${resource.id ?? ''}`
}

/** How it stands: the status, or a Condition's and an AllergyIntolerance's clinical one. */
export function status(resource: Resource): string {
  return codings(resource.clinicalStatus)[0]?.code ?? str(resource.status)
}

/** The title of a resource type in the language of the page, its name where nobody gave it one. */
export function typeTitle(type: string): string {
  const title = say(kindNamed(type)?.title)
  return title || type
}

/** The sex as it is written down, in words. */
export function sex(v: unknown): string {
  switch (v) {
    case 'male':
      return c('sex.male')
    case 'female':
      return c('sex.female')
    case 'other':
      return c('sex.other')
    case 'unknown':
      return c('sex.unknown')
  }
  return str(v)
}

/** The age between two dates of any precision: in years; below two in months, below two months in days. */
export function age(birth: string, at: string): string {
  const from = new Date(birth)
  const to = new Date(at)
  if (!birth || Number.isNaN(from.getTime()) || Number.isNaN(to.getTime()) || to < from) return ''
  let months = (to.getUTCFullYear() - from.getUTCFullYear()) * 12 + to.getUTCMonth() - from.getUTCMonth()
  if (to.getUTCDate() < from.getUTCDate()) months--
  if (months >= 24) return c('age.years', { n: Math.floor(months / 12) })
  if (birth.length < 10) return c('age.years', { n: Math.max(0, Math.floor(months / 12)) })
  if (months >= 2) return c('age.months', { n: months })
  return c('age.days', { n: Math.floor((to.getTime() - from.getTime()) / 86_400_000) })
}
