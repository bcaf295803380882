import { computed } from 'vue'
import { kindNamed } from '../model/catalogue'
import { useRecord } from '../model/record'
import { now } from '../model/time'

/** The one record that bounds what the system does by itself, kept current by the feed. */
export function useAutopilot() {
  const kind = computed(() => kindNamed('autopilot'))
  const record = useRecord(
    kind,
    computed(() => 'main'),
  )
  const stopped = computed(() => record.rec.value?.state === 'stopped')
  const breaker = computed(() => {
    const until = record.rec.value?.data.breakerUntil
    return typeof until === 'string' && Date.parse(until) > now.value ? until : ''
  })
  return { kind, ...record, stopped, breaker }
}
