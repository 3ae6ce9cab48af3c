// Requests that the service suggests, as commands to type.

import { commandLine } from './shell.ts'

/** A request as problems and explanations carry it. */
export interface Suggestion {
  method: string
  href: string
  body?: Readonly<Record<string, unknown>>
}

const program = 'taskflow'

/** Commands for a flow whose body the flags can say, by the last segment of the address. */
const flowMoves: Readonly<Record<string, readonly string[]>> = {
  start: [],
  finish: [],
  cancel: [],
  'request-cancel': [],
  resume: ['wait_id', 'state_patch'],
  'resume-external': ['topic', 'correlation_id', 'payload'],
  reopen: ['step_id'],
  wait: [],
}

/** The command that sends the same request. There is one for every request. */
export function commandOf({ method, href, body }: Suggestion): string {
  const [address = ''] = href.split('?')
  const [, resource, id, verb, name] = address.split('/').map(decodeURIComponent)
  const members = Object.keys(body ?? {})
  if (id !== undefined && !href.includes('?')) {
    if (method === 'GET' && resource === 'flows' && name === undefined) {
      if (verb === undefined) return commandLine(program, 'flow', 'show', id)
      if (verb === 'events') return commandLine(program, 'flow', 'events', id)
      if (verb === 'explain') return commandLine(program, 'flow', 'explain', id)
      if (verb === 'steps') return commandLine(program, 'step', 'list', '--flow', id)
    }
    if (method === 'GET' && resource === 'steps' && verb === undefined) {
      return commandLine(program, 'step', 'show', id)
    }
    if (method === 'POST' && resource === 'flows' && verb === 'signals' && name !== undefined) {
      return commandLine(program, 'flow', 'signal', id, name, ...flagsOf(body))
    }
    const known = verb === undefined ? undefined : flowMoves[verb]
    if (method === 'POST' && resource === 'flows' && verb !== undefined && known !== undefined) {
      if (verb === 'wait') {
        return commandLine(program, 'flow', 'wait', id, '--body', JSON.stringify(body ?? {}))
      }
      if (members.every((member) => known.includes(member))) return flowMove(id, verb, body)
    }
    if (method === 'POST' && resource === 'steps' && verb === 'retry' && members.length === 0) {
      return commandLine(program, 'step', 'retry', id)
    }
  }
  const input = body === undefined ? [] : ['--input', JSON.stringify(body)]
  return commandLine(program, 'api', method, href, ...input)
}

function flowMove(id: string, verb: string, body: Suggestion['body']): string {
  if (verb === 'request-cancel') return commandLine(program, 'flow', 'cancel', id, '--request')
  const word = verb === 'resume-external' ? 'signal' : verb
  return commandLine(program, 'flow', word, id, ...flagsOf(body))
}

/** The members of a body as flags: `wait_id` is `--wait-id`, values that are not texts are JSON. */
function flagsOf(body: Suggestion['body']): string[] {
  return Object.entries(body ?? {}).flatMap(([member, value]) => [
    `--${member.replaceAll('_', '-')}`,
    typeof value === 'string' && member !== 'payload' ? value : JSON.stringify(value),
  ])
}
