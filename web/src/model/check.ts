import type { Data, Field } from '../api/types'
import { say, t } from '../words'
import { durationMs } from './time'
import { isEmpty } from './value'

/** What is wrong with a form, by path ("items[0].code"); empty when nothing is. */
export type Faults = Map<string, string>

/**
 * Checks data against its declaration before it is sent, so that most mistakes
 * are told beside their field at once. The server checks again and decides.
 */
export function check(fields: Field[], data: Data, at = '', faults: Faults = new Map()): Faults {
  for (const field of fields) {
    if (field.readOnly) continue
    const path = at ? `${at}.${field.name}` : field.name
    const value = data[field.name]
    if (isEmpty(value)) {
      if (field.required) faults.set(path, t('check.required', { field: say(field.title) }))
      continue
    }
    if (field.many) {
      if (!Array.isArray(value)) faults.set(path, t('check.list'))
      else value.forEach((v, i) => checkOne(field, v, `${path}[${i}]`, faults))
    } else {
      checkOne(field, value, path, faults)
    }
  }
  return faults
}

function checkOne(field: Field, value: unknown, path: string, faults: Faults): void {
  if (field.type === 'object') {
    check(field.fields ?? [], (value ?? {}) as Data, path, faults)
    return
  }
  const fault = faultOf(field, value)
  if (fault) faults.set(path, fault)
}

function faultOf(field: Field, value: unknown): string {
  switch (field.type) {
    case 'string':
    case 'text':
    case 'secret':
      return textFault(field, String(value))
    case 'int':
      if (!/^-?\d+$/.test(String(value))) return t('check.int')
      return rangeFault(field, String(value))
    case 'decimal':
      if (!isDecimal(String(value))) return t('check.decimal')
      return rangeFault(field, String(value))
    case 'quantity': {
      const q = value as { value?: unknown; unit?: unknown }
      if (!isDecimal(String(q.value ?? ''))) return t('check.decimal')
      if (!q.unit) return t('check.unit')
      return rangeFault(field, String(q.value))
    }
    case 'date':
      return isDate(String(value)) ? '' : t('check.date')
    case 'time':
      return Number.isNaN(Date.parse(String(value))) ? t('check.time') : ''
    case 'duration':
      return durationMs(String(value)) === null ? t('check.duration') : ''
    case 'code':
      return !field.options?.length || field.options.some((o) => o.code === value) ? '' : t('check.code')
    case 'ref':
      return refFault(field, String(value))
    default:
      return ''
  }
}

/** The longest text where the declaration names none: that of package kind. */
const longest = { string: 4000, secret: 4000, text: 100_000 }

function textFault(field: Field, value: string): string {
  const max = field.maxLen || longest[field.type as keyof typeof longest] || longest.string
  if ([...value].length > max) return t('check.maxLen', { max })
  // Patterns are RE2; what the browser cannot compile is left to the server.
  if (field.pattern) {
    try {
      if (!new RegExp(`^(?:${field.pattern})$`, 'u').test(value)) return say(field.help) || t('check.pattern')
    } catch {
      return ''
    }
  }
  return ''
}

function rangeFault(field: Field, value: string): string {
  if (field.min && compareDecimals(value, field.min) < 0) return t('check.min', { min: field.min })
  if (field.max && compareDecimals(value, field.max) > 0) return t('check.max', { max: field.max })
  return ''
}

function refFault(field: Field, value: string): string {
  const m = /^([A-Za-z][\w-]*)\/([A-Za-z0-9.-]{1,64})$/.exec(value)
  if (!m) return t('check.ref')
  if (field.to?.length && !field.to.includes(m[1] ?? '')) return t('check.ref')
  return ''
}

function isDecimal(s: string): boolean {
  return /^-?\d+(\.\d+)?$/.test(s)
}

function isDate(s: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(s)) return false
  const d = new Date(s + 'T00:00:00Z')
  return !Number.isNaN(d.getTime()) && d.toISOString().startsWith(s)
}

/** Compares two decimals of any length without floats: money and doses keep every digit. */
export function compareDecimals(a: string, b: string): number {
  const [na, nb] = [a.startsWith('-'), b.startsWith('-')]
  const [pa, pb] = [digits(a), digits(b)]
  const width = Math.max(pa.whole.length, pb.whole.length)
  const depth = Math.max(pa.part.length, pb.part.length)
  const left = BigInt(pa.whole.padStart(width, '0') + pa.part.padEnd(depth, '0')) * (na ? -1n : 1n)
  const right = BigInt(pb.whole.padStart(width, '0') + pb.part.padEnd(depth, '0')) * (nb ? -1n : 1n)
  return left < right ? -1 : left > right ? 1 : 0
}

function digits(s: string): { whole: string; part: string } {
  const [whole = '0', part = ''] = s.replace(/^[-+]/, '').split('.')
  return { whole, part }
}
