// The connection to NATS: how it is made, and what is told of it.

import { readFile } from 'node:fs/promises'
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node'
import type { Report } from '../engine/notice.ts'

export interface ConnectionSettings {
  /** One or more `nats://` or `tls://` URLs, separated by commas; the first may have credentials. */
  url: string
  /** A file with the credentials of a user, as `nsc` and the NATS CLI make it. */
  credentials_file?: string
  name: string
}

/** What is told while a connection lasts. */
export interface ConnectionChanges {
  onDisconnect(): void
  onReconnect(): void
}

/** Between two attempts to reconnect, in milliseconds: at once, then ever more rarely. */
const minWait = 100
const maxWait = 10_000

/**
 * Connects, or throws when no server can be reached. Once made, the connection comes back by itself
 * for ever, whatever happens.
 */
export async function openConnection(
  settings: ConnectionSettings,
  report: Report,
  changes: ConnectionChanges,
): Promise<NatsConnection> {
  let wentAt = performance.now()
  const { servers, ...access } = parseUrl(settings.url)
  const file = settings.credentials_file
  const connection = await connect({
    servers,
    ...access,
    ...(file !== undefined && { authenticator: credsAuthenticator(await readFile(file)) }),
    name: settings.name,
    timeout: 5_000,
    // Two unanswered pings: a dead line is noticed within half a minute.
    pingInterval: 10_000,
    maxPingOut: 2,
    maxReconnectAttempts: -1,
    // Otherwise a password that is being changed would end the connection for good.
    ignoreAuthErrorAbort: true,
    // By the time since it went, not by the number of calls: the client asks more often than it tries.
    reconnectDelayHandler: () => {
      const cap = Math.min(maxWait, Math.max(minWait, (performance.now() - wentAt) / 2))
      return cap / 2 + (Math.random() * cap) / 2
    },
  })
  report({ type: 'broker_connected', broker: 'nats', server: connection.getServer() })
  void follow(connection, report, {
    ...changes,
    onDisconnect() {
      wentAt = performance.now()
      changes.onDisconnect()
    },
  })
  return connection
}

async function follow(
  connection: NatsConnection,
  report: Report,
  { onDisconnect, onReconnect }: ConnectionChanges,
): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === 'disconnect') {
      report({ type: 'broker_disconnected', broker: 'nats', server: status.server })
      onDisconnect()
    } else if (status.type === 'reconnect') {
      report({ type: 'broker_connected', broker: 'nats', server: status.server })
      onReconnect()
    }
  }
}

/** Servers without what must not be shown, and the credentials of the first. */
function parseUrl(text: string): {
  servers: string[]
  user?: string
  pass?: string
  token?: string
  tls?: Record<string, never>
} {
  const urls = text.split(',').map((one) => new URL(one.trim()))
  const first = urls[0]
  const user = decodeURIComponent(first?.username ?? '')
  const pass = decodeURIComponent(first?.password ?? '')
  return {
    servers: urls.map((url) => url.host),
    // A name without a password is a token, as everywhere with NATS.
    ...(user !== '' && (pass === '' ? { token: user } : { user, pass })),
    ...(first?.protocol === 'tls:' && { tls: {} }),
  }
}
