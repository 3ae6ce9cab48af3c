// What stands in paths and queries: their schemas, and how they turn into the engine's words.

import { Type } from 'typebox'
import { maxLengths, pageLimits } from '../contract/kit.ts'
import { FlowError } from '../domain/errors.ts'
import { isId } from '../domain/id.ts'
import type { PageRequest } from '../engine/page.ts'

/** For requests whose path says it all, so that every query parameter is one too many. */
export const noQuery = Type.Object({}, { additionalProperties: false })

export const flowParams = Type.Object({
  flow_id: Type.String({
    description: 'The id of a flow.',
    examples: ['019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15'],
  }),
})

export const stepParams = Type.Object({
  ...flowParams.properties,
  run_id: Type.String({
    minLength: 1,
    maxLength: maxLengths.name,
    description: 'The caller’s name of a run: unique in its flow.',
    examples: ['classify-1'],
  }),
})

export const stepIdParams = Type.Object({
  step_id: Type.String({
    description: 'The id of a step.',
    examples: ['019dbaf3-0c22-7aa1-9d37-4b1e7c8f2a63'],
  }),
})

export const memoParams = Type.Object({
  ...flowParams.properties,
  key: Type.String({
    minLength: 1,
    maxLength: maxLengths.name,
    description: 'The name of a memo: unique in its flow.',
    examples: ['charge'],
  }),
})

export const signalIdParams = Type.Object({
  signal_id: Type.String({
    description: 'The id of a signal.',
    examples: ['019dbaf2-9a11-7d60-b2f3-6c5f0e3a4b58'],
  }),
})

export const linkParams = Type.Object({
  token: Type.String({
    description: 'The token of a link, as it stands in `wait.link`.',
    examples: ['q0Zr3c1hV9wqkQv1S8hXJtq3o2m0b7yJ6uXr5kJ1e9wq'],
  }),
})

export const signalParams = Type.Object({
  ...flowParams.properties,
  name: Type.String({
    minLength: 1,
    maxLength: maxLengths.name,
    description: 'The name of the signal.',
    examples: ['approved'],
  }),
})

export const sourceParams = Type.Object({
  source_id: Type.String({
    minLength: 1,
    maxLength: maxLengths.text,
    description: 'The id of a source.',
    examples: ['github'],
  }),
})

export const controllerParams = Type.Object({
  controller_id: Type.String({
    minLength: 1,
    maxLength: maxLengths.name,
    description: 'The `controller_id` of flows. A `/` in it is written `%2F`.',
    examples: ['kate/inbox'],
  }),
})

export const messageParams = Type.Object({
  ...sourceParams.properties,
  message_id: Type.String({
    description: 'The id of a message.',
    examples: ['019dbaf2-9a11-7d60-b2f3-6c5f0e3a4b01'],
  }),
})

export const hookParams = Type.Object({
  hook_id: Type.String({
    description: 'The id of a hook.',
    examples: ['019dbaf2-8b20-7f4d-a1c6-3d9e0f7b5a15'],
  }),
})

export const deliveryParams = Type.Object({
  delivery_id: Type.String({
    description: 'The id of a delivery.',
    examples: ['019dbaf2-9c30-7004-bd5a-6f0e1a2b3c15'],
  }),
})

/**
 * The flow id of a path. One that no flow can have is answered like one that no flow has: whoever
 * follows a wrong link learns the same from both.
 */
export function flowIdOf(params: { flow_id: string }): string {
  if (isId(params.flow_id)) return params.flow_id
  throw new FlowError('not_found', 'There is no flow with this id: check it, or list the flows.', {
    resource: 'flow',
  })
}

export function pageRequest(query: { limit?: number; cursor?: string }): PageRequest {
  return {
    limit: query.limit ?? pageLimits.default,
    ...(query.cursor !== undefined && { cursor: query.cursor }),
  }
}

/** 204: there is nothing to say. */
export const noContent = Type.Unsafe<undefined>(Type.Null({ description: 'Done.' }))

/** 304: the caller has it already. */
export const notModified = Type.Unsafe<undefined>(
  Type.Null({ description: 'The flow has not changed.' }),
)
