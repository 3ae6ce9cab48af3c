// An endpoint in Node, without packages: is pushed steps, answers outcomes. See docs/workers.md.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

const { SECRET = '', PORT = '8080' } = process.env
const key = Buffer.from(SECRET.replace(/^whsec_/, ''), 'base64')
if (key.length === 0) throw new Error('Set SECRET to that of the controller, whsec_…')
/** What this endpoint can do: a task answers an outcome, and throws when `signal` says stop. */
const tasks = {
  'conformance.succeed': ({ input }) => ({ kind: 'succeed', result: input }),
  'conformance.error': () => ({ kind: 'error', message: 'Not this time.' }),
  'conformance.fatal': () => ({ kind: 'error', message: 'Never.', retryable: false }),
  'conformance.continue': ({ input }) => ({ kind: 'continue', task: input.next }),
  async 'conformance.slow'({ input }, signal) {
    await sleep(input.ms, null, { signal })
    return { kind: 'succeed', result: { from: 0 } }
  },
}

/** Whether the service has sent it, in the last five minutes: see the Standard Webhooks specification. */
function isGenuine(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signatures } = headers
  if (!id || !signatures || !(Math.abs(Date.now() / 1000 - at) < 300)) return false
  const own = createHmac('sha256', key).update(`${id}.${at}.`).update(body).digest()
  const all = signatures.split(' ').map((one) => Buffer.from(one.replace(/^v1,/, ''), 'base64'))
  return all.some((one) => one.length === own.length && timingSafeEqual(one, own))
}
const stops = new Map() // Of the steps under way, by their ids.
async function run(step) {
  const stop = new AbortController()
  stops.set(step.id, stop)
  const unknown = () => ({ kind: 'error', message: 'No such task here.', retryable: false })
  const work = async () => (tasks[step.task] ?? unknown)(step, stop.signal)
  const failed = (error) => ({ kind: 'error', message: `${error}` })
  return work()
    .catch(failed)
    .finally(() => stops.delete(step.id))
}

const answers = new Map() // By webhook-id: what comes again is answered as before, and not run again.
async function answer(headers, body) {
  if (!isGenuine(headers, body)) return [401, {}]
  const id = headers['webhook-id']
  const { type, step, data } = JSON.parse(body)
  if (type === 'step.cancel_requested') stops.get(data.step_id)?.abort()
  if (type !== 'step') return [200, {}]
  if (!answers.has(id)) answers.set(id, run(step))
  if (answers.size > 10_000) answers.delete(answers.keys().next().value)
  return [200, await answers.get(id)]
}

createServer(async (request, response) => {
  const chunks = await request.toArray()
  const [status, content] = await answer(request.headers, Buffer.concat(chunks)).catch(() => [
    400,
    {},
  ])
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(content))
}).listen(Number(PORT), '127.0.0.1')
