// The wire of links that end a wait: what whoever holds one may know.

import { type Static, Type } from 'typebox'
import { linkEnders } from '../domain/link.ts'
import { waitKinds } from '../domain/wait.ts'
import {
  answerBody,
  growingTexts,
  id,
  JsonObjectSchema,
  JsonValueSchema,
  nullableTimestamp,
  ref,
  timestamp,
} from './kit.ts'

const exampleTime = '2026-04-23T15:00:00.000Z'

export const LinkResultSchema = answerBody(
  'LinkResult',
  {
    outcome: growingTexts(['delivered'], 'What became of it: the wait has ended.'),
    signal_id: id('The id of the signal that this made, as the event of the flow names it.'),
    decided_at: timestamp('When the wait ended.'),
  },
  {
    description: 'The wait has ended, by this request. Of its flow nothing is told.',
    example: {
      outcome: 'delivered',
      signal_id: '019dbaf2-9a11-7d60-b2f3-6c5f0e3a4b58',
      decided_at: exampleTime,
    },
  },
)
export type LinkResult = Static<typeof LinkResultSchema>

export const ResumeLinkSchema = answerBody(
  'ResumeLink',
  {
    goal: Type.String({ description: 'What the flow is for.' }),
    wait_kind: growingTexts(waitKinds, 'What kind of wait it is.'),
    since: timestamp('When the flow began to wait.'),
    expires_at: nullableTimestamp(
      'When the link stops working by itself; null: when something else ends the wait.',
    ),
    schema: Type.Optional(ref(JsonObjectSchema)),
  },
  {
    description:
      'What is asked of whoever holds the link. `schema` is what the payload must fit; absent: anything does.',
    example: {
      goal: 'refund order 42',
      wait_kind: 'manual',
      since: '2026-04-23T14:00:00.000Z',
      expires_at: exampleTime,
      schema: {
        type: 'object',
        properties: { approved: { type: 'boolean', title: 'Approve the refund?' } },
        required: ['approved'],
      },
    },
  },
)
export type ResumeLink = Static<typeof ResumeLinkSchema>

export const LinkDecisionSchema = answerBody(
  'LinkDecision',
  {
    by: growingTexts(linkEnders, 'What ended the wait, or the link to it.'),
    at: timestamp('When.'),
    payload: Type.Optional(ref(JsonValueSchema)),
  },
  {
    description:
      'What was decided about a link that does not work any more. `payload` is what was sent by the link itself.',
    example: { by: 'link', at: exampleTime, payload: { approved: true } },
  },
)

export const linkComponents = [LinkResultSchema, ResumeLinkSchema, LinkDecisionSchema]
