// The wire of waits: what is asked for, and what stands on a flow.

import { type Static, Type } from 'typebox'
import { answerBody, duration, id, name, requestBody, tag, taggedUnion, timestamp } from './kit.ts'

const exampleId = '019dbaf2-6d40-7c3a-9a51-8f0f6f1c2e07'
const exampleTime = '2026-04-23T15:00:00.000Z'

const waitMembers = {
  id: id('The id of this wait. Whatever ends it names this id.'),
  since: timestamp('When the flow began to wait.'),
}

const TimerWait = answerBody(
  'TimerWait',
  { kind: tag('timer'), ...waitMembers, at: timestamp('When the timer is due.') },
  {
    description: 'Waits for a point in time.',
    example: { kind: 'timer', id: exampleId, since: '2026-04-23T14:00:00.000Z', at: exampleTime },
  },
)

const ExternalEventWait = answerBody(
  'ExternalEventWait',
  {
    kind: tag('external_event'),
    ...waitMembers,
    topic: name('What happens.'),
    correlation_id: name('To what it happens.'),
  },
  {
    description: 'Waits for a signal with this topic and correlation id.',
    example: {
      kind: 'external_event',
      id: exampleId,
      since: exampleTime,
      topic: 'payment.settled',
      correlation_id: 'order-42',
    },
  },
)

const ManualWait = answerBody(
  'ManualWait',
  {
    kind: tag('manual'),
    ...waitMembers,
    signal: Type.Optional(
      name('The name of the signal that ends it. Absent: a signal of any name does.'),
    ),
  },
  {
    description: 'Waits until somebody resumes the flow, or sends the named signal.',
    example: { kind: 'manual', id: exampleId, since: exampleTime, signal: 'approved' },
  },
)

/** A wait as it stands on a flow. */
export const WaitSchema = taggedUnion('Wait', 'kind', [TimerWait, ExternalEventWait, ManualWait], {
  description: 'What a flow waits for. More kinds may be added.',
  example: { kind: 'timer', id: exampleId, since: '2026-04-23T14:00:00.000Z', at: exampleTime },
})

const TimerWaitRequest = requestBody(
  'TimerWaitRequest',
  {
    kind: tag('timer'),
    at: Type.Optional(timestamp('When the flow goes on. A time in the past is due at once.')),
    after: Type.Optional(duration('In how long the flow goes on, instead of `at`.')),
  },
  {
    description: 'Wait for a point in time: exactly one of `at` and `after`.',
    example: { kind: 'timer', after: 'PT1H' },
  },
)

const ExternalEventWaitRequest = requestBody(
  'ExternalEventWaitRequest',
  {
    kind: tag('external_event'),
    topic: name('What happens.', ['payment.settled']),
    correlation_id: name('To what it happens.', ['order-42']),
  },
  {
    description: 'Wait for a signal with this topic and correlation id.',
    example: { kind: 'external_event', topic: 'payment.settled', correlation_id: 'order-42' },
  },
)

const ManualWaitRequest = requestBody(
  'ManualWaitRequest',
  {
    kind: tag('manual'),
    signal: Type.Optional(
      name('The name of the signal that ends it. A signal of any name when absent.', ['approved']),
    ),
  },
  {
    description: 'Wait until somebody resumes the flow, or sends the named signal.',
    example: { kind: 'manual', signal: 'approved' },
  },
)

/** A wait as it is asked for. */
export const WaitRequestSchema = taggedUnion(
  'WaitRequest',
  'kind',
  [TimerWaitRequest, ExternalEventWaitRequest, ManualWaitRequest],
  { description: 'What a flow shall wait for.', example: { kind: 'timer', after: 'PT1H' } },
)
export type WaitRequest = Static<typeof WaitRequestSchema>

export const MoveTimerSchema = requestBody(
  'MoveTimer',
  { at: timestamp('When the timer is due instead. A time in the past is due at once.') },
  { description: 'A new time for a pending timer.', example: { at: exampleTime } },
)

export const waitComponents = [
  TimerWait,
  ExternalEventWait,
  ManualWait,
  WaitSchema,
  TimerWaitRequest,
  ExternalEventWaitRequest,
  ManualWaitRequest,
  WaitRequestSchema,
  MoveTimerSchema,
]
