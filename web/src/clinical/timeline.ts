import { fhir, linkPath, matches, search, type Bundle, type Resource } from './fhir'
import { when } from './show'

/** A type of a patient's records that has a time, and the search parameter that tells it (R4 search parameter registry). */
export const timed: readonly { type: string; date: string }[] = [
  { type: 'Encounter', date: 'date' },
  { type: 'Condition', date: 'recorded-date' },
  { type: 'Observation', date: 'date' },
  { type: 'DiagnosticReport', date: 'date' },
  { type: 'Procedure', date: 'date' },
  { type: 'MedicationRequest', date: 'authoredon' },
  { type: 'MedicationAdministration', date: 'effective-time' },
  { type: 'MedicationDispense', date: 'whenhandedover' },
  { type: 'MedicationStatement', date: 'effective' },
  { type: 'Immunization', date: 'date' },
  { type: 'AllergyIntolerance', date: 'date' },
  { type: 'ServiceRequest', date: 'authored' },
  { type: 'ImagingStudy', date: 'started' },
  { type: 'DocumentReference', date: 'date' },
  { type: 'Composition', date: 'date' },
  { type: 'CarePlan', date: 'date' },
  { type: 'Communication', date: 'sent' },
  { type: 'FamilyMemberHistory', date: 'date' },
  { type: 'Flag', date: 'date' },
]

/** Records a question brings of one type. */
const page = 40

/** The records of one type, newest first, as far as they were asked for. */
interface Stream {
  type: string
  waiting: Resource[]
  /** Where the next page is; undefined once there is none. */
  next?: string
}

/**
 * A patient's records of several types in one order, newest first. Each type is
 * read by pages, and only as far as is needed to be sure that nothing newer of
 * it is missing.
 */
export class Merged {
  private streams: Stream[] = []
  /** What was refused, by type: its records are missing and the page must say so. */
  readonly refused = new Map<string, string>()

  private constructor() {}

  /** Begins with the newest of the chosen types within a period (a FHIR date such as 2021 or 2021-03; '' for all times). */
  static async begin(patient: string, types: string[], within: string, signal?: AbortSignal): Promise<Merged> {
    const merged = new Merged()
    await Promise.all(
      timed
        .filter((x) => types.includes(x.type))
        .map(async ({ type, date }) => {
          try {
            const bundle = await search(type, { patient, [date]: within, _sort: '-' + date, _count: page }, signal)
            merged.streams.push({ type, waiting: matches(bundle), next: linkPath(bundle, 'next') })
          } catch (error) {
            if (signal?.aborted) throw error
            merged.refused.set(type, (error as Error).message)
          }
        }),
    )
    return merged
  }

  /** Whether everything has been given. */
  get done(): boolean {
    return this.streams.every((s) => s.waiting.length === 0 && !s.next)
  }

  /** The next n records, fewer only at the end. */
  async take(n: number, signal?: AbortSignal): Promise<Resource[]> {
    const out: Resource[] = []
    while (out.length < n) {
      await Promise.all(this.streams.filter((s) => s.waiting.length === 0 && s.next).map((s) => this.refill(s, signal)))
      const heads = this.streams.filter((s) => s.waiting.length > 0)
      if (heads.length === 0) break
      const newest = heads.reduce((a, b) => (when(b.waiting[0]!) > when(a.waiting[0]!) ? b : a))
      out.push(newest.waiting.shift()!)
    }
    return out
  }

  private async refill(stream: Stream, signal?: AbortSignal) {
    try {
      const bundle = await fhir<Bundle>(stream.next!, { signal })
      stream.waiting = matches(bundle)
      stream.next = linkPath(bundle, 'next')
    } catch (error) {
      if (signal?.aborted) throw error
      stream.next = undefined
      this.refused.set(stream.type, (error as Error).message)
    }
  }
}
