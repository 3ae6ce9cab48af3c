// The agent tool where two sessions, narrow horizons and odd characters meet.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'

let api: Api
beforeAll(async () => {
  api = await startApi()
})
afterAll(() => api?.close())

const call = async (body: object, headers: Record<string, string>) => {
  const answer = await api.call('POST', '/tool/taskflow', body, headers)
  expect(answer.status).toBe(200)
  return answer
}
const started = { action: 'start', controller_id: 'kate/inbox', goal: 'triage inbox' }
const inSession = (name: string) => ({ 'taskflow-session': name })

describe('one Idempotency-Key in two sessions', () => {
  const key = { 'idempotency-key': 'call-1' }

  it('starts a flow in each, and one flow in each', async () => {
    const ids = []
    for (const name of ['a', 'b', 'a', 'b']) {
      const { body } = await call(started, { ...inSession(name), ...key })
      expect(body).toMatchObject({ ok: true })
      ids.push(body.flow.id)
    }
    expect(ids).toEqual([ids[0], ids[1], ids[0], ids[1]])
    expect(ids[0]).not.toBe(ids[1])
  })

  it('swallows no signal of the second', async () => {
    const event = { topic: 'mail', correlation_id: 'both' }
    const sessions = ['c', 'd'].map(inSession)
    for (const session of sessions) {
      const { flow } = (await call(started, session)).body
      const wait_condition = { kind: 'external_event', ...event }
      await call({ action: 'wait', flow_id: flow.id, wait_condition }, session)
    }
    for (const session of sessions) {
      await call({ action: 'signal', ...event }, { ...session, ...key })
    }
    for (const session of sessions) {
      const { body } = await call({ action: 'list_mine' }, session)
      expect(body.flows).toMatchObject([{ status: 'running' }])
    }
  })
})

it('offers no timer beyond the horizon of the binding', async () => {
  const binding = {
    name: 'narrow',
    owner_session_key: 'o',
    actions: ['tool:*'],
    timer_max_horizon: 'PT30M',
  }
  const { id } = (await api.call('POST', '/bindings', binding)).body
  const { key } = (await api.call('POST', `/bindings/${id}/keys`, {})).body
  const bearer = { authorization: `Bearer ${key}` }
  const { next_actions } = (await call(started, bearer)).body
  expect(next_actions[0]).toMatchObject({ wait_condition: { kind: 'timer', after: 'PT30M' } })
  expect((await call(next_actions[0], bearer)).body).toMatchObject({ ok: true })
})

it('cuts long texts between characters, not within one', async () => {
  const session = inSession('emoji')
  for (const length of [158, 159, 160]) {
    await call({ ...started, goal: `${'x'.repeat(length)}😀😀` }, session)
  }
  const { body } = await call({ action: 'list_mine' }, session)
  const goals = body.flows.map((flow: { untrusted: { goal: string } }) => flow.untrusted.goal)
  expect(goals).toHaveLength(3)
  for (const goal of goals) {
    expect(goal).toMatch(/…$/)
    expect(goal.isWellFormed()).toBe(true)
  }
})

it('ends the list with the last open flow when none has ended', async () => {
  const session = inSession('full')
  for (let i = 0; i < 20; i++) await call(started, session)
  const { flows, next_cursor } = (await call({ action: 'list_mine' }, session)).body
  expect({ count: flows.length, next_cursor }).toEqual({ count: 20, next_cursor: null })
  await call({ action: 'finish', flow_id: flows[19].id }, session)
  await call(started, session)
  const first = (await call({ action: 'list_mine' }, session)).body
  const last = await call({ action: 'list_mine', cursor: first.next_cursor }, session)
  expect(last.body).toMatchObject({ flows: [{ id: flows[19].id }], next_cursor: null })
})
