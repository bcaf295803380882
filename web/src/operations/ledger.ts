import type { Detail, Rec } from '../api/types'
import { kindNamed } from '../model/catalogue'
import { refName } from '../model/names'
import { optionTitle } from '../model/value'
import type { Drawn, Health, Standing } from './types'

/** The id of a record by its reference ("thing/17" → "17"); an id stays as it is. */
export function bareID(ref: string): string {
  return ref.slice(ref.indexOf('/') + 1)
}

/** The declared titles of a thing's class and of how it stands on another. */
export function classTitle(code: string): string {
  const field = kindNamed('thing')?.fields?.find((f) => f.name === 'class')
  return field ? optionTitle(field, code) : code
}

export function linkTitle(code: string): string {
  const field = kindNamed('thing')
    ?.fields?.find((f) => f.name === 'on')
    ?.fields?.find((f) => f.name === 'type')
  return field ? optionTitle(field, code) : code
}

/** The title of a severity, as the alerts declare it. */
export function severityTitle(code: string | undefined): string {
  const field = kindNamed('incident')?.fields?.find((f) => f.name === 'severity')
  return code && field ? optionTitle(field, code) : (code ?? '')
}

/** The title of a risk, as the runbooks declare it. */
export function riskTitle(code: string): string {
  const field = kindNamed('runbook')?.fields?.find((f) => f.name === 'risk')
  return field ? optionTitle(field, code) : code
}

/** The title of a level of autonomy. */
export function levelTitle(code: string | undefined): string {
  const field = kindNamed('autopilot')?.fields?.find((f) => f.name === 'level')
  return code && field ? optionTitle(field, code) : (code ?? '')
}

/** The name of a thing by its id ("17") or reference ("thing/17"); the id until it is known. */
export function thingName(id: string): string {
  const bare = bareID(id)
  return refName('thing/' + bare) || bare
}

/** The path of the page of a record by its reference; "" where its kind may not be seen. */
export function pathOf(ref: string | undefined): string {
  const slash = ref?.indexOf('/') ?? -1
  const kind = ref && slash > 0 ? kindNamed(ref.slice(0, slash)) : undefined
  return kind ? `/${kind.plural}/${ref!.slice(slash + 1)}` : ''
}

/** A record of the kind thing as it is drawn. */
export function drawnOf(rec: Rec | Detail, health: Health): Drawn {
  const d = rec.data as { name?: string; class?: string; address?: string; on?: Standing[] }
  return {
    id: rec.id,
    name: d.name ?? rec.id,
    class: d.class ?? '',
    address: d.address,
    state: rec.state,
    health,
    on: (d.on ?? []).map((l) => ({ ...l, thing: bareID(l.thing) })),
  }
}
