import vue from '@vitejs/plugin-vue'
import { writeFileSync } from 'node:fs'
import { defineConfig } from 'vitest/config'
import { icons } from './icons.ts'
import { precompress } from './precompress.ts'

export default defineConfig({
  plugins: [
    vue(),
    icons(),
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
    rolldownOptions: {
      output: {
        codeSplitting: {
          // The first view waits for every file it needs, and a browser fetches six at a time: two, not twenty.
          groups: [
            { name: 'vue', test: /node_modules\/(vue|@vue|vue-router)\// },
            { name: 'shell', test: /src\/(api\/\w+|words\/(en|index|zh)|model\/(catalogue|names|record|records|session|time|value|window)|shell\/(Line|Menu|Shell|TopBar|places)|parts\/(Cell|ColumnChooser|Filter|Icon|KindIcon|Moment|RecordTable|RefLink|StateTag|Told)|pages\/(Nowhere|RecordList|SignIn))\.(ts|vue)/ },
          ],
        },
      },
    },
  },
  server: {
    proxy: { '/api': 'http://127.0.0.1:8080' },
  },
  test: {
    environment: 'happy-dom',
    include: ['src/**/*.test.ts'],
  },
})
