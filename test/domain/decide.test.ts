// The state machine as a table: what every command does to a flow in every condition, and which refusal comes first.

import { describe, expect, test } from 'vitest'
import type { Command, DecidedFlow, Decision } from '../../src/domain/command.ts'
import { decide } from '../../src/domain/decide.ts'
import { FlowError } from '../../src/domain/errors.ts'
import { isTerminal } from '../../src/domain/flow.ts'
import { shardOf, shardToken, shardTokens } from '../../src/domain/shard.ts'
import { blankStep, type StepRecord } from '../../src/domain/step.ts'
import { flowIn, id, later, limits, start, waitId, waits } from '../support/flow-samples.ts'

const now = later(1_000)
/** Later than the timer of the samples. */
const late = later(61_000)

const conditions: Record<string, DecidedFlow> = {}
for (const sticky of [false, true]) {
  const more = sticky ? { cancel_requested: true, cancel_reason: 'enough', wake_at: start } : {}
  const mark = sticky ? '!' : ''
  conditions[`created${mark}`] = flowIn('created', more)
  conditions[`running${mark}`] = flowIn('running', { ...more, wake_at: null })
  conditions[`timer${mark}`] = flowIn('waiting', { wait: waits.timer, ...more })
  conditions[`event${mark}`] = flowIn('waiting', { wait: waits.event, ...more })
  conditions[`manual${mark}`] = flowIn('waiting', { wait: waits.manual, ...more })
}
for (const status of ['finished', 'failed', 'cancelled'] as const) {
  conditions[status] = flowIn(status)
}

const step: StepRecord = {
  ...blankStep(
    {
      id: id(1),
      shard: shardToken(7),
      namespace: 'default',
      controller_id: 'kate/inbox',
      traceparent: null,
    },
    id(9),
    start,
  ),
  run_id: 'run-1',
  runtime: 'mirrored',
  task: 'classify',
  status: 'running',
  observed_at: start,
}
const observation = { run_id: 'run-1', task: 'classify', status: 'running' } as const
const settled = { kind: 'external_event', topic: 'payment.settled' } as const

const commands: Record<string, [command: Command, at?: string]> = {
  start: [{ type: 'start' }],
  'wait-timer': [{ type: 'wait', wait_id: id(5), wait: { kind: 'timer', after: 5 } }],
  'wait-event': [
    { type: 'wait', wait_id: id(5), wait: { ...settled, correlation_id: 'order-43' } },
  ],
  'wait-manual': [{ type: 'wait', wait_id: id(5), wait: { kind: 'manual' } }],
  'move-timer': [{ type: 'move_timer', at: later(90_000) }],
  'move-nowhere': [{ type: 'move_timer', at: waits.timer.at }],
  resume: [{ type: 'resume', state_patch: { b: 2 } }],
  'resume-this': [{ type: 'resume', wait_id: waitId }],
  'resume-other': [{ type: 'resume', wait_id: id(6) }],
  'signal-event': [
    { type: 'signal', signal_id: id(7), target: { ...settled, correlation_id: 'order-42' } },
  ],
  'signal-else': [
    { type: 'signal', signal_id: id(7), target: { ...settled, correlation_id: 'order-1' } },
  ],
  'signal-name': [
    { type: 'signal', signal_id: id(7), target: { kind: 'manual', signal: 'approved' } },
  ],
  'signal-noname': [
    { type: 'signal', signal_id: id(7), target: { kind: 'manual', signal: 'denied' } },
  ],
  update: [{ type: 'update_state', patch: { b: 2 }, unset: ['a'], next_step: 'classify' }],
  'update-none': [{ type: 'update_state', patch: {}, unset: [] }],
  label: [{ type: 'update_labels', labels: { tier: null, zone: 'eu' } }],
  'label-same': [{ type: 'update_labels', labels: { tier: 'gold', none: null } }],
  finish: [{ type: 'finish', final_state: { b: 2 } }],
  fail: [{ type: 'fail', reason: 'broken' }],
  'request-cancel': [{ type: 'request_cancel', reason: 'enough' }],
  cancel: [{ type: 'cancel' }],
  observe: [{ type: 'observe', step_id: id(9), observation, known: null }],
  'observe-same': [{ type: 'observe', step_id: id(8), observation, known: step }],
  'observe-stale': [
    {
      type: 'observe',
      step_id: id(8),
      observation: { ...observation, status: 'pending', observed_at: later(-1) },
      known: step,
    },
  ],
  fire: [{ type: 'fire' }, late],
  'fire-early': [{ type: 'fire' }, now],
  quarantine: [{ type: 'quarantine', reason: 'it could not be fired' }],
}

/**
 * `~` changes and keeps the status, `=` changes nothing, `?` changes nothing and is unmatched, `<` is
 * stale; a status is the next one; `illegal`, `pending`, `ended`, `conflict` and `stale` are refusals.
 */
const table = `
               created   running   timer     event     manual    created!  running!  timer!    event!    manual!   finished failed   cancelled
start          running   illegal   illegal   illegal   illegal   pending   pending   pending   pending   pending   ended    ended    ended
wait-timer     illegal   waiting   illegal   illegal   illegal   pending   pending   pending   pending   pending   ended    ended    ended
wait-event     illegal   waiting   illegal   illegal   illegal   pending   pending   pending   pending   pending   ended    ended    ended
wait-manual    illegal   waiting   illegal   illegal   illegal   pending   pending   pending   pending   pending   ended    ended    ended
move-timer     conflict  conflict  ~         conflict  conflict  pending   pending   pending   pending   pending   ended    ended    ended
move-nowhere   conflict  conflict  =         conflict  conflict  pending   pending   pending   pending   pending   ended    ended    ended
resume         illegal   illegal   running   running   running   pending   pending   pending   pending   pending   ended    ended    ended
resume-this    stale     stale     running   running   running   pending   pending   pending   pending   pending   ended    ended    ended
resume-other   stale     stale     stale     stale     stale     pending   pending   pending   pending   pending   ended    ended    ended
signal-event   ?         ?         ?         running   ?         pending   pending   pending   pending   pending   ended    ended    ended
signal-else    ?         ?         ?         ?         ?         pending   pending   pending   pending   pending   ended    ended    ended
signal-name    ?         ?         ?         ?         running   pending   pending   pending   pending   pending   ended    ended    ended
signal-noname  ?         ?         ?         ?         ?         pending   pending   pending   pending   pending   ended    ended    ended
update         ~         ~         ~         ~         ~         pending   pending   pending   pending   pending   ended    ended    ended
update-none    =         =         =         =         =         pending   pending   pending   pending   pending   ended    ended    ended
label          ~         ~         ~         ~         ~         ~         ~         ~         ~         ~         ~        ~        ~
label-same     =         =         =         =         =         =         =         =         =         =         =        =        =
finish         illegal   finished  illegal   illegal   illegal   pending   pending   pending   pending   pending   ended    ended    ended
fail           illegal   failed    failed    failed    failed    pending   pending   pending   pending   pending   ended    ended    ended
request-cancel ~         ~         ~         ~         ~         =         =         =         =         =         ended    ended    ended
cancel         cancelled cancelled cancelled cancelled cancelled cancelled cancelled cancelled cancelled cancelled ended    ended    ended
observe        ~         ~         ~         ~         ~         ~         ~         ~         ~         ~         ~        ~        ~
observe-same   =         =         =         =         =         =         =         =         =         =         =        =        =
observe-stale  <         <         <         <         <         <         <         <         <         <         <        <        <
fire           =         =         running   =         =         cancelled =         cancelled cancelled cancelled =        =        =
fire-early     =         =         =         =         =         cancelled =         cancelled cancelled cancelled =        =        =
quarantine     =         =         ~         =         =         ~         =         ~         ~         ~         =        =        =
`

const refusals: Record<string, string> = {
  illegal: 'illegal_transition',
  pending: 'cancel_pending',
  ended: 'already_terminal',
  conflict: 'wait_conflict',
  stale: 'stale_wait',
}
const quiet: Record<string, string> = { '=': 'unchanged', '?': 'unmatched', '<': 'stale' }

const [head = '', ...lines] = table.trim().split('\n')
const columns = head.trim().split(/\s+/)
const cells = lines.flatMap((line) => {
  const [name = '', ...marks] = line.split(/\s+/)
  return marks.map((mark, i) => ({ name, condition: columns[i] ?? '', mark }))
})

function run(flow: DecidedFlow, name: string): Decision {
  const [command, at = now] = commands[name] ?? [{ type: 'fire' }]
  return decide(flow, command, 'tester', at, limits)
}

function flowOf(condition: string): DecidedFlow {
  const flow = conditions[condition]
  if (flow === undefined) throw new Error(`no condition ${condition}`)
  return flow
}

test('the table has a cell for each command in each condition', () => {
  expect(columns).toEqual(Object.keys(conditions))
  expect(lines.map((line) => line.split(/\s+/)[0])).toEqual(Object.keys(commands))
  expect(cells).toHaveLength(columns.length * lines.length)
})

describe.each(columns)('%s', (condition) => {
  test.each(cells.filter((cell) => cell.condition === condition))('$name: $mark', (cell) => {
    const flow = flowOf(condition)
    const frozen = structuredClone(flow)
    const refusal = refusals[cell.mark]
    if (refusal !== undefined) {
      expect(() => run(flow, cell.name)).toThrow(
        expect.objectContaining({ name: 'FlowError', code: refusal }),
      )
    } else {
      const decision = run(flow, cell.name)
      const outcome = quiet[cell.mark]
      if (outcome !== undefined) {
        expect(decision).toMatchObject({ outcome, events: [], effects: [], patch: null })
        expect(decision.flow).toBe(flow)
      } else {
        const status = cell.mark === '~' ? flow.status : cell.mark
        expect(decision.flow.status).toBe(status)
        expect(decision.flow.revision).toBe(flow.revision + 1)
        expect(decision.events).toHaveLength(1)
        expect(decision.events[0]).toMatchObject({ flow_id: flow.id, revision: flow.revision + 1 })
        expect(decision.flow.closed_at !== null).toBe(isTerminal(decision.flow.status))
        expect(decision.flow.wait !== null).toBe(decision.flow.status === 'waiting')
        if (decision.flow.closed_at !== null) expect(decision.flow.wake_at).toBeNull()
      }
    }
    expect(flow, 'the flow that went in').toEqual(frozen)
  })
})

function refusalOf(work: () => unknown): FlowError {
  try {
    work()
  } catch (error) {
    if (error instanceof FlowError) return error
    throw error
  }
  throw new Error('not refused')
}

describe('refusals', () => {
  test('illegal_transition names from, to, what is allowed and the present wait', () => {
    expect(refusalOf(() => run(flowOf('timer'), 'finish')).detail).toEqual({
      flow_id: id(1),
      from: 'waiting',
      to: 'finished',
      allowed: ['running', 'failed', 'cancelled'],
      wait: waits.timer,
    })
  })

  test('stale_wait names both waits', () => {
    expect(refusalOf(() => run(flowOf('timer'), 'resume-other')).detail).toEqual({
      flow_id: id(1),
      expected: id(6),
      actual: waitId,
    })
  })

  test('each message is at most 25 words', () => {
    for (const { name, condition, mark } of cells) {
      if (refusals[mark] === undefined) continue
      const { message } = refusalOf(() => run(flowOf(condition), name))
      expect(message.split(/\s+/).length, message).toBeLessThanOrEqual(25)
    }
  })

  test('a timer past the year 9999 is refused', () => {
    const wait = { kind: 'timer', after: Number.MAX_SAFE_INTEGER } as const
    const command: Command = { type: 'wait', wait_id: id(5), wait }
    expect(
      refusalOf(() => decide(flowOf('running'), command, 'tester', now, limits)).detail,
    ).toMatchObject({ errors: [{ pointer: '/after', code: 'out_of_range' }] })
  })
})

describe('waits', () => {
  const decideWait = (wait: Extract<Command, { type: 'wait' }>['wait'], flow = flowIn('running')) =>
    decide(flow, { type: 'wait', wait_id: id(5), wait }, 'tester', now, limits)

  test('a timer counts from the database now, or stands at its instant', () => {
    const counted = decideWait({ kind: 'timer', after: 500 })
    expect(counted.flow.wait).toEqual({ id: id(5), kind: 'timer', at: later(1_500), since: now })
    expect(counted.flow.wake_at).toBe(later(1_500))
    const past = decideWait({ kind: 'timer', at: later(-5_000) })
    expect(past.flow.wait).toMatchObject({ at: later(-5_000) })
    expect(past.flow.wake_at, 'due at once, and never before the change itself').toBe(now)
  })

  test('match keys open on their correlation’s shard and close with the wait, whatever ends it', () => {
    const opened = decideWait({ ...settled, correlation_id: 'order-42' })
    const key = {
      shard: shardToken(shardOf('default', 'order-42')),
      topic: 'payment.settled',
      correlation_id: 'order-42',
      wait_id: id(5),
    }
    expect(opened.effects).toEqual([expect.objectContaining({ type: 'open_match_key', ...key })])
    for (const name of ['resume', 'signal-event', 'fail', 'cancel']) {
      const { effects } = run(opened.flow, name)
      expect(effects, name).toEqual([expect.objectContaining({ type: 'close_match_key', ...key })])
    }
    for (const name of ['update', 'label', 'request-cancel', 'observe']) {
      expect(
        run(opened.flow, name).effects.filter((effect) => effect.type === 'close_match_key'),
        name,
      ).toEqual([])
    }
    const swept = decide(
      run(opened.flow, 'request-cancel').flow,
      { type: 'fire' },
      'w',
      now,
      limits,
    )
    expect(swept.effects).toEqual([expect.objectContaining({ type: 'close_match_key', ...key })])
  })

  test('a key says whether it lives on the shard of its flow', () => {
    const correlation_id = 'order-42'
    const own = shardToken(shardOf('default', correlation_id))
    const other = shardTokens.find((token) => token !== own) ?? own
    const spec = { ...settled, correlation_id }
    const near = decideWait(spec, flowIn('running', { shard: own }))
    const far = decideWait(spec, flowIn('running', { shard: other }))
    expect(near.effects[0]?.reach).toBe('local')
    expect(far.effects[0]?.reach).toBe('remote')
  })

  test('what ends a wait is named: by whom, which wait, which signal', () => {
    const signal: Command = {
      type: 'signal',
      signal_id: id(7),
      sender_id: 'evt_1',
      target: { ...settled, correlation_id: 'order-42' },
      payload: null,
    }
    const by = (flow: DecidedFlow, command: Command, at = now) =>
      decide(flow, command, 'tester', at, limits).events[0]?.payload
    expect(by(flowOf('event'), signal)).toEqual({
      by: 'signal',
      wait_id: waitId,
      signal_id: id(7),
      sender_id: 'evt_1',
      state_patch: { resume_event: null },
    })
    expect(by(flowOf('timer'), { type: 'fire' }, late)).toEqual({ by: 'timer', wait_id: waitId })
    expect(by(flowOf('manual'), { type: 'resume', state_patch: { b: 2 } })).toEqual({
      by: 'manual',
      wait_id: waitId,
      state_patch: { b: 2 },
    })
  })

  test('a nameless manual wait is ended by any name', () => {
    const { flow } = decideWait({ kind: 'manual' })
    expect(run(flow, 'signal-noname').outcome).toBe('delivered')
  })

  test('a timer fires at its instant and not a millisecond before', () => {
    const at = (ms: number) =>
      decide(flowOf('timer'), { type: 'fire' }, 'w', later(60_000 + ms), limits).outcome
    expect([at(-1), at(0), at(1)]).toEqual(['unchanged', 'changed', 'changed'])
  })

  test('a moved timer is due at its new time, and at once when that is past', () => {
    const moved = (ms: number) =>
      decide(flowOf('timer'), { type: 'move_timer', at: later(ms) }, 'tester', now, limits).flow
    expect(moved(90_000).wake_at).toBe(later(90_000))
    expect(moved(-90_000)).toMatchObject({ wake_at: now, wait: { at: later(-90_000), id: waitId } })
  })

  test('a cancel that was requested is due at once, unless the flow runs', () => {
    const wakes = (condition: string) => run(flowOf(condition), 'request-cancel').flow.wake_at
    expect([wakes('created'), wakes('event'), wakes('timer')]).toEqual([now, now, now])
    expect(wakes('running')).toBeNull()
  })

  test('the reason of a requested cancel stands in the event that ends the flow', () => {
    const { flow } = run(flowOf('timer'), 'request-cancel')
    const swept = decide(flow, { type: 'fire' }, 'wait-engine', now, limits)
    expect(swept.events[0]?.payload).toEqual({ by: 'request', reason: 'enough' })
    expect(run(flow, 'cancel').events[0]?.payload).toEqual({ by: 'caller', reason: 'enough' })
  })

  test.each([
    ['no wait', null],
    ['a text', 'later'],
    ['a list', []],
    ['no id', { kind: 'timer', at: start, since: start }],
    ['another kind', { id: waitId, kind: 'moon', since: start }],
    ['no time', { id: waitId, kind: 'timer', since: start }],
    ['a wrong time', { id: waitId, kind: 'timer', at: 'soon', since: start }],
  ])('a wait that cannot be read is set aside: %s', (_, wait) => {
    const broken: DecidedFlow = JSON.parse(
      JSON.stringify({ ...flowOf('timer'), wait, wake_at: start }),
    )
    const decision = decide(broken, { type: 'fire' }, 'wait-engine', late, limits)
    expect(decision.events[0]?.kind).toBe('quarantined')
    expect(decision.flow).toMatchObject({ status: 'waiting', wake_at: null })
    const cancelled = decide(decision.flow, { type: 'cancel' }, 'tester', late, limits)
    expect(cancelled.flow, 'and can still be cancelled').toMatchObject({ status: 'cancelled' })
  })
})

describe('limits', () => {
  const big = 'x'.repeat(limits.state_bytes)
  test.each<[string, string, Command]>([
    ['running', 'update_state', { type: 'update_state', patch: { big } }],
    ['running', 'finish', { type: 'finish', final_state: { big } }],
    ['running', 'fail', { type: 'fail', reason: big }],
    ['timer', 'resume', { type: 'resume', state_patch: { big } }],
    [
      'event',
      'signal',
      {
        type: 'signal',
        signal_id: id(7),
        target: { ...settled, correlation_id: 'order-42' },
        payload: big,
      },
    ],
  ])('a %s flow: %s past the size of a state is refused', (condition, _, command) => {
    expect(
      refusalOf(() => decide(flowOf(condition), command, 'tester', now, limits)),
    ).toMatchObject({
      code: 'limit_exceeded',
      detail: { limit: 'state_bytes', maximum: limits.state_bytes },
    })
  })

  test('exactly the limit is allowed, one byte more is not', () => {
    const room = limits.state_bytes - '{"a":""}'.length
    const update = (length: number) =>
      decide(
        flowIn('running', { state: { a: 'old' } }),
        { type: 'update_state', patch: { a: 'é'.repeat(length / 2) + 'x'.repeat(length % 2) } },
        'tester',
        now,
        limits,
      ).flow.state_bytes
    expect(update(room)).toBe(limits.state_bytes)
    expect(() => update(room + 1)).toThrow('would grow past 4096 bytes')
  })

  test('labels: as many as the limit, no more; those removed make room', () => {
    const label = (labels: Record<string, string | null>) =>
      Object.keys(
        decide(flowOf('running'), { type: 'update_labels', labels }, 'tester', now, limits).flow
          .labels,
      )
    expect(label({ a: '1', b: '2', c: '3' })).toEqual(['tier', 'a', 'b', 'c'])
    expect(() => label({ a: '1', b: '2', c: '3', d: '4' })).toThrow('can have 4 labels')
    expect(label({ tier: null, a: '1', b: '2', c: '3', d: '4' })).toEqual(['a', 'b', 'c', 'd'])
  })

  test('__proto__ as a label or a member is plain data', () => {
    const labels: Record<string, string> = JSON.parse('{"__proto__":"x","constructor":"y"}')
    const { flow } = decide(flowOf('running'), { type: 'update_labels', labels }, 't', now, limits)
    expect(Object.getPrototypeOf(flow.labels)).toBe(Object.prototype)
    expect(Object.keys(flow.labels)).toEqual(['tier', '__proto__', 'constructor'])
    const gone = JSON.parse('{"__proto__":null}')
    const removed = decide(flow, { type: 'update_labels', labels: gone }, 't', now, limits)
    expect(Object.keys(removed.flow.labels)).toEqual(['tier', 'constructor'])
    const same = decide(
      flowIn('running', { labels: {} }),
      { type: 'update_labels', labels: { toString: null } },
      't',
      now,
      limits,
    )
    expect(same.outcome, 'toString is no label of a flow without labels').toBe('unchanged')
  })
})
