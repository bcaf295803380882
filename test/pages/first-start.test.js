import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { appointAll, changeFirst, faults, founderPassword, House, makeUser, signIn } from './world.js'

let house
before(async () => (house = await House.open()))
after(() => house?.close())

test('a new house is founded, and its founder is left without power', async () => {
  const page = await house.person()
  await page.goto('/loans')
  await page.getByText('系统刚启用').waitFor()
  await page.getByLabel('用户名').waitFor()
  assert.deepEqual(await faults(page), [])

  await signIn(page, 'admin', 'not the password')
  await page.getByRole('alert').waitFor()

  const handed = await appointAll(page)
  await page.getByText('您的权力已经终止').waitFor()
  assert.deepEqual(await faults(page), [])
  await page.getByRole('main').getByRole('button', { name: '退出登录' }).last().click()
  await page.getByLabel('用户名').waitFor()
  assert.equal(await page.getByText('系统刚启用').count(), 0, 'the house is no longer new')

  await signIn(page, 'admin', founderPassword)
  await page.getByRole('heading', { name: '您好' }).waitFor()
  await page.goto('/users')
  await page.getByRole('heading', { level: 1 }).waitFor()
  assert.equal(await page.getByRole('link', { name: '新建用户' }).count(), 0, 'the founder may not make users')
  assert.deepEqual(page.complaints, [])

  const security = await house.person()
  await changeFirst(security, { login: 'sec', oneTime: handed.sec, password: 'keeper of the doors 2' })
  const librarian = await makeUser(security, { name: '李馆员', login: 'li', role: '图书' })
  assert.ok(librarian.oneTime.length >= 10)
  assert.deepEqual(security.complaints, [])

  const auditor = await house.person()
  await changeFirst(auditor, { login: 'aud', oneTime: handed.aud, password: 'keeper of traces 33' })
  await auditor.getByRole('link', { name: '审计' }).click()
  await auditor.getByRole('cell', { name: 'sign-in' }).first().waitFor()
  assert.deepEqual(await faults(auditor), [])
  assert.deepEqual(auditor.complaints, [])
})
