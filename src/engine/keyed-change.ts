// A change of something that is no flow, in a transaction of its own, under the caller's
// Idempotency-Key.

import { FlowError } from '../domain/errors.ts'
import { inTransaction, type Runner, type Scope } from '../store/db.ts'
import { toFlowError } from '../store/errors.ts'
import { keepReplies, lockIdempotencyKeys, readReplies, refText } from '../store/idempotency.ts'
import type { Within } from '../store/wall.ts'
import type { Caller, ChangeOptions } from './change.ts'
import { keepChange, keepCreation } from './keep-reply.ts'

/** How long an answer is kept for repeats, in milliseconds. */
const replyLifetime = 24 * 60 * 60 * 1000

/** What a change answered, be it now or at its first time. */
export interface KeyedReply<Value> {
  value: Value
  replayed: boolean
}

/**
 * Runs a change and answers after COMMIT. A repeat with its key gets the first answer and does
 * nothing. The answer is kept as it is, so no secret may be in it.
 *
 * @param more.flowId the flow that the change belongs to, if it does: its keys are apart from those of others.
 * @param more.within whose rows the change may see and write, when not those of the caller's namespace alone.
 * @throws FlowError what `work` throws; `idempotency_mismatch`, `idempotency_in_progress`.
 */
export async function keyedChange<Value extends object>(
  scope: Scope,
  caller: Caller,
  options: ChangeOptions,
  work: (runner: Runner) => Promise<Value>,
  { flowId, within = caller.namespace }: { flowId?: string; within?: Within } = {},
): Promise<KeyedReply<Value>> {
  const keep =
    flowId === undefined ? keepCreation(caller, options) : keepChange(caller, flowId, options)
  try {
    return await inTransaction(scope, within, async (runner) => {
      if (keep === null) return { value: await work(runner), replayed: false }
      const { ref, fingerprint } = keep
      // In statements of their own: what committed while the lock was taken must be seen.
      const held = await lockIdempotencyKeys(runner, [ref])
      const [kept] = await readReplies(runner, [ref])
      if (kept !== undefined) {
        if (kept.fingerprint === fingerprint) return { value: kept.reply as Value, replayed: true }
        throw new FlowError(
          'idempotency_mismatch',
          'This Idempotency-Key was used for another request. Send a new key for a new request.',
          { key: ref.key },
        )
      }
      if (!held.has(refText(ref))) {
        throw new FlowError(
          'idempotency_in_progress',
          'A request with this Idempotency-Key is still running. Send it again in a moment.',
          { retry_after: 1 },
        )
      }
      const value = await work(runner)
      const expires_at = new Date(Date.now() + replyLifetime).toISOString()
      // Records hold nothing that JSON cannot carry.
      await keepReplies(runner, [{ ...ref, fingerprint, reply: value, flow_id: null, expires_at }])
      return { value, replayed: false }
    })
  } catch (error) {
    throw toFlowError(error)
  }
}
