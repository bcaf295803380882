import { ask, query, type Ask } from '../api/client'

/** Where the FHIR door is. */
export const base = '/fhir'

/** A FHIR R4 resource as it is on the wire; what a page reads of it is checked where it is read. */
export interface Resource {
  resourceType: string
  id?: string
  meta?: { versionId?: string; lastUpdated?: string; profile?: string[]; tag?: Coding[]; security?: Coding[] }
  [element: string]: unknown
}

export interface Coding {
  system?: string
  version?: string
  code?: string
  display?: string
}

export interface Entry {
  fullUrl?: string
  resource?: Resource
  search?: { mode?: 'match' | 'include' | 'outcome' }
  request?: { method: string; url: string; ifMatch?: string }
  response?: { status: string; location?: string; etag?: string; lastModified?: string; outcome?: Resource }
}

export interface Bundle extends Resource {
  resourceType: 'Bundle'
  type: string
  total?: number
  link?: { relation: string; url: string }[]
  entry?: Entry[]
}

/** Asks the FHIR door; path begins after /fhir, or is the whole path of a link. A refusal's message is the OperationOutcome's. */
export function fhir<T extends Resource = Resource>(path: string, options: Ask = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/fhir+json', ...options.headers }
  let { body } = options
  if (body !== undefined && !(body instanceof Blob)) {
    headers['Content-Type'] = 'application/fhir+json'
    if (typeof body !== 'string') body = JSON.stringify(body)
  }
  return ask<T>(path.startsWith(base + '/') ? path : `${base}/${path}`, { ...options, headers, body })
}

/** A search on a type; parameters that are empty are left out. */
export function search(type: string, params: Record<string, string | number | undefined>, signal?: AbortSignal): Promise<Bundle> {
  return fhir<Bundle>(type + query(params), { signal })
}

/** The resources of a searchset that were searched for, without what was included. */
export function matches(bundle: Bundle): Resource[] {
  return (bundle.entry ?? []).flatMap((e) => (e.resource && (e.search?.mode ?? 'match') === 'match' ? [e.resource] : []))
}

/**
 * The path of a Bundle's link, undefined where it has none. The host it names is
 * left aside: a proxy may show another one than the server knows.
 */
export function linkPath(bundle: Bundle, relation: string): string | undefined {
  const url = bundle.link?.find((l) => l.relation === relation)?.url
  if (!url) return undefined
  const { pathname, search: rest } = new URL(url, location.origin)
  return pathname + rest
}

/** "Patient/17" of a reference that names a record of this server, absolute or not, with a version or not; '' for any other. */
export function localReference(reference: string): string {
  let path = reference
  if (/^https?:/.test(reference)) {
    if (!URL.canParse(reference)) return ''
    const url = new URL(reference)
    if (url.origin !== location.origin || !url.pathname.startsWith(base + '/')) return ''
    path = url.pathname.slice(base.length + 1)
  }
  return /^([A-Z][A-Za-z]+\/[A-Za-z0-9.-]{1,64})(\/_history\/[A-Za-z0-9.-]{1,64})?$/.exec(path)?.[1] ?? ''
}
