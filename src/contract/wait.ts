// The wire of waits: what is asked for, and what stands on a flow.

import { type Static, Type } from 'typebox'
import { maxBranches, timeoutActions } from '../domain/wait.ts'
import {
  answerBody,
  duration,
  growingTexts,
  id,
  JsonObjectSchema,
  name,
  nullableTimestamp,
  oneOfTexts,
  ref,
  requestBody,
  tag,
  taggedUnion,
  timestamp,
} from './kit.ts'

const exampleId = '019dbaf2-6d40-7c3a-9a51-8f0f6f1c2e07'
const exampleTime = '2026-04-23T15:00:00.000Z'
const exampleBranch = {
  kind: 'external_event',
  topic: 'payment.settled',
  correlation_id: 'order-42',
} as const

// What one branch of a wait consists of, as it stands.
const timerMembers = { kind: tag('timer'), at: timestamp('When the timer is due.') }
const externalEventMembers = {
  kind: tag('external_event'),
  topic: name('What happens.'),
  correlation_id: name('To what it happens.'),
}
const manualMembers = {
  kind: tag('manual'),
  signal: Type.Optional(
    name('The name of the signal that ends it. Absent: a signal of any name does.'),
  ),
}

const TimerBranch = answerBody('TimerBranch', timerMembers, {
  description: 'A point in time, as one of several things to wait for.',
  example: { kind: 'timer', at: exampleTime },
})
const ExternalEventBranch = answerBody('ExternalEventBranch', externalEventMembers, {
  description: 'A signal by topic and correlation id, as one of several things to wait for.',
  example: exampleBranch,
})
const ManualBranch = answerBody('ManualBranch', manualMembers, {
  description: 'A named signal, as one of several things to wait for.',
  example: { kind: 'manual', signal: 'approved' },
})
export const WaitBranchSchema = taggedUnion(
  'WaitBranch',
  'kind',
  [TimerBranch, ExternalEventBranch, ManualBranch],
  { description: 'One of several things to wait for.', example: exampleBranch },
)

const NextStep = answerBody(
  'NextStep',
  {
    run_id: Type.String({ description: 'The name of its run.' }),
    task: Type.String({ description: 'What is to be done.' }),
  },
  {
    description: 'The step with which a flow goes on when its wait is over.',
    example: { run_id: 'reply-1', task: 'reply' },
  },
)

const waitMembers = {
  id: id('The id of this wait. Whatever ends it names this id.'),
  since: timestamp('When the flow began to wait.'),
  timeout_at: Type.Optional(timestamp('When the wait is over whatever happens.')),
  on_timeout: Type.Optional(
    growingTexts(timeoutActions, 'What becomes of the flow when the wait runs into its deadline.'),
  ),
  link: Type.Optional(
    Type.String({
      description:
        'A link that ends this wait, shown once: in the answer to the request that asked for it.',
    }),
  ),
  link_expires_at: Type.Optional(
    nullableTimestamp(
      'There is a link that ends this wait, until then; null: as long as the wait lasts.',
    ),
  ),
  next: Type.Optional(ref(NextStep)),
}

const TimerWait = answerBody(
  'TimerWait',
  { ...waitMembers, ...timerMembers },
  {
    description: 'Waits for a point in time.',
    example: { kind: 'timer', id: exampleId, since: '2026-04-23T14:00:00.000Z', at: exampleTime },
  },
)

const ExternalEventWait = answerBody(
  'ExternalEventWait',
  { ...waitMembers, ...externalEventMembers },
  {
    description: 'Waits for a signal with this topic and correlation id.',
    example: { ...exampleBranch, id: exampleId, since: exampleTime },
  },
)

const ManualWait = answerBody(
  'ManualWait',
  { ...waitMembers, ...manualMembers },
  {
    description: 'Waits until somebody resumes the flow, or sends the named signal.',
    example: { kind: 'manual', id: exampleId, since: exampleTime, signal: 'approved' },
  },
)

const branches = Type.Array(ref(WaitBranchSchema), { minItems: 1, maxItems: maxBranches })

const AnyWait = answerBody(
  'AnyWait',
  { ...waitMembers, kind: tag('any'), of: branches },
  {
    description: 'Waits for the first of several things.',
    example: {
      kind: 'any',
      id: exampleId,
      since: exampleTime,
      of: [exampleBranch, { kind: 'timer', at: exampleTime }],
    },
  },
)

const AllWait = answerBody(
  'AllWait',
  {
    ...waitMembers,
    kind: tag('all'),
    of: branches,
    satisfied: Type.Array(Type.Boolean(), {
      description: 'Which branches have had what they wait for, in the order of `of`.',
    }),
  },
  {
    description:
      'Waits for all of several things. Their payloads gather in `state.resume_events`, in the order of `of`.',
    example: {
      kind: 'all',
      id: exampleId,
      since: exampleTime,
      of: [exampleBranch, { kind: 'manual', signal: 'approved' }],
      satisfied: [true, false],
    },
  },
)

/** A wait as it stands on a flow. */
export const WaitSchema = taggedUnion(
  'Wait',
  'kind',
  [TimerWait, ExternalEventWait, ManualWait, AnyWait, AllWait],
  {
    description: 'What a flow waits for. More kinds may be added.',
    example: { kind: 'timer', id: exampleId, since: '2026-04-23T14:00:00.000Z', at: exampleTime },
  },
)

// What one branch of a wait consists of, as it is asked for.
const timerRequest = {
  kind: tag('timer'),
  at: Type.Optional(timestamp('When the flow goes on. A time in the past is due at once.')),
  after: Type.Optional(duration('In how long the flow goes on, instead of `at`.')),
}
const externalEventRequest = {
  kind: tag('external_event'),
  topic: name('What happens.', ['payment.settled']),
  correlation_id: name('To what it happens.', ['order-42']),
}
const manualRequest = {
  kind: tag('manual'),
  signal: Type.Optional(
    name('The name of the signal that ends it. A signal of any name when absent.', ['approved']),
  ),
}

const TimerBranchRequest = requestBody('TimerBranchRequest', timerRequest, {
  description: 'A point in time: exactly one of `at` and `after`.',
  example: { kind: 'timer', after: 'PT1H' },
})
const ExternalEventBranchRequest = requestBody('ExternalEventBranchRequest', externalEventRequest, {
  description: 'A signal with this topic and correlation id.',
  example: exampleBranch,
})
const ManualBranchRequest = requestBody('ManualBranchRequest', manualRequest, {
  description: 'A named signal.',
  example: { kind: 'manual', signal: 'approved' },
})
const WaitBranchRequestSchema = taggedUnion(
  'WaitBranchRequest',
  'kind',
  [TimerBranchRequest, ExternalEventBranchRequest, ManualBranchRequest],
  { description: 'One of several things to wait for.', example: exampleBranch },
)
export type WaitBranchRequest = Static<typeof WaitBranchRequestSchema>

const LinkRequestSchema = requestBody(
  'LinkRequest',
  {
    ttl: Type.Optional(duration('How long the link works; as long as the wait lasts when absent.')),
    schema: Type.Optional(ref(JsonObjectSchema)),
  },
  {
    description:
      'A link that ends the wait. With `schema`, a JSON Schema of simple keywords, payloads must fit it and the page of the link has a field for each property.',
    example: {
      ttl: 'P2D',
      schema: {
        type: 'object',
        properties: { approved: { type: 'boolean', title: 'Approve the refund?' } },
        required: ['approved'],
      },
    },
  },
)
export type LinkRequest = Static<typeof LinkRequestSchema>

const anyWaitRequest = {
  timeout: Type.Optional(
    duration('How long to wait at most. Then `on_timeout` says what becomes of the flow.'),
  ),
  timeout_at: Type.Optional(timestamp('Until when to wait at most, instead of `timeout`.')),
  on_timeout: Type.Optional(
    oneOfTexts(
      timeoutActions,
      'Whether the flow goes on, fails or is cancelled when the time is over; `resume` when absent.',
    ),
  ),
  link: Type.Optional(
    Type.Unsafe<boolean | LinkRequest>({
      description:
        'True, or an object with settings: the answer’s `wait.link` is a link, shown once, by which anybody who has it ends this wait.',
      oneOf: [{ type: 'boolean' }, Type.Ref(LinkRequestSchema.$id)],
    }),
  ),
}

const TimerWaitRequest = requestBody(
  'TimerWaitRequest',
  { ...timerRequest, ...anyWaitRequest },
  {
    description: 'Wait for a point in time: exactly one of `at` and `after`.',
    example: { kind: 'timer', after: 'PT1H' },
  },
)

const ExternalEventWaitRequest = requestBody(
  'ExternalEventWaitRequest',
  { ...externalEventRequest, ...anyWaitRequest },
  {
    description: 'Wait for a signal with this topic and correlation id.',
    example: { ...exampleBranch, timeout: 'P2D', on_timeout: 'fail' },
  },
)

const ManualWaitRequest = requestBody(
  'ManualWaitRequest',
  { ...manualRequest, ...anyWaitRequest },
  {
    description: 'Wait until somebody resumes the flow, or sends the named signal.',
    example: { kind: 'manual', signal: 'approved' },
  },
)

const branchRequests = Type.Array(ref(WaitBranchRequestSchema), {
  minItems: 1,
  maxItems: maxBranches,
  description: `What to wait for: 1 to ${maxBranches} branches.`,
})

const AnyWaitRequest = requestBody(
  'AnyWaitRequest',
  { kind: tag('any'), of: branchRequests, ...anyWaitRequest },
  {
    description: 'Wait for the first of several things.',
    example: { kind: 'any', of: [exampleBranch, { kind: 'timer', after: 'PT1H' }] },
  },
)

const AllWaitRequest = requestBody(
  'AllWaitRequest',
  { kind: tag('all'), of: branchRequests, ...anyWaitRequest },
  {
    description: 'Wait for all of several things.',
    example: { kind: 'all', of: [exampleBranch, { kind: 'manual', signal: 'approved' }] },
  },
)

/** A wait as it is asked for. */
export const WaitRequestSchema = taggedUnion(
  'WaitRequest',
  'kind',
  [TimerWaitRequest, ExternalEventWaitRequest, ManualWaitRequest, AnyWaitRequest, AllWaitRequest],
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
  AnyWait,
  AllWait,
  WaitSchema,
  NextStep,
  TimerBranch,
  ExternalEventBranch,
  ManualBranch,
  WaitBranchSchema,
  TimerWaitRequest,
  ExternalEventWaitRequest,
  ManualWaitRequest,
  AnyWaitRequest,
  AllWaitRequest,
  WaitRequestSchema,
  TimerBranchRequest,
  ExternalEventBranchRequest,
  ManualBranchRequest,
  WaitBranchRequestSchema,
  LinkRequestSchema,
  MoveTimerSchema,
]
