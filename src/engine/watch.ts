// Lets callers sleep until a flow changes: woken by commits here, and by a look at the database for
// commits of other processes.

import type { FlowStatus } from '../domain/flow.ts'
import type { Scope } from '../store/db.ts'
import { readRevisions } from '../store/flows.ts'
import type { Committer } from './committer.ts'
import { createLoop } from './loop.ts'
import type { Report } from './notice.ts'

export interface Watch {
  /**
   * Registers interest in a flow. `next()` resolves at the next change, when the time is over or when
   * the signal aborts; what came between two calls is remembered. `close` must be called.
   */
  open(flowId: string, known: () => number, deadline: number, signal: AbortSignal): Watcher
  start(): void
  stop(): Promise<void>
}

export interface Watcher {
  /** Whether there is a reason to look again; false when the time is over. */
  next(): Promise<boolean>
  close(): void
}

interface Listener {
  known: () => number
  wake(): void
}

/** How often other processes' commits are looked for, in milliseconds, while anybody waits. */
const lookEvery = 1_000

export function createWatch(scope: Scope, committer: Committer, report: Report): Watch {
  const listeners = new Map<string, Set<Listener>>()

  committer.onCommit((changes) => {
    for (const { flow } of changes) wake(flow.id, flow.revision)
  })

  function wake(id: string, revision: number): void {
    for (const listener of listeners.get(id) ?? []) {
      if (listener.known() !== revision) listener.wake()
    }
  }

  const loop = createLoop({
    name: 'watch',
    interval: lookEvery,
    report,
    async pass() {
      if (listeners.size > 0) {
        const found: { id: string; revision: number; status: FlowStatus }[] = await readRevisions(
          scope,
          [...listeners.keys()],
        )
        for (const { id, revision } of found) wake(id, revision)
      }
      return lookEvery
    },
  })

  return {
    start: () => loop.start(),
    stop: () => loop.stop(),
    open(flowId, known, deadline, signal) {
      let woken = false
      let resolve: ((again: boolean) => void) | null = null
      const listener: Listener = {
        known,
        wake() {
          woken = true
          resolve?.(true)
        },
      }
      const end = () => resolve?.(false)
      const timer = setTimeout(end, Math.max(0, deadline - performance.now()))
      signal.addEventListener('abort', end, { once: true })
      const others = listeners.get(flowId) ?? new Set()
      listeners.set(flowId, others.add(listener))
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
          others.delete(listener)
          if (others.size === 0) listeners.delete(flowId)
        },
      }
    },
  }
}
