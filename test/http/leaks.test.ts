// Nothing of one caller is told to another, in no answer to any operation: what A has is full of a mark, and the
// mark must be in nothing that B is sent.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Operation, requestsOf, sendAs } from '../support/access-walk.ts'
import { type Api, startApi } from '../support/api.ts'
import { accepted, type Method, ownNames } from '../support/owned.ts'
import { until } from '../support/service.ts'

const adminKey = 'admin-key-for-tests-0123456789'
/** In everything that A has, but in no name that stands in a path: refusals repeat those. */
const mark = 'leaky7q'

let api: Api
let base: string
/** What A has, by the name of the parameter that stands for it in paths. */
const owned: Record<string, string> = { ...ownNames }
const strangers = new Map<string, string>()

const as = (key: string, method: Method, path: string, body?: unknown) =>
  accepted(api, key, method, path, body)
const admin = (method: Method, path: string, body?: unknown) => as(adminKey, method, path, body)

async function bind(binding: object): Promise<{ id: string; key: string; keyId: string }> {
  const { id } = await admin('POST', '/bindings', binding)
  const made = await admin('POST', `/bindings/${id}/keys`, { name: mark })
  return { id, key: made.key, keyId: made.id }
}

/** Everything that can be had, each with the mark in it. */
async function plant(): Promise<void> {
  const a = await bind({
    name: `${mark}-binding`,
    actions: ['*'],
    owner_session_key: `${mark}-owner`,
    requester_origin: `${mark}-origin`,
  })
  Object.assign(owned, { binding_id: a.id, key_id: a.keyId })
  await admin('PUT', '/controllers/plain', { url: `https://example.com/${mark}` })
  await admin('POST', '/sources', {
    id: 'plain',
    verify: { scheme: 'none' },
    map: { topic: `${mark}.topic`, correlation_id: `${mark}{/id}` },
  })
  const hook = await admin('POST', '/hooks', {
    url: `https://example.com/${mark}`,
    description: mark,
  })
  owned['hook_id'] = hook.id
  const flow = await as(a.key, 'POST', '/flows', {
    controller_id: mark,
    goal: mark,
    key: `${mark}-key`,
    current_step: mark,
    labels: { [mark]: mark },
    state: { [mark]: mark },
    steps: [{ run_id: 'run-1', task: mark, input: { [mark]: mark } }],
  })
  owned['flow_id'] = flow.id
  const [step] = (await admin('GET', `/flows/${flow.id}/steps`)).items
  owned['step_id'] = step.id
  await as(a.key, 'PUT', `/flows/${flow.id}/memo/memo-1`, { value: mark })
  const wait = { kind: 'external_event', topic: `${mark}.wait`, correlation_id: mark }
  await as(a.key, 'POST', `/flows/${flow.id}/wait`, wait)
  const kept = { topic: mark, correlation_id: mark, payload: { [mark]: mark } }
  owned['signal_id'] = (await admin('POST', '/signals', kept)).id
  await as(a.key, 'POST', '/signals', kept)
  await as(a.key, 'POST', `/flows/${flow.id}/signals/early`, { payload: mark })
  expect((await api.call('POST', '/in/plain', { id: mark })).status).toBe(202)
  const [message] = (await admin('GET', '/sources/plain/messages')).items
  owned['message_id'] = message.id
  const deliveries = await until(
    async () => {
      const { items } = await admin('GET', `/hooks/${hook.id}/deliveries`)
      return items.length > 0 ? items : null
    },
    10_000,
    'a delivery was queued',
  )
  owned['delivery_id'] = deliveries[0].id
}

beforeAll(async () => {
  api = await startApi({ adminKey, allowUnsigned: true })
  base = await api.app.listen({ port: 0, host: '127.0.0.1' })
  await plant()
  const bounds = {
    'another namespace': { namespace: 'elsewhere' },
    'another owner': { owner_session_key: 'b', requester_origin: 'b' },
    'another controller': { controllers: ['b'], requester_origin: 'b' },
  }
  for (const [kind, more] of Object.entries(bounds)) {
    const binding = { name: `b${strangers.size}`, actions: ['*'], ...more }
    strangers.set(kind, (await bind(binding)).key)
  }
})
afterAll(() => api?.close())

const operations = () =>
  requestsOf(api.app.openApi(), (name, example) => owned[name] ?? String(example))
/** Whoever has a link, or signs as a source does, is let in by that. */
const byOtherMeans = ['getLink', 'useLink', 'receiveWebhook']

/** Reads that ask for what A has, or go on from where A was. */
async function questions(): Promise<Operation[]> {
  const first = (path: string) => admin('GET', path)
  const flows = await first('/flows?limit=1')
  const events = await first('/events?limit=1')
  const signals = await first('/signals?limit=1')
  const get = (id: string, path: string): Operation => ({
    id,
    method: 'GET',
    path,
    body: undefined,
    streams: path.includes('/stream'),
  })
  return [
    get('by key', `/flows?key=${mark}-key`),
    get('by owner', `/flows?owner_session_key=${mark}-owner`),
    get('by label', `/flows?label.${mark}=${mark}`),
    get('by wait', `/flows?wait.topic=${mark}.wait`),
    get('by controller', `/steps?controller_id=${mark}`),
    get('steps by flow', `/steps?flow_id=${owned['flow_id']}`),
    get('signals by topic', `/signals?topic=${mark}`),
    get('signals by flow', `/signals?flow_id=${owned['flow_id']}`),
    get('flows behind a cursor', `/flows?limit=1&cursor=${flows.next_cursor ?? 'x'}`),
    get('signals behind a cursor', `/signals?limit=1&cursor=${signals.next_cursor}`),
    get('events behind a cursor', `/events?limit=1&cursor=${events.next_cursor}`),
    get('events behind a position', `/events?after=${events.position}`),
    get('a stream behind a position', `/events/stream?after=${events.position}`),
  ]
}

/** The operations whose answers have the mark. */
async function leaks(key: string, walked: readonly Operation[]): Promise<string[]> {
  const found: string[] = []
  for (const operation of walked) {
    if (byOtherMeans.includes(operation.id)) continue
    const { status, headers, text } = await sendAs(base, key, operation)
    if (status >= 500) found.push(`${operation.id}: ${status}`)
    const places = [...text.matchAll(/[\w-]{24,}/g)].map(([word]) =>
      Buffer.from(word, 'base64url').toString(),
    )
    if ([text, headers, ...places].some((part) => part.includes(mark))) {
      found.push(`${operation.id}: ${status} ${text.slice(0, 300)}`)
    }
  }
  return found
}

describe.each(['another namespace', 'another owner', 'another controller'])(
  'a key of %s',
  (kind) => {
    const key = () => strangers.get(kind) as string

    it('is told nothing of what others have', async () => {
      expect(await leaks(key(), operations())).toEqual([])
      expect(await leaks(key(), await questions())).toEqual([])
    }, 60_000)

    it('is answered about what others have as about what nobody has', async () => {
      const nothing: Record<string, string> = {}
      for (const [name, id] of Object.entries(owned)) {
        nothing[name] = /^[\da-f]{8}-/.test(id)
          ? `00000000-0000-7000-8000-${id.slice(24)}`
          : 'absent'
      }
      const absent = requestsOf(
        api.app.openApi(),
        (name, example) => nothing[name] ?? String(example),
      )
      const plain = (text: string) => {
        const ids = [...Object.values(owned), ...Object.values(nothing)].sort(
          (one, other) => other.length - one.length,
        )
        return ids
          .reduce((rest, id) => rest.replaceAll(id, '…'), text)
          .replace(/"request_id":"[^"]*"/, '')
      }
      const different: string[] = []
      for (const [i, operation] of operations().entries()) {
        const other = absent[i] as Operation
        // What a caller may make under a name of its own choosing tells nothing of that of others.
        const makes = operation.method === 'PUT' && !operation.path.startsWith('/flows/')
        if (operation.path === other.path || byOtherMeans.includes(operation.id) || makes) continue
        const [theirs, none] = [
          await sendAs(base, key(), operation),
          await sendAs(base, key(), other),
        ]
        if (theirs.status !== none.status || plain(theirs.text) !== plain(none.text)) {
          different.push(`${operation.id}: ${theirs.status} ${theirs.text} ≠ ${none.text}`)
        }
      }
      expect(different).toEqual([])
    }, 60_000)
  },
)

it('none of it has changed anything of A', async () => {
  const { flow_id } = owned
  const flow = await admin('GET', `/flows/${flow_id}`)
  expect([flow.status, flow.goal]).toEqual(['waiting', mark])
  const { items } = await admin('GET', `/flows/${flow_id}/events`)
  const actors = new Set(items.map(({ actor }: { actor: string }) => actor))
  expect([...actors]).toEqual([`${mark}-binding`])
  for (const path of [
    '/controllers/plain',
    '/sources/plain',
    `/hooks/${owned['hook_id']}`,
    `/bindings/${owned['binding_id']}`,
    `/signals/${owned['signal_id']}`,
  ]) {
    expect(JSON.stringify(await admin('GET', path))).toContain(mark)
  }
})

describe('the search for leaks', () => {
  it('finds the mark where it is', async () => {
    const reads = operations().filter(({ method }) => method === 'GET')
    const found = await leaks(adminKey, [...reads, ...(await questions())])
    expect(found.length).toBeGreaterThan(25)
  }, 60_000)

  it('finds a read that forgets to ask whose flow it is', async () => {
    const { flows } = api.engine
    const { get } = flows
    flows.get = ({ namespace, actor }, id) => get({ namespace, actor }, id)
    try {
      const found = await leaks(strangers.get('another owner') as string, operations())
      expect(found.some((fault) => fault.startsWith('getFlow: 200'))).toBe(true)
    } finally {
      flows.get = get
    }
  }, 60_000)
})
