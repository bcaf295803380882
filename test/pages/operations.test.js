// The pages of operations, used as whoever keeps the hospital running would: a real service dies, the page tells why,
// a person approves what helps, and the proof is seen. The red button and a sentence of intent are walked too.
// Proves A06, A09, A10 (as far as their pages go).
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { changeFirst, desk, faults, freePort, House, phone, signIn, until } from './world.js'

/** How long the loop may take from a death to its opinion, on a busy machine, in milliseconds. */
const thinking = 90_000
const keeper = { login: 'ops', password: 'watcher of samples 77' }

let house
let folder
let service
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'zhiwei-service-'))
  house = await House.open({ config: 'operations: {every: 1s, measure: 1s, settle: 1s, patience: 30s}\n' })
  await house.settle()
  const security = await house.person()
  await signIn(security, house.people['security-admin'].login, house.people['security-admin'].password)
  await security.getByRole('heading', { name: '您好' }).waitFor()
  const oneTime = await security.evaluate(async () => {
    const headers = { 'Content-Type': 'application/json', 'X-Zhiwei-CSRF': '1' }
    const send = async (path, body) => (await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })).json()
    await send('/api/users', { id: 'keeper', data: { name: '示例运维', login: 'ops', roles: ['role/ops', 'role/manager'] } })
    return (await send('/api/users/keeper/password', {})).password
  })
  await security.context().close()
  const page = await house.person()
  await changeFirst(page, { ...keeper, oneTime })
  service = await control(folder)
  service.run('start')
  await until(async () => (await fetch(service.url)).ok, 'the sample service')
  const refused = await page.evaluate(async ({ script, url }) => {
    const headers = { 'Content-Type': 'application/json', 'X-Zhiwei-CSRF': '1' }
    const send = async (path, body) => {
      const answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })
      if (!answer.ok) throw new Error(path + ': ' + (await answer.text()))
      return answer.json()
    }
    try {
      const labels = Object.entries({ via: 'local', control: script, service: 'sample', probe_http: url, every: '1s' }).map(([name, value]) => ({ name, value }))
      await send('/api/things', { id: 'sample-api', data: { name: '示例接口服务', class: 'component', labels } })
      await send('/api/things', { id: 'sample-app', data: { name: '示例门诊系统', class: 'application', on: [{ type: 'uses', thing: 'thing/sample-api' }] } })
      for (const id of ['sample-api', 'sample-app']) await send(`/api/things/${id}/do/confirm`, { version: 1 })
      return ''
    } catch (error) {
      return String(error)
    }
  }, { script: service.script, url: service.url })
  assert.equal(refused, '')
  await page.context().close()
})
after(async () => {
  await house?.close()
  service?.run('stop')
  if (folder) rmSync(folder, { recursive: true, force: true })
})

/** A program that serves, with the script by which it is started and stopped. */
async function control(dir) {
  const port = await freePort()
  const pid = join(dir, 'pid')
  const script = join(dir, 'control.sh')
  writeFileSync(
    script,
    `#!/bin/sh
alive() { test -s ${pid} && kill -0 "$(cat ${pid})" 2>/dev/null; }
case "$1" in
start) alive || { setsid python3 -m http.server ${port} --bind 127.0.0.1 --directory ${dir} >/dev/null 2>&1 </dev/null & echo $! >${pid}; } ;;
stop) alive && kill -9 "$(cat ${pid})"; rm -f ${pid} ;;
restart) "$0" stop "$2"; "$0" start "$2" ;;
status) alive ;;
esac
`,
    { mode: 0o700 },
  )
  return {
    script,
    url: `http://127.0.0.1:${port}/`,
    kill: () => process.kill(Number(readFileSync(pid, 'utf8')), 'SIGKILL'),
    run: (verb) => {
      try {
        execFileSync(script, [verb])
      } catch {
        // Stopping what has stopped.
      }
    },
  }
}

async function enter({ viewport = desk, language = 'zh', theme = 'light' } = {}) {
  const page = await house.person({ viewport, language })
  await page.context().addInitScript((look) => localStorage.setItem('zhiwei.theme', look), theme)
  await page.goto('/sign-in')
  await page.locator('#user').fill(keeper.login)
  await page.locator('#password').fill(keeper.password)
  await page.keyboard.press('Enter')
  await page.waitForURL('**/')
  await page.getByRole('heading', { level: 1 }).first().waitFor()
  return page
}

// Tests below stand on what is done here.
let incident
let run
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
  await page.getByText('1 / 2 个对象').waitFor()
  await page.getByRole('button', { name: '看列表' }).click()
  await map.getByRole('cell', { name: '组件' }).waitFor()
  await map.getByRole('link', { name: '示例接口服务' }).click()
  await page.getByRole('heading', { level: 1, name: '示例接口服务' }).waitFor()
  await page.getByRole('region', { name: '依赖它的对象' }).getByRole('link', { name: '示例门诊系统' }).waitFor()
  await page.getByRole('region', { name: '告警' }).getByText('没有告警').waitFor()
  await until(async () => {
    await page.reload()
    await page.getByRole('searchbox', { name: '查找指标' }).fill('probe_success')
    return page.getByRole('img', { name: /probe_success/ }).first().waitFor({ timeout: 10_000 }).then(() => true)
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

  await page.getByRole('region', { name: '处置与验证' }).getByRole('link', { name: '执行过程' }).first().click()
  await page.getByRole('region', { name: '步骤' }).getByText('成功').first().waitFor()
  run = new URL(page.url()).pathname
  await page.getByRole('region', { name: '进展' }).getByRole('link', { name: /^事件/ }).waitFor()
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

for (const look of [{ viewport: desk }, { viewport: desk, theme: 'dark' }, { viewport: phone, language: 'en', theme: 'dark' }]) {
  test(`the pages of operations at ${look.viewport.width}×${look.viewport.height}, ${look.theme ?? 'light'}, ${look.language ?? 'zh'}`, async (t) => {
    const page = await enter(look)
    for (const path of ['/operations', '/operations/topology', incident, run, '/things/sample-api', intent, '/intents/new', '/autopilots/main', '/silences/new', '/maintenances/new']) {
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
