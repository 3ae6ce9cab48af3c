// What a message says: bare, in an envelope, by templates; who named it; and what can never become a signal.

import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import { parseTemplate, type Template } from '../../src/domain/template.ts'
import { type NatsMessage, readMessage, senderOf, UnmappedMessage } from '../../src/nats/message.ts'

const limits = { body_bytes: 1_000, json_depth: 8 }
const flowId = '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15'

function message(body: unknown, more: Partial<NatsMessage> = {}): NatsMessage {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return { subject: 'orders.eu.42', headers: {}, data: Buffer.from(text), ...more }
}

const template = (text: string): Template => {
  const reading = parseTemplate(text, { subject: true })
  if ('fault' in reading) throw new Error(reading.fault)
  return reading.template
}

const signal = { topic: 'payment.settled', correlation_id: 'order-42' }
const target = { kind: 'external_event', ...signal }

test('its sender is the caller of the bridge, in the trace of the message', () => {
  const caller = { namespace: 'default', actor: 'nats' }
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  expect(senderOf(caller, message('{}'))).toBe(caller)
  expect(senderOf(caller, message('{}', { headers: { traceparent: 'none' } }))).toBe(caller)
  expect(senderOf(caller, message('{}', { headers: { traceparent } }))).toEqual({
    ...caller,
    traceparent,
  })
})

describe('a bare message', () => {
  test('has what POST /signals has', () => {
    expect(readMessage(message(signal), limits, null)).toEqual({ target, source: 'nats' })
    const more = { flow_id: flowId, id: 'evt-1', payload: null, ttl: 'PT1H', deliver: 'all' }
    expect(readMessage(message({ ...signal, ...more }), limits, null)).toEqual({
      target,
      source: 'nats',
      flow_id: flowId,
      sender_id: 'evt-1',
      payload: null,
      ttl: 3_600_000,
      deliver: 'all',
    })
  })

  test.each([
    ['', ''],
    ['[]', ''],
    ['{"topic":"t"}', '/correlation_id'],
    ['{"correlation_id":"c"}', '/topic'],
    [{ ...signal, topic: '' }, '/topic'],
    [{ ...signal, topic: 7 }, '/topic'],
    [{ ...signal, topic: 't'.repeat(256) }, '/topic'],
    [{ ...signal, flow_id: 'x' }, '/flow_id'],
    [{ ...signal, ttl: 'soon' }, '/ttl'],
    [{ ...signal, ttl: 5 }, '/ttl'],
    [{ ...signal, deliver: 'none' }, '/deliver'],
    [{ ...signal, corelation: 1 }, '/corelation'],
    [{ ...signal, id: 'a\0b' }, '/id'],
    ['{"topic":"t","topic":"u","correlation_id":"c"}', '/topic'],
  ])('%j is refused, with the place', (body, pointer) => {
    const error = refusal(() => readMessage(message(body), limits, null))
    expect(error.code).toBe('invalid_request')
    expect(error.detail).toMatchObject({ errors: [{ pointer }] })
  })

  test.each<[string, Uint8Array | string, string]>([
    ['no JSON', '{"topic":', 'malformed_json'],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'malformed_json'],
    ['JSON that is too deep', '['.repeat(20), 'limit_exceeded'],
    ['more than is read', ' '.repeat(1_001), 'limit_exceeded'],
  ])('%s is refused', (_, data, code) => {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    const error = refusal(() => readMessage(message('', { data: bytes }), limits, null))
    expect(error.code).toBe(code)
  })
})

describe('an envelope', () => {
  const envelope = {
    id: 'e-1',
    timestamp: '2026-04-23T15:00:00Z',
    topic: 'taskflow.resume',
    source: 'agent',
    session_id: null,
    payload: { flow_id: flowId, ...signal, payload: { paid: true } },
  }

  test('carries the signal in its payload, and its id names it', () => {
    expect(readMessage(message(envelope), limits, null)).toEqual({
      target,
      source: 'nats',
      flow_id: flowId,
      sender_id: 'e-1',
      payload: { paid: true },
    })
  })

  test('gives way to an id inside', () => {
    const inner = { ...envelope, payload: { ...signal, id: 'inner' } }
    expect(readMessage(message(inner), limits, null).sender_id).toBe('inner')
  })

  test('is refused with the place inside', () => {
    const error = refusal(() =>
      readMessage(message({ ...envelope, payload: { topic: 't' } }), limits, null),
    )
    expect(error.detail).toMatchObject({ errors: [{ pointer: '/payload/correlation_id' }] })
  })
})

describe('who names a message', () => {
  const named = { ...signal, id: 'by-body' }
  test.each<[string, Record<string, string>, unknown, string | undefined, string | undefined]>([
    ['the header first', { 'nats-msg-id': 'by-header' }, named, 'by-stream', 'by-header'],
    ['then the body', {}, named, 'by-stream', 'by-body'],
    ['then the stream', {}, signal, 'by-stream', 'by-stream'],
    ['else nobody', {}, signal, undefined, undefined],
  ])('%s', (_, headers, body, fallback_id, expected) => {
    const more = { headers, ...(fallback_id !== undefined && { fallback_id }) }
    expect(readMessage(message(body, more), limits, null).sender_id).toBe(expected)
  })

  test('an id that nothing can store is refused', () => {
    for (const id of ['', 'x'.repeat(256), 'a\0']) {
      const headers = { 'nats-msg-id': id }
      expect(refusal(() => readMessage(message(signal, { headers }), limits, null)).code).toBe(
        'invalid_request',
      )
    }
  })
})

describe('templates', () => {
  const map = (topic: string, correlation: string) => ({
    topic: template(topic),
    correlation_id: template(correlation),
  })

  test('make topic and correlation id; the whole body is the payload', () => {
    const body = { order: { id: 42 }, topic: 'not this' }
    const headers = { tenant: 'acme' }
    const read = (topic: string, correlation: string) =>
      readMessage(message(body, { headers }), limits, map(topic, correlation))
    expect(read('{subject}', '{/order/id}')).toEqual({
      target: { kind: 'external_event', topic: 'orders.eu.42', correlation_id: '42' },
      payload: body,
      source: 'nats',
    })
    expect(read('{subject:1}', '{header:Tenant}-{subject:3}').target).toEqual({
      kind: 'external_event',
      topic: 'orders',
      correlation_id: 'acme-42',
    })
  })

  test('a message without a body has no payload', () => {
    const read = readMessage(message(''), limits, map('{subject:1}', '{subject:3}'))
    expect(read).toEqual({
      target: { kind: 'external_event', topic: 'orders', correlation_id: '42' },
      source: 'nats',
    })
  })

  test.each([
    ['{subject:4}', 'The subject has no token 4.'],
    ['{header:order}', 'The message has no header order.'],
    ['{/order}', 'The body has no /order.'],
  ])('%s may find nothing', (correlation, sentence) => {
    expect(() => readMessage(message({}), limits, map('{subject}', correlation))).toThrow(
      new UnmappedMessage(`correlation_id: ${sentence}`),
    )
  })

  test('subjects are only for messages that have one', () => {
    expect(parseTemplate('{subject}')).toHaveProperty('fault')
    for (const text of ['{subject:0}', '{subject:a}', '{subject:}', '{subjects}']) {
      expect(parseTemplate(text, { subject: true }), text).toHaveProperty('fault')
    }
  })
})

function refusal(work: () => unknown): FlowError {
  try {
    work()
  } catch (error) {
    if (error instanceof FlowError) return error
    throw error
  }
  throw new Error('it was not refused')
}
