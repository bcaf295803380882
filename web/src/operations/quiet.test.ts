import { describe, expect, it } from 'vitest'
import { matchersOf, told } from './quiet'

describe('what a silence matches', () => {
  it('is never every alert', () => {
    expect(matchersOf('sign', '17', 'space-low')).toEqual([
      { name: 'alertname', op: '=', value: 'space-low' },
      { name: 'thing', op: '=', value: '17' },
    ])
    expect(matchersOf('thing', '17', 'space-low')).toEqual([{ name: 'thing', op: '=', value: '17' }])
    expect(matchersOf('everywhere', '17', 'space-low')).toEqual([{ name: 'alertname', op: '=', value: 'space-low' }])
    for (const scope of ['sign', 'thing', 'everywhere'] as const) expect(matchersOf(scope, '17', 'x').every((m) => m.value)).toBe(true)
  })

  it('is told with the name of the thing', () => {
    expect(told({ name: 'thing', op: '=', value: '17' }, () => '样例')).toBe('thing = 样例')
    expect(told({ name: 'severity', op: '!=', value: 'critical' }, () => '样例')).toBe('severity != critical')
  })
})
