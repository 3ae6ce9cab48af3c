// What each error code means: its status, its title, and how to get out of it. One entry per code.

import type { ErrorCode } from '../domain/errors.ts'
import type { ProblemKind } from './problem-kind.ts'
import { requestProblems } from './problem-requests.ts'

/** In the order of a request's way through the service. */
export const problemKinds = {
  ...requestProblems,
  idempotency_mismatch: {
    status: 422,
    title: 'The Idempotency-Key was used for another request',
    explanation: [
      'A request with the same `Idempotency-Key` but another method, path or body was carried out before. Nothing was done this time.',
      'Use a new key for a new effect, and the same key only to repeat the very same request.',
    ],
    example: 'This Idempotency-Key was used for another request: use a new key.',
  },
  idempotency_in_progress: {
    status: 409,
    title: 'The same request is still running',
    explanation: [
      'A request with this `Idempotency-Key` arrived before and has not been answered yet.',
      'Wait for as many seconds as `Retry-After` says, then send the same request with the same key: it gets the stored answer.',
    ],
    example: 'A request with this Idempotency-Key is still running: repeat it after a second.',
  },
  revision_mismatch: {
    status: 412,
    title: 'The flow has another revision',
    explanation: [
      '`If-Match` named revision `expected`, but the flow is at revision `actual`: somebody changed it since it was read. Nothing was done.',
      'Read the flow, decide anew on what it is now, and send the request with its present `ETag`.',
    ],
    example: 'The flow is at revision 4, not 3: read it and decide anew.',
  },
  precondition_failed: {
    status: 412,
    title: 'It is there already',
    explanation: [
      '`If-None-Match: *` asks for something to be made only if there is nothing yet, and there is. Nothing was changed.',
      'Read what is there, which another attempt has recorded, and go on with that.',
    ],
    example: 'Something is recorded under this key already. Read it and go on with that.',
  },
  already_terminal: {
    status: 409,
    title: 'The flow has ended',
    explanation: [
      'A flow that is `finished`, `failed` or `cancelled` stays so for good; only its labels can change. Nothing was done.',
      'Its events tell how it came to its end. Create a new flow to go on.',
    ],
    example: 'This flow is finished, which is final. Create a new flow to go on.',
  },
  cancel_pending: {
    status: 409,
    title: 'A cancel was requested for the flow',
    explanation: [
      'Once a cancel has been requested, a flow goes nowhere else. The service cancels it as soon as nothing runs for it.',
      'Send `cancel` to end it at once.',
    ],
    example: 'A cancel was requested for this flow: only cancel is possible now.',
  },
  illegal_transition: {
    status: 409,
    title: 'The flow cannot go from its status to that one',
    explanation: [
      'Flows go from `created` to `running`; from `running` to `waiting`, `finished` or `failed`; from `waiting` to `running` or `failed`; and from each of these to `cancelled`.',
      '`from` is the present status, `to` the one that was asked for, `allowed` lists where the flow can go. `next_actions` are requests that are legal now.',
    ],
    example: 'A created flow cannot become waiting by this request: it must be running.',
  },
  stale_wait: {
    status: 409,
    title: 'The flow does not stand in this wait any more',
    explanation: [
      'The request named a wait by its id (`expected`), and that wait is over. `actual` is the id of the present wait, or null when the flow waits for nothing.',
      'Read the flow and decide anew. Leave `wait_id` out to end whichever wait is present.',
    ],
    example: 'This wait is over. Read the flow for its present wait, or leave wait_id out.',
  },
  wait_conflict: {
    status: 409,
    title: 'The flow’s wait does not take this request',
    explanation: [
      'The request fits another kind of wait or step than the flow has: only a timer can be moved, and only a mirrored step is observed.',
      'Read the flow to see what it waits for.',
    ],
    example: 'Only a timer can be moved, and this flow does not wait on one.',
  },
  step_conflict: {
    status: 409,
    title: 'The step does not take this request',
    explanation: [
      'The request fits a step in another status, or of another runtime: only a dead step is retried, only a managed one is settled by an operator, only a mirrored one is observed. Nothing was done.',
      '`step_status` is the present status of the step `step_id`. Read it, or list the steps of its flow.',
    ],
    example: 'Only a dead step, which is failed, is retried.',
  },
  lease_lost: {
    status: 409,
    title: 'The lease of this step is over',
    explanation: [
      'A claim gives a step to a worker for a time, under a `lease_token`. This token is not that of the newest claim: the lease ran out and the step was given to another worker, or it was settled already, or released.',
      'Drop the result: whoever has the step now reports it. Send heartbeats in less than a third of the lease, or ask for a longer one. Side effects of a run should be such that they can happen twice.',
    ],
    example:
      'This lease is over: the step was given to another worker or is settled. Drop the result.',
  },
  key_conflict: {
    status: 409,
    title: 'An open flow has this key',
    explanation: [
      'A `key` belongs to one open flow of its namespace at a time; `flow_id` names that flow. Nothing was created.',
      'Use that flow, send `on_conflict: "use_existing"` to be answered with it, or wait until it has ended.',
    ],
    example: 'An open flow has the key order-42 already: use it, or end it first.',
  },
  already_exists: {
    status: 409,
    title: 'There is one with this id already',
    explanation: [
      'Something of this kind has this id in the namespace; `resource` says what, `id` which. Nothing was changed.',
      'Choose another id, or replace what is there with `PUT`.',
    ],
    example: 'There is a source github already: choose another id, or replace it with PUT.',
  },
  hook_disabled: {
    status: 409,
    title: 'The hook is disabled',
    explanation: [
      'Nothing is sent to a hook that is disabled; `reason` says why it is. Its receiver answered 410, nothing reached it for days, or somebody disabled it.',
      'See that its receiver works, enable it with `PATCH /hooks/{hook_id}` and `{"enabled": true}`, and send the same request again.',
    ],
    example: 'This hook is disabled, so nothing is sent to it. Enable it with PATCH first.',
  },
  gone: {
    status: 410,
    title: 'The link does not work any more',
    explanation: [
      'A link ends one wait, once. This one was used, its time is over, or the wait has ended in another way. Nothing was done.',
      '`decided` says what was decided and when: `by` is `link` when somebody used the link, with the `payload` that was sent; `expiry` when its time ran out; else what ended the wait, such as `signal`, `timer`, `timeout` or `cancelled`.',
      'Whoever drives the flow can let it wait again, with a new link.',
    ],
    example: 'This link was used already: what was decided stands in decided.',
  },
  loop_detected: {
    status: 508,
    title: 'Deliveries of hooks go round in circles',
    explanation: [
      'The header `Taskflow-Depth` says how many deliveries led to this request, one after the other: `depth` of them. From `maximum` on nothing is changed, because a hook seems to cause what it is told of. Nothing was done.',
      'Look at the receiver: what it does with this service must not cause the events that its hook asks for. Let the hook ask for fewer `kinds`, for one controller or for some labels.',
      'Receivers that call this service hand the header on, as they got it.',
    ],
    example: 'A hook causes what it is told of: let it ask for fewer kinds of events.',
  },
  quota_exceeded: {
    status: 429,
    title: 'There is no room for more of these',
    explanation: [
      '`limit` names what there may be only so many of, `maximum` is how many: `kept_signals` for signals that nobody has taken yet, `streams_per_caller` for open event streams, `namespace_open_flows`, `namespace_open_steps`, `namespace_kept_signals`, `namespace_hooks`, `namespace_streams` and `namespace_bytes` for all that a namespace may have. Nothing was done.',
      'Signals: let a flow take some of those that are kept, or send `ttl: "PT0S"` when one that nobody waits for need not be kept. Streams: close what is not needed any more. Or ask the operator of the service to raise the limit.',
    ],
    example: '1000 signals are kept here already. Send it again when a flow has taken some.',
  },
  overloaded: {
    status: 503,
    title: 'The service has too much to do',
    explanation: [
      'More requests are queued than the service takes in. Nothing was done.',
      'Send the same request again after as many seconds as `Retry-After` says, and fewer at a time.',
    ],
    example: 'Too many changes are queued: repeat this one after a second.',
  },
  unavailable: {
    status: 503,
    title: 'The service cannot answer at the moment',
    explanation: [
      'The database cannot be reached, the answer took too long, or the service is stopping. The process lives and heals by itself.',
      'The request may have taken effect. Repeat it after as many seconds as `Retry-After` says: with the same `Idempotency-Key` it never takes effect twice.',
    ],
    example: 'The database cannot be reached at the moment. Send the same request again shortly.',
  },
  internal: {
    status: 500,
    title: 'The service failed',
    explanation: [
      'This is a defect of the service, not of the request. The log of the service says more under the same `request_id`.',
      'Please report it with that id.',
    ],
    example: 'The service failed on this request. Report the request id.',
  },
} as const satisfies Record<ErrorCode, ProblemKind>

/** Every code, in the order of the catalogue. */
export const problemCodes: readonly ErrorCode[] = Object.keys(problemKinds).filter(isErrorCode)

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(problemKinds, text)
}
