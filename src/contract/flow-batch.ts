// The wire of several creations in one request.

import { type Static, Type } from 'typebox'
import { CreatedHookSchema, CreateFlowSchema } from './flow.ts'
import { answerBody, count, id, ref, requestBody } from './kit.ts'
import { ItemProblemSchema } from './problem.ts'

const maxItems = 100

export const CreateFlowsSchema = requestBody(
  'CreateFlows',
  {
    items: Type.Array(ref(CreateFlowSchema), {
      minItems: 1,
      maxItems,
      description: `The flows, 1 to ${maxItems}.`,
    }),
  },
  {
    description: 'Several new flows. Each counts for itself.',
    example: {
      items: [
        {
          controller_id: 'kate/inbox',
          goal: 'triage inbox',
          owner_session_key: 'agent:kate:session:abc',
          requester_origin: 'user-1',
          steps: [{ task: 'classify' }],
        },
      ],
    },
  },
)

const exampleResult = {
  ok: true,
  created: true,
  flow_id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15',
  revision: 2,
}

const CreateFlowResultSchema = answerBody(
  'CreateFlowResult',
  {
    ok: Type.Boolean({ description: 'Whether there is such a flow now.' }),
    created: Type.Optional(
      Type.Boolean({
        description:
          'False when an open flow had the key already, with `on_conflict: use_existing`.',
      }),
    ),
    flow_id: Type.Optional(id('The flow.')),
    revision: Type.Optional(count('Its revision.')),
    hooks: Type.Optional(
      Type.Array(ref(CreatedHookSchema), {
        description: 'The hooks that were asked for with the flow.',
      }),
    ),
    problem: Type.Optional(ref(ItemProblemSchema)),
  },
  {
    description:
      'What became of one creation: with `created`, `flow_id` and `revision` when it was accepted, with `problem` when it was not.',
    example: exampleResult,
  },
)
export type CreateFlowResult = Static<typeof CreateFlowResultSchema>

export const CreatedFlowsSchema = answerBody(
  'CreatedFlows',
  {
    results: Type.Array(ref(CreateFlowResultSchema), {
      description: 'One for each flow, in their order.',
    }),
  },
  {
    description: 'What became of the creations.',
    example: {
      results: [exampleResult],
    },
  },
)

export const flowBatchComponents = [CreateFlowsSchema, CreatedFlowsSchema, CreateFlowResultSchema]
