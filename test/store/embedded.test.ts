// The embedded Postgres never outlives its service and survives every way of being killed.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  end,
  endServices,
  failure,
  kill,
  makeBase,
  postmaster,
  query,
  ROOT,
  removeBase,
  serversBelow,
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

describe('a life', () => {
  let dataDir: string
  beforeAll(() => {
    dataDir = join(base, 'life/of/data')
  })

  test('the first start makes a durable UTF-8 cluster, stop leaves nothing running', async () => {
    const service = start({ dataDir, settings: {} })
    const { url, version, connection } = await service.ready()
    expect(version).toMatch(/^18\./)
    expect(connection).toMatchObject({ user: 'taskflow', database: 'taskflow' })
    const rows = await query(
      url,
      `select current_database() as db, getdatabaseencoding() as encoding, datlocprovider as provider,
              datlocale as locale, current_setting('fsync') as fsync,
              current_setting('synchronous_commit') as sync, current_setting('listen_addresses') as tcp,
              current_setting('data_checksums') as checksums
         from pg_database where datname = current_database()`,
    )
    expect(rows).toEqual([
      {
        db: 'taskflow',
        encoding: 'UTF8',
        provider: 'b',
        locale: 'C.UTF-8',
        fsync: 'on',
        sync: 'on',
        tcp: '',
        checksums: 'on',
      },
    ])
    await query(url, 'create table kept (n int)')
    await end(service)
    expect(serversBelow(dataDir)).toEqual([])
  })

  test('the cluster is closed to others, the directories above it are not', () => {
    for (const dir of ['life', 'life/of', 'life/of/data']) {
      expect(statSync(join(base, dir)).mode & 0o777).toBe(0o755)
    }
    const cluster = statSync(join(dataDir, 'postgres'))
    expect(cluster.mode & 0o777).toBe(0o700)
    expect(cluster.uid === 0).toBe(false)
  })

  test('a kill -9 of the service stops the server, and an immediate restart has every row', async () => {
    const first = start({ dataDir, settings: {} })
    const { url } = await first.ready()
    await query(url, 'insert into kept values (1)')
    await kill(first)
    const second = start({ dataDir, settings: {} })
    const again = await second.ready()
    expect(await query(again.url, 'select n from kept')).toEqual([{ n: 1 }])
    await kill(second)
    await expect.poll(() => serversBelow(dataDir), { timeout: 10_000 }).toEqual([])
  })

  test('a kill -9 of service and server at once is recovered from', async () => {
    const first = start({ dataDir, settings: {} })
    const { url } = await first.ready()
    await query(url, 'insert into kept values (2)')
    process.kill(postmaster(dataDir), 'SIGKILL')
    await kill(first)
    const second = start({ dataDir, settings: {} })
    const again = await second.ready()
    expect(await query(again.url, 'select n from kept order by n')).toEqual([{ n: 1 }, { n: 2 }])
    await end(second)
  })

  test('a server whose supervisor was killed as well is taken over', async () => {
    const first = start({ dataDir })
    await first.ready()
    const server = postmaster(dataDir)
    // Held still, or it would see the first half of the supervisor go and let the second do its work.
    first.child.kill('SIGSTOP')
    for (const pid of serversBelow(dataDir)) if (pid !== server) process.kill(pid, 'SIGKILL')
    await kill(first)
    expect(serversBelow(dataDir)).toEqual([server])
    const second = start({ dataDir })
    const { url } = await second.ready()
    expect(postmaster(dataDir)).not.toBe(server)
    expect(await query(url, 'select count(*)::int as n from kept')).toEqual([{ n: 2 }])
    await end(second)
  })

  test('a lock file whose pid now belongs to another process is no obstacle', async () => {
    const first = start({ dataDir })
    await first.ready()
    process.kill(postmaster(dataDir), 'SIGKILL')
    await kill(first)
    await expect.poll(() => serversBelow(dataDir)).toEqual([])
    const lock = join(dataDir, 'postgres/postmaster.pid')
    // The stranger has the server's user, or PostgreSQL itself would see that it is none.
    const owner = statSync(join(dataDir, 'postgres'))
    const ids = ROOT ? { uid: owner.uid, gid: owner.gid } : {}
    const stranger = spawn('sleep', ['60'], { ...ids, cwd: '/' })
    writeFileSync(lock, readFileSync(lock, 'utf8').replace(/^\d+/, String(stranger.pid)))
    const second = start({ dataDir })
    if (process.platform === 'linux') await second.ready()
    else expect(await failure(second)).toContain(`remove ${lock}`)
    stranger.kill()
    await end(second)
  })

  test('a second service on the same data is told whom to stop', async () => {
    const first = start({ dataDir })
    await first.ready()
    const began = Date.now()
    const message = await failure(start({ dataDir }))
    expect(Date.now() - began).toBeLessThan(10_000)
    expect(message).toContain(`already served by the Postgres with pid ${postmaster(dataDir)}`)
    expect(message).toContain(`the service with pid ${first.child.pid}`)
    expect(message).toContain('Stop that service or set TASKFLOW_DATA_DIR')
    await end(first)
  })

  test('SIGINT to the process group leaves the service its database until it has drained', async () => {
    const service = start({ dataDir })
    await service.ready()
    process.kill(-(service.child.pid ?? 0), 'SIGINT')
    expect(await service.next()).toEqual({ drained: 1 })
    await once(service.child, 'exit')
    expect(serversBelow(dataDir)).toEqual([])
  })

  test('a SIGTERM to every process of the unit leaves the service its database, and the watch in place', async () => {
    const service = start({ dataDir })
    const { url } = await service.ready()
    for (const pid of serversBelow(dataDir)) {
      if (pid === postmaster(dataDir)) continue
      for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.kill(pid, signal)
    }
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
    await kill(service)
    await expect.poll(() => serversBelow(dataDir), { timeout: 10_000 }).toEqual([])
  })

  test('a server that dies is reported, with the reason', async () => {
    const service = start({ dataDir })
    await service.ready()
    process.kill(postmaster(dataDir), 'SIGKILL')
    const { exited } = await service.next()
    expect(exited?.reason).toMatch(/The embedded Postgres ended \(exit code 137\).*postgres\.log/)
  })

  test('a supervisor that dies is reported, and its server stops', async () => {
    const service = start({ dataDir })
    await service.ready()
    const parent = execFileSync('ps', ['-o', 'ppid=', '-p', String(postmaster(dataDir))])
    process.kill(Number(parent), 'SIGKILL')
    const { exited } = await service.next()
    expect(exited?.reason).toContain('SIGKILL')
    await expect.poll(() => serversBelow(dataDir), { timeout: 10_000 }).toEqual([])
  })

  test.each(['idle', 'leave'])(
    'a process that ends without stop (%s) takes the server along',
    async (word) => {
      const service = start({ dataDir })
      await service.ready()
      await end(service, word)
      expect(service.child.exitCode).toBe(0)
      await expect.poll(() => serversBelow(dataDir), { timeout: 10_000 }).toEqual([])
    },
  )

  test('visitors come by TCP with the password that lies beside the cluster', async () => {
    const port = await freePort()
    const service = start({ dataDir, port })
    const { url, passwordFile } = await service.ready()
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
    const password = readFileSync(passwordFile ?? '', 'utf8').trim()
    expect(statSync(passwordFile ?? '').mode & 0o777).toBe(0o600)
    const visitor = (secret: string) => `postgres://taskflow:${secret}@127.0.0.1:${port}/taskflow`
    expect(await query(visitor(password), 'select 1 as one')).toEqual([{ one: 1 }])
    await expect(query(visitor('guess'), 'select 1')).rejects.toThrow(
      /password authentication failed/,
    )
    await end(service)
  })

  test('a port that is taken is told', async () => {
    const rival = createServer()
    const port = await freePort()
    await new Promise<void>((resolve) => rival.listen(port, '127.0.0.1', resolve))
    expect(await failure(start({ dataDir, port }))).toMatch(
      new RegExp(`cannot listen on 127.0.0.1:${port}.*Choose another port`),
    )
    rival.close()
  })

  test('data of another major version is refused with what to do', async () => {
    const file = join(dataDir, 'postgres/PG_VERSION')
    const before = readFileSync(file, 'utf8')
    writeFileSync(file, '17\n')
    expect(await failure(start({ dataDir }))).toMatch(
      /made by PostgreSQL 17, .* carries PostgreSQL 18.*DATABASE_URL/,
    )
    writeFileSync(file, before)
  })

  test('a directory of other files is refused', async () => {
    const other = join(base, 'other')
    mkdirSync(join(other, 'postgres'), { recursive: true })
    writeFileSync(join(other, 'postgres/letter.txt'), 'dear')
    expect(await failure(start({ dataDir: other }))).toContain(
      'holds files but no PostgreSQL cluster',
    )
  })
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}
