// How fast the pages are. ROWS copies stand in the list: 5,000 as part of the tests, 100,000 for the bench ("npm run bench").
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { House, signIn } from './world.js'

const rows = Number(process.env.ROWS ?? 5000)
/** Goals of issue 2, in milliseconds. The best of several is compared, since other work shares the machine. */
const goals = { firstView: 1000, step: 100 }
/** Among the other tests the machine is busy: there only what is far off fails, and the bench holds to the goals. */
const slack = rows >= 100_000 ? 1 : 4
const tries = 5

let house
let page
before(
  async () => {
    house = await House.open()
    await house.settle()
    page = await house.person()
    const { login, password } = house.people.librarian
    await signIn(page, login, password)
    await page.getByRole('heading', { name: '您好' }).waitFor()
    await fill(await page.context().cookies())
  },
  { timeout: 600_000 },
)
after(() => house?.close())

async function fill(cookies) {
  const headers = { 'Content-Type': 'application/json', 'X-Zhiwei-CSRF': '1', Cookie: cookies.map((c) => `${c.name}=${c.value}`).join('; ') }
  let next = 0
  const one = async () => {
    for (let i = next++; i < rows; i = next++) {
      const data = { title: `书 ${String(i).padStart(6, '0')}`, author: i % 1000 === 7 ? '张仲景' : `作者 ${i % 97}`, barcode: `S-${i}` }
      const answer = await fetch(house.base + '/api/copies', { method: 'POST', headers, body: JSON.stringify({ data }) })
      assert.equal(answer.status, 201)
      await answer.arrayBuffer()
    }
  }
  await Promise.all(Array.from({ length: 32 }, one))
}

async function best(measure) {
  const all = []
  for (let i = 0; i < tries; i++) all.push(await measure(i))
  return { best: Math.round(Math.min(...all)), all: all.map(Math.round) }
}

test('the first view of a list is there within a second', async (t) => {
  const cookies = await page.context().cookies()
  const got = await best(async () => {
    const fresh = await house.person()
    await fresh.context().addCookies(cookies)
    const start = performance.now()
    await fresh.goto('/copies', { waitUntil: 'commit' })
    await fresh.getByRole('link', { name: '书 000000' }).waitFor()
    const took = performance.now() - start
    await fresh.context().close()
    return took
  })
  t.diagnostic(`first view, nothing cached: ${got.best} ms of ${goals.firstView} (all: ${got.all.join(', ')})`)
  assert.ok(got.best <= goals.firstView * slack)
})

test(`a list of ${rows} records scrolls and filters without being felt`, async (t) => {
  await page.goto('/copies')
  await page.getByRole('link', { name: '书 000000' }).waitFor()
  const scroll = await page.evaluate(async () => {
    const box = document.querySelector('.table-scroll')
    const times = []
    for (let i = 0; i < 60; i++) {
      const before = performance.now()
      box.scrollTop += 400
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
      times.push(performance.now() - before)
    }
    return times.sort((a, b) => a - b)
  })
  const p95 = Math.round(scroll[Math.floor(scroll.length * 0.95)])
  t.diagnostic(`scroll, 95 of 100 steps of 400 px: ${p95} ms of ${goals.step}`)
  assert.ok(p95 <= goals.step * slack)

  // From the address that asks for the filter to the row: without the breath that the search box takes while one types.
  const filter = await best(async (i) => {
    const name = `书 ${String(i * 11 + 300).padStart(6, '0')}`
    return page.evaluate(async (wanted) => {
      const field = document.querySelector('.filters input[type="search"]')
      field.value = wanted
      field.dispatchEvent(new Event('input', { bubbles: true }))
      const breath = 150
      const start = performance.now() + breath
      for (;;) {
        await new Promise((resolve) => requestAnimationFrame(resolve))
        const links = document.querySelectorAll('.table-scroll a.row-link')
        if (links.length === 1 && links[0].textContent.includes(wanted)) return performance.now() - start
        if (performance.now() - start > 15_000) throw new Error('the filter does not come')
      }
    }, name)
  })
  t.diagnostic(`filter: ${filter.best} ms of ${goals.step} (all: ${filter.all.join(', ')})`)
  assert.ok(filter.best <= goals.step * slack)
})
