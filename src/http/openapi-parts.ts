// The parts of the OpenAPI document that no route declares: its head, and the headers and answers
// that operations share.

import { exampleFlow } from '../contract/flow.ts'
import { maxLengths } from '../contract/kit.ts'
import { FlowError, invalid } from '../domain/errors.ts'
import type { Header, OpenApiDocument, Parameter } from './openapi-types.ts'
import { toProblem } from './problems.ts'

/** The head of the document. */
export function documentHead(
  version: string,
): Pick<OpenApiDocument, 'openapi' | 'info' | 'servers' | 'security' | 'tags'> {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Taskflow',
      version,
      description: [
        'Durable flows over HTTP: a flow keeps its state, waits for a time, an event or a person, and goes on, whatever restarts meanwhile.',
        'Bodies are JSON with `snake_case` members. Unknown members and query parameters are refused; nothing is coerced.',
        'Every flow answer has an `ETag` with the revision of the flow. Send it as `If-Match` to change only what you have seen, and as `If-None-Match` to read only what is new.',
        'Send an `Idempotency-Key` with a change and repeat it as often as you like: it happens once.',
        'Every error is a problem (RFC 9457) with a `code`; `/problems` lists and explains them. `method_not_allowed` (405), `uri_too_long` (414), `headers_too_large` (431) and `bad_request` (400) can meet any request and are not repeated at each operation.',
      ].join('\n\n'),
      license: { name: 'MIT OR Apache-2.0', identifier: 'MIT OR Apache-2.0' },
    },
    servers: [
      { url: '/', description: 'This service.' },
      { url: 'http://localhost:3000', description: 'A local service.' },
    ],
    security: [{}, { bearer: [] }],
    tags: [
      { name: 'Flows', description: 'What runs: create, read, list, change, end.' },
      { name: 'Waits', description: 'What a flow waits for, and how a wait ends.' },
      { name: 'Signals', description: 'Messages that end a wait.' },
      {
        name: 'Sources',
        description: 'Webhooks of third parties: where they come from and what came.',
      },
      {
        name: 'Hooks',
        description:
          'Webhooks of this service: who is told of which events, and what became of it.',
      },
      { name: 'Steps', description: 'The pieces of work of a flow.' },
      { name: 'Tool', description: 'One call that agents do everything with.' },
      {
        name: 'Controllers',
        description: 'Where steps are pushed to, and what holds for those that do not say.',
      },
      { name: 'Events', description: 'The audit log: one event for every change.' },
      {
        name: 'Bindings',
        description: 'Who may do what: callers, what they are allowed, their keys.',
      },
      { name: 'Engine', description: 'The service itself: its clock, its status, its health.' },
    ],
  }
}

export const securitySchemes = {
  bearer: {
    type: 'http',
    scheme: 'bearer',
    description: 'Not asked for yet: without credentials everything is in namespace `default`.',
  },
}

/**
 * Headers of many operations. They have no examples: Swagger UI would send those with every try, and
 * refuse each second one.
 */
export const sharedParameters: Record<string, Parameter> = {
  IfMatch: {
    name: 'If-Match',
    in: 'header',
    required: false,
    description:
      'The `ETag` of a flow answer, such as `"3"`: change the flow only if it still has that revision, else 412.',
    schema: { type: 'string', pattern: '^"[0-9]+"$' },
  },
  IfNoneMatch: {
    name: 'If-None-Match',
    in: 'header',
    required: false,
    description:
      'The `ETag` of an earlier answer, such as `"3"`: 304 when the flow still has that revision.',
    schema: { type: 'string' },
  },
  IfNoneMatchAny: {
    name: 'If-None-Match',
    in: 'header',
    required: false,
    description: '`*`: only if there is nothing yet, else 412.',
    schema: { type: 'string', enum: ['*'] },
  },
  LastEventId: {
    name: 'Last-Event-ID',
    in: 'header',
    required: false,
    description:
      'The `id` of the last event received: the stream goes on behind it. It wins over `after`. `EventSource` sends it by itself.',
    schema: { type: 'string' },
  },
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description:
      'A key of your own for this change: a repeat with the same key gets the same answer and changes nothing. Kept for 24 hours.',
    schema: {
      type: 'string',
      minLength: 1,
      maxLength: maxLengths.name,
      pattern: '^[\\x20-\\x7e]+$',
    },
  },
}

export const sharedHeaders: Record<string, Header> = {
  ETag: {
    description: 'The revision of the flow, in quotes.',
    schema: { type: 'string', examples: ['"3"'] },
  },
  Location: {
    description: 'The address of what was made.',
    schema: { type: 'string', examples: ['/flows/019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15'] },
  },
  IdempotencyReplayed: {
    description: '`true` when this is the stored answer to an earlier request with the same key.',
    schema: { type: 'string', enum: ['true'] },
  },
  RetryAfter: {
    description: 'Seconds after which a repeat has a chance. With 409, 429 and 503.',
    schema: { type: 'integer', minimum: 0 },
  },
  RequestId: {
    description: 'The id of the request: the one that was sent, or a new one.',
    schema: { type: 'string' },
  },
}

/** What every problem looks like. Which codes an operation has stands at the operation. */
export const problemResponse = {
  description: 'A problem: what is wrong, and what to do.',
  headers: {
    'X-Request-Id': { $ref: '#/components/headers/RequestId' },
    'Retry-After': { $ref: '#/components/headers/RetryAfter' },
  },
}

const flowId = exampleFlow.id

/** Problems as the service itself would answer them, by code. */
export const problemExamples = Object.fromEntries(
  [
    invalid('/statee', 'unknown_member', '"statee" is not a field here. Did you mean "state"?', {
      did_you_mean: 'state',
    }),
    new FlowError('not_found', 'There is no flow with this id: check it, or list the flows.', {
      resource: 'flow',
    }),
    new FlowError(
      'illegal_transition',
      'A created flow cannot become waiting by this request: it must be running.',
      {
        flow_id: flowId,
        from: 'created',
        to: 'waiting',
        allowed: ['running', 'cancelled'],
        wait: null,
      },
    ),
    new FlowError(
      'revision_mismatch',
      'The flow has changed: read it again and decide on its present revision.',
      { flow_id: flowId, expected: 2, actual: 3 },
    ),
    new FlowError('unavailable', 'The database does not answer: send the request again later.', {
      retry_after: 1,
    }),
  ].map((error) => {
    const value = toProblem(error, {
      request_id: '3f0c1f0e-6f1c-4d8e-9f57-0c7a4e1b2d33',
      path: `/flows/${flowId}`,
    })
    return [error.code, { summary: value.title, value }]
  }),
)
