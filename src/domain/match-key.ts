// What a wait can be found by, as effects of a decision.

import type { DecidedFlow, Effect } from './command.ts'
import { shardOf, shardToken } from './shard.ts'
import type { Wait } from './wait.ts'

/** A match key lives on the shard of its correlation, where a signal will look for it. */
function matchKey(flow: DecidedFlow, wait: Wait) {
  if (wait.kind !== 'external_event') return null
  const shard = shardToken(shardOf(flow.namespace, wait.correlation_id))
  const reach: Effect['reach'] = shard === flow.shard ? 'local' : 'remote'
  const { topic, correlation_id } = wait
  return { reach, shard, topic, correlation_id, wait_id: wait.id }
}

/** The keys that a new wait opens. */
export function openMatchKeys(flow: DecidedFlow, wait: Wait): Effect[] {
  const key = matchKey(flow, wait)
  return key === null ? [] : [{ type: 'open_match_key', ...key, since: wait.since }]
}

/** The keys that go with the present wait. */
export function closeMatchKeys(flow: DecidedFlow): Effect[] {
  const key = flow.wait === null ? null : matchKey(flow, flow.wait)
  return key === null ? [] : [{ type: 'close_match_key', ...key }]
}
