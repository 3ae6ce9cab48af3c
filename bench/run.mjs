// Measures the service and prints plain tables: `npm run bench -- --quick --only=transitions --seconds=3 --rounds=3`.

import { parseArgs } from 'node:util'
import { claims } from './claims.mjs'
import { deliveries } from './deliveries.mjs'
import { lateness } from './lateness.mjs'
import { metrics } from './metrics.mjs'
import { openServer } from './postgres.mjs'
import { replicas } from './replicas.mjs'
import { printGoals, printMachine } from './report.mjs'
import { matching, signals } from './signals.mjs'
import { start } from './start.mjs'
import { steps } from './steps.mjs'
import { streams } from './streams.mjs'
import { tick } from './tick.mjs'
import { timers } from './timers.mjs'
import { transitions } from './transitions.mjs'

const parts = [
  'transitions',
  'signals',
  'matching',
  'steps',
  'claims',
  'deliveries',
  'timers',
  'tick',
  'lateness',
  'streams',
  'replicas',
  'metrics',
  'start',
]

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    seconds: { type: 'string' },
    rounds: { type: 'string' },
  },
})
const chosen = values.only === undefined ? parts : values.only.split(',')
const unknown = chosen.filter((part) => !parts.includes(part))
const quick = values.quick
const seconds = Number(values.seconds ?? (quick ? 1 : 3))
const rounds = Number(values.rounds ?? (quick ? 1 : 3))
if (unknown.length > 0 || !(seconds > 0) || !(Number.isInteger(rounds) && rounds > 0)) {
  process.stderr.write(`usage: [--quick] [--only=${parts.join('|')}] [--seconds=3] [--rounds=3]\n`)
  process.exit(2)
}

const server = await openServer()
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => void server.close().finally(() => process.exit(130)))
}
try {
  printMachine(server)
  if (chosen.includes('transitions')) await transitions(server, { seconds, rounds, quick })
  if (chosen.includes('signals')) await signals(server, { seconds, rounds, quick })
  if (chosen.includes('matching')) await matching(server, { quick })
  if (chosen.includes('steps')) await steps(server, { seconds, rounds, quick })
  if (chosen.includes('claims')) await claims(server, { rounds, quick })
  if (chosen.includes('deliveries')) await deliveries(server, { rounds, quick })
  if (chosen.includes('timers')) await timers(server, { rounds, quick })
  if (chosen.includes('tick')) await tick(server, { quick })
  if (chosen.includes('lateness')) await lateness(server, { quick })
  if (chosen.includes('streams')) await streams(server, { seconds, rounds, quick })
  if (chosen.includes('replicas')) await replicas(server, { quick })
  if (chosen.includes('metrics')) await metrics(server, { quick })
  if (chosen.includes('start')) await start({ rounds, quick })
  printGoals()
} finally {
  await server.close()
}
