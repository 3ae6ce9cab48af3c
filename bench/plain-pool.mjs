// What the service is compared with: the same transitions by a plain `pg` pool, without HTTP and without batches.

import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { makeId } from '../dist/domain/id.js'
import { shardToken } from '../dist/domain/shard.js'
import { goal, patch, state } from './lifecycle.mjs'

/** @typedef {import('./lifecycle.mjs').Contender} Contender */

const poolSize = 10
const eventColumns = '(flow_id, revision, shard, at, namespace, kind, actor, payload)'

const insertFlow = `
  insert into flows (id, revision, state_bytes, shard, created_at, updated_at, namespace, status,
    mode, current_step, controller_id, owner_session_key, requester_origin, goal, labels, state)
  values ($1, 1, $3, $2, now(), now(), 'default', 'running', 'managed', 'classify', 'bench/inbox',
    'agent:bench:session', 'bench', $4, '{}', $5)`
const birth = `
  values ($1::uuid, 0, $2::smallint, now(), 'default', 'created', 'bench', $6::jsonb),
    ($1, 1, $2, now(), 'default', 'started', 'bench', '{}')`

/** What each transition does to the row, which status it needs and which event it leaves. */
const transitions = {
  wait: { set: `status = 'waiting', wait = $2::jsonb`, from: 'running', kind: 'waiting' },
  resume: { set: `status = 'running', wait = null`, from: 'waiting', kind: 'resumed' },
  patch: {
    set: `state = state || $2::jsonb, state_bytes = state_bytes + octet_length($2::text)`,
    from: 'running',
    kind: 'state_updated',
  },
  finish: { set: `status = 'finished', closed_at = now()`, from: 'running', kind: 'finished' },
}
/** @typedef {keyof typeof transitions} Transition */

const sets = /** @type {Record<Transition, string>} */ (
  Object.fromEntries(
    Object.entries(transitions).map(([name, { set }]) => [
      name,
      `${set}, revision = revision + 1, updated_at = now()`,
    ]),
  )
)

/**
 * One transition is one statement, so one transaction: the fastest way without batches.
 *
 * @param {string} url
 * @returns {Contender}
 */
export function singleStatements(url) {
  const create = `
    with f as (${insertFlow} returning id)
    insert into flow_events ${eventColumns} ${birth}`
  const change = (/** @type {Transition} */ name) => `
    with f as (
      update flows set ${sets[name]}
      where id = $1 and namespace = 'default' and status = '${transitions[name].from}'
        and not cancel_requested
      returning id, revision, shard),
    e as (
      insert into flow_events ${eventColumns}
      select id, revision, shard, now(), 'default', '${transitions[name].kind}', 'bench', $2::jsonb
      from f)
    select revision from f`
  return pooled('pool', 'one CTE statement, pool of 10', url, {
    create: async (pool, values) => {
      await pool.query({ name: 'create', text: create, values })
    },
    change: async (pool, name, id, payload) => {
      const text = change(name)
      const { rowCount } = await pool.query({ name, text, values: [id, payload] })
      if (rowCount !== 1) throw new Error(`${name} changed ${rowCount} rows`)
    },
  })
}

/**
 * One transition is one read-modify-write transaction: lock, update, insert the event, commit.
 *
 * @param {string} url
 * @returns {Contender}
 */
export function plainTransactions(url) {
  const lock = `
    select revision, status, shard, cancel_requested, wait from flows
    where id = $1 and namespace = 'default' for update`
  const update = (/** @type {Transition} */ name) =>
    `update flows set ${sets[name]} where id = $1${sets[name].includes('$2') ? '' : ' and $2::text is not null'}`
  const insertEvent = `
    insert into flow_events ${eventColumns}
    values ($1, $2, $3, now(), 'default', $4, 'bench', $5)`
  return pooled('transactions', 'BEGIN, lock, update, event, COMMIT, pool of 10', url, {
    create: (pool, values) =>
      inTransaction(pool, async (client) => {
        const [id, shard, bytes, words, document, payload] = values
        await client.query({
          name: 'create',
          text: insertFlow,
          values: [id, shard, bytes, words, document],
        })
        await client.query({
          name: 'birth',
          text: `insert into flow_events ${eventColumns} ${birth.replace('$6', '$3')}`,
          values: [id, shard, payload],
        })
      }),
    change: (pool, name, id, payload) =>
      inTransaction(pool, async (client) => {
        const { rows } = await client.query({ name: 'lock', text: lock, values: [id] })
        const flow = rows[0]
        if (flow?.status !== transitions[name].from) throw new Error(`${name} on ${flow?.status}`)
        await client.query({ name, text: update(name), values: [id, payload] })
        await client.query({
          name: 'event',
          text: insertEvent,
          values: [id, flow.revision + 1, flow.shard, transitions[name].kind, payload],
        })
      }),
  })
}

/**
 * @param {import('pg').Pool} pool
 * @param {(client: import('pg').PoolClient) => Promise<void>} work
 */
async function inTransaction(pool, work) {
  const client = await pool.connect()
  try {
    await client.query({ name: 'begin', text: 'begin' })
    await work(client)
    await client.query({ name: 'commit', text: 'commit' })
  } finally {
    client.release()
  }
}

/**
 * @param {string} name
 * @param {string} title
 * @param {string} url
 * @param {object} work
 * @param {(pool: import('pg').Pool, values: unknown[]) => Promise<void>} work.create
 * @param {(pool: import('pg').Pool, name: Transition, id: string, payload: string) => Promise<void>} work.change
 * @returns {Contender}
 */
function pooled(name, title, url, { create, change }) {
  const pool = new pg.Pool({ connectionString: url, max: poolSize, application_name: 'bench' })
  // A connection that ends with its database has nobody else to tell.
  pool.on('error', () => {})
  const document = JSON.stringify(state)
  const merged = JSON.stringify(patch)
  let counter = 0
  const lane = {
    steps: [
      async (/** @type {{ id: string }} */ flow) => {
        const shardIndex = counter % 64
        counter = (counter + 1) % 4096
        flow.id = makeId(Date.now(), counter, randomBytes(8), shardIndex)
        const born = JSON.stringify({ controller_id: 'bench/inbox', goal, state })
        await create(pool, [flow.id, shardToken(shardIndex), document.length, goal, document, born])
      },
      (/** @type {{ id: string }} */ { id }) =>
        change(
          pool,
          'wait',
          id,
          `{"id":"${id}","kind":"manual","since":"${new Date().toISOString()}"}`,
        ),
      (/** @type {{ id: string }} */ { id }) => change(pool, 'resume', id, '{"by":"manual"}'),
      (/** @type {{ id: string }} */ { id }) => change(pool, 'patch', id, merged),
      (/** @type {{ id: string }} */ { id }) => change(pool, 'finish', id, '{}'),
    ],
    close: () => {},
  }
  return {
    name,
    title,
    url,
    pid: process.pid,
    open: async (count) => Array.from({ length: count }, () => lane),
    close: () => pool.end(),
  }
}
