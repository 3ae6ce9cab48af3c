// `taskflow key`: the keys of bindings, and the first one of all.

import { randomBytes } from 'node:crypto'
import type { BindingKey } from '../../contract/binding.ts'
import { type ChangeOptions, changing, sendChange } from '../change.ts'
import { misuse } from '../errors.ts'
import type { Family } from '../family.ts'
import { gather, objectText } from '../input.ts'
import { type Answer, path } from '../request.ts'
import { act, type Session } from '../session.ts'
import type { Column } from '../table.ts'

interface MintOptions {
  name?: string
  expiresIn?: string
  action?: string[]
  owner?: string
  controller?: string[]
}

interface CreatedKey extends BindingKey {
  /** Null in the answer to a repeat. */
  key: string | null
}

/** 256 bits: as long as the hash that it is kept as. */
const adminKeyBytes = 32

const columns: readonly Column<BindingKey>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'NAME', text: ({ name }) => name ?? '', shrinks: true },
  { title: 'CREATED', text: ({ created_at }) => created_at },
  { title: 'EXPIRES', text: ({ expires_at }) => expires_at ?? 'never' },
  { title: 'LAST USED', text: ({ last_used_at }) => last_used_at ?? 'never' },
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
      .option('--name <name>', 'what it is for')
      .option('--expires-in <duration>', 'how long it lives, as P90D')
      .option('--admin', 'make up a TASKFLOW_ADMIN_KEY, here and without a service'),
  ).action(
    act(
      terminal,
      async (
        session,
        options: ChangeOptions & {
          binding?: string
          name?: string
          expiresIn?: string
          admin?: boolean
        },
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
        const body = objectText({ name: options.name, expires_in: options.expiresIn })
        const address = path('bindings', options.binding, 'keys')
        showKey(session, await sendChange(session, address, options, body))
      },
    ),
  )

  changing(
    key
      .command('mint')
      .description('make a key from your own that may less, for a time')
      .option('--name <name>', 'what it is for')
      .option('--expires-in <duration>', 'how long it lives, as PT1H')
      .option('--action <action>', 'what it allows; may be repeated', gather)
      .option('--owner <key>', 'only flows of this owner_session_key')
      .option('--controller <id>', 'only this controller; may be repeated', gather),
  ).action(
    act(terminal, async (session, options: ChangeOptions & MintOptions) => {
      const body = objectText({
        name: options.name,
        expires_in: options.expiresIn,
        actions: options.action,
        owner_session_key: options.owner,
        controllers: options.controller,
      })
      const address = path('bindings', 'self', 'keys')
      showKey(session, await sendChange(session, address, options, body))
    }),
  )

  key
    .command('list')
    .alias('ls')
    .description('list the keys of a binding, without their secrets')
    .requiredOption('--binding <id>', 'the binding')
    .action(
      act(terminal, async (session, options: { binding: string }) => {
        const address = path('bindings', options.binding)
        const answer = await session.send({ method: 'GET', path: address })
        session.show<{ keys: BindingKey[] }>(answer, ({ keys }) => session.table(keys, columns))
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

/** The key alone is data: it can be sent to a file, or to where secrets are kept. */
function showKey(session: Session, answer: Answer): void {
  const made: CreatedKey = JSON.parse(answer.text)
  const { key } = made
  session.show<CreatedKey>(answer, () => (key === null ? [] : [key]))
  if (session.settings.json) return
  const shown =
    key === null ? 'It was shown when it was made, and is not again.' : 'It is shown this once.'
  session.tell(`The key has the id ${made.id}. ${shown}`)
}
