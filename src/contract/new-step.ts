// The wire of new steps: what is to be done, when, and how often it is tried.

import { type Static, Type } from 'typebox'
import { deadPolicies } from '../domain/step.ts'
import { duration, JsonValueSchema, name, oneOfTexts, ref, requestBody, timestamp } from './kit.ts'

export const RetryRequest = requestBody(
  'RetryRequest',
  {
    max_attempts: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100, description: 'Attempts at most; 3 when absent.' }),
    ),
    base: Type.Optional(
      duration('The longest pause before the second attempt; `PT1S` when absent.'),
    ),
    factor: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 10,
        description: 'What it is multiplied by for each attempt more; 2 when absent.',
      }),
    ),
    cap: Type.Optional(
      duration('What it grows to at most, a day at the longest; `PT5M` when absent.'),
    ),
    non_retryable: Type.Optional(
      Type.Array(name('The `code` of an error.'), {
        maxItems: 100,
        description: 'Codes of errors after which no attempt follows.',
      }),
    ),
  },
  {
    description:
      'How a step is tried again. The pauses are drawn at random, up to a bound that grows. What is left out is as the controller says, or has its default.',
    example: { max_attempts: 5, base: 'PT2S', factor: 2, cap: 'PT10M', non_retryable: ['spam'] },
  },
)
export type RetryRequest = Static<typeof RetryRequest>

const StepTimeouts = requestBody(
  'StepTimeouts',
  {
    schedule_to_start: Type.Optional(
      duration('From being due until a worker claims it. Past it the step is dead.'),
    ),
    start_to_close: Type.Optional(duration('Of one attempt, whatever its heartbeats say.')),
    schedule_to_close: Type.Optional(
      duration('From being due until it is settled, over all attempts. Past it the step is dead.'),
    ),
    heartbeat: Type.Optional(
      duration('Between two heartbeats: no lease is longer. From `PT1S` to `PT1H`.'),
    ),
  },
  {
    description: 'How long the parts of a step may take; without limit where absent.',
    example: { start_to_close: 'PT10M', heartbeat: 'PT1M' },
  },
)
export type StepTimeoutsRequest = Static<typeof StepTimeouts>

export const newStepMembers = {
  task: name('What is to be done: workers claim by it.', ['classify']),
  run_id: Type.Optional(
    name('A name of yours for this run, unique in its flow; the id of the step when absent.', [
      'classify-1',
    ]),
  ),
  input: Type.Optional(ref(JsonValueSchema)),
  priority: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      description:
        'Lower runs first; 1000 when absent. One point weighs as much as a second of waiting, so that nothing waits for ever.',
    }),
  ),
  delay: Type.Optional(duration('In how long it is to be run; at once when absent.')),
  retry: Type.Optional(ref(RetryRequest)),
  timeouts: Type.Optional(ref(StepTimeouts)),
  on_dead: Type.Optional(
    oneOfTexts(
      deadPolicies,
      'What becomes of the flow when the step dies: it fails, or is left for somebody to decide (`park`). As the controller says when absent, else `fail`.',
    ),
  ),
}

export const NewStepSchema = requestBody(
  'NewStep',
  {
    ...newStepMembers,
    run_at: Type.Optional(timestamp('When it is to be run, instead of `delay`.')),
  },
  {
    description: 'A step for workers to claim.',
    example: { task: 'classify', run_id: 'classify-1', input: { messages: 10 } },
  },
)
export type NewStepRequest = Static<typeof NewStepSchema>

export const newStepComponents = [NewStepSchema, RetryRequest, StepTimeouts]
