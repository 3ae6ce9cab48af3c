// The connections: pools, types and time limits. All access to the database goes through here.

import type { Writable } from 'node:stream'
import pg from 'pg'
import { toFlowError } from './errors.ts'
import { prepared, type Sql, sql } from './sql.ts'
import { types } from './values.ts'
import { createWall, tells, type Wall, type Within, withinStatement } from './wall.ts'

export interface DatabaseOptions {
  connectionString: string
  /** Connections that change flows. */
  writers: number
  readers: number
  /** Shown in pg_stat_activity. */
  applicationName: string
  /** Idle connections fail now and then; each such failure is told here and otherwise harmless. */
  onError: (error: Error) => void
}

/** A pool that runs no statement by itself: whoever wants one must say for whom. */
export type Connections = Omit<pg.Pool, 'query'>

/**
 * A set of shards and the way to them. On plain Postgres there is one scope, for all shards, and its
 * predicate is left out of every statement.
 */
export interface Scope {
  shards: 'all'
  writer: Connections
  reader: Connections
  /** Whether the database must be told for whom each statement is. */
  wall: Wall
  /** From now on each connection makes its plans anew before it is used again. */
  replan(): void
}

export interface Database {
  scope: Scope
  /** Resolves when connections with all their settings work; throws what stands in their way. */
  probe(): Promise<void>
  close(): Promise<void>
}

/** Anything that runs statements. */
export interface Runner {
  query<Row extends pg.QueryResultRow>(config: {
    name: string
    text: string
    values: unknown[]
  }): Promise<pg.QueryResult<Row>>
}

/** Runs a statement and answers its rows. */
export async function rows<Row extends pg.QueryResultRow>(
  runner: Runner,
  query: Sql,
): Promise<Row[]> {
  return (await runner.query<Row>(prepared(query))).rows
}

/**
 * Runs a read for callers of some namespaces and answers its rows. Throws a `FlowError` that they may see.
 */
export async function read<Row extends pg.QueryResultRow>(
  scope: Scope,
  within: Within,
  query: Sql,
): Promise<Row[]> {
  try {
    return await rows<Row>(readerOf(scope, within), query)
  } catch (error) {
    throw toFlowError(error)
  }
}

/** Runs single statements that only read, for some namespaces. */
export function readerOf(scope: Scope, within: Within): Runner {
  return { query: (config) => single(scope, scope.reader, within, config) }
}

/** Runs single statements, each a transaction of its own, for some namespaces. */
export function writerOf(scope: Scope, within: Within): Runner {
  return { query: (config) => single(scope, scope.writer, within, config) }
}

type Statement = Parameters<Runner['query']>[0]

/** Where no wall stands, the statement goes as it is, and nothing else is sent. */
async function single<Row extends pg.QueryResultRow>(
  { wall }: Scope,
  pool: Connections,
  within: Within,
  statement: Statement,
): Promise<pg.QueryResult<Row>> {
  if (!tells(within) || !(wall.stands ?? (await wall.ask()))) {
    return (pool as pg.Pool).query<Row>(statement)
  }
  const client = await pool.connect()
  let failed = true
  try {
    // One write and one answer, as without: the setting does not outlive what it is for.
    const [, answer] = await inOneWrite(client, () =>
      together<[unknown, pg.QueryResult<Row>, unknown]>([
        sendBegin(client, within),
        client.query<Row>(statement),
        client.query(commit),
      ]),
    )
    failed = false
    return answer
  } finally {
    client.release(failed)
  }
}

/** Without waiting for the one before the other is sent. */
function sendBegin(client: Runner, within: Within): Promise<unknown> {
  return together([client.query(begin), client.query(withinStatement(within))])
}

/** The socket of a connection, of which the types of `pg` do not tell. */
interface Wired {
  connection?: { stream?: Pick<Writable, 'cork' | 'uncork'> }
}

/**
 * Sends the statements that a function sends without waiting in one write instead of one for each: a write
 * costs as much as a small statement, and wakes the server once.
 */
export function inOneWrite<Value>(client: Runner, send: () => Value): Value {
  const stream = (client as Wired).connection?.stream
  stream?.cork()
  try {
    return send()
  } finally {
    stream?.uncork()
  }
}

/**
 * Waits for all statements of a pipeline and throws the first error. The statements behind a failed
 * one only say that the transaction is aborted.
 */
export async function together<T extends readonly unknown[]>(
  sent: {
    [K in keyof T]: Promise<T[K]>
  },
): Promise<T> {
  for (const one of await Promise.allSettled(sent)) {
    if (one.status === 'rejected') throw one.reason
  }
  return Promise.all(sent) as Promise<T>
}

/** Each statement must see what committed before it: a look-up after a lock depends on it. */
const begin = { name: 'begin', text: 'begin isolation level read committed', values: [] }
export const commit = { name: 'commit', text: 'commit', values: [] }
export const rollback = { name: 'rollback', text: 'rollback', values: [] }

/** A connection for a transaction, which `beginWithin` begins. */
export async function connectWriter(scope: Scope): Promise<pg.PoolClient> {
  if (scope.wall.stands === null) await scope.wall.ask()
  return scope.writer.connect()
}

/** Begins a transaction for some namespaces. What is sent after it need not wait for it. */
export function beginWithin(scope: Scope, client: Runner, within: Within): Promise<unknown> {
  return scope.wall.stands === true
    ? inOneWrite(client, () => sendBegin(client, within))
    : client.query(begin)
}

/**
 * Runs statements in one transaction of their own, for some namespaces. What they throw is thrown, with
 * all rolled back.
 */
export async function inTransaction<Value>(
  scope: Scope,
  within: Within,
  work: (runner: Runner) => Promise<Value>,
): Promise<Value> {
  const client = await connectWriter(scope)
  try {
    await beginWithin(scope, client, within)
    const value = await work(client)
    await client.query(commit)
    client.release()
    return value
  } catch (error) {
    // A connection that cannot even roll back is of no more use.
    await client.query(rollback).then(
      () => client.release(),
      () => client.release(true),
    )
    throw error
  }
}

/**
 * Time limits, in milliseconds. The order must hold: lock < statement < query, so that the server
 * gives up first and says why. A session that stops in the middle of a transaction loses its locks.
 */
const limits = {
  lock_timeout: 1_000,
  statement_timeout: 5_000,
  query_timeout: 5_500,
  idle_in_transaction_session_timeout: 5_000,
  connectionTimeoutMillis: 2_000,
}

/** Timestamps are read in this form, whatever the database or its user are set to. */
const sessions = '-c datestyle=ISO'

/**
 * With statistics of an empty table the planner would read all of it for one flow, join a batch to
 * it by doing so, and keep that plan while the table grows; and it would lock rows in another order
 * than by id. A bitmap of a table with few pages seems to cost nothing, by whatever index: so a batch
 * has none, and takes the index that has it all in order.
 */
const lookUpPlans = '-c enable_seqscan=off -c jit=off'
const batchPlans = `${lookUpPlans} -c enable_hashjoin=off -c enable_mergejoin=off -c enable_bitmapscan=off -c plan_cache_mode=force_generic_plan`

/** Opens the pools. Connections are made when they are first needed. */
export function openDatabase(options: DatabaseOptions): Database {
  let generation = 0
  const generations = new WeakMap<pg.PoolClient, number>()
  /** Sent ahead of what the connection was taken for, and waited for by nobody. */
  const refresh = (client: pg.PoolClient): void => {
    const made = generations.get(client)
    generations.set(client, generation)
    if (made !== undefined && made !== generation) client.query('discard plans').catch(() => {})
  }
  const pool = (role: string, max: number, more: pg.PoolConfig): pg.Pool => {
    const made = new pg.Pool({
      connectionString: options.connectionString,
      application_name: `${options.applicationName}/${role}`,
      max,
      pipeline: true,
      types,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      idleTimeoutMillis: 30_000,
      maxLifetimeSeconds: 1_800 + Math.floor(Math.random() * 180),
      ...limits,
      ...more,
    })
    made.on('error', (error) => {
      // The pool hangs the connection on it, with every statement that was ever prepared: nothing for a log.
      Reflect.deleteProperty(error, 'client')
      options.onError(error)
    })
    made.on('acquire', refresh)
    // A checked-out client that fails between two queries has no other listener.
    made.on('connect', (client) => client.on('error', options.onError))
    return made
  }
  const writer = pool('writer', options.writers, { options: `${sessions} ${batchPlans}` })
  const reader = pool('reader', options.readers, { options: `${sessions} ${lookUpPlans}` })
  const scope: Scope = {
    shards: 'all',
    writer,
    reader,
    wall: createWall(async () => {
      const [row] = await rows<{ stands: boolean | null }>(
        reader,
        sql`select row_security_active(to_regclass('flows')) as stands`,
      )
      return row?.stands ?? null
    }),
    replan() {
      generation++
    },
  }
  return {
    scope,
    probe: async () => {
      for (const one of [writer, reader]) await rows(one, sql`select 1 as one`)
      await scope.wall.ask()
    },
    close: async () => {
      await Promise.all([writer.end(), reader.end()])
    },
  }
}
