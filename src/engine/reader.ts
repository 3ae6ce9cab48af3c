// Reads flows by id; reads that arrive together go to the database together.

import type { FlowRecord } from '../domain/flow.ts'
import type { Scope } from '../store/db.ts'
import { readFlows } from '../store/flows.ts'

/** Flows in one statement. */
const batchSize = 100

interface Request {
  resolve(flow: FlowRecord | null): void
  reject(error: unknown): void
}

/**
 * A function that reads a flow by id, or null. The statement is always sent after the call, so that
 * it sees every change that was answered before.
 */
export function createFlowReader(
  scope: Scope,
  inFlight: number,
): (id: string) => Promise<FlowRecord | null> {
  const waiting = new Map<string, Request[]>()
  let running = 0
  let scheduled = false

  function schedule(): void {
    if (scheduled || running >= inFlight || waiting.size === 0) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      if (running >= inFlight || waiting.size === 0) return
      const batch = [...waiting].slice(0, batchSize)
      for (const [id] of batch) waiting.delete(id)
      running++
      void run(batch).finally(() => {
        running--
        schedule()
      })
      schedule()
    })
  }

  async function run(batch: [string, Request[]][]): Promise<void> {
    try {
      const found = await readFlows(
        scope,
        batch.map(([id]) => id),
      )
      const byId = new Map(found.map((flow) => [flow.id, flow]))
      for (const [id, requests] of batch) {
        for (const { resolve } of requests) resolve(byId.get(id) ?? null)
      }
    } catch (error) {
      for (const [, requests] of batch) {
        for (const { reject } of requests) reject(error)
      }
    }
  }

  return (id) =>
    new Promise((resolve, reject) => {
      const requests = waiting.get(id)
      if (requests === undefined) waiting.set(id, [{ resolve, reject }])
      else requests.push({ resolve, reject })
      schedule()
    })
}
