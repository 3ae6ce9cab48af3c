// Gathers reads that arrive together into one statement.

export interface GatherOptions<Request, Answer> {
  /** Requests with the same key are one, and get the same answer. */
  keyOf: (request: Request) => string
  /** One statement: an answer for each request, in their order. */
  read: (requests: readonly Request[]) => Promise<readonly Answer[]>
  /** Requests in one statement. */
  batchSize: number
  /** Statements at once. */
  inFlight: number
}

interface Asker<Answer> {
  resolve(answer: Answer): void
  reject(error: unknown): void
}

/**
 * A function that answers one request. The statement is always sent after the call, so that it sees
 * every change that was answered before.
 */
export function gather<Request, Answer>(
  options: GatherOptions<Request, Answer>,
): (request: Request) => Promise<Answer> {
  const { keyOf, read, batchSize, inFlight } = options
  const waiting = new Map<string, { request: Request; askers: Asker<Answer>[] }>()
  let running = 0
  let scheduled = false

  function schedule(): void {
    if (scheduled || running >= inFlight || waiting.size === 0) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      if (running >= inFlight || waiting.size === 0) return
      const batch: { request: Request; askers: Asker<Answer>[] }[] = []
      for (const [key, one] of waiting) {
        if (batch.length === batchSize) break
        waiting.delete(key)
        batch.push(one)
      }
      running++
      void run(batch).finally(() => {
        running--
        schedule()
      })
      schedule()
    })
  }

  async function run(
    batch: readonly { request: Request; askers: Asker<Answer>[] }[],
  ): Promise<void> {
    try {
      const answers = await read(batch.map(({ request }) => request))
      for (const [i, { askers }] of batch.entries()) {
        for (const { resolve } of askers) resolve(answers[i] as Answer)
      }
    } catch (error) {
      for (const { askers } of batch) for (const { reject } of askers) reject(error)
    }
  }

  return (request) =>
    new Promise((resolve, reject) => {
      const key = keyOf(request)
      const known = waiting.get(key)
      if (known === undefined) waiting.set(key, { request, askers: [{ resolve, reject }] })
      else known.askers.push({ resolve, reject })
      schedule()
    })
}
