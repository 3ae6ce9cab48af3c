// Controllers as the wire shows them, and definitions as the engine takes them.

import type { Controller, PutControllerRequest } from '../contract/controller.ts'
import { controllerDefaults, pushTimeouts } from '../domain/controller.ts'
import { formatDuration } from '../domain/formats.ts'
import { type RetrySpec, retryPolicy } from '../domain/retry.ts'
import type { ControllerView, PutController } from '../engine/controllers.ts'
import { boundedDuration, retrySpec } from './step-spec.ts'

/** A controller as it is asked for, with the defaults of what was left out. */
export function controllerDefinition(body: PutControllerRequest): PutController {
  const { url, tasks, secret, timeout, max_concurrency, retry, on_dead, enabled } = body
  const { least, most } = pushTimeouts
  return {
    url: url ?? null,
    tasks: tasks ?? null,
    ...(secret !== undefined && { secret }),
    timeout_ms:
      timeout === undefined
        ? controllerDefaults.timeout_ms
        : boundedDuration(timeout, '/timeout', [least, most], 'from PT1S to PT15M'),
    max_concurrency: max_concurrency ?? controllerDefaults.max_concurrency,
    retry: retry === undefined ? null : retrySpec(retry, '/retry'),
    on_dead: on_dead ?? controllerDefaults.on_dead,
    enabled: enabled ?? controllerDefaults.enabled,
  }
}

export function presentController(controller: ControllerView): Controller {
  return {
    id: controller.id,
    url: controller.url,
    tasks: controller.tasks,
    timeout: formatDuration(controller.timeout_ms),
    max_concurrency: controller.max_concurrency,
    retry: controller.retry === null ? null : presentRetry(controller.retry),
    on_dead: controller.on_dead,
    enabled: controller.enabled,
    disabled_reason: controller.disabled_reason,
    disabled_at: controller.disabled_at,
    secrets: controller.secrets,
    created_at: controller.created_at,
    updated_at: controller.updated_at,
  }
}

/** With the defaults of what was not said. */
function presentRetry(retry: RetrySpec): NonNullable<Controller['retry']> {
  const { max_attempts, policy } = retryPolicy(undefined, retry)
  const { base_ms, factor, cap_ms, non_retryable } = policy
  return {
    max_attempts,
    base: formatDuration(base_ms),
    factor,
    cap: formatDuration(cap_ms),
    non_retryable,
  }
}
