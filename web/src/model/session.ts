import { computed, reactive } from 'vue'
import { ask } from '../api/client'
import { feed } from '../api/feed'
import type { About, Session, SessionUser, Start } from '../api/types'
import { forgetCatalogue, loadCatalogue, takeCatalogue } from './catalogue'
import { forgetNames } from './names'

interface Standing {
  about: About | null
  session: Session | null
}

const standing = reactive<Standing>({ about: null, session: null })

export const about = computed(() => standing.about)
export const user = computed<SessionUser | null>(() => standing.session?.user ?? null)
export const mustChangePassword = computed(() => standing.session?.mustChangePassword === true)
/** The first user, whose only power is to appoint the three administrators. */
export const isFounder = computed(() => standing.session?.founder === true)

/** Loads who we are, once at start. Nobody signed in is not a failure. */
export async function loadSession(): Promise<void> {
  const start = await ask<Start>('/api/start', { quiet: true })
  standing.about = start.about
  if (!start.session || !start.catalogue) return
  takeCatalogue(start.catalogue)
  await enter(start.session, true)
}

export async function signIn(name: string, password: string): Promise<void> {
  await enter(await ask<Session>('/api/session', { method: 'POST', body: { user: name, password }, quiet: true }))
}

async function enter(session: Session, catalogueLoaded = false): Promise<void> {
  if (!session.mustChangePassword) {
    if (!catalogueLoaded) await loadCatalogue()
    feed.start()
  }
  standing.session = session
}

export async function changePassword(old: string, next: string): Promise<void> {
  await ask('/api/session/password', { method: 'POST', body: { old, new: next } })
  const session = await ask<Session>('/api/session')
  await enter({ ...session, mustChangePassword: false })
}

export async function signOut(): Promise<void> {
  try {
    await ask('/api/session', { method: 'DELETE', quiet: true })
  } finally {
    forget()
  }
}

/** Forgets everything that was read under the session. */
export function forget(): void {
  feed.stop()
  standing.session = null
  forgetCatalogue()
  forgetNames()
}

/** Reads the state of the house again, after the administrators were appointed. */
export async function refreshAbout(): Promise<void> {
  standing.about = await ask<About>('/api/about')
}
