// The leases of steps: renewed by heartbeats, and given back.

import type { JsonValue } from '../domain/json.ts'
import type { StepRecord } from '../domain/step.ts'
import type { Timestamp } from '../domain/time.ts'
import { type Runner, rows } from './db.ts'
import { raw, sql } from './sql.ts'
import { runningWake } from './step-queue.ts'
import { columnsOfS } from './steps.ts'

/** A worker's report that it lives. */
export interface Heartbeat {
  step_id: string
  token: string
  /** Absent: what was sent before stays. */
  progress?: JsonValue
  checkpoint?: JsonValue
}

/** What a heartbeat is answered with. */
export interface HeartbeatAnswer {
  id: string
  lease_token: string
  lease_until: Timestamp
  cancel_requested: boolean
}

/**
 * Renews leases, each by its own length from now. Those of which the token is not the newest, or which
 * were settled already, are left out of the answer; a step whose flow has ended is told of that.
 */
export async function renewLeases(
  runner: Runner,
  namespaceOf: readonly string[],
  beats: readonly Heartbeat[],
): Promise<HeartbeatAnswer[]> {
  const given = beats.map(({ step_id, token, progress, checkpoint }, i) => ({
    id: step_id,
    token,
    namespace: namespaceOf[i],
    // Texts: an absent one must differ from the value null.
    ...(progress !== undefined && { progress: JSON.stringify(progress) }),
    ...(checkpoint !== undefined && { checkpoint: JSON.stringify(checkpoint) }),
  }))
  return rows<HeartbeatAnswer>(
    runner,
    sql`
      with b as materialized (
        select * from json_to_recordset(${JSON.stringify(given)}::json) as b(
          id uuid, token uuid, namespace text, progress text, checkpoint text)),
      held as materialized (
        select s.id, s.shard, b.progress as new_progress, b.checkpoint as new_checkpoint
        from b join flow_steps s on s.id = b.id
        where s.lease_token = b.token and s.namespace = b.namespace
          and (s.status = 'running' or s.status = 'cancelled')
        order by s.id
        for no key update of s),
      clock as materialized (select date_trunc('milliseconds', clock_timestamp()) as now)
      update flow_steps s set
        lease_until = clock.now + s.lease_ms * interval '1 ms',
        wake_at = case when s.status = 'running' then
          ${runningWake(sql`clock.now + s.lease_ms * interval '1 ms'`, raw('s.started_at'))} end,
        progress = case when h.new_progress is null then s.progress else h.new_progress::jsonb end,
        checkpoint = case when h.new_checkpoint is null then s.checkpoint
          else h.new_checkpoint::jsonb end,
        updated_at = clock.now
      from held h, clock
      where s.id = h.id and s.shard = h.shard
      returning s.id, s.lease_token, s.lease_until, s.cancel_requested`,
  )
}

/**
 * Gives a step back that was not run: claimable again after a delay, with the attempt not counted. One
 * whose flow is to end stays for the sweeper, which ends it at once.
 */
export async function releaseStep(
  runner: Runner,
  {
    namespace,
    step_id,
    token,
    delay,
  }: {
    namespace: string
    step_id: string
    token: string
    delay: number
  },
): Promise<StepRecord | undefined> {
  const [released] = await rows<StepRecord>(
    runner,
    sql`
      with held as materialized (
        select s.id, s.shard, s.claims, s.attempt, s.started_at, s.worker_id, s.flow_id,
          s.cancel_requested
        from flow_steps s
        where s.id = ${step_id} and s.namespace = ${namespace} and s.status = 'running'
          and s.lease_token = ${token}
        for no key update),
      clock as materialized (select date_trunc('milliseconds', clock_timestamp()) as now),
      a as (
        insert into step_attempts (step_id, flow_id, claim, attempt, shard, started_at, ended_at, outcome, worker_id)
        select h.id, h.flow_id, h.claims, h.attempt, h.shard, h.started_at, clock.now, 'released',
          h.worker_id
        from held h, clock where not h.cancel_requested
        on conflict do nothing)
      update flow_steps s set
        status = case when h.cancel_requested then s.status else 'pending' end,
        ready = not h.cancel_requested and ${delay}::integer = 0,
        attempt = case when h.cancel_requested then s.attempt else greatest(s.attempt - 1, 0) end,
        lease_token = case when h.cancel_requested then s.lease_token end,
        lease_until = case when h.cancel_requested then clock.now end,
        worker_id = case when h.cancel_requested then s.worker_id end,
        pushed = false,
        run_at = clock.now + ${delay}::integer * interval '1 ms',
        rank = case when ${delay}::integer = 0 then s.rank
          else clock.now + ${delay}::integer * interval '1 ms' + s.priority * interval '1 second' end,
        wake_at = case
          when h.cancel_requested then clock.now
          when ${delay}::integer > 0 then clock.now + ${delay}::integer * interval '1 ms'
          else least(
            clock.now + (s.timeouts->>'schedule_to_start')::float8 * interval '1 ms',
            s.scheduled_at + (s.timeouts->>'schedule_to_close')::float8 * interval '1 ms') end,
        updated_at = clock.now
      from held h, clock
      where s.id = h.id and s.shard = h.shard
      returning ${columnsOfS}`,
  )
  return released
}
