// What was done is taken back; lists are gone through by keys; forms are used on a phone.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { patientID, transaction } from './sample.js'
import { changeFirst, faults, House, makeUser, phone, signIn } from './world.js'

let house
let page
const complain = () => assert.deepEqual(page.complaints.splice(0), [])

before(async () => {
  house = await House.open()
  await house.settle()
  const security = await house.person()
  await signIn(security, house.people['security-admin'].login, house.people['security-admin'].password)
  await security.getByRole('heading', { name: '您好' }).waitFor()
  const keeper = await makeUser(security, { name: '示例数据员', login: 'keeper', role: '临床数据管理员' })
  keeper.password = 'holder of samples 55'
  await security.context().close()
  page = await house.person()
  await changeFirst(page, keeper)
})
after(() => house?.close())

const bundle = (content) => ({ name: '示例.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(content)) })

test('an upload is taken back, and leaves a report', async () => {
  await page.goto('/clinical/upload')
  const input = page.locator('input[type=file]')
  await input.setInputFiles(bundle(transaction()))
  const n = transaction().entry.length
  await page.getByRole('button', { name: `提交 ${n} 条` }).click()
  const report = page.getByRole('region', { name: '提交结果' })
  await report.getByText(`新建 ${n}`).waitFor()
  const saved = page.waitForEvent('download')
  await report.getByRole('button', { name: '下载报告' }).click()
  assert.match(await readFile(await (await saved).path(), 'utf8'), new RegExp(`"created","201 Created","Patient/${patientID}","1"`))
  page.once('dialog', (dialog) => dialog.accept())
  await report.getByRole('button', { name: `撤回新建的 ${n} 条` }).click()
  // The patient goes last: the others refer to it.
  await report.getByText(`已撤回 ${n} 条。`).waitFor()
  assert.deepEqual(await faults(page), [])
  await page.goto('/clinical/patients')
  await page.getByText('还没有患者').waitFor()

  await page.goto('/clinical/upload')
  await input.setInputFiles(bundle(transaction()))
  await page.getByRole('button', { name: `提交 ${n} 条` }).click()
  await report.getByRole('status').first().waitFor()
  complain()
})

test('a deletion is taken back', async () => {
  await page.goto('/immunization/sample-flu')
  await page.getByRole('button', { name: '更多' }).click()
  await page.getByRole('button', { name: '删除' }).click()
  await page.getByRole('dialog').getByRole('button', { name: '删除' }).click()
  await page.getByRole('button', { name: '撤回删除' }).click()
  await page.waitForURL('**/immunization/sample-flu')
  await page.getByRole('button', { name: '更多' }).waitFor()
  complain()
})

test('by keys alone: / to the search box, Enter to the first patient; all that is found as NDJSON', async () => {
  await page.goto('/clinical/patients')
  await page.getByRole('link', { name: '示例患者' }).waitFor()
  await page.getByRole('heading', { level: 1 }).click()
  await page.keyboard.press('/')
  await page.keyboard.type('示例')
  await page.waitForURL((url) => url.searchParams.get('q') === '示例')
  await page.getByRole('link', { name: '示例患者' }).waitFor()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { level: 1, name: '示例患者' }).waitFor()

  await page.goto('/clinical/resources/Observation?_count=5')
  const saved = page.waitForEvent('download')
  await page.getByRole('button', { name: 'NDJSON' }).click()
  const lines = (await readFile(await (await saved).path(), 'utf8')).trim().split('\n')
  assert.equal(lines.length, transaction().entry.filter((e) => e.resource.resourceType === 'Observation').length)
  complain()
})

test('the form is used on a phone', async () => {
  await page.setViewportSize(phone)
  for (const path of [`/patient/${patientID}/edit`, '/condition/new', '/basic/new']) {
    await page.goto(path)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await page.getByText('正在读取…').first().waitFor({ state: 'detached' })
    assert.deepEqual(await faults(page), [], path)
    const wide = await page.evaluate(() => Math.max(document.documentElement.scrollWidth - innerWidth, ...[...document.querySelectorAll('main .control')].map((el) => el.getBoundingClientRect().right - innerWidth)))
    assert.ok(wide <= 0, `${path} is ${wide} px wider than the screen`)
    complain()
  }
})
