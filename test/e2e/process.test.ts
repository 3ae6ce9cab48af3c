// The process as its operator meets it: wrong starts, signals, an empty or foreign data directory, many at once.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import {
  freePort,
  type ServiceProcess,
  send,
  spawnService,
  startService,
  until,
} from '../support/service.ts'

const running: ServiceProcess[] = []
const start = async (env: Record<string, string>) => {
  const service = await startService(env)
  running.push(service)
  return service
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((service) => service.kill('SIGKILL')))
})

const input = {
  controller_id: 'e2e',
  goal: 'live',
  owner_session_key: 'test',
  requester_origin: 'test',
}

describe('a wrong start', () => {
  it('tells every mistake of the configuration and exits with 2', async () => {
    const service = spawnService({ PORT: 'abc', TASKFLOW_TICK_INTERVALL: 'PT1S' })
    expect((await service.exited).code).toBe(2)
    expect(service.log()).toContain('PORT=abc cannot be used')
    expect(service.log()).toContain('Did you mean TASKFLOW_TICK_INTERVAL?')
    expect(service.log()).not.toContain('    at ')
  })

  it('refuses an address that others can reach', async () => {
    const service = spawnService({ PORT: '0', HOST: '0.0.0.0' })
    expect((await service.exited).code).toBe(2)
    expect(service.log()).toContain('Set TASKFLOW_ADMIN_KEY')
  })

  it('refuses an unknown command', async () => {
    const service = spawnService({ PORT: '0' }, ['sevre'])
    expect((await service.exited).code).toBe(2)
    expect(service.log()).toContain('"sevre" is not a command')
  })

  it('says what to do when the database is not there', async () => {
    const port = await freePort()
    const service = spawnService({
      PORT: '0',
      DATABASE_URL: `postgres://u:geheim@127.0.0.1:${port}/x`,
      TASKFLOW_START_TIMEOUT: 'PT0.5S',
    })
    expect((await service.exited).code).toBe(1)
    expect(service.log()).toContain('Check DATABASE_URL')
    expect(service.log()).not.toContain('geheim')
  })
})

describe('on a database of the user', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createTestDatabase()
  })
  afterAll(() => database.drop())

  it('says which port is taken', async () => {
    const first = await start({ DATABASE_URL: database.url })
    const second = spawnService({ DATABASE_URL: database.url, PORT: String(first.port) })
    expect((await second.exited).code).toBe(1)
    expect(second.log()).toContain('set PORT to a free port')
  })

  it('answers what it has taken, lets long polls go, and exits with 0 on SIGTERM', async () => {
    const service = await start({ DATABASE_URL: database.url })
    const { body: flow } = await send<{ id: string }>(service.base, 'POST', '/flows', input)
    const poll = send<{ status: string }>(
      service.base,
      'GET',
      `/flows/${flow.id}?wait=PT30S&until=terminal`,
    )
    const changes = Array.from({ length: 200 }, (_, i) =>
      send(service.base, 'PATCH', `/flows/${flow.id}/state`, { patch: { [`k${i}`]: i } }).then(
        ({ status }) => status,
        () => 'refused',
      ),
    )
    await Promise.race(changes)
    const began = performance.now()
    const exit = await service.kill('SIGTERM')
    expect(exit).toEqual({ code: 0, signal: null })
    expect(performance.now() - began).toBeLessThan(10_000)
    expect((await poll).body.status).toBe('created')
    const answers = await Promise.all(changes)
    const next = await start({ DATABASE_URL: database.url })
    const after = await send<{ revision: number }>(next.base, 'GET', `/flows/${flow.id}`)
    // Each 200 is in the database; what was refused at the door is not.
    const accepted = answers.filter((status) => status === 200).length
    expect(accepted).toBeGreaterThan(0)
    expect(after.body.revision).toBe(accepted)
  })

  it('exits at once on a second signal', async () => {
    const service = await start({
      DATABASE_URL: database.url,
      TASKFLOW_SHUTDOWN_DELAY: 'PT20S',
    })
    service.child.kill('SIGTERM')
    await until(() => service.log().includes('stopping'), 5_000, 'the first signal was seen')
    const ready = await send<{ ready: boolean }>(service.base, 'GET', '/health/ready')
    expect(ready.status).toBe(503)
    expect((await send(service.base, 'GET', '/health/live')).status).toBe(200)
    const exit = await service.kill('SIGINT')
    expect(exit.code).toBe(1)
  })

  it('logs JSON without query strings, secrets or bodies', async () => {
    const service = await start({ DATABASE_URL: database.url })
    await send(service.base, 'GET', '/flows?owner_session_key=canary-query', undefined, {
      authorization: 'Bearer canary-token',
      cookie: 'canary-cookie',
    })
    await send(service.base, 'POST', '/flows', { ...input, goal: 'canary-body' })
    await send(service.base, 'POST', '/flows', { ...input, gaol: 'canary-refused' })
    await until(() => service.log().split('"path":"/flows"').length > 3, 5_000, 'it was logged')
    for (const line of service.log().trim().split('\n'))
      expect(() => JSON.parse(line)).not.toThrow()
    expect(service.log()).not.toContain('canary')
  })
})

describe('migrations', () => {
  it('run once however many processes start at once', async () => {
    const empty = await createEmptyDatabase()
    const services = await Promise.all(
      Array.from({ length: 3 }, () => start({ DATABASE_URL: empty.url })),
    )
    for (const { base } of services) {
      expect((await send(base, 'POST', '/flows', input)).status).toBe(201)
    }
  })

  it('are not run with MIGRATE_ON_START=false, and npm run migrate runs them alone', async () => {
    const empty = await createEmptyDatabase()
    const refused = spawnService({ PORT: '0', DATABASE_URL: empty.url, MIGRATE_ON_START: 'false' })
    expect((await refused.exited).code).toBe(1)
    expect(refused.log()).toContain('Run npm run migrate')
    const alone = spawnService({ PORT: '0', DATABASE_URL: empty.url }, ['migrate'])
    expect((await alone.exited).code).toBe(0)
    expect(alone.log()).toContain('Applied 0001_flows')
    const service = await start({ DATABASE_URL: empty.url, MIGRATE_ON_START: 'false' })
    expect((await send(service.base, 'GET', '/flows')).status).toBe(200)
  })
})

describe('on the embedded PostgreSQL', () => {
  let dataDir: string
  beforeAll(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'taskflow-e2e-'))
    // The server may run as another user, who must get in.
    chmodSync(dataDir, 0o755)
  })
  afterAll(() => rmSync(dataDir, { recursive: true, force: true }))

  it('keeps flows and fires what came due while it was dead', async () => {
    const first = await start({ TASKFLOW_DATA_DIR: dataDir })
    const { body: flow } = await send<{ id: string }>(first.base, 'POST', '/flows', {
      ...input,
      start: true,
    })
    await send(first.base, 'POST', `/flows/${flow.id}/wait`, { kind: 'timer', after: 'PT0.5S' })
    await first.kill('SIGKILL')
    const second = await start({ TASKFLOW_DATA_DIR: dataDir })
    await until(
      async () => {
        const { body } = await send<{ status: string }>(second.base, 'GET', `/flows/${flow.id}`)
        return body.status === 'running'
      },
      10_000,
      'the timer has fired',
    )
    const rival = spawnService({ PORT: '0', TASKFLOW_DATA_DIR: dataDir })
    expect((await rival.exited).code).toBe(1)
    expect(rival.log()).toContain('already served')
    expect(await second.kill('SIGTERM')).toEqual({ code: 0, signal: null })
  })
})

describe('a socket that stays silent', () => {
  it('is answered 408 and closed', async () => {
    const database = await createTestDatabase()
    const service = await start({
      DATABASE_URL: database.url,
      TASKFLOW_HEADERS_TIMEOUT: 'PT0.5S',
      TASKFLOW_REQUEST_TIMEOUT: 'PT1S',
    })
    const socket = connect(service.port, '127.0.0.1')
    socket.write(
      'POST /flows HTTP/1.1\r\nHost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{',
    )
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    expect(text).toMatch(/^HTTP\/1.1 408 /)
    expect(text).toContain('application/problem+json')
    expect(text).toContain('"code":"request_timeout"')
  })
})
