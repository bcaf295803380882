// The real program on a fresh data folder, and Chromium in front of it.
import { spawn, execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Debian's Chromium, kept from speaking to anybody but us. */
const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export const desk = { width: 1366, height: 768 }
export const phone = { width: 390, height: 844 }
export const founderPassword = 'a founder for one morning'

/** How long the slowest step of a page may take in a test, in milliseconds. */
const patience = 15_000

let built = ''
/** The program: the one ZHIWEI names, else built now, with the pages as they were last built. */
function program() {
  built ||= process.env.ZHIWEI ?? ''
  if (built) return built
  if (!existsSync(join(root, 'web', 'dist', 'index.html'))) {
    throw new Error('web/dist holds no pages: run "npm --prefix web ci && npm --prefix web run build" first')
  }
  const dir = mkdtempSync(join(tmpdir(), 'zhiwei-pages-'))
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
  built = join(dir, 'zhiwei')
  execFileSync('go', ['build', '-o', built, './cmd/zhiwei'], { cwd: root, stdio: 'inherit' })
  return built
}

export async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Asks until the answer is truthy; there is no other way to wait for a process to be ready. */
export async function until(ask, what, limit = patience) {
  const end = Date.now() + limit
  for (;;) {
    const got = await ask().catch(() => false)
    if (got) return got
    if (Date.now() > end) throw new Error('waited in vain for ' + what)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

/** One house: a data folder, a served program, a browser. Close it after use. */
export class House {
  /** config is the text of a configuration file (YAML); without it there is none. */
  static async open({ config } = {}) {
    const house = new House()
    house.data = mkdtempSync(join(tmpdir(), 'zhiwei-house-'))
    house.config = config
    house.port = await freePort()
    house.base = `http://127.0.0.1:${house.port}`
    await house.serve()
    house.browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags })
    return house
  }

  async serve() {
    this.said = ''
    const args = ['serve', '--data', this.data, '--listen', `127.0.0.1:${this.port}`]
    if (this.config) {
      const file = join(this.data, 'zhiwei.yaml')
      writeFileSync(file, this.config)
      args.push('--config', file)
    }
    this.process = spawn(program(), args, {
      env: { ...process.env, ZHIWEI_ADMIN_PASSWORD: founderPassword },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on('data', (d) => (this.said += d))
    await until(async () => {
      if (this.process.exitCode !== null) throw new Error('serve ended')
      return (await fetch(this.base + '/readyz')).ok
    }, 'serve:\n' + this.said)
  }

  async stop() {
    const ended = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill('SIGTERM')
    await ended
  }

  async close() {
    await this.browser?.close()
    await this.stop()
    rmSync(this.data, { recursive: true, force: true })
  }

  /** A person at a screen of their own: nobody else's cookies. What the page complains of is kept in page.complaints. */
  async person({ viewport = desk, language = 'zh' } = {}) {
    const context = await this.browser.newContext({ viewport, locale: 'zh-CN', timezoneId: 'Asia/Shanghai', baseURL: this.base, acceptDownloads: true })
    context.setDefaultTimeout(patience)
    if (language !== 'zh') await context.addInitScript((l) => localStorage.setItem('zhiwei.lang', l), language)
    const page = await context.newPage()
    page.complaints = []
    page.on('pageerror', (error) => page.complaints.push(String(error)))
    page.on('console', (message) => {
      // A refused request is told on the page itself; what matters here are mistakes of the page.
      if (message.type() === 'error' && !/Failed to load resource|net::ERR/.test(message.text())) page.complaints.push(message.text())
    })
    return page
  }

  /** Makes the three administrators and a librarian, as people would, and tells their passwords. */
  async settle() {
    const page = await this.person()
    const handed = await appointAll(page)
    const people = {}
    for (const [role, login] of Object.entries(logins)) people[role] = { login, password: passwords[role], oneTime: handed[login] }
    const security = await this.person()
    await changeFirst(security, people['security-admin'])
    people.librarian = await makeUser(security, { name: '李馆员', login: 'li', role: '图书' }).catch(async (error) => {
      throw new Error(`${error}\nthe page said:\n${await security.locator('main').innerText()}\nserve said:\n${this.said}`)
    })
    await page.context().close()
    await security.context().close()
    const librarian = await this.person()
    people.librarian.password = passwords.librarian
    await changeFirst(librarian, people.librarian)
    await librarian.context().close()
    this.people = people
    return people
  }
}

const logins = { 'system-admin': 'sys', 'security-admin': 'sec', 'audit-admin': 'aud' }
const passwords = {
  'system-admin': 'keeper of the house 1',
  'security-admin': 'keeper of the doors 2',
  'audit-admin': 'keeper of traces 33',
  librarian: 'among the books 44',
}

export async function signIn(page, login, password) {
  await page.goto('/sign-in')
  await page.getByLabel('用户名').fill(login)
  await page.getByLabel('密码').fill(password)
  await page.getByRole('button', { name: '登录', exact: true }).click()
}

/** The founder appoints the three administrators; returns each one-time password by login. */
export async function appointAll(page) {
  await signIn(page, 'admin', founderPassword)
  await page.getByRole('heading', { name: '任命三位管理员' }).waitFor()
  const names = { 'system-admin': ['系统管理员', '王系统'], 'security-admin': ['安全管理员', '赵安全'], 'audit-admin': ['审计管理员', '钱审计'] }
  for (const [role, [office, name]] of Object.entries(names)) {
    await page.getByRole('heading', { name: '任命' + office }).waitFor()
    await page.getByLabel('姓名').fill(name)
    await page.getByLabel('用户名').fill(logins[role])
    await page.getByRole('button', { name: '任命' + office }).click()
    await page.getByRole('region', { name: '一次性密码' }).getByText(name).waitFor()
  }
  const region = page.getByRole('region', { name: '一次性密码' })
  const shown = await region.locator('output').allTextContents()
  const out = {}
  Object.values(logins).forEach((login, i) => (out[login] = shown[i]))
  return out
}

/** The first sign-in with a handed-over password, which must be changed. */
export async function changeFirst(page, { login, oneTime, password }) {
  await signIn(page, login, oneTime)
  await page.getByRole('heading', { name: '设置自己的密码' }).waitFor()
  await page.getByLabel('现在的密码').fill(oneTime)
  await page.getByLabel('新密码', { exact: true }).fill(password)
  await page.getByLabel('再输一次新密码').fill(password)
  await page.getByRole('button', { name: '更换密码' }).click()
  await page.getByRole('heading', { name: '您好' }).waitFor()
}

/** The security administrator makes a user with a role and issues the first password. */
export async function makeUser(page, { name, login, role }) {
  await page.goto('/users')
  await page.getByRole('link', { name: '新建用户' }).click()
  // The list has filters of the same labels, and stays until the form has come.
  await page.getByRole('heading', { name: '新建用户' }).waitFor()
  await page.getByLabel('姓名').fill(name)
  await page.getByLabel('用户名').fill(login)
  await page.getByRole('button', { name: '添加角色' }).click()
  await pick(page, '角色', role)
  await page.getByRole('button', { name: '保存' }).click()
  await page.getByRole('heading', { name }).waitFor()
  await page.getByRole('button', { name: '发放一次性密码' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: '发放一次性密码' }).click()
  const oneTime = await dialog.locator('output').textContent()
  await dialog.getByRole('button', { name: '关闭', exact: true }).click()
  return { name, login, oneTime }
}

/** Picks a record in a reference field by what one types of its name. */
export async function pick(page, label, typed, shown = typed) {
  const box = page.getByRole('combobox', { name: label })
  await box.click()
  await box.fill(typed)
  // The list belongs to this box; another may still be closing.
  const list = page.locator('#' + (await box.getAttribute('aria-controls')))
  await list.getByRole('option', { name: shown }).first().click()
  await list.waitFor({ state: 'hidden' })
}

/** What axe finds wrong with the page as it is: WCAG 2.2 A and AA, and its best practices. */
export async function faults(page) {
  await page.evaluate(axe + ';0').catch(async () => {
    // The content policy of the pages refuses foreign scripts; the debugger may put one in.
    const session = await page.context().newCDPSession(page)
    await session.send('Runtime.evaluate', { expression: axe })
  })
  const found = await page.evaluate(() =>
    window.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }),
  )
  return found.violations.map((v) => `${v.id}: ${v.nodes[0].html.slice(0, 200)} (${v.nodes.length})`)
}
