// DBOS Transact: a workflow of one step, started directly and not through a queue, which is its fastest way.

import { DBOS } from '@dbos-inc/dbos-sdk'
import { contend, input, result } from './contend.mjs'

await contend(async ({ url, workers }) => {
  const quiet = () => {}
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: url,
    systemDatabasePoolSize: workers,
    logger: { info: quiet, debug: quiet, warn: quiet, error: (entry) => console.error(entry) },
  })
  const step = async () => result
  const workflow = DBOS.registerWorkflow(
    async (/** @type {unknown} */ _input) => DBOS.runStep(step, { name: 'classify' }),
    { name: 'bench' },
  )
  await DBOS.launch()
  return {
    async run() {
      const handle = await DBOS.startWorkflow(workflow)(input)
      await handle.getResult()
    },
    close: () => DBOS.shutdown(),
  }
})
