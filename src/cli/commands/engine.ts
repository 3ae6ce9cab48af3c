// `taskflow engine` and `taskflow tick`: the service itself, over HTTP.

import type { Family } from '../family.ts'
import { act } from '../session.ts'
import { fields } from '../words.ts'

export const addEngine: Family = (program, terminal) => {
  program
    .command('tick')
    .description('fire what is due now, and say what that was')
    .action(
      act(terminal, async (session) => {
        const answer = await session.send({ method: 'POST', path: '/engine/tick' })
        session.show<Record<string, unknown>>(answer, lines)
      }),
    )

  program
    .command('engine')
    .description('the engine of the process that answers')
    .command('show')
    .alias('get')
    .description('how its loops are doing')
    .action(
      act(terminal, async (session) => {
        const answer = await session.send({ method: 'GET', path: '/engine' })
        session.show<Record<string, unknown>>(answer, lines)
      }),
    )
}

/** Whatever it tells, member by member: there will be more of them. */
function lines(body: Record<string, unknown>): string[] {
  return fields(flat(body, ''))
}

function flat(body: object, prefix: string): [string, string][] {
  return Object.entries(body).flatMap(([name, value]): [string, string][] => {
    const plain = typeof value !== 'object' || value === null || Array.isArray(value)
    if (!plain) return flat(value, `${prefix}${name}.`)
    return [[prefix + name, typeof value === 'string' ? value : JSON.stringify(value)]]
  })
}
