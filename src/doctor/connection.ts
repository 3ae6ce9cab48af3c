// Looks at the database: whether it can be reached, what is wrong with it, and whether the way to it will do.

import { requiredConnections } from '../compose.ts'
import type { Config } from '../config-schema.ts'
import { type DatabaseFacts, inspectDatabase, oldestVersion } from '../store/inspection.ts'
import { type Passage, tryPassage } from '../store/passage.ts'
import { databaseFindings } from './database.ts'
import { type Check, type Finding, fault, warning } from './finding.ts'

export interface DatabaseView {
  url: string
  directUrl: string
  /** What the URL is called for who set it. */
  names: { url: string; directUrl: string }
}

export interface Look {
  config: Config
  migrationsDir: string
  now(): number
  /** How long a transaction may be open, in seconds. */
  oldTransaction: number
}

/** The database and the ways to it. */
export async function checkDatabase(view: DatabaseView, look: Look): Promise<Check[]> {
  const main = await inspect(view.directUrl, view.names.directUrl, look)
  if ('finding' in main) return [{ name: 'database', seen: null, findings: [main.finding] }]
  const { facts, now } = main
  const { config } = look
  const findings = databaseFindings(facts, {
    connections: requiredConnections(config),
    migrateOnStart: config.MIGRATE_ON_START,
    now,
  })
  const held = facts.walled ? 'held' : 'not held'
  const seen = `PostgreSQL ${facts.version}, database ${facts.database} as ${facts.role}, ${held} to row level security`
  return [{ name: 'database', seen, findings }, await checkPassage(view, look, facts)]
}

/** Whether LISTEN works where it is used, and prepared statements where they are. */
async function checkPassage(view: DatabaseView, look: Look, direct: DatabaseFacts): Promise<Check> {
  const { names } = view
  const findings: Finding[] = []
  const tell = (error: unknown, name: string) => findings.push(connectionFault(error, name))
  const own = await tryPassage(view.directUrl).catch((error) => tell(error, names.directUrl))
  if (typeof own === 'object' && !own.notifies) {
    findings.push(
      fault(
        'listen_deaf',
        `LISTEN over ${names.directUrl} is taken and nothing ever arrives`,
        'A pooler in transaction mode is in between. Processes hear of each other only by polling.',
        'set DATABASE_URL_DIRECT to a URL that leads to PostgreSQL itself, past the pooler',
      ),
    )
  }
  const apart = view.url !== view.directUrl
  const shared = apart ? await tryPassage(view.url).catch((error) => tell(error, names.url)) : own
  if (typeof shared === 'object') findings.push(...poolerFindings(shared, names.url))
  if (apart && typeof shared === 'object' && shared.settings_refused === null) {
    const other = await inspect(view.url, names.url, look)
    if ('finding' in other) findings.push(other.finding)
    else if (other.facts.identity !== direct.identity) {
      findings.push(
        fault(
          'two_databases',
          'DATABASE_URL and DATABASE_URL_DIRECT lead to different databases',
          'Migrations and notifications go to the one, flows to the other.',
          'let both name the same server and database',
        ),
      )
    }
  }
  return {
    name: 'connection',
    seen: findings.length === 0 ? 'LISTEN and prepared statements work' : null,
    findings,
  }
}

function poolerFindings(passage: Passage, name: string): Finding[] {
  const found: Finding[] = []
  if (passage.settings_refused !== null) {
    found.push(
      fault(
        'settings_refused',
        `what ${name} leads to refuses the settings of our sessions: ${passage.settings_refused}`,
        'The pooler in between knows only some settings; without ours the planner reads whole tables.',
        `let ${name} lead to PostgreSQL itself, or to a pooler in session mode that passes options on`,
      ),
    )
  }
  if (passage.settings_dropped) {
    found.push(
      warning(
        'settings_dropped',
        `what ${name} leads to takes the settings of our sessions and drops them`,
        'The pooler in between ignores them (ignore_startup_parameters): no statement has a time limit, and the planner may read whole tables.',
        `let ${name} lead to PostgreSQL itself, or set them for the role: docs/running.md, Poolers`,
      ),
    )
  }
  if (!passage.prepares) {
    found.push(
      fault(
        'prepared_statements',
        `named prepared statements do not work over ${name}`,
        'A pooler in transaction mode hands sessions around, each with the statements of others.',
        'pgbouncer 1.21 or newer with max_prepared_statements = 500, or pool_mode = session, or no pooler',
      ),
    )
  }
  return found
}

async function inspect(
  url: string,
  name: string,
  look: Look,
): Promise<{ facts: DatabaseFacts; now: number } | { finding: Finding }> {
  try {
    const { migrationsDir, oldTransaction } = look
    const began = performance.now()
    const startedAt = look.now()
    const facts = await inspectDatabase({ connectionString: url, migrationsDir, oldTransaction })
    if ('too_old' in facts) {
      return {
        finding: fault(
          'database_too_old',
          `the server is PostgreSQL ${facts.too_old}`,
          `Taskflow needs ${oldestVersion} or newer.`,
          'upgrade the server, or unset DATABASE_URL to use the embedded one',
        ),
      }
    }
    return { facts, now: startedAt + (facts.clock.measured - began) }
  } catch (error) {
    return { finding: connectionFault(error, name) }
  }
}

/** Why there is no connection. The URL may hold a password: it is not repeated. */
function connectionFault(error: unknown, name: string): Finding {
  const { message } = error instanceof Error ? error : new Error(String(error))
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  switch (code) {
    case 'ECONNREFUSED':
      return fault(
        'database_unreachable',
        `nothing listens where ${name} points to`,
        `${message || code}.`,
        'start PostgreSQL, or correct host and port of the URL',
      )
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return fault(
        'database_host_unknown',
        `the host in ${name} has no address`,
        `${message}.`,
        'correct the host name in the URL, or the DNS of this machine',
      )
    case '28P01':
    case '28000':
      return fault(
        'database_login_refused',
        `the server refuses the user or the password in ${name}`,
        `${message}.`,
        'correct them in the URL; special characters in a password are %-encoded; see pg_hba.conf',
      )
    case '3D000':
      return fault(
        'database_missing',
        `the database in ${name} does not exist`,
        `${message}.`,
        "create database taskflow encoding 'UTF8' template template0",
      )
    case '53300':
      return fault(
        'connections',
        'the server has no connection left',
        `${message}.`,
        'raise max_connections or the limit of the role, or end what holds them: select * from pg_stat_activity',
      )
    default:
      return fault(
        'database_unusable',
        `the database of ${name} cannot be used${code === '' ? '' : ` (${code})`}`,
        `${message}.`,
        'mend what it says; docs/running.md tells what the service needs of a database',
      )
  }
}
