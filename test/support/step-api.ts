// Steps over HTTP, as tests ask for them: flows with a controller of their own, claims that see these alone.

import { expect } from 'vitest'
import type { Api, ApiAnswer } from './api.ts'
import { until } from './engine.ts'

export interface StepFlow {
  id: string
  controller_id: string
}

export interface StepApi {
  /** Sends a request that must succeed; answers its body. */
  // biome-ignore lint/suspicious/noExplicitAny: `call` checks bodies against the document.
  send(method: 'GET' | 'POST' | 'PUT' | 'PATCH', path: string, body?: object): Promise<any>
  post(path: string, body?: object, headers?: Record<string, string>): Promise<ApiAnswer>
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  read(path: string): Promise<any>
  /** A running flow of a controller that no other has. */
  flow(over?: object): Promise<StepFlow>
  enqueue(flow: StepFlow, over?: object): Promise<ClaimedBody>
  /** Claims what its controller has ready. */
  claim(flow: StepFlow, over?: object): Promise<ClaimedBody[]>
  /** Claims the one step that there is, as soon as it is there. */
  take(flow: StepFlow, over?: object): Promise<ClaimedBody>
  report(step: ClaimedBody, outcome: object, more?: object): Promise<ApiAnswer>
  /** A dead step of a flow that is as it was. */
  dead(over?: object): Promise<{ flow: StepFlow; step: ClaimedBody }>
  /** The events of a flow, oldest first. */
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  events(flow: StepFlow): Promise<any[]>
  untilStatus(step: { id: string }, status: string): Promise<void>
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
export type ClaimedBody = any

let flows = 0

export function stepApi(api: () => Api): StepApi {
  const post: StepApi['post'] = (path, body, headers) => api().call('POST', path, body, headers)
  const send: StepApi['send'] = async (method, path, body) => {
    const answer = await api().call(method, path, body)
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.text}`)
    return answer.body
  }
  const read: StepApi['read'] = (path) => send('GET', path)
  const flow: StepApi['flow'] = async (over = {}) => {
    const controller_id = `test/controller-${++flows}`
    const { id } = await send('POST', '/flows', {
      controller_id,
      goal: 'triage inbox',
      owner_session_key: 'agent:kate',
      requester_origin: 'user-1',
      ...('start' in over || 'steps' in over ? {} : { start: true }),
      ...over,
    })
    return { id, controller_id }
  }
  const enqueue: StepApi['enqueue'] = (to, over = {}) =>
    send('POST', `/flows/${to.id}/steps`, { task: 'classify', ...over })
  const claim: StepApi['claim'] = async ({ controller_id }, over = {}) =>
    (await send('POST', '/steps/claim', { worker_id: 'w', controllers: [controller_id], ...over }))
      .items
  const take: StepApi['take'] = async (from, over = {}) => {
    const [step, ...others] = await claim(from, { wait: 'PT10S', ...over })
    expect(step).toBeDefined()
    expect(others).toEqual([])
    return step
  }
  const report: StepApi['report'] = ({ id, lease_token }, outcome, more = {}) =>
    post(`/steps/${id}/outcome`, { lease_token, outcome, ...more })
  return {
    send,
    post,
    read,
    flow,
    enqueue,
    claim,
    take,
    report,
    async dead(over = {}) {
      const of = await flow()
      await enqueue(of, { on_dead: 'park', ...over })
      const step = await take(of)
      const outcome = { kind: 'error', message: 'no such mailbox', retryable: false }
      expect((await report(step, outcome)).body.step.status).toBe('failed')
      return { flow: of, step }
    },
    events: async ({ id }) => (await read(`/flows/${id}/events?limit=200`)).items,
    untilStatus: (step, status) =>
      until(
        `step ${step.id} is ${status}`,
        async () => (await read(`/steps/${step.id}`)).status === status,
      ),
  }
}
