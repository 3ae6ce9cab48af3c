// How long the service takes from its start to its first answer with the embedded database, and what it weighs idle.

import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { residentMegabytes } from './cpu.mjs'
import { openDirectory } from './postgres.mjs'
import { figure, heading, judge, median, progress, spread, table } from './report.mjs'
import { startService } from './service.mjs'

/** @param {{ rounds: number, quick: boolean }} options */
export async function start({ rounds, quick }) {
  heading(`Start with the embedded database; ${rounds} rounds`)
  const idleFor = quick ? 2_000 : 10_000
  /** @type {number[]} */
  const first = []
  /** @type {number[]} */
  const second = []
  /** @type {(number | null)[]} */
  const memory = []
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`)
    const directory = await openDirectory('taskflow-bench-start-')
    try {
      const env = { TASKFLOW_DATA_DIR: directory }
      const fresh = await startService(env)
      first.push(fresh.startedIn)
      await fresh.stop()
      const again = await startService(env)
      second.push(again.startedIn)
      await sleep(idleFor)
      memory.push(residentMegabytes(again.pid))
      await again.stop()
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }
  table(
    ['', 'measured'],
    [
      ['first start on an empty data directory, ms', spread(first)],
      ['second start, ms', spread(second)],
      [`RSS of the service after ${idleFor / 1000} s idle, MB`, spread(memory)],
    ],
  )
  judge('second start, ms', '< 3,000', spread(second), median(second) < 3000)
  const known = memory.filter((value) => value !== null)
  if (known.length > 0) {
    judge('idle RSS, MB', '< 150', figure(median(known)), median(known) < 150)
  }
}
