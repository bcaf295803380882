import type { SearchParam } from './capability'

/** One condition of a FHIR search as it stands in the URL: name, modifier behind the colon, value with its prefix. */
export interface Condition {
  name: string
  modifier: string
  value: string
}

/** Parameters that shape the answer and choose nothing (R4 search.html, "Search Result Parameters"); cursors of pages too. */
const shaping = /^_(sort|count|include|revinclude|summary|total|elements|contained|containedType|format|pretty|after)(:|$)/

export function shapes(name: string): boolean {
  return shaping.test(name)
}

/** The conditions of a query string, in their order; a chain ("subject:Patient.name") stays one name. */
export function conditionsOf(query: string): Condition[] {
  return [...new URLSearchParams(query)].map(([key, value]) => {
    const colon = key.startsWith('_has:') || key.includes('.') ? -1 : key.indexOf(':')
    return colon < 0 ? { name: key, modifier: '', value } : { name: key.slice(0, colon), modifier: key.slice(colon + 1), value }
  })
}

/** The query string of conditions, without "?"; those without a name or a value are left out. */
export function queryOf(conditions: Condition[]): string {
  return conditions
    .filter((x) => x.name && x.value !== '')
    .map((x) => encode(x.modifier ? `${x.name}:${x.modifier}` : x.name) + '=' + encode(x.value))
    .join('&')
}

/** Percent-encodes what a query must not hold, and leaves readable what it may: : / | , $ . */
function encode(s: string): string {
  return encodeURIComponent(s).replace(/%(3A|2F|7C|2C|24|40)/gi, (whole) => decodeURIComponent(whole))
}

/** Modifiers a type of parameter takes (R4 search.html, "Modifiers"); ":[type]" of references stands in the targets. */
const modifiers: Record<SearchParam['type'], string[]> = {
  string: ['exact', 'contains', 'missing'],
  token: ['not', 'text', 'in', 'not-in', 'above', 'below', 'of-type', 'missing'],
  reference: ['identifier', 'missing'],
  uri: ['above', 'below', 'missing'],
  date: ['missing'],
  number: ['missing'],
  quantity: ['missing'],
  composite: ['missing'],
  special: ['missing'],
}

export function modifiersOf(type: SearchParam['type'] | undefined): string[] {
  return type ? (modifiers[type] ?? []) : []
}

/** Prefixes of ordered values (R4 search.html, "Prefixes"), '' first: equal. */
export const prefixes = ['', 'ge', 'le', 'gt', 'lt', 'ne', 'sa', 'eb', 'ap'] as const

/** Types whose values take a prefix. */
export function ordered(type: SearchParam['type'] | undefined): boolean {
  return type === 'date' || type === 'number' || type === 'quantity'
}

/** A value cut into its prefix and the rest; a word that only begins like a prefix is not cut. */
export function cutPrefix(value: string): [prefix: string, rest: string] {
  const found = /^(eq|ne|gt|lt|ge|le|sa|eb|ap)(?=$|[-+\d.])/.exec(value)
  if (!found) return ['', value]
  return [found[1] === 'eq' ? '' : found[1]!, value.slice(2)]
}
