// Lets callers sleep until a flow changes: woken by commits here, by the hints of other replicas, and
// by a look at the database for what no hint told.

import type { FlowStatus } from '../domain/flow.ts'
import type { Scope } from '../store/db.ts'
import { readRevisions } from '../store/flows.ts'
import type { Committer } from './committer.ts'
import { type Hints, hintKey } from './hints.ts'
import { createLoop } from './loop.ts'
import type { Report } from './notice.ts'

export interface Watch {
  /**
   * Registers interest in a flow. `next()` resolves at the next change, when the time is over or when
   * the signal aborts; what came between two calls is remembered. `close` must be called.
   */
  open(flowId: string, known: () => number, deadline: number, signal: AbortSignal): Watcher
  /**
   * Calls `wake` when another process may have brought the flow to another revision than `known`.
   * Commits of this process do not wake: who follows is told of those. Answers how to stop.
   */
  follow(flowId: string, follower: Listener): () => void
  start(): void
  stop(): Promise<void>
}

export interface Watcher {
  /** Whether there is a reason to look again; false when the time is over. */
  next(): Promise<boolean>
  close(): void
}

export interface Listener {
  known: () => number
  wake(): void
}

interface Watched {
  key: string
  /** Woken by every commit. */
  waiting: Set<Listener>
  /** Woken by commits of other processes alone. */
  following: Set<Listener>
}

/** How often other processes' commits are looked for, in milliseconds, while anybody waits. */
const lookEvery = 1_000

export function createWatch(
  scope: Scope,
  committer: Committer,
  hints: Hints,
  report: Report,
): Watch {
  const watched = new Map<string, Watched>()

  committer.onCommit((changes) => {
    if (watched.size === 0) return
    for (const { flow } of changes) {
      for (const listener of watched.get(flow.id)?.waiting ?? []) wake(listener, flow.revision)
    }
  })

  hints.subscribe('flows', (keys) => {
    if (watched.size === 0) return
    if (keys === null) return loop.nudge(0)
    for (const { key, waiting, following } of watched.values()) {
      if (!keys.has(key)) continue
      for (const listener of waiting) listener.wake()
      for (const listener of following) listener.wake()
    }
  })

  function wake(listener: Listener, revision: number): void {
    if (listener.known() !== revision) listener.wake()
  }

  const loop = createLoop({
    name: 'watch',
    interval: lookEvery,
    report,
    async pass() {
      if (watched.size > 0) {
        const found: { id: string; revision: number; status: FlowStatus }[] = await readRevisions(
          scope,
          [...watched.keys()],
        )
        for (const { id, revision } of found) {
          const { waiting = [], following = [] } = watched.get(id) ?? {}
          for (const listener of waiting) wake(listener, revision)
          for (const listener of following) wake(listener, revision)
        }
      }
      return lookEvery
    },
  })

  /** Registers a listener; answers how to remove it. */
  function add(flowId: string, kind: 'waiting' | 'following', listener: Listener): () => void {
    let entry = watched.get(flowId)
    if (entry === undefined) {
      entry = { key: hintKey(flowId), waiting: new Set(), following: new Set() }
      watched.set(flowId, entry)
    }
    const { waiting, following, [kind]: own } = entry
    own.add(listener)
    return () => {
      own.delete(listener)
      if (waiting.size + following.size === 0 && watched.get(flowId) === entry) {
        watched.delete(flowId)
      }
    }
  }

  return {
    start: () => loop.start(),
    stop: () => loop.stop(),
    follow: (flowId, follower) => add(flowId, 'following', follower),
    open(flowId, known, deadline, signal) {
      let woken = false
      let resolve: ((again: boolean) => void) | null = null
      const remove = add(flowId, 'waiting', {
        known,
        wake() {
          woken = true
          resolve?.(true)
        },
      })
      const end = () => resolve?.(false)
      const timer = setTimeout(end, Math.max(0, deadline - performance.now()))
      signal.addEventListener('abort', end, { once: true })
      return {
        async next() {
          if (!woken) {
            if (signal.aborted || performance.now() >= deadline) return false
            const again = await new Promise<boolean>((done) => {
              resolve = done
            })
            resolve = null
            if (!again) return false
          }
          woken = false
          return true
        },
        close() {
          clearTimeout(timer)
          signal.removeEventListener('abort', end)
          remove()
        },
      }
    },
  }
}
