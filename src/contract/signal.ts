// The wire of signals: inbound messages that may end a wait, and their fates.

import { type Static, Type } from 'typebox'
import { deliverModes, signalOutcomes } from '../domain/signal.ts'
import { CreateFlowSchema, exampleFlow, FlowSchema } from './flow.ts'
import {
  answerBody,
  count,
  duration,
  growingTexts,
  id,
  JsonValueSchema,
  name,
  nullableText,
  nullableTimestamp,
  oneOfTexts,
  page,
  ref,
  requestBody,
  tag,
  taggedUnion,
  timestamp,
} from './kit.ts'

const exampleSignalId = '019dbaf2-9a11-7d60-b2f3-6c5f0e3a4b58'
const exampleDelivery = {
  flow_id: exampleFlow.id,
  wait_id: '019dbaf2-6d40-7c3a-9a51-8f0f6f1c2e07',
  revision: 4,
}

const signalMembers = {
  payload: Type.Optional(ref(JsonValueSchema)),
  id: Type.Optional(
    name(
      'Your own id of the signal: a second one with it and the same correlation id is a duplicate.',
      ['evt_1PqR'],
    ),
  ),
  ttl: Type.Optional(
    duration(
      'How long to keep a signal that finds no wait; `PT0S`: not at all. A day when absent, unless the service is set otherwise.',
    ),
  ),
}
const externalEventMembers = {
  topic: name('What happened.', ['payment.settled']),
  correlation_id: name('To what it happened.', ['order-42']),
}

const {
  on_conflict: _,
  key: __,
  routing_key: ___,
  hooks: ____,
  ...newFlow
} = CreateFlowSchema.properties

const StartIfAbsentSchema = requestBody(
  'StartIfAbsent',
  {
    key: name('The business key: the open flow that has it gets the signal.', ['order-42']),
    ...newFlow,
  },
  {
    description:
      'The flow that the signal is for, made in the same step if no open flow has its key.',
    example: {
      key: 'order-42',
      controller_id: 'shop/orders',
      goal: 'ship order 42',
      owner_session_key: 'shop',
      requester_origin: 'webshop',
      start: true,
    },
  },
)

export const SendSignalSchema = requestBody(
  'SendSignal',
  {
    ...externalEventMembers,
    ...signalMembers,
    deliver: Type.Optional(
      oneOfTexts(
        deliverModes,
        'Wake the wait that is the oldest, or every wait there is; `one` when absent.',
      ),
    ),
    start_if_absent: Type.Optional(ref(StartIfAbsentSchema)),
  },
  {
    description: 'A signal for whoever waits for it. Its payload lands in `state.resume_event`.',
    example: {
      topic: 'payment.settled',
      correlation_id: 'order-42',
      id: 'evt_1PqR',
      payload: { amount: 4200, currency: 'EUR' },
    },
  },
)

export const ResumeFlowExternallySchema = requestBody(
  'ResumeFlowExternally',
  { ...externalEventMembers, ...signalMembers },
  {
    description: 'A signal aimed at one flow. Its payload lands in `state.resume_event`.',
    example: {
      topic: 'payment.settled',
      correlation_id: 'order-42',
      payload: { amount: 4200, currency: 'EUR' },
    },
  },
)

export const SignalFlowSchema = requestBody('SignalFlow', signalMembers, {
  description: 'What a named signal carries. It lands in `state.resume_event`.',
  example: { payload: { approved_by: 'ada' } },
})

const SignalDeliverySchema = answerBody(
  'SignalDelivery',
  {
    flow_id: id('The flow that took it.'),
    wait_id: id('The wait that it ended, or advanced.'),
    revision: count('The revision that this made.'),
  },
  { description: 'One wait that a signal ended or advanced.', example: exampleDelivery },
)

const sentOutcomes = ['delivered', 'buffered', 'duplicate', 'unmatched'] as const

const fate = {
  deliveries: Type.Array(ref(SignalDeliverySchema), {
    description: 'The first hundred waits that it ended or advanced.',
  }),
  expires_at: nullableTimestamp('Until when it is kept for a wait to come; null when it is not.'),
}

export const SignalReceiptSchema = answerBody(
  'SignalReceipt',
  {
    id: id('The id of the signal; that of the first one for a duplicate.'),
    outcome: growingTexts(
      sentOutcomes,
      'What became of it: it ended a wait, it is kept for one to come, it was there already, or nobody waits and it was not to be kept.',
    ),
    ...fate,
    flow_id: nullableText({
      format: 'uuid',
      description: 'With `start_if_absent`: the flow that it is for.',
    }),
    started: Type.Boolean({ description: 'Whether `start_if_absent` made that flow.' }),
  },
  {
    description: 'What became of a signal.',
    example: {
      id: exampleSignalId,
      outcome: 'delivered',
      deliveries: [exampleDelivery],
      expires_at: null,
      flow_id: null,
      started: false,
    },
  },
)
export type SignalReceipt = Static<typeof SignalReceiptSchema>

/** What became of a signal, as the engine tells it, in the words of the wire. */
export function signalReceipt(fate: {
  signal_id: string
  outcome: SignalReceipt['outcome'] | 'expired'
  deliveries: SignalReceipt['deliveries']
  expires_at: string | null
  flow: { id: string } | null
  started: boolean
}): SignalReceipt {
  const { signal_id, outcome, deliveries, expires_at, flow, started } = fate
  return {
    id: signal_id,
    outcome: outcome === 'expired' ? 'unmatched' : outcome,
    deliveries,
    expires_at,
    flow_id: flow?.id ?? null,
    started,
  }
}

const DeliveredSignal = answerBody(
  'DeliveredSignal',
  {
    outcome: tag('delivered'),
    signal_id: id('The id of the signal, as the event of the flow names it.'),
    flow: ref(FlowSchema),
  },
  {
    description: 'The signal ended the wait of the flow, or advanced it.',
    example: {
      outcome: 'delivered',
      signal_id: exampleSignalId,
      flow: {
        ...exampleFlow,
        status: 'running',
        wait: null,
        state: { messages: 10, resume_event: { amount: 4200, currency: 'EUR' } },
        revision: 4,
      },
    },
  },
)

const BufferedSignal = answerBody(
  'BufferedSignal',
  {
    outcome: tag('buffered'),
    signal_id: id('The id of the signal.'),
    expires_at: timestamp('Until when it is kept.'),
  },
  {
    description: 'The flow does not wait for it (yet): it is kept for the next wait that does.',
    example: {
      outcome: 'buffered',
      signal_id: exampleSignalId,
      expires_at: '2026-04-24T15:00:00.000Z',
    },
  },
)

const DuplicateSignal = answerBody(
  'DuplicateSignal',
  {
    outcome: tag('duplicate'),
    signal_id: id('The id of the signal that came first.'),
    first_outcome: growingTexts(signalOutcomes, 'What has become of that one.'),
    ...fate,
  },
  {
    description: 'A signal with this `id` was there already: nothing changed.',
    example: {
      outcome: 'duplicate',
      signal_id: exampleSignalId,
      first_outcome: 'delivered',
      deliveries: [exampleDelivery],
      expires_at: null,
    },
  },
)

const UnmatchedSignal = answerBody(
  'UnmatchedSignal',
  { outcome: tag('unmatched') },
  {
    description:
      'The flow does not wait for it, and it was not to be kept: nothing changed, nothing was kept.',
    example: { outcome: 'unmatched' },
  },
)

export const SignalResultSchema = taggedUnion(
  'SignalResult',
  'outcome',
  [DeliveredSignal, BufferedSignal, DuplicateSignal, UnmatchedSignal],
  {
    description: 'What became of a signal aimed at one flow. More outcomes may be added.',
    example: { outcome: 'unmatched' },
  },
)
export type SignalResult = Static<typeof SignalResultSchema>

export const SignalSchema = answerBody(
  'Signal',
  {
    id: id('The id of the signal, made by the service.'),
    outcome: growingTexts(signalOutcomes, 'What has become of it.'),
    topic: nullableText({ description: 'What happened; null for a named signal.' }),
    correlation_id: nullableText({ description: 'To what it happened; null for a named signal.' }),
    name: nullableText({ description: 'The name of a named signal.' }),
    flow_id: nullableText({ format: 'uuid', description: 'The one flow that it is for.' }),
    wait_id: nullableText({ format: 'uuid', description: 'The one wait that its link was for.' }),
    source: nullableText({
      description: 'Where it came in: the id of a source, or `nats`; null for requests.',
    }),
    sender_id: nullableText({ description: 'The sender’s own id of it.' }),
    actor: Type.String({ description: 'Who sent it.' }),
    deliver: growingTexts(deliverModes, 'Whether it wakes one wait or all.'),
    payload: Type.Optional(ref(JsonValueSchema)),
    delivered_count: count('How many waits it ended or advanced.'),
    ...fate,
    received_at: timestamp('When it came in.'),
  },
  {
    description: 'A signal with its fate.',
    example: {
      id: exampleSignalId,
      outcome: 'delivered',
      topic: 'payment.settled',
      correlation_id: 'order-42',
      name: null,
      flow_id: null,
      wait_id: null,
      source: null,
      sender_id: 'evt_1PqR',
      actor: 'anonymous',
      deliver: 'one',
      payload: { amount: 4200, currency: 'EUR' },
      delivered_count: 1,
      deliveries: [exampleDelivery],
      expires_at: null,
      received_at: '2026-04-23T15:00:00.000Z',
    },
  },
)
export type Signal = Static<typeof SignalSchema>

export const SignalPageSchema = page('SignalPage', SignalSchema, {
  description: 'A page of signals.',
  example: {
    id: exampleSignalId,
    outcome: 'buffered',
    topic: 'payment.settled',
    correlation_id: 'order-42',
    name: null,
    flow_id: null,
    wait_id: null,
    source: null,
    sender_id: null,
    actor: 'anonymous',
    deliver: 'one',
    delivered_count: 0,
    deliveries: [],
    expires_at: '2026-04-24T15:00:00.000Z',
    received_at: '2026-04-23T15:00:00.000Z',
  },
})

export const signalComponents = [
  SendSignalSchema,
  StartIfAbsentSchema,
  ResumeFlowExternallySchema,
  SignalFlowSchema,
  SignalReceiptSchema,
  SignalDeliverySchema,
  DeliveredSignal,
  BufferedSignal,
  DuplicateSignal,
  UnmatchedSignal,
  SignalResultSchema,
  SignalSchema,
  SignalPageSchema,
]
