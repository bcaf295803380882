import type { Step } from '../api/types'
import { kindNamed } from '../model/catalogue'
import { lang, say } from '../words'
import { o } from '../words/operations'
import type { Drawing } from '../parts/Icon.vue'
import type { ChainStep, Drawn, Hypothesis, Moment, Occurrence, Remedy, Thought, Trouble, Try, TryState } from './types'

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

/**
 * The thought that decided: the newest that held a cause to be known before the
 * last remedy was ordered; without remedies the newest such, else the newest of
 * all. What is thought once the signs are gone says little.
 */
export function decisive(thoughts: Thought[], tries: Try[]): number {
  const last = tries.at(-1)?.at
  const holds = (t: Thought) => t.verdict.known && (t.verdict.faults?.length ?? 0) > 0
  const before = last ? thoughts.findLastIndex((t) => holds(t) && Date.parse(t.at) <= Date.parse(last)) : -1
  const known = before >= 0 ? before : thoughts.findLastIndex(holds)
  return known >= 0 ? known : thoughts.length - 1
}

/** A scene as it stood when the thought was made: the causes it held and what they explain. */
export function asThought(scene: Drawn[], thought: Thought | undefined): Drawn[] {
  if (!thought?.verdict.known || scene.some((t) => t.health === 'cause')) return scene
  const held = (thought.verdict.faults ?? []).flatMap((i) => thought.verdict.hypotheses?.[i] ?? [])
  const causes = new Set(held.map((h) => h.thing))
  const suffers = new Set(held.flatMap((h) => (h.chain ?? []).filter((s) => s.state === 'for').map((s) => s.thing)))
  return scene.map((t) => (causes.has(t.id) ? { ...t, health: 'cause' as const } : suffers.has(t.id) ? { ...t, health: 'suffers' as const } : t))
}

/**
 * Why a hypothesis ranks below the one that is held: what it leads one to expect
 * and was not there, and what was seen that only the other one explains. Both
 * empty: the same is seen under both, and this one is the rarer.
 */
export function lower(other: Hypothesis, held: Hypothesis): { absent: ChainStep[]; unexplained: ChainStep[] } {
  const explains = new Set((other.chain ?? []).filter((s) => s.state === 'for').map((s) => s.thing + '|' + s.sign))
  return { absent: weighed(other.chain).against, unexplained: weighed(held.chain).for.filter((s) => !explains.has(s.thing + '|' + s.sign)) }
}

/** What became of a remedy that was thought of: tried, refused with its reason, not needed or not come to. */
export interface Considered {
  remedy: Remedy
  attempt?: Try
  how: 'tried' | 'refused' | 'person' | 'needless' | 'left'
}

/** The causes that were held at any time, the newest word on each, with all their remedies in the order in which they are worth trying. */
export function considered(thoughts: Thought[], tries: Try[]): { cause: Hypothesis; remedies: Considered[] }[] {
  const causes = new Map<string, Hypothesis>()
  for (const t of thoughts) {
    if (!t.verdict.known) continue
    for (const i of t.verdict.faults ?? []) {
      const h = t.verdict.hypotheses?.[i]
      if (h) causes.set(h.thing + '|' + h.mode, h)
    }
  }
  return [...causes.values()].map((cause) => {
    const own = tries.filter((t) => t.thing === cause.thing && t.mode === cause.mode)
    const worked = own.some((t) => t.state === 'worked')
    const remedies = (cause.remedies ?? []).map((remedy): Considered => {
      const attempt = own.findLast((t) => t.remedy === remedy.id)
      const how = attempt ? 'tried' : remedy.refused && (remedy.refused.zh || remedy.refused.en) ? 'refused' : remedy.runbook === 'call-person' ? 'person' : worked ? 'needless' : 'left'
      return { remedy, attempt, how }
    })
    return { cause, remedies }
  })
}

/** The things of a scene that the incident is about, and what lies between them. */
export function telling(scene: Drawn[], about: string[]): Drawn[] {
  const known = new Map(scene.map((t) => [t.id, t]))
  const told = scene.filter((t) => ['cause', 'suffers', 'sign'].includes(t.health) || about.includes(t.id)).map((t) => t.id)
  const reach = (from: string[], next: (id: string) => string[]) => {
    const seen = new Set(from)
    for (const id of seen) for (const n of next(id)) if (known.has(n)) seen.add(n)
    return seen
  }
  const above = new Map<string, string[]>()
  for (const t of scene) for (const l of t.on) above.set(l.thing, [...(above.get(l.thing) ?? []), t.id])
  const below = reach(told, (id) => known.get(id)?.on.map((l) => l.thing) ?? [])
  const over = reach(told, (id) => above.get(id) ?? [])
  return scene.filter((t) => below.has(t.id) && over.has(t.id))
}
