// The flows of one batch while it is decided: each command sees what the one before it did.

import type { Command, DecidedFlow, Decision, DomainLimits, Effect } from '../domain/command.ts'
import { createFlow, type NewFlow } from '../domain/create.ts'
import { decide } from '../domain/decide.ts'
import { FlowError, flowNotFound } from '../domain/errors.ts'
import type { FlowEvent } from '../domain/event.ts'
import { type FlowRecord, type FlowStatus, isTerminal } from '../domain/flow.ts'
import { statusAfter } from '../domain/hook.ts'
import type { StatePatch } from '../domain/json.ts'
import type { StepDefaults, StepRecord } from '../domain/step.ts'
import type { Traceparent } from '../domain/trace.ts'
import type { Changes } from '../store/batch.ts'
import type { Locked } from '../store/batch-lock.ts'
import type { EventRow } from '../store/events.ts'
import type { NewHookRow } from '../store/hooks.ts'
import type { MatchKeyRow, Waiter } from '../store/match-keys.ts'
import type { Caller } from './change.ts'
import { keyText, matchText, runText } from './entry.ts'
import { sees } from './sight.ts'

/** A flow of the caller's that is locked elsewhere. */
export const busy = Symbol('busy')
/** A flow that ended within this batch: whoever came for its key belongs into the next one. */
export const ended = Symbol('ended')

export interface Workspace {
  locked: Locked
  limits: DomainLimits
  /**
   * A flow of the caller's as it is now, or `busy`. Throws `not_found`, also for another namespace's,
   * and `revision_mismatch`.
   */
  flowFor(caller: Caller, id: string, ifMatch: number | null): DecidedFlow | typeof busy
  /** A flow as it is now, if it is locked here. */
  flow(id: string): DecidedFlow | undefined
  /** A step as it is now, if it is locked here. */
  step(flowId: string, runId: string): StepRecord | null
  stepById(id: string): StepRecord | null
  /** What is open of a flow that is asked to end. */
  openSteps(flowId: string): StepRecord[]
  /** What a flow's controller says of its steps. */
  defaults(flow: Pick<DecidedFlow, 'namespace' | 'controller_id'>): StepDefaults | null
  /** Decides a command. Nothing is changed by it until the decision is applied. */
  decide(flow: DecidedFlow, command: Command, actor: string): Decision
  apply(decision: Decision): void
  /** Whether a flow was created in this batch. */
  isNew(id: string): boolean
  /** Whether a flow has ended in this batch, with steps that have not. */
  isClosing(id: string): boolean
  /** The open flow with a business key, `ended` if it was one when the batch began, or null. */
  holder(namespace: string, key: string): FlowRecord | typeof ended | null
  create(
    place: { id: string; shard: number },
    caller: Caller,
    input: NewFlow,
    hooks?: readonly NewHookRow[],
  ): FlowRecord
  /** Whatever is decided from now on, this caller causes. */
  causedBy(caller: Caller): void
  /** Waits under a match key, the longest waiting first, those that began in this batch included. */
  waiters(namespace: string, key: { topic: string; correlation_id: string }): Waiter[]
  changes: Changes
  /** Turns what was decided into rows. To be called once, at the end. */
  finish(): void
}

export function createWorkspace(locked: Locked, limits: DomainLimits): Workspace {
  const flows = new Map(locked.flows)
  const steps = new Map<string, StepRecord>()
  const stepIds = new Map<string, StepRecord>()
  for (const step of [...locked.open_steps, ...locked.steps]) addStep(step)
  const defaults = new Map(locked.step_defaults.map((one) => [keyText(one.namespace, one.id), one]))
  const touched = new Map<string, { patch: StatePatch | null; events: FlowEvent[] }>()
  const holders = new Map(locked.open_keys.map((flow) => [keyText(flow.namespace, flow.key), flow]))
  const waiters = new Map<string, Waiter[]>()
  for (const waiter of locked.waiters) addWaiter(waiter)
  const effects: { flow: DecidedFlow; effect: Effect }[] = []
  const changes: Changes = {
    updates: [],
    update_events: [],
    inserts: [],
    insert_events: [],
    open_match_keys: [],
    close_match_keys: [],
    new_steps: [],
    steps: [],
    attempts: [],
    close_steps: [],
    start_steps: [],
    now: locked.now,
    links: [],
    new_signals: [],
    signals: [],
    messages: [],
    hooks: [],
    hook_events: [],
    replies: [],
  }
  let depth = 0
  let trace: Traceparent | null = null

  function addWaiter(waiter: Waiter): void {
    const text = matchText(waiter.namespace, waiter)
    const known = waiters.get(text)
    if (known === undefined) waiters.set(text, [waiter])
    else known.push(waiter)
  }

  function addStep(step: StepRecord): void {
    steps.set(runText(step.flow_id, step.run_id), step)
    stepIds.set(step.id, step)
  }

  /** Keeps events that hooks may want: most batches have none. */
  function offer(before: FlowStatus, flow: DecidedFlow, events: readonly FlowEvent[]): void {
    const { id: flow_id, shard, hooked, traceparent } = flow
    if (!locked.hooks && !hooked) return
    let status = before
    for (const { revision, kind, actor, at } of events) {
      status = statusAfter(kind, status)
      changes.hook_events.push({
        flow_id,
        shard,
        revision,
        kind,
        status,
        actor,
        at,
        depth,
        hooked,
        ...(traceparent !== null && { traceparent }),
      })
    }
  }

  function apply(decision: Decision): void {
    if (decision.events.length + decision.effects.length === 0) return
    const { id } = decision.flow
    offer((flows.get(id) ?? decision.flow).status, decision.flow, decision.events)
    flows.set(id, decision.flow)
    if (decision.events.length > 0) {
      const sofar = touched.get(id) ?? { patch: null, events: [] }
      touched.set(id, {
        // With two commands on a flow its state was read, and is saved as a whole.
        patch: decision.patch ?? sofar.patch,
        events: [...sofar.events, ...decision.events],
      })
    }
    for (const effect of decision.effects) {
      effects.push({ flow: decision.flow, effect })
      if (effect.type === 'save_step') addStep(effect.step)
      if (effect.type !== 'open_match_key') continue
      const { topic, correlation_id, wait_id } = effect
      const { namespace } = decision.flow
      addWaiter({ namespace, topic, correlation_id, flow_id: id, wait_id, since: locked.instant })
    }
  }

  return {
    locked,
    limits,
    changes,
    flowFor(caller, id, ifMatch) {
      const flow = flows.get(id)
      // Another caller of the batch may have named the flow, from the namespace that it is in.
      if (flow === undefined || !sees(caller, flow)) {
        if (flow === undefined && locked.busy.get(id) === caller.namespace) return busy
        throw flowNotFound(id)
      }
      if (ifMatch !== null && ifMatch !== flow.revision) {
        throw new FlowError(
          'revision_mismatch',
          `The flow is at revision ${flow.revision}. Read it, judge again, and send that revision.`,
          { flow_id: id, expected: ifMatch, actual: flow.revision },
        )
      }
      return flow
    },
    flow: (id) => flows.get(id),
    step: (flowId, runId) => steps.get(runText(flowId, runId)) ?? null,
    stepById: (id) => stepIds.get(id) ?? null,
    openSteps: (flowId) =>
      [...stepIds.values()].filter(
        ({ flow_id, status, runtime }) =>
          flow_id === flowId &&
          runtime === 'managed' &&
          (status === 'pending' || status === 'running'),
      ),
    defaults: (flow) => defaults.get(keyText(flow.namespace, flow.controller_id)) ?? null,
    decide(flow, command, actor) {
      // What nobody traces leaves the trace of what came before it.
      const traced = trace === null ? flow : { ...flow, traceparent: trace }
      return decide(traced, command, actor, locked.now, limits)
    },
    apply,
    isNew: (id) => changes.inserts.some((flow) => flow.id === id),
    isClosing: (id) =>
      effects.some(({ flow, effect }) => effect.type === 'close_steps' && flow.id === id),
    holder(namespace, key) {
      const holder = holders.get(keyText(namespace, key))
      if (holder === undefined) return null
      const present = flows.get(holder.id)
      return present !== undefined && isTerminal(present.status) ? ended : holder
    },
    causedBy(caller) {
      depth = (caller.depth ?? 0) + 1
      trace = caller.traceparent ?? null
    },
    create(place, { namespace, actor }, input, hooks = []) {
      const origin = { ...place, namespace, actor, traceparent: trace }
      const said = defaults.get(keyText(namespace, input.controller_id)) ?? null
      const made = createFlow(origin, input, locked.now, limits, said)
      const { flow, events } = made
      for (const step of made.steps) {
        addStep(step)
        changes.new_steps.push(step)
      }
      const born = { ...flow, last_xid: locked.xid, hooked: hooks.length > 0 }
      changes.hooks.push(...hooks)
      offer('created', born, events)
      if (born.key !== null) holders.set(keyText(born.namespace, born.key), born)
      changes.inserts.push(born)
      for (const event of events) changes.insert_events.push(eventRow(event, born))
      return born
    },
    waiters: (namespace, key) => waiters.get(matchText(namespace, key)) ?? [],
    finish() {
      for (const [id, { patch, events }] of touched) {
        const decided = flows.get(id) as DecidedFlow
        const flow = { ...decided, last_xid: feedXid(decided.last_xid, locked) }
        changes.updates.push({ flow, patch })
        for (const event of events) changes.update_events.push(eventRow(event, flow))
      }
      changes.updates.sort((a, b) => (a.flow.id < b.flow.id ? -1 : 1))
      // Two replicas that create the same keys in one order cannot wait for each other.
      changes.inserts.sort((a, b) =>
        keyText(a.namespace, a.key) < keyText(b.namespace, b.key) ? -1 : 1,
      )
      collectEffects(effects, locked, changes)
    },
  }
}

/** Member by member: to spread an event costs a hundred times as much, and there are five to a flow. */
function eventRow(event: FlowEvent, { shard, namespace, last_xid: xid }: DecidedFlow): EventRow {
  const { flow_id, revision, kind, payload, actor, at } = event
  return { flow_id, revision, kind, payload, actor, at, shard, namespace, xid }
}

/**
 * The transaction under which the feed shows a change: ours, unless the flow's last change stands under
 * a later one. Ours is as old as its first lock, and another that began since may have changed this
 * flow before we got to it. One that this server has not come to yet is of another server, which a
 * dump was made of: under it the change would stay hidden.
 */
function feedXid(last: string, { xid, next_xid }: Locked): string {
  return isBefore(xid, last) && isBefore(last, next_xid) ? last : xid
}

/** Compares transaction ids, which are texts because they go past 2^53. */
function isBefore(a: string, b: string): boolean {
  return a.length === b.length ? a < b : a.length < b.length
}

/** Turns effects into rows. A wait that was opened and closed within the batch leaves none. */
function collectEffects(
  effects: readonly { flow: DecidedFlow; effect: Effect }[],
  { instant, now, steps: locked, open_steps }: Locked,
  changes: Changes,
): void {
  const known = new Set([...locked, ...open_steps].map(({ id }) => id))
  const opened = new Map<string, MatchKeyRow>()
  const steps = new Map<string, StepRecord>()
  for (const { flow, effect } of effects) {
    switch (effect.type) {
      case 'open_match_key':
      case 'close_match_key': {
        const { shard, topic, correlation_id, wait_id } = effect
        const { namespace, id: flow_id } = flow
        const ref = { namespace, topic, correlation_id, flow_id, wait_id, shard }
        const text = JSON.stringify([wait_id, topic, correlation_id])
        if (effect.type === 'open_match_key') {
          opened.set(text, { ...ref, flow_shard: flow.shard, since: instant })
        } else if (!opened.delete(text)) changes.close_match_keys.push(ref)
        break
      }
      case 'open_link': {
        const { wait_id, token_hash, expires_at, schema } = effect
        const { namespace, id: flow_id, shard } = flow
        changes.links.push({
          token_hash,
          flow_id,
          wait_id,
          shard,
          revision: flow.revision,
          namespace,
          created_at: now,
          expires_at,
          schema,
        })
        break
      }
      case 'save_step':
        steps.set(effect.step.id, effect.step)
        break
      case 'end_attempt':
        changes.attempts.push(effect.attempt)
        break
      case 'close_steps':
        changes.close_steps.push(flow.id)
        break
      case 'start_steps':
        changes.start_steps.push(flow.id)
        break
    }
  }
  changes.open_match_keys.push(...opened.values())
  // One that was added by a creation of this batch may have changed since.
  changes.new_steps = changes.new_steps.filter(({ id }) => !steps.has(id))
  for (const step of steps.values()) {
    if (known.has(step.id)) changes.steps.push(step)
    else changes.new_steps.push(step)
  }
}
