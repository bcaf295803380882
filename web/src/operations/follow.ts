import { onScopeDispose } from 'vue'
import { feed } from '../api/feed'

/**
 * Has a page load anew when a record of one of these kinds changed; what comes in
 * a burst is looked at once, after rest milliseconds. Gives what asks for that by
 * hand.
 */
export function useFollow(kinds: string[], load: () => Promise<void>, rest = 1000): () => void {
  const followed = new Set(kinds)
  let timer = 0
  const soon = () => {
    if (timer) return
    timer = window.setTimeout(() => {
      timer = 0
      void load()
    }, rest)
  }
  const stop = feed.listen((changes) => changes.some((c) => followed.has(c.kind)) && soon(), soon)
  onScopeDispose(() => {
    stop()
    clearTimeout(timer)
  })
  return soon
}
