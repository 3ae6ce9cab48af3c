// Changing flows: create, start, wait, signal, resume, update, finish, fail, cancel, reopen.

import type { Command } from 'commander'
import type { Flow } from '../../contract/flow.ts'
import type { SignalResult } from '../../contract/signal.ts'
import { type ChangeOptions, changing, changingFlow, sendChange } from '../change.ts'
import { misuse } from '../errors.ts'
import { gather, gatherPairs, objectText, readJson } from '../input.ts'
import { path } from '../request.ts'
import { act, type Session } from '../session.ts'
import type { Terminal } from '../terminal.ts'
import { type WaitOptions, waitBody } from '../wait-body.ts'
import { fields, flowWords } from '../words.ts'

interface CreateOptions extends ChangeOptions {
  controller?: string
  goal?: string
  owner?: string
  requester?: string
  step?: string
  state?: string
  businessKey?: string
  onConflict?: string
  label?: Record<string, string>
  start?: boolean
  body?: string
}

export function addFlowChanges(flow: Command, terminal: Terminal): void {
  changing(
    flow
      .command('create')
      .description('make a flow')
      .option('--controller <id>', 'controller_id: who decides its next step (required)')
      .option('--goal <text>', 'what it is for (required)')
      .option('--owner <key>', 'owner_session_key (required, unless the key has one)')
      .option('--requester <origin>', 'requester_origin (required, unless the key has one)')
      .option('--step <name>', 'current_step; init when absent')
      .option('--state <json>', 'its state: JSON, @FILE or - for the standard input')
      .option('--business-key <key>', 'key: unique among open flows')
      .option('--on-conflict <what>', 'with --business-key: fail, or use_existing')
      .option('--label <name=value>', 'a label; may be repeated', gatherPairs)
      .option('--start', 'start it at once')
      .option('--body <json>', 'the whole body, in place of the other flags'),
  ).action(act(terminal, createFlow))

  plainMove(flow, terminal, 'start', 'created → running', {})
  changingFlow(
    flow
      .command('wait <flow>')
      .description('let it wait: for a time, an external event, or a person')
      .option('--for <duration>', 'a timer: so long, as PT1H')
      .option('--at <time>', 'a timer: until this time')
      .option('--topic <topic>', 'an external event of this topic, with --correlation-id')
      .option('--correlation-id <id>', 'the correlation id of that event')
      .option('--signal [name]', 'a person, who sends this signal, or any')
      .option('--timeout <duration>', 'give up after so long')
      .option('--on-timeout <what>', 'resume, fail or cancel')
      .option('--body <json>', 'the whole wait, in place of the other flags'),
  ).action(
    act(terminal, async (session, id: string, options: ChangeOptions & WaitOptions) => {
      const body = await waitBody(options, session.terminal)
      const answer = await sendChange(session, path('flows', id, 'wait'), options, body)
      session.show<Flow>(answer, flowWords)
    }),
  )
  changingFlow(
    flow
      .command('signal <flow> [name]')
      .description('end its wait: for a person by NAME, for an external event by --topic')
      .option('--topic <topic>', 'the topic of the event')
      .option('--correlation-id <id>', 'its correlation id')
      .option('--payload <json>', 'what lands in state.resume_event')
      .option('--id <id>', 'your id of the signal: the same one twice counts once')
      .option('--ttl <duration>', 'how long it is kept when nothing waits for it yet'),
  ).action(act(terminal, signalFlow))

  plainMove(flow, terminal, 'resume', 'waiting → running, by hand', {
    '--state-patch <json>': 'members that replace those of the state',
    '--wait-id <id>': 'only if this is still what it waits for',
  })
  changingFlow(
    flow
      .command('update <flow>')
      .description('change its state, or its current step')
      .option('--patch <json>', 'members that replace those of the state')
      .option('--unset <member>', 'a member to remove; may be repeated', gather)
      .option('--next-step <name>', 'its current step from now on'),
  ).action(
    act(
      terminal,
      async (
        session,
        id: string,
        options: ChangeOptions & { patch?: string; unset?: string[]; nextStep?: string },
      ) => {
        const body = objectText({
          patch: await jsonOf(options.patch, '--patch', session),
          unset: options.unset,
          next_step: options.nextStep,
        })
        const address = path('flows', id, 'state')
        session.show<Flow>(await sendChange(session, address, options, body, 'PATCH'), flowWords)
      },
    ),
  )
  plainMove(flow, terminal, 'finish', 'running → finished', {
    '--final-state <json>': 'members that replace those of the state',
  })
  plainMove(flow, terminal, 'fail', 'running or waiting → failed', {
    '--reason <text>': 'why (required)',
  })
  changingFlow(
    flow
      .command('cancel <flow>')
      .description('cancel it now; with --request when its running step has settled')
      .option('--reason <text>', 'why')
      .option('--request', 'ask for it: whatever runs may end first')
      .option('--grace <duration>', 'with --request: how long a running step may take'),
  ).action(
    act(
      terminal,
      async (
        session,
        id: string,
        options: ChangeOptions & { reason?: string; request?: boolean; grace?: string },
      ) => {
        const { reason, request = false, grace } = options
        const verb = request ? 'request-cancel' : 'cancel'
        const body = objectText({ reason, grace })
        const answer = await sendChange(session, path('flows', id, verb), options, body)
        session.show<Flow>(answer, flowWords)
      },
    ),
  )
  plainMove(flow, terminal, 'reopen', 'failed → running, at a step that failed', {
    '--step-id <id>': 'the step (required)',
  })
}

/** A move whose flags are the members of its body: `--state-patch` is `state_patch`. */
function plainMove(
  flow: Command,
  terminal: Terminal,
  verb: string,
  words: string,
  flags: Readonly<Record<string, string>>,
): void {
  const command = flow.command(`${verb} <flow>`).description(words)
  for (const [flag, meaning] of Object.entries(flags)) command.option(flag, meaning)
  changingFlow(command).action(
    act(terminal, async (session, id: string, options: ChangeOptions & Record<string, unknown>) => {
      const members: Record<string, unknown> = {}
      for (const option of command.options) {
        const given = options[option.attributeName()]
        if (typeof given !== 'string' || !(option.flags in flags)) continue
        const json = option.flags.endsWith('<json>')
        const member = option.name().replaceAll('-', '_')
        members[member] = json ? await jsonOf(given, `--${option.name()}`, session) : given
      }
      const answer = await sendChange(
        session,
        path('flows', id, verb),
        options,
        objectText(members),
      )
      session.show<Flow>(answer, flowWords)
    }),
  )
}

async function createFlow(session: Session, options: CreateOptions): Promise<void> {
  const body =
    options.body === undefined
      ? objectText({
          controller_id: options.controller,
          goal: options.goal,
          owner_session_key: options.owner,
          requester_origin: options.requester,
          current_step: options.step,
          state: await jsonOf(options.state, '--state', session),
          key: options.businessKey,
          on_conflict: options.onConflict,
          labels: options.label,
          start: options.start,
        })
      : (await readJson(options.body, '--body', session.terminal)).text
  session.show<Flow>(await sendChange(session, '/flows', options, body), flowWords)
}

async function signalFlow(
  session: Session,
  id: string,
  name: string | undefined,
  options: ChangeOptions & {
    topic?: string
    correlationId?: string
    payload?: string
    id?: string
    ttl?: string
  },
): Promise<void> {
  const { topic, correlationId } = options
  if ((name === undefined) === (topic === undefined)) {
    throw misuse(
      'a signal has a name, or a topic and a correlation id',
      'A wait for a person is ended by a name, one for an external event by its topic.',
      `taskflow flow explain ${id}`,
    )
  }
  const body = objectText({
    topic,
    correlation_id: correlationId,
    payload: await jsonOf(options.payload, '--payload', session),
    id: options.id,
    ttl: options.ttl,
  })
  const address =
    name === undefined ? path('flows', id, 'resume-external') : path('flows', id, 'signals', name)
  const answer = await sendChange(session, address, options, body)
  session.show<SignalResult>(answer, (result) => [
    ...fields([
      ['outcome', result.outcome],
      ['signal', 'signal_id' in result ? result.signal_id : null],
      ['kept until', 'expires_at' in result ? result.expires_at : null],
    ]),
    ...('flow' in result && result.flow != null ? ['', ...flowWords(result.flow)] : []),
  ])
}

function jsonOf(given: string | undefined, flag: string, session: Session) {
  return given === undefined ? undefined : readJson(given, flag, session.terminal)
}
