// What a caller can do about the state of a flow that refused a request: requests ready to send.

import type { ErrorCode, FlowError } from '../domain/errors.ts'
import type { FlowStatus } from '../domain/flow.ts'
import type { JsonObject } from '../domain/json.ts'
import { type Branch, openBranches, type Wait } from '../domain/wait.ts'

export interface NextAction {
  /** What it does, in one word. */
  rel: string
  method: 'GET' | 'POST' | 'PATCH'
  /** A path of this service. */
  href: string
  /** Sent as JSON. Absent: the request has none. */
  body?: JsonObject
}

/** A body larger than this, in characters of JSON, is not given back. */
const maxBody = 1024

/**
 * The requests that are legal now. The first one succeeds as it stands, unless the flow changes in
 * between; reads come first where nothing else is known to be wanted. Empty for codes that no
 * request on the flow's present state can answer.
 *
 * @param body the body that was refused, for an action that repeats it with a change.
 */
export function nextActions(error: FlowError, body?: unknown): NextAction[] {
  if (is(error, 'illegal_transition')) {
    const { flow_id, from, wait } = error.detail
    return legalNow(flow_id, from, wait)
  }
  if (is(error, 'already_terminal')) {
    const { flow_id, step_id } = error.detail
    const flow = pathOf(flow_id)
    const reads = [read(flow), eventsOf(flow)]
    return step_id === undefined ? reads : [reopen(flow, step_id), ...reads]
  }
  if (is(error, 'step_conflict')) {
    const { flow_id, step_id } = error.detail
    return [
      { rel: 'step', method: 'GET', href: `/steps/${step_id}` },
      { rel: 'steps', method: 'GET', href: `${pathOf(flow_id)}/steps` },
    ]
  }
  if (is(error, 'precondition_failed')) {
    const { flow_id, key } = error.detail
    const href = `${pathOf(flow_id)}/memo/${encodeURIComponent(key)}`
    return [{ rel: 'memo', method: 'GET', href }]
  }
  if (is(error, 'cancel_pending')) {
    const flow = pathOf(error.detail.flow_id)
    return [cancel(flow), read(flow)]
  }
  if (is(error, 'revision_mismatch') || is(error, 'wait_conflict')) {
    return [read(pathOf(error.detail.flow_id))]
  }
  if (is(error, 'stale_wait')) {
    const { flow_id, actual } = error.detail
    const flow = pathOf(flow_id)
    return actual === null ? [read(flow)] : [read(flow), resume(flow, actual)]
  }
  if (is(error, 'key_conflict')) {
    const { flow_id } = error.detail
    return flow_id === undefined ? [] : [read(pathOf(flow_id)), ...useExisting(body)]
  }
  return []
}

function is<Code extends ErrorCode>(error: FlowError, code: Code): error is FlowError<Code> {
  return error.code === code
}

function legalNow(flowId: string, from: FlowStatus, wait: Wait | null): NextAction[] {
  const flow = pathOf(flowId)
  switch (from) {
    case 'created':
      return [{ rel: 'start', method: 'POST', href: `${flow}/start` }, cancel(flow)]
    case 'running':
      return [
        read(flow),
        {
          rel: 'wait',
          method: 'POST',
          href: `${flow}/wait`,
          body: { kind: 'timer', after: 'PT1H' },
        },
        { rel: 'finish', method: 'POST', href: `${flow}/finish` },
        cancel(flow),
      ]
    case 'waiting':
      return [...endWait(flow, wait), read(flow), cancel(flow)]
    default:
      return [read(flow)]
  }
}

/**
 * What ends a wait, or satisfies a branch of it: first the ways that the wait itself is meant to end,
 * unless that is time.
 */
export function endWait(flow: string, wait: Wait | null): NextAction[] {
  const several = wait?.kind === 'any' || wait?.kind === 'all'
  const branches = wait === null ? [] : openBranches(wait)
  return [
    ...branches.flatMap(({ branch }) => satisfy(flow, branch, several)),
    resume(flow, wait?.id),
  ]
}

function satisfy(flow: string, branch: Branch, oneOfSeveral: boolean): NextAction[] {
  if (branch.kind === 'external_event') {
    const { topic, correlation_id } = branch
    const body = { topic, correlation_id }
    return [{ rel: 'resume-external', method: 'POST', href: `${flow}/resume-external`, body }]
  }
  // A wait for any name is meant to be resumed by hand, unless that would end other branches too.
  const name = branch.kind === 'manual' ? (branch.signal ?? (oneOfSeveral ? 'done' : null)) : null
  if (name === null) return []
  return [{ rel: 'signal', method: 'POST', href: `${flow}/signals/${encodeURIComponent(name)}` }]
}

function useExisting(body: unknown): NextAction[] {
  if (!isObject(body) || JSON.stringify(body).length > maxBody) return []
  return [
    {
      rel: 'use-existing',
      method: 'POST',
      href: '/flows',
      body: { ...body, on_conflict: 'use_existing' },
    },
  ]
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function pathOf(flowId: string): string {
  return `/flows/${flowId}`
}

function read(flow: string): NextAction {
  return { rel: 'flow', method: 'GET', href: flow }
}

function eventsOf(flow: string): NextAction {
  return { rel: 'events', method: 'GET', href: `${flow}/events` }
}

export function reopen(flow: string, step_id: string): NextAction {
  return { rel: 'reopen', method: 'POST', href: `${flow}/reopen`, body: { step_id } }
}

export function cancel(flow: string): NextAction {
  return { rel: 'cancel', method: 'POST', href: `${flow}/cancel` }
}

/** Names the wait when it is known, so that a newer one is never ended by mistake. */
function resume(flow: string, waitId: string | undefined): NextAction {
  const action: NextAction = { rel: 'resume', method: 'POST', href: `${flow}/resume` }
  return waitId === undefined ? action : { ...action, body: { wait_id: waitId } }
}
