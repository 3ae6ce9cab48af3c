// From a message to a signal: the members of its JSON, bare or in an envelope, or what templates make of it.

import { isUtf8 } from 'node:buffer'
import { maxLengths } from '../contract/kit.ts'
import { FlowError, invalid } from '../domain/errors.ts'
import { parseDuration } from '../domain/formats.ts'
import { isId } from '../domain/id.ts'
import type { JsonObject, JsonValue } from '../domain/json.ts'
import { parseJsonText } from '../domain/json-text.ts'
import { fillTemplate, type Template } from '../domain/template.ts'
import { readTraceparent } from '../domain/trace.ts'
import type { Caller } from '../engine/change.ts'
import type { SignalInput } from '../engine/signals.ts'

/** A message, however it came. */
export interface NatsMessage {
  subject: string
  /** By names in lower case. */
  headers: Record<string, string>
  data: Uint8Array
  /** What the message is known by when its sender gave it no id; a repeat must have the same. */
  fallback_id?: string
}

/** Makes topic and correlation id from a message whose body is all payload. */
export interface MessageMap {
  topic: Template
  correlation_id: Template
}

export interface MessageLimits {
  body_bytes: number
  json_depth: number
}

/** A message whose templates find nothing to read. */
export class UnmappedMessage extends Error {
  override readonly name = 'UnmappedMessage'
}

/** Who sends a message: the caller of the bridge, in the trace that the message is a part of. */
export function senderOf(caller: Caller, { headers }: Pick<NatsMessage, 'headers'>): Caller {
  const traceparent = readTraceparent(headers['traceparent'])
  return traceparent === null ? caller : { ...caller, traceparent }
}

/** Where the server and the field's clients put the sender's id. */
const idHeader = 'nats-msg-id'

/**
 * Reads a message.
 *
 * @throws FlowError for what no repeat of the same message could mend.
 * @throws UnmappedMessage
 */
export function readMessage(
  message: NatsMessage,
  limits: MessageLimits,
  map: MessageMap | null,
): SignalInput {
  const body = readBody(message.data, limits)
  const given = map === null ? readMembers(body) : fillMap(map, message, body)
  const sender_id = message.headers[idHeader] ?? given.sender_id ?? message.fallback_id
  if (sender_id !== undefined) checkName(sender_id, 'Nats-Msg-Id')
  return { ...given, source: 'nats', ...(sender_id !== undefined && { sender_id }) }
}

/** The body as JSON; undefined when it is empty. */
function readBody(data: Uint8Array, limits: MessageLimits): JsonValue | undefined {
  if (data.length > limits.body_bytes) {
    throw new FlowError(
      'limit_exceeded',
      `The message has ${data.length} bytes: at most ${limits.body_bytes} are read.`,
      { limit: 'body_bytes', maximum: limits.body_bytes, actual: data.length },
    )
  }
  if (data.length === 0) return undefined
  if (!isUtf8(data)) {
    throw new FlowError('malformed_json', 'The message is not UTF-8.', {
      errors: [{ pointer: '', code: 'encoding', message: 'The message is not UTF-8.' }],
    })
  }
  return parseJsonText(Buffer.from(data).toString('utf8'), { depth: limits.json_depth })
}

function fillMap(map: MessageMap, message: NatsMessage, body: JsonValue | undefined): SignalInput {
  const { subject, headers } = message
  const fill = (name: 'topic' | 'correlation_id') => {
    const filled = fillTemplate(map[name], { subject, headers, body })
    if ('fault' in filled) throw new UnmappedMessage(`${name}: ${filled.fault}`)
    checkName(filled.text, name)
    return filled.text
  }
  return {
    target: {
      kind: 'external_event',
      topic: fill('topic'),
      correlation_id: fill('correlation_id'),
    },
    ...(body !== undefined && { payload: body }),
  }
}

const members = ['topic', 'correlation_id', 'flow_id', 'id', 'payload', 'ttl', 'deliver']

function readMembers(body: JsonValue | undefined): SignalInput {
  if (!isObject(body)) {
    throw invalid(
      '',
      'wrong_type',
      'The message must be a JSON object with topic and correlation_id.',
    )
  }
  if (!isEnvelope(body)) return readSignal(body, '')
  const inner = readSignal(body.payload, '/payload')
  // The envelope's own id names the message as well, when the sender gave no other.
  if (inner.sender_id !== undefined || typeof body['id'] !== 'string') return inner
  return { ...inner, sender_id: checkName(body['id'], '/id') }
}

/**
 * Whether an object is a broker's event that carries the signal in its payload: `{id, timestamp,
 * topic, source, session_id?, payload}`. The topic is then the broker's, and no correlation id
 * stands beside it.
 */
function isEnvelope(body: JsonObject): body is JsonObject & { payload: JsonObject } {
  return (
    !Object.hasOwn(body, 'correlation_id') &&
    ['id', 'timestamp', 'source'].every((name) => typeof body[name] === 'string') &&
    isObject(body['payload'])
  )
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readSignal(body: JsonObject, at: string): SignalInput {
  for (const name of Object.keys(body)) {
    if (members.includes(name)) continue
    throw invalid(
      `${at}/${name.slice(0, 64)}`,
      'unknown_member',
      `${name.slice(0, 64)} is not a member of a signal: remove it.`,
      { allowed: members },
    )
  }
  const text = (name: string) => {
    const value = body[name]
    if (value === undefined) {
      throw invalid(`${at}/${name}`, 'required', `The message must have a ${name}.`)
    }
    return checkName(value, `${at}/${name}`)
  }
  const optional = (name: string) => (Object.hasOwn(body, name) ? text(name) : undefined)
  const target = {
    kind: 'external_event' as const,
    topic: text('topic'),
    correlation_id: text('correlation_id'),
  }
  const [flow_id, sender_id, ttl, deliver] = ['flow_id', 'id', 'ttl', 'deliver'].map(optional)
  if (flow_id !== undefined && !isId(flow_id)) {
    throw invalid(`${at}/flow_id`, 'format', 'flow_id must be the id of a flow.')
  }
  if (deliver !== undefined && deliver !== 'one' && deliver !== 'all') {
    throw invalid(`${at}/deliver`, 'not_allowed', 'deliver must be one or all.', {
      allowed: ['one', 'all'],
    })
  }
  return {
    target,
    ...(flow_id !== undefined && { flow_id }),
    ...(sender_id !== undefined && { sender_id }),
    ...(body['payload'] !== undefined && { payload: body['payload'] }),
    ...(ttl !== undefined && { ttl: parseDuration(ttl, `${at}/ttl`) }),
    ...(deliver !== undefined && { deliver }),
  }
}

/** A text that can be a topic, an id or a key. Headers are not JSON, so NUL is looked for here too. */
function checkName(value: JsonValue, pointer: string): string {
  const name = pointer.slice(pointer.lastIndexOf('/') + 1)
  if (typeof value !== 'string') throw invalid(pointer, 'wrong_type', `${name} must be a text.`)
  const length = [...value].length
  if (length === 0) throw invalid(pointer, 'too_short', `${name} must not be empty.`)
  if (length > maxLengths.name) {
    throw invalid(pointer, 'too_long', `${name} must have at most ${maxLengths.name} characters.`)
  }
  if (value.includes('\0')) {
    throw invalid(pointer, 'nul_character', `${name} holds the NUL character: remove it.`)
  }
  return value
}
