// What waits for a transaction. What two transactions of this process would only find locked stays
// apart: it is set aside until the first of them has ended, in its order.

/** A piece of work, with what no two transactions of this process may hold at once. */
export interface Task {
  resources: readonly string[]
  /** What it weighs in a batch, in bytes. */
  bytes: number
}

export interface Queue<Work extends Task> {
  /** Puts work at the end, or aside while what it needs is held. */
  push(work: Work): void
  /** Takes work from the head and holds what it needs; empty when there is none to be had. */
  take(): Work[]
  /** What this work needs stays held after `free` of its batch, until `unpin`. */
  pin(works: readonly Work[]): void
  unpin(works: readonly Work[]): void
  /** Lets go what a batch held. What was set aside for it comes back at the head, in its order. */
  free(batch: readonly Work[]): void
  readonly length: number
}

/** Locks of one transaction beside those of rows: the server has room for 64 of each connection. */
const maxResources = 512
/** Bytes of patches, payloads and messages in one transaction: bounds its memory and how long it holds its locks. */
const maxBytes = 4 * 1024 * 1024

/** How often work may find another one of its resources taken before it is given up here. */
const maxTurns = 8

const none: ReadonlySet<string> = new Set()

/**
 * @param batchSize pieces of work in one batch, at most.
 * @param onStarved given work that needs several things which others have taken in turn, again and
 *   again: it will not come out of this queue.
 */
export function createQueue<Work extends Task>(
  batchSize: number,
  onStarved: (work: Work) => void,
): Queue<Work> {
  const waiting: Work[] = []
  /** What batches hold, with the work that must come after them. */
  const held = new Map<string, Work[]>()
  const pinned = new Set<string>()
  /** Of work that was set aside: what it waited for last, and how often that was another thing than before. */
  const turns = new WeakMap<Work, { on: string; count: number }>()

  /** Sets work aside when another batch holds what it needs. */
  function park(work: Work, ours: ReadonlySet<string>): boolean {
    const taken = work.resources.find((resource) => held.has(resource) && !ours.has(resource))
    if (taken === undefined) return false
    const before = turns.get(work)
    const count = (before?.count ?? 0) + (before?.on === taken ? 0 : 1)
    turns.set(work, { on: taken, count })
    if (count > maxTurns) onStarved(work)
    else held.get(taken)?.push(work)
    return true
  }

  return {
    get length() {
      return waiting.length
    },
    push(work) {
      if (!park(work, none)) waiting.push(work)
    },
    take() {
      const batch: Work[] = []
      const ours = new Set<string>()
      let bytes = 0
      while (batch.length < batchSize && ours.size < maxResources) {
        const next = waiting[0]
        if (next === undefined || (batch.length > 0 && bytes + next.bytes > maxBytes)) break
        waiting.shift()
        if (park(next, ours)) continue
        for (const resource of next.resources) {
          if (ours.has(resource)) continue
          held.set(resource, [])
          ours.add(resource)
        }
        batch.push(next)
        bytes += next.bytes
      }
      return batch
    },
    pin(works) {
      for (const { resources } of works) for (const resource of resources) pinned.add(resource)
    },
    unpin(works) {
      for (const { resources } of works) for (const resource of resources) pinned.delete(resource)
    },
    free(batch) {
      const next: Work[] = []
      for (const { resources } of batch) {
        for (const resource of resources) {
          if (pinned.has(resource)) continue
          next.push(...(held.get(resource) ?? []))
          held.delete(resource)
        }
      }
      if (next.length > 0) waiting.unshift(...next)
    },
  }
}
