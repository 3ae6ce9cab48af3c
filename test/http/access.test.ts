// All operations as callers of every kind: nobody gets in who should not. And that the walk would find it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { grants } from '../../src/domain/binding.ts'
import {
  expectedAccess,
  type Operation,
  requestsOf,
  walkActions,
  walkStrangers,
  walkWide,
} from '../support/access-walk.ts'
import { type Api, startApi } from '../support/api.ts'
import { until } from '../support/service.ts'

const adminKey = 'admin-key-for-tests-0123456789'

let api: Api
let base: string
let operations: Operation[]

const admin = async (method: 'POST' | 'DELETE', path: string, body?: unknown) => {
  const answer = await api.call(method, path, body, { authorization: `Bearer ${adminKey}` })
  expect(answer.status).toBeLessThan(300)
  return answer.body
}

let named = 0
async function bind(more: object): Promise<{ id: string; key: string; keyId: string }> {
  const { id } = await admin('POST', '/bindings', { name: `a${++named}`, ...more })
  const made = await admin('POST', `/bindings/${id}/keys`, {})
  return { id, key: made.key, keyId: made.id }
}

beforeAll(async () => {
  api = await startApi({ adminKey })
  base = await api.app.listen({ port: 0, host: '127.0.0.1' })
  operations = requestsOf(api.app.openApi(), (_, example) => String(example))
})
afterAll(() => api?.close())

describe('every operation', () => {
  it('is in the table, and nothing else is', () => {
    const ids = operations.map(({ id }) => id)
    expect(ids.filter((id) => expectedAccess[id] === undefined)).toEqual([])
    expect(ids.length).toBeGreaterThan(70)
  })

  it('does what a key allows and nothing else, action by action', async () => {
    const keys = new Map<string, string>()
    for (const action of grants) keys.set(action, (await bind({ actions: [action] })).key)
    expect(await walkActions(base, operations, keys)).toEqual([])

    // The same walk finds an action that opens too much, and one that opens nothing.
    const read = keys.get('flows:read') as string
    const everything = keys.get('*') as string
    const wrong = new Map([
      ['flows:read', everything],
      ['engine:admin', read],
    ])
    const found = await walkActions(base, operations, wrong)
    expect(found.some((fault) => fault.startsWith('cancelFlow by flows:read'))).toBe(true)
    expect(found.some((fault) => fault.startsWith('getEngine by engine:admin'))).toBe(true)
  }, 120_000)

  it('is closed to keys that are none, or none any more', async () => {
    const revoked = await bind({ actions: ['*'] })
    await admin('DELETE', `/bindings/${revoked.id}/keys/${revoked.keyId}`)
    const gone = await bind({ actions: ['*'] })
    await admin('DELETE', `/bindings/${gone.id}`)
    const live = await bind({ actions: ['*'] })
    const { key: expired } = await admin('POST', `/bindings/${live.id}/keys`, {
      expires_in: 'PT1S',
    })
    const statusOf = async () =>
      (await api.app.inject({ url: '/flows', headers: { authorization: `Bearer ${expired}` } }))
        .statusCode
    expect(await statusOf()).toBe(200)
    await until(async () => (await statusOf()) === 401, 5_000, 'the key expires')
    const strangers = new Map<string, string | null>([
      ['no', null],
      ['a wrong', 'tf_test_wrong'],
      ['a guessed', `${live.key.slice(0, -1)}${live.key.endsWith('A') ? 'B' : 'A'}`],
      ['a revoked', revoked.key],
      ['a gone', gone.key],
      ['an expired', expired],
    ])
    expect(await walkStrangers(base, operations, strangers)).toEqual([])

    // The same walk finds a key that is let in.
    const found = await walkStrangers(base, operations, new Map([['a live', live.key]]))
    expect(found.some((fault) => fault.startsWith('getFlow with a live key'))).toBe(true)
  }, 60_000)

  it('of the whole namespace is closed to callers with an owner, and to those with controllers', async () => {
    const owner = await bind({ actions: ['*'], owner_session_key: 'o', requester_origin: 'u' })
    const worker = await bind({ actions: ['*'], controllers: ['c'] })
    expect(await walkWide(base, operations, owner.key)).toEqual([])
    expect(await walkWide(base, operations, worker.key)).toEqual([])
    const all = await bind({ actions: ['*'] })
    expect((await walkWide(base, operations, all.key)).length).toBeGreaterThan(20)
  }, 60_000)
})
