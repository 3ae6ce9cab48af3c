// One session that hears what other replicas tell through NOTIFY, and tells them. It is checked all
// the time and replaced for ever: such a session can be dead without anybody being told.

import { randomBytes } from 'node:crypto'
import pg from 'pg'

export interface ListenerOptions {
  /** Past a transaction pooler, which would take LISTEN and never deliver. */
  connectionString: string
  /** Shown in pg_stat_activity. */
  applicationName: string
  channel: string
  /** Called for what another replica told. Must not throw. */
  onMessage: (from: string, text: string) => void
  /** Called when a session begins to hear: what was told before is lost. Must not throw. */
  onUp: () => void
  /** Called when it stops to hear or cannot be had, once until it is up again. Must not throw. */
  onDown: (cause: Error) => void
  /** How often the session is tested, in milliseconds. */
  testEvery?: number
  /** How long a test or a connection may take, in milliseconds. */
  patience?: number
  /** The last that is told before an orderly end: no sign of life comes after it. */
  farewell: string
}

export interface Listener {
  /** This process, as others hear of it. */
  id: string
  /** Connects, for as long as it takes. */
  start(): void
  /** Tells all replicas. Resolves to false when it could not be sent, which nobody needs to mend. */
  tell(text: string): Promise<boolean>
  isUp(): boolean
  stop(): Promise<void>
}

/** The longest pause between two attempts, in milliseconds; with the patience it bounds deafness. */
const longestPause = 10_000

/** What the test of a session says, to itself and to others: the sender lives. */
export const lifeSign = 'here'

export function createListener(options: ListenerOptions): Listener {
  const { channel, testEvery = 10_000, patience = 5_000 } = options
  const id = randomBytes(6).toString('base64url')
  const ending = new AbortController()
  let session: pg.Client | null = null
  let running: Promise<void> = Promise.resolve()
  let up = false
  let toldDown = false
  let heard: (() => void) | null = null
  /** The statement under way: a session takes one at a time. */
  let latest: Promise<unknown> = Promise.resolve()

  function receive({ payload = '' }: pg.Notification): void {
    const space = payload.indexOf(' ')
    const from = payload.slice(0, space)
    const text = payload.slice(space + 1)
    if (space < 1) return
    if (from !== id) options.onMessage(from, text)
    else if (text === lifeSign) heard?.()
  }

  async function run(): Promise<void> {
    for (let failures = 0; !ending.signal.aborted; failures++) {
      try {
        await live(() => {
          failures = 0
        })
      } catch (error) {
        const cause = error instanceof Error ? error : new Error(String(error))
        if (!ending.signal.aborted && !toldDown) {
          toldDown = true
          options.onDown(cause)
        }
      }
      // The higher end is the likelier: many replicas shall not come back at one moment.
      const cap = Math.min(longestPause, 100 * 2 ** Math.min(failures, 10))
      await pause(cap * (1 - Math.random() ** 2 / 2))
    }
  }

  /** One session from connect to its end. Always throws, unless this stops. */
  async function live(working: () => void): Promise<void> {
    const client = new pg.Client({
      connectionString: options.connectionString,
      application_name: options.applicationName,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      connectionTimeoutMillis: patience,
      query_timeout: patience,
    })
    const broken = new Promise<never>((_, reject) => {
      client.on('error', reject)
      client.on('end', () => reject(new Error('the session ended')))
    })
    broken.catch(() => {})
    try {
      await client.connect()
      client.on('notification', receive)
      await inTurn(client, `listen ${client.escapeIdentifier(channel)}`)
      session = client
      await Promise.race([test(client), broken])
      working()
      up = true
      toldDown = false
      options.onUp()
      while (!ending.signal.aborted) {
        await Promise.race([pause(testEvery), broken])
        if (!ending.signal.aborted) await Promise.race([test(client), broken])
      }
      await Promise.race([send(client, options.farewell), broken])
    } finally {
      up = false
      session = null
      await close(client)
    }
  }

  /**
   * Whether the session hears: the server says that it listens, and what it tells comes back. Behind
   * a pooler the first can be true of a server connection that another client has by now.
   */
  async function test(client: pg.Client): Promise<void> {
    let late: NodeJS.Timeout | undefined
    const arrived = new Promise<void>((resolve, reject) => {
      heard = resolve
      late = setTimeout(reject, patience, new Error('a notification to itself did not arrive'))
    })
    arrived.catch(() => {})
    try {
      const { rows } = await inTurn(client, 'select pg_listening_channels() as channel')
      if (!rows.some((row) => row['channel'] === channel)) {
        throw new Error(
          'the server session does not listen any more: is a transaction pooler in between?',
        )
      }
      await send(client, lifeSign)
      await arrived
    } finally {
      clearTimeout(late)
      heard = null
    }
  }

  /** Sends a statement when those before it have been answered. */
  function inTurn(client: pg.Client, text: string): Promise<pg.QueryResult> {
    const answer = latest.then(() => client.query(text))
    latest = answer.catch(() => {})
    return answer
  }

  /**
   * `set local` and not a setting of the session: through a pooler that would stay on a server
   * connection, and take durability from others.
   */
  async function send(client: pg.Client, text: string): Promise<void> {
    const name = client.escapeLiteral(channel)
    const payload = client.escapeLiteral(`${id} ${text}`)
    await inTurn(
      client,
      `begin; set local synchronous_commit to off; select pg_notify(${name}, ${payload}); commit`,
    )
  }

  /** Ends a session without waiting for a server that may never answer. */
  async function close(client: pg.Client): Promise<void> {
    client.removeListener('notification', receive)
    let late: NodeJS.Timeout | undefined
    const gone = client.end().catch(() => {})
    await Promise.race([
      gone,
      new Promise<void>((resolve) => {
        late = setTimeout(resolve, 200)
      }),
    ])
    clearTimeout(late)
    client.connection.stream.destroy()
  }

  /** Sleeps, or until this stops. */
  async function pause(ms: number): Promise<void> {
    if (ending.signal.aborted) return
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        ending.signal.removeEventListener('abort', wake)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      ending.signal.addEventListener('abort', wake)
    })
  }

  return {
    id,
    start() {
      running = run()
    },
    async tell(text) {
      if (session === null || !up) return false
      try {
        await send(session, text)
        return true
      } catch {
        // The session's own test finds out what is wrong with it.
        return false
      }
    },
    isUp: () => up,
    async stop() {
      ending.abort()
      await running
    },
  }
}
