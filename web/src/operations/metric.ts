import { ask } from '../api/client'
import type { Series } from '../api/series'
import type { Text } from '../api/types'

/** What to ask of a metric so that its line says something, in which unit, times what. */
export interface Reading {
  expr: string
  unit: string
  scale: number
}

/** The units of names as Prometheus writes them, the longest ending first. */
const units: [ending: string, unit: string, scale: number][] = [
  ['_bits_per_second', 'Mbit/s', 1e-6],
  ['_bytes', 'B', 1],
  ['_celsius', '°C', 1],
  ['_seconds', 's', 1],
  ['_ratio', '%', 100],
  ['_percent', '%', 1],
  ['_volts', 'V', 1],
  ['_amperes', 'A', 1],
  ['_watts', 'W', 1],
  ['_joules', 'J', 1],
  ['_hertz', 'Hz', 1],
  ['_rpm', '/min', 1],
]

/** The reading of a metric with these labels. A counter is shown by how fast it grows. */
export function reading(name: string, labels: Record<string, string>): Reading {
  const selector = name + matchers(labels)
  const counter = name.endsWith('_total')
  const stem = counter ? name.slice(0, -'_total'.length) : name
  const [, unit, scale] = units.find(([ending]) => stem.endsWith(ending)) ?? ['', '', 1]
  if (!counter) return { expr: selector, unit, scale }
  const rate = stem.endsWith('_seconds') ? { unit: 's/s', scale: 1 } : { unit: unit ? unit + '/s' : '/s', scale }
  return { expr: `rate(${selector}[5m])`, ...rate }
}

/** Units of UCUM that the catalogue declares and no ending of a name tells, as people write them. */
const written: Record<string, string> = { By: 'B', Cel: '°C', 'bit/s': 'bit/s', 'dB[mW]': 'dBm', Ohm: 'Ω' }

/**
 * How to tell what a PromQL expression gives, read from the metrics it names and
 * from the catalogue's units of them, by name. What is divided by its like, and
 * the share of a second that is spent a second, are per cent; what grows by time
 * is by the second; what counts or tells a fact has no unit.
 */
export function unitOf(expr: string, catalogue: Map<string, string> = new Map()): { unit: string; scale: number } {
  const bare = expr.replace(/"(?:[^"\\]|\\.)*"/g, '').replace(/\{[^}]*\}|\[[^\]]*\]/g, '')
  const first = bare.split(/\b(?:or|and|unless)\b/)[0] ?? ''
  if (/\b(bool|count|absent|anomaly)\b/.test(first)) return { unit: '', scale: 1 }
  const of = (name: string): { unit: string; scale: number } => {
    const [, unit, scale] = units.find(([end]) => name.replace(/_total$/, '').endsWith(end)) ?? []
    if (unit !== undefined) return { unit, scale: scale! }
    const declared = catalogue.get(name) ?? ''
    return { unit: declared === '1' ? '' : (written[declared] ?? declared), scale: 1 }
  }
  const [one, other] = [...first.matchAll(/\b[a-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+\b(?!\s*\()/g)].map(([name]) => of(name))
  if (!one) return { unit: '', scale: 1 }
  if (first.includes('/')) return other && other.unit === one.unit ? { unit: '%', scale: 100 } : { unit: '', scale: 1 }
  if (!/\b(rate|irate|deriv|idelta)\s*\(/.test(first)) return one
  return one.unit === 's' ? { unit: '%', scale: 100 } : { unit: one.unit + '/s', scale: one.scale }
}

/** Labels as PromQL matchers; values are quoted. */
export function matchers(labels: Record<string, string>): string {
  const list = Object.entries(labels)
    .filter(([name]) => name !== '__name__')
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
  return list.length > 0 ? `{${list.join(',')}}` : ''
}

/** The series with each value times scale. */
export function scaled(series: Series[], scale: number): Series[] {
  if (scale === 1) return series
  return series.map((s) => ({ ...s, points: s.points.map(([at, v]): [number, number] => [at, v * scale]) }))
}

const binary = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** Bytes in the prefix that suits the largest of them; everything else as it is. */
export function suited(series: Series[], unit: string): { series: Series[]; unit: string } {
  const [what, per] = unit.split('/')
  if (what !== 'B') return { series, unit }
  let most = 0
  for (const s of series) for (const [, v] of s.points) most = Math.max(most, Math.abs(v))
  const power = most > 0 ? Math.min(binary.length - 1, Math.max(0, Math.floor(Math.log2(most) / 10))) : 0
  return { series: scaled(series, 2 ** (-10 * power)), unit: binary[power]! + (per ? '/' + per : '') }
}

/** What tells the series of one metric apart: the values of the labels in which they differ. */
export function differing(series: Series[]): string[] {
  const names = [...new Set(series.flatMap((s) => Object.keys(s.labels)))].filter((n) => new Set(series.map((s) => s.labels[n])).size > 1)
  return series.map((s) => names.map((n) => s.labels[n] ?? '–').join(' · '))
}

/** A step in seconds that gives about 240 points of a range, whole in what people count in. */
export function stepOf(seconds: number): number {
  const wish = seconds / 240
  return [5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600].find((s) => s >= wish) ?? 86_400
}

/** What is measured of a thing: one series with its newest value; title and unit (UCUM) where the catalogue knows the metric. */
export interface Measured {
  name: string
  title?: Text
  unit?: string
  labels?: Record<string, string>
  last?: number
}

export async function measuredOf(thing: string): Promise<Measured[]> {
  return (await ask<{ series: Measured[] | null }>(`/api/operations/metrics?thing=${encodeURIComponent(thing)}`)).series ?? []
}

/** The units of the catalogue by metric, of what is measured of these things; those of others are not asked for. */
export async function catalogueOf(things: string[]): Promise<Map<string, string>> {
  const lists = await Promise.all([...new Set(things)].map((id) => measuredOf(id).catch(() => [])))
  return new Map(lists.flat().flatMap((m) => (m.unit ? [[m.name, m.unit] as const] : [])))
}
