// Scenarios of a worker that pulls, with faults: answers that are lost, leases that are, and a service that goes away.

import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { seconds } from './stage.mjs'

const overloaded = { status: 503, headers: { 'content-type': 'text/html' }, body: '<h1>Later</h1>' }
const lost = {
  status: 409,
  headers: { 'content-type': 'application/problem+json' },
  body: JSON.stringify({
    type: '/problems/lease_lost',
    title: 'The lease of this step is over',
    status: 409,
    detail:
      'This lease is over: the step was given to another worker or is settled. Drop the result.',
    code: 'lease_lost',
  }),
}

export const lostAnswers = {
  checks: {
    repeats_report: [6, 'repeats a report whose answer was lost, to the letter'],
    runs_once: [6, 'does not run a step again for that'],
    retry_after_report: [8, 'repeats a report after 503 when Retry-After is over'],
    retry_after_claim: [8, 'claims again after 429 when Retry-After is over'],
  },
  async run(stage, decide) {
    // Faults are there before what they are for: the worker may be quick.
    let lostOne = false
    stage.play((seen) => {
      if (lostOne || !isReport(stage, seen, 'once')) return undefined
      lostOne = true
      return 'lose'
    })
    let delayed = false
    stage.play((seen) => {
      if (delayed || !isReport(stage, seen, 'later')) return undefined
      delayed = true
      return { ...overloaded, headers: { ...overloaded.headers, 'retry-after': '2' } }
    })
    stage.start()
    const { step } = await stage.give('succeed', { once: true })
    await stage.wait(() => stage.reportsOf(step).length > 1, 15_000)
    const [one, two] = stage.reportsOf(step)
    const same = isDeepStrictEqual([one?.token, one?.outcome], [two?.token, two?.outcome])
    const fault =
      two === undefined ? 'It sent the report only once.' : same ? null : 'It sent another report.'
    decide('repeats_report', fault)
    const grants = stage.grantsOf(step).length
    decide('runs_once', grants === 1 ? null : `The step was given ${grants} times.`)

    const later = await stage.give('succeed', { later: true })
    await stage.wait(() => stage.reportsOf(later.step).length > 1, 12_000)
    const [early, repeat] = stage.reportsOf(later.step)
    decide('retry_after_report', tooEarly(early?.seen.answeredAt, repeat?.at))

    await stage.settled(later.step)
    // The claim that waits now is answered by this step, and the next one is refused, however soon it comes.
    const isLast = ({ input }) => input?.last === true
    let refused = null
    stage.play((seen) => {
      const given = stage.seen.some(({ answer }) => answer?.items?.some?.(isLast))
      if (seen.kind !== 'claim' || !given || refused !== null) return undefined
      refused = seen
      return { ...overloaded, status: 429, headers: { ...overloaded.headers, 'retry-after': '2' } }
    })
    await stage.give('succeed', { last: true })
    await stage.wait(() => refused, 8_000)
    const after = () =>
      stage.seen.find(({ kind, at }) => kind === 'claim' && at > (refused?.at ?? Infinity))
    await stage.wait(after, 8_000)
    decide('retry_after_claim', tooEarly(refused?.answeredAt, after()?.at))
  },
}

/** Whether it reports of a step that has this member in its input. */
function isReport(stage, { kind, step, body }, mark) {
  const steps = kind === 'outcomes' ? (body?.items ?? []).map((item) => item?.step_id) : [step]
  return kind.startsWith('outcome') && steps.some((one) => stage.inputOf(one)?.[mark] === true)
}

function tooEarly(refusedAt, at) {
  if (refusedAt === undefined) return 'It did not come to that.'
  if (at === undefined) return 'It did not come again.'
  return at - refusedAt > 1_900
    ? null
    : `It came again after ${seconds(at - refusedAt)} instead of 2 s.`
}

export const lostLeases = {
  checks: {
    drops_result: [7, 'drops its result when the report is answered lease_lost'],
    stops_when_lost: [7, 'stops its work when a heartbeat is answered lease_lost'],
    goes_on_after_loss: [7, 'takes the next step after a lost one'],
  },
  async run(stage, decide) {
    stage.play((seen) => (isReport(stage, seen, 'drop') ? lost : undefined))
    stage.play(({ kind, step }) =>
      kind === 'heartbeat' && stage.inputOf(step)?.stop === true ? lost : undefined,
    )
    stage.start()
    const once = { timeouts: { heartbeat: 'PT3S' }, retry: { max_attempts: 1 } }
    const first = await stage.give('slow', { ms: 300, drop: true })
    await stage.wait(() => stage.reportsOf(first.step).length > 0, 15_000)
    await sleep(2_000)
    const calls = stage.seen.filter(({ step, kind }) => step === first.step && kind !== 'heartbeat')
    const reports = Math.max(calls.length, stage.reportsOf(first.step).length)
    const words = reports === 0 ? 'It reported nothing.' : `It reported ${reports} times.`
    decide('drops_result', reports === 1 ? null : words)

    const second = await stage.give('slow', { ms: 60_000, stop: true }, once)
    const told = await stage.wait(() => stage.beatsOf(second.step)[0], 12_000)
    if (told === null) return decide('stops_when_lost', 'It sent no heartbeat, so it was not told.')
    const goes = await stage.goesOn()
    const more = stage.seen.filter(({ step, at }) => step === second.step && at > told.at + 700)
    const worked =
      more.length === 0 ? null : `It sent ${more.length} more requests about that step.`
    decide('stops_when_lost', goes === null ? worked : 'It did not stop.')
    decide('goes_on_after_loss', goes)
  },
}

export const restart = {
  /** The service is killed, so nothing else may play meanwhile. */
  alone: true,
  checks: {
    keeps_work: [9, 'keeps its step while the service is killed and started again'],
    goes_on_after_restart: [9, 'claims again after the service was away'],
  },
  async run(stage, decide) {
    const worker = stage.start()
    const { step } = await stage.give('slow', { ms: 1_500 })
    await stage.given(step, 15_000)
    await stage.service.end('SIGKILL')
    await sleep(1_500)
    await stage.service.start()
    const found = await stage.settled(step, 20_000)
    const kept = found?.status === 'succeeded' && found.attempt === 1
    decide('keeps_work', kept ? null : `The step is ${found?.status ?? 'not settled'}.`)
    const goes = await stage.goesOn(12_000)
    decide('goes_on_after_restart', worker.isAlive() ? goes : 'It ended with the service.')
  },
}
