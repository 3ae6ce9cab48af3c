// Keeps messages of a broker that can never become signals, so that their broker can forget them.

import { shardIndexOf } from '../domain/id.ts'
import { shardToken } from '../domain/shard.ts'
import type { Scope } from '../store/db.ts'
import { toFlowError } from '../store/errors.ts'
import { keepMessage } from '../store/inbound.ts'

export interface RefusedMessage {
  /** The same for each delivery of the same message: it is kept once. */
  id: string
  namespace: string
  source: string
  headers: Record<string, string>
  body: Buffer
  outcome: 'unmapped' | 'rejected'
  reason: string
}

/** Longer reasons are cut. */
const maxReason = 1024

/** Resolves after COMMIT. Throws `unavailable` when the database is away. */
export async function keepRefused(scope: Scope, message: RefusedMessage): Promise<void> {
  try {
    await keepMessage(scope, {
      ...message,
      reason: message.reason.slice(0, maxReason),
      shard: shardToken(shardIndexOf(message.id)),
      received_at: null,
      signal_id: null,
    })
  } catch (error) {
    throw toFlowError(error)
  }
}
