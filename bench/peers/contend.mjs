// What all contenders share: their arguments, what they work on, and the three lines that they print.

import { parseArgs } from 'node:util'
import { closedLoop } from '../closed-loop.mjs'
import { percentile } from '../report.mjs'

/** What a unit of work is given, some 64 bytes, and what its step answers: the same for everybody. */
export const input = { mailbox: 'inbox', message: 'message-0042', importance: 3, read: false }
export const result = { folder: 'later', score: 7 }

/**
 * @typedef {object} Opened
 * @property {() => Promise<void>} run Starts one unit of work; settles when that has durably finished.
 * @property {() => Promise<void>} close
 * @property {number[]} [pids] processes that work in the place of PostgreSQL
 */

/**
 * Measures a contender. Prints a line when the run-up is over and one when the time is, so that CPU can be
 * counted in between, and one with the figures: units per second, milliseconds from the start to the durable
 * end, and all units that were ever started.
 *
 * @param {(options: { url: string, workers: number, batch: number }) => Promise<Opened>} open
 */
export async function contend(open) {
  const { values } = parseArgs({
    options: {
      callers: { type: 'string', default: '16' },
      workers: { type: 'string', default: '16' },
      batch: { type: 'string', default: '1' },
      seconds: { type: 'string', default: '2' },
      warm: { type: 'string', default: '1' },
    },
  })
  const { run, close, pids } = await open({
    url: process.env['DATABASE_URL'] ?? '',
    workers: Number(values.workers),
    batch: Number(values.batch),
  })
  const seconds = Number(values.seconds)
  const { took, started } = await closedLoop({
    callers: Number(values.callers),
    warm: Number(values.warm),
    seconds,
    run,
    begin: () => print({ begin: true, pids: pids ?? [] }),
    end: () => print({ end: true }),
  })
  print({
    rate: took.length / seconds,
    p50_ms: percentile(took, 0.5),
    p99_ms: percentile(took, 0.99),
    done: took.length,
    started,
  })
  await close()
  // Some leave timers or sockets behind.
  process.exit(0)
}

/** @param {unknown} line */
function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
