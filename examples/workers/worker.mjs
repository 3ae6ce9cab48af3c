// A worker in Node, without packages: claims steps, runs them, reports outcomes. See docs/workers.md.
import { setTimeout as sleep } from 'node:timers/promises'

const { TASKFLOW_URL = 'http://127.0.0.1:3000', WORKER_ID, CONTROLLERS, TASKS } = process.env
/** What this worker can do: a task answers an outcome, and throws when `step.signal` says stop. */
const tasks = {
  'conformance.succeed': ({ input }) => ({ kind: 'succeed', result: input }),
  'conformance.error': () => ({ kind: 'error', message: 'Not this time.' }),
  'conformance.fatal': () => ({ kind: 'error', message: 'Never.', retryable: false }),
  'conformance.continue': ({ input }) => ({ kind: 'continue', task: input.next }),
  async 'conformance.slow'(step) {
    step.checkpoint ??= { done: 0 } // From the attempt before, and for the next.
    const from = step.checkpoint.done
    for (; step.checkpoint.done < step.input.ms; step.checkpoint.done += 50)
      await sleep(50, null, step)
    return { kind: 'succeed', result: { from } }
  },
}
const leaving = new AbortController()
process.once('SIGTERM', () => leaving.abort())
process.once('SIGTERM', () => setTimeout(process.exit, 10_000, 1).unref()) // With nobody there.
/** Sends until it is answered: after a lost connection, 429 or 5xx it waits and sends the same again. */
async function send(path, content, signal) {
  const headers = { 'content-type': 'application/json' }
  const request = { method: 'POST', headers, body: JSON.stringify(content), signal }
  for (let pause = 250; ; pause = Math.min(2 * pause, 8_000)) {
    const answer = await fetch(`${TASKFLOW_URL}/steps/${path}`, request).catch(() => null)
    const data = await answer?.json().catch(() => null)
    if (data && answer.status < 500 && answer.status !== 429) return data
    const asked = Number(answer?.headers.get('retry-after')) * 1000
    await sleep(asked || pause * (0.5 + Math.random() / 2), null, { signal })
  }
}
async function run({ lease_token, ...step }) {
  const stop = new AbortController()
  step.signal = stop.signal
  leaving.signal.onabort = () => stop.abort()
  const tell = (verb, more, to) => send(`${step.id}/${verb}`, { lease_token, ...more }, to)
  const lease = Date.parse(step.lease_until) - Date.parse(step.updated_at) // Not by our clock.
  const beat = () => tell('heartbeat', { checkpoint: step.checkpoint }, AbortSignal.timeout(lease))
  const heart = setInterval(async () => {
    const { code, cancel_requested } = await beat().catch(() => ({}))
    if (code === 'lease_lost' || cancel_requested) stop.abort(code)
  }, lease / 3)
  const failed = (error, retryable) => ({ kind: 'error', message: `${error}`, retryable })
  const work = async () => tasks[step.task]?.(step) ?? failed('No such task here.', false)
  const outcome = await work().catch((error) => (step.signal.aborted ? null : failed(error, true)))
  clearInterval(heart)
  if (stop.signal.reason === 'lease_lost') return
  if (outcome === null && leaving.signal.aborted) return beat().then(() => tell('release'))
  const { code, detail } = await tell('outcome', { outcome: outcome ?? { kind: 'cancel' } })
  if (code && code !== 'lease_lost') await tell('outcome', { outcome: failed(detail, false) })
}
const [controllers, names = Object.keys(tasks)] = [CONTROLLERS, TASKS].map((one) => one?.split(','))
const claim = { worker_id: WORKER_ID ?? `${process.pid}`, controllers, tasks: names, wait: 'PT20S' }
while (!leaving.signal.aborted) {
  const { items, detail } = await send('claim', claim, leaving.signal).catch(() => ({ items: [] }))
  if (!items) throw new Error(detail)
  for (const step of items) await run(step)
}
