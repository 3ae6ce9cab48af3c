// What can be told of hooks without a database: the status after each event, and the secrets that sign.

import { expect, test } from 'vitest'
import { eventKinds } from '../../src/domain/event.ts'
import { statusAfter } from '../../src/domain/hook.ts'
import { liveSecrets } from '../../src/domain/signing-secret.ts'
import { later, start } from '../support/flow-samples.ts'

const changing = ['created', 'started', 'waiting', 'resumed', 'reopened']
const closing = ['finished', 'failed', 'cancelled']

test.each(eventKinds)('the status after %s', (kind) => {
  const after = statusAfter(kind, 'waiting')
  if (closing.includes(kind)) expect(after).toBe(kind)
  else if (kind === 'created') expect(after).toBe('created')
  else if (kind !== 'waiting' && changing.includes(kind)) expect(after).toBe('running')
  else expect(after).toBe('waiting')
})

test('a secret signs until it expires', () => {
  const of = (secret: string, expires_at: string | null) => ({
    secret,
    created_at: start,
    expires_at,
  })
  const secrets = [of('present', null), of('going', later(1)), of('gone', start)]
  expect(liveSecrets(secrets, start).map(({ secret }) => secret)).toEqual(['present', 'going'])
})
