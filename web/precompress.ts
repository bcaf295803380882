import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import type { Plugin } from 'vite'

/** Below this many bytes a compressed copy saves less than a packet. */
const worthwhile = 1024

/**
 * Writes a .br and a .gz copy beside every text file of the build, so that the
 * server sends the smallest form without spending time on each request.
 */
export function precompress(): Plugin {
  let out = ''
  return {
    name: 'zhiwei-precompress',
    apply: 'build',
    configResolved(config) {
      out = config.build.outDir
    },
    closeBundle() {
      for (const file of files(out)) {
        if (!/\.(js|css|html|svg|json)$/.test(file)) continue
        const raw = readFileSync(file)
        if (raw.length < worthwhile) continue
        writeFileSync(file + '.br', brotliCompressSync(raw, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }))
        writeFileSync(file + '.gz', gzipSync(raw, { level: 9 }))
      }
    },
  }
}

function files(dir: string): string[] {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name)
    return statSync(path).isDirectory() ? files(path) : [path]
  })
}
