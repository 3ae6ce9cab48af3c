// A TCP proxy between an engine and its Postgres that can lose answers, cut, swallow and refuse.

import { connect, createServer, type Server, type Socket } from 'node:net'

/**
 * - `pass`: everything goes through.
 * - `blackhole`: nothing goes through in either direction, and nobody is told.
 * - `drop-reply`: what the client sends arrives, what the server answers is thrown away.
 * - `reset`: connections are cut as soon as anything is sent, and new ones at once.
 * - `refuse`: present connections are cut and new ones are not accepted.
 */
export type ProxyMode = 'pass' | 'blackhole' | 'drop-reply' | 'reset' | 'refuse'

export interface DatabaseProxy {
  /** The database's URL through the proxy. */
  url: string
  /** For all present and coming connections. */
  set(mode: ProxyMode): Promise<void>
  /**
   * Acts on the first connection whose client sends this text from now on, before it is passed on:
   * resolves when it has been seen.
   *
   * - `drop-reply`: passes it, throws away all answers from this moment, and cuts the connection as
   *   soon as the server has ended the transaction: its fate is sealed, and unknown to the client.
   * - `reset`: cuts the connection instead of passing it.
   */
  once(text: string, act: 'drop-reply' | 'reset'): Promise<void>
  /** Connections open at present. */
  connections(): number
  close(): Promise<void>
}

interface Trap {
  text: string
  act: 'drop-reply' | 'reset'
  seen: () => void
}

export async function openProxy(target: string): Promise<DatabaseProxy> {
  const given = new URL(target)
  const port = Number(given.searchParams.get('port') ?? (given.port || 5432))
  const host = given.searchParams.get('host') ?? decodeURIComponent(given.hostname)
  const pairs = new Set<[client: Socket, server: Socket]>()
  let mode: ProxyMode = 'pass'
  let traps: Trap[] = []
  let address = 0

  function cut(pair: [Socket, Socket]): void {
    pairs.delete(pair)
    for (const socket of pair) socket.destroy()
  }

  const listener: Server = createServer((client) => {
    if (mode === 'reset') {
      client.resetAndDestroy()
      return
    }
    const server = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host)
    const pair: [Socket, Socket] = [client, server]
    let deaf = false
    pairs.add(pair)
    for (const socket of pair) {
      socket.setNoDelay(true)
      socket.on('error', () => cut(pair))
      socket.on('close', () => cut(pair))
    }
    client.on('data', (chunk) => {
      if (mode === 'reset') return cut(pair)
      if (mode === 'blackhole') return
      const trap = traps.find(({ text }) => chunk.includes(text))
      if (trap !== undefined) {
        traps = traps.filter((one) => one !== trap)
        trap.seen()
        if (trap.act === 'reset') return cut(pair)
        deaf = true
      }
      server.write(chunk)
    })
    server.on('data', (chunk) => {
      if (deaf) {
        if (chunk.includes('COMMIT\0') || chunk.includes('ROLLBACK\0')) cut(pair)
        return
      }
      if (mode === 'pass') client.write(chunk)
    })
  })

  async function listen(at: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject)
      listener.listen(at, '127.0.0.1', () => {
        listener.off('error', reject)
        resolve()
      })
    })
    const bound = listener.address()
    if (typeof bound === 'object' && bound !== null) address = bound.port
  }

  async function unlisten(): Promise<void> {
    if (!listener.listening) return
    const closed = new Promise((resolve) => listener.close(resolve))
    for (const pair of pairs) cut(pair)
    await closed
  }

  await listen(0)
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String(address)
  url.searchParams.delete('host')
  url.searchParams.delete('port')
  return {
    url: url.href,
    async set(next) {
      const from = mode
      mode = next
      if (next === 'refuse') await unlisten()
      else if (!listener.listening) await listen(address)
      // A connection that has lost a part of what was sent can only break.
      if (next === 'pass' && from !== 'pass') for (const pair of pairs) cut(pair)
    },
    once: (text, act) =>
      new Promise((resolve) => {
        traps.push({ text, act, seen: resolve })
      }),
    connections: () => pairs.size,
    async close() {
      for (const pair of pairs) cut(pair)
      await unlisten()
    },
  }
}
