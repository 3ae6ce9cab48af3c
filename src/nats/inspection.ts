// What a look from outside finds at NATS: whether it answers, and whether it keeps the stream that signals come from.

import { JetStreamApiCodes, JetStreamApiError, jetstreamManager } from '@nats-io/jetstream'
import { openConnection } from './connection.ts'
import { bridgeSettings, type NatsSettings } from './settings.ts'

export interface BrokerView {
  server: string
  jetstream: boolean
  /** `unused` without a stream in the settings. */
  stream: 'unused' | 'present' | 'absent'
}

/** Looks at it as the bridge would use it. Throws what stands in the way of a connection. */
export async function inspectBroker(settings: NatsSettings): Promise<BrokerView> {
  const { connection: access, inbound } = bridgeSettings(settings)
  const connection = await openConnection({ ...access, name: 'taskflow/doctor' }, () => {}, {
    onDisconnect() {},
    onReconnect() {},
  })
  try {
    const server = connection.getServer()
    const manager = await jetstreamManager(connection, { timeout: 5_000 }).catch(() => null)
    if (manager === null) return { server, jetstream: false, stream: 'unused' }
    if (inbound === null) return { server, jetstream: true, stream: 'unused' }
    const stream = await manager.streams.info(inbound.stream).then(
      () => 'present' as const,
      (error: unknown) => {
        const gone =
          error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound
        if (!gone) throw error
        return 'absent' as const
      },
    )
    return { server, jetstream: true, stream }
  } finally {
    await connection.close()
  }
}
