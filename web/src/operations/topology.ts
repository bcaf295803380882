import { ask, query, Refusal } from '../api/client'
import type { Page } from '../api/types'
import { initials } from '../model/initials'
import { bareID, classTitle, drawnOf } from './ledger'
import type { Drawn, Health } from './types'

interface Told {
  things: (Omit<Drawn, 'health' | 'on'> & { health?: Health; on?: Drawn['on'] })[] | null
}

/**
 * All things that are looked after, with how each does. Where the loop is left
 * out of the program, the ledger alone is shown and nothing is known of health.
 */
export async function loadTopology(thing?: string, steps?: number): Promise<Drawn[]> {
  try {
    const told = await ask<Told>('/api/operations/topology' + query({ thing, steps }))
    return (told.things ?? []).map((t) => ({ ...t, health: t.health ?? 'unknown', on: (t.on ?? []).map((l) => ({ ...l, thing: bareID(l.thing) })) }))
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 404) throw error
  }
  const all: Drawn[] = []
  for (let after: string | undefined; ; ) {
    const page = await ask<Page>('/api/things' + query({ _state: 'proposed,confirmed', limit: 500, after }))
    all.push(...page.items.map((r) => drawnOf(r, 'unknown')))
    if (!page.next) break
    after = page.next
  }
  return thing ? spread(all, thing, steps ?? 3) : all
}

/** The things within so many links of one, either way; itself first. */
export function spread(things: Drawn[], from: string, steps: number): Drawn[] {
  const known = new Map(things.map((t) => [t.id, t]))
  const near = new Map<string, string[]>()
  for (const t of things) {
    for (const l of t.on) {
      near.set(t.id, [...(near.get(t.id) ?? []), l.thing])
      near.set(l.thing, [...(near.get(l.thing) ?? []), t.id])
    }
  }
  const seen = new Set(known.has(from) ? [from] : [])
  let edge = [...seen]
  for (let i = 0; i < steps; i++) {
    edge = edge.flatMap((id) => near.get(id) ?? []).filter((id) => known.has(id) && !seen.has(id) && seen.add(id))
  }
  return [...seen].map((id) => known.get(id)!)
}

/** Those that match all that is asked: words of the name, its initials, address or id; one of the classes; a health. */
export function matching(things: Drawn[], wish: { text: string; classes: Set<string>; health: Health | '' }): Drawn[] {
  const words = wish.text.trim().toLowerCase()
  return things.filter(
    (t) =>
      (!words || [t.name, t.address ?? '', t.id].some((s) => s.toLowerCase().includes(words)) || initials(t.name).includes(words)) &&
      (wish.classes.size === 0 || wish.classes.has(t.class)) &&
      (!wish.health || t.health === wish.health),
  )
}

/** A box of the drawing: one thing, or several alike that are folded into one. */
export type Boxed = Drawn & { folded?: number }

/** So many alike are folded. */
const alike = 4

/**
 * Folds things of one class that stand on the same and carry nothing, as the
 * ports of a switch do, into one box, where nothing is wrong with them. Marked
 * ones and those of boxes that were opened stay as they are.
 */
export function fold(things: Drawn[], marked: Set<string>, unfolded: Set<string>): Boxed[] {
  const carries = new Set(things.flatMap((t) => t.on.map((l) => l.thing)))
  const groups = new Map<string, Drawn[]>()
  for (const t of things) {
    if (carries.has(t.id) || marked.has(t.id) || t.on.length === 0 || (t.health !== 'well' && t.health !== 'unknown') || t.class === 'application') continue
    const key = [t.class, t.health, ...t.on.map((l) => l.thing).sort()].join('+')
    groups.set(key, [...(groups.get(key) ?? []), t])
  }
  const gone = new Set<string>()
  const boxes: Boxed[] = []
  for (const [key, group] of groups) {
    if (group.length < alike || unfolded.has(key)) continue
    for (const t of group) gone.add(t.id)
    const first = group[0]!
    boxes.push({ id: key, name: `${classTitle(first.class)} × ${group.length}`, class: first.class, health: first.health, on: first.on, folded: group.length })
  }
  return [...things.filter((t) => !gone.has(t.id)), ...boxes]
}
