import { computed, shallowRef } from 'vue'
import { ask } from '../api/client'
import type { Catalogue, Field, Kind, MenuSection, Param, State } from '../api/types'
import { say, t } from '../words'

const catalogue = shallowRef<Catalogue>({ items: [], menu: [] })
const byName = computed(() => new Map(catalogue.value.items.map((k) => [k.name, k])))
const byPlural = computed(() => new Map(catalogue.value.items.map((k) => [k.plural, k])))

/** Loads the declarations that the signed-in person may read. */
export async function loadCatalogue(): Promise<void> {
  takeCatalogue(await ask<Catalogue>('/api/kinds'))
}

export function takeCatalogue(loaded: Catalogue): void {
  catalogue.value = { items: loaded.items ?? [], menu: loaded.menu ?? [] }
}

export function forgetCatalogue(): void {
  catalogue.value = { items: [], menu: [] }
}

export const kinds = computed(() => catalogue.value.items)

export function kindNamed(name: string): Kind | undefined {
  return byName.value.get(name)
}

export function kindAt(plural: string): Kind | undefined {
  return byPlural.value.get(plural)
}

export interface Section extends MenuSection {
  kinds: Kind[]
}

/** The menu: sections in their order, each with its kinds in theirs; sections without kinds are left out. */
export const menu = computed<Section[]>(() => {
  const sections = new Map<string, Section>()
  for (const s of catalogue.value.menu) sections.set(s.name, { ...s, kinds: [] })
  for (const k of catalogue.value.items) {
    const name = k.view?.menu
    if (!name) continue
    let s = sections.get(name)
    if (!s) sections.set(name, (s = { name, title: { zh: name, en: name }, kinds: [] }))
    s.kinds.push(k)
  }
  const list = [...sections.values()].filter((s) => s.kinds.length > 0)
  for (const s of list) s.kinds.sort((a, b) => (a.view?.order ?? 0) - (b.view?.order ?? 0) || a.name.localeCompare(b.name))
  return list.sort((a, b) => (a.order ?? 0) - (b.order ?? 0) || a.name.localeCompare(b.name))
})

/** Whether the person may do something with the kind as such ("create", "update" …). */
export function may(kind: Kind, what: string): boolean {
  return kind.can === undefined || kind.can.includes(what) || kind.can.includes('*')
}

export function stateOf(kind: Kind | undefined, name: string | undefined): State | undefined {
  return kind?.lifecycle?.states.find((s) => s.name === name)
}

export function fieldOf(kind: Kind, name: string): Field | undefined {
  return kind.fields?.find((f) => f.name === name)
}

/**
 * The reference that a field of text holds as a bare id ("17" → "thing/17");
 * undefined where it is text and nothing else.
 */
export function heldRef(field: Field, value: unknown): string | undefined {
  if (field.name !== 'thing' || field.type !== 'string' || field.many || typeof value !== 'string' || !byName.value.has('thing')) return undefined
  return value.startsWith('thing/') ? value : 'thing/' + value
}

/** The label of a field by its path ("items.code"); the path itself where nothing is declared. */
export function fieldTitle(kind: Kind, path: string): string {
  let fields = kind.fields
  let label = ''
  for (const part of path.split(/[.[]/)) {
    const field: Field | undefined = fields?.find((f) => f.name === part)
    if (!field) break
    label = label ? label + ' · ' + say(field.title) : say(field.title)
    fields = field.fields
  }
  return label || path
}

/** A column of a list: a field of the data, or one of the record's own properties. */
export interface Column {
  name: string
  title: string
  field?: Field
  /** The parameter to sort by; undefined where the list cannot be sorted by this column. */
  sort?: string
}

export const ownColumns = ['state', 'updatedAt', 'createdAt', 'enteredAt', 'nextAt', 'id', 'by'] as const

function ownTitle(name: string): string | undefined {
  switch (name) {
    case 'state':
      return t('record.state')
    case 'updatedAt':
      return t('record.updatedAt')
    case 'createdAt':
      return t('record.createdAt')
    case 'enteredAt':
      return t('record.enteredAt')
    case 'nextAt':
      return t('record.nextAt')
    case 'id':
      return t('record.id')
    case 'by':
      return t('record.by')
  }
  return undefined
}

/** The declared sort parameters that look at a field: all but composites, whose order means nothing. */
function sortParam(kind: Kind, path: string): string | undefined {
  return kind.search?.find((p) => p.path === path && p.type !== 'composite')?.name
}

export function column(kind: Kind, name: string): Column {
  const field = fieldOf(kind, name)
  if (field) return { name, title: say(field.title), field, sort: field.many ? undefined : sortParam(kind, name) }
  const sort = { updatedAt: '_updated', createdAt: '_created', id: '_id', state: '_state' }[name]
  return { name, title: ownTitle(name) ?? name, sort }
}

/** Every column the list of a kind can show, the declared ones first. */
export function allColumns(kind: Kind): Column[] {
  const declared = kind.view?.columns ?? []
  const rest = (kind.fields ?? []).filter((f) => f.type !== 'secret').map((f) => f.name)
  const own = ownColumns.filter((name) => name !== 'state' || kind.lifecycle)
  return [...new Set([...declared, ...rest, ...own])].map((name) => column(kind, name))
}

/** The columns the declaration shows; where it says nothing, the first fields. */
export function declaredColumns(kind: Kind): string[] {
  if (kind.view?.columns?.length) return kind.view.columns
  const fields = (kind.fields ?? []).filter((f) => f.type !== 'secret' && f.type !== 'object').slice(0, 4)
  return [...fields.map((f) => f.name), ...(kind.lifecycle ? ['state'] : []), 'updatedAt']
}

/** The label of a filter: its own, else that of the field it looks at. */
export function paramTitle(kind: Kind, param: Param): string {
  return say(param.title) || (param.path ? fieldTitle(kind, param.path) : '') || param.name
}

/** The titles of all kinds that exist, for "any kind". */
export function kindTitle(name: string): string {
  const kind = kindNamed(name)
  return kind ? say(kind.title) : name
}
