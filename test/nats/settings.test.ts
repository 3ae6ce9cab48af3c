// The settings of the bridge: subjects that meet, templates that cannot be read, and what is loaded.

import { describe, expect, test } from 'vitest'
import { ConfigError, loadConfig } from '../../src/config.ts'
import { bridgeSettings } from '../../src/nats/settings.ts'
import { overlap, subjectFault, tokenOf } from '../../src/nats/subject.ts'

const url = 'nats://127.0.0.1:4222'

describe('subjects', () => {
  test.each([
    ['a.b', 'a.b', true],
    ['a.b', 'a.c', false],
    ['a.*', 'a.c', true],
    ['a.*', 'a.b.c', false],
    ['a.>', 'a.b.c', true],
    ['a.>', 'a', false],
    ['>', 'x', true],
    ['*.b', 'a.*', true],
    ['taskflow.signals.>', 'taskflow.signal', false],
    ['taskflow.>', 'taskflow.events.>', true],
  ])('%s and %s: %s', (one, other, expected) => {
    expect(overlap(one, other)).toBe(expected)
    expect(overlap(other, one)).toBe(expected)
  })

  test.each(['', 'a..b', '.a', 'a.', 'a b', '$JS.API', 'a.>.b'])('%j cannot be', (subject) => {
    expect(subjectFault(subject, { wildcards: true })).not.toBeNull()
  })

  test('wildcards are for those who take messages', () => {
    expect(subjectFault('a.*', { wildcards: true })).toBeNull()
    expect(subjectFault('a.*', { wildcards: false })).not.toBeNull()
  })

  test.each([
    ['acme', 'acme'],
    ['acme.eu west', 'acme_eu_west'],
    ['*>', '__'],
    ['', '_'],
    ['zürich', 'zürich'],
  ])('%j is the token %s', (text, token) => {
    expect(tokenOf(text)).toBe(token)
  })
})

describe('the configuration', () => {
  test('without NATS_URL nothing of it is judged', () => {
    expect(loadConfig({ TASKFLOW_NATS_SUBJECT: 'a..b' }).NATS_URL).toBeUndefined()
  })

  test('has defaults that go together', () => {
    const config = loadConfig({ NATS_URL: url, TASKFLOW_NATS_EVENTS: 'true' })
    expect(bridgeSettings(config)).toMatchObject({
      namespace: 'default',
      inbound: {
        stream: 'taskflow-signals',
        subject: 'taskflow.signals.>',
        create: true,
        map: null,
      },
      requests: { subject: 'taskflow.signal', queue: 'taskflow' },
      events: true,
    })
  })

  test('turns parts off', () => {
    const config = loadConfig({
      NATS_URL: url,
      TASKFLOW_NATS_STREAM: 'off',
      TASKFLOW_NATS_REQUEST_SUBJECT: 'off',
    })
    expect(bridgeSettings(config)).toMatchObject({ inbound: null, requests: null })
  })

  test('takes the subject for the topic when only the correlation id is told', () => {
    const config = loadConfig({ NATS_URL: url, TASKFLOW_NATS_CORRELATION_ID: '{subject:3}' })
    expect(bridgeSettings(config).inbound?.map?.topic).toEqual([{ kind: 'subject', token: null }])
  })

  test.each<[Record<string, string>, string]>([
    [{ NATS_URL: 'http://127.0.0.1' }, 'NATS_URL must be'],
    [{ TASKFLOW_NATS_SUBJECT: 'a..b' }, 'empty token'],
    [{ TASKFLOW_NATS_REQUEST_SUBJECT: 'a.*' }, 'wildcards'],
    [{ TASKFLOW_NATS_STREAM: 'a.b' }, 'TASKFLOW_NATS_STREAM=a.b'],
    [{ TASKFLOW_NATS_DURABLE: 'a b' }, 'TASKFLOW_NATS_DURABLE=a b'],
    [{ TASKFLOW_NATS_SUBJECT: 'taskflow.*' }, 'keep their subjects apart'],
    [
      { TASKFLOW_NATS_SUBJECT: 'taskflow.events.>', TASKFLOW_NATS_EVENTS: 'true' },
      'keep their subjects apart',
    ],
    [{ TASKFLOW_NATS_TOPIC: '{subject}' }, 'needs TASKFLOW_NATS_CORRELATION_ID'],
    [{ TASKFLOW_NATS_CORRELATION_ID: '{nothing}' }, 'TASKFLOW_NATS_CORRELATION_ID has {nothing}'],
  ])('%j is refused', (env, sentence) => {
    const load = () => loadConfig({ NATS_URL: url, ...env })
    expect(load).toThrow(ConfigError)
    expect(load).toThrow(sentence)
  })

  test('a password is not repeated', () => {
    expect(() => loadConfig({ NATS_URL: 'http://u:secret@h' })).toThrow(/^(?!.*secret)/s)
  })
})
