// Followers that are cut at random and come back, and the check that they missed and repeated nothing.

import type { EventKind, FlowEvent } from '../../src/domain/event.ts'
import type { RunningEngine } from '../../src/engine/engine.ts'
import type { EventStream } from '../../src/engine/stream.ts'
import { caller } from './engine.ts'

/** Opens a stream behind a position; null when there is nothing left to follow. */
export type Open = (engine: RunningEngine, after: string | null) => Promise<EventStream | null>

export function flowOpener(flowId: string, kind?: EventKind[]): Open {
  return (engine, after) =>
    engine.streams.flow(caller, flowId, {
      ...(after !== null && { after: Number(after) }),
      ...(kind !== undefined && { kind }),
      pointer: 'last-event-id',
    })
}

export function feedOpener(kind?: EventKind[]): Open {
  return (engine, after) =>
    engine.streams.feed(caller, {
      ...(after !== null && { after }),
      ...(kind !== undefined && { kind }),
      pointer: 'last-event-id',
    })
}

export interface Follower {
  seen: FlowEvent[]
  /** How often it came back. */
  returns(): number
  /** Resolves when it has begun to follow. */
  begun: Promise<void>
  /** Resolves when it stopped, or when there was nothing left to follow. */
  done: Promise<void>
  stop(): Promise<void>
}

/** Follows with all engines in turn, each time for a random number of events, and reads at a random pace. */
export function follow(engines: readonly RunningEngine[], open: Open): Follower {
  const seen: FlowEvent[] = []
  let position: string | null = null
  let returns = -1
  let stopping = false
  let leave = () => {}
  let begin = () => {}
  const begun = new Promise<void>((resolve) => {
    begin = resolve
  })

  async function run(): Promise<void> {
    while (!stopping) {
      returns++
      const engine = engines[returns % engines.length] as RunningEngine
      const stream = await open(engine, position)
      if (stream === null) return
      // A client learns its position when the answer begins, before any event.
      position = stream.position()
      let left = 1 + Math.floor(Math.random() * 40)
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        leave = resolve
        stream.start({
          send(items) {
            for (const item of items) {
              // Whatever is sent after the cut is lost on its way.
              if (left-- <= 0) return resolve()
              seen.push(item.event)
              position = item.position
            }
          },
          drained: () => new Promise((drained) => setTimeout(drained, Math.random() * 4)),
          end: resolve,
        })
        begin()
        // Now and then it is cut by time, right behind a heartbeat.
        timer = setTimeout(resolve, Math.random() * 60)
        if (stopping) resolve()
      })
      clearTimeout(timer)
      // The heartbeat told that all up to here was sent.
      if (left >= 0) position = stream.position()
      stream.close()
    }
  }

  const done = run()
  return {
    seen,
    returns: () => returns,
    begun,
    done,
    async stop() {
      stopping = true
      leave()
      await done
    },
  }
}

interface Named {
  flow_id: string
  revision: number
}

/** What is wrong with what a follower saw of a list of events: gaps, repeats, another order. */
export function faultsOf(seen: readonly Named[], wanted: readonly Named[]): string[] {
  const namesOf = (events: readonly Named[]) =>
    events.map(({ flow_id, revision }) => `${flow_id} ${revision}`)
  const [got, all] = [namesOf(seen), namesOf(wanted)]
  const [present, known] = [new Set(got), new Set(all)]
  const faults = [
    ...all.filter((name) => !present.has(name)).map((name) => `missed ${name}`),
    ...got.filter((name, i) => got.indexOf(name) !== i).map((name) => `repeated ${name}`),
    ...got.filter((name) => !known.has(name)).map((name) => `invented ${name}`),
  ]
  return faults.length === 0 && got.join() !== all.join() ? ['in another order'] : faults
}
