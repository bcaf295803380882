import type { Difference } from '../model/differences'
import { at } from './elements'

/** One leaf that differs between two versions of a resource; from or to is undefined where it is not there. */
export interface LeafDifference {
  path: string
  from: unknown
  to: unknown
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

function isObject(v: unknown): v is Record<string, unknown> {
  return v !== null && typeof v === 'object' && !Array.isArray(v) && !('rawJSON' in v) // of parseExact: a number
}

/**
 * Where two versions differ, by path, in the order of the elements. What is new
 * or gone as a whole is one difference; lists are compared place by place.
 */
export function leafDifferences(from: unknown, to: unknown, path = ''): LeafDifference[] {
  if (same(from, to)) return []
  if (Array.isArray(from) && Array.isArray(to)) {
    return Array.from({ length: Math.max(from.length, to.length) }, (_, i) => leafDifferences(from[i], to[i], `${path}[${i}]`)).flat()
  }
  if (isObject(from) && isObject(to)) {
    const names = [...new Set([...Object.keys(from), ...Object.keys(to)])]
    return names.flatMap((name) => leafDifferences(from[name], to[name], path ? `${path}.${name}` : name))
  }
  return [{ path, from, to }]
}

/** What they changed since before, leaf by leaf, beside what I make of it; equal changes on both sides are no difference. */
export function leafConflicts(before: unknown, theirs: unknown, mine: unknown): Difference[] {
  return leafDifferences(before, theirs)
    .map(({ path, from, to }) => ({ field: path, before: from, theirs: to, mine: at(mine, path) }))
    .filter((d) => !same(d.theirs, d.mine))
}
