import { describe, expect, it } from 'vitest'
import { setLang } from '../words'
import { asThought, considered, decisive, entries, inLanguage, lower, percent, phases, telling, weighed } from './incident'
import { nines, pieces, share } from './intent'
import { fold, matching, spread } from './topology'
import type { ChainStep, Drawn, Hypothesis, Remedy, Thought, Try } from './types'

const thing = (id: string, on: string[] = [], more: Partial<Drawn> = {}): Drawn => ({ id, name: id, class: 'port', health: 'well', on: on.map((to) => ({ type: 'member-of', thing: to })), ...more })

describe('an incident', () => {
  it('tells how long each phase took, and nothing of those it did not come to', () => {
    expect(phases({ detectedAt: '2026-11-22T10:00:00Z', diagnosedAt: '2026-11-22T10:00:02Z', actedAt: '2026-11-22T10:00:05Z', verifiedAt: '2026-11-22T10:00:15Z' })).toEqual({ diagnose: 2000, act: 3000, verify: 10_000, whole: 15_000 })
    expect(phases({ detectedAt: '2026-11-22T10:00:00Z', diagnosedAt: '0001-01-01T00:00:00Z' })).toEqual({})
  })

  it('tells the occurrences where the loop noted no moments, and what people did between', () => {
    const trouble = { service: 'x', occurrences: [{ detectedAt: '2026-11-22T10:00:00Z', diagnosedAt: '2026-11-22T10:00:02Z', diagnosis: '退出。\n\nIt exited.', verifiedAt: '2026-11-22T10:01:00Z' }] }
    const people = { at: '2026-11-22T10:00:30Z', op: 'verb', verb: 'acknowledge', by: 'user/1', byName: '示例', version: 2 }
    setLang('en')
    const list = entries(trouble, [people, { ...people, by: 'loop/watch', version: 3 }])
    setLang('zh')
    expect(list.map((e) => e.what)).toEqual(['detected', 'thought', 'person', 'proven'])
    expect(list[1]!.detail).toBe('It exited.')
    expect(list[2]!.who).toBe('示例')
  })

  it('takes the paragraph of the language, and leaves any other text alone', () => {
    expect(inLanguage('进程退出。\n\nIt exited.')).toBe('进程退出。')
    expect(inLanguage('进程退出，见 log。')).toBe('进程退出，见 log。')
    expect(inLanguage('one\n\ntwo')).toBe('one\n\ntwo')
  })

  it('never says certain or impossible of what is neither', () => {
    expect([0, 0.001, 0.5, 0.999, 1].map(percent)).toEqual(['0%', '<1%', '50%', '>99%', '100%'])
  })

  it('puts the weightiest sign first on its side', () => {
    const sign = (id: string, state: 'for' | 'against', weight: number) => ({ thing: 't', sign: id, title: { zh: id, en: id }, state, weight })
    const sides = weighed([sign('a', 'for', 1), sign('b', 'against', -3), sign('c', 'for', 2)])
    expect(sides.for.map((s) => s.sign)).toEqual(['c', 'a'])
    expect(sides.against.map((s) => s.sign)).toEqual(['b'])
    expect(sides.unknown).toEqual([])
  })
})

describe('an intent', () => {
  it('shows as many nines as are asked for', () => {
    expect([undefined, 0.5, 0.9999, 0.99987, 1, -0.2].map(share)).toEqual(['–', '50%', '99.99%', '99.987%', '100%', '-20%'])
    expect([0, 0.9, 0.99, 0.9999, 1].map((x) => Number(nines(x).toFixed(3)))).toEqual([0, 0.25, 0.5, 1, 1])
  })

  it('marks what is not clear by characters, not by UTF-16 units', () => {
    const u = (from: number, to: number) => ({ part: '', from, to, say: { zh: '', en: '' } })
    expect(pieces('𠀀应答快', [u(1, 3)])).toEqual([{ text: '𠀀', unclear: false }, { text: '应答', unclear: true }, { text: '快', unclear: false }])
    expect(pieces('', [])).toEqual([])
  })
})

describe('the topology', () => {
  const ports = ['p1', 'p2', 'p3', 'p4', 'p5'].map((id) => thing(id, ['sw']))

  it('folds parts that are alike and well, but none that is marked, opened, unwell or carries something', () => {
    const all = [thing('sw', [], { class: 'switch' }), ...ports, thing('p6', ['sw'], { health: 'cause' }), thing('host', ['p5'], { class: 'host' })]
    const folded = fold(all, new Set(), new Set())
    expect(folded.map((t) => t.folded ?? t.id)).toEqual(['sw', 'p5', 'p6', 'host', 4])
    expect(fold(all, new Set(['p1']), new Set())).toHaveLength(all.length)
    expect(fold(all, new Set(), new Set([folded.at(-1)!.id]))).toHaveLength(all.length)
  })

  it('spreads over so many links, either way', () => {
    const all = [thing('a', ['b']), thing('b', ['c']), thing('c', ['d']), thing('d')]
    expect(spread(all, 'b', 1).map((t) => t.id).sort()).toEqual(['a', 'b', 'c'])
    expect(spread(all, 'nowhere', 3)).toEqual([])
  })

  it('finds by name, initials and address, within class and health', () => {
    const all = [thing('1', [], { name: '核心交换机', class: 'switch', address: '192.0.2.1' }), thing('2', [], { name: '数据库', class: 'database', health: 'cause' })]
    const find = (text: string, classes: string[] = [], health: Drawn['health'] | '' = '') => matching(all, { text, classes: new Set(classes), health }).map((t) => t.id)
    expect(find('hxjhj')).toEqual(['1'])
    expect(find('192.0.2')).toEqual(['1'])
    expect(find('', ['database'])).toEqual(['2'])
    expect(find('', [], 'cause')).toEqual(['2'])
    expect(find('')).toEqual(['1', '2'])
  })
})

describe('why an incident was treated so', () => {
  const title = { zh: '样例', en: 'Sample' }
  const sign = (name: string, state: ChainStep['state'], weight = 1): ChainStep => ({ thing: 'a', sign: name, title, state, weight })
  const remedy = (id: string, more: Partial<Remedy> = {}): Remedy => ({ id, runbook: id, title, risk: 'low', success: 0.8, tried: 0, ...more })
  const held: Hypothesis = { thing: 'a', mode: 'm', title, probability: 0.8, chain: [sign('x', 'for'), sign('y', 'for')], remedies: [remedy('restart'), remedy('wipe', { refused: { zh: '会丢数据。', en: 'It loses data.' } }), remedy('look', { runbook: 'call-person' })] }
  const other: Hypothesis = { thing: 'a', mode: 'n', title, probability: 0.1, chain: [sign('x', 'for'), sign('z', 'against', -2)] }
  const thought = (known: boolean): Thought => ({ at: '2026-11-22T10:00:00Z', symptoms: 2, verdict: { known, hypotheses: [held, other], faults: known ? [0] : [] } })

  const attempt = { id: 't', mode: 'm', thing: 'a', remedy: 'restart', title, runbook: 'restart', risk: 'low', state: 'worked', at: '2026-11-22T10:00:01Z' } as Try

  it('takes the newest thought that held a cause, else the newest', () => {
    expect(decisive([thought(true), thought(true), thought(false)], [])).toBe(1)
    expect(decisive([thought(false), thought(false)], [])).toBe(1)
    expect(decisive([], [])).toBe(-1)
  })

  it('takes the thought before the last remedy rather than one after it', () => {
    const later = { ...thought(true), at: '2026-11-22T10:05:00Z' }
    expect(decisive([thought(true), later], [attempt])).toBe(0)
    expect(decisive([later], [attempt])).toBe(0)
  })

  it('marks the cause in a scene that was drawn after it was over', () => {
    const scene = [thing('a'), thing('b')]
    expect(asThought(scene, thought(true)).map((t) => t.health)).toEqual(['cause', 'well'])
    expect(asThought(scene, thought(false))).toBe(scene)
  })

  it('tells what the other hypotheses lack', () => {
    expect(lower(other, held).absent.map((s) => s.sign)).toEqual(['z'])
    expect(lower(other, held).unexplained.map((s) => s.sign)).toEqual(['y'])
  })

  it('tells what became of each remedy', () => {
    const how = (tries: Try[]) => considered([thought(true)], tries).flatMap((c) => c.remedies.map((r) => r.how))
    expect(how([])).toEqual(['left', 'refused', 'person'])
    expect(how([attempt])).toEqual(['tried', 'refused', 'person'])
    expect(considered([thought(false)], [])).toEqual([])
  })

  it('draws what matters and what lies between', () => {
    const scene = [thing('app', ['web']), thing('web', ['db'], { health: 'suffers' }), thing('db', ['host']), thing('host', ['rack'], { health: 'cause' }), thing('rack'), thing('other', ['host'])]
    expect(telling(scene, []).map((t) => t.id)).toEqual(['web', 'db', 'host'])
    expect(telling([thing('a')], []).length).toBe(0)
  })
})
