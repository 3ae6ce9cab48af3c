// What a model can do next with a flow, and why the flow stands still, in one sentence.

import { permits, type ToolAction } from '../domain/binding.ts'
import { type FlowRecord, isTerminal } from '../domain/flow.ts'
import { formatDuration } from '../domain/formats.ts'
import { type Branch, openBranches, type Wait, wakeTimeOf } from '../domain/wait.ts'
import type { ToolCallOffer } from './answer.ts'
import type { ToolSession } from './session.ts'

/** Those of some calls that the session may send. */
export function allowed(
  { grants }: Pick<ToolSession, 'grants'>,
  offers: readonly ToolCallOffer[],
): ToolCallOffer[] {
  return offers.filter(({ action }) => permits(grants, `tool:${action}`))
}

/** The calls that are legal on a flow as it is, the most probable first. All of them can be sent as they are. */
export function nextCalls(session: ToolSession, flow: FlowRecord): ToolCallOffer[] {
  return allowed(session, legal(flow, session.caller.timer_max_horizon ?? hour))
}

const hour = 3_600_000

function legal(
  { id, status, wait, cancel_requested }: FlowRecord,
  horizon: number,
): ToolCallOffer[] {
  const call = (action: ToolAction): ToolCallOffer => ({ action, flow_id: id })
  if (isTerminal(status)) return [call('events')]
  if (cancel_requested) return [call('cancel')]
  if (status === 'running') {
    const after = formatDuration(Math.min(hour, horizon))
    return [{ ...call('wait'), wait_condition: { kind: 'timer', after } }, call('finish')]
  }
  if (status === 'created') return [call('status'), call('cancel')]
  const external = wait === null ? undefined : openBranches(wait).find(isExternal)?.branch
  return external === undefined || external.kind !== 'external_event'
    ? [call('resume'), call('status')]
    : [
        call('status'),
        { action: 'signal', topic: external.topic, correlation_id: external.correlation_id },
        call('resume'),
      ]
}

function isExternal({ branch }: { branch: Branch }): boolean {
  return branch.kind === 'external_event'
}

/** Why it stands still and what moves it; null when that is plain from its status. */
export function hintOf({ status, wait, cancel_requested }: FlowRecord): string | null {
  if (isTerminal(status)) return null
  if (cancel_requested) return 'A cancel was requested: it takes nothing but cancel.'
  if (status === 'created') return 'Its controller has not started it.'
  if (status !== 'waiting' || wait === null) return null
  return [waitHint(wait), timeHint(wait)].join('')
}

function waitHint(wait: Wait): string {
  const branches = openBranches(wait).map(({ branch }) => branchHint(branch))
  const joined = branches.join(wait.kind === 'all' ? ' and ' : ' or ')
  return `It goes on by ${joined === '' ? 'resume' : joined}.`
}

function branchHint(branch: Branch): string {
  switch (branch.kind) {
    case 'timer':
      return `itself at ${branch.at}`
    case 'external_event':
      return 'a signal of its topic and correlation_id'
    case 'manual':
      return 'resume, once whoever decides has decided'
  }
}

/** When time alone changes it, unless a timer says so already. */
function timeHint(wait: Wait): string {
  const at = wakeTimeOf(wait)
  if (at === null || at !== wait.timeout_at) return ''
  const then = { resume: 'goes on', fail: 'fails', cancel: 'is cancelled' }
  return ` At ${at} it ${then[wait.on_timeout ?? 'resume']}.`
}
