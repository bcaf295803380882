import { readonly, ref } from 'vue'
import type { Change } from './types'
import { EventReader } from './events'
import { lang } from '../words'

/** How the page stands to the feed: told beside the user's name. */
export type Link = 'connecting' | 'live' | 'resting' | 'broken'

/** First and longest pause before the next try, in milliseconds. */
const firstPause = 500
const longestPause = 15_000
/** Without a sign of life for this long the line counts as dead; the server speaks every 15 s. */
const silence = 45_000
/** A hidden tab lets go of its connection after this long: browsers allow six to a server. */
const hiddenRest = 60_000

type Listener = (changes: Change[]) => void

/**
 * Follows the feed of committed writes for the whole page. Listeners hear of
 * every visible write after the moment they began to listen, in order, once;
 * across a lost connection too, since it resumes after the last cursor heard.
 * Where the server says the cursor is too old, onLost listeners must load anew.
 */
class Feed {
  private readonly linkRef = ref<Link>('connecting')
  readonly link = readonly(this.linkRef)

  private cursor = ''
  private abort: AbortController | null = null
  private running = false
  private placed = false
  private pause = firstPause
  private wake: () => void = () => {}
  private listeners = new Set<Listener>()
  private lost = new Set<() => void>()
  private ready: Promise<void> = Promise.resolve()
  private markReady: () => void = () => {}
  private resting = false
  private restTimer = 0
  private queue: Change[] = []
  private flushing = false

  /** Starts following; does nothing when it already does. */
  start(): void {
    if (this.running) return
    this.running = true
    this.cursor = ''
    this.placed = false
    this.ready = new Promise((resolve) => (this.markReady = resolve))
    addEventListener('online', this.onOnline)
    addEventListener('offline', this.onOffline)
    document.addEventListener('visibilitychange', this.onVisibility)
    void this.run()
  }

  /** Stops and forgets the cursor: at sign-out. */
  stop(): void {
    this.running = false
    this.abort?.abort()
    this.wake()
    this.markReady()
    clearTimeout(this.restTimer)
    removeEventListener('online', this.onOnline)
    removeEventListener('offline', this.onOffline)
    document.removeEventListener('visibilitychange', this.onVisibility)
    this.linkRef.value = 'connecting'
  }

  /** Whether what is loaded from now on is kept current: the feed has a position, and tells all that comes after it. */
  get current(): boolean {
    return this.placed
  }

  /**
   * Listens from now on; call it before loading what is to be kept current. What
   * was loaded before the feed was current must be loaded again after
   * position(), so that nothing falls between. Returns how to stop.
   */
  listen(onChanges: Listener, onLost: () => void): () => void {
    this.listeners.add(onChanges)
    this.lost.add(onLost)
    return () => {
      this.listeners.delete(onChanges)
      this.lost.delete(onLost)
    }
  }

  /** Resolves once the feed has a position, however long that takes, or has stopped. */
  position(): Promise<void> {
    return this.ready
  }

  private async run(): Promise<void> {
    while (this.running) {
      if (this.resting) {
        this.linkRef.value = 'resting'
        await this.wait(0)
        continue
      }
      this.linkRef.value = this.cursor ? 'broken' : 'connecting'
      if (navigator.onLine) {
        try {
          await this.follow()
        } catch {
          // Whatever ended the line, the loop tries again below.
        }
      }
      if (!this.running || this.resting) continue
      this.linkRef.value = 'broken'
      // Half of the pause is random so that a thousand pages do not come back at once.
      const pause = this.pause / 2 + (Math.random() * this.pause) / 2
      this.pause = Math.min(this.pause * 2, longestPause)
      await this.wait(pause)
    }
  }

  /** Waits so many milliseconds, or without end for 0, until woken. */
  private wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms > 0 ? setTimeout(resolve, ms) : 0
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  private async follow(): Promise<void> {
    const abort = new AbortController()
    this.abort = abort
    let watchdog = 0
    const alive = () => {
      clearTimeout(watchdog)
      watchdog = window.setTimeout(() => abort.abort(), silence)
    }
    alive()
    try {
      const after = this.cursor ? '?after=' + encodeURIComponent(this.cursor) : ''
      const answer = await fetch('/api/feed' + after, {
        signal: abort.signal,
        credentials: 'same-origin',
        headers: { Accept: 'text/event-stream', 'Accept-Language': lang.value },
      })
      if (answer.status === 401) {
        this.stop()
        return
      }
      if (!answer.ok || !answer.body) throw new Error('feed ' + answer.status)
      this.linkRef.value = 'live'
      this.pause = firstPause
      const reader = new EventReader((e) => this.heard(e.event, e.data, e.id), alive)
      const stream = answer.body.pipeThrough(new TextDecoderStream()).getReader()
      for (;;) {
        const { done, value } = await stream.read()
        if (done) return
        alive()
        reader.push(value)
      }
    } finally {
      clearTimeout(watchdog)
    }
  }

  private heard(event: string, data: string, id?: string): void {
    if (id) this.cursor = id
    if (event === 'position') {
      this.placed = true
      this.markReady()
    } else if (event === 'change') {
      this.queue.push(JSON.parse(data) as Change)
      if (!this.flushing) {
        this.flushing = true
        // A transaction arrives as a burst: tell it as one.
        setTimeout(() => this.flush(), 30)
      }
    } else if (event === 'resync') {
      if (!id) this.cursor = ''
      for (const f of this.lost) f()
    }
  }

  private flush(): void {
    this.flushing = false
    const changes = this.queue
    this.queue = []
    for (const f of this.listeners) f(changes)
  }

  private readonly onOnline = () => {
    this.pause = firstPause
    this.wake()
  }

  private readonly onOffline = () => this.abort?.abort()

  private readonly onVisibility = () => {
    clearTimeout(this.restTimer)
    if (document.hidden) {
      this.restTimer = window.setTimeout(() => {
        this.resting = true
        this.abort?.abort()
      }, hiddenRest)
    } else if (this.resting) {
      this.resting = false
      this.wake()
    }
  }
}

export const feed = new Feed()
