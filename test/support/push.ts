// Endpoints of controllers for tests: they see what is pushed to them, and answer as they are told.

import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { leaseToken } from '../../src/domain/lease.ts'
import type { OutcomeInput } from '../../src/engine/outcome-input.ts'
import type { PushWire } from '../../src/engine/push-request.ts'
import { receiver } from './receiver.ts'

/** A wire that is simple: outcomes are read as the engine takes them. */
export const plainWire: PushWire = {
  write({ flow, ...step }) {
    const lease_token = leaseToken({ flow_id: step.flow_id, token: step.lease_token ?? '' })
    return JSON.stringify({
      type: 'step',
      step: { ...step, lease_token },
      flow: { id: step.flow_id, controller_id: step.controller_id, ...flow },
    })
  },
  read(body) {
    try {
      const outcome = JSON.parse(body.toString()) as OutcomeInput
      return 'kind' in outcome ? outcome : { fault: 'it has no kind.' }
    } catch {
      return { fault: 'it is no JSON.' }
    }
  },
}

/** A request, as an endpoint saw it. */
export interface Pushed {
  path: string
  headers: IncomingHttpHeaders
  text: string
  body: {
    type: 'step' | 'step.cancel_requested'
    step: { id: string; lease_token: string; attempt: number; task: string; run_id: string }
    flow: { id: string; controller_id: string; goal: string }
    data: { flow_id: string; step_id: string; run_id: string; reason: string | null }
  }
}

export type Answering = (pushed: Pushed, response: ServerResponse) => void

export interface Endpoint {
  url: string
  /** Everything that was sent, in order. */
  pushed: Pushed[]
  /** Steps alone. */
  steps(): Pushed[]
  cancels(): Pushed[]
  /** From now on it answers steps so. */
  answer(answering: Answering): void
  /** From now on it answers notices of cancels so; 200 before. */
  answerCancels(answering: Answering): void
  /** The most steps that it had at a time. */
  peak(): number
}

/** Answers with an outcome. */
export function outcome(value: object, status = 200): Answering {
  return (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  }
}

export function status(code: number, headers: Record<string, string> = {}, body = ''): Answering {
  return (_, response) => {
    response.writeHead(code, headers).end(body)
  }
}

/** Never answers. */
export const silence: Answering = () => {}

/** An endpoint on the loopback address, until the test ends. */
export async function endpoint(
  first: Answering = outcome({ kind: 'complete' }),
): Promise<Endpoint> {
  let answering = first
  let answeringCancels = status(200)
  const pushed: Pushed[] = []
  let open = 0
  let peak = 0
  const { port } = await receiver((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      const { url: path = '', headers } = request
      const one = { path, headers, text, body: JSON.parse(text) } as Pushed
      pushed.push(one)
      if (one.body.type !== 'step') return answeringCancels(one, response)
      peak = Math.max(peak, ++open)
      response.on('close', () => open--)
      answering(one, response)
    })
  })
  return {
    url: `http://127.0.0.1:${port}/steps`,
    pushed,
    steps: () => pushed.filter(({ body }) => body.type === 'step'),
    cancels: () => pushed.filter(({ body }) => body.type !== 'step'),
    answer: (next) => {
      answering = next
    },
    answerCancels: (next) => {
      answeringCancels = next
    },
    peak: () => peak,
  }
}
