// How much a namespace uses of what it may use, counted no further than it may.

import { read, type Scope } from './db.ts'
import { raw, type Sql, sql } from './sql.ts'

/**
 * Open flows that are looked at, with what belongs to them; past it they are estimated from these. So many with a
 * step, a memo and a hook each are counted in 0.1 s.
 */
const sample = 10_000
/** Steps, and as many memos, whose bytes are summed up; past it they are estimated too. */
const rowSample = 20_000
/** Of one flow, so that no single one has the whole sample. */
const perFlow = 1_000
/** Where a count ends that no limit bounds. */
const most = 1_000_000

const open = ['created', 'running', 'waiting']

export interface Usage {
  open_flows: number
  open_steps: number
  kept_signals: number
  /** For all flows of the namespace, and for single ones that are open. */
  hooks: number
  /** State, steps and memos of open flows, and payloads of kept signals. */
  bytes: number
}

/**
 * Counts what is limited; what is not is 0.
 *
 * @param limits counted up to here, and by one more. 0: no limit.
 */
export async function readUsage(
  scope: Scope,
  namespace: string,
  limits: Readonly<Usage>,
): Promise<Usage> {
  const usage: Usage = { open_flows: 0, open_steps: 0, kept_signals: 0, hooks: 0, bytes: 0 }
  const flows = await readFlows(scope, namespace, limits.open_flows || most)
  usage.open_flows = flows.count
  usage.open_steps = Math.round(flows.steps * shareOf(flows))
  if (limits.kept_signals > 0 || limits.bytes > 0) {
    const signals = await readSignals(scope, namespace, {
      count: limits.kept_signals || most,
      bytes: limits.bytes > 0,
    })
    usage.kept_signals = signals.count
    usage.bytes += signals.bytes * shareOf(signals)
  }
  if (limits.hooks > 0) {
    const { shared, own } = await readHooks(scope, namespace, limits.hooks)
    usage.hooks = shared + Math.round(own * shareOf(flows))
  }
  if (limits.bytes > 0) {
    usage.bytes += flows.bytes * shareOf(flows)
    for (const of of [stepBytes, memoBytes]) {
      const { bytes, seen } = await readRowBytes(scope, namespace, of)
      usage.bytes += bytes * shareOf({ count: flows.count, seen: seen ?? flows.seen })
    }
    usage.bytes = Math.round(usage.bytes)
  }
  return usage
}

interface Flows {
  count: number
  seen: number
  steps: number
  bytes: number
}

/** What the sum of a sample is taken by, to stand for all. */
function shareOf({ count, seen }: { count: number; seen: number }): number {
  return Math.max(1, count / Math.max(1, seen))
}

const isOpen = (namespace: string) =>
  sql`f.namespace = ${namespace} and f.status = any(${open}::text[])`

async function readFlows(scope: Scope, namespace: string, bound: number): Promise<Flows> {
  return one<Flows>(
    scope,
    namespace,
    sql`
      with sampled as materialized (
        select f.open_steps, f.state_bytes from flows f
        where ${isOpen(namespace)} limit ${sample})
      select (select count(*)::integer from sampled) as seen,
        (select coalesce(sum(open_steps), 0)::float8 from sampled) as steps,
        (select coalesce(sum(state_bytes), 0)::float8 from sampled) as bytes,
        (select count(*)::integer from (
          select 1 from flows f where ${isOpen(namespace)} limit ${bound + 1}) one) as count`,
  )
}

const keptOf = (namespace: string) =>
  sql`s.namespace = ${namespace} and s.outcome = 'buffered' and s.topic is not null`

async function readSignals(
  scope: Scope,
  namespace: string,
  bounds: { count: number; bytes: boolean },
): Promise<{ count: number; seen: number; bytes: number }> {
  return one(
    scope,
    namespace,
    sql`
      with kept as materialized (
        select coalesce(pg_column_size(s.payload), 0) as bytes from signals s
        where ${keptOf(namespace)} limit ${bounds.bytes ? sample : 0})
      select count(*)::integer as seen, coalesce(sum(bytes), 0)::float8 as bytes,
        (select count(*)::integer from (
          select 1 from signals s where ${keptOf(namespace)} limit ${bounds.count + 1}) one) as count
      from kept`,
  )
}

async function readHooks(
  scope: Scope,
  namespace: string,
  bound: number,
): Promise<{ shared: number; own: number }> {
  return one(
    scope,
    namespace,
    sql`
      with sampled as materialized (
        select f.id, f.shard, f.hooked from flows f where ${isOpen(namespace)} limit ${sample})
      select (select count(*)::integer from (
          select 1 from hooks h where h.namespace = ${namespace} and h.flow_id is null
          limit ${bound + 1}) one) as shared,
        (select count(*)::integer from sampled f cross join lateral (
          select 1 from hooks h where h.flow_id = f.id and h.shard = f.shard
          limit ${perFlow}) own where f.hooked) as own`,
  )
}

// The size of a value is read off its row: one that is stored elsewhere is not fetched for it.
const sizes = (columns: readonly string[]) =>
  raw(columns.map((column) => `coalesce(pg_column_size(r.${column}), 0)`).join(' + '))

const stepBytes = {
  table: raw('flow_steps'),
  sizes: sizes(['input', 'result', 'error', 'checkpoint', 'progress', 'signal']),
}
const memoBytes = { table: raw('flow_memos'), sizes: sizes(['value']) }

/**
 * Bytes of the rows of open flows. The limit on those of each flow also keeps the server from reading the
 * whole table in place of a few pieces of its index. `seen` is how many flows had room in the sample; null: all.
 */
async function readRowBytes(
  scope: Scope,
  namespace: string,
  of: { table: Sql; sizes: Sql },
): Promise<{ bytes: number; seen: number | null }> {
  return one(
    scope,
    namespace,
    sql`
      with sampled as materialized (
        select f.id, f.shard, row_number() over () as n from flows f
        where ${isOpen(namespace)} limit ${sample}),
      found as materialized (
        select f.n, own.bytes from sampled f cross join lateral (
          select ${of.sizes} as bytes from ${of.table} r
          where r.flow_id = f.id and r.shard = f.shard limit ${perFlow}) own
        limit ${rowSample})
      select coalesce(sum(bytes), 0)::float8 as bytes,
        case when count(*) >= ${rowSample} then max(n)::integer end as seen
      from found`,
  )
}

async function one<Row extends object>(scope: Scope, namespace: string, query: Sql): Promise<Row> {
  const [row] = await read<Row>(scope, namespace, query)
  if (row === undefined) throw new Error('a count was not answered')
  return row
}
