// Agents and their flows outlive each other: the built service and its clients are killed between calls.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { CallToolResultSchema, CreateTaskResultSchema } from '@modelcontextprotocol/sdk/types.js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { connectHttp, connectStdio } from '../support/mcp.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { freePort, type ServiceProcess, send, startService, until } from '../support/service.ts'

const checkout = join(import.meta.dirname, '../..')
const work = { controller_id: 'kate/inbox', goal: 'triage inbox' }

let database: TestDatabase
let env: Record<string, string>
let service: ServiceProcess

beforeAll(async () => {
  database = await createTestDatabase()
  env = { DATABASE_URL: database.url, PORT: String(await freePort()), LOG_LEVEL: 'warn' }
  service = await startService(env)
})
afterAll(async () => {
  await service?.kill('SIGKILL')
  await database?.drop()
})

async function killService(): Promise<void> {
  await service.kill('SIGKILL')
  service = await startService(env)
}

it.each([
  ['Streamable HTTP', connectHttp],
  ['stdio', connectStdio],
])(
  'an MCP client over %s goes on after kill -9 of the service',
  { timeout: 60_000 },
  async (transport, connect) => {
    const session = `kill ${transport}`.replace(/ /g, '-')
    const kate = await connect(service.base, session)
    const { flow } = await kate.ok('start', { ...work, key: 'k' })
    const { task } = await kate.client.request(
      { method: 'tools/call', params: { name: 'taskflow_start', arguments: work, task: {} } },
      CreateTaskResultSchema,
    )
    await service.kill('SIGKILL')
    // Nobody is there: the client is told, and its connection lives on.
    await expect(kate.ok('status', { flow_id: flow.id })).rejects.toThrow()
    service = await startService(env)
    // The same client, which was never restarted, in its next call.
    expect((await kate.ok('start', { ...work, key: 'k' })).flow.id).toBe(flow.id)
    const waiting = await kate.ok('wait', {
      flow_id: task.taskId,
      wait_condition: { kind: 'manual' },
    })
    await killService()
    const { tasks } = kate.client.experimental
    expect((await tasks.getTask(task.taskId)).status).toBe('input_required')
    const { revision } = waiting.flow
    await kate.ok('resume', { flow_id: task.taskId })
    const seen = await kate.ok('await', { flow_id: task.taskId, after_revision: revision })
    expect(seen.flow).toMatchObject({ status: 'running' })
    await kate.close()

    // A new client of the same session finds what the old one began; one of another session does not.
    const again = await connect(service.base, session)
    const found = await again.ok('list_mine')
    expect(found.flows.map(({ id }: { id: string }) => id).sort()).toEqual(
      [flow.id, task.taskId].sort(),
    )
    await again.ok('finish', { flow_id: task.taskId })
    const result = await again.client.experimental.tasks.getTaskResult(
      task.taskId,
      CallToolResultSchema,
    )
    expect(result.structuredContent).toMatchObject({ flow: { status: 'finished' } })
    await again.close()
    const eve = await connect(service.base, 'eve')
    expect((await eve.ok('list_mine')).flows).toEqual([])
    await eve.close()
  },
)

it('the example agent is killed again and again, and so is the service: one flow, and all its pages', {
  timeout: 90_000,
}, async () => {
  let output = ''
  const run = () => {
    const child = spawn(process.execPath, [join(checkout, 'examples/agents/agent.mjs')], {
      env: { ...process.env, TASKFLOW_URL: service.base, TASKFLOW_SESSION: 'reader' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    }
    return { child, closed: new Promise<number | null>((resolve) => child.on('close', resolve)) }
  }
  for (const sign of ['started', 'read page 2', 'read page 4', 'waits']) {
    const { child, closed } = run()
    await until(() => output.includes(sign), 20_000, `the agent says ${sign}: ${output}`)
    child.kill('SIGKILL')
    await closed
    if (sign === 'read page 2') await killService()
  }
  const { closed } = run()
  expect(await closed, output).toBe(0)
  const ids = new Set(output.match(/[0-9a-f]{8}-[0-9a-f-]{27}/g))
  expect(ids.size, output).toBe(1)
  const [id = ''] = ids
  const flow = await send<{ status: string; state: object }>(service.base, 'GET', `/flows/${id}`)
  expect(flow.body).toMatchObject({
    status: 'finished',
    state: { read: 5, summary: '5 pages read' },
  })
  expect(output.match(/started/g)).toHaveLength(1)
  expect(output.match(/found/g)?.length).toBe(4)
})
