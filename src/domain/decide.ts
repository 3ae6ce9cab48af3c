// The whole state machine: what a command does to a flow. Pure; there is no second place where a
// flow's status is set.

import { admit, refuseEnded, refuseTerminal } from './admission.ts'
import { requestCancel } from './cancel.ts'
import type { Command, DecidedFlow, Decision, DomainLimits } from './command.ts'
import { createDraft, setMembers } from './draft.ts'
import { isTerminal } from './flow.ts'
import { updateLabels } from './labels.ts'
import { changeMatchKeys } from './match-key.ts'
import { observe } from './observe.ts'
import { updateRetention } from './retention.ts'
import { settle } from './settle.ts'
import { expireStep } from './step-end.ts'
import { enqueue } from './step-enqueue.ts'
import { reopen, resolveStep, retryStep } from './step-repair.ts'
import type { Timestamp } from './time.ts'
import { waitFault } from './timer.ts'
import { beginWait, fireWait, moveTimer, resumeByHand, takeSignal } from './waiting.ts'

/** Who is named in the audit log when the service's own clock acts. */
export const waitEngineActor = 'wait-engine'

/**
 * Decides one command on one flow.
 *
 * Total over statuses and commands: it answers a decision or throws a `FlowError`, in the order
 * terminal (`already_terminal`), sticky cancel (`cancel_pending`), not in the graph
 * (`illegal_transition`). Whether the flow exists and has the revision the caller expects is judged
 * before. Every change bumps `revision` by one and has one event; a no-op has none.
 *
 * @param flow is not changed. When its `state` is there, the decision's flow carries the new state;
 *   it must be there when `state_bytes` and the patch together exceed the limit, and for `observe`
 *   nothing of it is needed.
 * @param now the database's time, taken after the flow was locked.
 */
export function decide(
  flow: DecidedFlow,
  command: Command,
  actor: string,
  now: Timestamp,
  limits: DomainLimits,
): Decision {
  const draft = createDraft(flow, actor, now, limits)
  const { at, change, unchanged, leave } = draft
  const cancelled = (reason: string | null, by: 'request' | 'caller'): Decision =>
    change('cancelled', { by, ...(reason !== null && { reason }) }, leave('cancelled'), {
      effects: changeMatchKeys(flow, null),
    })

  switch (command.type) {
    case 'start': {
      admit(flow, 'running', 'created')
      return change('started', {}, { status: 'running' })
    }
    case 'wait':
      return beginWait(draft, command)
    case 'move_timer':
      return moveTimer(draft, command)
    case 'resume':
      return resumeByHand(draft, command)
    case 'signal':
      return takeSignal(draft, command)
    case 'update_state': {
      refuseEnded(flow)
      const { patch = {}, unset = [], next_step } = command
      if (Object.keys(patch).length + unset.length === 0 && next_step === undefined) {
        return unchanged('unchanged')
      }
      return change(
        'state_updated',
        {
          patch,
          ...(unset.length > 0 && { unset }),
          ...(next_step !== undefined && { next_step }),
        },
        next_step === undefined ? {} : { current_step: next_step },
        Object.keys(patch).length + unset.length > 0 ? { patch: { merge: patch, unset } } : {},
      )
    }
    case 'update_labels':
      return updateLabels(draft, command.labels)
    case 'update_retention':
      return updateRetention(draft, command)
    case 'finish': {
      admit(flow, 'finished')
      const patch = command.final_state
      return change(
        'finished',
        patch ? { final_state: patch } : {},
        leave('finished'),
        setMembers(patch),
      )
    }
    case 'fail': {
      admit(flow, 'failed')
      const failure = { reason: command.reason, at }
      return change('failed', failure, leave('failed'), {
        ...setMembers({ failure }),
        effects: changeMatchKeys(flow, null),
      })
    }
    case 'request_cancel':
      return requestCancel(draft, command)
    case 'cancel': {
      refuseTerminal(flow)
      return cancelled(command.reason ?? flow.cancel_reason, 'caller')
    }
    case 'observe':
      return observe(draft, command)
    case 'enqueue':
      return enqueue(draft, command)
    case 'settle':
      return settle(draft, command)
    case 'expire_step':
      return expireStep(draft, command)
    case 'retry_step':
      return retryStep(draft, command)
    case 'resolve_step':
      return resolveStep(draft, command)
    case 'reopen':
      return reopen(draft, command)
    case 'fire': {
      if (isTerminal(flow.status) || flow.wake_at === null) return unchanged('unchanged')
      if (flow.cancel_requested) {
        // A running flow is due when nothing runs for it any more, or when its grace is over.
        return flow.wake_at > at ? unchanged('unchanged') : cancelled(flow.cancel_reason, 'request')
      }
      const fault =
        flow.status === 'waiting' ? waitFault(flow.wait) : `a ${flow.status} flow has no timer`
      if (fault !== null) return quarantined(fault)
      return flow.wait === null ? unchanged('unchanged') : fireWait(draft, flow.wait, now)
    }
    case 'quarantine': {
      if (isTerminal(flow.status) || flow.wake_at === null) return unchanged('unchanged')
      return quarantined(command.reason)
    }
  }

  function quarantined(reason: string): Decision {
    const payload = { reason, wake_at: flow.wake_at }
    return change('quarantined', payload, { wake_at: null }, { outcome: 'set_aside' })
  }
}
