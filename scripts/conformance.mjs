// Says what a worker gets wrong: puts one that pulls, or an endpoint that is pushed to, through the rules of
// docs/workers.md.
//
//   npm run conformance -- --worker "python3 worker.py" [--only heartbeats,waits]
//   npm run conformance -- --push http://127.0.0.1:8080/ --secret whsec_…
import { parseArgs } from 'node:util'
import { checkWorker, pullChecks } from './conformance/pull.mjs'
import { checkEndpoint, pushChecks } from './conformance/push.mjs'
import { tell } from './conformance/rules.mjs'

const { values } = parseArgs({
  options: {
    worker: { type: 'string' },
    push: { type: 'string' },
    secret: { type: 'string' },
    only: { type: 'string' },
    /** How much longer than usual everything may take: on a slow machine. */
    patience: { type: 'string', default: '1' },
    /** A PostgreSQL to use; an embedded one when absent. */
    database: { type: 'string' },
    /** A service that runs already and is not killed; one of its own when absent. */
    service: { type: 'string' },
  },
})
const { worker, push, secret, database: databaseUrl, service: serviceUrl } = values
if (
  (worker === undefined) === (push === undefined) ||
  (push === undefined) !== (secret === undefined)
) {
  console.error('Say either --worker COMMAND, or --push URL --secret whsec_…')
  process.exit(2)
}
const all = worker === undefined ? pushChecks : pullChecks
const only = values.only?.split(',') ?? all
const unknown = only.filter((name) => !all.includes(name))
if (unknown.length > 0) {
  console.error(`There is no check ${unknown.join(', ')}. There are: ${all.join(', ')}`)
  process.exit(2)
}

const patience = Number(values.patience)
let passed = 0
let failed = 0
const report = (verdict) => {
  if (verdict.fault === null) passed++
  else failed++
  console.log(tell(verdict))
}
const said =
  worker === undefined
    ? await checkEndpoint(push, secret, { only, patience, report })
    : await checkWorker(worker, { only, patience, databaseUrl, serviceUrl, report })
if (failed > 0 && said !== '') console.log(`\nThe worker wrote:\n${said}`)
console.log(`\n${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
