// The requests that move a flow, ready to send, and who may send them.

import type { Move } from '../contract/explain.ts'
import type { Explanation, OpenStep } from '../domain/explain.ts'
import type { JsonObject } from '../domain/json.ts'
import type { NearMiss } from '../domain/near-miss.ts'
import { openBranches, type Wait } from '../domain/wait.ts'
import { cancel, endWait, type NextAction, pathOf, reopen } from './next-actions.ts'

/** What a caller must be allowed, by what the request does. */
const needs: Record<string, string> = {
  'resume-external': 'signals:write',
  signal: 'signals:write',
  redeliver: 'signals:write',
  cancel: 'flows:cancel',
  tick: 'engine:admin',
}

/** What would move a flow: the way that is meant first, its end last. Nothing moves one that has ended. */
export function movesOf(explanation: Explanation): Move[] {
  const {
    flow: { id },
    blocked_by: blocker,
    now,
  } = explanation
  const flow = pathOf(id)
  switch (blocker.kind) {
    case 'not_started':
      return [post('start', `${flow}/start`), move(cancel(flow))]
    case 'controller':
      return [...decisions(flow), move(cancel(flow))]
    case 'dead_steps':
      return [...blocker.steps.slice(0, 1).flatMap(mend), ...decisions(flow), move(cancel(flow))]
    case 'wait':
      return [
        ...redeliveries(explanation.near_misses, blocker.wait),
        ...ends(flow, blocker.wait),
        ...fireNow(flow, blocker.wait, now),
        move(cancel(flow)),
      ]
    case 'overdue':
      return [post('tick', '/engine/tick'), ...ends(flow, blocker.wait), move(cancel(flow))]
    case 'cancel_requested': {
      const tick = blocker.carried_out_by === 'service' ? [post('tick', '/engine/tick')] : []
      return [...tick, move(cancel(flow))]
    }
    case 'set_aside': {
      const { wait } = blocker
      const cancelled = move(cancel(flow))
      // After a requested cancel nothing else is taken.
      if (explanation.flow.cancel_requested) return [cancelled]
      if (wait === null) return [post('resume', `${flow}/resume`), cancelled]
      return [...fireNow(flow, wait, now), ...ends(flow, wait), cancelled]
    }
    case 'ended': {
      const { dead_step } = blocker
      return dead_step === null ? [] : [move(reopen(flow, dead_step.step_id))]
    }
  }
}

/** What the controller of a running flow may do. */
function decisions(flow: string): Move[] {
  const note = 'What comes next is for its controller to decide.'
  return [
    post('wait', `${flow}/wait`, { kind: 'timer', after: 'PT1H' }, note),
    post('finish', `${flow}/finish`, undefined, note),
  ]
}

/** What can be done about a dead step. */
function mend({ step_id }: OpenStep): Move[] {
  const step = `/steps/${step_id}`
  const note = 'Put in the result that the step did not get to.'
  return [
    post('retry', `${step}/retry`),
    post('skip', `${step}/skip`),
    post('result', `${step}/result`, { result: null }, note),
  ]
}

function move(action: NextAction, note: string | null = null): Move {
  return { ...action, needs: needs[action.rel] ?? 'flows:write', note }
}

function post(rel: string, href: string, body?: JsonObject, note: string | null = null): Move {
  return move({ rel, method: 'POST', href, ...(body !== undefined && { body }) }, note)
}

/** Signals that are the right ones and only have to be tried again. */
function redeliveries(misses: readonly NearMiss[], wait: Wait): Move[] {
  return misses
    .filter(({ redeliverable }) => redeliverable)
    .slice(0, openBranches(wait).length)
    .map(({ signal }) =>
      post('redeliver', `/signals/${signal.id}/redeliver`, undefined, noteOn(signal)),
    )
}

function noteOn({ outcome, flow_id }: NearMiss['signal']): string | null {
  if (outcome === 'buffered') return 'Changes nothing until the state has room for its payload.'
  return flow_id === null ? 'It goes to the wait for it that is the oldest.' : null
}

function ends(flow: string, wait: Wait): Move[] {
  const open = openBranches(wait).length
  const note =
    wait.kind === 'all' && open > 1 ? `Satisfies one of ${open} branches that are open.` : null
  return endWait(flow, wait).map((action) => move(action, action.rel === 'resume' ? null : note))
}

/** A single timer can be made due, by moving it to now. */
function fireNow(flow: string, wait: Wait, now: string): Move[] {
  const timers = openBranches(wait).filter(({ branch }) => branch.kind === 'timer')
  if (timers.length !== 1) return []
  return [move({ rel: 'move-timer', method: 'PATCH', href: `${flow}/wait`, body: { at: now } })]
}
