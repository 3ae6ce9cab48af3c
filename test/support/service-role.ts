// A role as docs/security.md has it: it logs in, owns nothing, and is held to row level security.

import { randomBytes } from 'node:crypto'
import pg from 'pg'

export interface ServiceRole {
  name: string
  /** The database, for this role. */
  url: string
  /** To be called while the database is there, and after all sessions of the role have ended. */
  drop(): Promise<void>
}

/** @param url of the owner of a migrated database. */
export async function createServiceRole(url: string): Promise<ServiceRole> {
  // Roles belong to the whole server, which other test files use as well.
  const name = `test_service_${randomBytes(6).toString('hex')}`
  await asOwner(url, `create role ${name} login password '${name}' in role taskflow_service`)
  return {
    name,
    url: asRole(url, name, name),
    drop: () => asOwner(url, `drop role ${name}`),
  }
}

/** The same database for another role. */
export function asRole(url: string, name: string, password: string): string {
  const place = new URL(url)
  place.username = name
  place.password = password
  return place.href
}

/** Runs statements in a session of the owner's. */
export async function asOwner(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}
