import { Refusal, sentence, outcomeSentence } from '../api/client'
import { fhir, type Bundle, type Entry, type Resource } from './fhir'

/** One resource of a file that is to be sent. */
export interface Item {
  file: string
  /** Its place in the file, from 1: the entry of a Bundle, the line of NDJSON. */
  n: number
  entry: Entry
}

/** A line or an entry that cannot be sent, and why. */
export interface Unreadable {
  file: string
  n: number
  why: 'json' | 'resource' | 'request'
}

/** What a file holds. A transaction is sent whole unless the person says otherwise; anything else goes in parts. */
export interface Load {
  file: string
  atomic: boolean
  items: Item[]
  unreadable: Unreadable[]
  /** Entries refer to each other by urn:uuid or urn:oid, which only one transaction can resolve. */
  tied: boolean
}

function isResource(v: unknown): v is Resource {
  return v !== null && typeof v === 'object' && !Array.isArray(v) && typeof (v as Resource).resourceType === 'string'
}

/** The request that stores a resource: under its own id where it has one. */
function requestFor(r: Resource): { method: string; url: string } {
  return r.id ? { method: 'PUT', url: `${r.resourceType}/${r.id}` } : { method: 'POST', url: r.resourceType }
}

const urn = /"reference"\s*:\s*"urn:(uuid|oid):/

/**
 * Reads a file: a Bundle of any type, a single resource, or NDJSON with a
 * resource a line. Nothing is thrown: what cannot be read is told with its place.
 */
export function readLoad(file: string, text: string): Load {
  const load: Load = { file, atomic: false, items: [], unreadable: [], tied: urn.test(text) }
  let whole: unknown
  try {
    whole = JSON.parse(text)
  } catch {
    text.split('\n').forEach((line, i) => {
      if (line.trim()) addLine(load, line, i + 1)
    })
    return load
  }
  if (!isResource(whole)) {
    load.unreadable.push({ file, n: 1, why: 'resource' })
    return load
  }
  if (whole.resourceType !== 'Bundle' || (whole as Bundle).type === 'document' || (whole as Bundle).type === 'message') {
    load.items.push({ file, n: 1, entry: { resource: whole, request: requestFor(whole) } })
    return load
  }
  const bundle = whole as Bundle
  const asked = bundle.type === 'transaction' || bundle.type === 'batch'
  load.atomic = bundle.type === 'transaction'
  for (const [i, entry] of (bundle.entry ?? []).entries()) {
    const request = asked ? entry.request : entry.resource && requestFor(entry.resource)
    if (request && (entry.resource === undefined || isResource(entry.resource))) {
      load.items.push({ file, n: i + 1, entry: { ...(entry.fullUrl ? { fullUrl: entry.fullUrl } : {}), ...(entry.resource ? { resource: entry.resource } : {}), request } })
    } else {
      load.unreadable.push({ file, n: i + 1, why: isResource(entry.resource) ? 'request' : 'resource' })
    }
  }
  // Resources that were collected and refer to each other by urn belong together.
  if (load.tied && bundle.type !== 'batch') load.atomic = true
  return load
}

function addLine(load: Load, line: string, n: number) {
  try {
    const r: unknown = JSON.parse(line)
    if (isResource(r)) load.items.push({ file: load.file, n, entry: { resource: r, request: requestFor(r) } })
    else load.unreadable.push({ file: load.file, n, why: 'resource' })
  } catch {
    load.unreadable.push({ file: load.file, n, why: 'json' })
  }
}

/** How many resources of each type stand in loads, the most frequent first. */
export function countTypes(loads: Load[]): [type: string, count: number][] {
  const counts = new Map<string, number>()
  for (const { entry } of loads.flatMap((l) => l.items)) {
    const type = entry.resource?.resourceType ?? entry.request?.method ?? ''
    counts.set(type, (counts.get(type) ?? 0) + 1)
  }
  return [...counts].sort((a, b) => b[1] - a[1])
}

/** What is sent in one request. */
export interface Part {
  file: string
  type: 'transaction' | 'batch'
  items: Item[]
}

/** Entries of one part of a batch: small enough that progress is seen and a failed line costs little. */
export const partSize = 200

/** The requests a load becomes; split says that a transaction may be sent in parts, which is then a batch and no longer all or nothing. */
export function partsOf(load: Load, split: boolean): Part[] {
  if (load.items.length === 0) return []
  if (load.atomic && !(split && !load.tied)) return [{ file: load.file, type: 'transaction', items: load.items }]
  const parts: Part[] = []
  for (let i = 0; i < load.items.length; i += partSize) parts.push({ file: load.file, type: 'batch', items: load.items.slice(i, i + partSize) })
  return parts
}

/** What became of one item. */
export interface Outcome {
  item: Item
  result: 'created' | 'updated' | 'done' | 'failed' | 'undone'
  /** The HTTP status of the entry, or of the whole refusal. */
  status: string
  /** Type/id where it stands now. */
  at: string
  /** The version it has there; '' where it is not told. */
  version: string
  why: string
}

/** Sends one part and tells what became of each of its items. A refused transaction leaves nothing behind: what was not at fault is "undone". */
export async function sendPart(part: Part, signal?: AbortSignal): Promise<Outcome[]> {
  const bundle: Bundle = { resourceType: 'Bundle', type: part.type, entry: part.items.map((x) => x.entry) }
  try {
    const answer = await fhir<Bundle>('', { method: 'POST', body: bundle, signal })
    return part.items.map((item, i) => outcomeOf(item, answer.entry?.[i]))
  } catch (error) {
    if (signal?.aborted) throw error
    const why = sentence(error)
    const status = error instanceof Refusal ? String(error.status || '') : ''
    const at = /Bundle\.entry\[(\d+)\]/.exec(error instanceof Refusal ? (error.problem.path ?? '') : '')?.[1]
    return part.items.map((item, i) => {
      const guilty = at === undefined || Number(at) === i
      return { item, result: guilty ? 'failed' : 'undone', status, at: '', version: '', why: guilty ? why : '' }
    })
  }
}

function outcomeOf(item: Item, entry: Entry | undefined): Outcome {
  const status = entry?.response?.status ?? ''
  const code = Number(status.slice(0, 3))
  const version = /\/_history\/(.+)$/.exec(entry?.response?.location ?? '')?.[1] ?? ''
  const at = (entry?.response?.location ?? '').replace(/^https?:\/\/[^/]+/, '').replace(/^\/?fhir\//, '').replace(/\/_history\/.*$/, '')
  if (code >= 200 && code < 300) return { item, result: code === 201 ? 'created' : item.entry.request?.method === 'PUT' ? 'updated' : 'done', status, at, version, why: '' }
  if (code === 304) return { item, result: 'done', status, at, version, why: '' }
  return { item, result: 'failed', status, at: '', version: '', why: outcomeSentence((entry?.response?.outcome ?? {}) as { issue?: [] }) || status }
}

/** What failed, as NDJSON that can be mended and sent again. */
export function failedLines(outcomes: Outcome[]): string {
  return outcomes
    .filter((o) => o.result === 'failed' && o.item.entry.resource)
    .map((o) => JSON.stringify(o.item.entry.resource) + '\n')
    .join('')
}

/** What taking back left: those that are gone, and those that stay with the reason. */
export interface TakenBack {
  gone: Outcome[]
  kept: { outcome: Outcome; why: string }[]
}

/**
 * Deletes what an upload created, at the version it was created with: what
 * somebody changed since stays. Resources that others refer to go after those
 * that refer to them, so what is refused is asked again as long as anything goes.
 */
export async function takeBack(created: Outcome[]): Promise<TakenBack> {
  const gone: Outcome[] = []
  let left = [...created].reverse()
  let kept: TakenBack['kept'] = []
  for (let before = -1; left.length > 0 && left.length !== before; left = kept.map((k) => k.outcome)) {
    before = left.length
    kept = []
    for (let i = 0; i < left.length; i += partSize) {
      const some = left.slice(i, i + partSize)
      const entry = some.map((o): Entry => ({ request: { method: 'DELETE', url: o.at, ...(o.version ? { ifMatch: `W/"${o.version}"` } : {}) } }))
      const answer = await fhir<Bundle>('', { method: 'POST', body: { resourceType: 'Bundle', type: 'batch', entry } })
      some.forEach((outcome, n) => {
        const response = answer.entry?.[n]?.response
        const code = Number((response?.status ?? '').slice(0, 3))
        if (code >= 200 && code < 300) gone.push(outcome)
        else kept.push({ outcome, why: outcomeSentence((response?.outcome ?? {}) as { issue?: [] }) || (response?.status ?? '') })
      })
    }
  }
  return { gone, kept }
}

/** The report as CSV by RFC 4180, with a byte order mark so that Excel reads the Chinese. */
export function reportLines(outcomes: Outcome[]): string {
  const cell = (s: string | number) => `"${String(s).replace(/^(?=[=+\-@\t\r])/, "'").replaceAll('"', '""')}"`
  const rows = outcomes.map((o) => [o.item.file, o.item.n, o.item.entry.resource?.resourceType ?? '', o.result, o.status, o.at, o.version, o.why])
  return '\uFEFF' + [['file', 'entry', 'resourceType', 'result', 'status', 'reference', 'version', 'message'], ...rows].map((r) => r.map(cell).join(',') + '\r\n').join('')
}
