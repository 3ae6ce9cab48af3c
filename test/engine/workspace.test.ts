// What a batch writes for the feed: the events of one flow stand in the order of its revisions, also when an older transaction changes it after a younger one.

import { describe, expect, test } from 'vitest'
import { createFlow } from '../../src/domain/create.ts'
import { shardToken } from '../../src/domain/shard.ts'
import { createWorkspace } from '../../src/engine/workspace.ts'
import type { Locked } from '../../src/store/batch-lock.ts'
import { newFlow } from '../support/engine.ts'

const now = '2026-04-23T15:00:00.000Z'
const limits = { state_bytes: 10_000, labels: 8, open_steps: 100 }
const place = {
  id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c00',
  shard: shardToken(0),
  namespace: 'default',
  actor: 'tester',
}

/** What a transaction writes that starts a flow, as the server numbers transactions. */
function written(xids: { own: string; next: string; last: string }) {
  const { flow } = createFlow(place, newFlow, now, limits)
  const locked: Locked = {
    now,
    instant: '2026-04-23T15:00:00.000000Z',
    xid: xids.own,
    next_xid: xids.next,
    texts: new Set(),
    flows: new Map([[flow.id, { ...flow, last_xid: xids.last }]]),
    busy: new Map(),
    block: false,
    idempotency: new Set(),
    replies: new Map(),
    open_keys: [],
    steps: [],
    step_defaults: [],
    defaults_query: { controllers: [], flow_ids: [] },
    open_steps: [],
    waiters: [],
    waiter_queries: [],
    signals: new Map(),
    senders: [],
    kept: [],
    kept_counts: new Map(),
    hooks: false,
  }
  const work = createWorkspace(locked, limits)
  const before = work.flow(flow.id)
  if (before === undefined) throw new Error('the flow is not there')
  work.apply(work.decide(before, { type: 'start' }, 'tester'))
  work.finish()
  const [update] = work.changes.updates
  return [update?.flow.last_xid, work.changes.update_events.map(({ xid }) => xid)]
}

describe('the feed shows a change', () => {
  test('under its own transaction, as a rule', () => {
    expect(written({ own: '1000', next: '1001', last: '999' })).toEqual(['1000', ['1000']])
    expect(written({ own: '1000', next: '1001', last: '0' })).toEqual(['1000', ['1000']])
  })

  test('under that of the change before it, when that is the later one', () => {
    expect(written({ own: '999', next: '1001', last: '1000' })).toEqual(['1000', ['1000']])
  })

  test('under its own when the other is none of this server', () => {
    expect(written({ own: '999', next: '1001', last: '1001' })).toEqual(['999', ['999']])
    expect(written({ own: '999', next: '1001', last: '5000' })).toEqual(['999', ['999']])
  })
})
