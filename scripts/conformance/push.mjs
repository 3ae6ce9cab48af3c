// Puts an endpoint through the rules: sends it steps as the service does, signed, and forged ones.

import { createHmac, randomBytes, randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { knownKinds, large, text } from './samples.mjs'
import { seconds } from './stage.mjs'

/** The longest that a quick task may take, in milliseconds. */
const longest = 5_000

const checks = {
  answers: [22, 'answers a signed step with 200 and its outcome'],
  unicode: [22, 'hands on text in any language and shape as it is'],
  large_input: [22, 'takes a large input and answers a large result'],
  errors: [22, 'answers an error that may be tried again'],
  fatal: [22, 'answers an error that must not be tried again'],
  continues: [22, 'continues with the task that the input names'],
  slow: [22, 'answers work of a second when it is done'],
  wrong_signature: [21, 'answers 401 to a signature by another secret'],
  changed_body: [21, 'answers 401 to a body that was changed after it was signed'],
  no_signature: [21, 'answers 401 or 400 to a message without a signature'],
  old_timestamp: [21, 'answers 401 to a timestamp of ten minutes ago'],
  early_timestamp: [21, 'answers 401 to a timestamp in ten minutes'],
  two_signatures: [21, 'believes one good signature of two, as while a secret is changed'],
  repeats: [23, 'answers a repeated webhook-id as the first time'],
  unknown_task: [
    24,
    'refuses a task that it does not know: 4xx, or an error that must not be tried again',
  ],
  broken_json: [24, 'refuses what is not JSON with 4xx'],
  cancel_notice: [25, 'takes a cancel notice with 2xx'],
  stops_work: [25, 'stops the work that a cancel notice names'],
}

/** The names of all checks. */
export const pushChecks = Object.keys(checks)

/** @param {string} task @param {unknown} input */
function messageOf(task, input) {
  const now = new Date().toISOString()
  const [flow, step] = [randomUUID(), randomUUID()]
  const id = {
    id: step,
    flow_id: flow,
    run_id: 'first',
    runtime: 'managed',
    controller_id: 'conformance',
  }
  const life = { status: 'running', attempt: 1, max_attempts: 3, priority: 1000, on_dead: 'fail' }
  const times = {
    run_at: now,
    lease_until: now,
    created_at: now,
    updated_at: now,
    observed_at: null,
  }
  const empty = { result: null, error: null, child_session_key: null, progress: null }
  return {
    type: 'step',
    step: {
      ...{ ...id, task: `conformance.${task}`, input, ...life, ...times, ...empty },
      ...{ worker_id: 'push:conformance', cancel_requested: false, lease_token: 'f'.repeat(64) },
    },
    flow: { id: flow, controller_id: 'conformance', goal: 'conformance', state: {}, labels: {} },
  }
}

/** One `v1` signature, by the Standard Webhooks specification. */
function sign(secret, id, at, body) {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
  return `v1,${createHmac('sha256', key).update(`${id}.${at}.${body}`).digest('base64')}`
}

/**
 * @param {string} url
 * @param {string} secret
 * @param {{ only: string[], patience: number, report: (verdict: import('./rules.mjs').Verdict) => void }} options
 * @returns {Promise<string>} what the endpoint wrote: nothing that anybody here could know
 */
export async function checkEndpoint(url, secret, { only, patience, report }) {
  const other = `whsec_${randomBytes(32).toString('base64')}`

  /** Sends a message; `how` says what is unusual about it. */
  async function send(message, how = {}) {
    const body = typeof message === 'string' ? message : JSON.stringify(message)
    const id = how.id ?? `${randomUUID()}-1`
    const at = Math.floor(Date.now() / 1000) + (how.late ?? 0)
    const secrets = how.secrets ?? [secret]
    const signatures = secrets.map((one) => sign(one, id, at, how.signed ?? body)).join(' ')
    const signed = {
      'webhook-id': id,
      'webhook-timestamp': `${at}`,
      'webhook-signature': signatures,
    }
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(secrets.length > 0 && signed) },
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout((how.longest ?? longest) * patience),
    })
    const said = await answer.text()
    return { status: answer.status, outcome: parsed(said), said }
  }
  /** What is wrong with an answer that should have been an outcome like this one, or null. */
  function faultOf({ status, outcome, said }, like) {
    if (status !== 200) return `It answered ${status}.`
    if (!knownKinds.includes(outcome?.kind)) return `It answered no outcome: ${said.slice(0, 100)}`
    const wrong = Object.entries(like).find(
      ([name, value]) => !isDeepStrictEqual(outcome[name], value),
    )
    return wrong === undefined ? null : `The outcome has another ${wrong[0]}: ${said.slice(0, 100)}`
  }
  const outcome = async (task, input, like) => faultOf(await send(messageOf(task, input)), like)
  const refused = async (message, how, statuses) => {
    const { status } = await send(message, how)
    return statuses.includes(status) ? null : `It answered ${status}.`
  }
  const plain = messageOf('succeed', { a: 1 })
  const unauthenticated = [401]

  const probes = {
    answers: () => outcome('succeed', { a: 1 }, { kind: 'succeed', result: { a: 1 } }),
    unicode: () => outcome('succeed', text, { kind: 'succeed', result: text }),
    large_input: () => outcome('succeed', large, { kind: 'succeed', result: large }),
    async errors() {
      const answer = await send(messageOf('error', null))
      const fault = faultOf(answer, { kind: 'error' })
      return fault ?? (answer.outcome.retryable === false ? 'It may not be tried again.' : null)
    },
    fatal: () => outcome('fatal', null, { kind: 'error', retryable: false }),
    continues: () =>
      outcome(
        'continue',
        { next: 'conformance.succeed' },
        { kind: 'continue', task: 'conformance.succeed' },
      ),
    slow: () => outcome('slow', { ms: 1_000 }, { kind: 'succeed' }),
    wrong_signature: () => refused(plain, { secrets: [other] }, unauthenticated),
    changed_body: () =>
      refused(plain, { signed: JSON.stringify(messageOf('fatal', null)) }, unauthenticated),
    no_signature: () => refused(plain, { secrets: [] }, [400, 401]),
    old_timestamp: () => refused(plain, { late: -600 }, unauthenticated),
    early_timestamp: () => refused(plain, { late: 600 }, unauthenticated),
    two_signatures: () => refused(plain, { secrets: [other, secret] }, [200]),
    async repeats() {
      const how = { id: `${randomUUID()}-1` }
      const [one, two] = [await send(plain, how), await send(plain, how)]
      const same = one.status === two.status && isDeepStrictEqual(one.outcome, two.outcome)
      return same ? null : `It answered ${one.status} and ${two.status}: ${two.said.slice(0, 100)}`
    },
    async unknown_task() {
      const { status, outcome: said } = await send(messageOf('unknown', null))
      if (status >= 400 && status < 500) return null
      const final = status === 200 && said?.kind === 'error' && said.retryable === false
      return final ? null : `It answered ${status}${said?.kind ? ` and ${said.kind}` : ''}.`
    },
    broken_json: () => refused('{"type":', {}, [400, 415, 422]),
    async cancel_notice() {
      const { status } = await send(noticeFor(messageOf('slow', null)))
      return status >= 200 && status < 300 ? null : `It answered ${status}.`
    },
    async stops_work() {
      const message = messageOf('slow', { ms: 20_000 })
      const began = performance.now()
      const later = new Promise((resolve) => setTimeout(resolve, 300))
      const told = later.then(() => send(noticeFor(message)))
      await Promise.all([send(message, { longest: 25_000 }), told])
      const took = performance.now() - began
      return took < 15_000 ? null : `It worked on for ${seconds(took)}.`
    },
  }
  // One after the other: some measure time.
  for (const [name, [rule, title]] of Object.entries(checks)) {
    if (!only.includes(name)) continue
    const fault = await probes[name]().catch((error) => `It gave no answer: ${error.message}.`)
    report({ name, rule, title, fault })
  }
  return ''
}

function noticeFor({ step: { id, flow_id, run_id } }) {
  const data = { flow_id, step_id: id, run_id, reason: null }
  return { type: 'step.cancel_requested', timestamp: new Date().toISOString(), data }
}

function parsed(said) {
  try {
    return JSON.parse(said)
  } catch {
    return null
  }
}
