// Scenarios of a worker that pulls, with everything else in order: tasks, heartbeats, cancels, and its own end.

import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { knownKinds, large, text } from './samples.mjs'
import { seconds } from './stage.mjs'

export const tasks = {
  checks: {
    names_itself: [1, 'claims with a worker_id, that of WORKER_ID'],
    succeeds: [12, 'reports succeed with the input as its result'],
    unicode: [14, 'hands on text in any language and shape as it is'],
    large_input: [14, 'takes a large input and reports a large result'],
    errors: [12, 'reports an error that may be tried again'],
    fatal: [12, 'reports an error that must not be tried again'],
    continues: [12, 'continues with the task that the input names'],
    unknown_task: [13, 'refuses a task that it does not know, and lives'],
    sends_token: [3, 'sends the lease_token of the claim with every report'],
    known_outcomes: [12, 'reports outcomes that the service understands'],
    waits: [2, 'waits for steps instead of asking again and again'],
    leaves_idle: [10, 'ends soon after SIGTERM when it has no step'],
  },
  async run(stage, decide) {
    const worker = stage.start()
    const first = await stage.give('succeed', { a: 1 })
    const { grant } = await stage.given(first.step, 15_000)
    const name = grant.body?.worker_id
    decide('names_itself', name === 'worker-1' ? null : `It claimed as ${JSON.stringify(name)}.`)
    const echo = async (input, { step }) => {
      const found = await stage.settled(step, 20_000)
      if (found?.status !== 'succeeded') return `The step is ${found?.status ?? 'not settled'}.`
      return isDeepStrictEqual(found.result, input) ? null : 'The result is not the input.'
    }
    decide('succeeds', await echo({ a: 1 }, first))
    decide('unicode', await echo(text, await stage.give('succeed', text)))
    decide('large_input', await echo(large, await stage.give('succeed', large)))

    const again = { retry: { max_attempts: 2, base: 'PT0.1S', factor: 1 } }
    const failed = (attempts) => async (given) => {
      const found = await stage.settled(given.step)
      if (found?.status !== 'failed') return `The step is ${found?.status ?? 'not settled'}.`
      const told = stage.reportsOf(given.step).every(({ outcome }) => outcome?.kind === 'error')
      if (!told) return 'It reported something other than an error.'
      return found.attempt === attempts ? null : `It was tried ${found.attempt} times.`
    }
    decide('errors', await failed(2)(await stage.give('error', null, again)))
    decide('fatal', await failed(1)(await stage.give('fatal', null, again)))

    const next = await stage.give('continue', { next: 'conformance.succeed' })
    const on = async () => (await stage.flowOf(next.flow)).status === 'finished'
    const finished = (await stage.settled(next.step)) !== null && (await stage.wait(on, 8_000))
    decide('continues', finished ? null : 'The flow did not go on with that task.')

    decide('unknown_task', await unknownTask(stage, worker))
    const strayed = stage.seen.filter(
      ({ step, body }) =>
        step !== null &&
        !stage
          .grantsOf(step)
          .some(({ answer }) =>
            answer.items.some(
              ({ id, lease_token }) => id === step && lease_token === body?.lease_token,
            ),
          ),
    )
    decide(
      'sends_token',
      strayed.length === 0 ? null : `${strayed.length} reports had another token.`,
    )
    const bad = stage.seen.find(
      ({ kind, status }) => kind !== 'claim' && [400, 404, 422].includes(status),
    )
    const odd = stage.seen.find(
      ({ kind, body }) => kind === 'outcome' && !knownKinds.includes(body?.outcome?.kind),
    )
    const wrong = bad ?? odd
    decide(
      'known_outcomes',
      wrong === undefined
        ? null
        : `It sent ${JSON.stringify(wrong.body)?.slice(0, 150)}: ${wrong.answer?.detail}`,
    )

    const before = stage.seen.length
    await sleep(2_000)
    const idle = stage.seen.slice(before).filter(({ kind }) => kind === 'claim').length
    decide(
      'waits',
      idle <= 4 ? null : `It claimed ${idle} times in 2 s with nothing to do. Send wait.`,
    )
    worker.signal('SIGTERM')
    decide(
      'leaves_idle',
      (await worker.ended(5_000 * stage.patience)) === null ? 'It was still there.' : null,
    )
  },
}

async function unknownTask(stage, worker) {
  const { step, flow } = await stage.give(
    'unknown',
    { what: 'is this' },
    { retry: { max_attempts: 2 } },
  )
  const spoken = () => stage.reportsOf(step).length + stage.releasesOf(step).length > 0
  await stage.wait(() => spoken() || !worker.isAlive(), 3_000)
  if (!worker.isAlive()) {
    stage.start()
    return 'It crashed.'
  }
  // Not to claim it is as good as to refuse it.
  if (!spoken() && stage.grantsOf(step).length > 0) return 'It took the step and said nothing.'
  const report = stage.reportsOf(step)[0]?.outcome
  const refused = report === undefined || (report.kind === 'error' && report.retryable === false)
  if (!refused) return `It reported ${report.kind}, as if it could be tried again.`
  const goes = await stage.goesOn()
  const releases = stage.releasesOf(step).length
  await stage.service.call('POST', `/flows/${flow}/cancel`, {}).catch(() => {})
  if (releases > 10)
    return `It took the step and gave it back ${releases} times. Release with a delay.`
  return goes
}

export const heartbeats = {
  checks: {
    heartbeats: [4, 'sends heartbeats before half of the lease that it was given is over'],
    keeps_its_step: [4, 'keeps a step for longer than a lease'],
    checkpoints: [11, 'sends a checkpoint with its heartbeats'],
  },
  async run(stage, decide) {
    stage.start()
    const lease = 5_000
    const short = { timeouts: { heartbeat: 'PT5S' }, retry: { max_attempts: 1 } }
    const { step } = await stage.give('slow', { ms: 1.4 * lease }, short)
    const { grant } = await stage.given(step, 15_000)
    const found = await stage.settled(step, 20_000)
    const marks = [grant.answeredAt, ...stage.beatsOf(step).map(({ at }) => at)]
    const end = stage.reportsOf(step)[0]?.at ?? grant.answeredAt + 1.4 * lease
    const gaps = [...marks.filter((at) => at < end), end].map(
      (at, i, all) => at - (all[i - 1] ?? at),
    )
    const longest = Math.max(...gaps)
    // A slow machine has more patience, but never the whole lease.
    const limit = Math.min(0.5 * stage.patience, 0.9) * lease + 100
    decide(
      'heartbeats',
      longest < limit
        ? null
        : `The lease was ${seconds(lease)}, and it said nothing for ${seconds(longest)}.`,
    )
    const kept = found?.status === 'succeeded' && found.result?.from === 0
    decide(
      'keeps_its_step',
      kept ? null : `The step is ${found?.status}: ${found?.error?.message}.`,
    )
    const saved = stage.beatsOf(step).some(({ body }) => body?.checkpoint?.done > 0)
    decide('checkpoints', saved ? null : 'No heartbeat had a checkpoint {"done": milliseconds}.')
  },
}

export const cancels = {
  checks: {
    stops_when_cancelled: [5, 'stops the work soon after a heartbeat says cancel_requested'],
    goes_on_after_cancel: [5, 'takes the next step after a cancelled one'],
  },
  async run(stage, decide) {
    stage.start()
    const { flow, step } = await stage.give(
      'slow',
      { ms: 60_000 },
      { timeouts: { heartbeat: 'PT3S' } },
    )
    await stage.given(step, 15_000)
    await stage.service.call('POST', `/flows/${flow}/request-cancel`, {})
    const told = await stage.wait(
      () => stage.beatsOf(step).find(({ answer }) => answer?.cancel_requested === true),
      4_000,
    )
    if (told === null)
      return decide('stops_when_cancelled', 'It sent no heartbeat, so it was not told.')
    const spoken = () => stage.reportsOf(step).length + stage.releasesOf(step).length > 0
    const late = (await stage.wait(spoken, 2_500)) === null
    decide('stops_when_cancelled', late ? 'It did not stop soon after it was told.' : null)
    decide('goes_on_after_cancel', await stage.goesOn())
  },
}

export const sigterm = {
  checks: {
    gives_back: [10, 'has settled or released its step 2 s after SIGTERM'],
    leaves_busy: [10, 'ends soon after SIGTERM when it has a step'],
  },
  async run(stage, decide) {
    const worker = stage.start()
    const { step } = await stage.give('slow', { ms: 60_000 })
    await stage.given(step, 15_000)
    await sleep(300)
    worker.signal('SIGTERM')
    const free = await stage.wait(
      async () => (await stage.stepOf(step)).status !== 'running',
      2_000,
    )
    decide('gives_back', free ? null : 'The step was still leased.')
    decide(
      'leaves_busy',
      (await worker.ended(5_000 * stage.patience)) === null ? 'It was still there.' : null,
    )
  },
}

export const sigkill = {
  checks: {
    is_replaced: [11, 'is replaced by another worker after SIGKILL'],
    resumes: [11, 'goes on at the checkpoint of the attempt before'],
  },
  async run(stage, decide) {
    const worker = stage.start()
    const more = { timeouts: { heartbeat: 'PT2S' }, retry: { max_attempts: 3, base: 'PT0.1S' } }
    const { step } = await stage.give('slow', { ms: 2_500 }, more)
    await stage.given(step, 15_000)
    const saved = () =>
      stage.beatsOf(step).some(({ body, status }) => status === 200 && body?.checkpoint?.done > 0)
    await stage.wait(saved, 2_000)
    worker.signal('SIGKILL')
    stage.start()
    const found = await stage.settled(step, 12_000)
    const done = found?.status === 'succeeded' && found.attempt >= 2
    decide('is_replaced', done ? null : `The step is ${found?.status ?? 'not settled'}.`)
    const { from } = found?.result ?? {}
    decide('resumes', from > 0 ? null : `It began at ${from}, and not at the checkpoint.`)
  },
}
