// `taskflow serve` and `taskflow migrate`: the service itself, in this process.

import { Ended, type Exit } from '../errors.ts'
import type { Family } from '../family.ts'

export const addService: Family = (program, terminal) => {
  program
    .command('serve')
    .description('run the service; settings are environment variables, or lines of .env')
    .action(async () => {
      const { serve } = await import('../../serve.ts')
      throw new Ended((await serve(terminal)) as Exit)
    })

  program
    .command('migrate')
    .description('bring the schema of the database up to date')
    .action(async () => {
      const { migrate } = await import('../../serve.ts')
      throw new Ended((await migrate(terminal)) as Exit)
    })
}
