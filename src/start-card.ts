// What a person sees when the service has started: where everything is, and a request to paste.

import type { DatabasePlace } from './compose.ts'

/** The card as text, for a terminal. */
export function startCard(facts: {
  address: string
  place: DatabasePlace
  /** Whether callers need keys. */
  keys: boolean
}): string {
  const { address, place, keys } = facts
  const rows = [
    ['API', address],
    ['Docs', `${address}/docs`],
    ['OpenAPI', `${address}/openapi.json`],
    ['MCP', `${address}/mcp`],
    ['Health', `${address}/health/ready`],
    ['Database', databaseName(place)],
  ]
  const lines = rows.map(([name = '', value = '']) => `  ${name.padEnd(9)} ${value}`)
  const body = JSON.stringify({
    controller_id: 'demo',
    goal: 'say hello',
    owner_session_key: 'me',
    requester_origin: 'terminal',
    start: true,
  })
  const warning = keys
    ? ''
    : `
WARNING: there is no TASKFLOW_ADMIN_KEY. Everybody on this machine may do everything; nobody else can connect.
`
  const authorization = keys ? ` -H "authorization: Bearer $TASKFLOW_ADMIN_KEY"` : ''
  return `
taskflow is ready

${lines.join('\n')}
${warning}
Create a flow:

  curl -s ${address}/flows${authorization} -H 'content-type: application/json' -d '${body}'

Ctrl-C stops it; the data stays.

`
}

/** Which database it is, in words and without a password. */
export function databaseName({ url, embedded }: DatabasePlace): string {
  return embedded === null
    ? `PostgreSQL at ${withoutPassword(url)}`
    : `embedded PostgreSQL ${embedded.version}, data in ${embedded.dataDir}`
}

function withoutPassword(url: string): string {
  try {
    const parsed = new URL(url)
    parsed.password = ''
    return parsed.href
  } catch {
    return 'the address in DATABASE_URL'
  }
}
