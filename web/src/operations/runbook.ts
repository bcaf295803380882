import type { Data, Field, Text } from '../api/types'
import { o, table, type Word } from '../words/operations'

/** The definition of a runbook, as the package engine declares it. */
export interface Runbook {
  name: string
  title: Text
  help?: Text
  risk: string
  tags?: string[]
  source?: string
  inputs?: RunbookInput[]
  roles?: string[]
  targets?: string
  rollout?: { canary?: number; percent?: number; atOnce?: number; stopAt?: number; approve?: Approval }
  window?: { calendar?: string; from?: string; to?: string }
  timeout?: string
  onFail?: string
  steps?: RunbookStep[]
}

export interface RunbookInput {
  name: string
  title: Text
  type: 'string' | 'int' | 'bool' | 'duration' | 'list' | 'target' | 'secret'
  required?: boolean
  default?: unknown
  options?: string[]
  pattern?: string
  min?: number
  max?: number
}

export interface Approval {
  role: string
  say?: Text
  within?: string
  other?: boolean
}

export interface RunbookStep {
  id: string
  title?: Text
  type?: string
  with?: Record<string, unknown>
  target?: string
  serial?: RunbookStep[]
  parallel?: RunbookStep[]
  each?: string
  if?: string
  assert?: { if: string; say: Text }[]
  retry?: { times: number; wait?: string }
  timeout?: string
  approve?: Approval
  undo?: RunbookStep
  onFail?: string
}

/** The steps in order, with how deep each stands in blocks. */
export function flat(steps: RunbookStep[] | undefined, depth = 0): { step: RunbookStep; depth: number }[] {
  return (steps ?? []).flatMap((step) => [{ step, depth }, ...flat(step.serial ?? step.parallel, depth + 1)])
}

/** Whether an input names things of the ledger: what the runbook takes its targets from. */
export function namesThings(book: Runbook, input: RunbookInput): boolean {
  return input.type === 'target' || (input.type === 'list' && new RegExp(`data\\.inputs\\.${input.name}\\b`).test(book.targets ?? ''))
}

/** The inputs as fields that a form can take in; credentials are named, never shown. */
export function inputFields(book: Runbook, credentials: string[]): Field[] {
  return (book.inputs ?? []).map((input): Field => {
    const field: Field = { name: input.name, type: 'string', title: input.title, required: input.required }
    if (namesThings(book, input)) return { ...field, type: 'ref', to: ['thing'], many: input.type === 'list' }
    const choice = (codes: string[]): Field => ({ ...field, type: 'code', options: codes.map((code) => ({ code, title: { zh: code, en: code } })) })
    switch (input.type) {
      case 'secret':
        return credentials.length ? choice(credentials) : field
      case 'list':
        return { ...field, many: true }
      case 'int':
        return { ...field, type: 'int', min: input.min?.toString(), max: input.max?.toString() }
      case 'bool':
      case 'duration':
        return { ...field, type: input.type }
      default:
        return input.options?.length ? choice(input.options) : { ...field, pattern: input.pattern }
    }
  })
}

/** What a form begins with: the defaults, and the thing one comes from where the runbook asks for one. */
export function begun(book: Runbook, thing: string): Data {
  const out: Data = {}
  for (const input of book.inputs ?? []) {
    if (thing && namesThings(book, input)) out[input.name] = input.type === 'list' ? ['thing/' + thing] : 'thing/' + thing
    else if (input.default !== undefined && input.default !== null) out[input.name] = input.default
  }
  return out
}

/** The inputs as a run is ordered with them: empty ones are left out. */
export function given(data: Data): Data {
  return Object.fromEntries(
    Object.entries(data).flatMap(([name, value]) => {
      const kept = Array.isArray(value) ? value.filter((v) => v !== undefined && v !== '') : value
      return kept === undefined || kept === '' || (Array.isArray(kept) && !kept.length) ? [] : [[name, kept]]
    }),
  )
}

/** What a step does, by its type; the type itself where it has no word. */
export function typeTitle(type: string | undefined): string {
  const key = `type.${type ?? ''}`
  return key in table ? o(key as Word) : (type ?? '')
}
