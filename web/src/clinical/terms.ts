import { query } from '../api/client'
import { fhir, type Coding, type Resource } from './fhir'

/** A concept of an expansion. */
export interface Concept extends Coding {
  abstract?: boolean
  inactive?: boolean
}

export interface Expansion {
  concepts: Concept[]
  /** How many there are in all; undefined where the server does not count them. */
  total?: number
}

interface ValueSet extends Resource {
  expansion?: { total?: number; contains?: (Concept & { contains?: Concept[] })[] }
}

/** The value set of all codes of a system: what R4 calls its implicit value set. */
export function allOf(system: string): string {
  return system + '?fhir_vs'
}

/** The concepts of a value set that words, pinyin, initials or a code find; '' for all. */
export async function expand(url: string, filter: string, offset: number, count: number, signal?: AbortSignal): Promise<Expansion> {
  const set = await fhir<ValueSet>('ValueSet/$expand' + query({ url, filter: filter.trim(), offset: offset || undefined, count }), { signal })
  const flat = (list: ValueSet['expansion']): Concept[] => (list?.contains ?? []).flatMap((x) => [x, ...(x.contains ?? [])])
  return { concepts: flat(set.expansion), total: set.expansion?.total }
}

/** The codes directly below one, or those at the top for '', with their displays. */
export async function below(system: string, code: string, count: number, signal?: AbortSignal): Promise<Concept[]> {
  const filter = code ? { property: 'parent', op: '=', value: code } : { property: 'parent', op: 'exists', value: 'false' }
  const valueSet = { resourceType: 'ValueSet', status: 'active', compose: { include: [{ system, filter: [filter] }] } }
  const set = await fhir<ValueSet>('ValueSet/$expand', {
    method: 'POST',
    body: { resourceType: 'Parameters', parameter: [{ name: 'valueSet', resource: valueSet }, { name: 'count', valueInteger: count }] },
    signal,
  })
  return set.expansion?.contains ?? []
}

/** What a system says of one of its codes. */
export interface Details {
  system: string
  code: string
  name: string
  version: string
  display: string
  definition: string
  designations: { language: string; use: string; value: string }[]
  parents: string[]
  children: string[]
  properties: [code: string, value: string][]
}

interface Parameter {
  name: string
  part?: Parameter[]
  [value: string]: unknown
}

function valueOf(p: Parameter | undefined): string {
  if (!p) return ''
  const key = Object.keys(p).find((k) => k.startsWith('value'))
  const v = key ? p[key] : undefined
  return v !== null && typeof v === 'object' ? ((v as Coding).display ?? (v as Coding).code ?? '') : v === undefined ? '' : String(v)
}

/** Looks a code up, with the codes above and below it. */
export async function lookup(system: string, code: string, signal?: AbortSignal): Promise<Details> {
  const asked = new URLSearchParams({ system, code })
  for (const p of ['definition', 'designation', 'parent', 'child', 'inactive', 'status']) asked.append('property', p)
  const answer = await fhir<Resource & { parameter?: Parameter[] }>('CodeSystem/$lookup?' + asked.toString(), { signal })
  const all = answer.parameter ?? []
  const one = (name: string) => valueOf(all.find((p) => p.name === name))
  const part = (p: Parameter, name: string) => p.part?.find((x) => x.name === name)
  const properties = all.filter((p) => p.name === 'property').map((p): [string, string] => [valueOf(part(p, 'code')), valueOf(part(p, 'value'))])
  return {
    system,
    code,
    name: one('name'),
    version: one('version'),
    display: one('display'),
    definition: one('definition') || (properties.find(([name]) => name === 'definition')?.[1] ?? ''),
    designations: all
      .filter((p) => p.name === 'designation')
      .map((p) => ({ language: valueOf(part(p, 'language')), use: valueOf(part(p, 'use')), value: valueOf(part(p, 'value')) })),
    parents: properties.filter(([name]) => name === 'parent').map(([, v]) => v),
    children: properties.filter(([name]) => name === 'child').map(([, v]) => v),
    properties: properties.filter(([name, v]) => v && !['parent', 'child', 'definition'].includes(name) && !(name === 'inactive' && v === 'false')),
  }
}

/** A code system or value set that can be opened; how many codes it has and where they come from, where that is told. */
export interface Source {
  url: string
  title: string
  count?: number
  origin?: string
}

/** The ICD-10 categories, which most people come for; the system's name by FHIR R4 (terminologies-systems.html). */
export const icd10 = 'http://hl7.org/fhir/sid/icd-10'

interface Canonical extends Resource {
  url?: string
  title?: string
  name?: string
}

/** Stored resources of a canonical type, by title. */
export async function stored(type: 'CodeSystem' | 'ValueSet', signal?: AbortSignal): Promise<Source[]> {
  const bundle = await fhir<Resource & { entry?: { resource?: Canonical }[] }>(`${type}?_count=500&_elements=url,name,title,status`, { signal })
  return (bundle.entry ?? [])
    .flatMap(({ resource: r }) => (r?.url ? [{ url: r.url, title: r.title ?? r.name ?? r.url }] : []))
    .sort((a, b) => a.title.localeCompare(b.title))
}

interface Told {
  url: string
  valueString?: string
  valueInteger?: number
  extension?: Told[]
}

/** The extension of TerminologyCapabilities.codeSystem in which this server tells title, count and source. */
const aboutSystem = 'urn:zhiwei:code-system'

/** The systems the server can answer for, by its TerminologyCapabilities; the URI is the title where it gives none. */
export async function served(signal?: AbortSignal): Promise<Source[]> {
  const statement = await fhir<Resource & { codeSystem?: { uri?: string; extension?: Told[] }[] }>('metadata?mode=terminology', { signal })
  return (statement.codeSystem ?? []).flatMap((s) => {
    if (!s.uri) return []
    const told = s.extension?.find((x) => x.url === aboutSystem)?.extension
    const of = (name: string) => told?.find((x) => x.url === name)
    return [{ url: s.uri, title: of('title')?.valueString || s.uri, count: of('count')?.valueInteger, origin: of('source')?.valueString }]
  })
}
