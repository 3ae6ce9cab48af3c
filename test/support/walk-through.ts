// Programs that a user of a generated client might write. They are compiled beside the client: that
// they compile shows that its types are right, and the marked lines that wrong uses do not.

/** For the client of @hey-api/openapi-ts: the life of two flows, with all that can be waited for. */
export const heyApiProgram = `
import { createClient } from './hey-api/client/index.js'
import {
  createFlow, finishFlow, getFlow, listEvents, listFlowEvents, listFlows, moveTimer, observeStep,
  listFlowSteps, resumeFlow, resumeFlowExternally, signalFlow, startFlow, updateFlow, updateFlowState,
  waitFlow, requestFlowCancel, cancelFlow, sendSignal, getSignal, explainFlow, type Flow, type Wait,
} from './hey-api/index.js'

/** Every kind of wait has its own members, and the compiler knows. */
function describeWait(wait: Wait | null): string {
  if (wait === null) return 'nothing'
  switch (wait.kind) {
    case 'timer': return wait.at
    case 'external_event': return wait.topic + '/' + wait.correlation_id
    case 'manual': return wait.signal ?? 'anybody'
    case 'any': return wait.of.map((branch) => branch.kind).join(' or ')
    case 'all': return wait.of.filter((_, i) => !wait.satisfied[i]).map((branch) => branch.kind).join(' and ')
  }
}

export async function walkThrough(baseUrl: string): Promise<string[]> {
  const client = createClient({ baseUrl })
  const throwOnError = true as const
  const told: string[] = []
  const tell = (flow: Flow) => {
    told.push(flow.status + ' ' + flow.revision + ' ' + describeWait(flow.wait))
    return flow
  }

  const input = {
    controller_id: 'kate/inbox',
    goal: 'triage inbox',
    owner_session_key: 'walk-through-' + Date.now(),
    requester_origin: 'user-1',
    state: { messages: 10 },
  }
  const headers = { 'Idempotency-Key': input.owner_session_key }
  const made = await createFlow({ client, throwOnError, body: input, headers })
  const again = await createFlow({ client, throwOnError, body: input, headers })
  if (again.data.id !== made.data.id) throw new Error('the idempotency key made two flows')
  if (made.response.status !== 201) throw new Error('not created: ' + made.response.status)
  tell(made.data)
  const path = { flow_id: made.data.id }
  tell((await startFlow({ client, throwOnError, path })).data)

  const wait = await waitFlow({ client, throwOnError, path, body: { kind: 'timer', after: 'PT1H' } })
  told.push(wait.data.status + ' ' + wait.data.wait?.kind)
  const at = new Date(Date.now() + 300).toISOString()
  const moved = await moveTimer({ client, throwOnError, path, body: { at } })
  if (describeWait(moved.data.wait) !== at) throw new Error('the timer was not moved')
  const fired = await getFlow({
    client, throwOnError, path, query: { wait: 'PT10S' },
    headers: { 'If-None-Match': moved.response.headers.get('etag') ?? '' },
  })
  tell(fired.data)

  const event = { topic: 'payment.settled', correlation_id: input.owner_session_key }
  tell((await waitFlow({ client, throwOnError, path, body: { kind: 'external_event', ...event } })).data)
  const early = await signalFlow({ client, throwOnError, path: { ...path, name: 'approved' } })
  told.push(early.data.outcome)
  const settled = await resumeFlowExternally({ client, throwOnError, path, body: { ...event, payload: { amount: 42 } } })
  if (settled.data.outcome === 'delivered') tell(settled.data.flow)
  // What came early was kept for this wait.
  tell((await waitFlow({ client, throwOnError, path, body: { kind: 'manual', signal: 'approved' } })).data)

  const both = { ...event, kind: 'external_event' as const }
  const named = { kind: 'manual' as const, signal: 'approved' }
  tell((await waitFlow({
    client, throwOnError, path,
    body: { kind: 'all', of: [both, named], timeout: 'P2D', on_timeout: 'fail', link: { ttl: 'P1D' } },
  })).data)
  const sent = await sendSignal({ client, throwOnError, body: { ...event, id: 'evt_2', deliver: 'all' } })
  told.push(sent.data.outcome + ' ' + sent.data.deliveries.length)
  const same = await getSignal({ client, throwOnError, path: { signal_id: sent.data.id } })
  told.push(same.data.sender_id + ' ' + same.data.delivered_count)
  const why = await explainFlow({ client, throwOnError, path })
  const cause = why.data.blocked_by
  if (cause.kind === 'wait') told.push(cause.open.map((branch) => branch.kind).join() + ' ' + describeWait(cause.wait))
  tell((await resumeFlow({ client, throwOnError, path, body: { state_patch: { by: 'ada' } } })).data)

  const refused = await waitFlow({
    client, path, body: { kind: 'manual' }, headers: { 'If-Match': '"0"' },
  })
  if (refused.error === undefined) throw new Error('a stale revision was accepted')
  told.push(refused.error.code + ' ' + refused.error.next_actions?.[0]?.rel)

  tell((await updateFlowState({ client, throwOnError, path, body: { patch: { read: 10 }, unset: ['by'] } })).data)
  tell((await updateFlow({ client, throwOnError, path, body: { labels: { tier: 'gold', none: null } } })).data)
  const run = { ...path, run_id: 'classify-1' }
  const step = await observeStep({ client, throwOnError, path: run, body: { task: 'classify', status: 'succeeded' } })
  told.push(step.response.status + ' ' + step.data.status + ' ' + step.data.stale)
  const steps = await listFlowSteps({ client, throwOnError, path })
  told.push(steps.data.items.map((one) => one.run_id).join())
  const done = tell((await finishFlow({ client, throwOnError, path, body: { final_state: { summary: 'done' } } })).data)
  told.push(Object.keys(done.state).sort().join())

  const other = await createFlow({ client, throwOnError, body: { ...input, start: true } })
  await requestFlowCancel({ client, throwOnError, path: { flow_id: other.data.id } })
  tell((await cancelFlow({ client, throwOnError, path: { flow_id: other.data.id } })).data)

  const found = await listFlows({
    client, throwOnError,
    query: { owner_session_key: input.owner_session_key, status: ['finished', 'cancelled'], limit: 1 },
  })
  told.push(found.data.items.length + ' of ' + (found.data.next_cursor === null ? 'all' : 'more'))
  const events = await listFlowEvents({ client, throwOnError, path, query: { kind: ['resumed'] } })
  told.push(events.data.items.map((one) => one.payload['by']).join())
  const feed = await listEvents({ client, throwOnError, query: { limit: 1 } })
  told.push(typeof feed.data.position)
  return told
}

export async function mistakes(): Promise<void> {
  const path = { flow_id: '' }
  // @ts-expect-error a member that does not exist
  await waitFlow({ path, body: { kind: 'manual', signl: 'approved' } })
  // @ts-expect-error a kind that does not exist
  await waitFlow({ path, body: { kind: 'tiemr' } })
  // @ts-expect-error a branch without its members
  await waitFlow({ path, body: { kind: 'external_event', topic: 'payment.settled' } })
  // @ts-expect-error a parameter of another name
  await getFlow({ path: { id: '' } })
  // @ts-expect-error a status that does not exist
  await listFlows({ query: { status: ['done'] } })
}
`

/** For openapi-fetch with the types of openapi-typescript. */
export const openapiFetchProgram = `
import createClient from 'openapi-fetch'
import type { components, paths } from './openapi-typescript.js'

type Flow = components['schemas']['Flow']

export async function walkThrough(baseUrl: string): Promise<Flow> {
  const client = createClient<paths>({ baseUrl })
  const made = await client.POST('/flows', {
    body: { controller_id: 'c', goal: 'g', owner_session_key: 'o', requester_origin: 'r', start: true },
  })
  if (made.error) throw new Error(made.error.detail)
  const params = { path: { flow_id: made.data.id } }
  const waiting = await client.POST('/flows/{flow_id}/wait', {
    params: { ...params, header: { 'If-Match': made.response.headers.get('etag') ?? '' } },
    body: { kind: 'manual', signal: 'approved' },
  })
  if (waiting.error) throw new Error(waiting.error.errors?.[0]?.message ?? waiting.error.title)
  const { wait } = waiting.data
  if (wait?.kind === 'manual' && wait.signal !== 'approved') throw new Error('another name')
  const sent = await client.POST('/flows/{flow_id}/signals/{name}', {
    params: { path: { ...params.path, name: 'approved' } },
    body: { payload: { by: 'ada' } },
  })
  if (sent.data?.outcome !== 'delivered') throw new Error('not delivered')
  const flow: Flow = sent.data.flow
  const since: string | null = flow.closed_at
  return since === null ? flow : made.data
}

export async function mistakes(): Promise<void> {
  const client = createClient<paths>()
  const params = { path: { flow_id: '' } }
  // @ts-expect-error a kind that does not exist
  await client.POST('/flows/{flow_id}/wait', { params, body: { kind: 'tiemr' } })
  // @ts-expect-error a path that does not exist
  await client.GET('/flow/{flow_id}', { params })
  // @ts-expect-error required members are missing
  await client.POST('/flows', { body: { goal: 'g' } })
}
`

/** For oazapfts. */
export const oazapftsProgram = `
import * as taskflow from './oazapfts.js'

export async function walkThrough(baseUrl: string): Promise<taskflow.Flow> {
  taskflow.defaults.baseUrl = baseUrl
  const made = await taskflow.createFlow({
    controller_id: 'c', goal: 'g', owner_session_key: 'o', requester_origin: 'r', start: true,
  })
  if (made.status !== 201) throw new Error(made.status === 200 ? 'existing' : made.data.detail)
  const { id, revision } = made.data
  const waiting = await taskflow.waitFlow(id, { kind: 'timer', after: 'PT0.1S' }, { ifMatch: '"' + revision + '"' })
  if (waiting.status !== 200) throw new Error(waiting.data.code)
  const { wait } = waiting.data
  if (wait?.kind !== 'timer' || Number.isNaN(Date.parse(wait.at))) throw new Error('no timer')
  return waiting.data
}

export async function mistakes(): Promise<void> {
  // @ts-expect-error a kind that does not exist
  await taskflow.waitFlow('', { kind: 'tiemr' })
}
`
