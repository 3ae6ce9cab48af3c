// Bindings and keys as the wire shows them, and bounds as the engine takes them.

import type { Static } from 'typebox'
import type {
  Binding,
  BindingKey,
  MintKey,
  SelfSchema,
  UpdateBinding,
} from '../contract/binding.ts'
import type { BindingKeyRecord, BindingRecord, Bounds } from '../domain/binding.ts'
import { formatDuration, parseDuration, parseTimestamp } from '../domain/formats.ts'
import type { BindingPatch } from '../engine/bindings.ts'
import type { Identity } from '../engine/credentials.ts'

/** What of bounds is asked for, in the engine's words. */
export function boundsAsked(body: Omit<MintKey, 'name' | 'expires_in'>): Partial<Bounds> {
  const { actions, controllers, timer_max_horizon: horizon, rate } = body
  const { owner_session_key, requester_origin } = body
  return {
    ...(actions !== undefined && { actions }),
    ...(owner_session_key !== undefined && { owner_session_key }),
    ...(requester_origin !== undefined && { requester_origin }),
    ...(controllers !== undefined && { controllers }),
    ...(horizon !== undefined && {
      timer_max_horizon_ms: horizon === null ? null : parseDuration(horizon, '/timer_max_horizon'),
    }),
    ...(rate !== undefined && {
      rate: rate && {
        per_minute: rate.per_minute,
        burst: rate.burst ?? Math.max(1, Math.ceil(rate.per_minute / 6)),
      },
    }),
  }
}

export function bindingPatch({ expires_at, ...bounds }: UpdateBinding): BindingPatch {
  return {
    ...boundsAsked(bounds),
    ...(expires_at !== undefined && {
      expires_at: expires_at === null ? null : parseTimestamp(expires_at, '/expires_at'),
    }),
  }
}

/** Bounds where nothing is asked for: none. */
export const unbounded: Omit<Bounds, 'actions'> = {
  owner_session_key: null,
  requester_origin: null,
  controllers: null,
  timer_max_horizon_ms: null,
  rate: null,
}

function presentBounds(bounds: Bounds) {
  const { timer_max_horizon_ms: horizon } = bounds
  return {
    actions: bounds.actions,
    owner_session_key: bounds.owner_session_key,
    requester_origin: bounds.requester_origin,
    controllers: bounds.controllers,
    timer_max_horizon: horizon === null ? null : formatDuration(horizon),
    rate: bounds.rate,
  }
}

export function presentBinding(binding: BindingRecord): Binding {
  const { id, namespace, name, expires_at, created_at, updated_at } = binding
  return { id, namespace, name, ...presentBounds(binding), expires_at, created_at, updated_at }
}

export function presentKey(key: BindingKeyRecord): BindingKey {
  const { id, name, parent_id, created_at, expires_at, last_used_at } = key
  return { id, name, minted: parent_id !== null, created_at, expires_at, last_used_at }
}

export function presentSelf({ caller, bounds, key }: Identity): Static<typeof SelfSchema> {
  return {
    binding_id: key?.binding_id ?? null,
    key_id: key?.id ?? null,
    namespace: caller.namespace,
    name: caller.actor,
    ...presentBounds(bounds),
  }
}
