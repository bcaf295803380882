// A small world under the eyes of operations: a real service that a script starts and stops, what stands on it, a
// machine whose warranty ends soon, work of one step, and two cases that wait for review. All of it is visibly a sample.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { changeFirst, desk, freePort, House, signIn, until } from './world.js'

/** Who keeps it running. */
const keeper = { login: 'ops', password: 'watcher of samples 77' }

/** The world, and enter: a person who keeps it running, signed in. Close it after use. */
export class Operations {
  static async open() {
    const world = new Operations()
    try {
      await world.fill()
    } catch (error) {
      await world.close() // what was begun must not keep the tests waiting
      throw error
    }
    return world
  }

  async fill() {
    this.folder = mkdtempSync(join(tmpdir(), 'zhiwei-service-'))
    /** What the sample work writes, and its undoing takes away. */
    this.written = join(this.folder, 'written by a run')
    this.house = await House.open({ config: 'operations: {every: 1s, measure: 1s, settle: 1s, patience: 30s}\n' })
    const { house } = this
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
    this.service = await control(this.folder)
    this.service.run('start')
    await until(async () => (await fetch(this.service.url)).ok, 'the sample service')
    const refused = await page.evaluate(async ({ script, url, warranty, book, cases }) => {
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
        await send('/api/things', { id: 'sample-host', data: { name: '示例主机', class: 'host', labels: [{ name: 'via', value: 'local' }, { name: 'warranty_until', value: warranty }] } })
        for (const id of ['sample-api', 'sample-app', 'sample-host']) await send(`/api/things/${id}/do/confirm`, { version: 1 })
        await send('/api/runbooks', { id: book.name, data: { name: book.name, title: book.title.zh, titleEn: book.title.en, risk: book.risk, tags: book.tags, definition: book } })
        await send(`/api/runbooks/${book.name}/do/publish`, { version: 1 })
        for (const [id, data] of Object.entries(cases)) await send('/api/cases', { id, data })
        return ''
      } catch (error) {
        return String(error)
      }
    }, { script: this.service.script, url: this.service.url, warranty: new Date(Date.now() + 20 * 86_400_000).toISOString().slice(0, 10), book: sampleWork(this.written), cases: sampleCases })
    if (refused) throw new Error(refused)
    await page.context().close()
    // What may fail is looked for at the start and four times an hour.
    await house.stop()
    await house.serve()
  }

  async enter({ viewport = desk, language = 'zh', theme = 'light' } = {}) {
    const page = await this.house.person({ viewport, language })
    await page.context().addInitScript((look) => localStorage.setItem('zhiwei.theme', look), theme)
    await page.goto('/sign-in')
    await page.locator('#user').fill(keeper.login)
    await page.locator('#password').fill(keeper.password)
    await page.keyboard.press('Enter')
    await page.waitForURL('**/')
    await page.getByRole('heading', { level: 1 }).first().waitFor()
    return page
  }

  async close() {
    await this.house?.close()
    this.service?.run('stop')
    if (this.folder) rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Work that leaves a file behind, and takes it away again when it is undone. */
function sampleWork(file) {
  const step = (...args) => ({ type: 'command', with: { args } })
  return {
    name: 'sample-work',
    title: { zh: '示例作业', en: 'Sample work' },
    help: { zh: '放一个示例文件。', en: 'Puts a sample file there.' },
    risk: 'low',
    tags: ['one-click'],
    inputs: [{ name: 'thing', type: 'target', required: true, title: { zh: '主机', en: 'Host' } }],
    targets: '[data.inputs.thing]',
    steps: [{ id: 'put', title: { zh: '放文件', en: 'Put the file' }, ...step('touch', file), undo: step('rm', '-f', file) }],
  }
}

const sampleCases = {
  'sample-good': { title: '示例案例：磁盘写满', mode: 'space-full', class: 'host', seen: ['space-low'], missing: ['inodes-low'], tried: [{ remedy: 'clear', worked: true }] },
  'sample-bad': { title: '示例案例：误判', mode: 'process-dead', seen: ['not-answering'] },
}

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
