// `taskflow key`: the keys of bindings, and the first one of all.

import { randomBytes } from 'node:crypto'
import { type ChangeOptions, changing, sendChange } from '../change.ts'
import { misuse } from '../errors.ts'
import type { Family } from '../family.ts'
import { objectText } from '../input.ts'
import { type PageOptions, paged, showList } from '../paging.ts'
import { path } from '../request.ts'
import { act } from '../session.ts'
import type { Column } from '../table.ts'

interface Key {
  id: string
  created_at?: string
  expires_at?: string | null
  last_used_at?: string | null
}

/** 256 bits: as long as the hash that it is kept as. */
const adminKeyBytes = 32

const columns: readonly Column<Key>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'CREATED', text: ({ created_at }) => created_at ?? '' },
  { title: 'EXPIRES', text: ({ expires_at }) => expires_at ?? 'never' },
  { title: 'LAST USED', text: ({ last_used_at }) => last_used_at ?? '' },
]

const examples = `Examples:
  taskflow key create --binding 019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15 --expires-in P90D > key.txt
  taskflow key create --admin
`

export const addKey: Family = (program, terminal) => {
  const key = program
    .command('key')
    .alias('keys')
    .description('keys of bindings')
    .addHelpText('before', examples)

  changing(
    key
      .command('create')
      .description('make a key; it is printed once, alone on the standard output')
      .option('--binding <id>', 'the binding that says what it allows')
      .option('--expires-in <duration>', 'how long it lives, as P90D')
      .option('--admin', 'make up a TASKFLOW_ADMIN_KEY, here and without a service'),
  ).action(
    act(
      terminal,
      async (
        session,
        options: ChangeOptions & { binding?: string; expiresIn?: string; admin?: boolean },
      ) => {
        if (options.admin === true) {
          const made = randomBytes(adminKeyBytes).toString('base64url')
          session.print(session.settings.json ? JSON.stringify({ key: made }) : made)
          session.tell(
            'Give it to the service as TASKFLOW_ADMIN_KEY, and to commands as TASKFLOW_KEY.',
          )
          return
        }
        if (options.binding === undefined) {
          throw misuse(
            'say which binding the key is for',
            'A key allows what its binding allows.',
            'taskflow binding list',
          )
        }
        const body = objectText({ expires_in: options.expiresIn })
        const answer = await sendChange(
          session,
          path('bindings', options.binding, 'keys'),
          options,
          body,
        )
        session.show<{ id: string; key: string }>(answer, (made) => [made.key])
        if (!session.settings.json)
          session.tell(`The key has the id ${idOf(answer.text)}. It is shown this once.`)
      },
    ),
  )

  paged(
    key
      .command('list')
      .alias('ls')
      .description('list the keys of a binding, without their secrets')
      .requiredOption('--binding <id>', 'the binding'),
  ).action(
    act(terminal, async (session, options: PageOptions & { binding: string }) => {
      const address = path('bindings', options.binding, 'keys')
      await showList(session, address, {}, options, columns, 'No keys.')
    }),
  )

  changing(
    key
      .command('revoke <key-id>')
      .description('end a key')
      .requiredOption('--binding <id>', 'the binding that it belongs to'),
  ).action(
    act(terminal, async (session, id: string, options: ChangeOptions & { binding: string }) => {
      const address = path('bindings', options.binding, 'keys', id)
      await sendChange(session, address, options, undefined, 'DELETE')
      session.tell(`The key ${id} is revoked; every process refuses it within five seconds.`)
    }),
  )
}

function idOf(text: string): string {
  const { id }: { id: string } = JSON.parse(text)
  return id
}
