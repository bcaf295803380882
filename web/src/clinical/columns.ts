import { concept, date, identifier, nameOfPerson, observed, period, reference, sex, status, what, when } from './show'
import type { Resource } from './fhir'
import { c } from '../words/clinical'
import { statusWord } from '../words/codes'

/** A column of the table of found resources. */
export interface ResourceColumn {
  name: string
  title: string
  /** What stands in it, in the language of the page; '' for nothing. */
  text: (r: Resource) => string
}

function first(v: unknown): unknown {
  return Array.isArray(v) ? v[0] : v
}

function column(name: string, title: string, text: (r: Resource) => string): ResourceColumn {
  return { name, title, text }
}

const whose = () => column('subject', c('patient'), (r) => reference(r.subject ?? r.patient ?? r.beneficiary))
const whenColumn = () => column('when', c('time'), (r) => date(when(r)))
const statusColumn = () => column('status', c('status'), (r) => statusWord(status(r)))
const updated = () => column('updated', c('updated'), (r) => date(r.meta?.lastUpdated))
const whatColumn = () => column('what', c('what'), what)

/** The columns of a type: what people look for in it; for the others what any resource has. */
export function columnsOf(type: string): ResourceColumn[] {
  switch (type) {
    case 'Patient':
    case 'Person':
    case 'RelatedPerson':
    case 'Practitioner':
      return [
        column('name', c('name'), (r) => nameOfPerson(r) || String(r.id)),
        column('gender', c('sex'), (r) => sex(r.gender)),
        column('birthDate', c('birthDate'), (r) => date(r.birthDate)),
        column('identifier', c('identifier'), (r) => [...new Set(((r.identifier ?? []) as unknown[]).map(identifier).filter(Boolean))].slice(0, 2).join('  ')),
        updated(),
      ]
    case 'Observation':
      return [whatColumn(), column('value', c('result'), observed), whose(), whenColumn(), statusColumn()]
    case 'Encounter':
      return [
        column('what', c('what'), (r) => concept(first(r.type)) || what(r)),
        column('period', c('time'), (r) => period(r.period)),
        whose(),
        column('provider', c('provider'), (r) => reference(r.serviceProvider)),
        statusColumn(),
      ]
    case 'MedicationRequest':
      return [whatColumn(), whose(), column('requester', c('requester'), (r) => reference(r.requester)), whenColumn(), statusColumn()]
    case 'Organization':
    case 'Location':
      return [whatColumn(), column('identifier', c('identifier'), (r) => identifier(first(r.identifier))), statusColumn(), updated()]
  }
  return [whatColumn(), whose(), whenColumn(), statusColumn(), updated()]
}

/** The found resources as CSV by RFC 4180, with a byte order mark so that Excel reads the Chinese; cells a spreadsheet would take for a formula begin with an apostrophe. */
export function csv(columns: ResourceColumn[], rows: Resource[]): string {
  const cell = (s: string) => `"${(/^[=+\-@\t\r]/.test(s) && !/^[-+]?\d/.test(s) ? "'" + s : s).replaceAll('"', '""')}"`
  const lines = [['resourceType', 'id', ...columns.map((x) => x.title)], ...rows.map((r) => [r.resourceType, r.id ?? '', ...columns.map((x) => x.text(r))])]
  return '\uFEFF' + lines.map((line) => line.map(cell).join(',')).join('\r\n') + '\r\n'
}
