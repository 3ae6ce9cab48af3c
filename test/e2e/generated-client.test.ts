// The walk-through of the README by a generated client against the real service.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { emptyFolder, generators } from '../support/clients.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { type ServiceProcess, startService } from '../support/service.ts'
import { heyApiProgram } from '../support/walk-through.ts'

let database: TestDatabase
let service: ServiceProcess

beforeAll(async () => {
  database = await createTestDatabase()
  service = await startService({ DATABASE_URL: database.url })
})
afterAll(async () => {
  await service?.kill('SIGTERM')
  await database?.drop()
})

it('leads a flow through everything that a flow can do', { timeout: 60_000 }, async () => {
  const folder = await emptyFolder('walk-through')
  await generators['hey-api']('openapi', folder)
  const program = join(folder, 'walk-through.ts')
  await writeFile(program, heyApiProgram)
  const { walkThrough }: { walkThrough: (baseUrl: string) => Promise<string[]> } = await import(
    program
  )
  const told = await walkThrough(service.base)
  expect(told.map((line) => line.replace(/walk-through-\d+/, 'O'))).toEqual([
    'created 0 nothing',
    'running 1 nothing',
    'waiting timer',
    'running 4 nothing',
    'waiting 5 payment.settled/O',
    'buffered',
    'running 6 nothing',
    'running 8 nothing',
    'waiting 9 external_event and manual',
    'delivered 1',
    'evt_2 1',
    'manual manual',
    'running 11 nothing',
    'revision_mismatch flow',
    'running 12 nothing',
    'running 13 nothing',
    '201 succeeded false',
    'classify-1',
    'finished 15 nothing',
    'messages,read,resume_event,summary',
    'cancelled 3 nothing',
    '1 of more',
    'timer,signal,signal,manual',
    'string',
  ])
})
