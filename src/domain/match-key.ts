// What a wait can be found by, as effects of a decision.

import type { DecidedFlow, Effect } from './command.ts'
import { shardOf, shardToken } from './shard.ts'
import { openBranches, type Wait } from './wait.ts'

/** What an `external_event` wait and a signal meet by. */
export interface MatchKey {
  topic: string
  correlation_id: string
}

/** The keys under which a wait is found, each once: two branches may wait for the same. */
export function matchKeysOf(wait: Wait | null): Map<string, MatchKey> {
  const keys = new Map<string, MatchKey>()
  if (wait === null) return keys
  for (const { branch } of openBranches(wait)) {
    if (branch.kind !== 'external_event') continue
    const { topic, correlation_id } = branch
    keys.set(JSON.stringify([topic, correlation_id]), { topic, correlation_id })
  }
  return keys
}

/** A match key lives on the shard of its correlation, where a signal will look for it. */
function placed(flow: DecidedFlow, wait: Wait, key: MatchKey) {
  const shard = shardToken(shardOf(flow.namespace, key.correlation_id))
  const reach: Effect['reach'] = shard === flow.shard ? 'local' : 'remote'
  return { reach, shard, ...key, wait_id: wait.id }
}

/** The keys that close and open as a flow goes from its present wait to another state of it, or to none. */
export function changeMatchKeys(flow: DecidedFlow, next: Wait | null): Effect[] {
  const before = matchKeysOf(flow.wait)
  const after = matchKeysOf(next)
  const effects: Effect[] = []
  for (const [text, key] of before) {
    if (flow.wait === null || after.has(text)) continue
    effects.push({ type: 'close_match_key', ...placed(flow, flow.wait, key) })
  }
  for (const [text, key] of after) {
    if (next === null || before.has(text)) continue
    effects.push({ type: 'open_match_key', ...placed(flow, next, key) })
  }
  return effects
}
