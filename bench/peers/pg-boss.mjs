// pg-boss: send, fetch and complete. Its own `work()` polls every half second at best, so workers here are told by the sender and fetch at once.

import PgBoss from 'pg-boss'
import { waiters } from '../closed-loop.mjs'
import { contend, input, result } from './contend.mjs'

const queue = 'bench'

await contend(async ({ url, workers, batch }) => {
  const boss = new PgBoss({ connectionString: url, max: 10, supervise: false, schedule: false })
  boss.on('error', (error) => console.error(error))
  await boss.start()
  await boss.createQueue(queue)
  const finished = waiters()
  let sent = 0
  /** Jobs that lie there, as far as this process knows, and how many of them a fetch is under way for. */
  let ready = 0
  let wanted = 0
  let open = true
  /** @type {(() => void)[]} */
  const idle = []

  const work = async () => {
    while (open) {
      const want = Math.min(ready - wanted, batch)
      if (want <= 0) {
        await new Promise((resolve) => void idle.push(() => resolve(null)))
        continue
      }
      wanted += want
      const jobs = await boss.fetch(queue, { batchSize: batch })
      wanted -= want
      // Fewer when another worker had them, more when further ones came meanwhile.
      ready -= jobs.length
      if (jobs.length === 0) continue
      const ids = jobs.map(({ id }) => id)
      await boss.complete(queue, ids, result)
      for (const { data } of jobs) finished.settle(data.number)
    }
  }
  const working = Array.from({ length: workers }, work)

  return {
    async run() {
      const number = ++sent
      const done = finished.of(number)
      await boss.send(queue, { ...input, number })
      ready++
      idle.pop()?.()
      await done
    },
    async close() {
      open = false
      for (const wake of idle) wake()
      await Promise.all(working)
      await boss.stop({ graceful: false })
    },
  }
})
