// One batch, decided: entries and what was locked go in, what to write and what to answer come out.
// Pure, like `decide`; the committer around it does the waiting.

import type { Command, DecidedFlow } from '../domain/command.ts'
import { FlowError } from '../domain/errors.ts'
import type { JsonObject } from '../domain/json.ts'
import type { StepRecord } from '../domain/step.ts'
import type { Changes, Saved } from '../store/batch.ts'
import type { Locked } from '../store/batch-lock.ts'
import { refText } from '../store/idempotency.ts'
import type { Caller, Reply, SignalReply } from './change.ts'
import {
  type ChangeEntry,
  type CreateEntry,
  type Entry,
  type Item,
  type KeepReply,
  nextRunOf,
  type SignalEntry,
} from './entry.ts'
import { type Handover, handOver, type Offer, type Standby } from './handover.ts'
import { sees } from './sight.ts'
import { createSignalling, type SignalLimits, type SignalVerdict } from './signalling.ts'
import { busy, createWorkspace, ended } from './workspace.ts'

/**
 * What becomes of an entry once the batch has committed.
 *
 * - `reply`: this answer; `needs` names the flow whose state only the save statement knows.
 * - `refuse`: this error. Nothing of the entry was written.
 * - `again`: its premise changed within the batch, so it belongs into the next one; `whole`: with the
 *   state of its flow, to see whether something fits into it.
 * - `busy`: what it needs is locked elsewhere.
 */
export type Verdict =
  | { type: 'reply'; reply: Reply | SignalReply; needs: string | null }
  | { type: 'refuse'; error: unknown }
  | { type: 'again'; whole?: true }
  | { type: 'busy' }

export interface Plan {
  changes: Changes
  /** One for each entry, in the order of the entries. */
  verdicts: Verdict[]
  /** Steps that are claimed with it. Whoever saves the plan, or cannot, settles this. */
  handover: Handover | null
}

/** How long an answer is kept for repeats, in milliseconds. */
const replyLifetime = 24 * 60 * 60 * 1000

/** Decides all entries in their order. Two on one flow fold: the second sees what the first did. */
export function planBatch(
  items: readonly Item[],
  locked: Locked,
  limits: SignalLimits,
  offer: Offer,
): Plan {
  const work = createWorkspace(locked, limits)
  const signalling = createSignalling(work, limits)
  const underWay = new Set<string>()
  const standbys = new Map<Standby, StepRecord[]>()
  const { changes } = work
  const verdicts = items.map(({ entry, texts }): Verdict => {
    try {
      const known = entry.keep === null ? null : replayOf(entry.keep, locked, underWay)
      if (known !== null) return { type: 'reply', reply: { ...known, replayed: true }, needs: null }
      if (!texts.every((text) => locked.texts.has(text))) return { type: 'busy' }
      const verdict = judge(entry)
      if (verdict.type === 'reply' && entry.keep !== null) keep(entry.keep, verdict.reply)
      return verdict
    } catch (error) {
      return { type: 'refuse', error }
    }
  })
  work.finish()
  signalling.finish()
  return { changes, verdicts, handover: handOver(changes, locked, standbys, offer) }

  function judge(entry: Entry): Verdict {
    work.causedBy(causeOf(entry))
    switch (entry.type) {
      case 'create':
        return create(entry)
      case 'change':
        return change(entry)
      case 'signal':
        return withMessage(entry, verdictOf(signalling.receive(entry)))
      case 'redeliver':
        return verdictOf(signalling.redeliver(entry))
    }
  }

  /** Stores the message that a signal was made of; that of a duplicate is stored already. */
  function withMessage({ signal: { message } }: SignalEntry, verdict: Verdict): Verdict {
    if (message === undefined || verdict.type !== 'reply') return verdict
    const { reply } = verdict
    if (!('signal' in reply) || reply.outcome === 'duplicate') return verdict
    changes.messages.push({
      ...message,
      received_at: locked.now,
      outcome: 'accepted',
      reason: null,
      // One that was not kept has no row.
      signal_id: reply.outcome === 'unmatched' ? null : reply.signal.id,
    })
    return verdict
  }

  function change(entry: ChangeEntry): Verdict {
    const flow = work.flowFor(entry.caller, entry.flow_id, entry.if_match)
    if (flow === busy) return { type: 'busy' }
    // What closes the steps of a flow is written after all that is decided here.
    if (entry.command.type === 'reopen' && work.isClosing(flow.id)) return { type: 'again' }
    const decision = work.decide(flow, withKnownSteps(entry, flow), entry.caller.actor)
    if (entry.refusal !== undefined && isNew(entry.command, decision.step)) throw entry.refusal
    if (decision.events.some(({ kind }) => kind === 'waiting')) {
      try {
        const { decisions, commit } = signalling.followUp(decision)
        for (const one of decisions) work.apply(one)
        commit()
      } catch (error) {
        const full = error instanceof FlowError && error.code === 'limit_exceeded'
        if (full && flow.state === undefined) return { type: 'again', whole: true }
        throw error
      }
    } else work.apply(decision)
    const after = work.flow(flow.id) ?? decision.flow
    if (entry.standby !== undefined && decision.step !== undefined) {
      const settled = standbys.get(entry.standby)
      if (settled === undefined) standbys.set(entry.standby, [decision.step])
      else settled.push(decision.step)
    }
    return {
      type: 'reply',
      reply: {
        outcome: decision.outcome,
        flow: { ...after, state: after.state ?? {} },
        ...(decision.step && { step: decision.step }),
        ...(decision.step && { step_created: isNew(entry.command, decision.step) }),
        replayed: false,
      },
      needs: after.state === undefined ? flow.id : null,
    }
  }

  /** A command with what it has to know of steps, as they are now. */
  function withKnownSteps({ flow_id, command }: ChangeEntry, flow: DecidedFlow): Command {
    switch (command.type) {
      case 'observe':
        return { ...command, known: work.step(flow_id, command.observation.run_id) }
      case 'enqueue': {
        const { run_id, step_id } = command.step
        const known = work.step(flow_id, run_id ?? step_id)
        return { ...command, known, defaults: work.defaults(flow) }
      }
      case 'settle': {
        const known = work.stepById(command.step_id)
        const run = nextRunOf(command.outcome)
        const taken = run === null ? null : work.step(flow_id, run)
        return { ...command, known, taken, defaults: work.defaults(flow) }
      }
      case 'expire_step':
      case 'retry_step':
      case 'resolve_step':
      case 'reopen':
        return { ...command, known: work.stepById(command.step_id) }
      case 'request_cancel':
        return { ...command, open: flow.open_steps > 0 ? work.openSteps(flow_id) : [] }
      default:
        return command
    }
  }

  function create(entry: CreateEntry): Verdict {
    const { input, caller } = entry
    const holder = input.key === undefined ? null : work.holder(caller.namespace, input.key)
    if (holder === ended) return { type: 'again' }
    if (holder === null) {
      if (entry.refusal !== undefined) throw entry.refusal
      const { flow_id: id, shard, hooks } = entry
      const flow = work.create({ id, shard }, caller, input, hooks?.rows)
      const reply: Reply = {
        outcome: 'created',
        flow,
        ...(hooks && { hooks: hooks.created }),
        replayed: false,
      }
      return { type: 'reply', reply, needs: null }
    }
    if (!sees(caller, holder)) {
      // Whose it is, is not for this caller.
      throw new FlowError(
        'key_conflict',
        'This key is taken: use another one, or wait until its flow has ended.',
        { key: input.key as string },
      )
    }
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

  function keep({ ref, fingerprint }: KeepReply, reply: Reply | SignalReply): void {
    // A signal that met no wait and was not kept did nothing: its repeat shall be judged anew.
    if (reply.outcome === 'unmatched' && !('started' in reply && reply.started)) return
    underWay.add(refText(ref))
    changes.replies.push({
      ...ref,
      fingerprint,
      reply: asJson(reply),
      flow_id: reply.flow?.id ?? null,
      expires_at: new Date(Date.parse(locked.now) + replyLifetime).toISOString(),
    })
  }
}

/** Whom a change is put down to. A kept signal that is delivered by itself acts for whoever sent it. */
function causeOf(entry: Entry): Caller {
  const { caller } = entry
  if (entry.type !== 'redeliver' || entry.signal.traceparent === null) return caller
  return { traceparent: entry.signal.traceparent, ...caller }
}

function verdictOf(verdict: SignalVerdict): Verdict {
  return typeof verdict === 'string' ? { type: verdict } : { type: 'reply', ...verdict }
}

/** A reply as it is kept: records hold nothing that JSON cannot carry. Secrets are shown once. */
function asJson(reply: Reply | SignalReply): JsonObject {
  const blank = 'hooks' in reply && { hooks: reply.hooks?.map((one) => ({ ...one, secret: null })) }
  return JSON.parse(JSON.stringify({ ...reply, ...blank })) as JsonObject
}

/** The kept answer to a repeat, or null when this is the first of its key. */
function replayOf(
  keep: KeepReply,
  locked: Locked,
  underWay: ReadonlySet<string>,
): Reply | SignalReply | null {
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
    return kept.reply as Reply | SignalReply
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

/** Whether a command made the step that it is answered with. */
function isNew(command: Command, step: StepRecord | undefined): boolean {
  if (command.type === 'observe') return step?.id === command.step_id
  return command.type === 'enqueue' && step?.id === command.step.step_id
}

/** Fills in the state that only the save statement knew. */
export function complete(
  { reply, needs }: Extract<Verdict, { type: 'reply' }>,
  saved: Saved,
): Reply | SignalReply {
  const state = needs === null ? undefined : saved.states.get(needs)
  if (state === undefined || reply.flow === null) return reply
  return { ...reply, flow: { ...reply.flow, state } } as Reply | SignalReply
}
