// Looks at NATS, where it is used.

import type { Config } from '../config-schema.ts'
import { type Check, type Finding, fault } from './finding.ts'

/** Whether the bridge will find what it needs. */
export async function checkBroker(config: Config): Promise<Check[]> {
  if (config.NATS_URL === undefined) return []
  const findings: Finding[] = []
  let seen: string | null = null
  try {
    const { inspectBroker } = await import('../nats/inspection.ts')
    const view = await inspectBroker(config)
    seen = `NATS at ${view.server}`
    const wanted = config.TASKFLOW_NATS_STREAM
    if (!view.jetstream && wanted !== 'off') {
      findings.push(
        fault(
          'nats_without_jetstream',
          `NATS at ${view.server} has no JetStream`,
          'Signals come from a stream; without one none arrives.',
          'start nats-server with -js and a store, or set TASKFLOW_NATS_STREAM=off',
        ),
      )
    } else if (view.stream === 'absent' && !config.TASKFLOW_NATS_CREATE_STREAM) {
      findings.push(
        fault(
          'nats_stream_missing',
          `the stream ${wanted} does not exist, and TASKFLOW_NATS_CREATE_STREAM is false`,
          'No signal arrives until somebody makes it.',
          `nats stream add ${wanted} --subjects '${config.TASKFLOW_NATS_SUBJECT}', or TASKFLOW_NATS_CREATE_STREAM=true`,
        ),
      )
    }
  } catch (error) {
    findings.push(connectionFault(error))
  }
  return [{ name: 'nats', seen, findings }]
}

/** The URL may hold a password: it is not repeated. */
function connectionFault(error: unknown): Finding {
  const { name, message } = error instanceof Error ? error : new Error(String(error))
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ERR_MODULE_NOT_FOUND') {
    return fault(
      'nats_client_missing',
      'NATS_URL is set, but the client of NATS is not installed',
      message,
      'npm ci with optional packages, or remove NATS_URL',
    )
  }
  if (code === 'ENOENT' || code === 'EACCES') {
    return fault(
      'nats_credentials_unreadable',
      'TASKFLOW_NATS_CREDENTIALS_FILE cannot be read',
      message,
      'name a file that the user of the service may read',
    )
  }
  if (/auth/i.test(name) || /authorization/i.test(message)) {
    return fault(
      'nats_login_refused',
      'NATS refuses our credentials',
      message,
      'correct user:password@ or token@ in NATS_URL, or TASKFLOW_NATS_CREDENTIALS_FILE',
    )
  }
  return fault(
    'nats_unreachable',
    'no NATS server answers where NATS_URL points to',
    `${message}. The service starts all the same, and no message comes or goes.`,
    'start nats-server, or correct host and port',
  )
}
