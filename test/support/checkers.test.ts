// The checkers of waits and signals find what is planted for them: a checker that finds nothing proves nothing.

import { describe, expect, test } from 'vitest'
import type { EventKind } from '../../src/domain/event.ts'
import type { FlowRecord } from '../../src/domain/flow.ts'
import type { JsonObject } from '../../src/domain/json.ts'
import { flowIn, id, later } from './flow-samples.ts'
import { fold } from './fold.ts'
import { type StoredSignal, signalFaults, type WrittenEvent } from './signal-invariants.ts'
import { toldKeys, waitFaults, wakeFault } from './wait-invariants.ts'

const flowId = id(1)
const signalId = id(50)
const event = { kind: 'external_event', topic: 't', correlation_id: 'c' }
const wait = (n: number, more: JsonObject = {}): JsonObject => ({
  id: id(n),
  ...event,
  since: later(0),
  ...more,
})

type Entry = [kind: EventKind, payload: JsonObject, xid?: number, ms?: number]

/** A log whose first two entries are there already: created and started. */
function logOf(entries: Entry[], flow = flowId): WrittenEvent[] {
  const born: JsonObject = {
    ...{ controller_id: 'c', goal: 'g', owner_session_key: 'o', requester_origin: 'r' },
    ...{ mode: 'managed', key: null, current_step: 'init', labels: {}, state: {} },
  }
  const all: Entry[] = [['created', born, 1], ['started', {}, 1], ...entries]
  return all.map(([kind, payload, xid = 10, ms = 0], revision) => ({
    flow_id: flow,
    revision,
    kind,
    payload,
    actor: 'tester',
    at: later(ms),
    xid: String(xid),
  }))
}

const took = (n: number, more: JsonObject = {}): JsonObject => ({
  by: 'signal',
  wait_id: id(n),
  signal_id: signalId,
  ...more,
})

function signal(more: Partial<StoredSignal> = {}): StoredSignal {
  return {
    id: signalId,
    namespace: 'default',
    kind: 'external_event',
    topic: 't',
    correlation_id: 'c',
    name: null,
    flow_id: null,
    wait_id: null,
    sender_id: null,
    deliver: 'one',
    outcome: 'delivered',
    deliveries: [{ flow_id: flowId, wait_id: id(2), revision: 3 }],
    delivered_count: 1,
    received_at: '2026-04-23T15:00:00.000001Z',
    waking: false,
    live: false,
    ...more,
  }
}

const kept: Partial<StoredSignal> = {
  outcome: 'buffered',
  deliveries: [],
  delivered_count: 0,
  live: true,
}

function faults(signals: StoredSignal[], entries: Entry[], flow: Partial<FlowRecord> = {}) {
  const row = { ...flowIn('running'), state: {}, ...flow } as FlowRecord
  return signalFaults(signals, [row], new Map([[flowId, logOf(entries)]]))
}

const good: Entry[] = [
  ['waiting', { wait: wait(2) }],
  ['resumed', took(2), 11],
]

describe('signals against the log', () => {
  test('a delivery as it should be is no fault', () => {
    expect(faults([signal()], good)).toEqual([])
    expect(faults([signal({ ...kept, id: id(51) })], [])).toEqual([])
  })

  test.each<[string, StoredSignal[], Entry[], Partial<FlowRecord>?]>([
    ['which is nowhere', [], good],
    ['is buffered, and the log has 1', [signal(kept)], good],
    ['is delivered, and the log has 0', [signal()], []],
    ['counts 2, the log has 1', [signal({ delivered_count: 2 })], good],
    ['lists 0 of 1', [signal({ deliveries: [] })], good],
    [
      'which the log does not have',
      [signal({ deliveries: [{ flow_id: flowId, wait_id: id(2), revision: 4 }] })],
      good,
    ],
    [
      'for one woke 2',
      [signal()],
      [...good, ['waiting', { wait: wait(3) }, 12], ['resumed', took(3), 13]],
    ],
    [
      'acted twice on one wait',
      [signal({ deliver: 'all' })],
      [
        ['waiting', { wait: { ...wait(2), kind: 'all', of: [event, event] } }],
        ['wait_progressed', took(2, { branch: 0 }), 11],
        ['resumed', took(2, { branch: 1 }), 11],
      ],
    ],
    ['was not for this wait', [signal({ correlation_id: 'd' })], good],
    ['was not for this wait', [signal({ flow_id: id(9) })], good],
    ['another wait than its link', [signal({ kind: 'link', wait_id: id(9) })], good],
    ['from another namespace', [signal({ namespace: 'other' })], good],
    ['another sender_id', [signal({ sender_id: 's' })], good],
    [
      'waits for',
      [signal(kept)],
      [['waiting', { wait: wait(2) }]],
      flowIn('waiting', { wait: wait(2) as never, state: {} }) as FlowRecord,
    ],
  ])('finds: %s', (what, signals, entries, flow) => {
    expect(faults(signals, entries, flow).join('\n')).toContain(what)
  })

  test('a flow that is to be cancelled, and what has expired, wait for nothing', () => {
    const waiting = flowIn('waiting', { wait: wait(2) as never, state: {} }) as FlowRecord
    const log: Entry[] = [['waiting', { wait: wait(2) }]]
    expect(faults([signal(kept)], log, { ...waiting, cancel_requested: true })).toEqual([])
    expect(faults([signal({ ...kept, live: false })], log, waiting)).toEqual([])
    expect(faults([signal({ ...kept, flow_id: id(9) })], log, waiting)).toEqual([])
  })

  test('finds one that was taken before an older one', () => {
    const younger = { ...signal(), received_at: '2026-04-23T15:00:00.000002Z' }
    const older = signal({
      id: id(51),
      deliveries: [{ flow_id: flowId, wait_id: id(3), revision: 5 }],
    })
    const log = (first: number, second: number): Entry[] => [
      ['waiting', { wait: wait(2) }, first],
      ['resumed', took(2), first],
      ['waiting', { wait: wait(3) }, second],
      ['resumed', took(3, { signal_id: id(51) }), second],
    ]
    expect(faults([older, younger], log(10, 11)).join()).toContain('took')
    expect(faults([older, younger], log(10, 10)).join()).toContain('took')
    const right = signal({ id: id(51), deliveries: older.deliveries })
    expect(faults([signal(), right], log(10, 11))).toEqual([])
  })
})

const deadline = { timeout_at: later(50), on_timeout: 'fail' }
const timer = { kind: 'timer', at: later(20) }
const both = (more: JsonObject = {}) =>
  wait(2, { kind: 'all', of: [timer, event], satisfied: [false, false], ...more })

describe('waits in the log', () => {
  test.each<[string, Entry[]]>([
    [
      'begins twice',
      [
        ['waiting', { wait: wait(2) }],
        ['waiting', { wait: wait(2) }],
      ],
    ],
    ['is ended again', [...good, ['resumed', took(2)]]],
    ['goes on at revision 4 after its end', [...good, ['wait_progressed', took(2)]]],
    [
      'fired at',
      [
        ['waiting', { wait: both() }],
        ['wait_progressed', { by: 'timer', wait_id: id(2), branch: 0 }, 11, 19],
      ],
    ],
    [
      'ended a external_event wait',
      [
        ['waiting', { wait: wait(2) }],
        ['resumed', { by: 'timer', wait_id: id(2) }],
      ],
    ],
    [
      'which is not open',
      [
        ['waiting', { wait: both({ satisfied: [false, true] }) }],
        ['resumed', took(2, { branch: 1 })],
      ],
    ],
    [
      'with 1 branches open',
      [
        ['waiting', { wait: both() }],
        ['resumed', took(2, { branch: 1 })],
      ],
    ],
    [
      'without a deadline timed out',
      [
        ['waiting', { wait: wait(2) }],
        ['resumed', { by: 'timeout', wait_id: id(2) }],
      ],
    ],
    [
      'the deadline of',
      [
        ['waiting', { wait: wait(2, deadline) }],
        ['failed', { by: 'timeout', wait_id: id(2) }, 11, 49],
      ],
    ],
    [
      'on_timeout fail did resumed',
      [
        ['waiting', { wait: wait(2, deadline) }],
        ['resumed', { by: 'timeout', wait_id: id(2) }, 11, 60],
      ],
    ],
    [
      'passed a timer that was due before it',
      [
        ['waiting', { wait: both(deadline) }],
        ['failed', { by: 'timeout', wait_id: id(2) }, 11, 60],
      ],
    ],
  ])('finds: %s', (what, entries) => {
    expect(waitFaults(logOf(entries)).join('\n')).toContain(what)
  })

  test('finds none where there is none', () => {
    const entries: Entry[] = [
      ['waiting', { wait: both(deadline) }],
      [
        'wait_progressed',
        { by: 'timer', wait_id: id(2), branch: 0, satisfied: [true, false] },
        11,
        20,
      ],
      ['failed', { by: 'timeout', wait_id: id(2) }, 12, 50],
    ]
    expect(waitFaults(logOf(entries))).toEqual([])
  })

  test('a time to wake that is not the first of timers and deadline is found', () => {
    const row = (wake_at: string | null) =>
      flowIn('waiting', { wait: both(deadline) as never, wake_at, state: {} }) as FlowRecord
    const log = logOf([['waiting', { wait: both(deadline) }]])
    expect(wakeFault(row(later(20)), log)).toBeNull()
    expect(wakeFault(row(later(50)), log)).toContain('and not at')
    expect(wakeFault(row(null), log)).toContain('nothing wakes it')
    expect(wakeFault(flowIn('running', { wake_at: later(20) }) as FlowRecord, log)).toContain(
      'for nothing',
    )
  })

  test('keys are those of open branches, each once', () => {
    const of = [event, event, { ...event, topic: 'u' }, { kind: 'manual' }]
    const keysOf = (kind: string, satisfied?: boolean[]) =>
      toldKeys(
        flowIn('waiting', {
          wait: { id: id(2), kind, of, satisfied, since: later(0) } as never,
          state: {},
        }) as FlowRecord,
      ).map((key) => key.split(' ')[1])
    expect(keysOf('any')).toEqual(['t', 'u'])
    expect(keysOf('all', [true, false, false, false])).toEqual(['t', 'u'])
    expect(keysOf('all', [true, true, false, false])).toEqual(['u'])
  })
})

describe('the fold refuses', () => {
  const progress = (payload: JsonObject): Entry[] => [
    ['waiting', { wait: both() }],
    ['wait_progressed', { wait_id: id(2), by: 'signal', ...payload }],
  ]
  test.each<[string, Entry[]]>([
    ['was not open', progress({ branch: 2, satisfied: [false, false] })],
    ['tells of other branches', progress({ branch: 0, satisfied: [false, true] })],
    ['names wait', progress({ wait_id: id(9), branch: 0, satisfied: [true, false] })],
    [
      'the wait was over',
      [
        ...progress({ branch: 0, satisfied: [true, false] }),
        ['wait_progressed', { wait_id: id(2), branch: 1, satisfied: [true, true] }],
      ],
    ],
    [
      'progress of a wait that is not for all',
      [
        ['waiting', { wait: wait(2) }],
        ['wait_progressed', { wait_id: id(2), satisfied: [true] }],
      ],
    ],
    [
      'moved what is no timer',
      [
        ['waiting', { wait: both() }],
        ['wait_moved', { wait_id: id(2), branch: 1, from: later(20), at: later(30) }],
      ],
    ],
    [
      'names wait',
      [
        ['waiting', { wait: wait(2) }],
        ['failed', { by: 'timeout', wait_id: id(9), reason: 'r' }],
      ],
    ],
  ])('%s', (what, entries) => {
    expect(() => fold(logOf(entries))).toThrow(what)
  })
})
