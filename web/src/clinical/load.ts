import { onScopeDispose, ref, shallowRef, watch, type Ref, type WatchSource } from 'vue'
import { Refusal, sentence } from '../api/client'

/** What is read for a page: the value once it is there, the sentence where it was refused, and how to ask again. */
export interface Loaded<T> {
  value: Ref<T | undefined>
  fault: Ref<string>
  /** The HTTP status of the refusal; 0 without one. */
  status: Ref<number>
  loading: Ref<boolean>
  reload: () => Promise<void>
}

/** Reads now and whenever a source changes; an answer that was overtaken by a later question is dropped. */
export function useLoad<T>(sources: WatchSource[], read: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const value = shallowRef<T>()
  const fault = ref('')
  const status = ref(0)
  const loading = ref(false)
  let abort: AbortController | undefined

  async function reload() {
    abort?.abort()
    const mine = (abort = new AbortController())
    loading.value = true
    try {
      const got = await read(mine.signal)
      if (abort !== mine) return
      value.value = got
      fault.value = ''
      status.value = 0
    } catch (error) {
      if (mine.signal.aborted) return
      value.value = undefined
      fault.value = sentence(error)
      status.value = error instanceof Refusal ? error.status : 0
    } finally {
      if (abort === mine) loading.value = false
    }
  }

  watch(sources, () => void reload(), { immediate: true })
  onScopeDispose(() => abort?.abort())
  return { value, fault, status, loading, reload }
}
