// The wire of the audit log.

import { type Static, type TObject, Type } from 'typebox'
import { eventKinds } from '../domain/event.ts'
import {
  answerBody,
  count,
  growingTexts,
  id,
  JsonObjectSchema,
  nullableText,
  page,
  pageProperties,
  ref,
  timestamp,
} from './kit.ts'

const eventMembers = {
  flow_id: id('The flow that changed.'),
  revision: count('The revision that the change made. With `flow_id` it names the event.'),
  kind: growingTexts(eventKinds, 'What happened.'),
  payload: ref(JsonObjectSchema),
  actor: Type.String({
    description: 'Who caused it; `wait-engine` for the service’s own clock.',
  }),
  at: timestamp('When it was committed.'),
}

const exampleEvent: Static<TObject<typeof eventMembers>> = {
  flow_id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15',
  revision: 4,
  kind: 'resumed',
  payload: { by: 'timer', wait_id: '019dbaf2-6d40-7c3a-9a51-8f0f6f1c2e07' },
  actor: 'wait-engine',
  at: '2026-04-23T15:00:00.003Z',
}

/** How a stream looks on its way. */
export const exampleEventStream = `retry: 2000\n\nid: ${exampleEvent.revision}\ndata: ${JSON.stringify(exampleEvent)}\n\n`

const FlowEventSchema = answerBody('FlowEvent', eventMembers, {
  description: 'One entry of the audit log. There is one for every revision, without gaps.',
  example: exampleEvent,
})

export const FlowEventPageSchema = page('FlowEventPage', FlowEventSchema, {
  description: 'A page of the audit log of one flow.',
  example: exampleEvent,
})
export type FlowEventPage = Static<typeof FlowEventPageSchema>

export const EventFeedPageSchema = answerBody(
  'EventFeedPage',
  {
    ...pageProperties(FlowEventSchema),
    position: nullableText({
      description: 'Where this page ends: give it as `after` to go on from here at any later time.',
    }),
  },
  {
    description: 'A page of the events of all flows, in commit order.',
    example: { items: [exampleEvent], next_cursor: null, position: 'MTAyNDoz' },
  },
)
export type EventFeedPage = Static<typeof EventFeedPageSchema>

export const eventComponents = [FlowEventSchema, FlowEventPageSchema, EventFeedPageSchema]
