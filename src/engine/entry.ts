// A command on its way through a batch: what it asks for, and what it must have to itself.

import type { Command } from '../domain/command.ts'
import type { NewFlow } from '../domain/create.ts'
import { type JsonValue, jsonBytes } from '../domain/json.ts'
import type { StepOutcome } from '../domain/outcome.ts'
import type { DeliverMode, SignalRecord } from '../domain/signal.ts'
import type { BranchSpec, SignalTarget, WaitSpec } from '../domain/wait.ts'
import type { NewHookRow } from '../store/hooks.ts'
import type { IdempotencyRef } from '../store/idempotency.ts'
import type { InboundMessage } from '../store/inbound.ts'
import type { Caller, CreatedHook } from './change.ts'
import type { Standby } from './handover.ts'

/** A request to keep the answer under a key, and to give it again to a repeat. */
export interface KeepReply {
  ref: IdempotencyRef
  fingerprint: string
}

/** A signal that comes in. */
export interface NewSignal {
  id: string
  shard: number
  target: SignalTarget
  /** The one flow that it is for, or null. */
  flow_id: string | null
  source: string
  sender_id: string | null
  payload?: JsonValue
  deliver: DeliverMode
  /** How long it is kept when it finds no wait, in milliseconds; 0: not at all. */
  ttl: number
  /** The message that it was made of, to be stored with it. */
  message?: InboundMessage
}

/** A flow that a signal makes if no open flow has its key. */
export interface StartIfAbsent {
  /** Why no flow can be made now, if none can. */
  refusal: Error | null
  flow_id: string
  shard: number
  input: NewFlow & { key: string }
}

interface EntryBase {
  caller: Caller
  keep: KeepReply | null
}
/** What may make something that a namespace may only have so many of. */
interface MakingEntry extends EntryBase {
  /** Why nothing new can be made now, if so. A repeat, and what is there already, is answered all the same. */
  refusal?: Error
}
export type CreateEntry = MakingEntry & {
  type: 'create'
  flow_id: string
  shard: number
  input: NewFlow
  hooks?: { rows: NewHookRow[]; created: CreatedHook[] }
}
export type ChangeEntry = MakingEntry & {
  type: 'change'
  flow_id: string
  command: Command
  if_match: number | null
  /** What its sender wants besides, when it is a report. */
  standby?: Standby
}
export type SignalEntry = EntryBase & {
  type: 'signal'
  signal: NewSignal
  start: StartIfAbsent | null
  if_match: number | null
}
/** A stored signal that is tried again; `waking`: to go on with the waits that it has yet to wake. */
export type RedeliverEntry = EntryBase & {
  type: 'redeliver'
  signal: SignalRecord
  waking: boolean
}
export type Entry = CreateEntry | ChangeEntry | SignalEntry | RedeliverEntry

/** Whether an entry can only be answered, or decided, with the whole state of its flow at hand. */
export function needsState(entry: Entry): boolean {
  if (entry.keep !== null) return true
  if (entry.type !== 'change') return false
  const { command } = entry
  // Payloads of its branches gather in the state.
  if (command.type === 'wait') return command.wait.kind === 'all'
  // What is not among these may end as a no-op, whose answer no save statement can supply.
  return !['start', 'finish', 'fail', 'cancel', 'resume', 'fire', 'quarantine', 'reopen'].includes(
    command.type,
  )
}

/** Bytes that an entry may add to the state of a flow. */
function stateBytes(entry: Entry): number {
  if (entry.type === 'create') return 0
  if (entry.type !== 'change') return payloadBytes(entry.signal.payload)
  const { command } = entry
  switch (command.type) {
    case 'update_state':
      return command.patch === undefined ? 0 : jsonBytes(command.patch)
    case 'resume':
      return command.state_patch === undefined ? 0 : jsonBytes(command.state_patch)
    case 'signal':
      return payloadBytes(command.payload)
    case 'finish':
      return command.final_state === undefined ? 0 : jsonBytes(command.final_state)
    case 'fail':
      return jsonBytes(command.reason) + 64
    case 'settle':
      return outcomeBytes(command.outcome)
    case 'expire_step':
      return 512
    default:
      return 0
  }
}

/** What the report of a run may add: its patch, and the reason of a failure. */
function outcomeBytes(outcome: StepOutcome): number {
  const { state_patch } = outcome
  const patch = state_patch === undefined ? 0 : jsonBytes(state_patch)
  if (outcome.kind === 'fail') return patch + jsonBytes(outcome.reason) + 64
  // The reason names the run as well.
  return outcome.kind === 'error' ? patch + jsonBytes(outcome.message) + 512 : patch
}

/** The wait that a command lets its flow begin, if it does. */
export function waitOf(command: Command): WaitSpec | null {
  if (command.type === 'wait') return command.wait
  return command.type === 'settle' && command.outcome.kind === 'wait' ? command.outcome.wait : null
}

/** The run that the step after a report is to have, if the report names one. */
export function nextRunOf(outcome: StepOutcome): string | null {
  return 'next' in outcome ? (outcome.next?.run_id ?? null) : null
}

/** Bytes that an entry brings along beside what it does to flows. */
export function messageBytes(entry: Entry): number {
  if (entry.type !== 'signal' || entry.signal.message === undefined) return 0
  // Written in base64.
  return Math.ceil(entry.signal.message.body.length * 1.4)
}

function payloadBytes(payload: JsonValue | undefined): number {
  return payload === undefined ? 0 : jsonBytes(payload) + 32
}

export function runText(flowId: string, runId: string): string {
  return `${flowId}/${runId}`
}

/** The text of a business key. */
export function keyText(namespace: string, key: string | null): string {
  return JSON.stringify([namespace, key])
}

/** The text of a match key: waits and signals that could meet lock it. */
export function matchText(
  namespace: string,
  key: { topic: string; correlation_id: string },
): string {
  return JSON.stringify(['match', namespace, key.topic, key.correlation_id])
}

/** The text of a sender's id, in the scope in which it is unique; null when there is none. */
export function senderText(
  namespace: string,
  signal: Pick<NewSignal, 'target' | 'flow_id' | 'source' | 'sender_id'>,
): string | null {
  const { target, flow_id, source, sender_id } = signal
  if (sender_id === null) return null
  return target.kind === 'external_event'
    ? JSON.stringify(['sender', namespace, target.correlation_id, source, sender_id])
    : JSON.stringify(['sender of flow', namespace, flow_id, source, sender_id])
}

/** What a wait consists of. */
export function branchesOf(wait: WaitSpec): BranchSpec[] {
  return 'of' in wait ? wait.of : [wait]
}

/** The texts that an entry must hold while it is decided: match keys and senders' ids. */
function textsOf(entry: Entry): string[] {
  const { namespace } = entry.caller
  if (entry.type === 'change') {
    const wait = waitOf(entry.command)
    if (wait === null) return []
    return branchesOf(wait).flatMap((branch) =>
      branch.kind === 'external_event' ? [matchText(namespace, branch)] : [],
    )
  }
  if (entry.type === 'create') return []
  const { signal } = entry
  const sender = entry.type === 'signal' ? senderText(namespace, signal) : null
  const texts = sender === null ? [] : [sender]
  // One that is for a single flow meets its waits under the lock of that flow.
  const broadcast = isBroadcast(entry)
  if (broadcast && signal.target.kind === 'external_event') {
    texts.push(matchText(namespace, signal.target))
  }
  return texts
}

/** Whether an entry is a signal that looks for its waits by match key. */
export function isBroadcast(entry: Entry): boolean {
  if (entry.type === 'redeliver') return entry.signal.flow_id === null
  return entry.type === 'signal' && entry.signal.flow_id === null && entry.start === null
}

/** The flow that an entry names, if it does. */
export function flowIdOf(entry: Entry): string | null {
  if (entry.type === 'change') return entry.flow_id
  if (entry.type === 'signal' || entry.type === 'redeliver') return entry.signal.flow_id
  return null
}

/**
 * What two transactions of this process must not hold at once, because the second would only find it
 * locked: the committer keeps such entries apart, in their order.
 */
export function resourcesOf({ entry, texts }: Item): string[] {
  const flowId = flowIdOf(entry)
  // Most commands are about one flow and nothing else.
  if (entry.type === 'change' && texts.length === 0) return [entry.flow_id]
  const resources = [...texts]
  if (flowId !== null) resources.push(flowId)
  if (entry.type === 'signal' && entry.start !== null) {
    resources.push(keyText(entry.caller.namespace, entry.start.input.key))
  }
  if (entry.type === 'redeliver') resources.push(entry.signal.id)
  return [...new Set(resources)]
}

/** An entry that is to be decided, with what follows from it. */
export interface Item {
  entry: Entry
  /** `textsOf` it. */
  texts: readonly string[]
  /** Bytes that it may add to the state of a flow. */
  added: number
  /** The state is needed in any case. */
  whole: boolean
  /** How often it was tried already. */
  attempts: number
}

export function itemOf(entry: Entry): Item {
  return { entry, texts: textsOf(entry), added: stateBytes(entry), whole: false, attempts: 0 }
}
