// Steps of a flow: observations of work that runs elsewhere, and reads.

import { FlowError } from '../domain/errors.ts'
import { shardIndexOf } from '../domain/id.ts'
import type { Observation, StepRecord } from '../domain/step.ts'
import type { Scope } from '../store/db.ts'
import { listSteps, readStep } from '../store/steps.ts'
import type { Caller, ChangeOptions, Reply } from './change.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { Flows } from './flows.ts'
import { mintId } from './ids.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'

export interface Steps {
  /** Answers with `step` and `step_created`; outcome `changed`, `unchanged` or `stale`. */
  observe(
    caller: Caller,
    flowId: string,
    observation: Observation,
    options?: ChangeOptions,
  ): Promise<Reply>
  /** Throws `not_found` for the flow and for the step. */
  get(caller: Caller, flowId: string, runId: string): Promise<StepRecord>
  /** Oldest first. Throws `not_found` for the flow. */
  list(caller: Caller, flowId: string, page: PageRequest): Promise<Page<StepRecord>>
}

export function createSteps(scope: Scope, flows: Flows): Steps {
  return {
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

    async get(caller, flowId, runId) {
      await flows.get(caller, flowId)
      const step = await readStep(scope, flowId, runId)
      if (step === undefined) {
        throw new FlowError(
          'not_found',
          'This flow has no step with this run_id. List its steps for those it has.',
          { resource: 'step', id: runId },
        )
      }
      return step
    },

    async list(caller, flowId, { limit, cursor }) {
      const bound = ['steps', caller.namespace, flowId]
      const position =
        cursor === undefined ? null : decodeCursor(cursor, bound, ['timestamp', 'id'])
      await flows.get(caller, flowId)
      const found = await listSteps(scope, {
        flow_id: flowId,
        ...(position !== null && {
          after: { created_at: position[0] as string, id: position[1] as string },
        }),
        limit: limit + 1,
      })
      return pageOf(found, limit, (step) => encodeCursor(bound, [step.created_at, step.id]))
    },
  }
}
