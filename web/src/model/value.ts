import type { Field } from '../api/types'
import { bilingual, locale, say, t } from '../words'
import { plain } from './plain'
import { durationText, short } from './time'

/** Whether values of the type stand right in a column, digits under digits. */
export function isNumeric(field: Field | undefined): boolean {
  return !!field && !field.many && ['int', 'decimal', 'quantity'].includes(field.type)
}

export function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)
}

/**
 * One value as text, for cells, exports and comparisons; references stay
 * "Kind/id", since their names come later. "" where there is nothing.
 */
export function valueText(field: Field | undefined, value: unknown): string {
  if (isEmpty(value)) return ''
  if (!field) return plain(value)
  if (field.many && Array.isArray(value)) {
    return value.map((v) => valueText({ ...field, many: false }, v)).join(t('say.comma'))
  }
  switch (field.type) {
    case 'int':
      return withUnit(new Intl.NumberFormat(locale()).format(Number(value)), field.unit)
    case 'decimal':
      return withUnit(groupDecimal(String(value)), field.unit)
    case 'quantity': {
      const q = value as { value?: unknown; unit?: string }
      return withUnit(groupDecimal(String(q.value ?? '')), q.unit ?? field.unit)
    }
    case 'bool':
      return value === true ? t('value.yes') : t('value.no')
    case 'time':
      return short(String(value))
    case 'duration':
      return durationText(String(value))
    case 'code':
      return optionTitle(field, String(value))
    case 'secret':
      return '••••••'
    case 'object':
      if (bilingual(value)) return say(value)
      return (field.fields ?? [])
        .map((f) => valueText(f, (value as Record<string, unknown>)[f.name]))
        .filter(Boolean)
        .join(' · ')
    default:
      return plain(value)
  }
}

function withUnit(number: string, unit: string | undefined): string {
  return unit ? `${number} ${unit}` : number
}

/** Groups the whole digits of a decimal by thousands without passing through a float, which would lose digits. */
export function groupDecimal(s: string): string {
  const m = /^(-?)(\d+)(\.\d+)?$/.exec(s)
  if (!m) return s
  return (m[1] ?? '') + (m[2] ?? '').replace(/\B(?=(\d{3})+$)/g, ',') + (m[3] ?? '')
}

export function optionTitle(field: Field, code: string): string {
  const option = field.options?.find((o) => o.code === code)
  return option ? say(option.title) : code
}
