// graphile-worker: add a job, and its worker pool runs it. A job has ended when the statement that deletes it has committed.

import pg from 'pg'
import { waiters } from '../closed-loop.mjs'
import { contend, input } from './contend.mjs'

// It is read once, when the library loads: a line for each job is no part of the work.
process.env['NO_LOG_SUCCESS'] = '1'
const { Logger, makeWorkerUtils, run } = await import('graphile-worker')

await contend(async ({ url, workers, batch }) => {
  const pool = new pg.Pool({ connectionString: url, max: workers + 2 })
  pool.on('error', () => {})
  const finished = waiters()
  /** The numbers of jobs that run. @type {Map<string, unknown>} */
  const numbers = new Map()
  // The library tells of a success before it has recorded it, so its own statement is watched.
  pool.on('connect', (client) => {
    const query = client.query.bind(client)
    client.query = (/** @type {any[]} */ ...args) => {
      const answer = query(...args)
      if (/^complete_jobs?\//.test(args[0]?.name ?? '')) {
        void answer.then(() => {
          for (const id of [args[0].values[0]].flat()) {
            finished.settle(numbers.get(id))
            numbers.delete(id)
          }
        })
      }
      return answer
    }
  })
  const logger = new Logger(() => (level, message) => {
    if (level === 'error') console.error(message)
  })
  const utils = await makeWorkerUtils({ pgPool: pool, logger })
  await utils.migrate()
  const runner = await run({
    pgPool: pool,
    logger,
    noHandleSignals: true,
    taskList: {
      bench: async (/** @type {any} */ payload, { job }) =>
        void numbers.set(job.id, payload.number),
    },
    preset: {
      worker: {
        concurrentJobs: workers,
        ...(batch > 1 ? { localQueue: { size: batch }, completeJobBatchDelay: 0 } : {}),
      },
    },
  })
  let added = 0
  return {
    async run() {
      const number = ++added
      const done = finished.of(number)
      await utils.addJob('bench', { ...input, number })
      await done
    },
    async close() {
      await runner.stop()
      await utils.release()
      await pool.end()
    },
  }
})
