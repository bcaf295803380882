import type { Text } from '../api/types'

/** How far one goal is met; numbers that are not known are absent. */
export interface GoalStanding {
  goal: string
  state: GoalState
  attainment?: number
  coverage: number
  budgetLeft?: number
  burns?: { window: string; long?: number; short?: number; limit: number; alarming: boolean }[]
  now?: { thing?: string; name: string; part?: Record<string, string>; value?: number; state: GoalState }[]
  expected?: { name: string; at: string; value: number; low: number; high: number; state: GoalState; crosses?: string }
  query?: string
  say: Text
  present?: GoalState
  next?: Outlook
}

/** What is expected next, when, and by what that is told: a trend, the budget, the clock, or that nothing moves. */
export interface Outlook {
  state: GoalState
  at: string
  by: 'trend' | 'budget' | 'clock' | 'stay'
  say: Text
}

export type GoalState = 'met' | 'at-risk' | 'missed' | 'unknown'

export interface Penalty {
  resource: string
  loser: string
  winners: string[] | null
  value: number
  say: Text
}

/** The standing of an intent, as its record keeps it in "detail". */
export interface Standing {
  at: string
  state: GoalState
  reward: number
  goals: GoalStanding[] | null
  pays?: Penalty[]
  costs?: Penalty[]
  deeds?: { at: string; run: string; title: string; state: string; why?: string }[]
  touches?: string[]
  say: Text
  present?: GoalState
  next?: Outlook
}

export interface Goal {
  id: string
  measure: string
  subject?: { name?: string; class?: string; how?: string; part?: string; severity?: string }
  min?: string
  max?: string
  share?: string
  period?: string
  strength?: string
}

export interface Policy {
  goal: string
  when: string
  runbook: string
  side?: string
  asked?: boolean
}

/** A share in per cent with as many digits as it takes to see that it is not all: 99.99 %. */
export function share(x: number | undefined): string {
  if (x === undefined) return '–'
  const p = x * 100
  if (p > 99 && p < 100) return p.toFixed(3).replace(/0+$/, '') + '%'
  return p.toFixed(1).replace(/\.0$/, '') + '%'
}

export const goalTones: Record<GoalState, 'good' | 'warn' | 'bad' | 'idle'> = { met: 'good', 'at-risk': 'warn', missed: 'bad', unknown: 'idle' }

/**
 * Where on a gauge a share stands, from 0 to 1. What matters lies close to 100 %,
 * so the gauge counts nines: 90 % stands at a quarter, 99 % at a half, 99.9 % at
 * three quarters, 99.99 % and more at the end.
 */
export function nines(x: number): number {
  if (x >= 1) return 1
  return Math.min(1, Math.max(0, -Math.log10(1 - Math.max(0, x)) / 4))
}

/** What a sentence was understood as. It may be confirmed where nothing is unclear and there are goals. */
export interface Reading {
  text: string
  goals: Goal[] | null
  policies: Policy[] | null
  says: Text
  taken?: Text[]
  unclear?: Unclear[]
}

/** A part of a sentence that is not clear, by its place in characters; each choice is the whole sentence then. */
export interface Unclear {
  part: string
  from: number
  to: number
  say: Text
  choices?: { title: Text; text: string }[]
}

/** The sentence in pieces, those that are not clear marked; places count characters, not UTF-16 units. */
export function pieces(text: string, unclear: Unclear[]): { text: string; unclear: boolean }[] {
  const letters = [...text]
  const marked = letters.map((_, i) => unclear.some((u) => i >= u.from && i < u.to))
  const out: { text: string; unclear: boolean }[] = []
  letters.forEach((letter, i) => {
    const last = out.at(-1)
    if (last && last.unclear === marked[i]) last.text += letter
    else out.push({ text: letter, unclear: marked[i]! })
  })
  return out
}
