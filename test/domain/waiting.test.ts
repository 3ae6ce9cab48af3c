// Waits for any or all of several things, with deadlines: every kind of branch in every order of arrival, judged by a table of what each arrival does.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Command, DecidedFlow, Decision } from '../../src/domain/command.ts'
import { decide } from '../../src/domain/decide.ts'
import { FlowError } from '../../src/domain/errors.ts'
import type { FlowEvent } from '../../src/domain/event.ts'
import { matchKeysOf } from '../../src/domain/match-key.ts'
import type { BranchSpec, TimeoutAction, WaitSpec } from '../../src/domain/wait.ts'
import { flowIn, id, later, limits, waitId } from '../support/flow-samples.ts'
import { toldBranches, waitFaults } from '../support/wait-invariants.ts'

const decideIt = (flow: DecidedFlow, command: Command, at: string) =>
  decide(flow, command, 'tester', at, limits)

/** A flow that waits for this since second 0. */
function waitingFor(wait: WaitSpec, state = {}): Decision {
  const flow = flowIn('running', { state })
  return decideIt(flow, { type: 'wait', wait_id: waitId, wait }, later(0))
}

type Name = 'timer' | 'event' | 'named' | 'nameless'

const branches: Record<Name, BranchSpec> = {
  timer: { kind: 'timer', at: later(1_000) },
  event: { kind: 'external_event', topic: 't', correlation_id: 'c' },
  named: { kind: 'manual', signal: 'go' },
  nameless: { kind: 'manual' },
}
const names = Object.keys(branches) as Name[]

/** What can come, with the kinds of branches that it satisfies. */
const arrivals: Record<string, { command: Command; fits: Name[] }> = {
  tick: { command: { type: 'fire' }, fits: ['timer'] },
  'the event': {
    command: {
      type: 'signal',
      signal_id: id(11),
      target: { kind: 'external_event', topic: 't', correlation_id: 'c' },
      payload: 'e',
    },
    fits: ['event'],
  },
  'another event': {
    command: {
      type: 'signal',
      signal_id: id(12),
      target: { kind: 'external_event', topic: 't', correlation_id: 'd' },
      payload: 'x',
    },
    fits: [],
  },
  'the name': {
    command: {
      type: 'signal',
      signal_id: id(13),
      target: { kind: 'manual', signal: 'go' },
      payload: 'n',
    },
    fits: ['named', 'nameless'],
  },
  'another name': {
    command: {
      type: 'signal',
      signal_id: id(14),
      target: { kind: 'manual', signal: 'other' },
      payload: null,
    },
    fits: ['nameless'],
  },
}

/** All ways to choose `length` of these, with repetition and in every order. */
function tuples<T>(from: readonly T[], length: number): T[][] {
  if (length === 0) return [[]]
  return tuples(from, length - 1).flatMap((rest) => from.map((one) => [...rest, one]))
}

/** The first open branch that an arrival is for, by the table above. */
function expectedBranch(of: readonly Name[], open: readonly boolean[], fits: readonly Name[]) {
  return of.findIndex((name, i) => open[i] === true && fits.includes(name))
}

const comings = Object.entries(arrivals)
let checked = 0

/** Lets things come to a wait, one after another, and compares each answer with the table. */
function follow(
  kind: 'any' | 'all',
  of: readonly Name[],
  order: readonly (typeof comings)[number][],
) {
  const began = waitingFor({ kind, of: of.map((name) => branches[name]) })
  const log: FlowEvent[] = [...began.events]
  let { flow } = began
  const open = of.map(() => true)
  const gathered: unknown[] = of.map(() => null)
  for (const [n, [name, { command, fits }]] of order.entries()) {
    if (flow.status !== 'waiting') break
    checked++
    const here = `${kind} of ${of}: ${order.map(([one]) => one)}, at ${n} (${name})`
    const index = expectedBranch(of, open, fits)
    const made = decideIt(flow, command, later(2_000 + n))
    if (index < 0) {
      const quiet = command.type === 'fire' ? 'unchanged' : 'unmatched'
      if (made.flow !== flow || made.outcome !== quiet) throw new Error(`${here}: did something`)
      continue
    }
    open[index] = false
    const payload = command.type === 'signal' ? command.payload : undefined
    if (payload !== undefined) gathered[index] = payload
    const over = kind === 'any' || !open.includes(true)
    const [event] = made.events
    if (event?.kind !== (over ? 'resumed' : 'wait_progressed')) {
      throw new Error(`${here}: ${event?.kind}`)
    }
    if (event.payload['branch'] !== index) {
      throw new Error(`${here}: branch ${event.payload['branch']}, not ${index}`)
    }
    if (made.flow.status !== (over ? 'running' : 'waiting')) throw new Error(`${here}: status`)
    const wait = made.flow.wait
    if (!over && wait?.kind === 'all') {
      const satisfied = open.map((one) => !one)
      if (String(wait.satisfied) !== String(satisfied)) throw new Error(`${here}: progress`)
    }
    if (kind === 'all' && payload !== undefined) {
      const told = JSON.stringify(made.flow.state?.['resume_events'])
      if (told !== JSON.stringify(gathered)) throw new Error(`${here}: gathered ${told}`)
    }
    if (over && payload !== undefined && made.flow.state?.['resume_event'] !== payload) {
      throw new Error(`${here}: the last payload is not there`)
    }
    // A wait is found by what its open branches wait for, and wakes for their timers.
    const awaited = of.some((one, i) => one === 'event' && open[i] === true)
    const timed = of.some((one, i) => one === 'timer' && open[i] === true)
    if (matchKeysOf(made.flow.wait).size > 0 !== (awaited && !over)) {
      throw new Error(`${here}: match keys`)
    }
    const closes = made.effects.some(({ type }) => type === 'close_match_key')
    const had = matchKeysOf(flow.wait).size > matchKeysOf(made.flow.wait).size
    if (closes !== had) throw new Error(`${here}: effects`)
    if ((made.flow.wake_at !== null) !== (timed && !over)) throw new Error(`${here}: wake_at`)
    log.push(event)
    flow = made.flow
  }
  const wrong = waitFaults(log)
  if (wrong.length > 0) throw new Error(`${kind} of ${of}: ${wrong}`)
}

describe.each(['any', 'all'] as const)('%s', (kind) => {
  test.each([1, 2, 3])('of %i branches of all kinds, in every order of arrival', (size) => {
    checked = 0
    for (const of of tuples(names, size)) {
      for (const order of tuples(comings, Math.min(size, 3))) follow(kind, of, order)
    }
    expect(checked).toBeGreaterThan(10)
  })

  test('of 4 branches, some orders', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...names), { minLength: 4, maxLength: 4 }),
        fc.array(fc.constantFrom(...comings), { minLength: 4, maxLength: 8 }),
        (of, order) => follow(kind, of, order),
      ),
      { numRuns: 3_000 },
    )
  })
})

describe('deadlines', () => {
  const untilThen = (
    on_timeout?: TimeoutAction,
    what: BranchSpec = branches.nameless,
  ): WaitSpec => ({
    ...what,
    timeout: { after: 5_000 },
    ...(on_timeout && { on_timeout }),
  })

  test.each([
    ['resume', 'running', 'resumed'],
    ['fail', 'failed', 'failed'],
    ['cancel', 'cancelled', 'cancelled'],
    [undefined, 'running', 'resumed'],
  ] as const)('on_timeout %s: the flow is %s', (on_timeout, status, kind) => {
    for (const of of [
      branches.nameless,
      branches.event,
      { kind: 'timer', at: later(9_000) } as const,
    ]) {
      const { flow, events } = waitingFor(untilThen(on_timeout, of))
      expect(flow.wake_at).toBe(later(5_000))
      expect(flow.wait).toMatchObject({
        timeout_at: later(5_000),
        on_timeout: on_timeout ?? 'resume',
      })
      expect(decideIt(flow, { type: 'fire' }, later(4_999)).flow).toBe(flow)
      const fired = decideIt(flow, { type: 'fire' }, later(5_000))
      expect(fired.flow).toMatchObject({ status, wait: null, wake_at: null })
      expect(fired.events[0]).toMatchObject({ kind, payload: { by: 'timeout', wait_id: waitId } })
      const keys = of.kind === 'external_event' ? 1 : 0
      expect(fired.effects.filter(({ type }) => type === 'close_match_key')).toHaveLength(keys)
      expect(waitFaults([...events, ...fired.events])).toEqual([])
      if (status === 'failed') {
        const failure = { reason: 'the wait timed out', at: later(5_000) }
        expect(fired.flow.state).toMatchObject({ failure })
      }
    }
  })

  test('a timer that is due with the deadline comes before it, a later one behind it', () => {
    const timer = (ms: number): BranchSpec => ({ kind: 'timer', at: later(ms) })
    const fire = (of: BranchSpec) =>
      decideIt(waitingFor(untilThen('fail', of)).flow, { type: 'fire' }, later(60_000))
    expect(fire(timer(4_999)).events[0]).toMatchObject({
      kind: 'resumed',
      payload: { by: 'timer' },
    })
    expect(fire(timer(5_000)).events[0]).toMatchObject({
      kind: 'resumed',
      payload: { by: 'timer' },
    })
    expect(fire(timer(5_001)).events[0]).toMatchObject({
      kind: 'failed',
      payload: { by: 'timeout' },
    })
  })

  test('timers of an all wait fire one by one, the earliest first, and then its deadline', () => {
    const of: BranchSpec[] = [2_000, 1_000, 9_000].map((ms) => ({ kind: 'timer', at: later(ms) }))
    let { flow } = waitingFor({ kind: 'all', of, timeout: { after: 5_000 }, on_timeout: 'cancel' })
    expect(flow.wake_at).toBe(later(1_000))
    const told = []
    while (flow.status === 'waiting') {
      const fired = decideIt(flow, { type: 'fire' }, later(6_000))
      if (fired.flow === flow) break
      told.push([fired.events[0]?.kind, fired.events[0]?.payload['branch']])
      flow = fired.flow
    }
    expect(told).toEqual([
      ['wait_progressed', 1],
      ['wait_progressed', 0],
      ['cancelled', undefined],
    ])
  })

  test('a satisfied timer neither wakes nor fires again', () => {
    const all: WaitSpec = { kind: 'all', of: [branches.timer, branches.nameless] }
    const { flow } = waitingFor(all)
    const first = decideIt(flow, { type: 'fire' }, later(1_000))
    expect(first.flow).toMatchObject({ status: 'waiting', wake_at: null })
    expect(
      decideIt({ ...first.flow, wake_at: later(1_000) }, { type: 'fire' }, later(2_000)).events[0]
        ?.kind,
    ).toBe('quarantined')
    const longer = waitingFor({ ...all, timeout: { after: 9_000 } }).flow
    const progressed = decideIt(longer, { type: 'fire' }, later(1_000)).flow
    expect(progressed.wake_at).toBe(later(9_000))
    expect(decideIt(progressed, { type: 'fire' }, later(2_000)).flow).toBe(progressed)
  })

  test('a deadline past the year 9999 is refused by its own name', () => {
    expect(() =>
      waitingFor({ kind: 'manual', timeout: { after: Number.MAX_SAFE_INTEGER } }),
    ).toThrow(
      expect.objectContaining({
        detail: expect.objectContaining({
          errors: [expect.objectContaining({ pointer: '/timeout' })],
        }),
      }),
    )
  })
})

describe('timers that are moved', () => {
  const move = (flow: DecidedFlow, at: string) =>
    decideIt(flow, { type: 'move_timer', at }, later(10))
  const codeOf = (work: () => unknown): string => {
    try {
      work()
    } catch (error) {
      if (error instanceof FlowError) return error.code
      throw error
    }
    throw new Error('not refused')
  }

  test('the one open timer of a composite moves, and its place is told', () => {
    for (const kind of ['any', 'all'] as const) {
      const { flow } = waitingFor({ kind, of: [branches.nameless, branches.timer] })
      const { flow: moved, events } = move(flow, later(7_000))
      expect(moved.wait).toMatchObject({
        of: [{ kind: 'manual' }, { kind: 'timer', at: later(7_000) }],
      })
      expect(moved.wake_at).toBe(later(7_000))
      const payload = { wait_id: waitId, branch: 1, from: later(1_000), at: later(7_000) }
      expect(events[0]?.payload).toEqual(payload)
      expect(decideIt(moved, { type: 'fire' }, later(6_000)).flow).toBe(moved)
    }
  })

  test('several timers, or none that is open, cannot be moved', () => {
    const two = waitingFor({ kind: 'any', of: [branches.timer, branches.timer] }).flow
    expect(codeOf(() => move(two, later(7_000)))).toBe('wait_conflict')
    const both = waitingFor({ kind: 'all', of: [branches.timer, branches.nameless] }).flow
    const fired = decideIt(both, { type: 'fire' }, later(1_000)).flow
    expect(codeOf(() => move(fired, later(7_000)))).toBe('wait_conflict')
  })

  test('of two timers the one that is left can be moved', () => {
    const of: BranchSpec[] = [branches.timer, { kind: 'timer', at: later(5_000) }]
    const { flow } = waitingFor({ kind: 'all', of })
    const { flow: left } = decideIt(flow, { type: 'fire' }, later(1_000))
    expect(move(left, later(8_000)).events[0]?.payload).toMatchObject({ branch: 1 })
  })

  test('a timer moved behind the deadline leaves the deadline to wake', () => {
    const { flow } = waitingFor({ ...branches.timer, timeout: { after: 5_000 } })
    expect(move(flow, later(9_000)).flow.wake_at).toBe(later(5_000))
  })
})

describe('what payloads leave in the state', () => {
  const both: WaitSpec = { kind: 'all', of: [branches.event, branches.nameless] }

  test('a new wait for all begins without what an earlier one gathered, and says so', () => {
    const { flow, events, patch } = waitingFor(both, { a: 1, resume_events: ['old', 'old'] })
    expect(flow.state).toEqual({ a: 1 })
    expect(events[0]?.payload['unset']).toEqual(['resume_events'])
    expect(patch).toEqual({ merge: {}, unset: ['resume_events'] })
    expect(waitingFor(both, { a: 1 }).events[0]?.payload).not.toHaveProperty('unset')
    const one = waitingFor(branches.event, { resume_events: ['old'] })
    expect(one.flow.state, 'another wait leaves it alone').toEqual({ resume_events: ['old'] })
  })

  test('no payload, no member; a payload of null is one', () => {
    const { flow } = waitingFor(branches.event)
    const target = { kind: 'external_event', topic: 't', correlation_id: 'c' } as const
    const take = (more: object) =>
      decideIt(flow, { type: 'signal', signal_id: id(11), target, ...more }, later(1)).flow.state
    expect(take({})).toEqual({})
    expect(take({ payload: null })).toEqual({ resume_event: null })
  })
})

test('a link ends the whole wait, whatever it waits for, and no other', () => {
  for (const kind of ['any', 'all'] as const) {
    const { flow } = waitingFor({ kind, of: [branches.event, branches.timer] })
    const signal = (wait_id: string): Command => ({
      type: 'signal',
      signal_id: id(11),
      target: { kind: 'link', wait_id },
      payload: 1,
    })
    const ended = decideIt(flow, signal(waitId), later(1))
    expect(ended.events[0]).toMatchObject({
      kind: 'resumed',
      payload: { by: 'signal', link: true },
    })
    expect(decideIt(flow, signal(id(5)), later(1))).toMatchObject({
      outcome: 'unmatched',
      events: [],
    })
  }
})

test('what is open is what the contract says', () => {
  const of = [branches.timer, branches.event]
  const wait = { id: waitId, kind: 'all', of, satisfied: [true, false] }
  expect(toldBranches(wait as never).map(({ index }) => index)).toEqual([1])
})
