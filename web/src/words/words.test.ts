import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { table } from './clinical'
import { table as operations } from './operations'
import { en } from './en'
import { zh } from './zh'

function sources(dir: string): string[] {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name)
    if (statSync(path).isDirectory()) return sources(path)
    return /\.(vue|ts)$/.test(name) && !/\.test\.ts$/.test(name) && !path.includes('words/') ? [path] : []
  })
}

const places = (s: string) => [...s.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort()

describe('words', () => {
  it('has every sentence in both languages', () => {
    expect(Object.keys(en).sort()).toEqual(Object.keys(zh).sort())
    for (const [key, text] of Object.entries({ ...zh, ...en })) expect(text.trim(), key).not.toBe('')
    for (const [key, texts] of Object.entries({ ...table, ...operations })) for (const text of texts) expect(text.trim(), key).not.toBe('')
  })

  it('fills the same places in both languages', () => {
    for (const key of Object.keys(zh) as (keyof typeof zh)[]) expect(places(en[key]), key).toEqual(places(zh[key]))
    for (const [key, [chinese, english]] of Object.entries({ ...table, ...operations })) expect(places(english), key).toEqual(places(chinese))
  })

  it('says nothing that no page uses', () => {
    const all = sources('src')
      .map((f) => readFileSync(f, 'utf8'))
      .join('\n')
    // Words of a family are picked by what they say: c(`sex.${…}`).
    const families = [...new Set([...all.matchAll(/`([\w.]+\.)\$\{/g)].map((m) => m[1]!))]
    for (const key of [...Object.keys(zh), ...Object.keys(table), ...Object.keys(operations)]) {
      expect(all.includes(`'${key}'`) || families.some((f) => key.startsWith(f)), key).toBe(true)
    }
  })

  it('leaves no Chinese in the pages themselves', () => {
    for (const file of sources('src')) {
      if (/initials\.ts$|names\.ts$|App\.vue$/.test(file)) continue
      const text = readFileSync(file, 'utf8')
        .replace(/\/\*[\s\S]*?\*\//g, '')
        .replace(/\/\/.*$/gm, '')
        .replace(/'中文'/g, '')
      expect(/\p{Script=Han}/u.exec(text)?.[0] ?? '', file).toBe('')
    }
  })
})
