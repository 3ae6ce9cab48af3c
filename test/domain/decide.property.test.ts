// What holds for every history a flow can have, whatever is asked of it and whatever the clock does; and that the check finds planted faults.

import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Command, DecidedFlow, Decision } from '../../src/domain/command.ts'
import { createFlow } from '../../src/domain/create.ts'
import { decide } from '../../src/domain/decide.ts'
import { FlowError } from '../../src/domain/errors.ts'
import type { FlowEvent } from '../../src/domain/event.ts'
import { type FlowRecord, isTerminal } from '../../src/domain/flow.ts'
import { jsonBytes } from '../../src/domain/json.ts'
import type { StepRecord } from '../../src/domain/step.ts'
import {
  type BranchSpec,
  timeoutActions,
  type WaitSpec,
  wakeTimeOf,
} from '../../src/domain/wait.ts'
import { id, later, limits, newFlow, place } from '../support/flow-samples.ts'
import { fold, shownOf } from '../support/fold.ts'
import { toldKeys, waitFaults, wakeFault } from '../support/wait-invariants.ts'

type Decide = typeof decide
type Template = (flow: DecidedFlow, steps: Map<string, StepRecord>, n: number) => Command

const member = fc.constantFrom(
  'a',
  'b',
  '__proto__',
  'constructor',
  'failure',
  'resume_event',
  'resume_events',
)
const members = fc
  .array(fc.tuple(member, fc.jsonValue({ maxDepth: 1 })), { maxLength: 3 })
  .map((pairs) => JSON.parse(JSON.stringify(Object.fromEntries(pairs))))
const names = fc.constantFrom('x', 'y')
const instant = fc.integer({ min: -5_000, max: 5_000 }).map(later)
const text = fc.string({ unit: 'grapheme', maxLength: 8 })

const branch: fc.Arbitrary<BranchSpec> = fc
  .oneof(
    fc.record({ kind: fc.constant('timer' as const), at: instant }),
    fc.record({ kind: fc.constant('timer' as const), after: fc.nat(3_000) }),
    fc.record({
      kind: fc.constant('external_event' as const),
      topic: names,
      correlation_id: names,
    }),
    fc.record({ kind: fc.constant('manual' as const), signal: names }, { requiredKeys: ['kind'] }),
  )
  // Made plain, as a parsed request is: a copy must compare equal.
  .map((made) => ({ ...made }))
const time = fc.oneof(
  instant.map((at) => ({ at })),
  fc.nat(3_000).map((after) => ({ after })),
)
const spec: fc.Arbitrary<WaitSpec> = fc
  .tuple(
    fc.oneof(
      { weight: 2, arbitrary: branch },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constantFrom('any' as const, 'all' as const),
          of: fc.array(branch, { minLength: 1, maxLength: 3 }),
        }),
      },
    ),
    fc.option(time),
    fc.option(fc.constantFrom(...timeoutActions)),
  )
  .map(([what, timeout, on_timeout]) => ({
    ...what,
    ...(timeout !== null && { timeout, ...(on_timeout !== null && { on_timeout }) }),
  }))

function one(command: fc.Arbitrary<Command>): fc.Arbitrary<Template> {
  return command.map((made) => () => made)
}

const template: fc.Arbitrary<Template> = fc.oneof(
  { weight: 3, arbitrary: one(fc.constant({ type: 'start' })) },
  {
    weight: 6,
    arbitrary: fc.tuple(spec, fc.option(fc.option(fc.nat(1_000)))).map(
      ([wait, ttl]): Template =>
        (_flow, _steps, n) => ({
          type: 'wait',
          wait_id: id(100 + n),
          wait,
          ...(ttl !== null && { link: { token_hash: 'ab', ttl, schema: null } }),
        }),
    ),
  },
  { weight: 4, arbitrary: one(instant.map((at) => ({ type: 'move_timer', at }))) },
  fc.tuple(fc.constantFrom('present', 'other', 'none'), fc.option(members)).map(
    ([which, patch]): Template =>
      (flow) => ({
        type: 'resume',
        ...(which !== 'none' && {
          wait_id: which === 'other' ? id(99) : (flow.wait?.id ?? id(98)),
        }),
        ...(patch !== null && { state_patch: patch }),
      }),
  ),
  {
    weight: 5,
    arbitrary: fc
      .tuple(
        names,
        names,
        fc.constantFrom('key', 'name', 'link', 'old link'),
        fc.option(fc.jsonValue({ maxDepth: 1 })),
      )
      .map(
        ([a, b, by, payload]): Template =>
          (flow) => ({
            type: 'signal',
            signal_id: id(97),
            target:
              by === 'name'
                ? { kind: 'manual', signal: a }
                : by === 'key'
                  ? { kind: 'external_event', topic: a, correlation_id: b }
                  : { kind: 'link', wait_id: by === 'link' ? (flow.wait?.id ?? id(98)) : id(99) },
            ...(payload !== null && { payload: JSON.parse(JSON.stringify(payload)) }),
          }),
      ),
  },
  one(
    fc
      .record(
        { patch: members, unset: fc.array(member, { maxLength: 2 }), next_step: names },
        { requiredKeys: [] },
      )
      .map((given) => ({ type: 'update_state', ...given })),
  ),
  one(
    fc
      .dictionary(fc.constantFrom('p', 'q', '__proto__'), fc.option(names), { maxKeys: 2 })
      .map((labels) => ({ type: 'update_labels', labels })),
  ),
  one(
    fc
      .record(
        {
          retain_ms: fc.constantFrom(null, 1_000, 90_061_500),
          hold: fc.constantFrom(null, { reason: null }, { reason: 'case' }),
        },
        { requiredKeys: [] },
      )
      .map((more) => ({ type: 'update_retention', ...more })),
  ),
  one(
    fc
      .record({ final_state: members }, { requiredKeys: [] })
      .map((f) => ({ type: 'finish', ...f })),
  ),
  one(text.map((reason) => ({ type: 'fail', reason }))),
  one(
    fc
      .record({ reason: text }, { requiredKeys: [] })
      .map((r) => ({ type: 'request_cancel', ...r })),
  ),
  one(fc.record({ reason: text }, { requiredKeys: [] }).map((r) => ({ type: 'cancel', ...r }))),
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        names,
        fc.constantFrom('pending', 'running', 'succeeded'),
        fc.option(instant),
        fc.option(names),
      )
      .map(
        ([run_id, status, observed_at, result]): Template =>
          (_flow, steps, n) => ({
            type: 'observe',
            step_id: id(200 + n),
            observation: {
              run_id,
              task: 'task',
              status,
              ...(observed_at !== null && { observed_at }),
              ...(result !== null && { result }),
            },
            known: steps.get(run_id) ?? null,
          }),
      ),
  },
  { weight: 4, arbitrary: one(fc.constant({ type: 'fire' })) },
  { weight: 3, arbitrary: one(text.map((reason) => ({ type: 'quarantine', reason }))) },
)

const script = fc.record({
  input: fc.record({
    mode: fc.constantFrom('managed' as const, 'mirrored' as const),
    start: fc.boolean(),
    state: members,
    key: fc.option(names),
  }),
  acts: fc.array(fc.record({ make: template, now: instant }), { maxLength: 30 }),
})
type Script = typeof script extends fc.Arbitrary<infer T> ? T : never

function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what)
}

/** Runs a script through a `decide` and throws when a law is broken. Counts what happened. */
function run(decideIt: Decide, { input, acts }: Script, seen = new Map<string, number>()): void {
  const { key, ...rest } = input
  const born = createFlow(
    place,
    { ...newFlow, ...rest, ...(key !== null && { key }) },
    later(0),
    limits,
  )
  const log: FlowEvent[] = [...born.events]
  const steps = new Map<string, StepRecord>()
  const keys = new Set<string>()
  let flow: FlowRecord = born.flow
  must(log.length === flow.revision + 1, 'a new flow has an event for each of its revisions')

  for (const [n, { make, now }] of acts.entries()) {
    const command = make(flow, steps, n)
    const { state, ...control } = flow
    const before = structuredClone(flow)
    const whole = attempt(decideIt, flow, command, now)
    // For an `all` wait the state must be there: it gathers what came.
    const gathers =
      flow.wait?.kind === 'all' || (command.type === 'wait' && command.wait.kind === 'all')
    const blind = gathers ? whole : attempt(decideIt, control, command, now)
    must(isDeepStrictEqual(flow, before), 'decide changed its argument')
    if (whole instanceof FlowError || blind instanceof FlowError) {
      must(
        whole instanceof FlowError && blind instanceof FlowError && whole.code === blind.code,
        'knowing the state decided whether it was refused',
      )
      if (whole instanceof FlowError) count(seen, whole.code)
      continue
    }
    const { state: next, state_bytes, ...shown } = whole.flow
    const { state: none, state_bytes: bound, ...shownBlind } = blind.flow
    must(gathers || none === undefined, 'a state out of nothing')
    must(isDeepStrictEqual(shown, shownBlind), 'knowing the state changed the decision')
    must(isDeepStrictEqual(whole.events, blind.events), 'knowing the state changed the events')
    must(bound >= state_bytes, 'state_bytes is no upper bound')

    if (whole.events.length === 0) {
      must(whole.flow === flow, 'a no-op must answer the very same flow')
      must(whole.effects.length === 0 && whole.patch === null, 'a no-op with consequences')
      count(seen, whole.outcome)
      continue
    }
    const [event] = whole.events
    must(whole.events.length === 1 && event !== undefined, 'more events than revisions')
    must(whole.flow.revision === flow.revision + 1, 'a change raises the revision by one')
    if (isTerminal(flow.status)) {
      must(whole.flow.status === flow.status, 'terminal is final')
      must(isDeepStrictEqual(whole.flow.state, state), 'the state of an ended flow changed')
      must(whole.flow.closed_at === flow.closed_at, 'an ended flow ended again')
    }
    if (flow.cancel_requested) {
      must(whole.flow.cancel_requested, 'a requested cancel was forgotten')
      must(
        whole.flow.status === flow.status || whole.flow.status === 'cancelled',
        `after a requested cancel the flow became ${whole.flow.status}`,
      )
    }
    must(
      whole.flow.wake_at === null ||
        whole.flow.wake_at >= whole.flow.updated_at ||
        whole.flow.wake_at === flow.wake_at,
      'wake_at before the change that set it',
    )
    must(whole.flow.closed_at === null || whole.flow.wake_at === null, 'an ended flow wakes')
    must(next !== undefined, 'the state got lost')
    must(jsonBytes(next ?? null) <= state_bytes, 'state_bytes is too small')
    if (['timer', 'timeout'].includes(String(event?.payload['by'])) && flow.wait !== null) {
      must((wakeTimeOf(flow.wait) ?? '') <= now, 'time acted early')
    }
    for (const effect of whole.effects) {
      if (effect.type === 'save_step') steps.set(effect.step.run_id, effect.step)
      if (effect.type === 'open_match_key') {
        must(!keys.has(keyOf(effect)), 'a match key that was open')
        keys.add(keyOf(effect))
      }
      if (effect.type === 'close_match_key') must(keys.delete(keyOf(effect)), 'a key that was shut')
    }
    flow = { ...whole.flow, state: next ?? {} }
    if (event) log.push(event)
    count(seen, event?.kind ?? '')
    must(isDeepStrictEqual(shownOf(flow), fold(log)), `the log does not tell the row after ${n}`)
    const told = toldKeys(flow).map((key) => key.split(' ').slice(1, 3).join(' '))
    must(
      isDeepStrictEqual(new Set(told), keys),
      `the match keys are not those of the wait after ${n}`,
    )
    const wake = wakeFault(flow, log)
    must(wake === null, wake ?? '')
  }
  const wrong = waitFaults(log)
  must(wrong.length === 0, wrong.join('; '))
}

function keyOf({ topic, correlation_id }: { topic: string; correlation_id: string }): string {
  return `${topic} ${correlation_id}`
}

function attempt(decideIt: Decide, flow: DecidedFlow, command: Command, now: string) {
  try {
    return decideIt(flow, command, 'tester', now, limits)
  } catch (error) {
    if (error instanceof FlowError) return error
    throw error
  }
}

function count(seen: Map<string, number>, what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1)
}

test('every history keeps the laws, and its log folds to the row', () => {
  const seen = new Map<string, number>()
  const wanted = [
    ...[
      'started',
      'waiting',
      'wait_moved',
      'wait_progressed',
      'resumed',
      'state_updated',
      'labels_updated',
      'retention_updated',
    ],
    ...['finished', 'failed', 'cancel_requested', 'cancelled', 'step_observed', 'quarantined'],
    ...['already_terminal', 'cancel_pending', 'illegal_transition', 'stale_wait', 'wait_conflict'],
    ...['unchanged', 'unmatched', 'stale'],
  ]
  const rare = (what: string) => (seen.get(what) ?? 0) <= 15
  let rounds = 0
  do {
    fc.assert(
      fc.property(script, (given) => run(decide, given, seen)),
      { numRuns: 1_500 },
    )
    // Chance may bring some of it about too seldom: then there is another round.
  } while (++rounds < 5 && wanted.some(rare))
  // Not vacuous: everything a flow can go through was gone through.
  for (const what of wanted) {
    expect(seen.get(what) ?? 0, what).toBeGreaterThan(15)
  }
})

/** `decide` with a planted fault: changes what it decided. */
function mutant(change: (made: Decision, flow: DecidedFlow, now: string) => Decision): Decide {
  return (flow, command, actor, now, limit) =>
    change(decide(flow, command, actor, now, limit), flow, now)
}

/** `decide` with a planted fault in one kind of event. */
function wrongAt(kind: string, change: (made: Decision, flow: DecidedFlow) => Decision): Decide {
  return mutant((made, flow) => (made.events[0]?.kind === kind ? change(made, flow) : made))
}

function withFlow(made: Decision, more: Partial<DecidedFlow>): Decision {
  return { ...made, flow: { ...made.flow, ...more } }
}

function withPayload(made: Decision, more: FlowEvent['payload']): Decision {
  return {
    ...made,
    events: made.events.map((event) => ({ ...event, payload: { ...event.payload, ...more } })),
  }
}

const mutants: Record<string, Decide> = {
  'a change that keeps its revision': mutant((made, flow) =>
    withFlow(made, { revision: flow.revision }),
  ),
  'no event for a change of labels': wrongAt('labels_updated', (made) => ({ ...made, events: [] })),
  'two events for one change': wrongAt('started', (made) => ({
    ...made,
    events: [...made.events, ...made.events],
  })),
  'an event for a no-op': (flow, command, actor, now, limit) => {
    const made = decide(flow, command, actor, now, limit)
    if (made.events.length > 0) return made
    const revision = flow.revision + 1
    const event = {
      flow_id: flow.id,
      revision,
      kind: 'resumed' as const,
      payload: {},
      actor,
      at: now,
    }
    return { ...made, flow: { ...flow, revision }, events: [event] }
  },
  'a copy for a no-op': mutant((made, flow) =>
    made.flow === flow ? { ...made, flow: { ...flow } } : made,
  ),
  'the clock may go backwards': mutant((made, _flow, now) => ({
    ...withFlow(made, made.events.length > 0 ? { updated_at: now } : {}),
    events: made.events.map((event) => ({ ...event, at: now })),
  })),
  'cancel can be taken back': (flow, command, actor, now, limit) => {
    const open = command.type === 'resume' ? { ...flow, cancel_requested: false } : flow
    return decide(open, command, actor, now, limit)
  },
  'terminal is not final': (flow, command, actor, now, limit) => {
    const open =
      command.type === 'wait' && flow.status === 'finished'
        ? { ...flow, status: 'running' as const, closed_at: null }
        : flow
    return decide(open, command, actor, now, limit)
  },
  'the wait stays after a resume': wrongAt('resumed', (made, flow) =>
    withFlow(made, { wait: flow.wait }),
  ),
  'the event forgets the patch': wrongAt('state_updated', (made) =>
    withPayload(made, { patch: {} }),
  ),
  'the event forgets what was unset': wrongAt('state_updated', (made) =>
    withPayload(made, { unset: [] }),
  ),
  'the event forgets the next step': wrongAt('state_updated', (made, flow) =>
    withPayload(made, { next_step: flow.current_step }),
  ),
  'a final state that is not saved': wrongAt('finished', (made, flow) =>
    withFlow(made, flow.state === undefined ? {} : { state: flow.state }),
  ),
  'a failure without its time in the state': wrongAt('failed', (made) =>
    made.flow.state === undefined
      ? made
      : withFlow(made, {
          state: {
            ...made.flow.state,
            failure: { reason: String(made.events[0]?.payload['reason']) },
          },
        }),
  ),
  'a closed flow without closed_at': wrongAt('cancelled', (made) =>
    withFlow(made, { closed_at: null }),
  ),
  'a resume that names another wait': wrongAt('resumed', (made) =>
    withPayload(made, { wait_id: id(1) }),
  ),
  'a moved timer that moves in the log alone': wrongAt('wait_moved', (made, flow) =>
    withFlow(made, { wait: flow.wait }),
  ),
  'a timer that fires early': (flow, command, actor, now, limit) => {
    const soon = command.type === 'fire' ? later(6_000) : now
    return decide(flow, command, actor, soon, limit)
  },
  'a branch that stays open when it is satisfied': wrongAt('wait_progressed', (made, flow) =>
    withFlow(made, { wait: flow.wait }),
  ),
  'a deadline that resumes whatever it should do': (flow, command, actor, now, limit) => {
    const { wait } = flow
    const open =
      command.type === 'fire' && wait?.on_timeout === 'fail'
        ? { ...flow, wait: { ...wait, on_timeout: 'resume' as const } }
        : flow
    return decide(open, command, actor, now, limit)
  },
  'a match key that stays open': mutant((made) =>
    made.effects.length > 0
      ? { ...made, effects: made.effects.filter(({ type }) => type !== 'close_match_key') }
      : made,
  ),
  'progress that forgets when to wake': wrongAt('wait_progressed', (made) =>
    withFlow(made, { wake_at: null }),
  ),
  'payloads of an earlier wait that stay': wrongAt('waiting', (made, flow) =>
    flow.state === undefined ? made : withFlow(made, { state: flow.state }),
  ),
  'a size that counts too little': mutant((made, flow) =>
    made.patch === null ? made : withFlow(made, { state_bytes: flow.state_bytes }),
  ),
  'an argument that is changed': (flow, command, actor, now, limit) => {
    const made = decide(flow, command, actor, now, limit)
    if (made.events.length > 0) flow.labels['seen'] = 'yes'
    return made
  },
}

describe('the check finds', () => {
  test.each(Object.entries(mutants))('%s', (_, wrong) => {
    const found = fc.check(
      fc.property(script, (given) => run(wrong, given)),
      { numRuns: 10_000, endOnFailure: true },
    )
    expect(found.failed).toBe(true)
  })
})
