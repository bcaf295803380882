import { Refusal } from '../api/client'
import { fhir, type Resource } from './fhir'
import { elementOf } from './lines'

/** What a check says of one element of a resource. */
export interface Finding {
  severity: 'error' | 'warning' | 'information'
  text: string
  /** The element in FHIRPath without the type; '' for the resource. */
  element: string
}

interface Outcome extends Resource {
  issue?: { severity?: string; diagnostics?: string; details?: { text?: string }; expression?: string[] }[]
}

/** The findings of an OperationOutcome, errors first; what only says that all is well is left out. */
export function findingsOf(outcome: Resource | undefined): Finding[] {
  const rank = { error: 0, warning: 1, information: 2 }
  const found = ((outcome as Outcome | undefined)?.issue ?? []).map((issue): Finding => {
    const severity = issue.severity === 'fatal' || issue.severity === 'error' ? 'error' : issue.severity === 'warning' ? 'warning' : 'information'
    return { severity, text: issue.details?.text ?? issue.diagnostics ?? '', element: elementOf(issue.expression?.[0] ?? '') }
  })
  return found.filter((f) => f.severity !== 'information' || f.element).sort((a, b) => rank[a.severity] - rank[b.severity])
}

/** Has the server check a resource without storing it: structure, cardinality, codes, invariants, profiles. */
export async function validate(doc: Resource, signal?: AbortSignal): Promise<Finding[]> {
  return findingsOf(await fhir(`${doc.resourceType}/$validate`, { method: 'POST', body: doc, signal }))
}

/** The findings with which the server refused a write; one without an element where it gave only a sentence. */
export function findingsOfRefusal(error: unknown): Finding[] {
  if (error instanceof Refusal && error.outcome) return findingsOf(error.outcome as Resource)
  return []
}
