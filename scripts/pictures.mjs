// Takes the pictures of the README from the real program in Chromium, with
// people and books that are visibly samples:
//
//   make build && npm --prefix test/pages ci && ZHIWEI=$PWD/bin/zhiwei node scripts/pictures.mjs
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { appointAll, changeFirst, House, makeUser, until } from '../test/pages/world.js'

const out = join(dirname(fileURLToPath(import.meta.url)), '..', 'docs', 'pictures')

/** Asks the program as the page does, with the page's session. */
function ask(page, method, path, body) {
  return page.evaluate(
    async ([method, path, body]) => {
      const res = await fetch(path, {
        method,
        headers: { 'Content-Type': 'application/json', 'X-Zhiwei-CSRF': '1' },
        body: body && JSON.stringify(body),
      })
      if (!res.ok) throw new Error(`${method} ${path}: ${await res.text()}`)
      return res.json()
    },
    [method, path, body],
  )
}

const house = await House.open()
try {
  const handed = await appointAll(await house.person())
  const security = await house.person()
  await changeFirst(security, { login: 'sec', oneTime: handed.sec, password: 'keeper of the doors 2' })
  const librarian = await makeUser(security, { name: '样例馆员', login: 'sample', role: '图书' })
  const page = await house.person()
  await changeFirst(page, { ...librarian, password: 'among the books 44' })
  const books = ['本草纲目', '伤寒论', '黄帝内经', '千金要方', '金匮要略', '温病条辨', '医林改错', '针灸甲乙经', '脉经', '神农本草经', '肘后备急方', '濒湖脉学']
  const names = ['样例读者甲', '样例读者乙', '样例读者丙', '样例读者丁']
  for (const [i, title] of books.entries()) await ask(page, 'POST', '/api/copies', { id: `b${i}`, data: { title, author: '样例', barcode: String(1001 + i) } })
  for (const [i, name] of names.entries()) await ask(page, 'POST', '/api/readers', { id: `r${i}`, data: { name, card: `样例-${i + 1}` } })
  for (let i = 0; i < 10; i++) {
    await ask(page, 'POST', '/api/loans', { id: `l${i}`, data: { copy: `copy/b${i}`, reader: `reader/r${i % 4}` } })
    if (i % 3 === 0) await ask(page, 'POST', `/api/loans/l${i}/do/renew`, {})
    if (i % 4 === 1) await ask(page, 'POST', `/api/loans/l${i}/do/return`, {})
  }
  await ask(page, 'POST', '/api/loans/l2/do/lose', { evidence: { reason: '读者报告遗失（样例）' } })

  const shoot = async (name) => {
    await until(async () => (await page.locator('[aria-busy="true"], .el-loading-mask, .el-skeleton').count()) === 0, name)
    await page.evaluate(() => document.fonts.ready)
    await page.screenshot({ path: join(out, name + '.png') })
  }
  await page.goto('/loans')
  await page.getByText('黄帝内经').first().waitFor()
  await shoot('list')
  await page.goto('/loans/l9')
  await page.getByRole('heading', { level: 1, name: books[9] }).waitFor()
  await page.getByText('第 3 版').first().waitFor()
  await shoot('record')
  await page.getByRole('link', { name: '流转图' }).click()
  await page.locator('main svg').first().waitFor()
  await shoot('diagram')
} finally {
  await house.close()
}
