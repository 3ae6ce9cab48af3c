// Looks at everything that the service needs, changes nothing, and says what is wrong and what mends it.

import { join } from 'node:path'
import type { Config } from '../config-schema.ts'
import { EmbeddedError } from '../store/embedded-place.ts'
import { viewEmbedded } from '../store/embedded-view.ts'
import { checkBroker } from './broker.ts'
import { checkDatabase, type Look } from './connection.ts'
import { type Check, fault } from './finding.ts'
import { checkDisk, checkNode, checkPort } from './machine.ts'
import { checkSettings, type Environment } from './settings.ts'

export interface DoctorOptions {
  env: Environment
  envFile: string
  nodeVersion: string
  /** The clock of this machine, in milliseconds since 1970. */
  now(): number
  /** A transaction that has been open for longer holds up too much, in seconds. */
  oldTransaction: number
  /** How much has to be free where the data is, in bytes. */
  leastFree: number
}

export interface Diagnosis {
  healthy: boolean
  checks: Check[]
}

const root = join(import.meta.dirname, '../..')

/** Looks at everything. Never throws for what it finds. */
export async function diagnose(options: DoctorOptions): Promise<Diagnosis> {
  const { config, check } = await checkSettings(options.env, options.envFile)
  const checks = [checkNode(options.nodeVersion), check]
  if (config !== null) {
    const groups = await Promise.all([
      checkPort(config).then((one) => [one]),
      checkPlace(config, options),
      checkBroker(config),
    ])
    checks.push(...groups.flat())
  }
  return { healthy: checks.every(({ findings }) => findings.length === 0), checks }
}

async function checkPlace(config: Config, options: DoctorOptions): Promise<Check[]> {
  const look: Look = {
    config,
    migrationsDir: join(root, 'migrations'),
    now: options.now,
    oldTransaction: options.oldTransaction,
  }
  const url = config.DATABASE_URL
  if (url === undefined) return checkEmbedded(config, options, look)
  const direct = config.DATABASE_URL_DIRECT
  const names = {
    url: 'DATABASE_URL',
    directUrl: direct === undefined ? 'DATABASE_URL' : 'DATABASE_URL_DIRECT',
  }
  return checkDatabase({ url, directUrl: direct ?? url, names }, look)
}

async function checkEmbedded(config: Config, options: DoctorOptions, look: Look): Promise<Check[]> {
  try {
    const place = { dataDir: config.TASKFLOW_DATA_DIR, checkoutDir: root }
    const { dataDir, version, url } = await viewEmbedded(place)
    const disk = await checkDisk(dataDir, options.leastFree)
    if (url !== null) {
      const names = { url: 'the embedded PostgreSQL', directUrl: 'the embedded PostgreSQL' }
      return [disk, ...(await checkDatabase({ url, directUrl: url, names }, look))]
    }
    const seen = `embedded PostgreSQL ${version}, not running; its data is in ${dataDir}`
    return [disk, { name: 'database', seen, findings: [] }]
  } catch (error) {
    if (!(error instanceof EmbeddedError)) throw error
    const [what = '', ...rest] = error.message.split(/(?<=\.) (?=[A-Z])/)
    const finding = fault(
      'embedded_unusable',
      what.replace(/\.$/, ''),
      'Without a DATABASE_URL the service starts a PostgreSQL of its own, and cannot.',
      rest.join(' ') || 'set DATABASE_URL to a PostgreSQL of your own',
    )
    return [{ name: 'database', seen: null, findings: [finding] }]
  }
}
