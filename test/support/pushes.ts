// Engines that push steps, on a database for each test, and what tests of them do again and again.

import { afterEach, beforeEach, onTestFinished } from 'vitest'
import type { PutController } from '../../src/engine/controllers.ts'
import { createOutbound } from '../../src/engine/outbound.ts'
import type { StepInput } from '../../src/engine/step-input.ts'
import {
  caller,
  createFlow,
  openEngine,
  type TestEngine,
  type TestEngineOptions,
  until,
} from './engine.ts'
import { createTestDatabase, type TestDatabase } from './postgres.ts'

/** Gives each test of a file a database, and engines whose loops run until the test ends. */
export function usePushes() {
  let place: TestDatabase
  const engines = new Set<TestEngine>()
  beforeEach(async () => {
    place = await createTestDatabase()
  })
  afterEach(async () => {
    await Promise.all([...engines].map((engine) => engine.close()))
    engines.clear()
    await place.drop()
  })
  return {
    url: () => place.url,
    open(options: TestEngineOptions = {}): TestEngine {
      const outbound = createOutbound({ allowPrivate: true })
      onTestFinished(() => outbound.close())
      const engine = openEngine(place.url, { outbound, ...options })
      engines.add(engine)
      engine.start()
      return engine
    },
    /** Stops an engine before its test ends. */
    async close(engine: TestEngine): Promise<void> {
      engines.delete(engine)
      await engine.close()
    },
  }
}

/** That of the flows of `createFlow`. */
export const controller_id = 'kate/inbox'

const definition = {
  tasks: null,
  timeout_ms: 5_000,
  max_concurrency: 10,
  retry: { base_ms: 100, cap_ms: 100 },
  on_dead: 'park',
  enabled: true,
} as const

/** Says where the steps of a controller are pushed to. */
export async function put(
  engine: TestEngine,
  url: string | null,
  more: Partial<PutController> & { id?: string } = {},
) {
  const { id = controller_id, ...over } = more
  return engine.controllers.put(caller, id, { ...definition, url, ...over })
}

/** A new flow with one step. */
export async function begin(
  engine: TestEngine,
  step: Partial<StepInput> = {},
  controller = controller_id,
) {
  const flow = await createFlow(engine, { controller_id: controller })
  const { step: made } = await engine.steps.enqueue(caller, flow.id, { task: 'classify', ...step })
  return made
}

export const read = (engine: TestEngine, id: string) => engine.steps.byId(caller, id)

/** Waits until a step has a status, and answers the step. */
export async function untilStatus(engine: TestEngine, id: string, wanted: string) {
  await until(`the step is ${wanted}`, async () => (await read(engine, id)).status === wanted)
  return read(engine, id)
}

export async function attemptsOf(engine: TestEngine, id: string) {
  return (await engine.steps.inspect(caller, id)).attempts
}
