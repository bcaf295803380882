import { onScopeDispose, ref, shallowRef, triggerRef, watch, type Ref } from 'vue'
import { ask, query, sentence } from '../api/client'
import { feed } from '../api/feed'
import type { Change, Kind, Page, Rec } from '../api/types'
import { learn } from './names'

/** What a list asks for: values by parameter; a date parameter may have two (from and to). */
export type Filters = Record<string, string[]>

/** Rows of the first page: enough for the tallest screen, small enough to be there at once. */
const firstPage = 60
/** Rows of every further page: few requests while somebody scrolls far. */
const nextPage = 500
/** So many changed ids fit one request beside the filters. */
const mostAtOnce = 50
/** How long a row that changed before one's eyes stays marked, in milliseconds. */
const freshFor = 4000

/** Up to so many rows, the list is simply asked again: that puts a new one where it belongs. */
const askAgain = 500

/**
 * The records of a kind that match, page after page, kept current by the feed.
 * Rows that change are replaced where they stand and marked as fresh. New ones
 * come on top where the list is newest first, else in their place by the order;
 * where too much is loaded to ask for it again they are counted in waiting.
 */
export function useRecords(kind: Ref<Kind | undefined>, filters: Ref<Filters>, sort: Ref<string>) {
  const rows = shallowRef<Rec[]>([])
  const total = ref<number>()
  const loading = ref(false)
  const fault = ref('')
  const done = ref(false)
  const waiting = ref(0)
  const fresh = shallowRef(new Set<string>())

  let next: string | null = null
  let turn = 0
  let pending = new Map<string, number>()
  let timer = 0

  function search(extra: Record<string, string | number | boolean | undefined>): string {
    const parts = new URLSearchParams()
    for (const [name, values] of Object.entries(filters.value)) {
      for (const v of values) if (v) parts.append(name, v)
    }
    const rest = query({ ...extra, sort: sort.value })
    const own = parts.toString()
    return own ? '?' + own + (rest ? '&' + rest.slice(1) : '') : rest
  }

  async function page(k: Kind, mine: number): Promise<void> {
    loading.value = true
    fault.value = ''
    try {
      const first = next === null
      const got = await ask<Page>(`/api/${k.plural}` + search({ limit: first ? firstPage : nextPage, after: next ?? undefined }))
      if (mine !== turn) return
      learn(k, got.items)
      const known = first ? new Set<string>() : new Set(rows.value.map((r) => r.id))
      const more = got.items.filter((r) => !known.has(r.id))
      rows.value = first ? more : rows.value.concat(more)
      next = got.next
      done.value = got.next === null
      if (first) void count(k, mine)
    } catch (error) {
      if (mine === turn) fault.value = sentence(error)
    } finally {
      if (mine === turn) loading.value = false
    }
  }

  async function count(k: Kind, mine: number): Promise<void> {
    if (done.value) {
      total.value = rows.value.length
      return
    }
    try {
      const got = await ask<Page>(`/api/${k.plural}` + search({ limit: 1, total: true }))
      if (mine === turn) total.value = got.total
    } catch {
      // A list without its total is still a list.
    }
  }

  /** Loads from the beginning. */
  async function reload(): Promise<void> {
    const k = kind.value
    if (!k) return
    const mine = ++turn
    next = null
    done.value = false
    waiting.value = 0
    total.value = undefined
    pending = new Map()
    const early = !feed.current
    await page(k, mine)
    if (!early) return
    // Shown at once, and asked again as soon as the feed tells what comes after.
    await feed.position()
    if (mine === turn && feed.current) await again(k, mine, [])
  }

  /** Loads the next page; does nothing while one is on its way or after the last. */
  async function more(): Promise<void> {
    if (loading.value || done.value || fault.value || next === null || !kind.value) return
    await page(kind.value, turn)
  }

  function onChanges(changes: Change[]): void {
    for (const c of changes) if (c.kind === kind.value?.name) pending.set(c.id, c.version)
    if (pending.size > 0 && !timer) timer = window.setTimeout(() => void refresh(), 100)
  }

  /** Asks which of the changed records match now, and puts them in their place. */
  async function refresh(): Promise<void> {
    timer = 0
    const k = kind.value
    const mine = turn
    const ids = [...pending.keys()]
    pending = new Map()
    if (!k || ids.length === 0) return
    for (let i = 0; i < ids.length; i += mostAtOnce) {
      const some = ids.slice(i, i + mostAtOnce)
      let got: Page
      try {
        got = await ask<Page>(`/api/${k.plural}` + search({ _id: some.join(','), limit: mostAtOnce }))
      } catch {
        // The line is broken or the filter refused: the next change or reload tells.
        waiting.value += some.length
        continue
      }
      if (mine !== turn) return
      learn(k, got.items)
      const arrived = place(some, got.items)
      if (arrived.length === 0 || !sort.value) continue
      if (rows.value.length <= askAgain) return again(k, mine, ids)
      waiting.value += arrived.length
    }
  }

  /** Loads what is loaded anew, in order, and marks those of ids that are among it. */
  async function again(k: Kind, mine: number, ids: string[]): Promise<void> {
    const before = new Map(rows.value.map((r) => [r.id, r.version]))
    const limit = Math.max(firstPage, rows.value.length + ids.length)
    try {
      const got = await ask<Page>(`/api/${k.plural}` + search({ limit }))
      if (mine !== turn) return
      learn(k, got.items)
      mark(got.items.filter((r) => before.get(r.id) !== r.version).map((r) => r.id))
      rows.value = got.items
      next = got.next
      done.value = got.next === null
      void count(k, mine)
    } catch {
      waiting.value += ids.length
    }
  }

  /** Marks rows as fresh for a while. */
  function mark(ids: string[]): void {
    for (const id of ids) fresh.value.add(id)
    triggerRef(fresh)
    setTimeout(() => {
      for (const id of ids) fresh.value.delete(id)
      triggerRef(fresh)
    }, freshFor)
  }

  /** Puts changed records in their rows and takes away what matches no more; returns those that are new to the list. */
  function place(asked: string[], now: Rec[]): Rec[] {
    const found = new Map(now.map((r) => [r.id, r]))
    const marked: string[] = []
    const gone = new Set(asked.filter((id) => !found.has(id)))
    let list = rows.value
    const before = list.length
    if (gone.size > 0) list = list.filter((r) => !gone.has(r.id))
    const removed = before - list.length
    list = list.map((r) => {
      const newer = found.get(r.id)
      if (!newer) return r
      found.delete(r.id)
      if (newer.version <= r.version) return r
      marked.push(r.id)
      return newer
    })
    // Changed records that were not loaded yet come with their page; new ones are shown at once.
    const arrived = [...found.values()].filter((r) => r.version === 1 || done.value)
    if (!sort.value) {
      list = [...arrived, ...list]
      marked.push(...arrived.map((r) => r.id))
    }
    rows.value = list
    if (total.value !== undefined) total.value += (sort.value ? 0 : arrived.length) - removed
    mark(marked)
    return arrived
  }

  const stop = feed.listen(onChanges, () => void reload())
  onScopeDispose(() => {
    stop()
    clearTimeout(timer)
    turn++
  })
  watch([kind, filters, sort], () => void reload(), { immediate: true, deep: true })

  return { rows, total, loading, fault, done, waiting, fresh, more, reload }
}
