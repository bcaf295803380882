import type { Step } from '../api/types'
import { kindNamed } from '../model/catalogue'
import { lang, say } from '../words'
import { o } from '../words/operations'
import type { Drawing } from '../parts/Icon.vue'
import type { ChainStep, Moment, Occurrence, Trouble, TryState } from './types'

/** How long one failure took from each instant to the next, in milliseconds; undefined where it did not come to that. */
export interface Phases {
  diagnose?: number
  act?: number
  verify?: number
  whole?: number
}

export function phases(x: Occurrence): Phases {
  const at = (s: string | undefined) => (s && !s.startsWith('0001') ? Date.parse(s) : undefined)
  const [detected, diagnosed, acted, verified] = [at(x.detectedAt), at(x.diagnosedAt), at(x.actedAt), at(x.verifiedAt)]
  const between = (a: number | undefined, b: number | undefined) => (a !== undefined && b !== undefined ? Math.max(0, b - a) : undefined)
  return {
    diagnose: between(detected, diagnosed),
    act: between(diagnosed ?? detected, acted),
    verify: between(acted ?? diagnosed ?? detected, verified),
    whole: between(detected, verified),
  }
}

/** An entry of the time line as it is shown; who is set where a person did it. */
export interface Entry {
  at: string
  what: string
  say: string
  detail?: string
  ref?: string
  who?: string
}

/** How each moment is drawn. */
export const signs: Record<string, { icon: Drawing; tone: string }> = {
  detected: { icon: 'bang', tone: 'bad' },
  thought: { icon: 'search', tone: 'info' },
  asked: { icon: 'search', tone: 'info' },
  advised: { icon: 'right', tone: 'info' },
  approval: { icon: 'user', tone: 'warn' },
  held: { icon: 'pause', tone: 'warn' },
  ordered: { icon: 'play', tone: 'info' },
  ended: { icon: 'check', tone: 'idle' },
  proven: { icon: 'check', tone: 'good' },
  disproven: { icon: 'cross', tone: 'bad' },
  called: { icon: 'user', tone: 'bad' },
  suppressed: { icon: 'pause', tone: 'idle' },
  learnt: { icon: 'book', tone: 'good' },
  recovered: { icon: 'check', tone: 'good' },
  person: { icon: 'user', tone: 'info' },
}

/** What the loops say of the record itself; the moments tell it better. */
const byLoops = /^(loop|system)\b/

/**
 * All that happened, oldest first: what the loop noted, else what the
 * occurrences tell, and between it what people did.
 */
export function entries(trouble: Trouble, steps: Step[]): Entry[] {
  const list: Entry[] = trouble.moments?.length ? trouble.moments.map(told) : (trouble.occurrences ?? []).flatMap(ofOccurrence)
  const kind = kindNamed('incident')
  for (const s of steps) {
    if (!s.verb || byLoops.test(s.by)) continue
    const verb = kind?.lifecycle?.verbs.find((v) => v.name === s.verb)
    if (verb?.clock) continue
    const words = Object.values(s.evidence ?? {}).filter((v): v is string => typeof v === 'string')
    list.push({ at: s.at, what: 'person', say: say(verb?.title) || s.verb, detail: words.join('\n') || undefined, who: s.byName || s.by })
  }
  return list.sort((a, b) => Date.parse(a.at) - Date.parse(b.at))
}

function told(m: Moment): Entry {
  return { at: m.at, what: m.what, say: say(m.say), ref: m.ref }
}

function ofOccurrence(x: Occurrence): Entry[] {
  const list: Entry[] = []
  const add = (at: string | undefined, what: string, text: string, detail?: string) => {
    if (at) list.push({ at, what, say: text, detail })
  }
  add(x.detectedAt, 'detected', o('moment.detected'))
  add(x.diagnosedAt, 'thought', o('moment.thought'), x.diagnosis && inLanguage(x.diagnosis))
  add(x.actedAt, 'ordered', x.attempts && x.attempts > 1 ? o('moment.actedTimes', { n: x.attempts }) : o('moment.acted'))
  add(x.verifiedAt, 'proven', o('moment.proven'))
  return list
}

/**
 * The part of a text in the language of the page. Fields of one language only are
 * written as a Chinese and an English paragraph; any other text stays as it is.
 */
export function inLanguage(text: string): string {
  const parts = text.split('\n\n')
  const half = parts.length / 2
  if (parts.length % 2 !== 0) return text
  const han = (list: string[]) => list.every((p) => /\p{Script=Han}/u.test(p))
  const latin = (list: string[]) => list.every((p) => !/\p{Script=Han}/u.test(p))
  const [first, second] = [parts.slice(0, half), parts.slice(half)]
  if (!han(first) || !latin(second)) return text
  return (lang.value === 'zh' ? first : second).join('\n\n')
}

export const tryTones: Record<TryState, 'info' | 'good' | 'warn' | 'bad' | 'idle'> = {
  waiting: 'warn',
  held: 'warn',
  running: 'info',
  proving: 'info',
  worked: 'good',
  failed: 'bad',
  declined: 'idle',
}

/** The signs of a chain that speak for it, against it, and those nobody looked at, the weightiest first. */
export function weighed(chain: ChainStep[] | undefined): Record<'for' | 'against' | 'unknown', ChainStep[]> {
  const sorted = [...(chain ?? [])].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
  const of = (state: string) => sorted.filter((s) => s.state === state)
  return { for: of('for'), against: of('against'), unknown: of('unknown') }
}

/** A probability in per cent; never 0 or 100 where it is neither. */
export function percent(p: number): string {
  if (p > 0 && p < 0.01) return '<1%'
  if (p < 1 && p > 0.99) return '>99%'
  return Math.round(p * 100) + '%'
}
