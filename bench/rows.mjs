// Puts many waiting flows and steps into a database at once, as the service would have left them there.

import { shardTokens } from '../dist/domain/shard.js'

/** Rows in one statement. */
const chunk = 100_000

/**
 * Inserts flows that wait: timers, or every second one an external event.
 *
 * @param {import('pg').Client} client
 * @param {object} options
 * @param {number} options.count
 * @param {'timers' | 'mixed'} options.waits
 * @param {string} options.due SQL of the due time; `i` counts from 1.
 * @param {boolean} [options.events] the audit events too
 * @param {number} [options.offset] where `i` begins to count
 */
export async function insertWaiting(client, { count, waits, due, events = false, offset = 0 }) {
  for (let from = offset + 1; from <= offset + count; from += chunk) {
    const to = Math.min(offset + count, from + chunk - 1)
    await client.query(insertText(waits, due, events), [from, to, shardTokens])
  }
}

/**
 * Inserts flows that have finished, with five audit events and a step each. Indexes that keep nothing
 * unique are made anew afterwards, which takes a fraction of the time.
 *
 * @param {import('pg').Client} client
 * @param {{ count: number, closed: string }} options `closed`: SQL of when they ended; `i` counts from 1.
 */
export async function insertClosed(client, { count, closed }) {
  const { rows } = await client.query(
    `select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as made
     from pg_index i where not i.indisunique
       and i.indrelid in ('flows'::regclass, 'flow_events'::regclass, 'flow_steps'::regclass)`,
  )
  await client.query('set synchronous_commit = off')
  for (const { name } of rows) await client.query(`drop index ${name}`)
  for (let from = 1; from <= count; from += chunk) {
    const to = Math.min(count, from + chunk - 1)
    await client.query(closedText(closed), [from, to, shardTokens])
  }
  for (const { made } of rows) await client.query(made)
  await client.query('set synchronous_commit = on')
}

/**
 * Inserts signals that nobody waits for.
 *
 * @param {import('pg').Client} client
 * @param {{ count: number, offset?: number }} options
 */
export async function insertKept(client, { count, offset = 0 }) {
  await client.query(
    `insert into signals (id, shard, namespace, kind, outcome, deliver, topic, correlation_id,
       actor, payload, received_at, expires_at)
     select gen_random_uuid(), ($3::smallint[])[i % 64 + 1], 'default', 'external_event', 'buffered',
       'one', 'order.shipped', 'parcel-' || i, 'bench', '{"weight": 3}', clock_timestamp(),
       now() + interval '1 day'
     from generate_series($1::integer, $2::integer) as i`,
    [offset + 1, offset + count, shardTokens],
  )
}

/**
 * Inserts pending steps, ten for each of as many running flows as that takes.
 *
 * @param {import('pg').Client} client
 * @param {object} options
 * @param {number} options.count
 * @param {string} options.task
 * @param {string} options.runAt SQL of the time from which a step may run; `i` counts from 1.
 * @param {number} [options.offset] where `i` begins to count; a multiple of ten
 */
export async function insertSteps(client, { count, task, runAt, offset = 0 }) {
  for (let from = offset; from < offset + count; from += chunk) {
    const to = Math.min(offset + count, from + chunk)
    await client.query(stepText(runAt), [from / 10, Math.ceil(to / 10) - 1, shardTokens, task])
  }
}

/** Fresh statistics and visibility, as autovacuum leaves them. @param {import('pg').Client} client */
export async function settle(client) {
  await client.query('vacuum (analyze) flows, flow_events, flow_steps, match_keys, signals')
  await client.query('checkpoint').catch(() => {})
}

/** @param {string} waits @param {string} due @param {boolean} events */
function insertText(waits, due, events) {
  const isTimer = waits === 'timers' ? 'true' : 'i % 2 = 0'
  const iso = (/** @type {string} */ time) =>
    `to_char(${time} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
  return `
    with made as materialized (
      select i, i % 64 as shard_index, clock_timestamp()::timestamptz(3) as since,
        gen_random_uuid()::text as wait_id, ${isTimer} as timer,
        case when ${isTimer} then (${due})::timestamptz(3) end as due,
        ${idText('i')} as id
      from generate_series($1::integer, $2::integer) as i),
    f as (
      insert into flows (id, revision, state_bytes, shard, created_at, updated_at, wake_at,
        namespace, status, mode, current_step, controller_id, owner_session_key,
        requester_origin, goal, labels, wait, state)
      select id, 2, 30, ($3::smallint[])[shard_index + 1], since, since, due, 'default', 'waiting',
        'managed', 'classify', 'bench/inbox', 'agent:bench:' || i % 1000, 'bench',
        'triage the inbox', '{}',
        case when timer
          then jsonb_build_object('id', wait_id, 'kind', 'timer', 'at', ${iso('due')}, 'since', ${iso('since')})
          else jsonb_build_object('id', wait_id, 'kind', 'external_event', 'topic', 'order.paid',
            'correlation_id', 'order-' || i, 'since', ${iso('since')}) end,
        '{"messages": 10, "processed": 0}'
      from made),
    m as (
      insert into match_keys (flow_id, wait_id, flow_shard, shard, since, namespace, topic, correlation_id)
      select id, wait_id::uuid, ($3::smallint[])[shard_index + 1], ($3::smallint[])[i % 64 + 1],
        since, 'default', 'order.paid', 'order-' || i
      from made where not timer)
    ${
      events
        ? `insert into flow_events (flow_id, revision, shard, at, namespace, kind, actor, payload)
           select id, revision, ($3::smallint[])[shard_index + 1], since, 'default', kind, 'bench', '{}'
           from made, (values (0, 'created'), (1, 'started'), (2, 'waiting')) as e(revision, kind)`
        : 'select 1'
    }`
}

/** @param {string} closed */
function closedText(closed) {
  return `
    with made as materialized (
      select i, ($3::smallint[])[i % 64 + 1] as shard, (${closed})::timestamptz(3) as at,
        ${idText('i')} as id
      from generate_series($1::integer, $2::integer) as i),
    f as (
      insert into flows (id, revision, state_bytes, shard, created_at, updated_at, closed_at,
        namespace, status, mode, current_step, controller_id, owner_session_key, requester_origin,
        goal, labels, state)
      select id, 4, 60, shard, at, at, at, 'default', 'finished', 'managed', 'classify',
        'bench/inbox', 'agent:bench:' || i % 1000, 'bench', 'triage the inbox', '{}',
        '{"messages": 10, "processed": 7, "last_message": "message-0042"}'
      from made order by i),
    s as (
      insert into flow_steps (id, flow_id, attempt, max_attempts, priority, shard, run_at, created_at,
        updated_at, namespace, controller_id, run_id, runtime, task, status)
      select ${idText('i')}, id, 1, 3, 1000, shard, at, at, at, 'default', 'bench/inbox', 'r',
        'managed', 'classify', 'succeeded'
      from made order by i)
    insert into flow_events (flow_id, revision, shard, at, namespace, kind, actor, payload)
    select id, revision, shard, at, 'default', kind, 'bench', '{"patch": {"processed": 7}}'
    from made, (values (0, 'created'), (1, 'started'), (2, 'step_enqueued'), (3, 'step_settled'),
      (4, 'finished')) as e(revision, kind)
    order by i, revision`
}

/** @param {string} runAt */
function stepText(runAt) {
  return `
    with made as materialized (
      select n, n % 64 as shard_index, clock_timestamp()::timestamptz(3) as since, ${idText('n')} as id
      from generate_series($1::integer, $2::integer) as n),
    f as (
      insert into flows (id, revision, state_bytes, shard, created_at, updated_at, namespace, status,
        mode, current_step, controller_id, owner_session_key, requester_origin, goal, labels, state,
        open_steps)
      select id, 11, 30, ($3::smallint[])[shard_index + 1], since, since, 'default', 'running',
        'managed', 'classify', 'bench/inbox', 'agent:bench:' || n % 1000, 'bench',
        'triage the inbox', '{}', '{"messages": 10, "processed": 0}', 10
      from made),
    s as (
      select made.*, i, (${runAt})::timestamptz(3) as due, (${runAt})::timestamptz(3) <= now() as ready
      from made, generate_series(n * 10 + 1, n * 10 + 10) as i)
    insert into flow_steps (id, flow_id, attempt, max_attempts, priority, shard, run_at, scheduled_at,
      rank, ready, wake_at, created_at, updated_at, namespace, controller_id, run_id, runtime, task,
      status, retry, input)
    select ${idText('n')}, id, 0, 3, 1000, ($3::smallint[])[shard_index + 1],
      due, due, due + interval '1000 s', ready, case when not ready then due end, since, since,
      'default', 'bench/inbox', 'run-' || i, 'managed', $4, 'pending',
      '{"base_ms": 1000, "factor": 2, "cap_ms": 300000, "non_retryable": []}',
      '{"mailbox": "inbox", "message": "message-0042", "importance": 3, "number": 0}'
    from s`
}

/** SQL of a UUIDv7 with its shard in the last bits, rising like those of the service. @param {string} n */
function idText(n) {
  return `(lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
    || lpad(to_hex(${n} % 4096), 3, '0') || '8' || substr(md5(random()::text), 1, 13)
    || lpad(to_hex(${n} % 64), 2, '0'))::uuid`
}
