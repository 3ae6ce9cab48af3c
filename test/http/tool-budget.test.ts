// What the agent tool costs a model: its description and the answers of a session, in tokens.

import { encode } from 'gpt-tokenizer'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toResult } from '../../src/mcp/answer.ts'
import { type Api, startApi } from '../support/api.ts'
import { connectHttp } from '../support/mcp.ts'

const budget = 4_000

let api: Api
let base: string
beforeAll(async () => {
  api = await startApi()
  base = await api.app.listen({ port: 0, host: '127.0.0.1' })
})
afterAll(() => api.close())

const tokens = (value: unknown) => encode(JSON.stringify(value)).length

type Call = (action: string, args?: object) => Promise<Answer>
interface Answer {
  ok: boolean
  flow: { id: string }
}

/** An agent that begins work, saves it twice, waits for a payment, is killed, comes back and ends. */
async function session(call: Call): Promise<number> {
  let spent = 0
  const say = async (action: string, args: object = {}) => {
    const answer = await call(action, args)
    expect(answer.ok, JSON.stringify(answer)).toBe(true)
    spent += tokens(answer)
    return answer
  }
  const key = 'invoice-42'
  const { flow } = await say('start', {
    controller_id: 'kate/billing',
    goal: 'send the invoice of order 42 and see that it is paid',
    state: { order: 'order-42', customer: 'ACME', amount: 4200, currency: 'EUR' },
    key,
  })
  const flow_id = flow.id
  const correlation_id = `order-${flow_id}`
  await say('advance', { flow_id, patch: { invoice: 'inv-1' }, current_step: 'send' })
  await say('advance', { flow_id, patch: { sent: true }, current_step: 'await-payment' })
  const wait_condition = {
    kind: 'external_event',
    topic: 'payment.settled',
    correlation_id,
    timeout: 'P14D',
  }
  await say('wait', { flow_id, wait_condition })
  await say('list_mine')
  await say('status', { flow_id })
  await say('signal', { topic: 'payment.settled', correlation_id, payload: { paid: 4200 } })
  await say('status', { flow_id })
  await say('events', { flow_id })
  await say('finish', { flow_id, final_state: { summary: 'paid in full' } })
  return spent
}

describe('the description and the answers of ten calls', () => {
  it.each(['openai', 'anthropic', 'json-schema'])('fit as %s', async (format) => {
    const { body } = await api.call('GET', `/tool/taskflow?format=${format}`)
    const described = tokens(body)
    const headers = { 'taskflow-session': `budget-${format}` }
    const answered = await session(
      async (action, args) =>
        (await api.call('POST', '/tool/taskflow', { action, ...args }, headers)).body,
    )
    console.info(`${format}: ${described} + ${answered} = ${described + answered} tokens`)
    expect(described + answered).toBeLessThanOrEqual(budget)
  })

  it('fit as tools of MCP, as far as they are given to a model', async () => {
    const kate = await connectHttp(base, 'budget-mcp')
    const { tools } = await kate.client.listTools()
    // Hosts show a model names, descriptions and arguments; the rest is for themselves.
    const described = tokens(
      tools.map(({ name, description, inputSchema }) => ({ name, description, inputSchema })),
    )
    const answered = await session((action, args) => kate.ok(action, { ...args }))
    await kate.close()
    console.info(`mcp: ${described} + ${answered} = ${described + answered} tokens`)
    expect(described + answered).toBeLessThanOrEqual(budget)
  })

  it('would not fit with states as they may be, were those not cut', async () => {
    const state = Object.fromEntries(
      Array.from({ length: 100 }, (_, i) => [
        `member_${i}`,
        'lorem ipsum dolor sit amet '.repeat(8),
      ]),
    )
    const headers = { 'taskflow-session': 'budget-large' }
    const send = async (action: string, args: object) =>
      (await api.call('POST', '/tool/taskflow', { action, ...args }, headers)).body
    const { flow } = await send('start', { controller_id: 'c', goal: 'g', state })
    const answer = await send('status', { flow_id: flow.id })
    expect(tokens(state)).toBeGreaterThan(budget)
    expect(tokens(answer)).toBeLessThan(1_200)
    expect(tokens(toResult(answer).content)).toBeLessThan(1_500)
  })
})
