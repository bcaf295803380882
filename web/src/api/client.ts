import type { Problem } from './types'
import { lang, t } from '../words'

/** A refusal or failure that a person can read: message is a whole sentence. */
export class Refusal extends Error {
  readonly problem: Problem
  /** The OperationOutcome of the FHIR door, which names each element it objects to. */
  readonly outcome?: Outcome

  constructor(problem: Problem, outcome?: Outcome) {
    super(problem.detail || problem.title)
    this.name = 'Refusal'
    this.problem = problem
    this.outcome = outcome
  }

  get status(): number {
    return this.problem.status
  }
}

/** The sentence to show for anything that was thrown. */
export function sentence(error: unknown): string {
  if (error instanceof Error) return error.message
  return t('error.unknown')
}

/** What is called when the server no longer knows the session. */
let signedOut: () => void = () => {}

export function onSignedOut(f: () => void): void {
  signedOut = f
}

export interface Ask {
  method?: string
  body?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
  /** Answer 401 as a Refusal without leaving the page: for signing in itself. */
  quiet?: boolean
  /** Reads the answer; JSON.parse unless said otherwise. */
  parse?: (text: string) => unknown
}

/**
 * Asks the REST door and gives the decoded JSON answer, undefined where there
 * is none. Throws a Refusal for every answer that is not 2xx and for a network
 * that does not carry (status 0); an abort is thrown as it is.
 */
export async function ask<T>(path: string, { method = 'GET', body, headers, signal, quiet, parse = JSON.parse }: Ask = {}): Promise<T> {
  const init: RequestInit = {
    method,
    signal,
    credentials: 'same-origin',
    headers: { Accept: 'application/json', 'Accept-Language': lang.value, ...headers },
  }
  const sent = init.headers as Record<string, string>
  if (method !== 'GET' && method !== 'HEAD') sent['X-Zhiwei-CSRF'] = '1'
  if (body instanceof Blob || typeof body === 'string') {
    init.body = body
  } else if (body !== undefined) {
    sent['Content-Type'] = 'application/json'
    init.body = JSON.stringify(body)
  }
  let answer: Response
  try {
    answer = await fetch(path, init)
  } catch (error) {
    if (signal?.aborted) throw error
    throw new Refusal({ status: 0, title: t('error.network'), kind: 'unavailable' })
  }
  if (!answer.ok) {
    if (answer.status === 401 && !quiet) signedOut()
    throw await refusalOf(answer)
  }
  const text = await answer.text()
  return (text ? parse(text) : undefined) as T
}

/** What the FHIR door says instead of a problem; details.text is its sentence. */
export interface Outcome {
  resourceType: 'OperationOutcome'
  issue?: { severity?: string; diagnostics?: string; details?: { text?: string }; expression?: string[] }[]
}

/** The sentences of an OperationOutcome's issues, each with the element it is about. */
export function outcomeSentence(outcome: { issue?: Outcome['issue'] }): string {
  const said = (outcome.issue ?? []).map((issue) => {
    const text = issue.details?.text ?? issue.diagnostics ?? ''
    const at = issue.expression?.[0]
    return at && !text.includes(at) ? `${text} (${at})` : text
  })
  return [...new Set(said.filter(Boolean))].join(' ')
}

async function refusalOf(answer: Response): Promise<Refusal> {
  try {
    const body = (await answer.json()) as Problem | Outcome
    if ('resourceType' in body) return new Refusal({ status: answer.status, title: outcomeSentence(body) || t('error.status', { status: answer.status }) }, body)
    return new Refusal({ ...body, status: answer.status, title: body.title || t('error.unknown') })
  } catch {
    return new Refusal({ status: answer.status, title: t('error.status', { status: answer.status }) })
  }
}

/** Builds a query string; empty values are left out. */
export function query(values: Record<string, string | number | boolean | undefined | null>): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== '') params.append(name, String(value))
  }
  const s = params.toString()
  return s ? '?' + s : ''
}
