// Every page, at a desk and on a phone: nothing axe objects to, nothing wider than the screen, nothing the browser complains of.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { changeFirst, desk, faults, House, phone, pick, signIn } from './world.js'

let house
let paths
before(async () => {
  house = await House.open()
  await house.settle()
  paths = await fill()
})
after(() => house?.close())

async function save(page, path, fields) {
  await page.goto(path)
  for (const [label, value] of Object.entries(fields)) {
    if (value.pick) await pick(page, label, value.pick)
    else await page.getByLabel(label).fill(value)
  }
  await page.getByRole('button', { name: '保存' }).click()
  await page.waitForURL((url) => !url.pathname.endsWith('/new'))
  await page.getByRole('heading', { level: 1 }).waitFor()
  return new URL(page.url()).pathname
}

async function fill() {
  const page = await house.person()
  const { login, password } = house.people.librarian
  await signIn(page, login, password)
  await page.getByRole('heading', { name: '您好' }).waitFor()
  await save(page, '/copies/new', { 书名: '黄帝内经', 条码: 'B-1' })
  await save(page, '/readers/new', { 姓名: '张三', 借书证号: 'C-1' })
  const loan = await save(page, '/loans/new', { 馆藏: { pick: '黄帝内经' }, 读者: { pick: '张三' } })
  await page.context().close()
  const id = loan.split('/').pop()
  return ['/', '/loans', '/loans/new', loan, loan + '/timeline', '/loans/diagram', '/loans/diagram?record=' + id, '/readers', '/reservations', '/my-tasks', '/catalogue', '/nowhere/at/all']
}

for (const [name, viewport] of Object.entries({ desk, phone })) {
  test(`the librarian's pages at ${viewport.width}×${viewport.height}`, async (t) => {
    const page = await house.person({ viewport })
    const { login, password } = house.people.librarian
    await signIn(page, login, password)
    await page.getByRole('heading', { name: '您好' }).waitFor()
    for (const path of paths) {
      await t.test(path, async () => {
        await page.goto(path)
        await page.getByRole('heading', { level: 1 }).first().waitFor()
        await page.getByText('正在读取…').first().waitFor({ state: 'detached' })
        assert.deepEqual(await faults(page), [])
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        assert.ok(wide <= 0, `${wide} px wider than the screen`)
        assert.deepEqual(page.complaints.splice(0), [])
      })
    }
    if (name === 'phone') {
      await t.test('the menu is a drawer and lists are cards', async () => {
        await page.goto('/readers')
        await page.getByRole('list').getByRole('link', { name: '张三' }).waitFor()
        assert.equal(await page.getByRole('table').count(), 0)
        await page.getByRole('button', { name: '展开或收起菜单' }).click()
        await page.getByRole('dialog').getByRole('link', { name: '借阅' }).click()
        await page.getByRole('heading', { level: 1, name: '借阅' }).waitFor()
        await page.getByRole('dialog').waitFor({ state: 'hidden' })
      })
    }
  })
}

test('pages of the administrators', async (t) => {
  for (const [role, own] of Object.entries({ 'security-admin': ['/users', '/users/new', '/roles', '/tokens'], 'audit-admin': ['/audits'], 'system-admin': ['/calendars', '/calendars/new'] })) {
    const page = await house.person()
    const { login, password } = house.people[role]
    if (role === 'security-admin') await signIn(page, login, password)
    else await changeFirst(page, house.people[role])
    await page.getByRole('heading', { name: '您好' }).waitFor()
    for (const path of own) {
      await t.test(path, async () => {
        await page.goto(path)
        await page.getByRole('heading', { level: 1 }).first().waitFor()
        await page.getByText('正在读取…').first().waitFor({ state: 'detached' })
        assert.deepEqual(await faults(page), [])
        assert.deepEqual(page.complaints.splice(0), [])
      })
    }
  }
})
