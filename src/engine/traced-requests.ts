// Spans of what the service sends: each in a trace of its own, linked to what led to it.

import type { ClaimedDelivery } from '../store/delivery-queue.ts'
import type { ClaimedStep } from '../store/step-queue.ts'
import type { OutboundAnswer } from './outbound.ts'
import { startSpan, type Traced } from './tracing.ts'

/** Null when nobody takes spans. */
export function traceDelivery(delivery: ClaimedDelivery): Traced | null {
  const { traceparent, url, id, flow_id, hook_id, type } = delivery
  return startSpan('taskflow.delivery', {
    kind: 'client',
    links: [traceparent],
    attributes: {
      ...requestAttributes(url),
      'taskflow.delivery_id': id,
      'taskflow.hook_id': hook_id,
      'taskflow.type': type,
      ...(flow_id !== null && { 'taskflow.flow_id': flow_id }),
    },
  })
}

/** Null when nobody takes spans. */
export function tracePush(step: ClaimedStep, url: string): Traced | null {
  return startSpan('taskflow.push', {
    kind: 'client',
    links: [step.traceparent],
    attributes: {
      ...requestAttributes(url),
      'taskflow.flow_id': step.flow_id,
      'taskflow.step_id': step.id,
      'taskflow.task': step.task,
      'taskflow.attempt': step.attempt,
    },
  })
}

/** What an answer says of a span. */
export function spanEnd(answer: OutboundAnswer): Parameters<Traced['end']>[0] {
  if ('failure' in answer)
    return { error: answer.failure, attributes: { 'error.type': answer.failure } }
  const { status } = answer
  return {
    attributes: { 'http.response.status_code': status },
    ...(status >= 400 && { error: `HTTP ${status}` }),
  }
}

/** The host alone: paths and queries of receivers may hold secrets. */
function requestAttributes(url: string): { [name: string]: string } {
  return {
    'http.request.method': 'POST',
    ...(URL.canParse(url) && { 'server.address': new URL(url).hostname }),
  }
}
