// MCP by the official client: tools, resources, prompts, tasks, long waits, and who is let in.

import {
  CallToolResultSchema,
  CreateTaskResultSchema,
  type Progress,
} from '@modelcontextprotocol/sdk/types.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { connectHttp, type McpClient } from '../support/mcp.ts'

let api: Api
let base: string
const open: McpClient[] = []

beforeAll(async () => {
  api = await startApi()
  base = await api.app.listen({ port: 0, host: '127.0.0.1' })
})
afterAll(async () => {
  await Promise.all(open.map((one) => one.close()))
  await api.close()
})

let sessions = 0
async function agent(session = `mcp-${++sessions}`): Promise<McpClient> {
  const made = await connectHttp(base, session)
  open.push(made)
  return made
}

const work = { controller_id: 'kate/inbox', goal: 'triage inbox' }

describe('tools', () => {
  it('tell by annotations which of them change something', async () => {
    const { tools } = await (await agent()).client.listTools()
    const readOnly = tools.filter(({ annotations }) => annotations?.readOnlyHint).map(nameOf)
    const destructive = tools.filter(({ annotations }) => annotations?.destructiveHint).map(nameOf)
    expect(readOnly).toEqual([
      'taskflow_status',
      'taskflow_list_mine',
      'taskflow_events',
      'taskflow_await',
    ])
    expect(destructive).toEqual(['taskflow_finish', 'taskflow_fail', 'taskflow_cancel'])
    for (const { inputSchema, outputSchema, description } of tools) {
      expect(inputSchema['additionalProperties']).toBe(false)
      expect(outputSchema?.type).toBe('object')
      expect(description?.length).toBeLessThan(250)
    }
    const again = (await (await agent()).client.listTools()).tools
    expect(again).toEqual(tools)
  })

  it('run a flow by the calls that the answers offer', async () => {
    const kate = await agent()
    const { flow } = await kate.ok('start', { ...work, state: { n: 1 } })
    await kate.ok('advance', { flow_id: flow.id, patch: { done: 5 } })
    const waiting = await kate.ok('wait', {
      flow_id: flow.id,
      wait_condition: { kind: 'external_event', topic: 't', correlation_id: `c-${flow.id}` },
    })
    const [first, ...others] = waiting.next_actions
    expect(first).toEqual({
      tool: 'taskflow_await',
      arguments: { flow_id: flow.id, after_revision: waiting.flow.revision },
    })
    const signal = others.find(({ tool }: { tool: string }) => tool === 'taskflow_signal')
    const resumed = await kate.client.callTool({ name: signal.tool, arguments: signal.arguments })
    expect(resumed.structuredContent).toMatchObject({ outcome: 'delivered' })
    const { flow: finished } = await kate.ok('finish', { flow_id: flow.id })
    expect(finished.status).toBe('finished')
  })

  it('say how to mend a wrong call, as a result that a model sees', async () => {
    const kate = await agent()
    const wrong = await kate.call('wait', { flow_id: 'x', wait_condition: { kind: 'timr' } })
    expect(wrong).toMatchObject({
      isError: true,
      structuredContent: { ok: false, did_you_mean: 'timer', example: { tool: 'taskflow_wait' } },
    })
    expect(JSON.parse(wrong.content[0]?.text ?? '')).toEqual(wrong.structuredContent)
    expect((await kate.call('strat', work)).structuredContent.did_you_mean).toBe('start')
    const mine = await kate.call('start', { ...work, owner_session_key: 'agent:eve:session:1' })
    expect(mine.structuredContent).toMatchObject({ error: 'unknown_argument' })
    // The name decides, and not an argument that names another action.
    const { id } = (await kate.ok('start', work)).flow
    const sly = await kate.call('status', { flow_id: id, action: 'cancel' })
    expect(sly.structuredContent.flow.status).toBe('running')
  })
})

describe('a long wait', () => {
  it('ends as soon as the flow changes, and tells of progress meanwhile', async () => {
    const kate = await agent()
    const { id } = (await kate.ok('start', work)).flow
    const { flow } = await kate.ok('wait', { flow_id: id, wait_condition: { kind: 'manual' } })
    const told: Progress[] = []
    const answer = kate.client.callTool(
      { name: 'taskflow_await', arguments: { flow_id: id, after_revision: flow.revision } },
      CallToolResultSchema,
      { onprogress: (progress) => told.push(progress) },
    )
    await waitUntil(() => told.length > 0)
    await api.call('POST', `/flows/${id}/resume`, { state_patch: { by: 'hand' } })
    expect((await answer).structuredContent).toMatchObject({
      ok: true,
      changed: true,
      flow: { status: 'running', untrusted: { state: { by: 'hand' } } },
    })
  })

  it('hands back what it takes to go on when the time is up, and misses nothing in between', async () => {
    const kate = await agent()
    const { id } = (await kate.ok('start', work)).flow
    await kate.ok('wait', { flow_id: id, wait_condition: { kind: 'manual' } })
    const held = await kate.ok('await', { flow_id: id, seconds: 1 })
    expect(held).toMatchObject({ changed: false, flow: { status: 'waiting' } })
    await api.call('POST', `/flows/${id}/resume`)
    const [{ tool, arguments: handle }] = held.next_actions
    const later = await kate.ok(tool.replace('taskflow_', ''), handle)
    expect(later).toMatchObject({ changed: true, flow: { status: 'running' } })
  })
})

describe('resources and prompts', () => {
  it('are the flows and their events, of this owner alone', async () => {
    const [kate, eve] = [await agent(), await agent()]
    for (let i = 0; i < 25; i++) await kate.ok('start', work)
    const uris: string[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await kate.client.listResources(cursor === undefined ? {} : { cursor })
      uris.push(...page.resources.map(({ uri }) => uri))
      cursor = page.nextCursor
      if (cursor === undefined) break
    }
    expect(new Set(uris).size).toBe(25)
    const [uri = ''] = uris
    const { contents } = await kate.client.readResource({ uri })
    expect(JSON.parse((contents[0] as { text: string }).text)).toMatchObject({
      flow: { status: 'running', untrusted: { goal: 'triage inbox' } },
    })
    const events = await kate.client.readResource({ uri: `${uri}/events` })
    expect((events.contents[0] as { text: string }).text).toContain('"kind":"started"')
    const { resourceTemplates } = await kate.client.listResourceTemplates()
    expect(resourceTemplates).toHaveLength(2)
    expect((await eve.client.listResources()).resources).toEqual([])
    await expect(eve.client.readResource({ uri })).rejects.toThrow(/no flow with this id/)
    await expect(kate.client.readResource({ uri: 'file:///etc/passwd' })).rejects.toThrow(
      /taskflow:/,
    )
  })

  it('teach the tool', async () => {
    const { client } = await agent()
    const { prompts } = await client.listPrompts()
    expect(prompts.map(({ name }) => name)).toEqual(['taskflow'])
    const { messages } = await client.getPrompt({
      name: 'taskflow',
      arguments: { goal: 'be kind' },
    })
    expect(JSON.stringify(messages)).toMatch(/list_mine.*be kind/)
    await expect(client.getPrompt({ name: 'other' })).rejects.toThrow(/taskflow/)
  })
})

describe('tasks', () => {
  const startTask = async (kate: McpClient) => {
    const made = await kate.client.request(
      {
        method: 'tools/call',
        params: { name: 'taskflow_start', arguments: work, task: { ttl: 60_000 } },
      },
      CreateTaskResultSchema,
    )
    return made.task
  }

  it('are flows: what becomes of one is the result of the other', async () => {
    const kate = await agent()
    const { tasks } = kate.client.experimental
    const task = await startTask(kate)
    expect(task.status).toBe('working')
    const flow_id = task.taskId
    await kate.ok('wait', { flow_id, wait_condition: { kind: 'manual' } })
    expect(await tasks.getTask(flow_id)).toMatchObject({
      status: 'input_required',
      statusMessage: 'It goes on by resume, once whoever decides has decided.',
    })
    // Somebody has to decide: the answer says how.
    const asked = await tasks.getTaskResult(flow_id, CallToolResultSchema)
    expect(JSON.stringify(asked.structuredContent)).toContain('taskflow_resume')
    await kate.ok('resume', { flow_id })
    const result = tasks.getTaskResult(flow_id, CallToolResultSchema)
    await kate.ok('finish', { flow_id, final_state: { summary: 'done' } })
    expect((await result).structuredContent).toMatchObject({
      flow: { status: 'finished', untrusted: { state: { summary: 'done' } } },
    })
    expect((await tasks.getTask(flow_id)).status).toBe('completed')
    await expect(tasks.cancelTask(flow_id)).rejects.toThrow(/ended|terminal|finished/)
  })

  it('fail and are cancelled with their flows', async () => {
    const kate = await agent()
    const { tasks } = kate.client.experimental
    const failing = (await startTask(kate)).taskId
    await kate.ok('fail', { flow_id: failing, reason: 'no mailbox' })
    expect((await tasks.getTask(failing)).status).toBe('failed')
    expect((await tasks.getTaskResult(failing, CallToolResultSchema)).isError).toBe(true)
    const cancelled = (await startTask(kate)).taskId
    expect((await tasks.cancelTask(cancelled)).status).toBe('cancelled')
    const { flow } = await kate.ok('status', { flow_id: cancelled })
    expect(flow.status).toBe('cancelled')
    const listed = await tasks.listTasks()
    expect(listed.tasks.map(({ taskId }) => taskId)).toEqual([cancelled, failing])
  })

  it('are followed by the client of the SDK, and are of one owner', async () => {
    const [kate, eve] = [await agent(), await agent()]
    const stream = kate.client.experimental.tasks.callToolStream(
      { name: 'taskflow_start', arguments: work },
      CallToolResultSchema,
      { task: { ttl: 60_000 } },
    )
    const seen: string[] = []
    for await (const message of stream) {
      seen.push(message.type)
      if (message.type !== 'taskCreated') continue
      const { taskId } = message.task
      await expect(eve.client.experimental.tasks.getTask(taskId)).rejects.toThrow(/no flow/)
      await expect(eve.client.experimental.tasks.cancelTask(taskId)).rejects.toThrow(/no flow/)
      await kate.ok('finish', { flow_id: taskId })
    }
    expect(seen.at(0)).toBe('taskCreated')
    expect(seen.at(-1)).toBe('result')
  })

  it('are refused where a call cannot be one', async () => {
    const kate = await agent()
    const params = { name: 'taskflow_list_mine', arguments: {}, task: {} }
    await expect(
      kate.client.request({ method: 'tools/call', params }, CreateTaskResultSchema),
    ).rejects.toThrow(/as a task/)
    const bad = { name: 'taskflow_start', arguments: {}, task: {} }
    await expect(
      kate.client.request({ method: 'tools/call', params: bad }, CreateTaskResultSchema),
    ).rejects.toThrow(/controller_id and goal are required/)
  })
})

describe('who is let in', () => {
  const post = (headers: Record<string, string>, body: unknown = ping) =>
    api.app.inject({
      method: 'POST',
      url: '/mcp',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...headers,
      },
      payload: JSON.stringify(body),
    })
  const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }

  it('is no page of another origin, and nothing that knows the service by another name', async () => {
    for (const host of ['localhost', '127.0.0.1:3000', '[::1]:3000']) {
      expect((await post({ host })).statusCode, host).toBe(200)
      expect((await post({ host, origin: 'http://localhost:5173' })).statusCode).toBe(200)
    }
    for (const headers of [
      { host: 'evil.example' },
      { host: 'localhost.evil.example:3000' },
      { host: 'localhost', origin: 'https://evil.example' },
      { host: 'localhost', origin: 'null' },
      { host: 'localhost', origin: 'https://localhost.evil.example' },
    ]) {
      const answer = await post(headers)
      expect(answer.statusCode, JSON.stringify(headers)).toBe(403)
      expect(answer.json().error.message).toContain('TASKFLOW_MCP_HOSTS')
    }
  })

  it('is nobody without a session', async () => {
    const call = { ...ping, method: 'tools/call', params: { name: 'taskflow_list_mine' } }
    const answer = (await post({ host: 'localhost' }, call)).json()
    expect(answer.result).toMatchObject({
      isError: true,
      structuredContent: { error: 'no_session' },
    })
    const list = (await post({ host: 'localhost' }, { ...ping, method: 'resources/list' })).json()
    expect(list.error.message).toContain('Taskflow-Session')
  })

  it('may send POST alone, and gets answers in JSON-RPC for what is none', async () => {
    for (const method of ['GET', 'DELETE'] as const) {
      const answer = await api.app.inject({ method, url: '/mcp' })
      expect(answer.statusCode).toBe(405)
      expect(answer.headers['allow']).toContain('POST')
    }
    for (const body of [
      {},
      [],
      1,
      'x',
      { jsonrpc: '2.0' },
      { jsonrpc: '1.0', id: 1, method: 'ping' },
    ]) {
      const answer = await post({ host: 'localhost' }, body)
      expect(answer.statusCode, JSON.stringify(body)).toBeLessThan(500)
      expect(answer.statusCode, JSON.stringify(body)).toBeGreaterThan(201)
    }
    const unknown = (await post({ host: 'localhost' }, { ...ping, method: 'no/such' })).json()
    expect(unknown.error.code).toBe(-32_601)
  })
})

const nameOf = ({ name }: { name: string }) => name

async function waitUntil(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10))
}
