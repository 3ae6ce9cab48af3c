// The wire of outcomes: what a worker reports when it is done with a step.

import { type Static, Type } from 'typebox'
import { exampleFlow, FlowSchema } from './flow.ts'
import {
  answerBody,
  duration,
  id,
  JsonObjectSchema,
  JsonValueSchema,
  name,
  ref,
  requestBody,
  tag,
  taggedUnion,
  text,
} from './kit.ts'
import { newStepMembers } from './new-step.ts'
import { ItemProblemSchema } from './problem.ts'
import { exampleStep, StepSchema } from './step.ts'
import { claimedItems, claimMembers, exampleToken, tokenMember } from './step-work.ts'
import { WaitRequestSchema } from './wait.ts'

const patching = { state_patch: Type.Optional(ref(JsonObjectSchema)) }
const done = { ...patching, result: Type.Optional(ref(JsonValueSchema)) }

const FollowingStep = requestBody('FollowingStep', newStepMembers, {
  description: 'The step with which the flow goes on when its wait is over.',
  example: { task: 'reply' },
})
export type FollowingStep = Static<typeof FollowingStep>

const exampleContinue = { kind: 'continue', task: 'reply', input: { to: 'ada' } } as const

const ContinueOutcome = requestBody(
  'ContinueOutcome',
  { kind: tag('continue'), ...newStepMembers, ...done },
  { description: 'Done: the flow goes on with another step.', example: exampleContinue },
)
const WaitOutcome = requestBody(
  'WaitOutcome',
  {
    kind: tag('wait'),
    wait: ref(WaitRequestSchema),
    then: Type.Optional(ref(FollowingStep)),
    ...done,
  },
  {
    description:
      'Done: the flow waits. With `then` it goes on with that step, else its controller decides.',
    example: {
      kind: 'wait',
      wait: { kind: 'manual', signal: 'approved' },
      then: { task: 'reply' },
    },
  },
)
const SucceedOutcome = requestBody(
  'SucceedOutcome',
  { kind: tag('succeed'), ...done },
  { description: 'Done, and with it the flow: it is finished.', example: { kind: 'succeed' } },
)
const FailOutcome = requestBody(
  'FailOutcome',
  {
    kind: tag('fail'),
    reason: text('Why the flow has failed. Kept in `state.failure`.'),
    ...patching,
  },
  {
    description: 'The flow has failed. For an attempt that did not work out, send `error`.',
    example: { kind: 'fail', reason: 'the mailbox does not exist any more' },
  },
)
const CancelOutcome = requestBody(
  'CancelOutcome',
  { kind: tag('cancel'), reason: Type.Optional(text('Why, for the audit log.')), ...patching },
  { description: 'The flow is cancelled.', example: { kind: 'cancel', reason: 'withdrawn' } },
)
const CompleteOutcome = requestBody(
  'CompleteOutcome',
  { kind: tag('complete'), ...done },
  {
    description: 'Done. The flow goes on by other steps, or its controller decides.',
    example: { kind: 'complete', result: { spam: 3 } },
  },
)
const ErrorOutcome = requestBody(
  'ErrorOutcome',
  {
    kind: tag('error'),
    message: Type.String({
      minLength: 1,
      maxLength: 65_536,
      description: 'What went wrong. What is longer than 4096 characters is cut.',
    }),
    code: Type.Optional(name('What kind of error: what `non_retryable` names.', ['mail_down'])),
    details: Type.Optional(ref(JsonValueSchema)),
    retryable: Type.Optional(
      Type.Boolean({ description: 'Whether another attempt might help; true when absent.' }),
    ),
    retry_after: Type.Optional(
      duration(
        'The pause before the next attempt, instead of that of the retry policy. More than an hour counts as an hour.',
      ),
    ),
    ...patching,
  },
  {
    description:
      'The attempt failed. The step is tried again if it may be; else it is dead, and `on_dead` says what becomes of its flow.',
    example: { kind: 'error', message: 'the mail server answered 503', code: 'mail_down' },
  },
)

export const OutcomeSchema = taggedUnion(
  'Outcome',
  'kind',
  [
    ContinueOutcome,
    WaitOutcome,
    SucceedOutcome,
    FailOutcome,
    CancelOutcome,
    CompleteOutcome,
    ErrorOutcome,
  ],
  {
    description:
      'What a worker reports. Members of `state_patch` replace those of the state of the flow.',
    example: exampleContinue,
  },
)
export type Outcome = Static<typeof OutcomeSchema>

const ClaimNextSchema = requestBody(
  'ClaimNext',
  {
    worker_id: Type.Optional(name('Who claims; the same as before when absent.')),
    ...claimMembers,
  },
  {
    description:
      'Which steps the worker wants next. Without `controllers` and `tasks`: those of the same controller and the same task; without `lease`: as long as before.',
    example: { max: 10, wait: 'PT20S' },
  },
)
export type ClaimNext = Static<typeof ClaimNextSchema>

const claimNextMember = {
  claim_next: Type.Optional(
    Type.Unsafe<boolean | ClaimNext>({
      description:
        'True, or an object with settings: the answer’s `items` are the next steps, claimed by the same request.',
      oneOf: [{ type: 'boolean' }, Type.Ref(ClaimNextSchema.$id)],
    }),
  ),
}

export const ReportOutcomeSchema = requestBody(
  'ReportOutcome',
  { ...tokenMember, outcome: ref(OutcomeSchema), ...claimNextMember },
  {
    description: 'What became of a step.',
    example: {
      lease_token: exampleToken,
      outcome: { kind: 'complete', result: { spam: 3 } },
      claim_next: true,
    },
  },
)

export const SettledStepSchema = answerBody(
  'SettledStep',
  {
    step: ref(StepSchema),
    flow: ref(FlowSchema),
    discarded: Type.Boolean({
      description: 'True: its flow has ended or is to end, so that the outcome did not count.',
    }),
    repeated: Type.Boolean({
      description: 'True: the very same report was accepted before, and this one changed nothing.',
    }),
    items: claimedItems,
  },
  {
    description: 'The step and its flow after the report, and what was claimed next.',
    example: { step: exampleStep, flow: exampleFlow, discarded: false, repeated: false, items: [] },
  },
)

const OutcomeItemSchema = requestBody(
  'OutcomeItem',
  { step_id: id('The step.'), ...tokenMember, outcome: ref(OutcomeSchema) },
  {
    description: 'What became of one step.',
    example: {
      step_id: exampleStep.id,
      lease_token: exampleToken,
      outcome: { kind: 'complete' },
    },
  },
)

export const ReportOutcomesSchema = requestBody(
  'ReportOutcomes',
  {
    items: Type.Array(ref(OutcomeItemSchema), {
      minItems: 1,
      maxItems: 100,
      description: '1 to 100 reports.',
    }),
    ...claimNextMember,
  },
  {
    description: 'What became of several steps. Each report counts for itself.',
    example: {
      items: [
        { step_id: exampleStep.id, lease_token: exampleToken, outcome: { kind: 'complete' } },
      ],
    },
  },
)

const OutcomeResultSchema = answerBody(
  'OutcomeResult',
  {
    step_id: id('The step.'),
    ok: Type.Boolean({ description: 'Whether the report was accepted.' }),
    discarded: Type.Optional(
      Type.Boolean({ description: 'Accepted, but without effect: its flow has ended or is to.' }),
    ),
    repeated: Type.Optional(Type.Boolean({ description: 'It was accepted before.' })),
    problem: Type.Optional(ref(ItemProblemSchema)),
  },
  {
    description:
      'What became of one report: with `discarded` and `repeated` when it was accepted, with `problem` when it was not.',
    example: { step_id: exampleStep.id, ok: true, discarded: false, repeated: false },
  },
)
export type OutcomeResult = Static<typeof OutcomeResultSchema>

export const ReportedOutcomesSchema = answerBody(
  'ReportedOutcomes',
  {
    results: Type.Array(ref(OutcomeResultSchema), {
      description: 'One for each report, in their order.',
    }),
    items: claimedItems,
  },
  {
    description: 'What became of the reports, and what was claimed next.',
    example: {
      results: [{ step_id: exampleStep.id, ok: true, discarded: false, repeated: false }],
      items: [],
    },
  },
)

export const outcomeComponents = [
  OutcomeSchema,
  ContinueOutcome,
  WaitOutcome,
  SucceedOutcome,
  FailOutcome,
  CancelOutcome,
  CompleteOutcome,
  ErrorOutcome,
  FollowingStep,
  ReportOutcomeSchema,
  ClaimNextSchema,
  SettledStepSchema,
  ReportOutcomesSchema,
  OutcomeItemSchema,
  ReportedOutcomesSchema,
  OutcomeResultSchema,
]
