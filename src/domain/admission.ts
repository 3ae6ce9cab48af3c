// Whether a flow in its status can take a command at all.

import type { DecidedFlow } from './command.ts'
import { FlowError } from './errors.ts'
import { type FlowStatus, isTerminal, transitions } from './flow.ts'

/** Refuses whatever comes after the end. */
export function refuseTerminal(flow: DecidedFlow): void {
  if (isTerminal(flow.status)) {
    throw new FlowError(
      'already_terminal',
      `This flow is ${flow.status}, which is final. Create a new flow to go on.`,
      { flow_id: flow.id, flow_status: flow.status },
    )
  }
}

/** Refuses whatever comes after the end, or after a cancel was requested. */
export function refuseEnded(flow: DecidedFlow): void {
  refuseTerminal(flow)
  if (flow.cancel_requested) {
    throw new FlowError(
      'cancel_pending',
      'A cancel was requested for this flow: only cancel is possible now.',
      { flow_id: flow.id },
    )
  }
}

/**
 * Refuses a transition that the table does not have. `from` narrows it to one status, for commands
 * that share their target: `start` and `resume` both lead to running.
 */
export function admit(flow: DecidedFlow, to: FlowStatus, from?: FlowStatus): void {
  refuseEnded(flow)
  const allowed = transitions[flow.status]
  if (allowed.includes(to) && (from === undefined || from === flow.status)) return
  const starts = from === undefined ? startsOf(to) : [from]
  throw new FlowError(
    'illegal_transition',
    `This flow is ${flow.status}. Only one that is ${starts.join(' or ')} can take this request.`,
    { flow_id: flow.id, from: flow.status, to, allowed: [...allowed], wait: flow.wait },
  )
}

function startsOf(to: FlowStatus): string[] {
  return Object.entries(transitions).flatMap(([from, next]) => (next.includes(to) ? [from] : []))
}
