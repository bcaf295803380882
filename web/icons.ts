import { createSSRApp, type Component } from 'vue'
import { renderToString } from 'vue/server-renderer'
import type { Plugin } from 'vite'

const asked = 'virtual:icons'
const resolved = '\0' + asked

/**
 * Gives the module "virtual:icons": Element Plus's drawings as the outlines of
 * their paths by name, on a field of 1024 × 1024. Three hundred components for
 * what is text would be read and compiled before the first view.
 */
export function icons(): Plugin {
  return {
    name: 'zhiwei-icons',
    resolveId: (id) => (id === asked ? resolved : undefined),
    async load(id) {
      if (id !== resolved) return undefined
      const all = (await import('@element-plus/icons-vue')) as unknown as Record<string, Component>
      const outlines: Record<string, string[]> = {}
      for (const [name, component] of Object.entries(all)) {
        const drawn = await renderToString(createSSRApp(component))
        outlines[name] = [...drawn.matchAll(/<path[^>]* d="([^"]+)"/g)].map((m) => m[1]!)
      }
      // Text that is parsed as JSON is ready sooner than the same text as a program.
      return `export default JSON.parse(${JSON.stringify(JSON.stringify(outlines))})`
    },
  }
}
