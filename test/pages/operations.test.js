// The pages of operations, used as whoever keeps the hospital running would: a real service dies, the page tells why,
// a person approves what helps, and the proof is seen. The red button and a sentence of intent are walked too.
// Proves A06, A09, A10 (as far as their pages go).
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { Operations } from './operations.js'
import { desk, faults, phone, pick, until } from './world.js'

/** How long the loop may take from a death to its opinion, on a busy machine, in milliseconds. */
const thinking = 90_000
let world
let service
const enter = (look) => world.enter(look)
before(async () => {
  world = await Operations.open()
  service = world.service
})
after(() => world?.close())

// Tests below stand on what is done here.
let incident
let run
let alert
test('what stands on what is drawn, found and opened, and what is measured of it is shown', async () => {
  const page = await enter()
  await page.getByRole('navigation', { name: '菜单' }).getByRole('link', { name: '运行总览' }).click()
  await page.getByRole('heading', { level: 1, name: '运行总览' }).waitFor()
  await page.getByRole('region', { name: '未了结的事件' }).getByText('没有未了结的事件').waitFor()
  await page.getByRole('navigation', { name: '菜单' }).getByRole('link', { name: '拓扑图' }).click()
  const map = page.getByRole('region', { name: /^对象与依赖/ })
  await map.getByRole('link', { name: /示例门诊系统/ }).waitFor()
  await map.getByRole('link', { name: /示例接口服务/ }).waitFor()
  await page.getByRole('searchbox', { name: '名称、首字母或地址' }).fill('sljk')
  await map.getByRole('link', { name: /示例门诊系统/ }).waitFor({ state: 'detached' })
  await page.getByText('1 / 3 个对象').waitFor()
  await page.getByRole('button', { name: '看列表' }).click()
  await map.getByRole('cell', { name: '组件' }).waitFor()
  await map.getByRole('link', { name: '示例接口服务' }).click()
  await page.getByRole('heading', { level: 1, name: '示例接口服务' }).waitFor()
  await page.getByRole('region', { name: '依赖它的对象' }).getByRole('link', { name: '示例门诊系统' }).waitFor()
  await page.getByRole('region', { name: '告警' }).getByText('没有告警').waitFor()
  await until(async () => {
    await page.reload()
    await page.getByRole('searchbox', { name: '查找指标' }).fill('probe_success')
    return page.getByRole('img', { name: /检查成功/ }).first().waitFor({ timeout: 10_000 }).then(() => true)
  }, 'what is measured of the service', thinking)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('a death is seen as it happens, with its cause; a person approves, and the proof is shown', async () => {
  const page = await enter()
  await page.goto('/operations')
  await page.getByText('没有未了结的事件').waitFor()
  service.kill()
  const open = page.getByRole('region', { name: '未了结的事件' })
  await open.getByRole('link', { name: /示例/ }).first().waitFor({ timeout: thinking })
  await open.getByRole('link', { name: /示例/ }).first().click()
  const waits = page.getByRole('region', { name: '等待批准的处置' })
  await waits.waitFor({ timeout: thinking })
  incident = new URL(page.url()).pathname
  const scene = page.getByRole('region', { name: '周边与根因' })
  await scene.getByRole('link', { name: /示例接口服务/ }).filter({ hasText: '根因' }).waitFor()
  const thought = page.getByRole('region', { name: '判断', exact: true })
  await thought.getByRole('img', { name: /^概率 / }).first().waitFor()
  await thought.getByText('支持：应有且看到').first().waitFor()
  await page.getByRole('region', { name: '证据' }).waitFor()
  await waits.getByRole('button', { name: '批准', exact: true }).click()
  await page.getByRole('dialog').getByRole('button', { name: '批准处置' }).click()
  // Nothing is pressed any more: the page follows.
  await page.getByRole('region', { name: '各阶段用时' }).getByText('自动恢复').waitFor({ timeout: thinking })
  await page.getByRole('region', { name: '处置与验证' }).getByText('已奏效').waitFor()
  const line = page.getByRole('region', { name: '时间线' })
  const folded = line.getByRole('button', { name: /^中间还有/ })
  if (await folded.count()) await folded.click()
  await line.getByText('示例运维').first().waitFor()
  assert.ok((await line.getByRole('listitem').count()) >= 5)
  await until(async () => (await fetch(service.url)).ok, 'the service to be back')
  // Why it did that and nothing else; and all of it in one file.
  const why = page.getByRole('region', { name: '为什么这样做，又为什么没有做别的' })
  await why.getByRole('listitem').filter({ hasText: '依据自主等级' }).first().waitFor()
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: '导出' }).click()])
  const kept = JSON.parse(readFileSync(await file.path(), 'utf8'))
  assert.equal(kept.runs[0].run.state, 'succeeded')
  assert.ok(kept.runs[0].steps.length > 0 && kept.history.length > 0)

  await page.getByRole('region', { name: '处置与验证' }).getByRole('link', { name: '执行过程' }).first().click()
  await page.getByRole('region', { name: '步骤' }).getByText('成功').first().waitFor()
  run = new URL(page.url()).pathname
  await page.getByRole('region', { name: '进展' }).getByRole('link', { name: /^事件/ }).waitFor()
  await page.goto('/things/sample-api')
  await page.getByRole('button', { name: '看数值' }).click()
  await page.getByRole('cell', { name: '检查成功' }).first().waitFor()
  await page.goto('/alerts')
  await page.getByRole('table').getByRole('link', { name: /not-answering|process-gone|检查不通|进程不在/ }).first().click()
  await page.getByRole('region', { name: '告警', exact: true }).getByText('持续').waitFor()
  alert = new URL(page.url()).pathname
  await page.goto('/operations')
  await page.getByRole('region', { name: '系统今天自己做了什么' }).getByText('已奏效').waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('the red button asks why, is told on every page, and is released', async () => {
  const page = await enter()
  await page.goto('/operations')
  await page.getByRole('button', { name: '停止一切自动处置' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: '停止一切自动处置' }).click()
  await dialog.getByText('请填写理由').waitFor()
  await dialog.getByLabel('理由').fill('示例：演习')
  await dialog.getByRole('button', { name: '停止一切自动处置' }).click()
  await page.getByText('自动处置已全部停止').waitFor()
  const other = await enter({ language: 'en' })
  await other.goto('/incidents')
  await other.getByText('All automatic action is stopped').waitFor()
  await page.getByRole('main').getByRole('button', { name: '恢复自主运行' }).first().click()
  await page.getByRole('dialog').getByLabel('理由').fill('示例：演习结束')
  await page.getByRole('dialog').getByRole('button', { name: '恢复自主运行' }).click()
  await page.getByText('自动处置已全部停止').waitFor({ state: 'detached' })
  await other.getByText('All automatic action is stopped').waitFor({ state: 'detached' })
  assert.deepEqual(page.complaints, [])
  await other.context().close()
  await page.context().close()
})

test('work is rehearsed before it is run, seen while it runs, and undone', async () => {
  const page = await enter()
  await page.goto('/operations/one-click')
  await page.getByRole('list', { name: '一键作业' }).getByRole('link', { name: /示例作业/ }).click()
  await page.getByRole('heading', { level: 1, name: '示例作业' }).waitFor()
  const order = page.getByRole('region', { name: '执行', exact: true })
  assert.ok(await order.getByRole('button', { name: '执行' }).isDisabled())
  await order.getByRole('button', { name: '演练' }).click()
  await order.getByText('请填写').waitFor()
  await pick(page, '主机', '示例主机')
  await order.getByRole('button', { name: '演练' }).click()
  await order.getByText('演练通过').waitFor({ timeout: thinking })
  await page.getByRole('group', { name: '照此执行会发生什么' }).getByText('会做：').waitFor()
  const { written } = world
  assert.ok(!existsSync(written))
  await order.getByRole('button', { name: '执行' }).click()
  await page.waitForURL('**/runs/*')
  await page.getByRole('region', { name: '步骤' }).getByText('成功').waitFor({ timeout: thinking })
  assert.ok(existsSync(written))
  await page.getByRole('button', { name: '撤销所做的' }).click()
  await page.getByRole('dialog').getByRole('button', { name: '撤销' }).click()
  await until(async () => !existsSync(written), 'what was done to be undone', thinking)
  await page.getByText('已撤销', { exact: true }).first().waitFor({ timeout: thinking })
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('what the system learnt is accepted or rejected, and knowledge is found by words', async () => {
  const page = await enter()
  await page.goto('/operations/review')
  const good = page.getByRole('article', { name: '示例案例：磁盘写满' })
  await good.getByText('当时看到的').waitFor()
  await good.getByRole('button', { name: '审核通过' }).click()
  await page.getByRole('dialog').getByRole('button', { name: '审核通过' }).click()
  await good.waitFor({ state: 'detached' })
  const bad = page.getByRole('article', { name: '示例案例：误判' })
  await bad.getByRole('button', { name: '否决' }).click()
  await page.getByRole('dialog').getByRole('button', { name: '否决' }).click()
  await page.getByRole('dialog').getByText('请填写理由').waitFor()
  await page.getByRole('dialog').getByLabel('理由').fill('示例：看错了')
  await page.getByRole('dialog').getByRole('button', { name: '否决' }).click()
  await bad.waitFor({ state: 'detached' })
  await page.goto('/operations/knowledge')
  await page.getByRole('searchbox', { name: '查找知识' }).fill('磁盘将坏')
  await page.getByRole('region', { name: '故障模式' }).getByRole('link', { name: '磁盘将坏' }).click()
  await page.getByRole('region', { name: '判断与处置的规则' }).getByText('disk-failing').first().waitFor()
  await page.goto('/operations/knowledge?q=qxzqxz')
  await page.getByText('没有找到“qxzqxz”。').waitFor()
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

test('a window is made for a thing, seen and called off; a silence is made from its page', async () => {
  const page = await enter()
  await page.goto('/things/sample-api')
  await page.getByRole('region', { name: '概况' }).getByRole('button', { name: '静默' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: '静默' }).click()
  await dialog.getByText('请写明缘由').waitFor()
  await dialog.getByLabel('缘由').fill('示例：已知，在处理')
  await dialog.getByRole('button', { name: '静默' }).click()
  await dialog.waitFor({ state: 'hidden' })
  await page.goto('/operations/quiet')
  await page.getByRole('region', { name: '静默' }).getByRole('link', { name: '示例：已知，在处理' }).waitFor()
  await page.getByRole('button', { name: '维护窗口' }).click()
  await pick(page, '对象', '示例主机')
  await page.getByRole('dialog').getByLabel('作业').fill('示例：换内存')
  await page.getByRole('dialog').getByLabel('缘由').fill('示例：已排期')
  await page.getByRole('dialog').getByRole('button', { name: '维护窗口' }).click()
  const row = page.getByRole('region', { name: '维护窗口' }).getByRole('listitem').filter({ hasText: '示例：换内存' })
  await row.getByText('示例主机').waitFor()
  // It is planned for a moment and then under way: what is said of the one is refused of the other.
  await until(async () => {
    if ((await row.count()) === 0) return true
    const asked = page.getByRole('dialog')
    if (!(await asked.isVisible())) await row.getByRole('button', { name: /结束|取消/ }).first().click({ timeout: 2000 })
    await asked.getByRole('button', { name: /结束|取消/ }).last().click({ timeout: 2000 })
    await row.waitFor({ state: 'detached', timeout: 3000 })
    return true
  }, 'the window to be called off', thinking)
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

let forecast
test('what is foreseen stands on an axis of time, with what prevents it', async () => {
  const page = await enter()
  await page.goto('/operations/forecasts')
  const row = page.getByRole('region', { name: '按预计时间' }).getByRole('listitem').filter({ hasText: '示例主机' })
  await row.first().waitFor({ timeout: thinking })
  await row.getByRole('link').first().click()
  await page.getByRole('region', { name: '预计会怎样' }).getByText('怎样预防').waitFor()
  forecast = new URL(page.url()).pathname
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

let intent
test('a sentence is read while it is written, made clear, kept and confirmed', async () => {
  const page = await enter()
  await page.goto('/intents/new')
  await page.getByLabel('要达到什么').fill('示例接口服务应答 300')
  const reading = page.getByRole('region', { name: '系统的理解' })
  await reading.getByRole('list', { name: '须说明的地方' }).getByRole('listitem').first().waitFor()
  await page.getByText('可以先存为草稿').waitFor()
  await page.getByLabel('要达到什么').fill('示例接口服务 99.9% 的时间在 300 毫秒内应答')
  await reading.getByText('意思是').waitFor()
  await reading.getByRole('cell', { name: '99.9%' }).waitFor()
  await page.getByRole('button', { name: '保存，然后确认' }).click()
  await page.getByRole('heading', { level: 1, name: /300 毫秒内应答/ }).waitFor()
  intent = new URL(page.url()).pathname
  await until(async () => {
    await page.getByRole('button', { name: '确认', exact: true }).click({ timeout: 2000 })
    return page.getByText('执行中', { exact: true }).or(page.getByText('已确认', { exact: true })).first().waitFor({ timeout: 3000 }).then(() => true)
  }, 'the intent to be confirmed', thinking)
  await page.getByRole('region', { name: '达成情况' }).waitFor({ timeout: thinking })
  assert.deepEqual(page.complaints, [])
  await page.context().close()
})

for (const look of [{ viewport: desk }, { viewport: phone, language: 'en', theme: 'dark' }]) {
  test(`the pages of operations at ${look.viewport.width}×${look.viewport.height}, ${look.theme ?? 'light'}, ${look.language ?? 'zh'}`, async (t) => {
    const page = await enter(look)
    for (const path of ['/operations', '/operations/topology', incident, run, '/things/sample-api', intent, '/intents/new', '/autopilots/main', '/silences/new', '/maintenances/new', '/operations/one-click', '/operations/quiet', '/operations/forecasts', forecast, '/operations/knowledge', '/operations/review', '/runbooks/sample-work', '/failure-modes/disk-failing', '/cases/sample-good', '/alerts', alert]) {
      await t.test(path ?? 'a page of an earlier test', async () => {
        await page.goto(path)
        await page.getByRole('heading', { level: 1 }).first().waitFor()
        await page.getByText(look.language === 'en' ? 'Loading…' : '正在读取…').first().waitFor({ state: 'detached' })
        assert.deepEqual(await faults(page), [])
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        assert.ok(wide <= 0, `${wide} px wider than the screen`)
        assert.deepEqual(page.complaints.splice(0), [])
      })
    }
    await page.context().close()
  })
}
