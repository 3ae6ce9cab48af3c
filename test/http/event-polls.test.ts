// Long polls on events: answered by the first event that fits, or empty when the time is up.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { until } from '../support/engine.ts'

const input = {
  controller_id: 'kate/inbox',
  goal: 'triage inbox',
  owner_session_key: 'agent:kate',
  requester_origin: 'user-1',
  start: true,
}

let api: Api
beforeAll(async () => {
  api = await startApi()
})
afterAll(() => api.close())

const create = async () => (await api.call('POST', '/flows', input)).body.id
const patch = (id: string, n: number) => api.call('PATCH', `/flows/${id}/state`, { patch: { n } })
const label = (id: string) => api.call('PATCH', `/flows/${id}`, { labels: { a: 'b' } })

/** A request under way, and whether it has been answered. */
function poll(path: string) {
  const poll = { answered: false, answer: api.call('GET', path) }
  void poll.answer.then(() => {
    poll.answered = true
  })
  return poll
}

/** The end of the feed, when all that was committed can be seen. */
async function endOfFeed(id: string): Promise<string> {
  let position = ''
  await until('the flow can be seen', async () => {
    let { body } = await api.call('GET', '/events?limit=200')
    while (body.next_cursor !== null) {
      body = (await api.call('GET', `/events?limit=200&cursor=${body.next_cursor}`)).body
    }
    position = body.position
    return body.items.some((event: { flow_id: string }) => event.flow_id === id)
  })
  return position
}

it('of a flow are answered by the first event', async () => {
  const id = await create()
  const path = `/flows/${id}/events?wait=PT20S`
  expect((await api.call('GET', `${path}&after=0`)).body.items).toHaveLength(1)
  const waiting = poll(`${path}&after=1`)
  const choosy = poll(`${path}&after=1&kind=state_updated`)
  await label(id)
  expect((await waiting.answer).body.items).toMatchObject([{ kind: 'labels_updated', revision: 2 }])
  expect(choosy.answered).toBe(false)
  await patch(id, 1)
  expect((await choosy.answer).body.items).toMatchObject([{ kind: 'state_updated', revision: 3 }])
})

it('of the feed are answered by the first event', async () => {
  const id = await create()
  const position = await endOfFeed(id)
  const waiting = poll(`/events?wait=PT20S&after=${position}`)
  const choosy = poll(`/events?wait=PT20S&after=${position}&kind=finished`)
  await label(id)
  const { body } = await waiting.answer
  expect(body.items).toMatchObject([{ flow_id: id, kind: 'labels_updated' }])
  expect(body.position).not.toBe(position)
  expect(choosy.answered).toBe(false)
  await api.call('POST', `/flows/${id}/finish`)
  expect((await choosy.answer).body.items).toMatchObject([{ flow_id: id, kind: 'finished' }])
})

it('are empty when the time is up', async () => {
  const id = await create()
  const position = await endOfFeed(id)
  const flow = await api.call('GET', `/flows/${id}/events?wait=PT0.05S&after=1`)
  expect(flow.body).toEqual({ items: [], next_cursor: null })
  const feed = await api.call('GET', `/events?wait=PT0.05S&after=${position}`)
  expect(feed.body).toEqual({ items: [], next_cursor: null, position })
})

it('are refused when they would wait too long, or for a flow that is not there', async () => {
  expect((await api.call('GET', '/events?wait=PT61S')).status).toBe(400)
  expect((await api.call('GET', '/events?wait=soon')).status).toBe(400)
  const absent = '00000000-0000-7000-8000-000000000000'
  expect((await api.call('GET', `/flows/${absent}/events?wait=PT20S`)).status).toBe(404)
})

it('are answered at once at a shutdown', async () => {
  const own = await startApi()
  const { id } = (await own.call('POST', '/flows', input)).body
  const polls = [`/flows/${id}/events?wait=PT60S&after=1`, '/events?wait=PT60S&kind=failed']
  const answers = polls.map((path) => own.call('GET', path))
  await Promise.all(answers.map(() => own.call('GET', '/engine')))
  own.shutDown()
  for (const answer of answers) expect((await answer).body.items).toEqual([])
  await own.close()
})
