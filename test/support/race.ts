// Runs a few operations on one flow and one match key in a given order of their SQL statements, and judges what became of them.

import fc from 'fast-check'
import { FlowError } from '../../src/domain/errors.ts'
import type { SignalFate } from '../../src/engine/signals.ts'
import { caller, openEngine, type Session, type TestEngine } from './engine.ts'
import { createGate, type Gate } from './gate.ts'
import { type Checked, checkInvariants } from './invariants.ts'

/** What an operation was answered: a fate, the status of its flow, or the code of its refusal. */
export type Answer =
  | { type: 'fate'; fate: SignalFate }
  | { type: 'done'; what: unknown }
  | { type: 'refused'; code: string }

/** What operations act on: prepared anew for each schedule. */
export interface Stage {
  flow_id: string
  /** The present wait, when it waits. */
  wait_id: string | null
  /** A signal that was kept before, by its id. */
  kept: string | null
}

export type Operation = (engine: TestEngine, stage: Stage) => Promise<unknown>

/** An engine with a gate before its statements. */
export interface Player {
  engine: TestEngine
  gate: Gate
}

export function openPlayer(url: string): Player {
  const gate = createGate()
  return { gate, engine: openEngine(url, { writers: 3, readers: 1, through: gate.through }) }
}

function isFate(value: unknown): value is SignalFate {
  return typeof value === 'object' && value !== null && 'signal_id' in value
}

export async function answerOf(work: Promise<unknown>): Promise<Answer> {
  try {
    const what = await work
    return isFate(what) ? { type: 'fate', fate: what } : { type: 'done', what }
  } catch (error) {
    if (!(error instanceof FlowError)) throw error
    return { type: 'refused', code: error.code }
  }
}

/** What a schedule has done. */
export interface Played {
  answers: Answer[]
  /** Steps that each operation took. */
  steps: number[]
  /** Steps that had to wait for a lock. */
  blocked: number
}

/**
 * Runs operations with their statements in the order that `order` gives: each entry lets the next
 * step of that operation through. One that is blocked by another gives way; what is left when the
 * order is used up runs to its end, step by step in turn.
 */
export async function play(
  players: readonly Player[],
  operations: readonly Operation[],
  stage: Stage,
  order: readonly number[],
): Promise<Played> {
  for (const { gate } of players) gate.shut()
  const over = operations.map(() => false)
  const steps = operations.map(() => 0)
  let blocked = 0
  const works = operations.map((operation, i) => {
    const { engine } = players[i] as Player
    return answerOf(operation(engine, stage)).finally(() => {
      over[i] = true
    })
  })
  /** Whether that operation went on. */
  const advance = async (i: number): Promise<boolean> => {
    if (over[i]) return false
    const result = await (players[i] as Player).gate.step(works[i] as Promise<Answer>)
    if (result === 'blocked') blocked++
    if (result === 'answered') steps[i] = (steps[i] ?? 0) + 1
    return result === 'answered'
  }
  const deadline = performance.now() + 20_000
  try {
    for (const i of order) {
      if (await advance(i)) continue
      for (const [other] of operations.entries()) if (other !== i && (await advance(other))) break
    }
    while (over.includes(false)) {
      for (const [i] of operations.entries()) await advance(i)
      if (performance.now() > deadline) throw new Error('the operations do not come to an end')
    }
  } finally {
    for (const { gate } of players) gate.open()
  }
  return { answers: await Promise.all(works), steps, blocked }
}

/** All orders of so many steps of each operation. */
function orders(counts: readonly number[]): number[][] {
  if (counts.every((count) => count === 0)) return [[]]
  return counts.flatMap((count, i) =>
    count === 0
      ? []
      : orders(counts.map((other, j) => (i === j ? other - 1 : other))).map((rest) => [i, ...rest]),
  )
}

/** Some orders of so many steps, by a seed; all of them when there are no more than `most`. */
export function someOrders(counts: readonly number[], most: number, seed: number): number[][] {
  const total = counts.reduce((sum, count) => sum + count, 0)
  const few = counts.reduce(
    ({ ways, left }, count) => ({ ways: ways * choose(left, count), left: left - count }),
    { ways: 1, left: total },
  ).ways
  if (few <= most) return orders(counts)
  const line = counts.flatMap((count, i) => Array.from({ length: count }, () => i))
  return fc.sample(fc.shuffledSubarray(line, { minLength: total }), { numRuns: most, seed })
}

function choose(n: number, k: number): number {
  let ways = 1
  for (let i = 1; i <= k; i++) ways = (ways * (n - k + i)) / i
  return Math.round(ways)
}

/** Empties all tables that grow. */
export async function clear(session: Session): Promise<void> {
  await session.query(`
    delete from flow_steps; delete from flow_events; delete from match_keys; delete from signals;
    delete from resume_links; delete from idempotency_keys; delete from step_attempts;
    delete from flows`)
}

/** Invariants of the whole database, and that each signal's fate is what its sender was told. */
export async function judge(session: Session, answers: readonly Answer[]): Promise<Checked> {
  const checked = await checkInvariants(session)
  const wrong: string[] = []
  const rows = new Map(checked.signals.map((signal) => [signal.id, signal]))
  for (const answer of answers) {
    const faults = ['unavailable', 'internal', 'overloaded']
    if (answer.type === 'refused' && faults.includes(answer.code)) wrong.push(answer.code)
    if (answer.type !== 'fate') continue
    const { outcome, signal_id, deliveries } = answer.fate
    const row = rows.get(signal_id)
    const told = `signal ${signal_id} was answered ${outcome} and is ${row?.outcome ?? 'nowhere'}`
    if (outcome === 'unmatched' ? row !== undefined : row === undefined) wrong.push(told)
    if (outcome === 'delivered' && row?.outcome !== 'delivered') wrong.push(told)
    for (const { flow_id, revision } of deliveries) {
      const event = checked.logs.get(flow_id)?.[revision]
      if (event?.payload['signal_id'] !== signal_id) {
        wrong.push(`signal ${signal_id} was not what made revision ${revision} of ${flow_id}`)
      }
    }
  }
  if (wrong.length > 0) throw new Error(`${wrong.length} violations:\n${wrong.join('\n')}`)
  return checked
}

/** The namespace and name under which everything of a schedule runs. */
export const as = (actor: string) => ({ ...caller, actor })
