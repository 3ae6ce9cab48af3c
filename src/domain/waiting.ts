// What ends a wait, or advances one that has several branches: a signal, a timer, a deadline, a hand.

import { admit, refuseEnded } from './admission.ts'
import type { Command, DecidedFlow, Decision } from './command.ts'
import { andThen, type Draft, laterOf, setMembers } from './draft.ts'
import { FlowError } from './errors.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { changeMatchKeys } from './match-key.ts'
import { enqueueAfterWait } from './step-enqueue.ts'
import type { Timestamp } from './time.ts'
import { dueOf, makeWait, timeOf } from './timer.ts'
import { branchFor, openBranches, type Wait, wakeTimeOf } from './wait.ts'

/** The member of the state where the payloads of an `all` wait gather, in the places of their branches. */
const gathered = 'resume_events'

/**
 * Lets a flow wait. For an `all` wait the state must be there: what an earlier one gathered goes.
 */
export function beginWait(draft: Draft, command: Extract<Command, { type: 'wait' }>): Decision {
  const { flow, at } = draft
  admit(flow, 'waiting')
  const { link } = command
  const expires =
    link === undefined || link.ttl === null ? null : timeOf({ after: link.ttl }, at, '/link/ttl')
  const wait: Wait = {
    ...makeWait(command.wait_id, command.wait, at),
    ...(link !== undefined && { link_expires_at: expires }),
    ...(command.next !== undefined && { next: command.next }),
  }
  const effects = changeMatchKeys(flow, wait)
  if (link !== undefined) {
    const { token_hash, schema } = link
    effects.push({
      type: 'open_link',
      reach: 'local',
      wait_id: wait.id,
      token_hash,
      expires_at: expires,
      schema,
    })
  }
  // Payloads will gather there: those of an earlier wait must not show through.
  const stale = wait.kind === 'all' && flow.state !== undefined && gathered in flow.state
  const unset = stale ? [gathered] : []
  return draft.change(
    'waiting',
    { wait: { ...wait }, ...(stale && { unset }) },
    { status: 'waiting', wait, wake_at: wakeAt(wait, at) },
    { effects, ...(stale && { patch: { merge: {}, unset } }) },
  )
}

/** When the tick must look at a flow with this wait. */
function wakeAt(wait: Wait, at: Timestamp): Timestamp | null {
  const first = wakeTimeOf(wait)
  return first === null ? null : laterOf(first, at)
}

/** Ends the present wait and lets the flow go on. */
function resumed(
  draft: Draft,
  wait: Wait | null,
  by: 'timer' | 'signal' | 'manual' | 'timeout',
  patch: JsonObject | undefined,
  more: JsonObject = {},
): Decision {
  const decision = draft.change(
    'resumed',
    { by, wait_id: wait?.id ?? null, ...more, ...(patch && { state_patch: patch }) },
    draft.leave('running'),
    {
      ...setMembers(patch),
      effects: changeMatchKeys(draft.flow, null),
      outcome: by === 'signal' ? 'delivered' : 'changed',
    },
  )
  const next = wait?.next
  if (next === undefined) return decision
  const payload = by === 'signal' ? patch?.['resume_event'] : undefined
  const signal = payload === undefined ? {} : { payload }
  return andThen(decision, (flow) => enqueueAfterWait(draft.on(flow), next, signal))
}

/** Resumes by hand, whatever the flow waits for. */
export function resumeByHand(
  draft: Draft,
  command: Extract<Command, { type: 'resume' }>,
): Decision {
  const { flow } = draft
  refuseEnded(flow)
  if (command.wait_id !== undefined && command.wait_id !== flow.wait?.id) {
    throw new FlowError(
      'stale_wait',
      'This wait is over. Read the flow for its present wait, or leave wait_id out.',
      { flow_id: flow.id, expected: command.wait_id, actual: flow.wait?.id ?? null },
    )
  }
  admit(flow, 'running', 'waiting')
  return resumed(draft, flow.wait, 'manual', command.state_patch)
}

/** Lets a signal end or advance the present wait; outcome `unmatched` when that is not for it. */
export function takeSignal(draft: Draft, command: Extract<Command, { type: 'signal' }>): Decision {
  const { flow } = draft
  refuseEnded(flow)
  const { wait } = flow
  if (wait === null) return draft.unchanged('unmatched')
  const { target, payload } = command
  const told: JsonObject = {
    signal_id: command.signal_id,
    ...(command.sender_id !== undefined && { sender_id: command.sender_id }),
  }
  if (target.kind === 'link') {
    const expires = wait.link_expires_at ?? null
    const expired = expires !== null && expires <= draft.at
    if (target.wait_id !== wait.id || expired) return draft.unchanged('unmatched')
    // A link stands for the whole wait: whoever confirms it decides for all branches.
    return resumed(draft, wait, 'signal', patchOf(payload), { ...told, link: true })
  }
  const found = branchFor(wait, target)
  if (found === null) return draft.unchanged('unmatched')
  return satisfy(draft, wait, found.index, 'signal', told, payload)
}

function patchOf(payload: JsonValue | undefined): JsonObject | undefined {
  return payload === undefined ? undefined : { resume_event: payload }
}

/** Satisfies one branch: that ends the wait, or advances an `all` wait that has others open. */
function satisfy(
  draft: Draft,
  wait: Wait,
  index: number | null,
  by: 'signal' | 'timer',
  told: JsonObject,
  payload: JsonValue | undefined,
): Decision {
  const { flow, at } = draft
  const more = index === null ? told : { branch: index, ...told }
  if (wait.kind !== 'all' || index === null) {
    return resumed(draft, wait, by, patchOf(payload), more)
  }
  const satisfied = wait.satisfied.map((done, i) => done || i === index)
  const sofar = gatherPayload(flow, wait, index, payload)
  if (!satisfied.includes(false)) {
    const patch = { ...patchOf(payload), ...sofar }
    return resumed(draft, wait, by, Object.keys(patch).length > 0 ? patch : undefined, more)
  }
  const next: Wait = { ...wait, satisfied }
  return draft.change(
    'wait_progressed',
    {
      by,
      wait_id: wait.id,
      ...more,
      satisfied,
      ...(sofar && { state_patch: sofar }),
    },
    { wait: next, wake_at: wakeAt(next, at) },
    {
      ...setMembers(sofar),
      effects: changeMatchKeys(flow, next),
      outcome: by === 'signal' ? 'delivered' : 'changed',
    },
  )
}

/** The payloads of an `all` wait with one more; to know the others, the state must be there. */
function gatherPayload(
  flow: DecidedFlow,
  wait: Extract<Wait, { kind: 'all' }>,
  index: number,
  payload: JsonValue | undefined,
): JsonObject | undefined {
  if (payload === undefined) return undefined
  const known = wait.satisfied.includes(true) ? flow.state?.[gathered] : undefined
  const before = Array.isArray(known) ? known : []
  return {
    [gathered]: wait.of.map((_, i) => (i === index ? payload : (before[i] ?? null))),
  }
}

/** Moves the one timer that the flow waits on. */
export function moveTimer(
  draft: Draft,
  command: Extract<Command, { type: 'move_timer' }>,
): Decision {
  const { flow, at } = draft
  refuseEnded(flow)
  const timers = flow.wait === null ? [] : openTimers(flow.wait)
  const [timer] = timers
  if (flow.wait === null || timer === undefined || timers.length > 1) {
    throw new FlowError(
      'wait_conflict',
      timers.length > 1
        ? 'This flow waits on several timers, so none of them can be moved.'
        : 'Only a timer can be moved, and this flow does not wait on one.',
      { flow_id: flow.id },
    )
  }
  // One that was set aside has no time to wake: moving it, also to where it was, makes it due again.
  if (timer.at === command.at && flow.wake_at !== null) return draft.unchanged('unchanged')
  const wait = withTimer(flow.wait, timer.index, command.at)
  return draft.change(
    'wait_moved',
    {
      wait_id: wait.id,
      ...(timer.index !== null && { branch: timer.index }),
      from: timer.at,
      at: command.at,
    },
    { wait, wake_at: wakeAt(wait, at) },
  )
}

function openTimers(wait: Wait): { at: Timestamp; index: number | null }[] {
  return openBranches(wait).flatMap(({ branch, index }) =>
    branch.kind === 'timer' ? [{ at: branch.at, index }] : [],
  )
}

function withTimer(wait: Wait, index: number | null, at: Timestamp): Wait {
  if (wait.kind === 'timer') return { ...wait, at }
  if (wait.kind !== 'any' && wait.kind !== 'all') return wait
  return { ...wait, of: wait.of.map((one, i) => (i === index ? { kind: 'timer', at } : one)) }
}

/** Lets time act on the present wait: a timer that is due, or the deadline. */
export function fireWait(draft: Draft, wait: Wait, now: Timestamp): Decision {
  const due = dueOf(wait, now)
  // A timer that was moved since it was found due is not due any more.
  if (due === null) return draft.unchanged('unchanged')
  if (due.by === 'timer') return satisfy(draft, wait, due.index, 'timer', {}, undefined)
  const { at } = draft
  const told = { by: 'timeout', wait_id: wait.id }
  const effects = changeMatchKeys(draft.flow, null)
  switch (wait.on_timeout) {
    case 'fail': {
      const failure = { reason: 'the wait timed out', at }
      return draft.change('failed', { ...failure, ...told }, draft.leave('failed'), {
        ...setMembers({ failure }),
        effects,
      })
    }
    case 'cancel':
      return draft.change(
        'cancelled',
        { ...told, reason: 'the wait timed out' },
        draft.leave('cancelled'),
        { effects },
      )
    default:
      return resumed(draft, wait, 'timeout', undefined)
  }
}
