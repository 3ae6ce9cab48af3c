// The wire of inbound messages: what a sender is answered, what is kept, and what a sample would do.

import { type Static, type TObject, Type } from 'typebox'
import {
  answerBody,
  component,
  count,
  growingTexts,
  id,
  JsonValueSchema,
  maxLengths,
  nullable,
  nullableText,
  page,
  ref,
  requestBody,
  textMap,
  timestamp,
} from './kit.ts'

const signalId = nullableText({
  format: 'uuid',
  description: 'The id of the signal; null when the message made none.',
})

const outcome = growingTexts(
  ['delivered', 'buffered', 'duplicate', 'unmatched', 'unmapped'],
  'What became of it: `delivered` to flows that waited, `buffered` for the next wait, `duplicate` of an earlier one, `unmatched` and not kept, or `unmapped` and kept with its reason.',
)

const exampleSignalId = '019dbaf2-9a11-7d60-b2f3-6c5f0e3a4b58'

export const WebhookReceiptSchema = answerBody(
  'WebhookReceipt',
  { signal_id: signalId, outcome },
  {
    description:
      'The message is stored. Whether anybody waits for it is not the sender’s business.',
    example: { signal_id: exampleSignalId, outcome: 'delivered' },
  },
)

export const WebhookChallengeSchema = answerBody(
  'WebhookChallenge',
  { challenge: Type.String({ description: 'What the sender wants to hear again.' }) },
  {
    description: 'The answer to a sender that asks whether the address is right.',
    example: { challenge: '3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P' },
  },
)

const MessageFaultSchema = answerBody(
  'MessageFault',
  {
    member: growingTexts(
      ['topic', 'correlation_id', 'event_id', 'body', 'payload'],
      'What cannot be made of the message.',
    ),
    message: Type.String({ description: 'Why not.' }),
  },
  {
    description: 'Why a message cannot become a signal.',
    example: { member: 'correlation_id', message: 'The body has no /data/object/id.' },
  },
)

const messageMembers = {
  id: id('Made by the service.'),
  source: Type.String({ description: 'The source that it came from.' }),
  received_at: timestamp('When it came.'),
  outcome: growingTexts(
    ['accepted', 'unmapped', 'rejected'],
    'Whether it made a signal, could not be mapped, or could not be read at all.',
  ),
  reason: nullableText({ description: 'Why it made no signal; null when it did.' }),
  signal_id: signalId,
  body_bytes: count('The size of its body.'),
}

const exampleMessage: Static<TObject<typeof messageMembers>> = {
  id: '019dbaf2-9a11-7d60-b2f3-6c5f0e3a4b01',
  source: 'github',
  received_at: '2026-04-23T15:00:00.000Z',
  outcome: 'unmapped',
  reason: 'topic: The body has no /action.',
  signal_id: null,
  body_bytes: 2,
}

const InboundMessageSchema = answerBody('InboundMessage', messageMembers, {
  description: 'A message as it arrived, without its content.',
  example: exampleMessage,
})

export const InboundMessagePageSchema = page('InboundMessagePage', InboundMessageSchema, {
  description: 'A page of messages.',
  example: exampleMessage,
})

const exampleHeaders = { 'content-type': 'application/json', 'x-github-event': 'ping' }

const MessageHeadersSchema = Object.assign(textMap(), {
  $id: 'MessageHeaders',
  description:
    'The headers by names in lower case, without credentials, cookies and signatures, which are not kept.',
  examples: [exampleHeaders],
})

export const InboundMessageDetailSchema = answerBody(
  'InboundMessageDetail',
  {
    ...messageMembers,
    headers: ref(MessageHeadersSchema),
    body: Type.String({ description: 'The body, to the byte.' }),
    body_encoding: growingTexts(
      ['text', 'base64'],
      'How `body` is written: as it is when it is UTF-8 without NUL, else in base64.',
    ),
  },
  {
    description: 'A message as it arrived.',
    example: { ...exampleMessage, headers: exampleHeaders, body: '{}', body_encoding: 'text' },
  },
)

export const MessageReplaySchema = answerBody(
  'MessageReplay',
  { signal_id: signalId, outcome, faults: Type.Array(ref(MessageFaultSchema)) },
  {
    description: 'What became of a message that was mapped and sent once more.',
    example: { signal_id: exampleSignalId, outcome: 'buffered', faults: [] },
  },
)

const SampleHeadersSchema = component(
  'SampleHeaders',
  Type.Unsafe<Record<string, string>>({
    type: 'object',
    propertyNames: { type: 'string', minLength: 1, maxLength: maxLengths.name },
    additionalProperties: { type: 'string', maxLength: 8192 },
  }),
  { description: 'The headers of a sample; case does not count.', example: exampleHeaders },
)

export const TestSourceSchema = requestBody(
  'TestSource',
  {
    headers: Type.Optional(ref(SampleHeadersSchema)),
    body: Type.Optional(ref(JsonValueSchema)),
    body_text: Type.Optional(
      Type.String({
        description:
          'The body as text, to the byte: send this one to have a signature judged. Not together with `body`.',
      }),
    ),
  },
  {
    description: 'A sample of a message.',
    example: { headers: exampleHeaders, body: { action: 'opened' } },
  },
)

const MappedMessageSchema = answerBody(
  'MappedMessage',
  {
    topic: Type.String({ description: 'The topic of the signal.' }),
    correlation_id: Type.String({ description: 'Its correlation id.' }),
    event_id: nullableText({ description: 'The sender’s own id; null when there is none.' }),
  },
  {
    description: 'What a message is mapped to.',
    example: { topic: 'github.pull_request.opened', correlation_id: 'a/b#7', event_id: null },
  },
)

const WaitMatchSchema = answerBody(
  'WaitMatch',
  {
    flow_id: id('The flow that waits.'),
    wait_id: id('The wait that would end.'),
  },
  {
    description: 'A wait that a signal would match.',
    example: {
      flow_id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15',
      wait_id: '019dbaf2-6d40-7c3a-9a51-8f0f6f1c2e07',
    },
  },
)

export const SourceTestReportSchema = answerBody(
  'SourceTestReport',
  {
    verified: Type.Unsafe<boolean | null>({
      type: ['boolean', 'null'],
      description: 'Whether the sample is verified; null when it has no signature to judge.',
    }),
    mapped: nullable(MappedMessageSchema),
    faults: Type.Array(ref(MessageFaultSchema)),
    would: growingTexts(
      ['deliver', 'keep', 'duplicate', 'drop', 'unmapped', 'refuse'],
      'What would become of it.',
    ),
    matches: Type.Array(ref(WaitMatchSchema), {
      description: 'The waits for it, the longest first; 20 at most.',
    }),
  },
  {
    description: 'What a sample would come to. Nothing was done.',
    example: {
      verified: null,
      mapped: { topic: 'github.pull_request.opened', correlation_id: 'a/b#7', event_id: null },
      faults: [],
      would: 'keep',
      matches: [],
    },
  },
)

export const inboundComponents = [
  WebhookReceiptSchema,
  WebhookChallengeSchema,
  MessageFaultSchema,
  InboundMessageSchema,
  InboundMessagePageSchema,
  MessageHeadersSchema,
  InboundMessageDetailSchema,
  MessageReplaySchema,
  SampleHeadersSchema,
  TestSourceSchema,
  MappedMessageSchema,
  WaitMatchSchema,
  SourceTestReportSchema,
]
