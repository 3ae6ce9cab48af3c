// The wire of deliveries: what hooks were told, and what became of it.

import { type Static, type TObject, Type } from 'typebox'
import { deliveryStatuses } from '../domain/hook.ts'
import {
  answerBody,
  count,
  growingTexts,
  id,
  JsonObjectSchema,
  nullableCount,
  nullableText,
  nullableTimestamp,
  oneOfTexts,
  page,
  ref,
  requestBody,
  timestamp,
} from './kit.ts'

export const RedeliverSchema = requestBody(
  'Redeliver',
  {
    created_after: Type.Optional(timestamp('Deliveries queued after this time.')),
    created_before: Type.Optional(timestamp('Deliveries queued before this time.')),
    status: Type.Optional(
      oneOfTexts(
        ['failed', 'any'],
        'Those that failed, or delivered ones too. `failed` when absent.',
      ),
    ),
  },
  {
    description: 'Which deliveries to send once more. Those that are pending are left alone.',
    example: { created_after: '2026-04-23T15:00:00.000Z', status: 'failed' },
  },
)

const deliveryMembers = {
  id: id('Made by the service: the `webhook-id` of every attempt.'),
  hook_id: id('The hook that it is for.'),
  flow_id: nullableText({ format: 'uuid', description: 'The flow that it tells of.' }),
  revision: nullableCount('The revision of the event that it tells of.'),
  type: Type.String({ description: '`flow.` and the kind of the event, or `hook.test`.' }),
  status: growingTexts(
    deliveryStatuses,
    'Whether it arrived, is to be tried (again), or has failed for good.',
  ),
  attempt: count('Attempts made.'),
  next_attempt_at: nullableTimestamp(
    'When it is tried next; while it is under way, when it would be tried again if nothing came of it.',
  ),
  created_at: timestamp('When it was queued, together with its event.'),
  delivered_at: nullableTimestamp('When it arrived.'),
}

const exampleDelivery: Static<TObject<typeof deliveryMembers>> = {
  id: '019dbaf2-9c30-7004-bd5a-6f0e1a2b3c15',
  hook_id: '019dbaf2-8b20-7f4d-a1c6-3d9e0f7b5a15',
  flow_id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15',
  revision: 4,
  type: 'flow.finished',
  status: 'delivered',
  attempt: 1,
  next_attempt_at: null,
  created_at: '2026-04-23T15:00:00.003Z',
  delivered_at: '2026-04-23T15:00:00.120Z',
}

export const DeliverySchema = answerBody('Delivery', deliveryMembers, {
  description: 'An event on its way to a hook.',
  example: exampleDelivery,
})
export type Delivery = Static<typeof DeliverySchema>

export const DeliveryPageSchema = page('DeliveryPage', DeliverySchema, {
  description: 'A page of deliveries.',
  example: exampleDelivery,
})

const DeliveryAttemptSchema = answerBody(
  'DeliveryAttempt',
  {
    attempt: count('Its number, from 1.'),
    at: timestamp('When it was sent.'),
    status_code: Type.Unsafe<number | null>({
      type: ['integer', 'null'],
      minimum: 100,
      maximum: 999,
      description: 'The status of the answer; null when there was none.',
    }),
    latency_ms: count('How long it took, in milliseconds.'),
    error: nullableText({ description: 'Why it failed; null when it did not.' }),
    response: nullableText({ description: 'The first 2 KB of the answer.' }),
  },
  {
    description: 'One attempt at a delivery.',
    example: {
      attempt: 1,
      at: '2026-04-23T15:00:00.010Z',
      status_code: 200,
      latency_ms: 110,
      error: null,
      response: 'ok',
    },
  },
)

export const DeliveryDetailSchema = answerBody(
  'DeliveryDetail',
  {
    ...deliveryMembers,
    payload: ref(JsonObjectSchema),
    attempts: Type.Array(ref(DeliveryAttemptSchema), { description: 'Oldest first.' }),
  },
  {
    description: 'A delivery with what is sent and every attempt.',
    example: {
      ...exampleDelivery,
      payload: {
        type: 'flow.finished',
        timestamp: '2026-04-23T15:00:00.003Z',
        data: { flow_id: exampleDelivery.flow_id, revision: 4, kind: 'finished' },
      },
      attempts: [
        {
          attempt: 1,
          at: '2026-04-23T15:00:00.010Z',
          status_code: 200,
          latency_ms: 110,
          error: null,
          response: 'ok',
        },
      ],
    },
  },
)
export type DeliveryDetail = Static<typeof DeliveryDetailSchema>

export const RedeliveryCountSchema = answerBody(
  'RedeliveryCount',
  { count: count('How many are sent once more: 10,000 at most, the oldest first, 50 a second.') },
  { description: 'What will be sent once more.', example: { count: 12 } },
)

export const deliveryComponents = [
  RedeliverSchema,
  DeliverySchema,
  DeliveryPageSchema,
  DeliveryAttemptSchema,
  DeliveryDetailSchema,
  RedeliveryCountSchema,
]
