import { t } from '../words'

/**
 * One line of text for any JSON value, for values whose shape the page does
 * not know. It recognises the shapes FHIR R4 repeats everywhere (HumanName,
 * CodeableConcept, Coding, Quantity, Period, Reference, Identifier, Address),
 * and otherwise lists what is inside.
 */
export function plain(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (Array.isArray(value)) return value.map(plain).filter(Boolean).join(t('say.semicolon'))
  const o = value as Record<string, unknown>
  if (typeof o.rawJSON === 'string') return o.rawJSON // a number that keeps its digits
  const text = o.text ?? o.display
  if (typeof text === 'string' && text) return text
  if (o.family !== undefined || o.given !== undefined) return humanName(o)
  if (Array.isArray(o.coding)) return plain(o.coding[0])
  if (o.value !== undefined) {
    const unit = o.unit ?? o.code ?? o.currency
    return plain(o.value) + (unit ? ' ' + plain(unit) : '')
  }
  if (typeof o.code === 'string') return o.code
  if (o.start !== undefined || o.end !== undefined) return `${plain(o.start)} – ${plain(o.end)}`
  if (typeof o.reference === 'string') return o.reference
  if (Array.isArray(o.line) || o.city) return [o.country, o.state, o.city, plain(o.line)].filter(Boolean).join(' ')
  return Object.entries(o)
    .map(([k, v]) => `${k}: ${plain(v)}`)
    .join(', ')
}

/** Family name first where the name is Chinese, last where it is not. */
function humanName(o: Record<string, unknown>): string {
  const family = plain(o.family)
  const given = Array.isArray(o.given) ? o.given.map(plain) : [plain(o.given)]
  if (/\p{Script=Han}/u.test(family + given.join(''))) return family + given.join('')
  return [...given, family].filter(Boolean).join(' ')
}
