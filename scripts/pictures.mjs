// Takes the picture of a healing in the README from the real program in
// Chromium, in both languages, with a service that is visibly a sample:
//
//   make build && npm --prefix test/pages ci && ZHIWEI=$PWD/bin/zhiwei node scripts/pictures.mjs
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Operations } from '../test/pages/operations.js'
import { until } from '../test/pages/world.js'

const out = join(dirname(fileURLToPath(import.meta.url)), '..', 'docs', 'pictures')

/** How long the loop may take from a death to its proof, on a busy machine, in milliseconds. */
const patience = 180_000

const world = await Operations.open()
try {
  const page = await world.enter()
  await page.goto('/operations')
  world.service.kill()
  const open = page.getByRole('region', { name: '未了结的事件' }).getByRole('link', { name: /示例/ }).first()
  await open.waitFor({ timeout: patience })
  await open.click()
  const waits = page.getByRole('region', { name: '等待批准的处置' })
  await waits.waitFor({ timeout: patience })
  await waits.getByRole('button', { name: '批准', exact: true }).click()
  await page.getByRole('dialog').getByRole('button', { name: '批准处置' }).click()
  await page.getByRole('region', { name: '各阶段用时' }).getByText('自动恢复').waitFor({ timeout: patience })
  const incident = new URL(page.url()).pathname
  await page.context().close()
  for (const [language, name] of [['en', 'healing'], ['zh', 'healing.zh']]) {
    const reader = await world.enter({ language, viewport: { width: 1366, height: 1400 } })
    await reader.goto(incident)
    await reader.getByRole('heading', { level: 1 }).waitFor()
    await until(async () => (await reader.locator('[role="img"][aria-label]').count()) > 2 && (await reader.locator('[aria-busy="true"]').count()) === 0, 'the charts', patience)
    await reader.evaluate(() => document.fonts.ready)
    await reader.screenshot({ path: join(out, name + '.png') })
    await reader.context().close()
  }
} finally {
  await world.close()
}
