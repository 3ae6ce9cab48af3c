// `taskflow binding`: who may do what.

import type { Binding, Self } from '../../contract/binding.ts'
import { type ChangeOptions, changing, sendChange } from '../change.ts'
import type { Family } from '../family.ts'
import { gather, objectText, readJson } from '../input.ts'
import { type PageOptions, paged, showList } from '../paging.ts'
import { path } from '../request.ts'
import { act } from '../session.ts'
import type { Column } from '../table.ts'
import { fields } from '../words.ts'

interface CreateBindingOptions {
  name?: string
  namespace?: string
  owner?: string
  requester?: string
  action?: string[]
  controller?: string[]
  timerMaxHorizon?: string
  expiresAt?: string
  body?: string
}

const columns: readonly Column<Binding>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'NAME', text: ({ name }) => name, shrinks: true },
  { title: 'NAMESPACE', text: ({ namespace }) => namespace, shrinks: true },
  { title: 'OWNER', text: ({ owner_session_key }) => owner_session_key ?? '', shrinks: true },
  { title: 'ACTIONS', text: ({ actions }) => actions.join(' '), shrinks: true },
  { title: 'EXPIRES', text: ({ expires_at }) => expires_at ?? '' },
]

const examples = `Examples:
  taskflow binding create --name shop-worker --action steps:work --controller shop
  taskflow binding list
`

export const addBinding: Family = (program, terminal) => {
  const binding = program
    .command('binding')
    .alias('bindings')
    .description('bindings: what a caller may do')
    .addHelpText('before', examples)

  changing(
    binding
      .command('create')
      .description('make one; key create gives it a key')
      .option('--name <name>', 'what it is called (required)')
      .option('--action <action>', 'what it allows, as flows:read; may be repeated', gather)
      .option('--namespace <name>', 'the namespace that it is confined to')
      .option('--owner <key>', 'it sees and makes only flows of this owner_session_key')
      .option('--requester <origin>', 'the requester_origin of what it makes')
      .option('--controller <id>', 'it is confined to this controller; may be repeated', gather)
      .option('--timer-max-horizon <duration>', 'no timer of it lies further ahead, as P30D')
      .option('--expires-at <time>', 'after this time it allows nothing')
      .option('--body <json>', 'the whole body, in place of the other flags'),
  ).action(
    act(terminal, async (session, options: ChangeOptions & CreateBindingOptions) => {
      const body =
        options.body === undefined
          ? objectText({
              name: options.name,
              namespace: options.namespace,
              owner_session_key: options.owner,
              requester_origin: options.requester,
              actions: options.action ?? [],
              controllers: options.controller,
              timer_max_horizon: options.timerMaxHorizon,
              expires_at: options.expiresAt,
            })
          : (await readJson(options.body, '--body', terminal)).text
      session.show<Binding>(await sendChange(session, '/bindings', options, body), bindingWords)
    }),
  )

  paged(binding.command('list').alias('ls').description('list bindings')).action(
    act(terminal, async (session, options: PageOptions) =>
      showList(session, '/bindings', {}, options, columns, 'No bindings.'),
    ),
  )

  binding
    .command('show <binding>')
    .alias('get')
    .description('show one; key list shows its keys')
    .action(
      act(terminal, async (session, id: string) => {
        const answer = await session.send({ method: 'GET', path: path('bindings', id) })
        session.show<Binding | Self>(answer, bindingWords)
      }),
    )

  changing(
    binding.command('delete <binding>').description('delete one, and with it all its keys'),
  ).action(
    act(terminal, async (session, id: string, options: ChangeOptions) => {
      await sendChange(session, path('bindings', id), options, undefined, 'DELETE')
      session.tell(`The binding ${id} is deleted; its keys are refused within five seconds.`)
    }),
  )
}

/** Of one, or of what the caller itself is, which may be no binding at all. */
function bindingWords(binding: Binding | Self): string[] {
  return fields([
    ['id', 'id' in binding ? binding.id : binding.binding_id],
    ['name', binding.name],
    ['namespace', binding.namespace],
    ['owner', binding.owner_session_key],
    ['requester', binding.requester_origin],
    ['controllers', binding.controllers?.join(' ') ?? null],
    ['timers', binding.timer_max_horizon],
    ['actions', binding.actions.join(' ')],
    ['expires', 'id' in binding ? binding.expires_at : null],
  ])
}
