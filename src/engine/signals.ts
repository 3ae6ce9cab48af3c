// Inbound messages that may end a wait: every one of them comes in here, whoever sends it.

import { FlowError, flowNotFound } from '../domain/errors.ts'
import type { FlowRecord } from '../domain/flow.ts'
import { isId, shardIndexOf } from '../domain/id.ts'
import { type JsonValue, jsonBytes } from '../domain/json.ts'
import { judgeRetain, type RetainBounds } from '../domain/retention.ts'
import { shardOf, shardToken } from '../domain/shard.ts'
import type { DeliverMode, SignalDelivery, SignalOutcome, SignalRecord } from '../domain/signal.ts'
import type { Timestamp } from '../domain/time.ts'
import type { SignalTarget } from '../domain/wait.ts'
import type { Scope } from '../store/db.ts'
import type { InboundMessage } from '../store/inbound.ts'
import { listSignals, readSignal } from '../store/signal-lists.ts'
import type { Caller, ChangeOptions, SignalReply } from './change.ts'
import type { Committer } from './committer.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { StartIfAbsent } from './entry.ts'
import { mintId } from './ids.ts'
import { keepChange, keepCreation } from './keep-reply.ts'
import { bytesOf, flowAmounts, type NamespaceQuota, noRoom, roomFor } from './namespace-quota.ts'
import type { Report } from './notice.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'
import { originOf, seesSent, sightMark, sightOf } from './sight.ts'
import { type FlowAsked, mintSteps } from './step-input.ts'

/** A signal as it is sent. */
export interface SignalInput {
  /** By topic and correlation, by name (which needs `flow_id`), or for one wait alone (so does this). */
  target: SignalTarget
  /** The one flow that it is for. */
  flow_id?: string
  payload?: JsonValue
  /** The sender's own id: makes a second one with it, for the same correlation, a duplicate. */
  sender_id?: string
  /** Who vouches for the sender's id; absent for callers of the API. */
  source?: string
  /** How long to keep it when nobody waits, in milliseconds; 0: not at all; the service's default when absent. */
  ttl?: number
  /** `one` when absent: the wait that is the oldest. `all`: every wait there is. */
  deliver?: DeliverMode
  /** The message that it was made of: stored in the same transaction, unless it is a duplicate. */
  message?: InboundMessage
  /** Send it to the open flow of this key, and make that flow if there is none. */
  start_if_absent?: FlowAsked & { key: string }
}

/** What became of a signal. */
export interface SignalFate {
  outcome: SignalReply['outcome']
  signal_id: string
  deliveries: SignalDelivery[]
  /** When it stops being kept; null when it is not kept. */
  expires_at: Timestamp | null
  /** The flow that it was sent to, when there is just one. */
  flow: FlowRecord | null
  /** Whether it made that flow. */
  started: boolean
  /** What became of it when it came first, for a duplicate. */
  first_outcome?: SignalOutcome
  replayed: boolean
}

export interface SignalFilter {
  outcome?: SignalOutcome[]
  topic?: string
  correlation_id?: string
  flow_id?: string
}

export interface Signals {
  /**
   * Delivers a signal, or keeps it for a wait to come. Resolves after COMMIT. Throws `not_found`,
   * `already_terminal` and `cancel_pending` for the one flow that it is for, `limit_exceeded`, and
   * `quota_exceeded` when too many are kept.
   */
  send(caller: Caller, input: SignalInput, options?: ChangeOptions): Promise<SignalFate>
  /** Throws `not_found`. */
  get(caller: Caller, id: string): Promise<SignalRecord>
  /** Newest first. */
  list(caller: Caller, filter: SignalFilter, page: PageRequest): Promise<Page<SignalRecord>>
  /** Tries a kept or expired signal again; one that finds no wait stays as it is. Throws `not_found`. */
  redeliver(caller: Caller, id: string, options?: ChangeOptions): Promise<SignalReply>
}

export interface SignalSettings {
  /** How long a signal is kept when its sender does not say, in milliseconds. */
  ttl: number
  /** The longest that a sender may ask for, in milliseconds. */
  max_ttl: number
  /** Signals kept for one topic and correlation, or for one flow by name. */
  kept: number
  /** Largest payload, in bytes of compact JSON. */
  payload_bytes: number
  /** How long the rows of delivered and expired signals stay, in milliseconds. */
  retention: number
}

/** What flows are held to that a signal makes. */
export interface StartLimits {
  /** Largest input of a step, in bytes of compact JSON. */
  stepBytes: number
  /** How long they may ask to be kept after their end. */
  retain: RetainBounds
}

/**
 * @param quota what namespaces are held to; null when they are held to nothing.
 * @param onWaking told when a signal has more waits to wake than one transaction holds.
 */
export function createSignals(
  scope: Scope,
  committer: Committer,
  settings: SignalSettings,
  limits: StartLimits,
  report: Report,
  quota: NamespaceQuota | null,
  onWaking: () => void,
): Signals {
  async function get(caller: Caller, id: string): Promise<SignalRecord> {
    const signal = isId(id) ? await readSignal(scope, caller.namespace, id) : undefined
    if (signal?.namespace !== caller.namespace || !seesSent(caller, signal)) {
      throw signalNotFound(id)
    }
    return signal
  }

  return {
    get,

    async send(caller, input, options = {}) {
      // Who sees other flows has senders' ids of its own: a duplicate tells nobody what others sent.
      const { target, payload, source = sightMark(caller) } = input
      const { namespace } = caller
      const flowId = input.flow_id ?? null
      if (flowId !== null && !isId(flowId)) throw flowNotFound(flowId)
      refuseLarge(payload, settings.payload_bytes)
      const ttl = input.ttl ?? settings.ttl
      if (ttl > settings.max_ttl) {
        throw new FlowError(
          'limit_exceeded',
          `A signal is kept for ${settings.max_ttl / 86_400_000} days at most: send a shorter ttl.`,
          { limit: 'signal_ttl_ms', maximum: settings.max_ttl, actual: ttl },
        )
      }
      const start = startOf(caller, input.start_if_absent, limits)
      // Not awaited where there are no quotas: what is sent at once stays in its order.
      const room =
        ttl === 0 || quota === null
          ? noRoom
          : await roomFor(quota, namespace, { kept_signals: 1, bytes: bytesOf(payload) })
      // What somebody waits for needs no room. A sender of webhooks sends again what is refused.
      if (room.refusal !== null && input.message !== undefined) throw room.refusal
      const flowRoom =
        start === null || quota === null
          ? noRoom
          : await roomFor(quota, namespace, flowAmounts(start.input))
      const shardIndex =
        target.kind === 'external_event'
          ? shardOf(caller.namespace, target.correlation_id)
          : shardIndexOf(flowId ?? '')
      const submitted = committer.submit({
        type: 'signal',
        caller,
        keep: flowId === null ? keepCreation(caller, options) : keepChange(caller, flowId, options),
        signal: {
          id: mintId(shardIndex),
          shard: shardToken(shardIndex),
          target,
          flow_id: flowId,
          source,
          sender_id: input.sender_id ?? null,
          ...(payload !== undefined && { payload }),
          deliver: input.deliver ?? 'one',
          ttl: room.refusal === null ? ttl : 0,
          ...(input.message !== undefined && { message: input.message }),
        },
        start: start && { ...start, refusal: flowRoom.refusal ?? room.refusal },
        if_match: options.if_match ?? null,
      })
      const reply = await submitted.catch((error: unknown) => {
        room.giveBack()
        flowRoom.giveBack()
        throw error
      })
      if (reply.outcome !== 'buffered') room.giveBack()
      if (!reply.started) flowRoom.giveBack()
      if (room.refusal !== null && reply.outcome === 'unmatched') throw room.refusal
      if (reply.signal.waking !== null) onWaking()
      if (!reply.replayed) report({ type: 'signal_received', outcome: reply.outcome })
      return fateOf(reply)
    },

    async list(caller, filter, { limit, cursor }) {
      const bound = ['signals', caller.namespace, sightOf(caller), filter]
      const position = cursor === undefined ? null : decodeCursor(cursor, bound, ['instant', 'id'])
      const found = await listSignals(scope, {
        ...filter,
        namespace: caller.namespace,
        sight: sightOf(caller),
        ...(position !== null && {
          before: { received_at: position[0] as string, id: position[1] as string },
        }),
        limit: limit + 1,
      })
      return pageOf(found, limit, (signal) => encodeCursor(bound, [signal.received_at, signal.id]))
    },

    async redeliver(caller, id, options = {}) {
      const signal = await get(caller, id)
      const reply = await committer.submit({
        type: 'redeliver',
        caller,
        keep: keepCreation(caller, options),
        signal,
        waking: false,
      })
      if (reply.signal.waking !== null) onWaking()
      return reply
    },
  }
}

function startOf(
  caller: Caller,
  input: (FlowAsked & { key: string }) | undefined,
  { stepBytes, retain }: StartLimits,
): Omit<StartIfAbsent, 'refusal'> | null {
  if (input === undefined) return null
  judgeRetain(input.retain_ms, retain, '/start_if_absent/retain')
  const shardIndex = shardOf(caller.namespace, input.key)
  return {
    flow_id: mintId(shardIndex),
    shard: shardToken(shardIndex),
    input: mintSteps(originOf(caller, input), shardIndex, stepBytes),
  }
}

function fateOf({ outcome, signal, flow, started, replayed }: SignalReply): SignalFate {
  return {
    outcome,
    signal_id: signal.id,
    deliveries: signal.deliveries,
    expires_at: signal.outcome === 'buffered' ? signal.expires_at : null,
    flow,
    started,
    ...(outcome === 'duplicate' && { first_outcome: signal.outcome }),
    replayed,
  }
}

function refuseLarge(payload: JsonValue | undefined, maximum: number): void {
  const actual = payload === undefined ? 0 : jsonBytes(payload)
  if (actual <= maximum) return
  throw new FlowError(
    'limit_exceeded',
    `The payload is larger than ${maximum} bytes: keep large data elsewhere and refer to it.`,
    { limit: 'signal_payload_bytes', maximum, actual },
  )
}

function signalNotFound(id: string): FlowError {
  return new FlowError(
    'not_found',
    'There is no signal with this id. Check the id, or list the signals.',
    { resource: 'signal', id },
  )
}
