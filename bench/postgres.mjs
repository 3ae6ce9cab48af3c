// The database server of a run: the one of BENCH_DATABASE_URL, or an embedded one that goes when the run ends.

import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { startEmbedded } from '../dist/store/embedded.js'
import { migrate } from '../dist/store/migrate.js'
import { cpuOfChildren } from './cpu.mjs'

const root = join(import.meta.dirname, '..')
const shown = [
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'shared_buffers',
  'max_wal_size',
  'commit_delay',
  'autovacuum',
]

/**
 * @typedef {object} Server
 * @property {string} version
 * @property {string} origin
 * @property {Record<string, string>} settings
 * @property {(name: string) => Promise<string>} createDatabase A migrated, empty database; answers its URL.
 * @property {(url: string) => Promise<void>} dropDatabase
 * @property {() => number | null} cpu CPU seconds of all server processes so far; null when they cannot be seen.
 * @property {() => Promise<void>} close
 */

/** A connection for set-up and checks, outside of what is measured. @param {string} url */
export async function connect(url) {
  const client = new pg.Client({ connectionString: url, application_name: 'bench' })
  await client.connect()
  return client
}

/** A directory that a server's own user can reach. @param {string} prefix */
export async function openDirectory(prefix) {
  const directory = await mkdtemp(join(tmpdir(), prefix))
  await chmod(directory, 0o755)
  return directory
}

/**
 * Starts or finds the server. `close` drops every database that was made, and the server if it is ours.
 *
 * @returns {Promise<Server>}
 */
export async function openServer() {
  const given = process.env['BENCH_DATABASE_URL']
  const place = given === undefined || given === '' ? await startOwn() : null
  const url = place?.url ?? /** @type {string} */ (given)
  const admin = await connect(url)
  const run = randomBytes(3).toString('hex')
  const template = `bench_${run}_template`
  /** @type {Set<string>} */
  const databases = new Set()

  const settings = await admin.query(
    'select name, current_setting(name) as value from unnest($1::text[]) as name',
    [shown],
  )
  const version = await admin.query('show server_version')
  const backend = await admin.query('select pg_backend_pid() as pid')
  const postmaster = await postmasterOf(backend.rows[0].pid)

  const urlOf = (/** @type {string} */ name) => {
    const target = new URL(url)
    target.pathname = `/${name}`
    return target.href
  }
  const drop = async (/** @type {string} */ name) => {
    await admin.query(`drop database if exists ${name} with (force)`)
    databases.delete(name)
  }

  databases.add(template)
  await admin.query(`create database ${template}`)
  await migrate({
    connectionString: urlOf(template),
    migrationsDir: join(root, 'migrations'),
    log: () => {},
  })

  return {
    version: version.rows[0].server_version,
    origin: place === null ? 'BENCH_DATABASE_URL' : 'embedded',
    settings: Object.fromEntries(settings.rows.map(({ name, value }) => [name, value])),
    cpu: () => (postmaster === null ? null : cpuOfChildren(postmaster)),
    async createDatabase(name) {
      const full = `bench_${run}_${name}`
      databases.add(full)
      await admin.query(`create database ${full} template ${template}`)
      return urlOf(full)
    },
    dropDatabase: (target) => drop(new URL(target).pathname.slice(1)),
    async close() {
      try {
        if (place === null) for (const name of databases) await drop(name)
        await admin.end()
      } finally {
        await place?.remove()
      }
    },
  }
}

async function startOwn() {
  const directory = await openDirectory('taskflow-bench-')
  const embedded = await startEmbedded({ dataDir: directory, checkoutDir: root })
  return {
    url: embedded.url,
    async remove() {
      await embedded.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** The parent of a backend, when the server runs on this machine and can be seen. @param {number} pid */
async function postmasterOf(pid) {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    if (!stat.includes('(postgres')) return null
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return null
  }
}
