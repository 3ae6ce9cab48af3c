// Links that end one wait each: made, looked at, and used, by whoever holds their tokens.

import { createHash, randomBytes } from 'node:crypto'
import { FlowError, invalid } from '../domain/errors.ts'
import { shardIndexOf } from '../domain/id.ts'
import type { JsonObject, JsonValue } from '../domain/json.ts'
import type { NewLink } from '../domain/link.ts'
import { decisionOf, type LinkDecision, linkActor, openUntil, waitEnding } from '../domain/link.ts'
import { payloadFaults } from '../domain/payload.ts'
import { type PayloadSchema, readSchema } from '../domain/payload-schema.ts'
import { shardCount, shardToken } from '../domain/shard.ts'
import type { Timestamp } from '../domain/time.ts'
import type { Wait } from '../domain/wait.ts'
import type { Scope } from '../store/db.ts'
import { listEvents } from '../store/events.ts'
import { type FoundLink, readLink } from '../store/links.ts'
import type { Signals } from './signals.ts'

/** A link as it is asked for. */
export interface LinkSpec {
  /** Milliseconds until it stops working; with its wait when absent. */
  ttl?: number
  /** A JSON Schema that payloads must fit. */
  schema?: JsonObject
}

/** A link that works, as whoever holds it may see it. */
export interface OpenLink {
  goal: string
  wait: Wait
  /** When it stops working by itself, or null. */
  expires_at: Timestamp | null
  schema: PayloadSchema | null
}

export interface LinkUse {
  signal_id: string
  decided_at: Timestamp
}

export interface Links {
  /**
   * Makes a link for a wait to come of a flow. The token is in no row: whoever asked is shown it once.
   * Throws `invalid_request` and `limit_exceeded` for a schema that is not in the subset.
   */
  mint(flowId: string, spec: LinkSpec): { token: string; link: NewLink }
  /** Changes nothing. Throws `not_found`, and `gone` with what was decided. */
  get(token: string): Promise<OpenLink>
  /**
   * Ends the wait of a link, once. Resolves after COMMIT. Throws as `get` does, and `invalid_request`
   * for a payload that does not fit, which uses nothing up. `depth`: see `Caller`.
   */
  resume(token: string, payload?: JsonValue, depth?: number): Promise<LinkUse>
}

/** 256 random bits, and a byte that names the shard: 44 characters of base64url. */
const secretBytes = 32
const tokenPattern = /^[\w-]{44}$/

export function createLinks(scope: Scope, signals: Signals): Links {
  /** Only the hash is compared, by an index: how long that takes tells nothing of other tokens. */
  async function find(token: string): Promise<FoundLink> {
    const token_hash = hashOf(token)
    const shardIndex = shardOfToken(token)
    const found =
      shardIndex === null
        ? undefined
        : await readLink(scope, { token_hash, shard: shardToken(shardIndex) })
    if (found !== undefined) return found
    throw new FlowError(
      'not_found',
      'There is no such link: check that it was copied whole, or ask for a new one.',
      { resource: 'link' },
    )
  }

  async function gone(link: FoundLink): Promise<FlowError> {
    const { namespace, flow_id, revision, expires_at } = link
    const [event] = await listEvents(scope, {
      namespace,
      flow_id,
      kinds: waitEnding,
      after: revision,
      limit: 1,
    })
    const ended = event === undefined ? null : decisionOf(event)
    // Whichever came first. With no ending at all, its time ran out since it was looked at.
    const expired = ended === null || (expires_at !== null && expires_at < ended.at)
    const decided: LinkDecision = expired
      ? { by: 'expiry', at: expires_at ?? link.updated_at }
      : ended
    return new FlowError('gone', saying(decided), { decided })
  }

  async function open(token: string): Promise<{ link: FoundLink; wait: Wait }> {
    const link = await find(token)
    const { wait, wait_id, expired, cancel_requested } = link
    if (wait?.id !== wait_id || expired || cancel_requested) throw await gone(link)
    return { link, wait }
  }

  return {
    mint(flowId, { ttl = null, schema = null }) {
      if (ttl === 0) throw invalid('/link/ttl', 'out_of_range', 'A link must live for some time.')
      if (schema !== null) readSchema(schema, '/link/schema')
      const token = Buffer.concat([
        randomBytes(secretBytes),
        Buffer.from([shardIndexOf(flowId)]),
      ]).toString('base64url')
      return { token, link: { token_hash: hashOf(token), ttl, schema } }
    },

    async get(token) {
      const { link, wait } = await open(token)
      return { goal: link.goal, wait, expires_at: openUntil(wait), schema: link.schema }
    },

    async resume(token, payload, depth = 0) {
      const { link } = await open(token)
      const { flow_id, wait_id, namespace, schema } = link
      if (schema !== null) refuseUnfit(schema, payload)
      const fate = await signals
        .send(
          { namespace, actor: linkActor, depth },
          {
            target: { kind: 'link', wait_id },
            flow_id,
            ...(payload !== undefined && { payload }),
            ttl: 0,
          },
        )
        .catch(async (error: unknown) => {
          // What the owner of a flow is told of its end is not for whoever holds a link.
          const over = error instanceof FlowError && isEnding(error)
          throw over ? await gone(link) : error
        })
      if (fate.outcome !== 'delivered' || fate.flow === null) throw await gone(link)
      return { signal_id: fate.signal_id, decided_at: fate.flow.updated_at }
    },
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

/** The index of the shard that a token names; null when no token looks like this. */
function shardOfToken(token: string): number | null {
  if (!tokenPattern.test(token)) return null
  const shardIndex = Buffer.from(token, 'base64url').readUInt8(secretBytes)
  return shardIndex < shardCount ? shardIndex : null
}

function isEnding({ code }: FlowError): boolean {
  return code === 'already_terminal' || code === 'cancel_pending'
}

function refuseUnfit(schema: PayloadSchema, payload: JsonValue | undefined): void {
  const [first, ...rest] =
    payload === undefined
      ? [
          {
            pointer: '',
            code: 'required',
            message: 'This link asks for a payload: send it as JSON.',
          },
        ]
      : payloadFaults(schema, payload)
  if (first !== undefined) {
    throw new FlowError('invalid_request', first.message, { errors: [first, ...rest] })
  }
}

function saying({ by }: LinkDecision): string {
  switch (by) {
    case 'link':
      return 'This link was used already: what was decided stands in decided.'
    case 'expiry':
    case 'timeout':
      return 'The time of this link is over. Ask whoever sent it for a new one.'
    default:
      return 'What this link was for is decided already, in another way.'
  }
}
