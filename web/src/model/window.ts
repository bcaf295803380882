import { computed, onBeforeUnmount, onMounted, ref, type Ref } from 'vue'

/** Rows drawn beyond each edge, so that a fast scroll shows no gap. */
const spare = 12

/**
 * Which of many rows of one height need to be drawn: those in sight and a few
 * beyond. While printing all are, since paper does not scroll.
 */
export function useWindow(box: Ref<HTMLElement | undefined>, count: Ref<number>, height: Ref<number>) {
  const top = ref(0)
  const tall = ref(600)
  const printing = ref(false)
  let observer: ResizeObserver | undefined

  const start = computed(() => (printing.value ? 0 : Math.min(Math.max(0, Math.floor(top.value / height.value) - spare), count.value)))
  const end = computed(() =>
    printing.value ? count.value : Math.min(count.value, Math.ceil((top.value + tall.value) / height.value) + spare),
  )
  const above = computed(() => start.value * height.value)
  const below = computed(() => (count.value - end.value) * height.value)

  function onScroll() {
    top.value = box.value?.scrollTop ?? 0
  }

  /** Scrolls just as far as it takes to see the row. */
  function reveal(index: number, head = 0) {
    const el = box.value
    if (!el) return
    const y = index * height.value
    if (y < el.scrollTop) el.scrollTop = y
    else if (y + height.value + head > el.scrollTop + el.clientHeight) el.scrollTop = y + height.value + head - el.clientHeight
  }

  const beforePrint = () => (printing.value = true)
  const afterPrint = () => (printing.value = false)

  onMounted(() => {
    addEventListener('beforeprint', beforePrint)
    addEventListener('afterprint', afterPrint)
    if (!box.value) return
    tall.value = box.value.clientHeight || tall.value
    observer = new ResizeObserver(() => (tall.value = box.value?.clientHeight ?? tall.value))
    observer.observe(box.value)
  })
  onBeforeUnmount(() => {
    removeEventListener('beforeprint', beforePrint)
    removeEventListener('afterprint', afterPrint)
    observer?.disconnect()
  })

  return { start, end, above, below, onScroll, reveal }
}
