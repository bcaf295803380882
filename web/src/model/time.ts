import { ref } from 'vue'
import { lang, locale, t } from '../words'

/** The present, stepped every 20 s, so that relative times on a page move. */
export const now = ref(Date.now())
setInterval(() => (now.value = Date.now()), 20_000)

const formats = new Map<string, Intl.DateTimeFormat>()

function format(name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = name + locale()
  let f = formats.get(key)
  if (!f) formats.set(key, (f = new Intl.DateTimeFormat(locale(), options)))
  return f
}

function parse(s: string): Date | null {
  const date = new Date(s)
  return Number.isNaN(date.getTime()) ? null : date
}

/** An instant to the second in the zone of the browser, e.g. 2026/11/22 19:05:31; the text itself where it is no instant. */
export function exact(s: string): string {
  const date = parse(s)
  if (!date) return s
  return format('exact', {
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  }).format(date)
}

/** An instant to the minute for tables; the year only where it is not this one. */
export function short(s: string): string {
  const date = parse(s)
  if (!date) return s
  const sameYear = date.getFullYear() === new Date(now.value).getFullYear()
  return format(sameYear ? 'short' : 'shortYear', {
    year: sameYear ? undefined : 'numeric',
    month: lang.value === 'zh' ? '2-digit' : 'short', // 03/09 is read in two ways
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).format(date)
}

/** The clock time to the millisecond, for steps that follow each other closely. */
export function clock(s: string): string {
  const date = parse(s)
  if (!date) return s
  return format('clock', { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(date)
}

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 365 * 86_400_000],
  ['month', 30 * 86_400_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
]

/** How long ago or ahead an instant is: "3 minutes ago", "in 2 days". */
export function relative(s: string): string {
  const date = parse(s)
  if (!date) return s
  const ms = date.getTime() - now.value
  for (const [unit, size] of steps) {
    if (Math.abs(ms) >= size) {
      return new Intl.RelativeTimeFormat(locale(), { numeric: 'auto' }).format(Math.trunc(ms / size), unit)
    }
  }
  return t('time.justNow')
}

/** A length of time in its two largest units: "2 d 3 h", "1.4 s". Negative lengths count as none. */
export function length(ms: number): string {
  if (!(ms > 0)) return '0 ' + t('time.s')
  if (ms < 1000) return `${Math.round(ms)} ${t('time.ms')}`
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(1))} ${t('time.s')}`
  const units: [number, string][] = [
    [86_400_000, t('time.d')],
    [3_600_000, t('time.h')],
    [60_000, t('time.m')],
    [1000, t('time.s')],
  ]
  const largest = units.findIndex(([size]) => ms >= size)
  const parts: string[] = []
  let rest = ms
  for (const [size, name] of units.slice(largest, largest + 2)) {
    const n = Math.floor(rest / size)
    rest -= n * size
    if (n > 0) parts.push(`${n} ${name}`)
  }
  return parts.join(' ')
}

/** Milliseconds of a declared duration ("36h", "14d", "1h30m", "500ms"); null where it is none. */
export function durationMs(s: string): number | null {
  const sizes: Record<string, number> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 1e-3, µs: 1e-3, ns: 1e-6 }
  if (!/^(\d+(\.\d+)?(ms|us|µs|ns|[dhms]))+$/.test(s)) return s === '0' ? 0 : null
  let total = 0
  for (const [, n, unit] of s.matchAll(/(\d+(?:\.\d+)?)(ms|us|µs|ns|[dhms])/g)) total += Number(n) * (sizes[unit ?? ''] ?? 0)
  return total
}

/** A declared duration as people read it: "14 d". */
export function durationText(s: string): string {
  const ms = durationMs(s)
  return ms === null ? s : length(ms)
}

/** An instant as the value of a datetime-local input, in the zone of the browser. */
export function toLocalInput(s: unknown): string {
  const date = typeof s === 'string' && s ? parse(s) : null
  if (!date) return ''
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000)
  return local.toISOString().slice(0, 19)
}

/** The RFC 3339 instant of a datetime-local input; "" where it is empty. */
export function fromLocalInput(s: string): string {
  const date = s ? parse(s) : null
  return date ? date.toISOString() : ''
}
