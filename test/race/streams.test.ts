// Followers on two engines, cut at random places, while both commit with transactions that overtake each other: nobody misses or repeats an event.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Command } from '../../src/domain/command.ts'
import type { EventKind, FlowEvent } from '../../src/domain/event.ts'
import type { EventStream } from '../../src/engine/stream.ts'
import {
  caller,
  createFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
  until,
} from '../support/engine.ts'
import { faultsOf, feedOpener, flowOpener, follow, type Open } from '../support/follow.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

let place: TestDatabase
let engines: [TestEngine, TestEngine]
let session: Session

beforeEach(async () => {
  place = await createTestDatabase()
  engines = [1, 2].map(() =>
    openEngine(place.url, {
      // Small transactions, many at a time: the more of them overtake each other.
      commit: { inFlight: 4, batchSize: 4, queueLimit: 5_000 },
      listen: { connectionString: place.url },
    }),
  ) as [TestEngine, TestEngine]
  session = await openSession(place.url)
  // Some transactions stay open for a while after they took their id.
  await session.query(`
    create function dawdle() returns trigger language plpgsql as $$
      begin
        if new.actor = 'slow' then perform pg_sleep(random() * 0.03); end if;
        return new;
      end $$;
    create trigger dawdle before insert on flow_events for each row execute function dawdle()`)
  for (const engine of engines) engine.start()
})

afterEach(async () => {
  await Promise.all(engines.map((engine) => engine.close()))
  await session.end()
  await place.drop()
})

/** Changes flows on both engines from several clients; a few of the flows end. */
async function rush(flows: readonly string[], clients: number, changes: number): Promise<void> {
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let n = 0; n < changes; n++) {
        // Every flow is changed on both engines.
        const engine = engines[(client + (n >> 1)) % 2] as TestEngine
        const flow = flows[(client * 7 + n) % flows.length] as string
        const command: Command =
          n % 3 === 0
            ? { type: 'update_labels', labels: { n: `${client} ${n}` } }
            : { type: 'update_state', patch: { n } }
        const actor = (client + n) % 9 === 0 ? 'slow' : 'quick'
        await engine.flows.change({ ...caller, actor }, flow, command)
      }
    }),
  )
}

async function allEvents(): Promise<FlowEvent[]> {
  const { rows } = await session.query<FlowEvent>(
    `select flow_id, revision, kind from flow_events
     order by flow_events.xid, flow_id, revision`,
  )
  return rows
}

test('of the feed, whole and by kind', async () => {
  const kinds: (EventKind[] | undefined)[] = [
    undefined,
    ['labels_updated'],
    ['state_updated', 'finished'],
    ['failed', 'created'],
  ]
  const followers = kinds.flatMap((kind) => {
    const filter = (event: FlowEvent) => kind === undefined || kind.includes(event.kind)
    return [1, 2].map(() => ({ filter, ...follow(engines, feedOpener(kind)) }))
  })
  await Promise.all(followers.map(({ begun }) => begun))
  const made = await Promise.all(
    Array.from({ length: 12 }, (_, n) => createFlow(engines[n % 2] as TestEngine)),
  )
  await rush(
    made.map(({ id }) => id),
    16,
    60,
  )
  const all = await allEvents()
  expect(all).toHaveLength(12 * 2 + 16 * 60)
  for (const { filter, seen } of followers) {
    await until('all has come', () => seen.length >= all.filter(filter).length).catch(() => {})
  }
  await Promise.all(followers.map(({ stop }) => stop()))
  for (const { filter, seen } of followers) {
    expect(faultsOf(seen, all.filter(filter))).toEqual([])
  }
  expect(Math.min(...followers.slice(0, 6).map(({ returns }) => returns()))).toBeGreaterThan(10)
  expect(engines.map(({ streams }) => streams.count())).toEqual([0, 0])
})

test('of flows, up to their ends', async () => {
  const made = await Promise.all(
    Array.from({ length: 6 }, (_, n) => createFlow(engines[n % 2] as TestEngine)),
  )
  const flows = made.map(({ id }) => id)
  const followers = flows.flatMap((id) => [
    { id, kind: null, ...follow(engines, flowOpener(id)) },
    { id, kind: null, ...follow([engines[1], engines[0]], flowOpener(id)) },
    { id, kind: 'labels_updated', ...follow(engines, flowOpener(id, ['labels_updated'])) },
  ])
  await rush(flows, 16, 60)
  await Promise.all(
    flows.map((id, n) =>
      (engines[n % 2] as TestEngine).flows.change(caller, id, { type: 'finish' }),
    ),
  )
  await engines[0].flows.change(caller, flows[0] ?? '', {
    type: 'update_labels',
    labels: { after: 'the end' },
  })
  await Promise.all(followers.map(({ done }) => done))
  const all = await allEvents()
  for (const { id, kind, seen } of followers) {
    const own = all.filter(({ flow_id }) => flow_id === id)
    // In the order of the feed, which is that of the revisions within a flow.
    const end = own.findIndex((event) => event.kind === 'finished')
    const wanted = own.slice(0, end + 1).filter((event) => kind === null || event.kind === kind)
    expect(faultsOf(seen, wanted)).toEqual([])
  }
  expect(engines.map(({ streams }) => streams.count())).toEqual([0, 0])
})

describe('the check finds', () => {
  /** A feed as one would write it: by transaction, without regard to those that are still open. */
  const naive: Open = async (_, after) => {
    const reader = await openSession(place.url)
    let position = after ?? '0 0 0'
    let closed = false
    const read = async () => {
      const { rows } = await reader.query<FlowEvent & { xid: string }>(
        `select flow_id, revision, kind, xid::text as xid from flow_events
         where (xid, flow_id, revision) > ($1::xid8, lpad($2, 32, '0')::uuid, $3::integer)
         order by flow_events.xid, flow_id, revision limit 50`,
        position.split(' '),
      )
      return rows
    }
    const stream: EventStream = {
      position: () => position,
      close: () => {
        closed = true
      },
      start(sink) {
        void (async () => {
          while (!closed) {
            const found = await read()
            const items = found.map((event) => ({
              position: `${event.xid} ${event.flow_id.replaceAll('-', '')} ${event.revision}`,
              event,
            }))
            position = items.at(-1)?.position ?? position
            if (items.length > 0) sink.send(items)
            await new Promise((resolve) => setTimeout(resolve, 2))
          }
          await reader.end()
        })()
      },
    }
    return stream
  }

  test('a feed that does not wait for older transactions', async () => {
    const follower = follow(engines, naive)
    await follower.begun
    const made = await Promise.all([1, 2, 3, 4].map(() => createFlow(engines[0])))
    let faults: string[] = []
    await until('chance has served it', async () => {
      await rush(
        made.map(({ id }) => id),
        16,
        20,
      )
      faults = faultsOf(follower.seen, await allEvents())
      return faults.some((fault) => fault.startsWith('missed'))
    })
    await follower.stop()
    expect(faults.some((fault) => fault.startsWith('missed'))).toBe(true)
  })

  test.each([
    ['a gap', [0, 2], ['missed f 1']],
    ['a repeat', [0, 1, 1, 2], ['repeated f 1']],
    ['another order', [0, 2, 1], ['in another order']],
    ['what never was', [0, 1, 2, 3], ['invented f 3']],
  ])('%s', (_, seen, faults) => {
    const events = (revisions: number[]) =>
      revisions.map((revision) => ({ flow_id: 'f', revision }))
    expect(faultsOf(events(seen), events([0, 1, 2]))).toEqual(faults)
    expect(faultsOf(events([0, 1, 2]), events([0, 1, 2]))).toEqual([])
  })
})
