// MCP under keys: who is let in, what is shown to whom, and that nothing a model says widens it.

import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import type { ToolResult } from '../support/mcp.ts'

const adminKey = 'admin-key-for-tests-0123456789'
const admin = { authorization: `Bearer ${adminKey}` }
const work = { controller_id: 'kate/inbox', goal: 'triage inbox' }

let api: Api
let base: string
const open: Client[] = []

beforeAll(async () => {
  api = await startApi({ adminKey })
  base = await api.app.listen({ port: 0, host: '127.0.0.1' })
})
afterAll(async () => {
  await Promise.all(open.map((client) => client.close()))
  await api?.close()
})

/** A key of a new binding. */
async function keyOf(binding: object): Promise<string> {
  const name = `b-${open.length}-${Object.keys(binding).length}-${Math.random().toString(36).slice(2)}`
  const made = await api.call('POST', '/bindings', { name, ...binding }, admin)
  expect(made.status).toBe(201)
  return (await api.call('POST', `/bindings/${made.body.id}/keys`, {}, admin)).body.key
}

/** The official client with a key. */
async function connect(key: string | null, session?: string) {
  const headers = {
    ...(key !== null && { authorization: `Bearer ${key}` }),
    ...(session !== undefined && { 'taskflow-session': session }),
  }
  const client = new Client({ name: 'test', version: '1.0.0' })
  await client.connect(
    new StreamableHTTPClientTransport(new URL('/mcp', base), { requestInit: { headers } }),
  )
  open.push(client)
  const call = async (action: string, args: Record<string, unknown> = {}) =>
    (await client.callTool({
      name: `taskflow_${action}`,
      arguments: args,
    })) as unknown as ToolResult
  return { client, call }
}

describe('a key', () => {
  it('is asked for', async () => {
    await expect(connect(null, 's')).rejects.toThrow(/key/i)
    await expect(connect('tf_test_wrong', 's')).rejects.toThrow(/key/i)
  })

  it('that allows nothing of the tool does not even connect', async () => {
    const key = await keyOf({ actions: ['flows:read', 'flows:write'] })
    await expect(connect(key, 's')).rejects.toThrow(/tool/)
  })

  it('shows the tools that it allows, and no others can be called', async () => {
    const key = await keyOf({
      owner_session_key: 'only-some',
      actions: ['tool:start', 'tool:list_mine'],
    })
    const { client, call } = await connect(key)
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toEqual(['taskflow_start', 'taskflow_list_mine'])
    const made = await call('start', work)
    expect(made.structuredContent).toMatchObject({ ok: true })
    const { id } = made.structuredContent.flow
    for (const { tool } of made.structuredContent.next_actions) {
      expect(tools.map(({ name }) => name)).toContain(tool)
    }
    for (const action of ['finish', 'cancel', 'status', 'await', 'events']) {
      expect((await call(action, { flow_id: id })).structuredContent, action).toMatchObject({
        ok: false,
        error: 'forbidden',
      })
    }
    await expect(client.readResource({ uri: `taskflow://flows/${id}` })).rejects.toThrow()
    await expect(client.readResource({ uri: `taskflow://flows/${id}/events` })).rejects.toThrow()
    expect((await client.listResources()).resources).toEqual([])
    const row = await api.call('GET', `/flows/${id}`, undefined, admin)
    expect(row.body).toMatchObject({ owner_session_key: 'only-some', status: 'running' })
  })

  it('with an owner keeps it, whatever session or arguments say', async () => {
    const key = await keyOf({ owner_session_key: 'kate', actions: ['tool:*'] })
    const { call } = await connect(key, 'another-session')
    const { flow } = (await call('start', work)).structuredContent
    const row = await api.call('GET', `/flows/${flow.id}`, undefined, admin)
    expect(row.body.owner_session_key).toBe('kate')
    const forged = await call('start', { ...work, owner_session_key: 'bob' })
    expect(forged).toMatchObject({ isError: true, structuredContent: { ok: false } })
    const other = await call('list_mine', { requester_origin: 'bob' })
    expect(other.isError).toBe(true)
  })

  it('reaches no flow of another owner or of another key, in any way that MCP has', async () => {
    const [mine, theirs] = await Promise.all([
      connect(await keyOf({ owner_session_key: 'mine', actions: ['tool:*'] })),
      connect(await keyOf({ actions: ['tool:*'] }), 'same-session'),
    ])
    const third = await connect(await keyOf({ actions: ['tool:*'] }), 'same-session')
    const { flow } = (await mine.call('start', work)).structuredContent
    const { flow: of } = (await theirs.call('start', work)).structuredContent
    for (const { client, call } of [theirs, third]) {
      for (const action of ['status', 'await', 'advance', 'finish', 'cancel', 'resume', 'events']) {
        const { structuredContent } = await call(action, { flow_id: flow.id })
        expect(structuredContent, action).toMatchObject({ ok: false, error: 'not_found' })
      }
      await expect(client.readResource({ uri: `taskflow://flows/${flow.id}` })).rejects.toThrow()
      await expect(client.experimental.tasks.getTask(flow.id)).rejects.toThrow()
      await expect(client.experimental.tasks.cancelTask(flow.id)).rejects.toThrow()
    }
    expect((await third.call('list_mine')).structuredContent.count).toBe(0)
    expect((await third.client.experimental.tasks.listTasks()).tasks).toEqual([])
    expect((await third.call('status', { flow_id: of.id })).structuredContent.ok).toBe(false)
    expect((await mine.call('status', { flow_id: flow.id })).structuredContent.flow).toMatchObject({
      status: 'running',
      revision: 1,
    })
  })

  it('with controllers makes flows for those alone', async () => {
    const key = await keyOf({
      owner_session_key: 'c-owner',
      controllers: ['kate/inbox'],
      actions: ['tool:*'],
    })
    const { call } = await connect(key)
    expect((await call('start', work)).structuredContent).toMatchObject({ ok: true })
    const refused = await call('start', { ...work, controller_id: 'bob/inbox' })
    expect(refused.structuredContent).toMatchObject({ ok: false, error: 'forbidden' })
  })

  it('that is withdrawn is refused with the next message', async () => {
    const name = 'withdrawn'
    const binding = await api.call(
      'POST',
      '/bindings',
      { name, owner_session_key: 'w', actions: ['tool:*'] },
      admin,
    )
    const keys = `/bindings/${binding.body.id}/keys`
    const { id, key } = (await api.call('POST', keys, {}, admin)).body
    const { call } = await connect(key)
    expect((await call('list_mine')).structuredContent.ok).toBe(true)
    expect((await api.call('DELETE', `${keys}/${id}`, undefined, admin)).status).toBeLessThan(300)
    await expect(call('list_mine')).rejects.toThrow(/key/i)
  })
})

describe('a signal', () => {
  const event = { topic: 'paid', correlation_id: 'order-1' }
  const waits = async ({ call }: Awaited<ReturnType<typeof connect>>) => {
    const { flow } = (await call('start', work)).structuredContent
    await call('wait', {
      flow_id: flow.id,
      wait_condition: {
        kind: 'any',
        of: [{ kind: 'external_event', ...event }, { kind: 'manual' }],
      },
    })
    return async () =>
      (await call('status', { flow_id: flow.id })).structuredContent.flow.status as string
  }

  it('of a key with an owner ends waits of that owner alone', async () => {
    const of = async (owner_session_key: string) =>
      connect(await keyOf({ owner_session_key, actions: ['tool:*'] }))
    const [sender, other] = [await of('sender'), await of('other')]
    const statusOfOther = await waits(other)
    const missed = await sender.call('signal', { ...event, payload: { forged: true } })
    expect(missed.structuredContent).toMatchObject({ ok: true, outcome: 'buffered' })
    expect(await statusOfOther()).toBe('waiting')
    // Kept for the sender's own flows, and taken by the first of them that waits.
    const statusOfOwn = await waits(sender)
    expect([await statusOfOwn(), await statusOfOther()]).toEqual(['running', 'waiting'])
    const statusOfNext = await waits(sender)
    const taken = await sender.call('signal', { ...event, payload: { amount: 1 } })
    expect(taken.structuredContent).toMatchObject({
      ok: true,
      outcome: 'delivered',
      flow: { untrusted: { state: { resume_event: { amount: 1 } } } },
    })
    expect([await statusOfNext(), await statusOfOther()]).toEqual(['running', 'waiting'])
  })

  it('of one session ends no wait of another, and tells nothing of it', async () => {
    const key = await keyOf({ actions: ['tool:*'] })
    const [sender, waiter] = [await connect(key, 'sends'), await connect(key, 'waits')]
    const unlike = { topic: 'paid', correlation_id: 'order-2' }
    const { flow } = (await waiter.call('start', work)).structuredContent
    await waiter.call('wait', {
      flow_id: flow.id,
      wait_condition: { kind: 'external_event', ...unlike },
    })
    const sent = (await sender.call('signal', unlike)).structuredContent
    expect(sent).toMatchObject({ ok: true, outcome: 'buffered' })
    expect(JSON.stringify(sent)).not.toContain(flow.id)
    const own = (await waiter.call('signal', unlike)).structuredContent
    expect(own).toMatchObject({ ok: true, outcome: 'delivered' })
  })
})
