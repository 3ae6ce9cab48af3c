// Callers who wait for the end of what they began before they begin again: how flows and the jobs of others are counted.

/**
 * Lets so many callers go on for a time, after a run-up that is not counted. They are not stopped in between,
 * and what they began is awaited.
 *
 * @param {object} options
 * @param {number} options.callers
 * @param {number} options.warm seconds of run-up
 * @param {number} options.seconds
 * @param {() => Promise<void>} options.run one unit of work, from its start to its durable end
 * @param {() => void} [options.begin] when the run-up is over
 * @param {() => void} [options.end] when the time is over
 * @returns {Promise<{ took: number[], started: number }>} milliseconds of those that ended within the time, and
 *   how many were ever started
 */
export async function closedLoop({ callers, warm, seconds, run, begin, end }) {
  const from = performance.now() + warm * 1000
  const to = from + seconds * 1000
  if (begin !== undefined) setTimeout(begin, from - performance.now())
  if (end !== undefined) setTimeout(end, to - performance.now())
  /** @type {number[]} */
  const took = []
  let started = 0
  const call = async () => {
    for (;;) {
      const began = performance.now()
      if (began >= to) return
      started++
      await run()
      const ended = performance.now()
      if (ended >= from && ended < to) took.push(ended - began)
    }
  }
  await Promise.all(Array.from({ length: callers }, call))
  return { took, started }
}

/** Promises that somebody else settles, by name. */
export function waiters() {
  /** @type {Map<unknown, () => void>} */
  const waiting = new Map()
  return {
    /** @param {unknown} name @returns {Promise<void>} */
    of: (name) => new Promise((resolve) => void waiting.set(name, resolve)),
    /** @param {unknown} name */
    settle(name) {
      waiting.get(name)?.()
      waiting.delete(name)
    },
  }
}
