// The shape of every background job: a pass that is run again and again until stopped.

import type { Report } from './notice.ts'

export interface LoopOptions {
  name: string
  /** One pass. Answers how long to sleep before the next, in milliseconds; 0 runs again at once. */
  pass: () => Promise<number>
  /** The longest sleep, in milliseconds. */
  interval: number
  report: Report
}

export interface Loop {
  /** Runs the first pass at once. Does nothing when running. */
  start(): void
  /**
   * Asks for a pass in at most `ms` milliseconds. One that comes during a pass is remembered, so that
   * no wake-up is lost between looking and sleeping.
   */
  nudge(ms: number): void
  /** Resolves when the pass under way has ended; no other follows. Safe to call twice, or before start. */
  stop(): Promise<void>
}

/** Longest pause after failures, in milliseconds: a loop never gives up. */
const maxBackoff = 30_000

export function createLoop({ name, pass, interval, report }: LoopOptions): Loop {
  let running: Promise<void> | null = null
  let stopping = false
  let failures = 0
  let wakeAt = 0
  let wake: (() => void) | null = null
  let timer: NodeJS.Timeout | undefined

  async function run(): Promise<void> {
    while (!stopping) {
      wakeAt = Number.POSITIVE_INFINITY
      let pause: number
      try {
        pause = Math.min(await pass(), interval)
        if (failures > 0) report({ type: 'loop_recovered', loop: name, failures })
        failures = 0
        report({ type: 'loop_passed', loop: name, failed: false })
      } catch (cause) {
        failures++
        report({ type: 'loop_passed', loop: name, failed: true })
        // The first of a row, then ever more rarely: an outage must not flood the log.
        if ((failures & (failures - 1)) === 0) {
          report({ type: 'loop_failed', loop: name, failures, cause })
        }
        const cap = Math.min(maxBackoff, 100 * 2 ** Math.min(failures, 10))
        pause = cap / 2 + (Math.random() * cap) / 2
        wakeAt = Number.POSITIVE_INFINITY
      }
      wakeAt = Math.min(wakeAt, performance.now() + pause)
      if (!stopping) await sleepUntilWake()
    }
  }

  async function sleepUntilWake(): Promise<void> {
    await new Promise<void>((resolve) => {
      wake = resolve
      arm()
    })
    wake = null
  }

  function arm(): void {
    clearTimeout(timer)
    const ms = wakeAt - performance.now()
    // A timer of Node ends up to a millisecond early or late: the pass looks at the database's clock.
    if (ms <= 0) setImmediate(() => wake?.())
    else timer = setTimeout(() => wake?.(), ms)
  }

  return {
    start() {
      if (running !== null) return
      stopping = false
      running = run()
    },
    nudge(ms) {
      const at = performance.now() + ms
      if (at >= wakeAt) return
      wakeAt = at
      if (wake !== null) arm()
    },
    async stop() {
      stopping = true
      clearTimeout(timer)
      wake?.()
      await running
      running = null
    },
  }
}
