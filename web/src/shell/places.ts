import { kindNamed, may } from '../model/catalogue'
import type { Drawing } from '../parts/Icon.vue'
import type { Key } from '../words'

/** A page that shows more than the records of one kind. */
export interface Place {
  to: string
  title: Key
  icon: Drawing
}

/** The pages of clinical records; they stand before the kinds of their section. */
export function clinicalPlaces(): Place[] {
  const patient = kindNamed('Patient')
  if (!patient) return []
  const places: Place[] = [
    { to: '/clinical/patients', title: 'clinical.patients', icon: 'user' },
    { to: '/clinical/resources', title: 'clinical.resources', icon: 'search' },
    { to: '/clinical/terminology', title: 'clinical.terminology', icon: 'book' },
  ]
  if (may(patient, 'create')) places.push({ to: '/clinical/upload', title: 'clinical.upload', icon: 'plus' })
  return places
}

/** The pages of operations, for whoever may see what bounds the system's own doing. */
export function operationsPlaces(): Place[] {
  if (!kindNamed('autopilot')) return []
  return [
    { to: '/operations', title: 'operations.overview', icon: 'gauge' },
    { to: '/operations/topology', title: 'operations.topology', icon: 'flow' },
    { to: '/operations/one-click', title: 'operations.oneClick', icon: 'play' },
    { to: '/operations/forecasts', title: 'operations.forecasts', icon: 'clock' },
    { to: '/operations/quiet', title: 'operations.quiet', icon: 'pause' },
    { to: '/operations/knowledge', title: 'operations.knowledge', icon: 'book' },
    { to: '/operations/review', title: 'operations.review', icon: 'task' },
  ]
}
