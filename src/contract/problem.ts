// The wire of errors: problems (RFC 9457), which say what is wrong, where, and what to do next.

import { type Static, type TObject, Type } from 'typebox'
import {
  answerBody,
  count,
  growingTexts,
  id,
  JsonObjectSchema,
  JsonValueSchema,
  ref,
} from './kit.ts'
import { LinkDecisionSchema } from './link.ts'

const InputFault = answerBody(
  'InputFault',
  {
    pointer: Type.String({
      description:
        'Where: a JSON pointer into the body, `?name` for a query parameter, `:name` for one of the path, or the name of a header.',
    }),
    code: Type.String({ description: 'What kind of fault, such as `required`.' }),
    message: Type.String({ description: 'What to do about it.' }),
    did_you_mean: Type.Optional(
      Type.String({ description: 'The name or value that was probably meant.' }),
    ),
    allowed: Type.Optional(
      Type.Array(Type.String(), { description: 'The names or values that are possible here.' }),
    ),
  },
  {
    description: 'One fault of an input.',
    example: {
      pointer: '/statee',
      code: 'unknown_member',
      message: '"statee" is not a field here. Did you mean "state"?',
      did_you_mean: 'state',
    },
  },
)

const NextAction = answerBody(
  'NextAction',
  {
    rel: Type.String({ description: 'What the request does.' }),
    method: growingTexts(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'], 'The method.'),
    href: Type.String({ description: 'The address, from the root of the service.' }),
    body: Type.Optional(ref(JsonObjectSchema)),
  },
  {
    description: 'A request that is possible now, ready to send.',
    example: {
      rel: 'start',
      method: 'POST',
      href: '/flows/019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15/start',
    },
  },
)

const problemMembers = {
  type: Type.String({ description: 'The address of the page that explains this problem.' }),
  title: Type.String({ description: 'What kind of problem, for people.' }),
  status: Type.Integer({ minimum: 400, maximum: 599, description: 'The HTTP status.' }),
  detail: Type.String({ description: 'What is wrong this time, and what to do.' }),
  instance: Type.Optional(Type.String({ description: 'The path of the request.' })),
  code: Type.String({ description: 'What kind of problem, for programs. More may be added.' }),
  request_id: Type.String({ description: 'The id of the request, as in `X-Request-Id`.' }),
  errors: Type.Optional(
    Type.Array(ref(InputFault), { description: 'What is wrong with the input, member by member.' }),
  ),
  next_actions: Type.Optional(
    Type.Array(ref(NextAction), { description: 'What is possible instead.' }),
  ),
  flow_id: Type.Optional(id('The flow that the problem is about.')),
  step_id: Type.Optional(id('The step that the problem is about.')),
  allowed: Type.Optional(
    Type.Array(Type.String(), {
      description: 'The values, statuses or methods that are possible.',
    }),
  ),
  expected: Type.Optional(ref(JsonValueSchema)),
  actual: Type.Optional(ref(JsonValueSchema)),
  did_you_mean: Type.Optional(Type.String({ description: 'What was probably meant.' })),
  decided: Type.Optional(ref(LinkDecisionSchema)),
  limit: Type.Optional(Type.String({ description: 'The name of the limit that was exceeded.' })),
  maximum: Type.Optional(count('The value of that limit.')),
  retry_after: Type.Optional(count('Seconds after which a repeat has a chance.')),
}

const exampleProblem: Static<TObject<typeof problemMembers>> = {
  type: '/problems/invalid_request',
  title: 'Invalid request',
  status: 400,
  detail: '"statee" is not a field here. Did you mean "state"?',
  instance: '/flows',
  code: 'invalid_request',
  request_id: '3f0c1f0e-6f1c-4d8e-9f57-0c7a4e1b2d33',
  errors: [
    {
      pointer: '/statee',
      code: 'unknown_member',
      message: '"statee" is not a field here. Did you mean "state"?',
      did_you_mean: 'state',
    },
  ],
}

export const ProblemSchema = answerBody('Problem', problemMembers, {
  description:
    'Why a request was refused. Some codes have members beside these; `/problems/{code}` tells of them.',
  example: exampleProblem,
})

export const ItemProblemSchema = answerBody(
  'ItemProblem',
  {
    code: Type.String({ description: 'What kind of problem; `/problems` explains each.' }),
    status: Type.Integer({
      minimum: 400,
      maximum: 599,
      description: 'The status that the item would have had alone.',
    }),
    detail: Type.String({ description: 'What is wrong, and what to do.' }),
    errors: Type.Optional(
      Type.Array(ref(InputFault), { description: 'What is wrong with the item, by member.' }),
    ),
    flow_id: Type.Optional(id('The flow that the problem is about.')),
  },
  {
    description: 'Why one item of several was refused.',
    example: {
      code: 'lease_lost',
      status: 409,
      detail:
        'This lease is over: the step was given to another worker or is settled. Drop the result.',
    },
  },
)
export type ItemProblem = Static<typeof ItemProblemSchema>

export const problemComponents = [InputFault, NextAction, ProblemSchema, ItemProblemSchema]
