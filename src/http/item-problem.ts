// The refusal of one item of several, as a value in the answer.

import type { FastifyBaseLogger } from 'fastify'
import type { ItemProblem } from '../contract/problem.ts'
import { FlowError } from '../domain/errors.ts'
import { problemKinds } from './problem-catalogue.ts'

/**
 * What is no refusal is a defect, and thrown.
 *
 * @param pointer where the item is in the body; the problem's own pointers begin there.
 */
export function itemProblem(reason: unknown, log: FastifyBaseLogger, pointer = ''): ItemProblem {
  if (!(reason instanceof FlowError)) throw reason
  const { code, message, cause, detail }: FlowError = reason
  if (code === 'internal') log.error({ err: cause }, 'an item failed')
  const errors = 'errors' in detail ? detail.errors : undefined
  const flowId = 'flow_id' in detail ? detail.flow_id : undefined
  return {
    code,
    status: problemKinds[code].status,
    detail: message,
    ...(errors && { errors: errors.map((one) => ({ ...one, pointer: pointer + one.pointer })) }),
    ...(flowId !== undefined && { flow_id: flowId }),
  }
}
