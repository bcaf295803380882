// The pages of clinical records, walked as a person would with one sample patient: upload, find, summary, timeline, search, versions, terminology.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { patientID, resources, transaction } from './sample.js'
import { changeFirst, desk, faults, House, makeUser, phone, signIn } from './world.js'

let house
let keeper // the clinical data administrator
before(async () => {
  house = await House.open()
  await house.settle()
  const security = await house.person()
  await signIn(security, house.people['security-admin'].login, house.people['security-admin'].password)
  await security.getByRole('heading', { name: '您好' }).waitFor()
  keeper = await makeUser(security, { name: '示例数据员', login: 'keeper', role: '临床数据管理员' })
  keeper.password = 'holder of samples 55'
  await security.context().close()
  const page = await house.person()
  await changeFirst(page, keeper)
  await page.context().close()
})
after(() => house?.close())

async function enter(viewport = desk, language = 'zh') {
  const page = await house.person({ viewport, language })
  await page.goto('/sign-in')
  await page.locator('#user').fill(keeper.login)
  await page.locator('#password').fill(keeper.password)
  await page.keyboard.press('Enter')
  await page.waitForURL('**/')
  await page.getByRole('heading', { level: 1 }).first().waitFor()
  return page
}

function file(name, content) {
  return { name, mimeType: 'application/json', buffer: Buffer.from(typeof content === 'string' ? content : JSON.stringify(content)) }
}

// Tests below stand on what this one uploads.
test('a file is uploaded and reported entry by entry', async () => {
  const page = await enter()
  await page.getByRole('link', { name: '上传 FHIR 数据' }).click()
  await page.getByRole('heading', { level: 1, name: '上传 FHIR 数据' }).waitFor()
  const input = page.locator('input[type=file]')
  await input.setInputFiles(file('示例.json', transaction()))
  await page.getByText('事务（transaction）整体提交').waitFor()
  await page.getByRole('button', { name: `提交 ${resources().length} 条` }).click()
  const report = page.getByRole('region', { name: '提交结果' })
  await report.getByText(`新建 ${resources().length}`).waitFor()
  await report.getByRole('link', { name: `Patient/${patientID}` }).waitFor()

  // A line that is no JSON is told before anything is sent, a refused one after, and it can be taken home.
  const lines = [JSON.stringify({ resourceType: 'Patient', id: 'sample-second', name: [{ text: '示例第二人' }] }), 'no json', JSON.stringify({ resourceType: 'Patient', id: 'sample-wrong', gender: 'no such' })]
  await input.setInputFiles(file('示例.ndjson', lines.join('\n')))
  await page.getByText('1 条读不懂，不会提交').waitFor()
  await page.getByText('第 2 条：不是 JSON').waitFor()
  await page.getByRole('button', { name: '提交 2 条' }).click()
  await report.getByText('新建 1').waitFor()
  await report.getByText('失败 1').waitFor()
  const saved = page.waitForEvent('download')
  await report.getByRole('button', { name: '下载失败的资源' }).click()
  assert.deepEqual(JSON.parse(await readFile(await (await saved).path(), 'utf8')), JSON.parse(lines[2]))
  assert.deepEqual(await faults(page), [])
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('a patient is found by name and by number, and summarised', async () => {
  const page = await enter()
  await page.getByRole('link', { name: '患者概览' }).click()
  const box = page.getByRole('searchbox', { name: '查找患者' })
  await box.fill('SAMPLE-0001')
  await page.getByRole('row').filter({ hasText: '示例患者' }).waitFor()
  await box.fill('示例患')
  await page.getByRole('link', { name: '示例患者' }).click()
  await page.getByRole('heading', { level: 1, name: '示例患者' }).waitFor()
  await page.getByText('青霉素').waitFor()
  for (const [section, said] of [['当前问题', '2 型糖尿病'], ['在用药物', '二甲双胍'], ['生命体征', '134 mmHg'], ['近期检验', '6.8 mmol/L ↑ 偏高'], ['就诊', '内分泌科复诊'], ['预防接种', '流感疫苗'], ['检查检验报告', '空腹血糖略高'], ['文书', '门诊病历']]) {
    await page.getByRole('region', { name: section, exact: true }).getByText(said).waitFor()
  }
  await page.getByRole('img', { name: /葡萄糖 的变化：.*7\.8 mmol\/L/ }).waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('the timeline is narrowed by type and by period', async () => {
  const page = await enter()
  await page.goto(`/clinical/patients/${patientID}/timeline`)
  await page.getByText(`已全部显示，共 ${resources().length - 1} 条`).waitFor()
  await page.getByRole('button', { name: '用药医嘱' }).click()
  await page.getByText('已全部显示，共 1 条').waitFor()
  await page.getByRole('button', { name: '全部', exact: true }).click()
  await page.getByRole('button', { name: '2025', exact: true }).click()
  await page.getByRole('button', { name: '2025-11', exact: true }).click()
  await page.getByText('已全部显示，共 3 条').waitFor()
  assert.equal(new URL(page.url()).searchParams.get('within'), '2025-11')
  await page.getByRole('button', { name: '更晚一段' }).click()
  await page.getByText('这里没有记录').waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('a search is built, asked, exported and read', async () => {
  const page = await enter()
  await page.goto('/clinical/resources/Observation')
  const first = page.getByRole('group', { name: '条件 1' })
  await first.getByRole('combobox', { name: '查询参数' }).selectOption('date')
  await first.getByRole('combobox', { name: '比较' }).selectOption('ge')
  await first.getByRole('textbox', { name: '值' }).fill('2026-09')
  await page.getByRole('button', { name: '添加条件' }).click()
  const second = page.getByRole('group', { name: '条件 2' })
  await second.getByRole('combobox', { name: '查询参数' }).selectOption('code')
  await second.getByRole('textbox', { name: '值' }).fill('http://loinc.org|2345-7')
  await page.getByText('/fhir/Observation?date=ge2026-09&code=http://loinc.org|2345-7').waitFor()
  await page.getByRole('button', { name: '查询', exact: true }).click()
  await page.getByText('共 1 条').waitFor()
  const saved = page.waitForEvent('download')
  await page.getByRole('button', { name: 'CSV' }).click()
  assert.match(await readFile(await (await saved).path(), 'utf8'), /"Observation","sample-glucose-5","葡萄糖","6\.8 mmol\/L"/)
  await page.getByRole('link', { name: '葡萄糖' }).click()
  await page.getByRole('heading', { level: 1, name: '葡萄糖' }).waitFor()
  await page.getByRole('link', { name: `"Patient/${patientID}"` }).click()
  await page.getByRole('heading', { level: 1, name: '示例患者' }).waitFor()

  // What is not known is told in the server's own words.
  await page.goto('/clinical/resources/Patient?no-such=1')
  await page.getByRole('alert').getByText('no-such').waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('two versions are compared', async () => {
  const page = await enter()
  await page.evaluate(async (id) => {
    const url = `/fhir/Patient/${id}`
    const patient = await (await fetch(url)).json()
    patient.gender = 'male'
    await fetch(url, { method: 'PUT', headers: { 'Content-Type': 'application/fhir+json', 'X-Zhiwei-CSRF': '1' }, body: JSON.stringify(patient) })
  }, 'sample-second')
  await page.goto('/clinical/resources/Patient/sample-second')
  await page.getByRole('heading', { name: '版本 1 与版本 2 的差别' }).waitFor()
  const row = page.getByRole('row').filter({ has: page.getByRole('rowheader', { name: 'gender' }) })
  await row.getByText('male').waitFor()
  await page.getByRole('link', { name: '1', exact: true }).click()
  await page.getByText('这是旧版本').waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('a code is found by words, initials and code, and shown with its neighbours', async () => {
  const page = await enter()
  await page.getByRole('link', { name: '术语浏览' }).click()
  const box = page.getByRole('searchbox', { name: '查找代码' })
  for (const typed of ['糖尿病', 'tnb', 'E11']) {
    await box.fill(typed)
    await page.getByRole('list', { name: '代码' }).getByRole('button', { name: /E11/ }).waitFor()
  }
  await page.getByRole('list', { name: '代码' }).getByRole('button', { name: /E11/ }).click()
  const details = page.getByRole('region', { name: '代码详情' })
  await details.getByRole('heading', { name: /E11/ }).waitFor()
  await details.getByRole('button', { name: /E10-E14/ }).click()
  await details.getByRole('heading', { name: /下级/ }).waitFor()
  await details.getByRole('button', { name: /E14/ }).last().waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('who does not treat a patient opens the record in an emergency, with a reason', async () => {
  const security = await house.person()
  await signIn(security, house.people['security-admin'].login, house.people['security-admin'].password)
  await security.getByRole('heading', { name: '您好' }).waitFor()
  const oneTime = await security.evaluate(async () => {
    const headers = { 'Content-Type': 'application/json', 'X-Zhiwei-CSRF': '1' }
    const send = async (path, body) => (await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })).json()
    await send('/api/users', { id: 'stranger', data: { name: '示例医生', login: 'stranger', roles: ['role/clinician', 'role/break-glass'] } })
    return (await send('/api/users/stranger/password', {})).password
  })
  await security.context().close()
  const page = await house.person()
  await changeFirst(page, { login: 'stranger', oneTime, password: 'nobody here knows me 66' })
  await page.goto(`/clinical/patients/${patientID}`)
  await page.getByRole('alert').getByText('没有找到').waitFor()
  await page.getByRole('button', { name: '紧急打开病历' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: '打开并记入审计' }).click()
  await dialog.getByText('请写明为什么').waitFor()
  await dialog.getByRole('textbox', { name: '理由' }).fill('示例：急诊抢救，需要过敏史')
  // Element Plus heads a dialog by <header>, which outside of a section counts as a second banner of the page; that alone is left aside.
  assert.deepEqual((await faults(page)).filter((f) => !f.startsWith('landmark-')), [])
  await dialog.getByRole('button', { name: '打开并记入审计' }).click()
  await page.getByRole('heading', { level: 1, name: '示例患者' }).waitFor()
  await page.getByText('青霉素').waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

const paths = {
  '/clinical/patients': (page) => page.getByRole('link', { name: '示例患者' }),
  [`/clinical/patients/${patientID}`]: (page) => page.getByText('134 mmHg'),
  [`/clinical/patients/${patientID}/timeline`]: (page) => page.locator('.line li').first(),
  '/clinical/resources/Observation?_sort=-date': (page) => page.getByRole('table').getByRole('link').first(),
  [`/clinical/resources/Patient/${patientID}`]: (page) => page.locator('details').first(),
  '/clinical/upload': (page) => page.getByRole('heading', { level: 1 }),
  '/clinical/terminology?system=http://hl7.org/fhir/sid/icd-10&code=E10-E14': (page) => page.getByRole('heading', { name: /E10-E14/ }),
  [`/patient/${patientID}`]: (page) => page.locator('main').getByRole('link', { name: '患者概览' }),
}

for (const [viewport, language] of [[desk, 'zh'], [phone, 'en']]) {
  test(`the clinical pages at ${viewport.width}×${viewport.height} in ${language}`, async (t) => {
    const page = await enter(viewport, language)
    for (const [path, there] of Object.entries(paths)) {
      await t.test(path, async () => {
        await page.goto(path)
        await (language === 'zh' ? there(page) : page.getByRole('heading', { level: 1 }).first()).waitFor()
        if (language === 'en') await page.getByText('Reading…').first().waitFor({ state: 'detached' })
        assert.deepEqual(await faults(page), [])
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        assert.ok(wide <= 0, `${wide} px wider than the screen`)
        assert.deepEqual(page.complaints.splice(0), [])
      })
    }
    await page.context().close()
  })
}
