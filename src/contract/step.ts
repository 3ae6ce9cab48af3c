// The wire of steps: what is listed, the observations that report mirrored ones, and what operators ask for.

import { type Static, type TObject, Type } from 'typebox'
import {
  attemptOutcomes,
  deadPolicies,
  defaultPriority,
  stepRuntimes,
  stepStatuses,
} from '../domain/step.ts'
import {
  answerBody,
  count,
  growingTexts,
  id,
  JsonValueSchema,
  name,
  nullable,
  nullableText,
  nullableTimestamp,
  oneOfTexts,
  page,
  ref,
  requestBody,
  text,
  timestamp,
} from './kit.ts'

const exampleTime = '2026-04-23T14:10:00.000Z'

export const StepErrorSchema = answerBody(
  'StepError',
  {
    message: Type.String({ description: 'What went wrong, as it was reported.' }),
    code: Type.Optional(
      Type.String({ description: 'What kind of error, for programs: what `non_retryable` names.' }),
    ),
    details: Type.Optional(ref(JsonValueSchema)),
    retryable: Type.Boolean({ description: 'Whether another attempt might help.' }),
    at: timestamp('When.'),
  },
  {
    description: 'Why an attempt failed.',
    example: {
      message: 'the mail server answered 503',
      code: 'mail_down',
      retryable: true,
      at: exampleTime,
    },
  },
)
export type StepFailure = Static<typeof StepErrorSchema>

export const stepMembers = {
  id: id('Made by the service.'),
  flow_id: id('The flow that the step belongs to.'),
  run_id: Type.String({ description: 'The caller’s name of this run: unique in its flow.' }),
  runtime: oneOfTexts(
    stepRuntimes,
    '`managed`: the service gives it to workers. `mirrored`: it runs elsewhere and is observed.',
  ),
  task: Type.String({ description: 'What is done.' }),
  status: oneOfTexts(
    stepStatuses,
    'Where the step is in its life. A managed step that is `failed` is dead: no attempt follows.',
  ),
  input: ref(JsonValueSchema),
  result: ref(JsonValueSchema),
  error: nullable(StepErrorSchema),
  child_session_key: nullableText({
    description: 'The session that does the work, if it has one.',
  }),
  attempt: count('How often it was tried, the present attempt included.'),
  max_attempts: count('How often it may be tried.'),
  priority: count('Lower runs first.'),
  run_at: nullableTimestamp('Not to be run before.'),
  lease_until: nullableTimestamp('Until when its worker has it.'),
  worker_id: nullableText({ description: 'The worker that has it, or had it last.' }),
  observed_at: nullableTimestamp('When the newest accepted observation was made.'),
  controller_id: Type.String({ description: 'The controller of its flow.' }),
  progress: ref(JsonValueSchema),
  on_dead: growingTexts(
    deadPolicies,
    'What becomes of the flow when the step dies: it fails, or stays for somebody to decide.',
  ),
  cancel_requested: Type.Boolean({
    description: 'True: its flow is to end, or has ended. What the step reports does not count.',
  }),
  created_at: timestamp('When the step became known.'),
  updated_at: timestamp('When it last changed.'),
}

export const exampleStep: Static<TObject<typeof stepMembers>> = {
  id: '019dbaf3-0c22-7aa1-9d37-4b1e7c8f2a63',
  flow_id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15',
  run_id: 'classify-1',
  runtime: 'managed',
  task: 'classify',
  status: 'succeeded',
  input: { messages: 10 },
  result: { spam: 3 },
  error: null,
  child_session_key: null,
  attempt: 1,
  max_attempts: 3,
  priority: defaultPriority,
  run_at: '2026-04-23T14:05:00.000Z',
  lease_until: null,
  worker_id: 'worker-7',
  observed_at: null,
  controller_id: 'kate/inbox',
  progress: { done: 10 },
  on_dead: 'fail',
  cancel_requested: false,
  created_at: '2026-04-23T14:05:00.000Z',
  updated_at: exampleTime,
}
const exampleMirrored: typeof exampleStep = {
  ...exampleStep,
  runtime: 'mirrored',
  input: null,
  child_session_key: 'agent:kate:run:77',
  attempt: 0,
  max_attempts: 1,
  run_at: null,
  worker_id: null,
  observed_at: exampleTime,
  progress: null,
}

export const StepSchema = answerBody('Step', stepMembers, {
  description:
    'One piece of work of a flow. `error` is that of the newest failed attempt, `progress` what its worker sent last.',
  example: exampleStep,
})
export type Step = Static<typeof StepSchema>

export const StepPageSchema = page('StepPage', StepSchema, {
  description: 'A page of steps.',
  example: exampleStep,
})

const StepAttemptSchema = answerBody(
  'StepAttempt',
  {
    attempt: count('The number of the attempt.'),
    worker_id: nullableText({ description: 'Who ran it.' }),
    started_at: timestamp('When it was claimed.'),
    ended_at: timestamp('When it ended.'),
    outcome: growingTexts(attemptOutcomes, 'How it ended.'),
    error: nullable(StepErrorSchema),
  },
  {
    description: 'One attempt of a step that has ended.',
    example: {
      attempt: 1,
      worker_id: 'worker-7',
      started_at: '2026-04-23T14:05:00.000Z',
      ended_at: exampleTime,
      outcome: 'lease_expired',
      error: {
        message: 'the lease ended without a word of the worker',
        code: 'lease_expired',
        retryable: true,
        at: exampleTime,
      },
    },
  },
)
export type StepAttempt = Static<typeof StepAttemptSchema>

export const StepDetailSchema = answerBody(
  'StepDetail',
  {
    ...stepMembers,
    attempts: Type.Array(ref(StepAttemptSchema), {
      description: 'Its attempts that have ended, the oldest first.',
    }),
  },
  {
    description: 'A step with its attempts.',
    example: {
      ...exampleStep,
      attempts: [
        {
          attempt: 1,
          worker_id: 'worker-7',
          started_at: '2026-04-23T14:05:00.000Z',
          ended_at: exampleTime,
          outcome: 'succeeded',
          error: null,
        },
      ],
    },
  },
)
export type StepDetail = Static<typeof StepDetailSchema>

export const ObserveStepSchema = requestBody(
  'ObserveStep',
  {
    task: name('What is done.', ['classify']),
    status: oneOfTexts(stepStatuses, 'Where the step is.'),
    child_session_key: Type.Optional(name('The session that does the work.')),
    result: Type.Optional(ref(JsonValueSchema)),
    observed_at: Type.Optional(
      timestamp('When it was seen to be so: the present when absent, five minutes ahead at most.'),
    ),
  },
  {
    description: 'A report on work that runs elsewhere. Absent members keep their value.',
    example: {
      task: 'classify',
      status: 'succeeded',
      result: { spam: 3 },
      observed_at: exampleTime,
    },
  },
)

export const ObservedStepSchema = answerBody(
  'ObservedStep',
  {
    ...stepMembers,
    stale: Type.Boolean({
      description: 'True: a newer observation was there already, and this one changed nothing.',
    }),
  },
  {
    description: 'The step as it is after an observation.',
    example: { ...exampleMirrored, stale: false },
  },
)

export const SkipStepSchema = requestBody(
  'SkipStep',
  { reason: Type.Optional(text('Why, for the audit log.')) },
  { description: 'Why the step is skipped.', example: { reason: 'the mail was answered by hand' } },
)

export const SetStepResultSchema = requestBody(
  'SetStepResult',
  { result: ref(JsonValueSchema) },
  { description: 'The result that the step did not get to.', example: { result: { spam: 3 } } },
)

export const ReopenFlowSchema = requestBody(
  'ReopenFlow',
  { step_id: id('The dead or cancelled step with which the flow goes on.') },
  { description: 'Where a failed flow goes on.', example: { step_id: exampleStep.id } },
)

export const stepComponents = [
  StepSchema,
  StepPageSchema,
  StepErrorSchema,
  StepDetailSchema,
  StepAttemptSchema,
  ObserveStepSchema,
  ObservedStepSchema,
  SkipStepSchema,
  SetStepResultSchema,
  ReopenFlowSchema,
]
