/**
 * First letters of Chinese text by pinyin ("借阅记录" → "jyjl"), for finding a
 * page by its title. It uses the browser's own pinyin collation: a character's
 * letter is the last one whose first character sorts no later. Records are
 * found by full pinyin on the server; this is only for the menu.
 */
const letters = 'abcdefghjklmnopqrstwxyz'
/** The first common character of each letter above in pinyin order. */
const firsts = '阿八嚓哒妸发旮哈讥咔垃妈拏噢妑七呥扨它穵夕丫帀'

const collator = new Intl.Collator('zh-CN-u-co-pinyin')

export function initials(text: string): string {
  let out = ''
  for (const c of text) {
    if (/\p{Script=Han}/u.test(c)) out += letter(c)
    else if (/[\p{L}\p{N}]/u.test(c)) out += c.toLowerCase()
  }
  return out
}

function letter(c: string): string {
  let found = ''
  for (let i = 0; i < firsts.length; i++) {
    if (collator.compare(firsts.charAt(i), c) > 0) break
    found = letters.charAt(i)
  }
  return found
}

/** Whether typed text finds a title: anywhere in it, or at the start of its initials. */
export function finds(typed: string, ...titles: string[]): boolean {
  const q = typed.trim().toLowerCase()
  if (!q) return true
  return titles.some((title) => title.toLowerCase().includes(q) || initials(title).includes(q))
}
