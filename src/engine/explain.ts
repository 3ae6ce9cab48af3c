// Answers why a flow does not move: reads what bears on it and lets the domain judge.

import { type Explanation, explain, isReadable } from '../domain/explain.ts'
import { type FlowRecord, isTerminal } from '../domain/flow.ts'
import { matchKeysOf } from '../domain/match-key.ts'
import { variantsOf } from '../domain/near-miss.ts'
import type { Scope } from '../store/db.ts'
import {
  type NearQuery,
  readClock,
  readDeadSteps,
  readNearSignals,
  readNewestEvents,
  readOpenSteps,
} from '../store/explain.ts'
import type { Caller } from './change.ts'
import type { Flows } from './flows.ts'
import { reaches, seesSent } from './sight.ts'
import type { WaitEngine } from './wait-engine.ts'

export interface Explain {
  /** Throws `not_found`. */
  flow(caller: Caller, flowId: string): Promise<Explanation>
}

/** Steps that are shown. */
const steps = 20
/** Events that are looked through: labels and observations may follow the one that tells. */
const events = 50
/** Signals that are looked at for one topic, at most; with several topics, fewer of each. */
const perTopic = 200

export function createExplain(scope: Scope, flows: Flows, waitEngine: WaitEngine): Explain {
  return {
    async flow(caller, flowId) {
      const flow = await flows.get(caller, flowId)
      const { status } = flow
      const [now, open_steps, dead_steps, newest, signals] = await Promise.all([
        readClock(scope),
        status === 'running' ? readOpenSteps(scope, flow.namespace, flow.id, steps) : [],
        status === 'running' || status === 'failed'
          ? readDeadSteps(scope, flow.namespace, flow.id, steps)
          : [],
        readNewestEvents(scope, flow.namespace, flow.id, events),
        isTerminal(status) ? [] : readNearSignals(scope, nearQuery(flow, caller)),
      ])
      const engine_running = waitEngine.status().running
      return explain({
        now,
        flow,
        engine_running,
        open_steps,
        dead_steps,
        events: newest,
        signals,
      })
    },
  }
}

function nearQuery(flow: FlowRecord, caller: Caller): NearQuery {
  const { id, namespace, wait } = flow
  const keys = [...matchKeysOf(isReadable(wait) ? wait : null).values()]
  const topics = [...new Set(keys.map(({ topic }) => topic))]
  const correlations = new Set(keys.flatMap(({ correlation_id }) => variantsOf(correlation_id)))
  return {
    namespace,
    flow_id: id,
    // Nothing that the flow cannot have, and nothing that others sent to others.
    tells: (sent) => reaches(sent, flow) && seesSent(caller, sent),
    correlation_ids: [...correlations],
    topics,
    per_correlation: 10,
    per_topic: Math.ceil(perTopic / Math.max(1, topics.length)),
    for_flow: 20,
  }
}
