// Claims end: those that name what they want look at all of it at once, the others go around in a circle.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { writerOf } from '../../src/store/db.ts'
import { claimSteps } from '../../src/store/step-queue.ts'
import { everywhere } from '../../src/store/wall.ts'
import { openStore, type StorePlace } from '../support/store.ts'

let place: StorePlace
beforeAll(async () => {
  place = await openStore({ writers: 1 })
})
afterAll(() => place?.close())

const names = (what: string, count: number) => Array.from({ length: count }, (_, i) => what + i)
const look = (controllers: string[] | null, tasks: string[] | null) =>
  claimSteps(writerOf(place.database.scope, everywhere), {
    namespace: 'default',
    controllers,
    tasks,
    pushed: false,
    slots: [{ worker_id: 'w', lease_ms: 30_000 }],
    after: null,
    served: [],
  })

test('a claim that names more groups than a look has leaves none for another', async () => {
  expect(await look(names('c', 20), names('t', 20))).toEqual({ steps: [], more: null })
  expect(await look(names('c', 70), null)).toEqual({ steps: [], more: null })
  expect(await look(null, names('t', 70))).toEqual({ steps: [], more: null })
})
