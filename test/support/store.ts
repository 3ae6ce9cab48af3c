// A migrated database with the service's own pools on it, and a session of the test's own beside them.

import { type Database, openDatabase } from '../../src/store/db.ts'
import { openSession, type Session } from './engine.ts'
import { createTestDatabase } from './postgres.ts'

export interface StorePlace {
  url: string
  database: Database
  session: Session
  close(): Promise<void>
}

export async function openStore(
  options: { writers?: number; readers?: number } = {},
): Promise<StorePlace> {
  const { writers = 2, readers = 1 } = options
  const place = await createTestDatabase()
  const session = await openSession(place.url)
  const database = openDatabase({
    connectionString: place.url,
    writers,
    readers,
    applicationName: 'test-store',
    onError: () => {},
  })
  return {
    url: place.url,
    database,
    session,
    async close() {
      await database.close()
      await session.end()
      await place.drop()
    },
  }
}
