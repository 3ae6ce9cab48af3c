// What is sent to a controller's endpoint: a step to be run, or that a step which it runs is to end.

import { liveSecrets } from '../domain/signing-secret.ts'
import type { Timestamp } from '../domain/time.ts'
import type { Traceparent } from '../domain/trace.ts'
import type { ControllerReading } from '../store/controllers.ts'
import type { CancelNotice } from '../store/pushed-steps.ts'
import type { ClaimedStep } from '../store/step-queue.ts'
import type { OutboundRequest } from './outbound.ts'
import type { OutcomeInput } from './outcome-input.ts'
import { signedHeaders } from './signing.ts'

/** The wire of steps, which belongs to the transports: how one is shown, and how its outcome is read. */
export interface PushWire {
  /** The JSON of a step, its token included, and of its flow. */
  write(step: ClaimedStep): string
  /** Reads an outcome. `fault` says why it is none, and what to send. */
  read(body: Buffer): OutcomeInput | { fault: string }
}

type Request = Pick<OutboundRequest, 'url' | 'headers' | 'body'>

/** A step for its endpoint. A repeat of the same claim has the same id; each claim has its own. */
export function stepRequest(
  step: ClaimedStep,
  controller: Pick<ControllerReading, 'secrets'> & { url: string },
  now: Timestamp,
  wire: PushWire,
  userAgent: string,
  traceparent: Traceparent | null,
): Request {
  const body = wire.write(step)
  return {
    url: controller.url,
    body,
    headers: {
      ...commonHeaders(`${step.id}-${step.claims}`, body, controller, now, userAgent),
      'taskflow-attempt': String(step.attempt),
      ...(traceparent !== null && { traceparent }),
    },
  }
}

export function cancelRequest(notice: CancelNotice, userAgent: string): Request {
  const { flow_id, step_id, run_id, reason, claims, now, url } = notice
  const body = JSON.stringify({
    type: 'step.cancel_requested',
    timestamp: now,
    data: { flow_id, step_id, run_id, reason },
  })
  const id = `${step_id}-${claims}-cancel`
  return { url, body, headers: commonHeaders(id, body, notice, now, userAgent) }
}

/** Ids have no dots, which separate what is signed. */
function commonHeaders(
  id: string,
  body: string,
  { secrets }: Pick<ControllerReading, 'secrets'>,
  now: Timestamp,
  userAgent: string,
): Record<string, string> {
  return {
    'content-type': 'application/json',
    'user-agent': userAgent,
    ...signedHeaders({
      id,
      timestamp: Math.floor(Date.parse(now) / 1000),
      body,
      secrets: liveSecrets(secrets, now).map(({ secret }) => secret),
    }),
  }
}
