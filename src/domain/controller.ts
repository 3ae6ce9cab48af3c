// What is known of a controller: where its steps are pushed to, and what holds for those that do not say.

import type { RetrySpec } from './retry.ts'
import type { SigningSecret } from './signing-secret.ts'
import type { DeadPolicy } from './step.ts'
import type { Timestamp } from './time.ts'

/** What a caller says of a controller. */
export interface ControllerDefinition {
  /** Null: its steps are pulled. */
  url: string | null
  /** The tasks that are pushed, the rest is pulled; null for all. */
  tasks: string[] | null
  /** For one push, answer and all, in milliseconds. */
  timeout_ms: number
  /** Steps that run at its endpoint at a time, over all processes. */
  max_concurrency: number
  /** What its steps do not say of retries themselves. */
  retry: RetrySpec | null
  on_dead: DeadPolicy
  /** False: nothing is pushed, all is pulled. */
  enabled: boolean
}

export interface ControllerRecord extends ControllerDefinition {
  namespace: string
  id: string
  disabled_reason: string | null
  disabled_at: Timestamp | null
  /** The newest first. Never shown again. */
  secrets: SigningSecret[]
  created_at: Timestamp
  updated_at: Timestamp
}

/** A controller that is pushed to. */
export type PushedController = ControllerRecord & { url: string }

/** What holds when a definition does not say; milliseconds. */
export const controllerDefaults = {
  timeout_ms: 30_000,
  max_concurrency: 10,
  on_dead: 'fail',
  enabled: true,
} as const

/** How long a push may take, in milliseconds; what takes longer is answered 202 and settled later. */
export const pushTimeouts = { least: 1_000, most: 15 * 60_000 } as const

/** Steps at one endpoint at a time, at most. */
export const mostConcurrent = 1_000

/** How long a secret that was replaced still signs, in milliseconds. */
export const secretOverlap = 86_400_000

/** Who the worker of pushed steps is, in attempts and audit events. */
export function pushWorker(controllerId: string): string {
  return `push:${controllerId}`
}
