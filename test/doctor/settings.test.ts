// The doctor on settings and machines: each fault is made for real, and named with its repair.

import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { loadConfig } from '../../src/config.ts'
import { checkPort } from '../../src/doctor/machine.ts'
import { type Api, startApi } from '../support/api.ts'
import { examine, expectOnly, findingsOf, openFolder } from '../support/doctor.ts'
import { startNats } from '../support/nats.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { freePort } from '../support/service.ts'

let database: TestDatabase
let healthy: Record<string, string>
beforeAll(async () => {
  database = await createTestDatabase()
  // The server of the tests does without the disk; the doctor's own tests have one that does not.
  healthy = { DATABASE_URL: database.url, NATS_URL: '' }
})
afterAll(() => database.drop())

/** Expects this fault of the settings, whatever else is to be said about the server of the tests. */
async function expectFault(code: string, repair: string | RegExp, env: Record<string, string>) {
  const { checks } = await examine({ ...healthy, ...env })
  const found = checks.filter(({ name }) => name === 'settings').flatMap(({ findings }) => findings)
  expect(found.map((finding) => finding.code)).toEqual([code])
  expect(found[0]?.repair).toMatch(repair)
  return found[0]
}

const strong = 'q8Zr2Lw0vXn5Tj7KcBd3Hs6Yf1Mg4PaEuRi9OoWt'
const open = { HOST: '0.0.0.0', TASKFLOW_ADMIN_KEY: strong }

describe('settings', () => {
  it('that are well have no finding', async () => {
    const { checks } = await examine(healthy)
    expect(checks.find(({ name }) => name === 'settings')?.findings).toEqual([])
  })

  it('that the service refuses are told one by one', async () => {
    const { checks } = await examine({ ...healthy, PORT: 'abc', TASKFLOW_TICK_INTERVALL: 'PT1S' })
    const findings = checks.flatMap((check) => check.findings)
    expect(findings.map(({ code }) => code)).toEqual(['configuration', 'configuration'])
    expect(findings.map(({ what }) => what).join('\n')).toContain(
      'Did you mean TASKFLOW_TICK_INTERVAL',
    )
    expect(findings.map(({ repair }) => repair).join('\n')).toContain('correct PORT')
  })

  it('that would let others in are refused', async () => {
    const finding = await expectFault('configuration', 'correct HOST', { HOST: '0.0.0.0' })
    expect(finding?.what).toContain('HOST=0.0.0.0')
  })

  it('that let others in and call private addresses', async () => {
    const env = { ...open, TASKFLOW_OUTBOUND_ALLOW_PRIVATE: 'true' }
    const codes = await codesOf({ ...env, TASKFLOW_ALLOW_UNSIGNED_SOURCES: 'true' })
    expect(codes).toEqual(
      expect.arrayContaining(['outbound_private', 'unsigned_sources', 'public_url_missing']),
    )
    expect(await codesOf(open)).not.toContain('outbound_private')
  })

  it.each([
    'changeme-changeme-changeme',
    'a'.repeat(40),
    'the-secret-password-of-the-production-service',
  ])('with the admin key %s', async (key) => {
    expect(await codesOf({ TASKFLOW_ADMIN_KEY: key })).toContain('admin_key_weak')
    expect(await codesOf({ TASKFLOW_ADMIN_KEY: strong })).not.toContain('admin_key_weak')
  })

  it('with a public URL that leads nowhere', async () => {
    await expectFault('public_url_unknown', 'DNS', {
      TASKFLOW_PUBLIC_URL: 'https://flows.taskflow.invalid',
    })
    await expectFault('public_url_plain', 'TLS', { TASKFLOW_PUBLIC_URL: 'http://192.0.2.1' })
    expect(await codesOf({ ...open, TASKFLOW_PUBLIC_URL: 'http://localhost:3000' })).toContain(
      'public_url_local',
    )
    await expectFault('configuration', 'TASKFLOW_PUBLIC_URL', {
      TASKFLOW_PUBLIC_URL: 'flows.example.com',
    })
  })

  it('that do not fit each other', async () => {
    await expectFault('ttl_above_max', 'raise', { TASKFLOW_SIGNAL_TTL: 'P60D' })
    await expectFault('shutdown_too_short', 'raise', { TASKFLOW_SHUTDOWN_DELAY: 'PT30S' })
    await expectFault('tick_slow', 'PT1S', { TASKFLOW_TICK_INTERVAL: 'PT10M' })
  })

  it('in a file with secrets that everybody can read', async () => {
    const envFile = join(await openFolder(), '.env')
    await writeFile(envFile, 'PORT=3000\nDATABASE_URL=postgres://u:p@h/d\n')
    await chmod(envFile, 0o644)
    const codes = async () =>
      findingsOf(await examine(healthy, { envFile })).map(({ code }) => code)
    expect(await codes()).toContain('env_file_open')
    await chmod(envFile, 0o600)
    expect(await codes()).not.toContain('env_file_open')
    await writeFile(envFile, 'PORT=3000\n')
    await chmod(envFile, 0o644)
    expect(await codes()).not.toContain('env_file_open')
  })

  async function codesOf(env: Record<string, string>): Promise<string[]> {
    return findingsOf(await examine({ ...healthy, ...env })).map(({ code }) => code)
  }
})

describe('the machine', () => {
  it('has a Node.js that is new enough', async () => {
    const codes = async (nodeVersion: string) =>
      findingsOf(await examine(healthy, { nodeVersion })).map(({ code }) => code)
    expect(await codes('20.18.3')).toContain('node_too_old')
    expect(await codes('18.20.0')).toContain('node_too_old')
    expect(await codes('20.19.0')).not.toContain('node_too_old')
    expect(await codes('24.1.0')).not.toContain('node_too_old')
  })

  it('has a port that something else has taken', async () => {
    const stranger = createServer((_request, response) => response.end('hello'))
    const port = await listen(stranger)
    const { findings } = await checkPort(loadConfig({ PORT: String(port) }))
    expect(findings).toEqual([
      expect.objectContaining({ code: 'port_taken', repair: expect.stringContaining(`${port}`) }),
    ])
  })

  it('has a port on which Taskflow is already there', async () => {
    const api: Api = await startApi({ loops: false })
    onTestFinished(() => api.close())
    const { port } = new URL(await api.app.listen({ port: 0, host: '127.0.0.1' }))
    const check = await checkPort(loadConfig({ PORT: port }))
    expect(check).toMatchObject({ findings: [], seen: expect.stringContaining('Taskflow answers') })
  })

  it('does not have the address', async () => {
    const config = loadConfig({
      PORT: String(await freePort()),
      HOST: '192.0.2.77',
      TASKFLOW_ADMIN_KEY: strong,
    })
    const { findings } = await checkPort(config)
    expect(findings.map(({ code }) => code)).toEqual(['host_unknown'])
  })
})

describe('the embedded PostgreSQL', () => {
  it('is well before its first start, and is not started', async () => {
    const dataDir = join(await openFolder(), 'data')
    const { healthy: well, checks } = await examine({ TASKFLOW_DATA_DIR: dataDir })
    expect(checks.flatMap(({ findings }) => findings)).toEqual([])
    expect(well).toBe(true)
    expect(checks.find(({ name }) => name === 'database')?.seen).toContain('not running')
  })

  it('has no place for its data', async () => {
    const folder = await openFolder()
    await writeFile(join(folder, 'file'), '')
    const finding = await expectOnly('embedded_unusable', /TASKFLOW_DATA_DIR/, {
      TASKFLOW_DATA_DIR: join(folder, 'file', 'data'),
    })
    expect(finding.what).toContain(folder)
  })

  it('has data of another major version', async () => {
    const folder = await openFolder()
    await mkdir(join(folder, 'postgres'))
    await writeFile(join(folder, 'postgres', 'PG_VERSION'), '14\n')
    const finding = await expectOnly('embedded_unusable', /Dump it/, { TASKFLOW_DATA_DIR: folder })
    expect(finding.what).toContain('PostgreSQL 14')
  })

  it('has no room', async () => {
    const dataDir = await openFolder()
    await expectOnly(
      'disk_low',
      'make room',
      { TASKFLOW_DATA_DIR: dataDir },
      { leastFree: 2 ** 60 },
    )
  })
})

describe('NATS', () => {
  const env = async () => ({ TASKFLOW_DATA_DIR: join(await openFolder(), 'data') })

  it('is well with JetStream', async () => {
    const nats = await startNats()
    onTestFinished(() => nats.remove())
    const { healthy: well, checks } = await examine({ ...(await env()), NATS_URL: nats.url })
    expect(checks.flatMap(({ findings }) => findings)).toEqual([])
    expect(well).toBe(true)
    const missing = { NATS_URL: nats.url, TASKFLOW_NATS_CREATE_STREAM: 'false' }
    await expectOnly('nats_stream_missing', 'nats stream add', { ...(await env()), ...missing })
  })

  it('does not answer', async () => {
    const url = `nats://u:geheim@127.0.0.1:${await freePort()}`
    const finding = await expectOnly('nats_unreachable', 'start nats-server', {
      ...(await env()),
      NATS_URL: url,
    })
    expect(JSON.stringify(finding)).not.toContain('geheim')
  })

  it('has no JetStream', async () => {
    const nats = await startNats(['--js=false'])
    onTestFinished(() => nats.remove())
    const found = { ...(await env()), NATS_URL: nats.url }
    await expectOnly('nats_without_jetstream', '-js', found)
    const unused = await examine({ ...found, TASKFLOW_NATS_STREAM: 'off' })
    expect(findingsOf(unused)).toEqual([])
  })

  it('refuses the login', async () => {
    const nats = await startNats(['--user', 'me', '--pass', 'right'])
    onTestFinished(() => nats.remove())
    const url = nats.url.replace('nats://', 'nats://me:wrong@')
    const finding = await expectOnly('nats_login_refused', 'NATS_URL', {
      ...(await env()),
      NATS_URL: url,
    })
    expect(JSON.stringify(finding)).not.toContain('wrong')
  })

  it('has no credentials file', async () => {
    await expectOnly('nats_credentials_unreadable', 'name a file', {
      ...(await env()),
      NATS_URL: `nats://127.0.0.1:${await freePort()}`,
      TASKFLOW_NATS_CREDENTIALS_FILE: '/nowhere.creds',
    })
  })
})

function listen(server: Server): Promise<number> {
  onTestFinished(() => {
    server.close()
  })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
}
