// Connections to receivers: each request has one to itself, and leaves it to the next when all went well.

import { type buildConnector, Client } from 'undici'

/**
 * One client holds one connection, and is destroyed with a request that is given up. The pools of undici
 * share clients: there, such a request makes its client connect once more, for nothing.
 */
export interface Pool {
  /** An idle client of an origin, or a new one. Keep or drop it afterwards. */
  take(origin: string): Client
  /** For a client whose request has its whole answer. */
  keep(origin: string, client: Client): void
  /** Closes the connection; ends an attempt to connect. */
  drop(client: Client): void
  /** Closes what is idle. */
  close(): Promise<void>
}

export interface PoolOptions {
  connect: buildConnector.connector
  /** Idle connections that are kept, to all origins together. */
  maxIdle: number
}

export function createPool({ connect, maxIdle }: PoolOptions): Pool {
  /**
   * With their origins, the one that has been idle longest first. One whose connection was closed since
   * then connects anew by itself.
   */
  const idle = new Map<Client, string>()

  function drop(client: Client): void {
    client.destroy(null, () => {})
  }

  function connectTo(origin: string): Client {
    return new Client(origin, {
      connect,
      // Receivers cannot ask for a connection to outlive a change of their name by much.
      keepAliveTimeout: 4_000,
      keepAliveMaxTimeout: 30_000,
      // The total time of each request covers both.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  return {
    take(origin) {
      for (const [client, its] of idle) {
        if (its !== origin) continue
        idle.delete(client)
        return client
      }
      return connectTo(origin)
    },
    keep(origin, client) {
      idle.set(client, origin)
      const [oldest] = idle.keys()
      if (idle.size <= maxIdle || oldest === undefined) return
      idle.delete(oldest)
      drop(oldest)
    },
    drop,
    async close() {
      const clients = [...idle.keys()]
      idle.clear()
      await Promise.all(clients.map((client) => client.destroy()))
    },
  }
}
