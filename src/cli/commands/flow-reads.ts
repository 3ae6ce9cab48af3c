// Looking at flows: lists, one of them, its events, why it stands still.

import type { Command } from 'commander'
import type { WireExplanation } from '../../contract/explain.ts'
import type { Flow } from '../../contract/flow.ts'
import { CommandError, exits } from '../errors.ts'
import { gather, gatherPairs, wholeNumber } from '../input.ts'
import { type PageOptions, paged, showList } from '../paging.ts'
import { type Answer, path, query } from '../request.ts'
import { act, type Session } from '../session.ts'
import { readDuration } from '../settings.ts'
import { followEvents } from '../stream.ts'
import type { Terminal } from '../terminal.ts'
import { eventColumns, explanationWords, flowColumns, flowWords } from '../words.ts'

interface ListOptions extends PageOptions {
  status?: string[]
  owner?: string
  controller?: string
  businessKey?: string
  label?: Record<string, string>
  waitKind?: string
  waitTopic?: string
  waitCorrelationId?: string
  createdAfter?: string
  createdBefore?: string
  sort?: string
}

/** The service holds a request no longer than this, in milliseconds. */
const longestPoll = 60_000

export function addFlowReads(flow: Command, terminal: Terminal): void {
  paged(
    flow
      .command('list')
      .alias('ls')
      .description('list flows, newest first')
      .option('--status <status>', 'in this status; may be repeated', gather)
      .option('--owner <key>', 'of this owner_session_key')
      .option('--controller <id>', 'of this controller_id')
      .option('--business-key <key>', 'with this key')
      .option('--label <name=value>', 'with this label; may be repeated', gatherPairs)
      .option('--wait-kind <kind>', 'that wait in this way')
      .option('--wait-topic <topic>', 'that wait for this topic')
      .option('--wait-correlation-id <id>', 'that wait for this correlation id')
      .option('--created-after <time>', 'created after this time')
      .option('--created-before <time>', 'created before this time')
      .option('--sort <order>', 'created_at or -created_at'),
  ).action(act(terminal, listFlows))

  flow
    .command('show <flow>')
    .alias('get')
    .description('show one flow; with --wait, when it has changed or ended')
    .option('--wait <duration>', 'wait so long for a change (PT5M, 300)')
    .option('--until <what>', 'with --wait: "terminal" waits until it has ended')
    .action(act(terminal, showFlow))

  paged(
    flow
      .command('events <flow>')
      .description('the audit log of a flow, oldest first')
      .option('--kind <kind>', 'of this kind; may be repeated', gather)
      .option('--after <revision>', 'after this revision', wholeNumber),
  ).action(
    act(
      terminal,
      async (
        session,
        id: string,
        options: PageOptions & { kind?: string[]; after?: number },
      ): Promise<void> =>
        showList(
          session,
          path('flows', id, 'events'),
          { kind: options.kind, after: options.after?.toString() },
          options,
          eventColumns,
          'No events.',
        ),
    ),
  )

  flow
    .command('follow <flow>')
    .description('events as they happen, until the flow has ended')
    .option('--kind <kind>', 'of this kind; may be repeated', gather)
    .option('--after <revision>', 'after this revision; all when absent', wholeNumber)
    .action(
      act(terminal, async (session, id: string, options: { kind?: string[]; after?: number }) => {
        const filter = { kind: options.kind, after: options.after?.toString() }
        await followEvents(session, path('flows', id, 'events', 'stream'), filter)
      }),
    )

  flow
    .command('explain <flow>')
    .description('why a flow does not move, and the commands that would move it')
    .action(
      act(terminal, async (session, id: string) => {
        const answer = await session.send({ method: 'GET', path: path('flows', id, 'explain') })
        session.show<WireExplanation>(answer, explanationWords)
      }),
    )
}

async function listFlows(session: Session, options: ListOptions): Promise<void> {
  const labels = Object.entries(options.label ?? {}).map(([name, value]) => [
    `label.${name}`,
    value,
  ])
  const filter = {
    status: options.status,
    owner_session_key: options.owner,
    controller_id: options.controller,
    key: options.businessKey,
    'wait.kind': options.waitKind,
    'wait.topic': options.waitTopic,
    'wait.correlation_id': options.waitCorrelationId,
    created_after: options.createdAfter,
    created_before: options.createdBefore,
    sort: options.sort,
    ...Object.fromEntries(labels),
  }
  await showList(session, '/flows', filter, options, flowColumns, 'No flows.')
}

async function showFlow(
  session: Session,
  id: string,
  options: { wait?: string; until?: string },
): Promise<void> {
  const answer =
    options.wait === undefined
      ? await session.send({
          method: 'GET',
          path: path('flows', id) + query({ until: options.until }),
        })
      : await awaitChange(session, id, readDuration(options.wait, '--wait'), options.until)
  session.show<Flow>(answer, flowWords)
}

/** Asks until the flow is another one than now, or has ended; throws when the time is over. */
async function awaitChange(
  session: Session,
  id: string,
  patience: number,
  until: string | undefined,
): Promise<Answer> {
  const deadline = performance.now() + patience
  // One curl command can wait only once.
  if (session.settings.curl) {
    const wait = `PT${Math.min(patience, longestPoll) / 1000}S`
    return session.send({ method: 'GET', path: path('flows', id) + query({ wait, until }) })
  }
  const first = await session.send({ method: 'GET', path: path('flows', id) })
  const etag = first.headers.get('etag') ?? ''
  // One that has ended does not change any more.
  if (hasEnded(first)) return first
  for (;;) {
    const left = deadline - performance.now()
    if (left <= 0) break
    const wait = `PT${(Math.min(left, longestPoll, session.settings.maxTime / 2) / 1000).toFixed(3)}S`
    const answer = await session.send({
      method: 'GET',
      path: path('flows', id) + query({ wait, until }),
      ...(until === undefined && { headers: { 'if-none-match': etag } }),
    })
    if (answer.status !== 304 && (until === undefined || hasEnded(answer))) return answer
  }
  throw new CommandError(exits.timedOut, {
    what: `the flow has not ${until === undefined ? 'changed' : 'ended'} within ${patience / 1000} s`,
    why: 'Nothing that it waits for has happened.',
    repair: `taskflow flow explain ${id}`,
  })
}

function hasEnded(answer: Answer): boolean {
  const flow: Pick<Flow, 'closed_at'> = JSON.parse(answer.text)
  return flow.closed_at !== null
}
