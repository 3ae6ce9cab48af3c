// Brings up the one Postgres of a test run, with a migrated template in it, and takes everything away at the end.

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { access, chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { startEmbedded } from '../../src/store/embedded.ts'
import { migrate } from '../../src/store/migrate.ts'
import { withDatabase } from './postgres.ts'

const CHECKOUT = join(import.meta.dirname, '../..')
/** Nothing in these databases outlives the run, so nothing waits for the disk. */
const VOLATILE = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

interface TestServer {
  /** A connection that may create databases. */
  url: string
  label: string
  stop(): Promise<void>
}

/** `TEST_DATABASE_URL`, else Docker when an engine answers, else the embedded Postgres. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Tests of the whole process start what is built. Once, here: files run side by side.
  execFileSync(process.execPath, [join(CHECKOUT, 'scripts/build.mjs'), '--if-stale'], {
    stdio: 'inherit',
  })
  const server = (await givenServer()) ?? (await dockerServer()) ?? (await embeddedServer())
  const prefix = `taskflow_test_${Date.now().toString(36)}_${randomBytes(3).toString('hex')}`
  const template = `${prefix}_template`
  try {
    await withClient(server.url, (client) => client.query(`create database ${template}`))
    await migrate({
      connectionString: withDatabase(server.url, template),
      migrationsDir: join(CHECKOUT, 'migrations'),
    })
    // A session in it would stand in the way of every clone.
    await withClient(server.url, (client) =>
      client.query(`alter database ${template} with allow_connections false`),
    )
  } catch (error) {
    await clear(server, prefix)
    throw error
  }
  project.provide('postgres', { url: server.url, label: server.label, template, prefix })
  process.stdout.write(`Postgres for the tests: ${server.label}\n`)
  return () => clear(server, prefix)
}

async function clear(server: TestServer, prefix: string): Promise<void> {
  try {
    await withClient(server.url, async (client) => {
      const { rows } = await client.query<{ name: string }>(
        'select quote_ident(datname) as name from pg_database where starts_with(datname, $1)',
        [prefix],
      )
      for (const { name } of rows)
        await client.query(`drop database if exists ${name} with (force)`)
    })
  } finally {
    await server.stop()
  }
}

async function givenServer(): Promise<TestServer | undefined> {
  const url = process.env['TEST_DATABASE_URL']
  if (!url) return undefined
  return { url, label: 'TEST_DATABASE_URL', stop: async () => {} }
}

/**
 * Loading testcontainers takes longer than most test files, so first see whether anything listens
 * where it would look. An engine without the image (no network) is as good as none, but is told.
 */
async function dockerServer(): Promise<TestServer | undefined> {
  if (!(await mayHaveEngine())) return undefined
  const image = process.env['TC_POSTGRES_IMAGE'] || 'postgres:17'
  try {
    const { PostgreSqlContainer } = await import('@testcontainers/postgresql')
    const settings = Object.entries(VOLATILE).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const container = await new PostgreSqlContainer(image)
      .withCommand(['postgres', '-c', 'max_connections=200', ...settings])
      .start()
    return {
      url: container.getConnectionUri(),
      label: `${image} in Docker`,
      stop: async () => {
        await container.stop()
      },
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    if (!reason.includes('Could not find a working container runtime strategy')) {
      process.stdout.write(`Docker answers but ${image} does not start: ${reason}\n`)
    }
    return undefined
  }
}

async function mayHaveEngine(): Promise<boolean> {
  const host = process.env['DOCKER_HOST']
  if (host && !host.startsWith('unix://')) return true
  const properties = await readFile(join(homedir(), '.testcontainers.properties'), 'utf8').catch(
    () => '',
  )
  if (/^\s*(tc|docker)\.host/m.test(properties)) return true
  const runtime = process.env['XDG_RUNTIME_DIR'] ?? `/run/user/${process.getuid?.()}`
  const sockets = [
    host?.slice('unix://'.length),
    process.platform === 'win32' ? '//./pipe/docker_engine' : '/var/run/docker.sock',
    join(runtime, 'docker.sock'),
    join(homedir(), '.docker/run/docker.sock'),
    join(homedir(), '.docker/desktop/docker.sock'),
  ]
  return (await Promise.all(sockets.map(answers))).includes(true)
}

async function answers(socket: string | undefined): Promise<boolean> {
  if (!socket || (await access(socket).catch(() => 'absent')) === 'absent') return false
  return new Promise((resolve) => {
    const connection = connect(socket)
    const settle = (result: boolean) => {
      connection.destroy()
      resolve(result)
    }
    connection.setTimeout(500, () => settle(false))
    connection.once('connect', () => settle(true)).once('error', () => settle(false))
  })
}

async function embeddedServer(): Promise<TestServer> {
  const root = process.getuid?.() === 0
  const dir = await mkdtemp(join(root ? '/tmp' : tmpdir(), 'taskflow-test-'))
  // As root the server runs as another user, who has to get in.
  if (root) await chmod(dir, 0o755)
  const server = await startEmbedded({
    dataDir: dir,
    checkoutDir: CHECKOUT,
    settings: { ...VOLATILE, max_connections: '200', autovacuum_naptime: '1h' },
  })
  return {
    url: server.url,
    label: `embedded ${server.version}`,
    stop: async () => {
      await server.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'taskflow/test-setup' })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
