import { createApp } from 'vue'
import App from './App.vue'
import { onSignedOut } from './api/client'
import { forget, loadSession } from './model/session'
import './model/theme'
import { router } from './router'
import './styles'
import { lang, setLang } from './words'

setLang(lang.value)

onSignedOut(() => {
  forget()
  void router.replace({ name: 'sign-in', query: { next: router.currentRoute.value.fullPath } })
})

const app = createApp(App)

// The code of the page that is asked for comes while the session is looked up.
for (const { components } of router.resolve(location.pathname).matched) {
  const load = components?.default
  if (typeof load === 'function') void (load as () => Promise<unknown>)().catch(() => {})
}

try {
  await loadSession()
} catch {
  // The server cannot be reached: the sign-in page says so and tries again.
}
app.use(router)
app.mount('#app')
