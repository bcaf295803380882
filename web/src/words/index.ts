import { ref } from 'vue'
import type { Lang, Text } from '../api/types'
import { en } from './en'
import { zh, type Key } from './zh'

export type { Key }

const remembered = 'zhiwei.lang'

function first(): Lang {
  const kept = localStorage.getItem(remembered)
  return kept === 'en' || kept === 'zh' ? kept : 'zh'
}

/** The language of the page; Chinese until somebody chooses otherwise. */
export const lang = ref<Lang>(first())

export function setLang(next: Lang): void {
  lang.value = next
  localStorage.setItem(remembered, next)
  document.documentElement.lang = next === 'zh' ? 'zh-CN' : 'en'
}

/** The BCP 47 tag for formatting numbers and dates. */
export function locale(): string {
  return lang.value === 'zh' ? 'zh-CN' : 'en-GB'
}

/** A sentence of the shell; {name} is replaced by params.name. */
export function t(key: Key, params?: Record<string, string | number>): string {
  return fill((lang.value === 'zh' ? zh : en)[key], params)
}

/** Fills the places of a sentence: {name} by params.name. */
export function fill(sentence: string, params?: Record<string, string | number>): string {
  if (!params) return sentence
  return sentence.replace(/\{(\w+)\}/g, (whole, name: string) => String(params[name] ?? whole))
}

/** A declared text in the language of the page, in the other one where it lacks. */
export function say(text: Text | undefined | null): string {
  if (!text) return ''
  return (lang.value === 'zh' ? text.zh || text.en : text.en || text.zh) || ''
}

/** Whether a value of a record is a text in both languages. */
export function bilingual(value: unknown): value is Text {
  if (!value || typeof value !== 'object') return false
  const names = Object.keys(value)
  return names.length > 0 && names.every((n) => n === 'zh' || n === 'en')
}
