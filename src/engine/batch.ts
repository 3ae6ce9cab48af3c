// One batch, decided: entries and what was locked go in, what to write and what to answer come out.
// Pure, like `decide`; the committer around it does the waiting.

import type { Command, DecidedFlow, Decision, DomainLimits, Effect } from '../domain/command.ts'
import { createFlow, type NewFlow } from '../domain/create.ts'
import { decide } from '../domain/decide.ts'
import { FlowError, flowNotFound } from '../domain/errors.ts'
import type { FlowEvent } from '../domain/event.ts'
import { isTerminal } from '../domain/flow.ts'
import { type JsonObject, jsonBytes, type StatePatch } from '../domain/json.ts'
import type { StepRecord } from '../domain/step.ts'
import type { Changes, Locked, Saved } from '../store/batch.ts'
import type { EventRow } from '../store/events.ts'
import { type IdempotencyRef, refText } from '../store/idempotency.ts'
import type { Caller, Reply } from './change.ts'

/** A request to keep the answer under a key, and to give it again to a repeat. */
export interface KeepReply {
  ref: IdempotencyRef
  fingerprint: string
}

/** A command on its way through a batch. */
export type Entry = { caller: Caller; keep: KeepReply | null } & (
  | { type: 'create'; flow_id: string; shard: number; input: NewFlow }
  | { type: 'change'; flow_id: string; command: Command; if_match: number | null }
)

/**
 * What becomes of an entry once the batch has committed.
 *
 * - `reply`: this answer; `needs` names the flow whose state only the save statement knows.
 * - `refuse`: this error. Nothing of the entry was written.
 * - `again`: its premise changed within the batch, so it belongs into the next one.
 * - `busy`: its flow is locked elsewhere.
 */
export type Verdict =
  | { type: 'reply'; reply: Reply; needs: string | null }
  | { type: 'refuse'; error: unknown }
  | { type: 'again' }
  | { type: 'busy' }

export interface Plan {
  changes: Changes
  /** One for each entry, in the order of the entries. */
  verdicts: Verdict[]
}

/** How long an answer is kept for repeats, in milliseconds. */
const replyLifetime = 24 * 60 * 60 * 1000

/** Whether an entry can only be answered with the whole state at hand. */
export function needsState(entry: Entry): boolean {
  if (entry.keep !== null) return true
  if (entry.type === 'create') return false
  // These may end as a no-op, whose answer no save statement can supply.
  const { type } = entry.command
  return !['start', 'wait', 'finish', 'fail', 'cancel', 'resume', 'fire', 'quarantine'].includes(
    type,
  )
}

/** Bytes that an entry may add to the state of its flow. */
export function stateBytes(entry: Entry): number {
  if (entry.type === 'create') return 0
  const { command } = entry
  switch (command.type) {
    case 'update_state':
      return command.patch === undefined ? 0 : jsonBytes(command.patch)
    case 'resume':
      return command.state_patch === undefined ? 0 : jsonBytes(command.state_patch)
    case 'signal':
      return command.payload === undefined ? 0 : jsonBytes(command.payload) + 32
    case 'finish':
      return command.final_state === undefined ? 0 : jsonBytes(command.final_state)
    case 'fail':
      return jsonBytes(command.reason) + 64
    default:
      return 0
  }
}

function runText(flowId: string, runId: string): string {
  return `${flowId}/${runId}`
}

/** Decides all entries in their order. Two on one flow fold: the second sees what the first did. */
export function planBatch(entries: readonly Entry[], locked: Locked, limits: DomainLimits): Plan {
  const flows = new Map(locked.flows)
  const steps = new Map(locked.steps.map((step) => [runText(step.flow_id, step.run_id), step]))
  const touched = new Map<string, { patch: StatePatch | null; events: FlowEvent[] }>()
  const openKeys = new Map(
    locked.open_keys.map((flow) => [keyText(flow.namespace, flow.key), flow]),
  )
  const underWay = new Set<string>()
  const effects: { flow: DecidedFlow; effect: Effect }[] = []
  const changes: Changes = {
    updates: [],
    update_events: [],
    inserts: [],
    insert_events: [],
    open_match_keys: [],
    close_match_keys: [],
    steps: [],
    replies: [],
  }
  const verdicts = entries.map((entry): Verdict => {
    try {
      const known = entry.keep === null ? null : replayOf(entry.keep, locked, underWay)
      if (known !== null) return { type: 'reply', reply: { ...known, replayed: true }, needs: null }
      const verdict = entry.type === 'create' ? create(entry) : change(entry)
      // A signal that met no wait did nothing: its repeat shall be judged by what is then.
      const acted = verdict.type === 'reply' && verdict.reply.outcome !== 'unmatched'
      if (entry.keep !== null && acted) {
        const { ref, fingerprint } = entry.keep
        underWay.add(refText(ref))
        changes.replies.push({
          ...ref,
          fingerprint,
          reply: asJson(verdict.reply),
          flow_id: verdict.reply.flow.id,
          expires_at: new Date(Date.parse(locked.now) + replyLifetime).toISOString(),
        })
      }
      return verdict
    } catch (error) {
      return { type: 'refuse', error }
    }
  })

  for (const [id, { patch, events }] of touched) {
    const flow = flows.get(id) as DecidedFlow
    changes.updates.push({ flow, patch })
    for (const event of events) changes.update_events.push(eventRow(event, flow))
  }
  changes.updates.sort((a, b) => (a.flow.id < b.flow.id ? -1 : 1))
  // Two replicas that create the same keys in one order cannot wait for each other.
  changes.inserts.sort((a, b) =>
    keyText(a.namespace, a.key) < keyText(b.namespace, b.key) ? -1 : 1,
  )
  collectEffects(effects, changes)
  return { changes, verdicts }

  function change(entry: Extract<Entry, { type: 'change' }>): Verdict {
    const flow = flows.get(entry.flow_id)
    // Another caller of the batch may have named the flow, from the namespace that it is in.
    if (flow?.namespace !== entry.caller.namespace) {
      const busy = locked.busy.get(entry.flow_id) === entry.caller.namespace
      if (busy) return { type: 'busy' }
      throw flowNotFound(entry.flow_id)
    }
    if (entry.if_match !== null && entry.if_match !== flow.revision) {
      throw new FlowError(
        'revision_mismatch',
        `The flow is at revision ${flow.revision}. Read it, judge again, and send that revision.`,
        { flow_id: flow.id, expected: entry.if_match, actual: flow.revision },
      )
    }
    const decision = decide(flow, withKnownStep(entry), entry.caller.actor, locked.now, limits)
    apply(flow, decision)
    const after = flows.get(flow.id) as DecidedFlow
    return {
      type: 'reply',
      reply: {
        outcome: decision.outcome,
        flow: { ...after, state: after.state ?? {} },
        ...(decision.step && { step: decision.step }),
        ...(entry.command.type === 'observe' && {
          step_created: decision.step?.id === entry.command.step_id,
        }),
        ...(entry.command.type === 'signal' && { signal_id: entry.command.signal_id }),
        replayed: false,
      },
      needs: after.state === undefined ? flow.id : null,
    }
  }

  function withKnownStep(entry: Extract<Entry, { type: 'change' }>): Command {
    const { command } = entry
    if (command.type !== 'observe') return command
    const known = steps.get(runText(entry.flow_id, command.observation.run_id)) ?? null
    return { ...command, known }
  }

  function apply(before: DecidedFlow, decision: Decision): void {
    if (decision.events.length === 0) return
    flows.set(before.id, decision.flow)
    const sofar = touched.get(before.id) ?? { patch: null, events: [] }
    touched.set(before.id, {
      // With two commands on a flow its state was read, and is saved as a whole.
      patch: decision.patch ?? sofar.patch,
      events: [...sofar.events, ...decision.events],
    })
    for (const effect of decision.effects) effects.push({ flow: decision.flow, effect })
    if (decision.step) steps.set(runText(before.id, decision.step.run_id), decision.step)
  }

  function create(entry: Extract<Entry, { type: 'create' }>): Verdict {
    const { input, caller } = entry
    const text = keyText(caller.namespace, input.key ?? null)
    const holder = input.key === undefined ? undefined : openKeys.get(text)
    if (holder !== undefined) {
      const present = flows.get(holder.id)
      if (present !== undefined && isTerminal(present.status)) return { type: 'again' }
      if (input.on_conflict === 'use_existing') {
        return {
          type: 'reply',
          reply: { outcome: 'existing', flow: holder, replayed: false },
          needs: null,
        }
      }
      throw new FlowError(
        'key_conflict',
        `An open flow has this key. Use it, end it, or send on_conflict "use_existing".`,
        { flow_id: holder.id, key: input.key as string },
      )
    }
    const { flow_id: id, shard } = entry
    const { flow, events } = createFlow({ id, shard, ...caller }, input, locked.now, limits)
    if (flow.key !== null) openKeys.set(text, flow)
    changes.inserts.push(flow)
    for (const event of events) changes.insert_events.push(eventRow(event, flow))
    return { type: 'reply', reply: { outcome: 'created', flow, replayed: false }, needs: null }
  }
}

function keyText(namespace: string, key: string | null): string {
  return JSON.stringify([namespace, key])
}

function eventRow(event: FlowEvent, flow: { shard: number; namespace: string }): EventRow {
  return { ...event, shard: flow.shard, namespace: flow.namespace }
}

/** A reply as it is kept: records hold nothing that JSON cannot carry. */
function asJson(reply: Reply): JsonObject {
  return JSON.parse(JSON.stringify(reply)) as JsonObject
}

/** The kept answer to a repeat, or null when this is the first of its key. */
function replayOf(keep: KeepReply, locked: Locked, underWay: ReadonlySet<string>): Reply | null {
  const text = refText(keep.ref)
  const kept = locked.replies.get(text)
  if (kept !== undefined) {
    if (kept.fingerprint !== keep.fingerprint) {
      throw new FlowError(
        'idempotency_mismatch',
        'This Idempotency-Key was used for another request. Send a new key for a new request.',
        { key: keep.ref.key },
      )
    }
    return kept.reply as unknown as Reply
  }
  if (!locked.idempotency.has(text) || underWay.has(text)) {
    throw new FlowError(
      'idempotency_in_progress',
      'A request with this Idempotency-Key is still running. Send it again in a moment.',
      { retry_after: 1 },
    )
  }
  return null
}

/** Turns effects into rows. A wait that was opened and closed within the batch leaves none. */
function collectEffects(
  effects: readonly { flow: DecidedFlow; effect: Effect }[],
  changes: Changes,
): void {
  const opened = new Map<string, Changes['open_match_keys'][number]>()
  const steps = new Map<string, StepRecord>()
  for (const { flow, effect } of effects) {
    switch (effect.type) {
      case 'open_match_key': {
        const { shard, topic, correlation_id, wait_id, since } = effect
        opened.set(wait_id, {
          namespace: flow.namespace,
          topic,
          correlation_id,
          flow_id: flow.id,
          wait_id,
          flow_shard: flow.shard,
          shard,
          since,
        })
        break
      }
      case 'close_match_key': {
        const { shard, topic, correlation_id, wait_id } = effect
        if (opened.delete(wait_id)) break
        changes.close_match_keys.push({
          namespace: flow.namespace,
          topic,
          correlation_id,
          flow_id: flow.id,
          wait_id,
          shard,
        })
        break
      }
      case 'save_step':
        steps.set(runText(flow.id, effect.step.run_id), effect.step)
        break
    }
  }
  changes.open_match_keys.push(...opened.values())
  changes.steps.push(...steps.values())
}

/** Fills in the state that only the save statement knew. */
export function complete(verdict: Extract<Verdict, { type: 'reply' }>, saved: Saved): Reply {
  const { reply, needs } = verdict
  const state = needs === null ? undefined : saved.states.get(needs)
  return state === undefined ? reply : { ...reply, flow: { ...reply.flow, state } }
}
