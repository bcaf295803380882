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
