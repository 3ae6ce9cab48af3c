// The flags of a wait as the body that asks for it.

import { misuse } from './errors.ts'
import { objectText, readJson } from './input.ts'
import type { Terminal } from './terminal.ts'

export interface WaitOptions {
  for?: string
  at?: string
  topic?: string
  correlationId?: string
  /** `true` when it was given without a name. */
  signal?: string | boolean
  timeout?: string
  onTimeout?: string
  body?: string
}

/** The JSON of a wait. The service judges the values; here it is only made out which kind is meant. */
export async function waitBody(options: WaitOptions, terminal: Terminal): Promise<string> {
  if (options.body !== undefined) return (await readJson(options.body, '--body', terminal)).text
  const timer = options.for !== undefined || options.at !== undefined
  const external = options.topic !== undefined || options.correlationId !== undefined
  const manual = options.signal !== undefined
  if ([timer, external, manual].filter(Boolean).length !== 1) {
    throw misuse(
      'say what it shall wait for, once',
      'One of --for, --at, --topic with --correlation-id, and --signal; several at once are a --body of kind any or all.',
      'taskflow flow wait --help',
    )
  }
  return objectText({
    kind: timer ? 'timer' : external ? 'external_event' : 'manual',
    after: options.for,
    at: options.at,
    topic: options.topic,
    correlation_id: options.correlationId,
    signal: typeof options.signal === 'string' ? options.signal : undefined,
    timeout: options.timeout,
    on_timeout: options.onTimeout,
  })
}
