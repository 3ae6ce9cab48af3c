// What the tour shows: commands in an order that tells a story, each with what has to come out of it.

import { type Exit, exits } from './errors.ts'

/** What earlier steps have left for later ones. */
export type Notes = Readonly<Record<string, string>>

export interface TourStep {
  title: string
  /** Why it is done, for who sees it for the first time. */
  words: string
  /** The words after `taskflow`. */
  command: (notes: Notes) => readonly string[]
  exit?: Exit
  /** Found in what it prints, else the tour has failed. */
  shows: RegExp
  /** What to note: the first group of what is found. */
  note?: Readonly<Record<string, RegExp>>
}

const topic = 'payment.settled'

/** The steps. `order` is a text that no other tour of the same service uses. */
export function tourSteps(order: string): readonly TourStep[] {
  const flow = (notes: Notes) => notes['flow'] ?? ''
  return [
    {
      title: 'Is the service there?',
      words: 'Everything is a request over HTTP; a command is one request.',
      command: () => ['engine', 'show'],
      shows: /^version +\S/m,
    },
    {
      title: 'Create a flow',
      words:
        'A flow is the durable record of a piece of work. It has a state, which is any JSON object.',
      command: () => [
        ...['flow', 'create', '--controller', 'tour', '--goal', `ship ${order}`],
        ...['--owner', 'tour', '--requester', 'tour', '--state', '{"items":3}'],
      ],
      shows: /^status +created$/m,
      note: { flow: /^id +(\S+)$/m },
    },
    {
      title: 'Start it',
      words: 'Every change adds one to the revision, and one event to the audit log.',
      command: (notes) => ['flow', 'start', flow(notes)],
      shows: /^status +running$/m,
    },
    {
      title: 'Let it wait for a time',
      words: 'A second here, a month elsewhere: it survives every restart.',
      command: (notes) => ['flow', 'wait', flow(notes), '--for', 'PT1S'],
      shows: /^status +waiting$/m,
    },
    {
      title: 'See it go on by itself',
      words: 'This asks for the flow, and the service answers when it has changed.',
      command: (notes) => ['flow', 'show', flow(notes), '--wait', 'PT30S'],
      shows: /^status +running$/m,
    },
    {
      title: 'Let it wait for an event from outside',
      words: 'Whoever learns of the payment knows the order, and not the flow.',
      command: (notes) => [
        ...['flow', 'wait', flow(notes), '--topic', topic, '--correlation-id', order],
      ],
      shows: /^status +waiting$/m,
    },
    {
      title: 'Send a signal with a slip of the pen',
      words: 'Nobody waits for this topic. The signal is kept, since its flow may still come.',
      command: () => [
        ...['signal', 'send', '--topic', 'payment.setled', '--correlation-id', order],
        ...['--ttl', 'PT1M'],
      ],
      shows: /^outcome +buffered$/m,
    },
    {
      title: 'Why does it stand still?',
      words:
        'The answer names what it waits for, what would move it, and the signal that almost did.',
      command: (notes) => ['flow', 'explain', flow(notes)],
      shows: /almost matched/,
    },
    {
      title: 'Send the right one',
      words: 'Its payload lands in the state of the flow, in the same transaction that resumes it.',
      command: () => [
        ...['signal', 'send', '--topic', topic, '--correlation-id', order],
        ...['--payload', '{"amount":4200}'],
      ],
      shows: /^outcome +delivered$/m,
    },
    {
      title: 'Hand out work',
      words:
        'A step is run by a worker in any language. Every operation of the API can be called by its name.',
      command: (notes) => [
        ...['api', 'enqueueStep', '-p', `flow_id=${flow(notes)}`],
        ...['-f', 'task=tour-pack', '-f', 'run_id=pack-1', '-f', `input={"order":"${order}"}`],
      ],
      shows: /"status":"pending"/,
      note: { step: /"id":"([^"]+)"/ },
    },
    {
      title: 'Take it, as a worker does',
      words: 'The lease token proves later that it is still ours to report on.',
      command: () => [
        ...['api', 'claimSteps', '-f', 'worker_id=tour', '-f', 'tasks=["tour-pack"]'],
        ...['-f', 'controllers=["tour"]', '-f', 'wait=PT5S', '--pick', '.items[0].lease_token'],
      ],
      shows: /^\S+$/m,
      note: { token: /^(\S+)$/m },
    },
    {
      title: 'Report what came of it',
      words: 'The outcome, the change of the flow and what follows commit together.',
      command: (notes) => [
        ...['api', 'reportOutcome', '-p', `step_id=${notes['step']}`],
        ...['-f', `lease_token=${notes['token']}`],
        ...['-f', 'outcome={"kind":"complete","result":{"parcel":"P-1001"}}'],
      ],
      shows: /"status":"succeeded"/,
    },
    {
      title: 'Look at its steps',
      words: 'Those that died are listed as failed, and can be tried again: step retry.',
      command: (notes) => ['step', 'list', '--flow', flow(notes)],
      shows: /succeeded/,
    },
    {
      title: 'Make a mistake',
      words: 'It runs, so there is nothing to resume. An error says what, why, and what to do.',
      command: (notes) => ['flow', 'resume', flow(notes)],
      exit: exits.conflict,
      shows: /^ *try: taskflow flow /m,
    },
    {
      title: 'Cancel it',
      words: 'What has ended stays as it ended.',
      command: (notes) => ['flow', 'cancel', flow(notes), '--reason', 'the tour is over'],
      shows: /^status +cancelled$/m,
    },
    {
      title: 'Read what happened',
      words: 'One event for each revision, without a gap; no request changes or deletes one.',
      command: (notes) => ['flow', 'events', flow(notes)],
      shows: /^0 +created[\s\S]*cancelled/m,
    },
  ]
}
