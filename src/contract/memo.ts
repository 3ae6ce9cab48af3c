// The wire of memos: what steps record so that it survives their retries.

import { type Static, Type } from 'typebox'
import { answerBody, id, JsonValueSchema, ref, requestBody, timestamp } from './kit.ts'

export const PutMemoSchema = requestBody(
  'PutMemo',
  { value: ref(JsonValueSchema) },
  { description: 'What to record.', example: { value: { charge_id: 'ch_3PqR' } } },
)

export const MemoSchema = answerBody(
  'Memo',
  {
    flow_id: id('The flow.'),
    key: Type.String({ description: 'The name of the memo: unique in its flow.' }),
    value: ref(JsonValueSchema),
    created_at: timestamp('When it was first recorded.'),
    updated_at: timestamp('When it was last replaced.'),
  },
  {
    description: 'What was recorded under a name, for the later attempts and steps of a flow.',
    example: {
      flow_id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15',
      key: 'charge',
      value: { charge_id: 'ch_3PqR' },
      created_at: '2026-04-23T14:05:00.000Z',
      updated_at: '2026-04-23T14:05:00.000Z',
    },
  },
)
export type Memo = Static<typeof MemoSchema>

export const memoComponents = [PutMemoSchema, MemoSchema]
