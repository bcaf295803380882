import vue from '@vitejs/plugin-vue'
import { writeFileSync } from 'node:fs'
import { defineConfig } from 'vitest/config'
import { precompress } from './precompress.ts'

export default defineConfig({
  plugins: [
    vue(),
    precompress(),
    {
      // The folder must exist in a fresh clone for the Go side to embed it.
      name: 'zhiwei-keep-dist',
      apply: 'build',
      closeBundle() {
        writeFileSync('dist/.gitkeep', '')
      },
    },
  ],
  build: {
    target: 'es2022',
    // Inlined data: URLs of scripts or fonts would need a wider content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: {
    proxy: { '/api': 'http://127.0.0.1:8080' },
  },
  test: {
    environment: 'happy-dom',
    include: ['src/**/*.test.ts'],
  },
})
