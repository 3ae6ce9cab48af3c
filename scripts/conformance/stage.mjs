// Where one scenario plays: a controller and a proxy of its own, the worker's processes, and what was seen of them.

import { startWorker } from './process.mjs'
import { createProxy, until } from './proxy.mjs'

/** @typedef {import('./proxy.mjs').Seen} Seen */

/** What every worker under test has to know; `conformance.unknown` is for it not to know. */
const tasks = ['succeed', 'error', 'fatal', 'continue', 'slow', 'unknown']

let stages = 0

/**
 * @param {import('./service.mjs').Service} service
 * @param {string} command of the worker
 * @param {number} patience how much longer than usual everything may take
 */
export async function openStage(service, command, patience) {
  const proxy = await createProxy(service)
  const controller = `conformance/${process.pid}-${++stages}`
  const workers = []
  const { seen } = proxy

  /** Claims and reports whose answers gave this step, the first first. */
  const grantsOf = (step) =>
    seen.filter(({ answer }) => answer?.items?.some?.(({ id }) => id === step))

  /** The input of a step that the worker was given. */
  const inputOf = (step) => grantsOf(step)[0]?.answer.items.find(({ id }) => id === step)?.input

  /** What was reported of a step, one by one or in a batch. */
  const reportsOf = (step) =>
    seen.flatMap((one) => {
      const items = one.kind === 'outcomes' ? (one.body?.items ?? []) : []
      const said = one.kind === 'outcome' && one.step === step ? [one.body] : []
      return [...said, ...items.filter((item) => item?.step_id === step)].map((report) => ({
        seen: one,
        at: one.at,
        token: report?.lease_token,
        outcome: report?.outcome,
      }))
    })

  const stage = {
    service,
    patience,
    /** Waits for a condition; answers what it answered, or null when it took too long. */
    wait: (condition, ms) => until(condition, ms * patience),
    play: proxy.play,
    seen,
    grantsOf,
    inputOf,
    reportsOf,
    beatsOf: (step) => seen.filter((one) => one.kind === 'heartbeat' && one.step === step),
    releasesOf: (step) => seen.filter((one) => one.kind === 'release' && one.step === step),

    start() {
      const worker = startWorker(command, {
        TASKFLOW_URL: proxy.url,
        WORKER_ID: `worker-${workers.length + 1}`,
        CONTROLLERS: controller,
        TASKS: tasks.map((name) => `conformance.${name}`).join(','),
      })
      workers.push(worker)
      return worker
    },

    /** Makes a flow of one step. @returns {Promise<{ flow: string, step: string }>} */
    async give(task, input, more = {}) {
      const flow = await service.call('POST', '/flows', {
        controller_id: controller,
        goal: 'conformance',
        owner_session_key: 'conformance',
        requester_origin: 'conformance',
        steps: [{ task: `conformance.${task}`, input, ...more }],
      })
      const { items } = await service.call('GET', `/flows/${flow.id}/steps`)
      return { flow: flow.id, step: items[0].id }
    },

    stepOf: (step) => service.call('GET', `/steps/${step}`),
    flowOf: (flow) => service.call('GET', `/flows/${flow}`),

    /** The step when nothing more becomes of it; null when that takes longer, or its report was refused for good. */
    async settled(step, ms = 8_000) {
      const refused = ({ seen: { status, answeredAt, played } }) =>
        status >= 400 && status < 500 && !played && performance.now() - answeredAt > 1_500
      const found = await stage.wait(async () => {
        const now = await stage.stepOf(step)
        if (!['pending', 'running'].includes(now.status)) return now
        const last = reportsOf(step).at(-1)
        return last !== undefined && refused(last) ? 'refused' : null
      }, ms)
      return found === 'refused' ? null : found
    },

    /** The claim that gave a step, with the step as it was given. Throws when the worker takes none. */
    async given(step, ms = 8_000) {
      const grant = await stage.wait(() => grantsOf(step).at(-1), ms)
      if (grant === null) throw new Error('The worker did not claim a step that was there for it.')
      return { grant, item: grant.answer.items.find(({ id }) => id === step) }
    },

    /** What is wrong with how a worker goes on, or null. */
    async goesOn(ms = 8_000) {
      const { step } = await stage.give('succeed', 'and on')
      const found = await stage.settled(step, ms)
      return found?.status === 'succeeded' ? null : 'It did not run the next step.'
    },

    said: () =>
      workers
        .map((worker) => worker.said())
        .filter(Boolean)
        .join('\n'),

    async close() {
      await Promise.all(workers.map((worker) => worker.remove()))
      proxy.close()
    },
  }
  return stage
}

/** A duration in words. @param {number} ms */
export function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`
}
