// The wire of signals: inbound messages that may end a wait of one flow.

import { type Static, Type } from 'typebox'
import { exampleFlow, FlowSchema } from './flow.ts'
import {
  answerBody,
  duration,
  id,
  JsonValueSchema,
  name,
  ref,
  requestBody,
  tag,
  taggedUnion,
} from './kit.ts'

const ttl = Type.Optional(
  duration(
    'How long to keep a signal that finds no wait. This release keeps none, whatever is asked: its outcome is then `unmatched`.',
  ),
)

export const ResumeFlowExternallySchema = requestBody(
  'ResumeFlowExternally',
  {
    topic: name('What happened.', ['payment.settled']),
    correlation_id: name('To what it happened.', ['order-42']),
    payload: Type.Optional(ref(JsonValueSchema)),
    id: Type.Optional(name('Your own id of the signal, for the audit log.', ['evt_1PqR'])),
    ttl,
  },
  {
    description: 'A signal aimed at one flow. Its payload lands in `state.resume_event`.',
    example: {
      topic: 'payment.settled',
      correlation_id: 'order-42',
      payload: { amount: 4200, currency: 'EUR' },
    },
  },
)

export const SignalFlowSchema = requestBody(
  'SignalFlow',
  { payload: Type.Optional(ref(JsonValueSchema)), ttl },
  {
    description: 'What a named signal carries. It lands in `state.resume_event`.',
    example: { payload: { approved_by: 'ada' } },
  },
)

const DeliveredSignal = answerBody(
  'DeliveredSignal',
  {
    outcome: tag('delivered'),
    signal_id: Type.Optional(id('The id of the signal, as the `resumed` event names it.')),
    flow: ref(FlowSchema),
  },
  {
    description: 'The signal ended the wait of the flow.',
    example: {
      outcome: 'delivered',
      signal_id: '019dbaf2-9a11-7d60-b2f3-6c5f0e3a4b58',
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

const UnmatchedSignal = answerBody(
  'UnmatchedSignal',
  { outcome: tag('unmatched') },
  {
    description: 'The flow does not wait for this signal: nothing changed, nothing was kept.',
    example: { outcome: 'unmatched' },
  },
)

export const SignalResultSchema = taggedUnion(
  'SignalResult',
  'outcome',
  [DeliveredSignal, UnmatchedSignal],
  {
    description: 'What became of a signal. More outcomes may be added.',
    example: { outcome: 'unmatched' },
  },
)
export type SignalResult = Static<typeof SignalResultSchema>

export const signalComponents = [
  ResumeFlowExternallySchema,
  SignalFlowSchema,
  DeliveredSignal,
  UnmatchedSignal,
  SignalResultSchema,
]
