import { shallowRef } from 'vue'
import { fhir, type Resource } from './fhir'

/** One search parameter of a type as the CapabilityStatement tells it. */
export interface SearchParam {
  name: string
  type: 'string' | 'token' | 'date' | 'number' | 'quantity' | 'reference' | 'uri' | 'composite' | 'special'
  documentation?: string
}

interface Rest {
  interaction?: { code: string }[]
  operation?: { name: string }[]
  resource?: RestResource[]
}

/** What the server offers on one type. */
export interface RestResource {
  type: string
  interaction?: { code: string }[]
  operation?: { name: string }[]
  searchParam?: SearchParam[]
  searchInclude?: string[]
  searchRevInclude?: string[]
}

const rest = shallowRef<Rest>({})
let asked: Promise<void> | undefined

/** Reads the CapabilityStatement once a page; a failed reading is tried again by the next who asks. */
export function loadCapability(): Promise<void> {
  asked ??= fhir<Resource & { rest?: Rest[] }>('metadata').then(
    (statement) => {
      rest.value = statement.rest?.[0] ?? {}
    },
    (error: unknown) => {
      asked = undefined
      throw error
    },
  )
  return asked
}

/** The types that can be searched, in alphabetical order; empty until loaded. */
export function types(): string[] {
  return (rest.value.resource ?? []).map((r) => r.type).sort()
}

export function typeNamed(type: string): RestResource | undefined {
  return rest.value.resource?.find((r) => r.type === type)
}

/** Whether the server lists an operation, for a type or, without one, for the system; "$" does not count. */
export function offers(operation: string, type?: string): boolean {
  const list = type ? typeNamed(type)?.operation : rest.value.operation
  return list?.some((o) => o.name.replace(/^\$/, '') === operation) === true
}
