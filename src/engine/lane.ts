// Lets a few tasks at a time through, in order.

/** Runs tasks, at most `width` at once, in the order in which they came. */
export function createLane(width: number): (task: () => Promise<void>) => Promise<void> {
  let free = width
  const waiting: (() => void)[] = []
  return async (task) => {
    if (free > 0) free--
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      await task()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free++
      else next()
    }
  }
}
