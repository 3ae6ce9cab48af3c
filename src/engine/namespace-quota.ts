// Holds namespaces to what they may have: counted now and then, and reckoned with what this process adds in
// between, so that no request waits for a count.

import { FlowError } from '../domain/errors.ts'
import { type JsonObject, jsonBytes } from '../domain/json.ts'
import type { Scope } from '../store/db.ts'
import { readUsage, type Usage } from '../store/usage.ts'

export type { Usage }

/** The most of each that a namespace may have; 0: no limit. */
export type NamespaceLimits = { readonly [What in keyof Usage]: number }

export interface NamespaceQuota {
  /**
   * Takes room for something, before it is made: two at once cannot take the same. Answers how to give it
   * back, when nothing came of it. Throws `quota_exceeded` when a namespace has all that it may have of it.
   */
  take(namespace: string, amounts: Partial<Usage>): Promise<() => void>
}

/**
 * How long a count is gone by, in milliseconds. What other processes add meanwhile comes on top of a limit,
 * and what was freed meanwhile is not known of.
 */
const goodFor = 5_000
/** It is counted anew from here on, while the old count still serves. */
const freshFor = 2_000

const kinds = ['open_flows', 'open_steps', 'state_bytes', 'kept_signals'] as const

const words: Record<keyof Usage, string> = {
  open_flows: 'open flows',
  open_steps: 'open steps',
  state_bytes: 'bytes of state in open flows',
  kept_signals: 'kept signals',
}

interface Counted {
  usage: Usage
  at: number
}

/** Null when nothing is limited: then nothing is counted either. */
export function createNamespaceQuota(scope: Scope, limits: NamespaceLimits): NamespaceQuota | null {
  if (Object.values(limits).every((limit) => limit === 0)) return null
  const known = new Map<string, Counted>()
  const started = new Map<string, Promise<Counted>>()

  async function count(namespace: string): Promise<Counted> {
    const at = performance.now()
    const usage = await readUsage(scope, namespace, {
      flows: limits.open_flows || 1_000_000,
      signals: limits.kept_signals,
    })
    const counted: Counted = { usage, at }
    known.set(namespace, counted)
    return counted
  }

  function countOnce(namespace: string): Promise<Counted> {
    let counting = started.get(namespace)
    if (counting === undefined) {
      counting = count(namespace).finally(() => started.delete(namespace))
      started.set(namespace, counting)
    }
    return counting
  }

  async function usageOf(namespace: string): Promise<Usage> {
    const counted = known.get(namespace)
    const age = counted === undefined ? Number.POSITIVE_INFINITY : performance.now() - counted.at
    if (counted === undefined || age > goodFor) return (await countOnce(namespace)).usage
    // What stands in the way is told to whoever has to wait for it.
    if (age > freshFor) countOnce(namespace).catch(() => {})
    return counted.usage
  }

  function add(namespace: string, amounts: Partial<Usage>, sign: 1 | -1): void {
    const usage = known.get(namespace)?.usage
    if (usage === undefined) return
    for (const what of kinds) usage[what] += sign * (amounts[what] ?? 0)
  }

  return {
    async take(namespace, amounts) {
      const usage = await usageOf(namespace)
      for (const what of kinds) {
        const amount = amounts[what] ?? 0
        if (amount === 0 || limits[what] === 0) continue
        if (usage[what] + amount > limits[what]) throw quotaExceeded(what)
      }
      add(namespace, amounts, 1)
      return () => add(namespace, amounts, -1)
    },
  }

  function quotaExceeded(what: keyof Usage): FlowError {
    return new FlowError(
      'quota_exceeded',
      `A namespace may have ${limits[what]} ${words[what]}: send it again when there is room.`,
      { limit: `namespace_${what}`, maximum: limits[what], retry_after: 5 },
    )
  }
}

/** What a new flow takes. */
export function flowAmounts(flow: {
  state?: JsonObject
  steps?: readonly unknown[]
}): Partial<Usage> {
  return {
    open_flows: 1,
    state_bytes: jsonBytes(flow.state ?? {}),
    ...(flow.steps !== undefined && { open_steps: flow.steps.length }),
  }
}
