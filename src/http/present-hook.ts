// Hooks and deliveries as the wire shows them, and hooks as the engine takes them.

import type { Static } from 'typebox'
import type { Delivery, DeliveryDetail } from '../contract/delivery.ts'
import type { Hook, UpdateHookSchema } from '../contract/hook.ts'
import type { Deliveries } from '../engine/deliveries.ts'
import type { HookView } from '../engine/hook-making.ts'
import type { HookPatch } from '../engine/hooks.ts'

export function presentHook(hook: HookView): Hook {
  return {
    id: hook.id,
    url: hook.url,
    kinds: hook.kinds,
    controller_id: hook.controller_id,
    labels: hook.labels,
    flow_id: hook.flow_id,
    payload: hook.payload,
    ordered: hook.ordered,
    description: hook.description,
    enabled: hook.enabled,
    disabled_reason: hook.disabled_reason,
    disabled_at: hook.disabled_at,
    secrets: hook.secrets,
    last_success_at: hook.last_success_at,
    created_at: hook.created_at,
    updated_at: hook.updated_at,
  }
}

/** What was said of a hook; what was not is left out. */
export function hookPatch(body: Static<typeof UpdateHookSchema>): HookPatch {
  const { url, kinds, controller_id, labels, payload, ordered, description, enabled } = body
  return {
    ...(url !== undefined && { url }),
    ...(kinds !== undefined && { kinds }),
    ...(controller_id !== undefined && { controller_id }),
    ...(labels !== undefined && { labels }),
    ...(payload !== undefined && { payload }),
    ...(ordered !== undefined && { ordered }),
    ...(description !== undefined && { description }),
    ...(enabled !== undefined && { enabled }),
  }
}

type DetailRecord = Awaited<ReturnType<Deliveries['get']>>

export function presentDelivery(delivery: Omit<DetailRecord, 'body' | 'attempts'>): Delivery {
  const { status, settled_at } = delivery
  return {
    id: delivery.id,
    hook_id: delivery.hook_id,
    flow_id: delivery.flow_id,
    revision: delivery.revision,
    type: delivery.type,
    status,
    attempt: delivery.attempt,
    next_attempt_at: delivery.next_attempt_at,
    created_at: delivery.created_at,
    delivered_at: status === 'delivered' ? settled_at : null,
  }
}

export function presentDeliveryDetail(delivery: DetailRecord): DeliveryDetail {
  return {
    ...presentDelivery(delivery),
    payload: delivery.body,
    attempts: delivery.attempts.map((one) => ({
      attempt: one.attempt,
      at: one.at,
      status_code: one.status_code,
      latency_ms: one.latency_ms,
      error: one.error,
      response: one.response,
    })),
  }
}
