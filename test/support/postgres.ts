// Gives each test file databases of its own, cloned from the run's migrated template.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { inject } from 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    /** `url` may create databases, the names of which begin with `prefix`. */
    postgres: { url: string; label: string; template: string; prefix: string }
  }
}

export interface TestDatabase {
  url: string
  /** Ends every session in the database and removes it. The end of the run does so too. */
  drop(): Promise<void>
}

/** A fresh database with the schema of `migrations/`, in some 30 ms. Safe in parallel files. */
export async function createTestDatabase(): Promise<TestDatabase> {
  return create(`template ${inject('postgres').template}`)
}

/** A fresh database with nothing in it. */
export async function createEmptyDatabase(): Promise<TestDatabase> {
  return create('template template0')
}

/** The URL of another database of the same server. */
export function withDatabase(url: string, database: string): string {
  const changed = new URL(url)
  changed.pathname = `/${database}`
  return changed.href
}

async function create(source: string): Promise<TestDatabase> {
  const { url, prefix } = inject('postgres')
  const name = `${prefix}_${process.pid}_${randomBytes(4).toString('hex')}`
  await asAdmin(url, (client) => client.query(`create database ${name} ${source}`))
  return {
    url: withDatabase(url, name),
    drop: async () => {
      await asAdmin(url, (client) => client.query(`drop database if exists ${name} with (force)`))
    },
  }
}

/** 55006: a session (autovacuum's, a late one of the setup) is in the source database and will leave. */
async function asAdmin(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'taskflow/test-support' })
  await client.connect()
  try {
    for (let tries = 1; ; tries += 1) {
      try {
        await work(client)
        return
      } catch (error) {
        const busy = error instanceof pg.DatabaseError && error.code === '55006'
        if (!busy || tries === 50) throw error
        await sleep(100)
      }
    }
  } finally {
    await client.end()
  }
}
