import { shallowReactive } from 'vue'
import { ask, query } from '../api/client'
import type { Kind, Page, Rec } from '../api/types'
import { bilingual, say } from '../words'
import { kindNamed } from './catalogue'
import { plain } from './plain'

/**
 * Records that others refer to, by reference ("Kind/id"), for their names. Pages
 * ask for one at a time; what is asked within the same moment is loaded in one
 * request a kind. null where a record may not be seen or is not there.
 */
const known = shallowReactive(new Map<string, Rec | null>())
const wanted = new Set<string>()
let timer = 0

/** The most ids put in one request, which keeps the address below 4 KB. */
const atOnce = 50
/** A name made of names of references goes this deep, in case two records point at each other. */
const deepest = 2

/**
 * The name of a record from its own data: the declared title field, else what
 * its first two references name ("三体 · 张三"), else its id.
 */
export function nameOf(kind: Kind | undefined, rec: Pick<Rec, 'id' | 'data'>, depth = 0): string {
  const field = kind?.view?.titleField
  if (field) {
    const value = rec.data?.[field]
    if (bilingual(value)) return say(value)
    return plain(Array.isArray(value) ? value[0] : value) || rec.id // of several names the first is the one in use
  }
  if (depth >= deepest) return rec.id
  const refs = (kind?.fields ?? []).filter((f) => f.type === 'ref' && !f.many && typeof rec.data?.[f.name] === 'string')
  const names = refs.slice(0, 2).map((f) => refName(String(rec.data[f.name]), depth + 1))
  return names.filter(Boolean).join(' · ') || rec.id
}

/** The name of a referenced record; undefined until it is known, "" where it may not be seen. Asking makes it load. */
export function refName(ref: string, depth = 0): string | undefined {
  const rec = known.get(ref)
  if (rec) return nameOf(kindNamed(rec.kind), rec, depth)
  if (rec === null) return ''
  if (!wanted.has(ref)) {
    wanted.add(ref)
    clearTimeout(timer)
    timer = window.setTimeout(load, 15)
  }
  return undefined
}

/** Keeps records that a page has loaded anyway. */
export function learn(kind: Kind, records: Rec[]): void {
  for (const rec of records) known.set(kind.name + '/' + rec.id, rec)
}

export function forgetNames(): void {
  known.clear()
  wanted.clear()
}

async function load(): Promise<void> {
  const byKind = new Map<string, string[]>()
  for (const ref of wanted) {
    if (known.has(ref)) continue
    const slash = ref.indexOf('/')
    const kind = ref.slice(0, slash)
    byKind.set(kind, [...(byKind.get(kind) ?? []), ref.slice(slash + 1)])
  }
  wanted.clear()
  await Promise.all([...byKind].map(([kind, ids]) => loadKind(kind, ids)))
}

async function loadKind(name: string, ids: string[]): Promise<void> {
  const kind = kindNamed(name)
  for (let i = 0; i < ids.length; i += atOnce) {
    const some = ids.slice(i, i + atOnce)
    if (kind) {
      try {
        const page = await ask<Page>(`/api/${kind.plural}` + query({ _id: some.join(','), limit: atOnce }))
        learn(kind, page.items)
      } catch {
        // What cannot be named is shown by its reference.
      }
    }
    for (const id of some) if (!known.has(name + '/' + id)) known.set(name + '/' + id, null)
  }
}
