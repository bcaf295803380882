// The library desk, used as a librarian would: every page of it is drawn from its declaration.
// Proves A27 (the pages of an application from another field come from its declaration alone).
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { House, makeUser, pick, signIn, until } from './world.js'

let house
let librarian
before(async () => {
  house = await House.open()
  librarian = (await house.settle()).librarian
})
after(() => house?.close())

async function atDesk(options) {
  const page = await house.person(options)
  await signIn(page, librarian.login, librarian.password)
  await page.getByRole('heading', { name: '您好' }).waitFor()
  return page
}

async function addCopy(page, title, barcode) {
  await page.goto('/copies/new')
  await page.getByLabel('书名').fill(title)
  await page.getByLabel('条码').fill(barcode)
  await page.getByRole('button', { name: '保存' }).click()
  await page.getByRole('heading', { level: 1, name: title }).waitFor()
}

async function addReader(page, name, card) {
  await page.goto('/readers/new')
  await page.getByLabel('姓名').fill(name)
  await page.getByLabel('借书证号').fill(card)
  await page.getByRole('button', { name: '保存' }).click()
  await page.getByRole('heading', { level: 1, name }).waitFor()
}

async function lend(page, title, reader, typed = reader) {
  await page.goto('/loans/new')
  await pick(page, '馆藏', title)
  await pick(page, '读者', typed, reader)
  await page.getByRole('button', { name: '保存' }).click()
  await page.getByRole('heading', { level: 1, name: `${title} · ${reader}` }).waitFor()
}

test('a book is lent, renewed and returned, and its page tells how', async () => {
  const page = await atDesk()
  await page.getByRole('navigation', { name: '菜单' }).getByRole('link', { name: '馆藏' }).click()
  await page.getByText('还没有馆藏').waitFor()

  // What is missing is told beside its field, before anything is sent.
  await page.keyboard.press('n')
  await page.getByRole('heading', { name: '新建馆藏' }).waitFor()
  await page.keyboard.press('Control+Enter')
  await page.getByText('请填写书名。').waitFor()

  await addCopy(page, '三体', 'B-0001')
  await addReader(page, '张三', 'C-1')
  await lend(page, '三体', '张三', 'zs')
  await page.getByText('借出', { exact: true }).first().waitFor()

  for (let i = 0; i < 2; i++) {
    await page.getByRole('button', { name: '更多' }).click()
    await page.getByRole('button', { name: '续借' }).click()
    await until(async () => (await page.getByText(`第 ${i + 2} 版`).count()) > 0, 'the renewed loan')
  }
  // A third time is refused, and the page says why before anybody tries.
  await page.getByRole('button', { name: '更多' }).click()
  await page.getByText('最多续借两次').waitFor()
  await page.keyboard.press('Escape')

  await page.getByRole('button', { name: '归还' }).click()
  await page.getByText('已还', { exact: true }).first().waitFor()

  await page.getByRole('link', { name: '时间线' }).click()
  const steps = page.getByRole('region', { name: '全部步骤' })
  await steps.getByText('归还', { exact: true }).waitFor()
  assert.equal(await steps.getByRole('listitem').count(), 4)
  assert.equal(await steps.getByText('李馆员').count(), 4)
  await page.getByRole('button', { name: '上一步' }).click()
  await page.getByText('3 / 4').waitFor()
  await page.getByRole('region', { name: '各状态停留时间' }).getByText('借出').first().waitFor()

  await page.getByRole('link', { name: '流转图' }).click()
  const drawing = page.locator('svg.drawing')
  await drawing.waitFor()
  await drawing.getByText('现在在这里').waitFor()
  await until(async () => (await drawing.locator('.arrow.walked').count()) === 2, 'the way of this record to be marked')

  // The book tells who borrowed it.
  await page.goto('/copies')
  await page.getByRole('link', { name: '三体' }).click()
  await page.getByRole('heading', { name: '相关记录' }).waitFor()
  assert.deepEqual(page.complaints, [])
})

test('evidence is asked for and a refusal is told in words', async () => {
  const page = await atDesk()
  await addReader(page, '钱四', 'C-2')
  await page.getByRole('button', { name: '更多' }).click()
  await page.getByRole('button', { name: '停借' }).click()
  const dialog = page.getByRole('dialog', { name: '停借' })
  await dialog.getByRole('button', { name: '停借' }).click()
  await dialog.getByText('请填写原因。').waitFor()
  await dialog.getByLabel('原因').fill('书未还')
  await dialog.getByRole('button', { name: '停借' }).click()
  await page.getByText('停借', { exact: true }).first().waitFor()

  await addCopy(page, '红楼梦', 'B-0002')
  await page.goto('/loans/new')
  await pick(page, '馆藏', '红楼梦')
  await pick(page, '读者', '钱四')
  await page.getByRole('button', { name: '保存' }).click()
  await page.getByText('该读者已停借，请先恢复。').waitFor()
})

test('what one person does another sees at once, and a lost line misses nothing and tells nothing twice', async () => {
  const here = await atDesk()
  const there = await atDesk()
  await there.goto('/copies')
  await there.getByText('实时').waitFor()
  await addCopy(here, '百年孤独', 'B-0101')
  await there.getByRole('link', { name: '百年孤独' }).waitFor()

  await there.context().setOffline(true)
  await there.getByText('已断线').waitFor()
  for (const n of [1, 2, 3]) await addCopy(here, `断线时 ${n}`, `B-02${n}`)
  await here.getByRole('link', { name: '修改' }).click()
  await here.getByLabel('书名').fill('断线时改名')
  await here.getByRole('button', { name: '保存' }).click()
  await here.getByRole('heading', { level: 1, name: '断线时改名' }).waitFor()
  assert.equal(await there.getByRole('link', { name: '断线时' }).count(), 0)

  await there.context().setOffline(false)
  await there.getByText('实时').waitFor()
  for (const name of ['断线时 1', '断线时 2', '断线时改名']) await there.getByRole('link', { name }).waitFor()
  await addCopy(here, '断线之后', 'B-0301')
  await there.getByRole('link', { name: '断线之后' }).waitFor()
  for (const name of ['断线时 1', '断线时 2', '断线时改名', '断线之后']) {
    assert.equal(await there.getByRole('link', { name, exact: true }).count(), 1, name)
  }
  assert.equal(await there.getByRole('link', { name: '断线时 3' }).count(), 0, 'only the newest version stands there')
})

test('two people on one record: nobody overwrites the other unseen', async () => {
  const one = await atDesk()
  const two = await atDesk()
  await addCopy(one, '伤寒论', 'B-0401')
  const address = one.url()
  await one.getByRole('link', { name: '修改' }).click()
  await one.getByLabel('书名').fill('伤寒论（校注）')
  await two.goto(address)
  await two.getByRole('link', { name: '修改' }).click()
  await two.getByLabel('作者').fill('张仲景')
  await two.getByRole('button', { name: '保存' }).click()
  await two.getByRole('heading', { level: 1, name: '伤寒论' }).waitFor()

  // The first hears of it while still typing, sees the difference, and keeps both.
  await one.getByText('已把它改到第 2 版').waitFor()
  await one.getByRole('row', { name: /作者/ }).getByText('张仲景').waitFor()
  await one.getByRole('button', { name: '保留我的修改，并入对方的' }).click()
  await one.getByRole('button', { name: '保存' }).click()
  await one.getByRole('heading', { level: 1, name: '伤寒论（校注）' }).waitFor()
  await one.getByText('张仲景').first().waitFor()
})

test('everything can be reached by keys, and nothing typed is lost by a slip', async () => {
  const page = await atDesk()
  await addReader(page, '欧阳明', 'C-9')
  await page.goto('/')
  await page.getByRole('heading', { name: '您好' }).waitFor()
  await page.keyboard.press('Control+k')
  await page.getByRole('combobox', { name: '查找' }).fill('oym')
  await page.getByRole('option', { name: '欧阳明' }).waitFor()
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { level: 1, name: '欧阳明' }).waitFor()

  await page.goto('/readers')
  await page.getByRole('link', { name: '欧阳明' }).waitFor()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('k')
  await page.keyboard.press('Enter')
  await page.waitForURL(/\/readers\/[^/]+$/)

  await page.getByRole('link', { name: '修改' }).waitFor()
  await page.keyboard.press('e')
  await page.getByLabel('电话').fill('010')
  page.once('dialog', (dialog) => dialog.dismiss())
  await page.getByRole('navigation', { name: '菜单' }).getByRole('link', { name: '借阅' }).click()
  assert.match(page.url(), /\/edit$/)
  assert.equal(await page.getByLabel('电话').inputValue(), '010')
})

test('a list is filtered, sorted, exported and printed as it is seen', async () => {
  const page = await atDesk()
  await page.goto('/readers')
  await page.getByRole('link', { name: '欧阳明' }).waitFor()
  await page.getByRole('searchbox', { name: '搜索读者' }).fill('zhangsan')
  await page.getByRole('link', { name: '欧阳明' }).waitFor({ state: 'detached' })
  await page.getByRole('link', { name: '张三' }).waitFor()
  await page.waitForURL(/q=zhangsan/)
  await page.reload()
  await page.getByRole('link', { name: '张三' }).waitFor()
  assert.equal(await page.getByRole('link', { name: '欧阳明' }).count(), 0)

  await page.getByRole('button', { name: '清除筛选' }).click()
  await page.getByRole('button', { name: /^停借/ }).click()
  await page.getByRole('link', { name: '钱四' }).waitFor()
  await page.getByRole('link', { name: '张三' }).waitFor({ state: 'detached' })
  await page.getByRole('button', { name: '全部' }).click()
  await page.getByRole('link', { name: '张三' }).waitFor()

  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: '导出', exact: true }).click()])
  assert.match(file.suggestedFilename(), /\.csv$/)

  await page.emulateMedia({ media: 'print' })
  assert.equal(await page.getByRole('navigation', { name: '菜单' }).isVisible(), false)
  assert.equal(await page.getByRole('link', { name: '新建读者' }).isVisible(), false)
  assert.ok((await page.pdf()).length > 10_000)
  await page.emulateMedia({ media: 'screen' })
  assert.deepEqual(page.complaints, [])
})

test('English is complete and remembered', async () => {
  const page = await atDesk()
  await page.goto('/loans')
  await page.getByRole('button', { name: 'English' }).click()
  await page.getByRole('heading', { level: 1, name: 'Loan' }).waitFor()
  await page.reload()
  await page.getByRole('heading', { level: 1, name: 'Loan' }).waitFor()
  for (const path of ['/', '/loans', '/loans/new', '/loans/diagram', '/catalogue', '/my-tasks', '/nowhere/at/all']) {
    await page.goto(path)
    await page.getByRole('heading', { level: 1 }).first().waitFor()
    await page.getByText('Loading…').waitFor({ state: 'detached' })
    const chinese = await page.evaluate(() => {
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
      const out = []
      while (walker.nextNode()) if (!walker.currentNode.parentElement.closest('noscript') && /\p{Script=Han}/u.test(walker.currentNode.data)) out.push(walker.currentNode.data.trim())
      return out
    })
    // Names of people, books and roles are data, and stay as they were written.
    assert.deepEqual(chinese.filter((s) => !/中文|李馆员|三体|张三/.test(s)), [], path)
  }
  await page.getByRole('button', { name: '中文' }).click()
})

test('a person without the role sees neither the menu nor the page', async () => {
  const security = await house.person()
  await signIn(security, house.people['security-admin'].login, house.people['security-admin'].password)
  await security.getByRole('heading', { name: '您好' }).waitFor()
  assert.equal(await security.getByRole('navigation', { name: '菜单' }).getByRole('link', { name: '借阅' }).count(), 0)
  await security.goto('/loans')
  await security.getByRole('heading', { name: '没有这个页面' }).waitFor()
  await makeUser(security, { name: '周五', login: 'zhouwu', role: '图书' })
})
