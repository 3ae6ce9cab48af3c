// What is wrong with a database, by the facts about it.

import type { DatabaseFacts } from '../store/inspection.ts'
import { type Finding, fault, warning } from './finding.ts'

export interface Needs {
  /** Connections that one process of the service opens. */
  connections: number
  migrateOnStart: boolean
  /** The clock of this machine, at the time that `facts.clock.at` is of. */
  now: number
}

/** A clock that is off by more makes logs of the two disagree on what came first, in milliseconds. */
const largestSkew = 2_000

/** Everything that is wrong with it. */
export function databaseFindings(facts: DatabaseFacts, needs: Needs): Finding[] {
  return [
    ...placeFindings(facts),
    ...durabilityFindings(facts),
    ...sessionFindings(facts),
    ...capacityFindings(facts, needs),
    ...schemaFindings(facts, needs),
    ...vacuumFindings(facts),
    ...clockFindings(facts, needs),
  ]
}

function placeFindings({
  database,
  encoding,
  in_recovery,
  collation_changed,
}: DatabaseFacts): Finding[] {
  const found: Finding[] = []
  if (in_recovery) {
    found.push(
      fault(
        'standby',
        'the database is a standby: it takes no writes',
        'DATABASE_URL points to a replica, or to a primary that was demoted.',
        'point DATABASE_URL to the primary, or promote this one: select pg_promote()',
      ),
    )
  }
  if (encoding !== 'UTF8') {
    found.push(
      fault(
        'encoding',
        `the database ${database} has the encoding ${encoding}, not UTF8`,
        'Texts with letters that it lacks are refused or garbled.',
        `make another one and move there: create database taskflow encoding 'UTF8' template template0`,
      ),
    )
  }
  if (collation_changed) {
    found.push(
      warning(
        'collation_changed',
        'the operating system sorts texts differently than when the database was made',
        'Indexes on texts may miss rows, and unique keys may be there twice.',
        `reindex database ${database}; alter database ${database} refresh collation version`,
      ),
    )
  }
  return found
}

function durabilityFindings({ settings, schema_state: { unlogged } }: DatabaseFacts): Finding[] {
  const found: Finding[] = []
  const lost =
    'What was answered with 2xx can be lost, or the whole cluster, when the machine goes down.'
  if (settings['fsync'] === 'off') {
    found.push(fault('fsync_off', 'fsync is off', lost, setOn('fsync')))
  }
  if (settings['full_page_writes'] === 'off') {
    found.push(
      fault(
        'full_page_writes_off',
        'full_page_writes is off',
        'A crash in the middle of a write leaves half a page, which nothing can repair.',
        setOn('full_page_writes'),
      ),
    )
  }
  if (settings['synchronous_commit'] === 'off') {
    found.push(
      fault(
        'synchronous_commit_off',
        'synchronous_commit is off',
        'A commit is answered before it is on disk: the last ones before a crash are lost.',
        `alter role current_user set synchronous_commit = on, or alter system set it; then restart taskflow`,
      ),
    )
  }
  if (unlogged.length > 0) {
    found.push(
      fault(
        'unlogged_table',
        `unlogged: ${unlogged.join(', ')}`,
        'Such a table is emptied by a crash of the server, and has no copy on standbys.',
        unlogged.map((name) => `alter table ${name} set logged`).join('; '),
      ),
    )
  }
  return found
}

function setOn(setting: string): string {
  return `alter system set ${setting} = on; select pg_reload_conf()`
}

function sessionFindings({ settings, role }: DatabaseFacts): Finding[] {
  const found: Finding[] = []
  if (settings['default_transaction_read_only'] === 'on') {
    found.push(
      fault(
        'read_only_role',
        `transactions of the role ${role} are read-only (default_transaction_read_only)`,
        'Every change is refused.',
        `alter role ${role} reset default_transaction_read_only, or the same for the database`,
      ),
    )
  }
  for (const name of ['statement_timeout', 'idle_session_timeout', 'transaction_timeout']) {
    const value = settings[name] ?? '0'
    if (value === '0') continue
    const why =
      name === 'idle_session_timeout'
        ? 'It ends the session that listens and those that rest in the pool, again and again.'
        : 'The service brings its own limits for requests; this one also ends migrations and what backs the database up.'
    found.push(
      warning(
        name,
        `${name} is ${value} for the role ${role}`,
        why,
        `alter role ${role} set ${name} = 0`,
      ),
    )
  }
  return found
}

function capacityFindings({ connections, role, database }: DatabaseFacts, needs: Needs): Finding[] {
  const { limit, limited_by, others } = connections
  const free = limit - others
  if (free >= needs.connections) return []
  const more = needs.connections + others
  const repair = {
    server: `alter system set max_connections = ${Math.max(100, more + 20)} and restart the server; or lower TASKFLOW_READ_CONNECTIONS and TASKFLOW_COMMIT_CONCURRENCY`,
    role: `alter role ${role} connection limit ${more}`,
    database: `alter database ${database} connection limit ${more}`,
  }[limited_by]
  return [
    fault(
      'connections',
      `one process needs ${needs.connections} connections, and the ${limited_by} leaves ${Math.max(0, free)}`,
      `It allows ${limit}, of which others hold ${others}. Requests fail under load, with 503.`,
      repair,
    ),
  ]
}

function schemaFindings(
  { schema, can_create, role, schema_state }: DatabaseFacts,
  needs: Needs,
): Finding[] {
  const { pending, unknown, denied, invalid_indexes } = schema_state
  if (schema === null) {
    return [
      fault(
        'no_schema',
        `no schema on the search_path of the role ${role} exists, or it may not use it`,
        'There is no place for the tables.',
        `create schema taskflow authorization ${role}; alter role ${role} set search_path = taskflow`,
      ),
    ]
  }
  const found: Finding[] = []
  const names = pending.length > 3 ? `${pending.length} migrations` : pending.join(', ')
  if (pending.length > 0 && !can_create) {
    found.push(
      fault(
        'cannot_migrate',
        `the role ${role} may not create tables in the schema ${schema}, which lacks ${names}`,
        'The schema cannot be brought up to date.',
        `grant create on schema ${schema} to ${role}, or give the owner as DATABASE_URL_DIRECT`,
      ),
    )
  } else if (pending.length > 0 && !needs.migrateOnStart) {
    found.push(
      fault(
        'schema_behind',
        `the database lacks ${names}, and MIGRATE_ON_START is false`,
        'The service does not start on a schema that is older than itself.',
        'taskflow migrate',
      ),
    )
  }
  if (unknown.length > 0) {
    found.push(
      warning(
        'schema_ahead',
        `the database has ${unknown.join(', ')}, which this release does not know`,
        'A newer release has migrated it. This one runs beside it only for an upgrade.',
        'install the newer release here as well',
      ),
    )
  }
  if (denied.length > 0) {
    found.push(
      fault(
        'denied',
        `the role ${role} may not read and add rows in ${denied.join(', ')}`,
        'Requests that need them fail.',
        `grant select, insert, update, delete on all tables in schema ${schema} to ${role}`,
      ),
    )
  }
  if (invalid_indexes.length > 0) {
    found.push(
      warning(
        'invalid_index',
        `invalid: ${invalid_indexes.join(', ')}`,
        'An index that was not finished is kept up to date and used by nobody.',
        invalid_indexes.map((name) => `reindex index concurrently ${name}`).join('; '),
      ),
    )
  }
  return found
}

function vacuumFindings(facts: DatabaseFacts): Finding[] {
  const { settings, schema_state, old_transactions, idle_slots } = facts
  const found: Finding[] = []
  const swelling =
    'Dead rows stay: tables and the indexes of what is due grow, and the service becomes slow.'
  const off = ['autovacuum', 'track_counts'].filter((name) => settings[name] === 'off')
  if (off.length > 0) {
    found.push(
      warning('autovacuum_off', `${off.join(' and ')} is off`, swelling, off.map(setOn).join('; ')),
    )
  }
  const { without_autovacuum: tables } = schema_state
  if (tables.length > 0) {
    found.push(
      warning(
        'autovacuum_off_for_table',
        `autovacuum is off for ${tables.join(', ')}`,
        swelling,
        tables.map((name) => `alter table ${name} reset (autovacuum_enabled)`).join('; '),
      ),
    )
  }
  const [oldest] = old_transactions
  if (oldest !== undefined) {
    const { pid, name, state, seconds } = oldest
    found.push(
      warning(
        'old_transaction',
        `${name} has had a transaction open for ${Math.round(seconds)} s (${state}), with ${old_transactions.length} of the kind in all`,
        'Nothing that died since then can be cleaned away, and the feed of events waits for it.',
        pid === null ? `rollback prepared '${name}'` : `select pg_terminate_backend(${pid})`,
      ),
    )
  }
  if (idle_slots.length > 0) {
    found.push(
      warning(
        'idle_slot',
        `nobody reads the replication slots ${idle_slots.join(', ')}`,
        'The server keeps its log for them until the disk is full.',
        idle_slots.map((name) => `select pg_drop_replication_slot('${name}')`).join('; '),
      ),
    )
  }
  return found
}

function clockFindings({ clock }: DatabaseFacts, { now }: Needs): Finding[] {
  const skew = now - clock.at
  // The half of the question is what cannot be known.
  if (Math.abs(skew) <= largestSkew + clock.took / 2) return []
  const seconds = (Math.abs(skew) / 1000).toFixed(1)
  return [
    warning(
      'clock_skew',
      `the clock of this machine is ${seconds} s ${skew > 0 ? 'ahead of' : 'behind'} that of the database`,
      'Timers go by the database; times in logs and those that clients make up go by this one.',
      'synchronise both: timedatectl set-ntp true',
    ),
  ]
}
