import { ref } from 'vue'

/** How the pages look: by day, by night, or as the system has it. */
export type Theme = 'auto' | 'light' | 'dark'

export const themes: Theme[] = ['auto', 'light', 'dark']

const remembered = 'zhiwei.theme'
const night = window.matchMedia('(prefers-color-scheme: dark)')

function first(): Theme {
  const kept = localStorage.getItem(remembered)
  return themes.find((t) => t === kept) ?? 'auto'
}

/** What the person chose; as the system has it until then. */
export const theme = ref<Theme>(first())
/** Whether the page is dark now. */
export const dark = ref(false)

function apply(): void {
  dark.value = theme.value === 'dark' || (theme.value === 'auto' && night.matches)
  document.documentElement.dataset.theme = dark.value ? 'dark' : 'light'
}

export function setTheme(next: Theme): void {
  theme.value = next
  localStorage.setItem(remembered, next)
  apply()
}

/** The value of a colour of styles/tokens.css as it is now, for what is drawn on canvas. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim()
}

night.addEventListener('change', apply)
apply()
