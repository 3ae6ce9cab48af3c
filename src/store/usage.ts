// How much a namespace uses of what it may use, counted no further than it may.

import { read, type Scope } from './db.ts'
import { sql } from './sql.ts'

/** Flows whose steps and state are summed up; past it they are estimated from these. */
const sample = 10_000

const open = ['created', 'running', 'waiting']

export interface Usage {
  open_flows: number
  open_steps: number
  state_bytes: number
  kept_signals: number
}

/** @param bounds counted up to here, and by one more. */
export async function readUsage(
  scope: Scope,
  namespace: string,
  bounds: { flows: number; signals: number },
): Promise<Usage> {
  const [flows] = await read<{ count: number; seen: number; steps: number; bytes: number }>(
    scope,
    namespace,
    sql`
      with sampled as materialized (
        select f.open_steps, f.state_bytes from flows f
        where f.namespace = ${namespace} and f.status = any(${open}::text[])
        limit ${sample})
      select (select count(*)::integer from sampled) as seen,
        (select coalesce(sum(open_steps), 0)::float8 from sampled) as steps,
        (select coalesce(sum(state_bytes), 0)::float8 from sampled) as bytes,
        (select count(*)::integer from (
          select 1 from flows f
          where f.namespace = ${namespace} and f.status = any(${open}::text[])
          limit ${bounds.flows + 1}) one) as count`,
  )
  const [signals] = await read<{ count: number }>(
    scope,
    namespace,
    sql`
      select count(*)::integer as count from (
        select 1 from signals s
        where s.namespace = ${namespace} and s.outcome = 'buffered' and s.topic is not null
        limit ${bounds.signals + 1}) one`,
  )
  if (flows === undefined || signals === undefined) throw new Error('a count was not answered')
  const share = Math.max(1, flows.count / Math.max(1, flows.seen))
  return {
    open_flows: flows.count,
    open_steps: Math.round(flows.steps * share),
    state_bytes: Math.round(flows.bytes * share),
    kept_signals: signals.count,
  }
}
