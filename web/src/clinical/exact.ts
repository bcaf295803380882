/**
 * JSON whose decimals keep their digits: R4 (datatypes.html#decimal) says that
 * 5.40 is not 5.4, and JSON.parse would make it so.
 */

/** A number that a double does not write back as it was read; JSON.stringify writes its text. */
interface RawNumber {
  readonly rawJSON: string
}

/** ECMAScript 2026; a browser without it reads plain numbers. */
const json = JSON as unknown as {
  parse: (text: string, reviver?: (key: string, value: unknown, context?: { source?: string }) => unknown) => unknown
  rawJSON?: (text: string) => RawNumber
}

/** Parses as JSON.parse does, and throws as it does. */
export function parseExact(text: string): unknown {
  const raw = json.rawJSON
  if (!raw) return JSON.parse(text)
  return json.parse(text, (_, value, context) => {
    const source = context?.source
    return typeof value === 'number' && source !== undefined && String(value) !== source ? raw(source) : value
  })
}

/** The number of a text that a person typed, with its digits; undefined where it is none. */
export function exactNumber(text: string): unknown {
  if (!/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text)) return undefined
  return parseExact(text)
}

/** A number of parseExact as it is written; '' for anything else. */
export function numberText(value: unknown): string {
  if (typeof value === 'number') return String(value)
  if (value !== null && typeof value === 'object' && 'rawJSON' in value) return String(value.rawJSON)
  return ''
}
