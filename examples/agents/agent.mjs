// An agent that can be killed at any moment: all it knows is in its flow, which it finds again by its
// session. Where a model would decide what to do, this one reads pages; the calls are the same.
//   TASKFLOW_URL=http://localhost:3000 TASKFLOW_SESSION=reader-1 node agent.mjs
import { setTimeout as sleep } from 'node:timers/promises'

const {
  TASKFLOW_URL = 'http://localhost:3000',
  TASKFLOW_KEY,
  TASKFLOW_SESSION = 'reader-1',
} = process.env
const pages = 5

/** One call of the tool. The service may be down for a moment: nothing is lost, so it is asked again. */
async function call(action, args = {}) {
  for (;;) {
    try {
      const answer = await fetch(`${TASKFLOW_URL}/tool/taskflow`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'taskflow-session': TASKFLOW_SESSION,
          ...(TASKFLOW_KEY && { authorization: `Bearer ${TASKFLOW_KEY}` }),
        },
        body: JSON.stringify({ action, ...args }),
      })
      if (answer.status < 500) return await answer.json()
    } catch {}
    await sleep(200)
  }
}

/** What goes on by itself when it was done already says so: after a crash nobody knows which calls arrived. */
async function must(action, args) {
  const answer = await call(action, args)
  if (!answer.ok) throw new Error(`${action}: ${answer.error}: ${answer.message}`)
  return answer.flow
}

const mine = await call('list_mine')
if (!mine.ok) throw new Error(mine.message)
const open = mine.flows.find(({ status }) => !['finished', 'failed', 'cancelled'].includes(status))
// The key makes a repeat harmless: a start whose answer was lost is found, not made again.
let flow = open
  ? await must('status', { flow_id: open.id })
  : await must('start', {
      controller_id: 'reader',
      goal: 'read the book',
      state: { read: 0 },
      key: 'book',
    })
const flow_id = flow.id
console.log(`${open ? 'found' : 'started'} ${flow_id} at page ${flow.untrusted.state.read}`)

while (flow.untrusted.state.read < pages) {
  await sleep(150)
  const read = flow.untrusted.state.read + 1
  flow = await must('advance', { flow_id, patch: { read }, current_step: `page-${read}` })
  console.log(`read page ${read}`)
}
if (flow.status === 'running' && !flow.untrusted.state.slept) {
  await must('advance', { flow_id, patch: { slept: true } })
  flow = await must('wait', { flow_id, wait_condition: { kind: 'timer', after: 'PT1S' } })
  console.log('waits for a second')
}
while (flow.status === 'waiting') {
  await sleep(200)
  flow = await must('status', { flow_id })
}
flow = await must('finish', { flow_id, final_state: { summary: `${pages} pages read` } })
console.log(`finished ${flow_id}`)
