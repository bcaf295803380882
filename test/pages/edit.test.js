// A clinician writes: a form with what the server objects to beside the field, the JSON beside its line; what was done is taken back, and two people on one record see each other.
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

test('a problem is recorded from the summary, with a code found by initials', async () => {
  await page.goto(`/clinical/patients/${patientID}`)
  await page.getByRole('link', { name: '新增：当前问题' }).click()
  await page.getByRole('heading', { level: 1, name: '新建诊断与问题' }).waitFor()
  await page.getByText('校验通过').waitFor()
  await page.getByRole('button', { name: '为“是什么”查代码' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('searchbox').fill('tfx')
  await dialog.getByRole('button', { name: /^I10\s*特发性/ }).first().click()
  await dialog.waitFor({ state: 'hidden' })
  await page.getByLabel('核实状态').selectOption({ label: '已确认' })
  await page.getByLabel('起病于').fill('2026-09-01')
  assert.deepEqual(await faults(page), [])
  await page.keyboard.press('Control+Enter')
  await page.waitForURL((url) => !url.pathname.endsWith('/new'))
  await page.goto(`/clinical/patients/${patientID}`)
  await page.getByRole('region', { name: '当前问题', exact: true }).getByText('高血压').nth(1).waitFor()

  // What was recorded names the patient by a reference alone; people read who it is.
  await page.goto('/clinical/resources/Condition')
  const found = page.getByRole('region', { name: '查询结果' })
  await found.getByRole('row').filter({ hasText: '特发性' }).getByText('示例患者').waitFor()
  assert.equal(await found.getByText(`Patient/${patientID}`).count(), 0)
  complain()
})

test('what the server objects to stands at the field and at the line; a version is restored', async () => {
  await page.goto(`/clinical/resources/Patient/${patientID}`)
  await page.getByRole('link', { name: '修改' }).click()
  await page.getByLabel('姓名').fill('示例改名')
  await page.getByRole('button', { name: 'JSON', exact: true }).click()
  const text = page.getByRole('textbox', { name: '资源内容（JSON）' })
  const written = await text.inputValue()
  await text.fill(written.replace(/,\s*\]|\}\s*$/, ''))
  await page.getByText(/不是完整的 JSON/).waitFor()
  assert.ok(await page.getByRole('button', { name: '保存' }).isDisabled())
  await text.fill(written.replace('"female"', '"woman"'))
  const findings = page.getByRole('region', { name: '校验结果' })
  await findings.getByText('“woman”不在此元素规定的代码之中。').waitFor()
  assert.deepEqual(await faults(page), [])
  await findings.getByRole('button').click()
  assert.match(await text.evaluate((el) => el.value.slice(el.selectionStart, el.selectionEnd)), /"gender": "woman"/)
  await page.getByRole('button', { name: '保存' }).click()
  await page.getByRole('alert').first().waitFor()
  await page.getByRole('button', { name: '表单' }).click()
  await page.getByRole('alert').filter({ hasText: '“woman”' }).first().waitFor()
  await page.getByLabel('性别').selectOption({ label: '女' })
  await page.getByText('校验通过').waitFor()
  await page.getByRole('button', { name: '保存' }).click()
  await page.getByRole('heading', { level: 1, name: '示例改名' }).waitFor()

  await page.goto(`/clinical/resources/Patient/${patientID}`)
  const versions = page.getByRole('region', { name: '版本历史' })
  await versions.getByRole('button', { name: /恢复到版本/ }).first().click()
  await page.getByRole('heading', { level: 1, name: '示例患者' }).waitFor()
  complain()
})

test('two people on one resource: nobody overwrites the other unseen', async () => {
  const address = `/clinical/resources/Patient/${patientID}`
  await page.goto(address)
  await page.getByRole('link', { name: '修改' }).click()
  await page.getByLabel('出生日期').fill('1958-04-13')
  const other = await page.context().newPage()
  await other.goto(address)
  await other.getByRole('link', { name: '修改' }).click()
  await other.getByLabel('电话').fill('010-5550100')
  await other.getByLabel('姓', { exact: true }).fill('示')
  await other.getByRole('button', { name: '保存' }).click()
  await other.waitForURL((url) => !url.pathname.endsWith('/edit'))
  await other.close()

  // The first hears of it while still writing: what changed, part by part, beside what is written here.
  const notice = page.getByRole('alert').filter({ hasText: '已把它改到第' })
  await notice.getByRole('row', { name: /^姓 / }).getByText('示', { exact: true }).waitFor()
  await notice.getByRole('row', { name: /010-5550100/ }).waitFor()
  assert.equal(await notice.getByRole('row').count(), 3, 'what only I changed is not theirs')
  assert.deepEqual(await faults(page), [])
  // It may also be saved without looking up; the server does not let it.
  const answered = page.waitForResponse((r) => r.request().method() === 'PUT')
  await page.getByRole('button', { name: '保存' }).click()
  assert.equal((await answered).status(), 412)
  await notice.getByRole('button', { name: '保留我的修改，并入对方的' }).click()
  await notice.waitFor({ state: 'detached' })
  assert.equal(await page.getByLabel('电话').inputValue(), '010-5550100')
  assert.equal(await page.getByLabel('出生日期').inputValue(), '1958-04-13')
  await page.getByText('校验通过').waitFor()
  assert.equal(await page.getByRole('alert').count(), 0, 'what was refused before is no longer told')
  await page.getByRole('button', { name: '保存' }).click()
  await page.waitForURL((url) => !url.pathname.endsWith('/edit'))
  const now = await page.evaluate(async (id) => (await fetch(`/fhir/Patient/${id}`)).json(), patientID)
  assert.deepEqual([now.birthDate, now.telecom[0].value, now.name[0].family], ['1958-04-13', '010-5550100', '示'])
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
