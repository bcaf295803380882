import { describe, expect, it } from 'vitest'
import { begun, flat, given, inputFields, type Runbook } from './runbook'

const title = { zh: '样例', en: 'Sample' }
const book: Runbook = {
  name: 'sample',
  title,
  risk: 'low',
  targets: 'data.inputs.things',
  inputs: [
    { name: 'things', title, type: 'list', required: true },
    { name: 'packages', title, type: 'list' },
    { name: 'one', title, type: 'target' },
    { name: 'key', title, type: 'secret' },
    { name: 'mode', title, type: 'string', options: ['a', 'b'] },
    { name: 'times', title, type: 'int', min: 1, default: 3 },
  ],
  steps: [{ id: 'block', serial: [{ id: 'first', type: 'script' }] }, { id: 'last', type: 'wait' }],
}

describe('the inputs of a runbook', () => {
  it('become fields by what they name', () => {
    const fields = inputFields(book, ['root'])
    expect(fields.map((f) => [f.name, f.type, f.many ?? false])).toEqual([
      ['things', 'ref', true],
      ['packages', 'string', true],
      ['one', 'ref', false],
      ['key', 'code', false],
      ['mode', 'code', false],
      ['times', 'int', false],
    ])
    expect(fields[5]!.min).toBe('1')
    expect(inputFields(book, [])[3]!.type).toBe('string')
  })

  it('begin with the defaults and the thing one comes from', () => {
    expect(begun(book, '17')).toEqual({ things: ['thing/17'], one: 'thing/17', times: 3 })
    expect(begun(book, '')).toEqual({ times: 3 })
  })

  it('are sent without what is empty', () => {
    expect(given({ things: ['thing/1', ''], one: '', times: 0, packages: [] })).toEqual({ things: ['thing/1'], times: 0 })
  })
})

describe('the steps of a runbook', () => {
  it('stand in order with their depth', () => {
    expect(flat(book.steps).map((x) => [x.step.id, x.depth])).toEqual([
      ['block', 0],
      ['first', 1],
      ['last', 0],
    ])
  })
})
