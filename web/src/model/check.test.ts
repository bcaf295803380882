import { describe, expect, it } from 'vitest'
import type { Field } from '../api/types'
import { check, compareDecimals } from './check'

const title = { zh: '栏', en: 'field' }
const field = (f: Partial<Field> & Pick<Field, 'type'>): Field => ({ name: 'f', title, ...f })

describe('check', () => {
  const good: [Partial<Field> & Pick<Field, 'type'>, unknown][] = [
    [{ type: 'string' }, undefined],
    [{ type: 'string', pattern: '[A-Z]{2}' }, 'AB'],
    [{ type: 'string', pattern: '(?P<x>re2 only)' }, 'left to the server'],
    [{ type: 'int', min: '1', max: '7' }, 7],
    [{ type: 'decimal', max: '99999999999999999999.5' }, '99999999999999999999.4'],
    [{ type: 'quantity' }, { value: '70.5', unit: 'kg' }],
    [{ type: 'date' }, '2024-02-29'],
    [{ type: 'duration' }, '1h30m'],
    [{ type: 'code', options: [{ code: 'a', title }] }, 'a'],
    [{ type: 'ref', to: ['copy'] }, 'copy/1'],
    [{ type: 'string', many: true }, ['a', 'b']],
    [{ type: 'string', required: true, readOnly: true }, undefined],
  ]
  it.each(good)('takes %j of %j', (f, value) => {
    expect([...check([field(f)], { f: value })]).toEqual([])
  })

  const bad: [Partial<Field> & Pick<Field, 'type'>, unknown][] = [
    [{ type: 'string', required: true }, ''],
    [{ type: 'string', maxLen: 2 }, '三个字'],
    [{ type: 'string', pattern: '[A-Z]{2}' }, 'ABC'],
    [{ type: 'int' }, '1.5'],
    [{ type: 'int', max: '7' }, 8],
    [{ type: 'decimal' }, '1e3'],
    [{ type: 'decimal', min: '0' }, '-0.01'],
    [{ type: 'quantity' }, { value: '70.5' }],
    [{ type: 'date' }, '2023-02-29'],
    [{ type: 'duration' }, 'soon'],
    [{ type: 'code', options: [{ code: 'a', title }] }, 'b'],
    [{ type: 'ref', to: ['copy'] }, 'reader/1'],
    [{ type: 'string', many: true }, 'one'],
  ]
  it.each(bad)('refuses %j of %j', (f, value) => {
    expect(check([field(f)], { f: value }).has('f')).toBe(true)
  })

  it('names the path inside lists of objects', () => {
    const items = field({ type: 'object', many: true, fields: [field({ name: 'code', type: 'string', required: true })] })
    expect([...check([items], { f: [{ code: 'x' }, {}] }).keys()]).toEqual(['f[1].code'])
  })
})

describe('compareDecimals', () => {
  it('agrees with numbers where numbers are exact', () => {
    const seed = Date.now() % 1e6
    let x = seed
    const next = () => (x = (x * 48271 + 11) % 2147483647)
    for (let i = 0; i < 500; i++) {
      const [a, b] = [(next() % 20001) - 10000, (next() % 20001) - 10000]
      expect(compareDecimals((a / 8).toString(), (b / 8).toString()), `seed ${seed}: ${a / 8} ${b / 8}`).toBe(Math.sign(a - b))
    }
  })

  it('keeps digits that a float would lose', () => {
    expect(compareDecimals('0.10000000000000000001', '0.1')).toBe(1)
    expect(compareDecimals('1.50', '1.5')).toBe(0)
  })
})
