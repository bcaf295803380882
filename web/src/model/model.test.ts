import { describe, expect, it } from 'vitest'
import type { Lifecycle } from '../api/types'
import { differences, itemChanges } from './differences'
import { box, draw } from './drawing'
import { finds, initials } from './initials'
import { plain } from './plain'
import { durationMs, fromLocalInput, length, toLocalInput } from './time'
import { groupDecimal, valueText } from './value'

describe('initials', () => {
  it('gives the first letters of pinyin', () => {
    expect(initials('张三')).toBe('zs')
    expect(initials('借阅记录')).toBe('jyjl')
    expect(initials('欧阳明 A1')).toBe('oyma1')
  })

  it('finds titles by text and by initials', () => {
    expect(finds('jy', '借阅', 'Loan')).toBe(true)
    expect(finds('loa', '借阅', 'Loan')).toBe(true)
    expect(finds('xx', '借阅', 'Loan')).toBe(false)
  })
})

describe('durations', () => {
  it('reads the declared form', () => {
    expect(durationMs('14d')).toBe(14 * 86_400_000)
    expect(durationMs('1h30m')).toBe(5_400_000)
    expect(durationMs('500ms')).toBe(500)
    expect(durationMs('14 days')).toBeNull()
  })

  it('tells lengths in their two largest units', () => {
    expect(length(300)).toBe('300 毫秒')
    expect(length(1400)).toBe('1.4 秒')
    expect(length(90_061_000)).toBe('1 天 1 小时')
    expect(length(-5)).toBe('0 秒')
  })

  it('passes instants through the input of the browser unchanged', () => {
    expect(fromLocalInput(toLocalInput('2026-11-22T19:05:31.000Z'))).toBe('2026-11-22T19:05:31.000Z')
  })
})

describe('plain', () => {
  it('reads the shapes of FHIR', () => {
    expect(plain([{ use: 'official', family: '张', given: ['三'] }])).toBe('张三')
    expect(plain({ family: 'Smith', given: ['Anna', 'B.'] })).toBe('Anna B. Smith')
    expect(plain({ coding: [{ code: 'x', display: 'Fever' }] })).toBe('Fever')
    expect(plain({ value: 70.5, unit: 'kg' })).toBe('70.5 kg')
    expect(plain({ start: '2026-01-01', end: '2026-01-02' })).toBe('2026-01-01 – 2026-01-02')
  })
})

describe('groupDecimal', () => {
  it('groups digits without rounding', () => {
    expect(groupDecimal('12345678901234567890.123456789')).toBe('12,345,678,901,234,567,890.123456789')
    expect(groupDecimal('-1000.50')).toBe('-1,000.50')
    expect(groupDecimal('abc')).toBe('abc')
  })
})

describe('differences', () => {
  it('tells only what they changed and I did not change alike', () => {
    const before = { a: 1, b: 2, c: 3 }
    expect(differences(before, { a: 1, b: 5, c: 4 }, { a: 9, b: 2, c: 4 })).toEqual([{ field: 'b', before: 2, theirs: 5, mine: 2 }])
  })
})

describe('itemChanges', () => {
  it('tells a list of objects item by item', () => {
    expect(itemChanges([{ a: 1 }, { a: 2 }], [{ a: 1 }, { a: 2, b: 3 }, { a: 4 }])).toEqual([
      { n: 2, what: 'changed', fields: [{ name: 'b', from: undefined, to: 3 }] },
      { n: 3, what: 'added', fields: [{ name: 'a', from: undefined, to: 4 }] },
    ])
    expect(itemChanges([{ a: 1 }], [])).toEqual([{ n: 1, what: 'removed', fields: [{ name: 'a', from: 1, to: undefined }] }])
  })
})

describe('draw', () => {
  const t = { zh: '', en: '' }
  const cycle: Lifecycle = {
    start: 'open',
    states: ['open', 'busy', 'waiting', 'done'].map((name) => ({ name, title: t, final: name === 'done' })),
    verbs: [
      { name: 'take', title: t, from: ['open'], to: 'busy' },
      { name: 'park', title: t, from: ['busy'], to: 'waiting' },
      { name: 'back', title: t, from: ['waiting'], to: 'open' },
      { name: 'note', title: t, from: ['busy'], to: '' },
      { name: 'end', title: t, from: ['*'], to: 'done' },
    ],
  }

  it('draws every state once and every move, none outside the sheet', () => {
    const d = draw(cycle)
    expect(d.boxes.map((b) => b.name).sort()).toEqual(['busy', 'done', 'open', 'waiting'])
    expect(d.arrows.map((a) => `${a.from}>${a.to}`).sort()).toEqual(['busy>busy', 'busy>done', 'busy>waiting', 'open>busy', 'open>done', 'waiting>done', 'waiting>open'].sort())
    for (const b of d.boxes) {
      expect(b.x).toBeGreaterThanOrEqual(0)
      expect(b.y).toBeGreaterThanOrEqual(0)
      expect(b.x + box.width).toBeLessThanOrEqual(d.width)
      expect(b.y + box.height).toBeLessThanOrEqual(d.height)
    }
  })

  it('lets no two states overlap', () => {
    const { boxes } = draw(cycle)
    for (const a of boxes) {
      for (const b of boxes) {
        if (a !== b) expect(Math.abs(a.x - b.x) >= box.width || Math.abs(a.y - b.y) >= box.height).toBe(true)
      }
    }
  })

  it('survives a state that no verb reaches', () => {
    expect(draw({ start: 'a', states: [{ name: 'a', title: t }, { name: 'b', title: t }], verbs: [] }).boxes).toHaveLength(2)
  })
})

describe('texts in both languages', () => {
  it('are read in the language of the page', () => {
    const title = { name: 'title', type: 'object' as const, title: { zh: '标题', en: 'Title' } }
    expect(valueText(title, { zh: '磁盘将满', en: 'The disk fills' })).toBe('磁盘将满')
    expect(valueText({ ...title, fields: [{ name: 'a', type: 'string', title: { zh: '甲', en: 'A' } }] }, { a: 'x' })).toBe('x')
  })
})
