import type { Data } from '../api/types'

/** One property that somebody else changed, beside what I make of it. */
export interface Difference {
  field: string
  before: unknown
  theirs: unknown
  mine: unknown
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** What they changed since before, property by property; equal changes on both sides are no difference. */
export function differences(before: Data, theirs: Data, mine: Data): Difference[] {
  const names = new Set([...Object.keys(before), ...Object.keys(theirs)])
  const out: Difference[] = []
  for (const field of names) {
    if (same(before[field], theirs[field]) || same(theirs[field], mine[field])) continue
    out.push({ field, before: before[field], theirs: theirs[field], mine: mine[field] })
  }
  return out
}

/** What became of one item of a list: its number from 1, and its properties that differ. */
export interface ItemChange {
  n: number
  what: 'added' | 'removed' | 'changed'
  fields: { name: string; from: unknown; to: unknown }[]
}

/**
 * What changed between two lists of objects, item by item at its place: lists of
 * occurrences grow at the end and are filled in where they stand.
 */
export function itemChanges(from: Data[], to: Data[]): ItemChange[] {
  const out: ItemChange[] = []
  for (let i = 0; i < Math.max(from.length, to.length); i++) {
    const [a, b] = [from[i], to[i]]
    if (same(a, b)) continue
    const names = new Set([...Object.keys(a ?? {}), ...Object.keys(b ?? {})])
    const fields = [...names].filter((name) => !same(a?.[name], b?.[name])).map((name) => ({ name, from: a?.[name], to: b?.[name] }))
    out.push({ n: i + 1, what: a === undefined ? 'added' : b === undefined ? 'removed' : 'changed', fields })
  }
  return out
}
