// Holds namespaces to what they may have: counted now and then, and reckoned with what this process adds in
// between, so that no request waits for a count.

import { FlowError } from '../domain/errors.ts'
import { type JsonObject, type JsonValue, jsonBytes } from '../domain/json.ts'
import type { Scope } from '../store/db.ts'
import { readUsage, type Usage } from '../store/usage.ts'

export type { Usage }

/** The most of each that a namespace may have; 0: no limit. */
export type NamespaceLimits = { readonly [What in keyof Usage]: number }

export const unlimited: NamespaceLimits = {
  open_flows: 0,
  open_steps: 0,
  kept_signals: 0,
  hooks: 0,
  bytes: 0,
}

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

const kinds = ['open_flows', 'open_steps', 'kept_signals', 'hooks', 'bytes'] as const

const words: Record<keyof Usage, string> = {
  open_flows: 'open flows',
  open_steps: 'open steps',
  kept_signals: 'kept signals',
  hooks: 'hooks',
  bytes: 'bytes in its open flows and kept signals',
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
    const counted: Counted = { usage: await readUsage(scope, namespace, limits), at }
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
  steps?: readonly { input?: JsonValue }[]
  hooks?: readonly unknown[]
}): Partial<Usage> {
  const { state = {}, steps = [], hooks = [] } = flow
  return {
    open_flows: 1,
    open_steps: steps.length,
    hooks: hooks.length,
    bytes: bytesOf(state) + steps.reduce((sum, { input }) => sum + bytesOf(input), 0),
  }
}

/** What a value takes that may be absent. */
export function bytesOf(value: JsonValue | undefined): number {
  return value === undefined ? 0 : jsonBytes(value)
}

export interface Room {
  refusal: FlowError | null
  giveBack: () => void
}

/** None is needed. */
export const noRoom: Room = { refusal: null, giveBack: () => {} }

/** Room for what a request may come to need; it is only refused when it does. */
export async function roomFor(
  quota: NamespaceQuota | null,
  namespace: string,
  amounts: Partial<Usage>,
): Promise<Room> {
  if (quota === null) return noRoom
  try {
    return { refusal: null, giveBack: await quota.take(namespace, amounts) }
  } catch (error) {
    if (!(error instanceof FlowError) || error.code !== 'quota_exceeded') throw error
    return { ...noRoom, refusal: error }
  }
}

/**
 * Does something that may come to need room. `make` is told why there is none, if so, and throws that only
 * when it does: a repeat is answered all the same. What was not made gives its room back.
 */
export async function inQuota<Value>(
  quota: NamespaceQuota | null,
  namespace: string,
  amounts: Partial<Usage>,
  make: (refusal: FlowError | undefined) => Promise<Value>,
  isMade: (value: Value) => boolean,
): Promise<Value> {
  // Not awaited where there are no quotas: what is sent at once stays in its order.
  if (quota === null) return make(undefined)
  const { refusal, giveBack } = await roomFor(quota, namespace, amounts)
  try {
    const value = await make(refusal ?? undefined)
    if (!isMade(value)) giveBack()
    return value
  } catch (error) {
    giveBack()
    throw error
  }
}
