import type { Text } from '../api/types'

/**
 * What the engines write into records and what the loop's own routes answer.
 * Shapes mirror the plain types of the package engine; instants are RFC 3339.
 */

export type Severity = 'critical' | 'major' | 'minor' | 'warning'

/** One failure from detection to verification. */
export interface Occurrence {
  detectedAt?: string
  diagnosedAt?: string
  cause?: string
  diagnosis?: string
  heldUntil?: string
  actedAt?: string
  attempts?: number
  verifiedAt?: string
  outcome?: string
}

/** One line of the reasoning: a sign on a thing and what it weighs, in logarithms base e. */
export interface ChainStep {
  thing: string
  via?: string[]
  sign: string
  title: Text
  state: 'for' | 'against' | 'unknown'
  weight: number
}

export interface Remedy {
  id: string
  runbook: string
  inputs?: Record<string, string>
  title: Text
  risk: string
  radius?: string[]
  success: number
  tried: number
  refused?: Text
}

export interface Hypothesis {
  thing: string
  mode: string
  title: Text
  probability: number
  causes?: { id: string; title: Text; probability: number }[]
  chain?: ChainStep[]
  remedies?: Remedy[]
  say?: Text
  source?: Text
}

export interface Check {
  thing: string
  sign: string
  title: Text
  how?: Text
  query?: string
  cost: number
  gain: number
  yes?: Text
  no?: Text
}

export interface Verdict {
  hypotheses?: Hypothesis[]
  faults?: number[]
  known: boolean
  next?: Check[]
  say?: Text
  unexplained?: number[]
  pack?: string
}

export interface Thought {
  at: string
  verdict: Verdict
  symptoms: number
}

export type TryState = 'waiting' | 'held' | 'running' | 'proving' | 'worked' | 'failed' | 'declined'

/** One remedy and what came of it. */
export interface Try {
  id: string
  mode: string
  thing: string
  remedy: string
  title: Text
  runbook: string
  inputs?: Record<string, string>
  risk: string
  radius?: string[]
  level?: string
  state: TryState
  why?: Text
  run?: string
  at: string
  endedAt?: string
  proof?: { sign: string; gone: boolean }[]
  within?: string
  by?: string
}

/** One entry of the time line. */
export interface Moment {
  at: string
  what: string
  say: Text
  ref?: string
}

export type Health = 'cause' | 'suffers' | 'sign' | 'well' | 'unknown' | 'suppressed'

export interface Standing {
  type: string
  thing: string
  spare?: boolean
}

/** A thing as it is drawn: on are the things it stands on. */
export interface Drawn {
  id: string
  name: string
  class: string
  health: Health
  on: Standing[]
  state?: string
  address?: string
  incident?: string
}

/** One sign that was seen; query is PromQL for its chart, absent where it is no metric. */
export interface Evidence {
  thing: string
  sign: string
  title: Text
  query?: string
  labels?: Record<string, string>
  value?: number
  text?: string
  since: string
}

/** The data of an incident; one of a declared service has only service, about, times and occurrences. */
export interface Trouble {
  service: string
  about?: string
  severity?: Severity
  things?: string[]
  times?: number
  occurrences?: Occurrence[]
  thoughts?: Thought[]
  tries?: Try[]
  moments?: Moment[]
  scene?: { id: string; name: string; class: string; state: Health; on?: Standing[] }[]
  evidence?: Evidence[]
}

/** A fault that is foreseen of one thing; a probability in a record is a decimal. */
export interface Prediction {
  thing: string
  kind: string
  title: Text
  part?: string
  when?: string
  earliest?: string
  latest?: string
  probability: number | string
  severity?: Severity
  advice?: Text
}

/** What the loop answers of itself at /api/operations/overview. */
export interface Overview {
  at: string
  autopilot?: { state: string; level: string; breakerUntil?: string; breakerWhy?: string; stoppedBy?: string }
  incidents: { open: number; waiting: number; escalated: number; today: number; healedToday: number }
  actionsToday?: { at: string; incident?: string; thing?: string; name?: string; title: Text; state: string; run?: string }[] | null
  predictions?: Prediction[] | null
  /** problems tells, by the id of a thing, why its labels cannot be used. */
  things: { total: number; measured: number; unwell: number; proposed: number; problems?: Record<string, string> | null }
  collector: { targets: number; pending: number; skipped: number; dropped: number; lines: number }
  knowledge: { version: string; modes: number }
  /** So much comes at once that alerts are condensed. */
  storm?: boolean
}

/** A loop of this process, as /api/loops tells it. */
export interface LoopStatus {
  name: string
  title?: Text
  owned: boolean
  waiting: number
  failing: number
}
