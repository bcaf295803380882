import { describe, expect, it } from 'vitest'
import { differing, matchers, reading, stepOf, suited, unitOf } from './metric'

describe('reading', () => {
  it.each([
    ['node_memory_MemAvailable_bytes', 'node_memory_MemAvailable_bytes{thing="h1"}', 'B'],
    ['interface_receive_bytes_total', 'rate(interface_receive_bytes_total{thing="h1"}[5m])', 'B/s'],
    ['node_cpu_seconds_total', 'rate(node_cpu_seconds_total{thing="h1"}[5m])', 's/s'],
    ['ups_battery_charge_ratio', 'ups_battery_charge_ratio{thing="h1"}', '%'],
    ['interface_flaps_total', 'rate(interface_flaps_total{thing="h1"}[5m])', '/s'],
    ['up', 'up{thing="h1"}', ''],
  ])('%s', (name, expr, unit) => {
    expect(reading(name, { thing: 'h1' })).toMatchObject({ expr, unit })
  })

  it('quotes what labels hold', () => {
    expect(matchers({ __name__: 'x', mountpoint: '/a "b"\\c' })).toBe('{mountpoint="/a \\"b\\"\\\\c"}')
    expect(matchers({})).toBe('')
  })
})

it('tells series apart by what differs', () => {
  const series = (labels: Record<string, string>) => ({ labels, points: [] })
  expect(differing([series({ thing: 'a', mode: 'idle' }), series({ thing: 'a', mode: 'user' })])).toEqual(['idle', 'user'])
  expect(differing([series({ thing: 'a' })])).toEqual([''])
})

it('shows bytes in the prefix that suits the largest', () => {
  const series = [{ labels: {}, points: [[0, 3 * 2 ** 30], [1, 2 ** 20]] as [number, number][] }]
  expect(suited(series, 'B/s')).toEqual({ unit: 'GiB/s', series: [{ labels: {}, points: [[0, 3], [1, 2 ** -10]] }] })
  expect(suited(series, '°C').unit).toBe('°C')
  expect(suited([], 'B').unit).toBe('B')
})

it('asks for a few hundred points, however long the range', () => {
  for (const seconds of [600, 3600, 86_400, 90 * 86_400]) {
    expect(seconds / stepOf(seconds)).toBeLessThanOrEqual(240)
  }
})

describe('the unit of an expression', () => {
  it.each([
    ['node_filesystem_avail_bytes{thing="h1"} / node_filesystem_size_bytes{thing="h1"}', '%', 100],
    ['predict_linear(node_filesystem_avail_bytes{thing="h1"}[1h],14400)', 'B', 1],
    ['avg by (thing) (rate(node_cpu_seconds_total{mode="idle",thing="h1"}[5m]))', '%', 100],
    ['rate(interface_receive_bytes_total{thing="h1"}[5m])', 'B/s', 1],
    ['environment_temperature_celsius{thing="h1"}', '°C', 1],
    ['ups_battery_charge_ratio{thing="h1"}', '%', 100],
    ['probe_success{thing="seconds_of_bytes"}', '', 1],
    ['rate(database_deadlocks_total{thing="h1"}[5m])', '/s', 1],
    ['anomaly(probe_duration_seconds)', '', 1],
    ['optic_power{thing="h1"}', 'dBm', 1],
  ])('%s', (expr, unit, scale) => {
    expect(unitOf(expr, new Map([['optic_power', 'dB[mW]'], ['probe_success', '1']]))).toEqual({ unit, scale })
  })
})
