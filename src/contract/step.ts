// The wire of steps: what is listed, and the observations that report mirrored ones.

import { type Static, type TObject, Type } from 'typebox'
import { stepRuntimes, stepStatuses } from '../domain/step.ts'
import {
  answerBody,
  count,
  id,
  JsonValueSchema,
  name,
  nullableText,
  nullableTimestamp,
  oneOfTexts,
  page,
  ref,
  requestBody,
  timestamp,
} from './kit.ts'

const stepMembers = {
  id: id('Made by the service.'),
  flow_id: id('The flow that the step belongs to.'),
  run_id: Type.String({ description: 'The caller’s name of this run: unique in its flow.' }),
  runtime: oneOfTexts(
    stepRuntimes,
    '`managed`: the service runs it. `mirrored`: it runs elsewhere and is observed.',
  ),
  task: Type.String({ description: 'What is done.' }),
  status: oneOfTexts(stepStatuses, 'Where the step is in its life.'),
  input: ref(JsonValueSchema),
  result: ref(JsonValueSchema),
  error: ref(JsonValueSchema),
  child_session_key: nullableText({
    description: 'The session that does the work, if it has one.',
  }),
  attempt: count('How often it was tried.'),
  max_attempts: count('How often it may be tried.'),
  priority: count('Lower runs first.'),
  run_at: nullableTimestamp('Not to be run before.'),
  lease_until: nullableTimestamp('Until when its worker has it.'),
  worker_id: nullableText({ description: 'The worker that has it.' }),
  observed_at: nullableTimestamp('When the newest accepted observation was made.'),
  created_at: timestamp('When the step became known.'),
  updated_at: timestamp('When it last changed.'),
}

const exampleStep: Static<TObject<typeof stepMembers>> = {
  id: '019dbaf3-0c22-7aa1-9d37-4b1e7c8f2a63',
  flow_id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15',
  run_id: 'classify-1',
  runtime: 'mirrored',
  task: 'classify',
  status: 'succeeded',
  input: null,
  result: { spam: 3 },
  error: null,
  child_session_key: 'agent:kate:run:77',
  attempt: 0,
  max_attempts: 1,
  priority: 1000,
  run_at: null,
  lease_until: null,
  worker_id: null,
  observed_at: '2026-04-23T14:10:00.000Z',
  created_at: '2026-04-23T14:05:00.000Z',
  updated_at: '2026-04-23T14:10:00.000Z',
}

export const StepSchema = answerBody('Step', stepMembers, {
  description: 'One piece of work of a flow.',
  example: exampleStep,
})
export type Step = Static<typeof StepSchema>

export const StepPageSchema = page('StepPage', StepSchema, {
  description: 'A page of steps.',
  example: exampleStep,
})

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
      observed_at: '2026-04-23T14:10:00.000Z',
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
    example: { ...exampleStep, stale: false },
  },
)

export const stepComponents = [StepSchema, StepPageSchema, ObserveStepSchema, ObservedStepSchema]
