import { onScopeDispose, ref, shallowRef, watch, type Ref } from 'vue'
import { ask, Refusal, sentence } from '../api/client'
import { feed } from '../api/feed'
import type { Change, Detail, Kind } from '../api/types'
import { learn } from './names'

/** Changes within this many milliseconds are loaded once. */
const rest = 60

/**
 * One record, kept current by the feed. gone is set when it was deleted or is
 * not to be seen any more; the last data stay, so that one sees what went.
 */
export function useRecord(kind: Ref<Kind | undefined>, id: Ref<string>) {
  const rec = shallowRef<Detail>()
  const fault = ref('')
  const missing = ref(false)
  const gone = ref(false)
  const changedBy = ref('')
  let timer = 0
  let turn = 0

  async function load(): Promise<void> {
    const k = kind.value
    if (!k) return
    const mine = ++turn
    if (!feed.current) {
      // Shown at once, and read again as soon as the feed tells what comes after.
      void feed.position().then(() => (mine === turn && feed.current ? load() : undefined))
    }
    try {
      const got = await ask<Detail>(`/api/${k.plural}/${encodeURIComponent(id.value)}`)
      if (mine !== turn) return
      rec.value = got
      fault.value = ''
      missing.value = gone.value = false
      learn(k, [got])
    } catch (error) {
      if (mine !== turn) return
      const lost = error instanceof Refusal && (error.status === 404 || error.status === 410)
      if (lost && rec.value) gone.value = true
      else if (lost) missing.value = true
      else fault.value = sentence(error)
    }
  }

  function onChanges(changes: Change[]): void {
    let newest: Change | undefined
    for (const c of changes) if (c.kind === kind.value?.name && c.id === id.value) newest = c
    if (!newest || (rec.value && newest.version <= rec.value.version)) return
    changedBy.value = newest.by ?? ''
    clearTimeout(timer)
    timer = window.setTimeout(() => void load(), rest)
  }

  const stop = feed.listen(onChanges, () => void load())
  onScopeDispose(() => {
    stop()
    clearTimeout(timer)
    turn++
  })
  watch(
    [kind, id],
    () => {
      rec.value = undefined
      void load()
    },
    { immediate: true },
  )
  return { rec, fault, missing, gone, changedBy, load }
}
