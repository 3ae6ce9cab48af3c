// `taskflow signal`: messages that end waits.

import type { Signal, SignalReceipt } from '../../contract/signal.ts'
import { type ChangeOptions, changing, sendChange } from '../change.ts'
import type { Family } from '../family.ts'
import { gather, objectText, readJson } from '../input.ts'
import { type PageOptions, paged, showList } from '../paging.ts'
import { path } from '../request.ts'
import { act } from '../session.ts'
import { fields, signalColumns } from '../words.ts'

interface SendOptions extends ChangeOptions {
  topic?: string
  correlationId?: string
  payload?: string
  id?: string
  ttl?: string
  deliver?: string
  body?: string
}

interface ListOptions extends PageOptions {
  outcome?: string[]
  topic?: string
  correlationId?: string
  flow?: string
}

const examples = `Examples:
  taskflow signal send --topic payment.settled --correlation-id order-42 --payload '{"amount":4200}'
  taskflow signal list --outcome buffered
`

export const addSignal: Family = (program, terminal) => {
  const signal = program
    .command('signal')
    .alias('signals')
    .description('signals: send, and see what became of them')
    .addHelpText('before', examples)

  changing(
    signal
      .command('send')
      .description('send one to whoever waits for it, or will')
      .option('--topic <topic>', 'what it is about (required)')
      .option('--correlation-id <id>', 'which one it is about (required)')
      .option('--payload <json>', 'what lands in state.resume_event')
      .option('--id <id>', 'your id of it: the same one twice counts once')
      .option('--ttl <duration>', 'how long it is kept when nobody waits')
      .option('--deliver <whom>', 'one, or all')
      .option('--body <json>', 'the whole body, in place of the other flags'),
  ).action(
    act(terminal, async (session, options: SendOptions) => {
      const json = async (given: string | undefined, flag: string) =>
        given === undefined ? undefined : readJson(given, flag, terminal)
      const body =
        (await json(options.body, '--body'))?.text ??
        objectText({
          topic: options.topic,
          correlation_id: options.correlationId,
          payload: await json(options.payload, '--payload'),
          id: options.id,
          ttl: options.ttl,
          deliver: options.deliver,
        })
      const answer = await sendChange(session, '/signals', options, body)
      session.show<SignalReceipt>(answer, (receipt) => [
        ...fields([
          ['id', receipt.id],
          ['outcome', receipt.outcome],
          ['kept until', receipt.expires_at],
        ]),
        ...receipt.deliveries.map(
          ({ flow_id, revision }) => `resumed   ${flow_id}, now at revision ${revision}`,
        ),
      ])
    }),
  )

  paged(
    signal
      .command('list')
      .alias('ls')
      .description('list signals, newest first')
      .option('--outcome <outcome>', 'buffered, delivered or expired; may be repeated', gather)
      .option('--topic <topic>', 'of this topic')
      .option('--correlation-id <id>', 'with this correlation id')
      .option('--flow <id>', 'for this flow'),
  ).action(
    act(terminal, async (session, options: ListOptions) => {
      const filter = {
        outcome: options.outcome,
        topic: options.topic,
        correlation_id: options.correlationId,
        flow_id: options.flow,
      }
      await showList(session, '/signals', filter, options, signalColumns, 'No signals.')
    }),
  )

  signal
    .command('show <signal>')
    .alias('get')
    .description('show one')
    .action(
      act(terminal, async (session, id: string) => {
        const answer = await session.send({ method: 'GET', path: path('signals', id) })
        session.show<Signal>(answer, signalWords)
      }),
    )

  changing(
    signal.command('redeliver <signal>').description('try one again that was kept or has expired'),
  ).action(
    act(terminal, async (session, id: string, options: ChangeOptions) => {
      const answer = await sendChange(session, path('signals', id, 'redeliver'), options)
      session.show<Signal>(answer, signalWords)
    }),
  )
}

function signalWords(signal: Signal): string[] {
  return fields([
    ['id', signal.id],
    ['outcome', signal.outcome],
    ['topic', signal.topic],
    ['correlation', signal.correlation_id],
    ['name', signal.name],
    ['flow', signal.flow_id],
    ['received', signal.received_at],
    ['kept until', signal.expires_at],
    ['actor', signal.actor],
    ['payload', signal.payload === undefined ? null : JSON.stringify(signal.payload)],
  ])
}
