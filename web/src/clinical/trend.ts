import { codings, concept, choice, day, number, observed, when } from './show'
import type { Resource } from './fhir'

/** The results of one thing measured, newest first. */
export interface Trend {
  key: string
  name: string
  unit: string
  latest: string
  at: string
  /** Outside of the range the laboratory stated, by its interpretation or by referenceRange. */
  flag: '' | 'high' | 'low' | 'abnormal'
  range: string
  /** Instant in milliseconds and number, oldest first; only results of the same unit. */
  points: [number, number][]
  newest: Resource
}

interface Range {
  low?: { value?: number; unit?: string }
  high?: { value?: number; unit?: string }
  text?: string
}

/** Interpretations of HL7's table ObservationInterpretation (v3) that say which way a result is out. */
const highs = ['H', 'HH', 'HU']
const lows = ['L', 'LL', 'LU']
const abnormals = ['A', 'AA']

function flagOf(o: Resource, value: number | undefined, range: Range | undefined): Trend['flag'] {
  const said = codings(o.interpretation).map((x) => x.code ?? '')
  if (said.some((x) => highs.includes(x))) return 'high'
  if (said.some((x) => lows.includes(x))) return 'low'
  if (said.some((x) => abnormals.includes(x))) return 'abnormal'
  if (value === undefined || !range) return ''
  if (range.high?.value !== undefined && value > range.high.value) return 'high'
  if (range.low?.value !== undefined && value < range.low.value) return 'low'
  return ''
}

function rangeText(range: Range | undefined): string {
  if (!range) return ''
  if (range.text) return range.text
  const [low, high] = [range.low?.value, range.high?.value]
  if (low !== undefined && high !== undefined) return `${number(low)} – ${number(high)}`
  if (low !== undefined) return `≥ ${number(low)}`
  return high !== undefined ? `≤ ${number(high)}` : ''
}

/** One thing measured, alone or as a component: what, which number in which unit. */
interface Reading {
  code: unknown
  element: Record<string, unknown>
}

function readings(o: Resource): Reading[] {
  const component = (o.component ?? []) as Record<string, unknown>[]
  const own = choice(o, 'value') !== undefined || component.length === 0 ? [{ code: o.code, element: o }] : []
  return [...own, ...component.map((part) => ({ code: part.code, element: part }))]
}

/**
 * Groups Observations by what was measured (the first coding, else the text), the
 * newest first; the parts of a panel such as a blood pressure are things of their
 * own. What has no value at all is left out.
 */
export function trends(observations: Resource[]): Trend[] {
  const groups = new Map<string, Trend>()
  const newestFirst = [...observations].sort((a, b) => when(b).localeCompare(when(a)))
  for (const o of newestFirst) {
    for (const { code, element } of readings(o)) {
      const first = codings(code)[0]
      const key = first?.code ? `${first.system ?? ''}|${first.code}` : concept(code)
      const shown = observed({ ...element, component: undefined })
      if (!key || !shown) continue
      const quantity = element.valueQuantity as { value?: number; unit?: string; code?: string } | undefined
      const value = typeof quantity?.value === 'number' ? quantity.value : undefined
      const unit = quantity?.unit ?? quantity?.code ?? ''
      const range = ((element.referenceRange as Range[] | undefined) ?? [])[0]
      let trend = groups.get(key)
      if (!trend) {
        trend = { key, name: concept(code), unit, latest: shown, at: when(o), flag: flagOf(element as Resource, value, range), range: rangeText(range), points: [], newest: o }
        groups.set(key, trend)
      }
      const at = Date.parse(when(o))
      if (value !== undefined && unit === trend.unit && !Number.isNaN(at)) trend.points.unshift([at, value])
    }
  }
  return [...groups.values()]
}

/** What a drawn trend says to those who do not see it. */
export function trendSentence(trend: Trend): string {
  return trend.points.map(([at, v]) => `${day(new Date(at).toISOString())} ${number(v)} ${trend.unit}`).join('; ')
}
