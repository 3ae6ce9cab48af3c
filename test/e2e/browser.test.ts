// A real browser: links are opened, answered and used up without JavaScript, and an EventSource outlives the service.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { freePort, type ServiceProcess, send, startService, until } from '../support/service.ts'

let database: TestDatabase
let service: ServiceProcess
let browser: Browser

beforeAll(async () => {
  // Where there is no browser this installs one; where it cannot, the tests fail and say so.
  const script = join(import.meta.dirname, '../../scripts/chromium.mjs')
  const { stdout } = await promisify(execFile)(process.execPath, [script])
  browser = await chromium.launch({ executablePath: stdout.trim(), args: ['--no-sandbox'] })
  database = await createTestDatabase()
  service = await startService({ DATABASE_URL: database.url })
}, 600_000)
afterAll(async () => {
  await browser?.close()
  await service?.kill('SIGTERM')
  await database?.drop()
})

interface Waiting {
  id: string
  wait: { link: string }
}

async function create(base: string): Promise<{ id: string }> {
  const { body } = await send<{ id: string }>(base, 'POST', '/flows', {
    controller_id: 'shop/refunds',
    goal: 'Refund order 42 <b>to Ada</b>',
    owner_session_key: 'customer-7',
    requester_origin: 'webshop',
    start: true,
  })
  return body
}

async function linked(link: unknown): Promise<{ id: string; url: string }> {
  const flow = await create(service.base)
  const wait = { kind: 'manual', signal: 'approved', link }
  const { body } = await send<Waiting>(service.base, 'POST', `/flows/${flow.id}/wait`, wait)
  return { id: flow.id, url: service.base + body.wait.link }
}

const stateOf = async (id: string) =>
  (await send<{ state: object; status: string }>(service.base, 'GET', `/flows/${id}`)).body

/** A page of a phone that runs no scripts; what it asks other hosts for, and its complaints, are noted. */
async function openPhone(): Promise<{ page: Page; noted: string[] }> {
  const context = await browser.newContext({
    javaScriptEnabled: false,
    viewport: { width: 360, height: 740 },
  })
  const page = await context.newPage()
  const noted: string[] = []
  page.on('request', (request) => {
    if (!request.url().startsWith(service.base)) noted.push(request.url())
  })
  page.on('console', (message) => noted.push(message.text()))
  return { page, noted }
}

describe('a link in a browser', () => {
  it('is opened, answered, and used up', async () => {
    const { id, url } = await linked({
      schema: {
        title: 'Approve this refund?',
        required: ['approved', 'reason'],
        additionalProperties: false,
        properties: {
          approved: { type: 'boolean', title: 'Approve the refund' },
          amount: { type: 'number', title: 'Amount', minimum: 0, maximum: 89.9 },
          reason: { enum: ['damaged', 'late'], title: 'Reason' },
          note: { type: 'string', title: 'Note' },
        },
      },
    })
    const { page, noted } = await openPhone()
    expect((await page.goto(url))?.status()).toBe(200)
    expect(await page.title()).toBe('Approve this refund?')
    expect(await page.getByText('Refund order 42 <b>to Ada</b>').count()).toBe(1)
    // Styled by what the policy allows, and no wider than the phone.
    const button = page.getByRole('button', { name: 'Confirm' })
    expect((await button.boundingBox())?.height).toBeGreaterThanOrEqual(44)
    const main = await page.getByRole('main').boundingBox()
    expect(main?.width).toBe(360)

    await page.getByLabel('Approve the refund').check()
    await page.getByLabel('Amount').fill('12.50')
    await page.getByLabel('Reason').selectOption('damaged')
    await page.getByLabel('Note').fill('Thanks, Ada & co\nsee you')
    // By keyboard alone.
    await button.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Thank you' }).waitFor()
    expect(await stateOf(id)).toMatchObject({
      status: 'running',
      state: {
        resume_event: {
          approved: true,
          amount: 12.5,
          reason: 'damaged',
          note: 'Thanks, Ada & co\nsee you',
        },
      },
    })

    expect((await page.goto(url))?.status()).toBe(410)
    expect(await page.getByText('Somebody answered by this link').count()).toBe(1)
    expect(await page.getByText('damaged').count()).toBe(1)
    expect(noted.filter((text) => !text.includes('410'))).toEqual([])
    await page.context().close()
  })

  it('does not go out with a required field left open', async () => {
    const { id, url } = await linked({
      schema: { properties: { name: { type: 'string', maxLength: 40 } }, required: ['name'] },
    })
    const { page } = await openPhone()
    await page.goto(url)
    await page.getByRole('button').click()
    expect(await page.getByLabel('name').count()).toBe(1)
    expect((await stateOf(id)).status).toBe('waiting')
    await page.getByLabel('name').fill('Ada')
    await page.getByRole('button').click()
    await page.getByRole('heading', { name: 'Thank you' }).waitFor()
    expect((await stateOf(id)).state).toEqual({ resume_event: { name: 'Ada' } })
    await page.context().close()
  })

  it('keeps what was filled in when the service refuses it', async () => {
    const { id, url } = await linked({
      schema: { properties: { tags: { type: 'array', title: 'Tags' }, note: { type: 'string' } } },
    })
    const { page } = await openPhone()
    await page.goto(url)
    await page.getByLabel('Tags').fill('not JSON')
    await page.getByLabel('note').fill('stays')
    await page.getByRole('button').click()
    expect(await page.getByRole('alert').textContent()).toContain('tags must be an array')
    expect(await page.getByLabel('note').inputValue()).toBe('stays')
    expect((await stateOf(id)).status).toBe('waiting')
    await page.getByLabel('Tags').fill('["a"]')
    await page.getByRole('button').click()
    await page.getByRole('heading', { name: 'Thank you' }).waitFor()
    expect((await stateOf(id)).state).toEqual({ resume_event: { tags: ['a'], note: 'stays' } })
    await page.context().close()
  })
})

describe('an EventSource in a browser', () => {
  interface Told {
    flow_id: string
    revision: number
  }

  /** What the page has been told so far. */
  const toldTo = (page: Page): Promise<Told[]> => page.evaluate('globalThis.told')

  /** Opens a page of the service that listens to a stream and remembers what it is told. */
  async function openListener(base: string, path: string): Promise<Page> {
    const page = await browser.newPage()
    await page.goto(`${base}/health/live`)
    await page.evaluate(`
      globalThis.told = []
      globalThis.source = new EventSource(${JSON.stringify(path)})
      source.onmessage = ({ data }) => { if (data !== '') told.push(JSON.parse(data)) }
      new Promise((resolve, reject) => { source.onopen = resolve; source.onerror = reject })`)
    return page
  }

  it('that is cut goes on without a gap or a repeat when the service is back', async () => {
    const place = await createTestDatabase()
    const env = { DATABASE_URL: place.url, PORT: String(await freePort()) }
    let cut = await startService(env)
    try {
      const { id } = await create(cut.base)
      const step = (processed: number) =>
        send(cut.base, 'PATCH', `/flows/${id}/state`, { patch: { processed } })
      const feed = await openListener(cut.base, '/events/stream')
      const flow = await openListener(cut.base, `/flows/${id}/events/stream`)
      for (let n = 0; n < 5; n++) await step(n)
      await until(async () => (await toldTo(feed)).length === 5, 10_000, 'the feed tells')
      await cut.kill('SIGKILL')
      cut = await startService(env)
      for (let n = 5; n < 10; n++) await step(n)
      await send(cut.base, 'POST', `/flows/${id}/finish`, {})
      const ended = async (page: Page) =>
        (await toldTo(page)).some(({ revision }) => revision === 12)
      await until(() => ended(feed), 30_000, 'the feed goes on')
      await until(() => ended(flow), 30_000, 'the stream of the flow goes on')
      const revisions = async (page: Page) => (await toldTo(page)).map(({ revision }) => revision)
      // The feed begins with what comes after it was opened, the stream of a flow with its first event.
      expect(await revisions(feed)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
      expect(await revisions(flow)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
      // After the end the service answers 204, at which an EventSource stays away.
      const closed = () => flow.evaluate('source.readyState === EventSource.CLOSED')
      await until(async () => (await closed()) === true, 30_000, 'the stream of the flow is over')
      await feed.close()
      await flow.close()
    } finally {
      await cut.kill('SIGTERM')
      await place.drop()
    }
  })
})
