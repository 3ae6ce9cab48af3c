// Many workers at once over HTTP, some of which lose their steps, report twice or come late: each step
// is settled once, and every flow comes to its end.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { type ClaimedBody, stepApi } from '../support/step-api.ts'

let api: Api
beforeAll(async () => {
  api = await startApi()
})
afterAll(() => api?.close())

const { send, read, claim, report, events } = stepApi(() => api)

const flows = 60
const links = 4
const controller_id = 'race/steps'
const controllers = ['race/steps', 'race/nobody']

it('settles each step once, whatever its workers do', { timeout: 60_000 }, async () => {
  const ids: string[] = []
  for (let i = 0; i < flows; i++) {
    const { id } = await send('POST', '/flows', {
      controller_id,
      goal: 'a chain',
      owner_session_key: 'o',
      requester_origin: 'r',
      steps: [
        { task: 'link', run_id: 'link-1', input: 1, retry: { base: 'PT0S', max_attempts: 9 } },
      ],
    })
    ids.push(id)
  }
  let finished = 0
  let accepted = 0
  let turn = 0
  const kept: { step: ClaimedBody; outcome: object }[] = []

  async function settle(step: ClaimedBody, outcome: object): Promise<ClaimedBody[]> {
    const { status, body } = await report(step, outcome, { claim_next: { controllers, max: 2 } })
    if (status !== 200) {
      expect(body.code).toBe('lease_lost')
      return []
    }
    if (!body.repeated && !body.discarded) {
      if (!('message' in outcome)) accepted++
      if (body.flow.status === 'finished') finished++
    }
    return body.items
  }

  /** What a run of a link reports. */
  function outcomeOf({ input }: ClaimedBody): object {
    const state_patch = { [`link-${input}`]: true }
    if (input === links) return { kind: 'succeed', state_patch }
    const next = { task: 'link', run_id: `link-${input + 1}`, input: input + 1 }
    const retry = { base: 'PT0S', max_attempts: 9 }
    return { kind: 'continue', ...next, retry, state_patch }
  }

  async function work(worker_id: string): Promise<void> {
    while (finished < flows) {
      const asked = { worker_id, controllers, max: 3, lease: 'PT1S', wait: 'PT0.2S' }
      const todo = await claim({ id: '', controller_id }, asked)
      for (let step = todo.shift(); step !== undefined; step = todo.shift()) {
        const outcome = outcomeOf(step)
        switch (turn++ % 7) {
          case 0:
            // Lost: its report comes late, if at all.
            kept.push({ step, outcome })
            break
          case 1:
            todo.push(...(await settle(step, { kind: 'error', message: 'once more' })))
            break
          case 2: {
            const both = await Promise.all([settle(step, outcome), settle(step, outcome)])
            todo.push(...both.flat())
            break
          }
          case 3: {
            const late = kept.shift()
            if (late !== undefined) todo.push(...(await settle(late.step, late.outcome)))
            todo.push(...(await settle(step, outcome)))
            break
          }
          default:
            todo.push(...(await settle(step, outcome)))
        }
      }
    }
  }
  await Promise.all(Array.from({ length: 12 }, (_, i) => work(`w${i}`)))

  expect(finished).toBe(flows)
  expect(accepted).toBe(flows * links)
  for (const id of ids) {
    const flow = await read(`/flows/${id}`)
    expect(flow.status).toBe('finished')
    expect(Object.keys(flow.state)).toHaveLength(links)
    const log = await events({ id, controller_id })
    const settled = log.filter(({ kind }) => kind === 'step_settled')
    expect(settled.map(({ payload }) => payload.run_id)).toEqual(
      Array.from({ length: links }, (_, i) => `link-${i + 1}`),
    )
    const { items } = await read(`/flows/${id}/steps`)
    expect(items.map(({ status }: ClaimedBody) => status)).toEqual(Array(links).fill('succeeded'))
  }
  expect(api.notices.filter(({ type }) => type === 'step_stuck')).toEqual([])
})
