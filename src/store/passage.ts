// Whether a URL leads to PostgreSQL itself, or through something that shares sessions and so breaks what needs its own.

import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { openDatabase, readerOf, rows } from './db.ts'
import { sql } from './sql.ts'
import { nowhere } from './wall.ts'

/** What does not work over a way to a database. */
export interface Passage {
  /** Why the settings of our sessions are refused; null when they are taken. */
  settings_refused: string | null
  /** Whether they are taken and then ignored. */
  settings_dropped: boolean
  /** Whether a notification arrives. */
  notifies: boolean
  /** Whether two sessions may prepare statements of one name. */
  prepares: boolean
}

/** How long a notification may take, in milliseconds. It takes one when it comes at all. */
const patience = 2_000

/** Tries it. Throws when there is no connection at all. */
export async function tryPassage(connectionString: string): Promise<Passage> {
  return {
    ...(await trySettings(connectionString)),
    notifies: await tryNotify(connectionString),
    prepares: await tryPrepare(connectionString),
  }
}

/** Opens sessions as the service does. */
async function trySettings(
  connectionString: string,
): Promise<Pick<Passage, 'settings_refused' | 'settings_dropped'>> {
  const database = openDatabase({
    connectionString,
    writers: 1,
    readers: 1,
    applicationName: 'taskflow/doctor',
    onError: () => {},
  })
  try {
    const [found] = await rows<{ value: string }>(
      readerOf(database.scope, nowhere),
      sql`select current_setting('enable_seqscan') as value`,
    )
    return { settings_refused: null, settings_dropped: found?.value === 'on' }
  } catch (error) {
    const { message } = error instanceof Error ? error : new Error(String(error))
    // Anything else is told by who looks at the database itself.
    const refused = /unsupported startup parameter/.test(message)
    return { settings_refused: refused ? message : null, settings_dropped: false }
  } finally {
    await database.close()
  }
}

async function tryNotify(connectionString: string): Promise<boolean> {
  const channel = `taskflow_doctor_${randomBytes(4).toString('hex')}`
  const [ear, mouth] = [sessionOf(connectionString), sessionOf(connectionString)]
  try {
    await Promise.all([ear.connect(), mouth.connect()])
    const heard = new Promise<boolean>((resolve) => {
      ear.on('notification', () => resolve(true))
      setTimeout(() => resolve(false), patience).unref()
    })
    await ear.query(`listen ${channel}`)
    // A session that is shared is taken by somebody else now, and the ear hears nothing.
    await mouth.query('begin')
    await mouth.query(`select pg_notify('${channel}', 'x')`)
    await mouth.query('commit')
    return await heard
  } finally {
    await Promise.all([ear.end(), mouth.end()])
  }
}

async function tryPrepare(connectionString: string): Promise<boolean> {
  const name = `taskflow_doctor_${randomBytes(4).toString('hex')}`
  const clients = [sessionOf(connectionString), sessionOf(connectionString)]
  try {
    await Promise.all(clients.map((client) => client.connect()))
    for (const [i, client] of clients.entries()) {
      await client.query({ name, text: `select ${i} as one where $1::int > 0`, values: [1] })
    }
    // The first session's statement must still be its own.
    const { rows } = await (clients[0] as pg.Client).query<{ one: number }>({
      name,
      text: 'select 0 as one where $1::int > 0',
      values: [1],
    })
    return rows[0]?.one === 0
  } catch (error) {
    // 42P05 duplicate, 26000 unknown: both are what sharing does to prepared statements.
    if (error instanceof pg.DatabaseError && /^(42P05|26000)$/.test(error.code ?? '')) return false
    throw error
  } finally {
    await Promise.all(clients.map((client) => client.end()))
  }
}

function sessionOf(connectionString: string): pg.Client {
  const client = new pg.Client({
    connectionString,
    application_name: 'taskflow/doctor',
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
  })
  client.on('error', () => {})
  return client
}
