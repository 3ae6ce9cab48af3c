// The query parameters of lists and streams of events.

import { Type } from 'typebox'
import { maxLengths, oneOfTexts } from '../contract/kit.ts'
import { eventKinds } from '../domain/event.ts'

export const kindFilter = Type.Optional(
  Type.Array(oneOfTexts(eventKinds, 'A kind.'), {
    maxItems: eventKinds.length,
    description: 'Events of this kind. Repeat it for several.',
  }),
)

export const afterRevision = Type.Optional(
  Type.Integer({
    minimum: 0,
    // As far as revisions can go.
    maximum: 2_147_483_647,
    description: 'Events with a greater revision than this.',
  }),
)

export const afterPosition = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: maxLengths.cursor,
    description:
      'The `position` of an earlier page, or the `id` of a stream’s event: events committed after it.',
  }),
)

export const waitForEvents = Type.Optional(
  Type.String({
    format: 'duration',
    description:
      'Wait so long (`PT30S`, 60 seconds at most) for an event when there is none yet; an empty page when none came.',
  }),
)
