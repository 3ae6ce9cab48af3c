// A small stand-in for the NATS CLI, for walk-throughs and tests where it is not installed. It takes
// the same words:
//
//   node scripts/nats.mjs pub     SUBJECT BODY [--header 'Name:value']
//   node scripts/nats.mjs request SUBJECT BODY [--header 'Name:value']
//   node scripts/nats.mjs sub     SUBJECT [--count N]
//
// The server is the one of NATS_URL, else 127.0.0.1:4222.
import { parseArgs } from 'node:util'
import { connect, headers } from '@nats-io/transport-node'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { header: { type: 'string', multiple: true, default: [] }, count: { type: 'string' } },
})
const [verb, subject, body = ''] = positionals
if (!['pub', 'request', 'sub'].includes(verb) || subject === undefined) {
  console.error(
    'usage: node scripts/nats.mjs pub|request|sub SUBJECT [BODY] [--header N:V] [--count N]',
  )
  process.exit(2)
}
const servers = (process.env.NATS_URL ?? 'nats://127.0.0.1:4222')
  .replaceAll('nats://', '')
  .split(',')
const connection = await connect({ servers })
const named = headers()
for (const pair of values.header) {
  const at = pair.indexOf(':')
  named.set(pair.slice(0, at), pair.slice(at + 1).trim())
}

if (verb === 'pub') {
  connection.publish(subject, body, { headers: named })
  await connection.flush()
} else if (verb === 'request') {
  const answer = await connection.request(subject, body, { headers: named, timeout: 5_000 })
  console.log(answer.string())
} else {
  let left = Number(values.count ?? Number.POSITIVE_INFINITY)
  for await (const message of connection.subscribe(subject)) {
    console.log(`${message.subject} ${message.string()}`)
    if (--left <= 0) break
  }
}
await connection.close()
