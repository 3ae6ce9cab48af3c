// Steps as callers see them: observed and enqueued, settled by their workers, mended by operators, read.

import { FlowError, flowNotFound } from '../domain/errors.ts'
import { flowStatuses, isTerminal } from '../domain/flow.ts'
import { isId, shardIndexOf } from '../domain/id.ts'
import type { JsonValue } from '../domain/json.ts'
import { readLeaseToken } from '../domain/lease.ts'
import type { AttemptRecord, Observation, StepRecord, StepStatus } from '../domain/step.ts'
import { leaseLost, stepNotFound } from '../domain/step-errors.ts'
import type { Scope } from '../store/db.ts'
import { isUniqueViolation } from '../store/errors.ts'
import { findSteps, listSteps, readAttempts, readStep, readStepById } from '../store/step-lists.ts'
import type { Caller, ChangeOptions, Reply } from './change.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { Flows } from './flows.ts'
import { mintId } from './ids.ts'
import type { Links } from './links.ts'
import { bytesOf, inQuota, type NamespaceQuota } from './namespace-quota.ts'
import { hashOfOutcome, mintOutcome, type OutcomeInput } from './outcome-input.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'
import { isNarrow, sightOf } from './sight.ts'
import { mintStep, refuseLargeValue, type StepInput } from './step-input.ts'

/** The answer to a change that is about one step. */
export type StepReply = Reply & { step: StepRecord }

/** What became of a report. */
export interface SettleReply extends StepReply {
  /** It did not count: its flow has ended, or is to end. */
  discarded: boolean
  /** It was accepted before. */
  repeated: boolean
  /** The token of the link that the new wait has; shown once. */
  link_token: string | null
}

export interface StepFilter {
  status?: StepStatus[]
  task?: string
  controller_id?: string
  flow_id?: string
}

export interface Steps {
  /** Answers with `step` and `step_created`; outcome `changed`, `unchanged` or `stale`. */
  observe(
    caller: Caller,
    flowId: string,
    observation: Observation,
    options?: ChangeOptions,
  ): Promise<Reply>
  /**
   * Adds a managed step; of a run that is there already, outcome `existing`. Answers with `step` and
   * `step_created`. Throws as a change does, and `limit_exceeded`.
   */
  enqueue(
    caller: Caller,
    flowId: string,
    step: StepInput,
    options?: ChangeOptions,
  ): Promise<StepReply>
  /** Takes the report of a run. Throws `lease_lost`, `wait_conflict`, `limit_exceeded`. */
  settle(
    caller: Caller,
    stepId: string,
    leaseToken: string,
    outcome: OutcomeInput,
    options?: ChangeOptions,
  ): Promise<SettleReply>
  /** Runs a dead step anew. Throws `not_found`, `step_conflict`, `already_terminal`. */
  retry(caller: Caller, stepId: string, options?: ChangeOptions): Promise<StepReply>
  /** Settles a dead or pending step; a null result with `skipped`. Throws the same. */
  resolve(
    caller: Caller,
    stepId: string,
    what: { skipped: boolean; result: JsonValue; reason?: string },
    options?: ChangeOptions,
  ): Promise<StepReply>
  /**
   * Reopens a failed flow at one of its steps. Throws `illegal_transition`, `already_terminal`,
   * `step_conflict`, and `key_conflict` when another flow has its key by now.
   */
  reopen(caller: Caller, flowId: string, stepId: string, options?: ChangeOptions): Promise<Reply>
  /** Throws `not_found` for the flow and for the step. */
  get(caller: Caller, flowId: string, runId: string): Promise<StepRecord>
  /** With the attempts that did not settle it, oldest first. Throws `not_found`. */
  inspect(caller: Caller, stepId: string): Promise<{ step: StepRecord; attempts: AttemptRecord[] }>
  /** Of one flow, oldest first. Throws `not_found` for the flow. */
  list(caller: Caller, flowId: string, page: PageRequest): Promise<Page<StepRecord>>
  /** Of all flows, newest first. */
  find(caller: Caller, filter: StepFilter, page: PageRequest): Promise<Page<StepRecord>>
  /** A step of the caller's namespace. Throws `not_found`. */
  byId(caller: Caller, stepId: string): Promise<StepRecord>
}

export interface StepsOptions {
  scope: Scope
  flows: Flows
  links: Links
  /** Largest input, result, checkpoint or details, in bytes of compact JSON. */
  stepBytes: number
  /** What namespaces are held to; null when they are held to nothing. */
  quota: NamespaceQuota | null
}

export function createSteps({ scope, flows, links, stepBytes, quota }: StepsOptions): Steps {
  async function byId(caller: Caller, stepId: string): Promise<StepRecord> {
    const step = isId(stepId) ? await readStepById(scope, caller.namespace, stepId) : undefined
    if (step === undefined || step.namespace !== caller.namespace) throw stepNotFound(stepId)
    if (isNarrow(caller))
      await flows.get(caller, step.flow_id).catch(() => {
        throw stepNotFound(stepId)
      })
    return step
  }

  function refuseLarge(name: string, value: JsonValue | undefined): void {
    refuseLargeValue(name, value, stepBytes)
  }

  /** Why a flow cannot have its business key again. */
  async function keyTaken(caller: Caller, flowId: string, cause: unknown): Promise<unknown> {
    const { key } = await flows.get(caller, flowId)
    if (key === null) return cause
    const open = { key, status: flowStatuses.filter((status) => !isTerminal(status)) }
    const { items } = await flows.list(caller, open, '-created_at', { limit: 1 })
    const [holder] = items
    if (holder === undefined) return cause
    const message = 'Another open flow has the key of this one: end that flow first.'
    return new FlowError('key_conflict', message, { flow_id: holder.id, key })
  }

  return {
    byId,

    async observe(caller, flowId, observation, options) {
      return flows.change(
        caller,
        flowId,
        {
          type: 'observe',
          step_id: mintId(shardIndexOf(flowId)),
          observation,
          // Looked up under the flow's lock.
          known: null,
        },
        options,
      )
    },

    async enqueue(caller, flowId, step, options) {
      if (!isId(flowId)) throw flowNotFound(flowId)
      const made = mintStep(step, shardIndexOf(flowId), stepBytes)
      const amounts = { open_steps: 1, bytes: bytesOf(step.input) }
      // Both looked up under the flow's lock.
      const command = { type: 'enqueue', step: made, defaults: null, known: null } as const
      const reply = await inQuota(
        quota,
        caller.namespace,
        amounts,
        (refusal) => flows.change(caller, flowId, command, options, refusal),
        ({ step_created, replayed }) => step_created === true && !replayed,
      )
      return withStep(reply)
    },

    async settle(caller, stepId, leaseToken, outcome, options) {
      const claim = readLeaseToken(leaseToken)
      if (claim === null) throw leaseLost(stepId, await byId(caller, stepId))
      if (!isId(stepId)) throw stepNotFound(stepId)
      if ('result' in outcome) refuseLarge('result', outcome.result)
      if (outcome.kind === 'error') refuseLarge('details', outcome.details)
      const made = mintOutcome(claim.flow_id, outcome, links, stepBytes)
      let reply: Reply
      try {
        reply = await flows.change(
          caller,
          claim.flow_id,
          {
            type: 'settle',
            step_id: stepId,
            token: claim.token,
            hash: hashOfOutcome(outcome),
            outcome: made.outcome,
            random: Math.random(),
            // Looked up under the flow's lock.
            defaults: null,
            known: null,
            taken: null,
          },
          options,
        )
      } catch (error) {
        if (!(error instanceof FlowError)) throw error
        // A token that names no flow, or no step of it, is somebody else's or made up.
        if (error.code === 'not_found') throw leaseLost(stepId, await byId(caller, stepId))
        if (error.code === 'lease_lost') await byId(caller, stepId)
        throw error
      }
      const { outcome: said, flow } = reply
      return {
        ...withStep(reply),
        discarded: said === 'discarded',
        repeated: said === 'repeated',
        link_token:
          made.wait_id !== null && flow.wait?.id === made.wait_id ? made.link_token : null,
      }
    },

    async retry(caller, stepId, options) {
      const { flow_id } = await byId(caller, stepId)
      const command = { type: 'retry_step', step_id: stepId, known: null } as const
      return withStep(await flows.change(caller, flow_id, command, options))
    },

    async resolve(caller, stepId, { skipped, result, reason }, options) {
      refuseLarge('result', result)
      const { flow_id } = await byId(caller, stepId)
      const reply = await flows.change(
        caller,
        flow_id,
        {
          type: 'resolve_step',
          step_id: stepId,
          known: null,
          skipped,
          result,
          ...(reason !== undefined && { reason }),
        },
        options,
      )
      return withStep(reply)
    },

    async reopen(caller, flowId, stepId, options) {
      if (!isId(stepId)) throw stepNotFound(stepId)
      const command = { type: 'reopen', step_id: stepId, known: null } as const
      try {
        return await flows.change(caller, flowId, command, options)
      } catch (error) {
        throw isDuplicate(error) ? await keyTaken(caller, flowId, error) : error
      }
    },

    async get(caller, flowId, runId) {
      await flows.get(caller, flowId)
      const step = await readStep(scope, caller.namespace, flowId, runId)
      if (step === undefined) {
        throw new FlowError(
          'not_found',
          'This flow has no step with this run_id. List its steps for those it has.',
          { resource: 'step', id: runId },
        )
      }
      return step
    },

    async inspect(caller, stepId) {
      const step = await byId(caller, stepId)
      return { step, attempts: await readAttempts(scope, caller.namespace, stepId) }
    },

    async list(caller, flowId, { limit, cursor }) {
      const bound = ['steps', caller.namespace, flowId]
      const position =
        cursor === undefined ? null : decodeCursor(cursor, bound, ['timestamp', 'id'])
      await flows.get(caller, flowId)
      const found = await listSteps(scope, {
        namespace: caller.namespace,
        flow_id: flowId,
        ...(position !== null && {
          after: { created_at: position[0] as string, id: position[1] as string },
        }),
        limit: limit + 1,
      })
      return pageOf(found, limit, (step) => encodeCursor(bound, [step.created_at, step.id]))
    },

    async find(caller, filter, { limit, cursor }) {
      const bound = ['all steps', caller.namespace, filter]
      const position =
        cursor === undefined ? null : decodeCursor(cursor, bound, ['timestamp', 'id'])
      const found = await findSteps(scope, {
        ...filter,
        namespace: caller.namespace,
        sight: sightOf(caller),
        ...(position !== null && {
          before: { created_at: position[0] as string, id: position[1] as string },
        }),
        limit: limit + 1,
      })
      return pageOf(found, limit, (step) => encodeCursor(bound, [step.created_at, step.id]))
    },
  }
}

function withStep(reply: Reply): StepReply {
  const { step } = reply
  if (step === undefined) throw new Error('a change of a step was answered without it')
  return { ...reply, step }
}

function isDuplicate(error: unknown): boolean {
  return error instanceof FlowError && isUniqueViolation(error.cause)
}
