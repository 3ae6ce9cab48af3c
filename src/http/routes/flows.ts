// Flows: create, read, wait for a change, list, label.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from 'typebox'
import {
  CreatedFlowSchema,
  CreateFlowSchema,
  FlowPageSchema,
  FlowSchema,
} from '../../contract/flow.ts'
import { UpdateFlowSchema } from '../../contract/flow-change.ts'
import { maxLengths, name, oneOfTexts, pageQuery, ref, timestamp } from '../../contract/kit.ts'
import type { Command } from '../../domain/command.ts'
import { invalid } from '../../domain/errors.ts'
import { type FlowRecord, flowStatuses } from '../../domain/flow.ts'
import { parseDuration, parseTimestamp } from '../../domain/formats.ts'
import { waitKinds } from '../../domain/wait.ts'
import type { FlowFilter } from '../../engine/flows.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { flowRequest } from '../flow-spec.ts'
import { changeHeaders, changeOptions, etag, knownRevisions } from '../headers.ts'
import { waitMillis, whileWanted } from '../long-poll.ts'
import { flowIdOf, flowParams, noQuery, notModified, pageRequest } from '../params.ts'
import { presentFlow, presentPage } from '../present.ts'

const tags = ['Flows']

const readQuery = Type.Object(
  {
    wait: Type.Optional(
      Type.String({
        format: 'duration',
        description:
          'Wait so long (`PT30S`, 60 seconds at most) for the flow to change from the revision in `If-None-Match`, or to end (`until=terminal`).',
      }),
    ),
    until: Type.Optional(
      oneOfTexts(['terminal'], 'With `wait`: wait until the flow has ended, not just changed.'),
    ),
  },
  { additionalProperties: false },
)

const filterMembers = Type.Object({
  status: Type.Optional(
    Type.Array(oneOfTexts(flowStatuses, 'A status.'), {
      maxItems: flowStatuses.length,
      description: 'Flows in this status. Repeat it for several.',
    }),
  ),
  owner_session_key: Type.Optional(name('Flows of this owner.')),
  controller_id: Type.Optional(name('Flows of this controller.')),
  key: Type.Optional(name('Flows with this business key, closed ones too.')),
  'wait.kind': Type.Optional(oneOfTexts(waitKinds, 'Flows that wait in this way.')),
  'wait.topic': Type.Optional(name('Flows that wait for this topic.')),
  'wait.correlation_id': Type.Optional(name('Flows that wait for this correlation id.')),
  created_after: Type.Optional(timestamp('Flows created after this time.')),
  created_before: Type.Optional(timestamp('Flows created before this time.')),
  held: Type.Optional(
    Type.Boolean({ description: 'Only flows on hold, or only those that are not.' }),
  ),
  sort: Type.Optional(
    oneOfTexts(
      ['created_at', '-created_at'],
      'Oldest first, or newest first (`-created_at`, when absent).',
    ),
  ),
  ...pageQuery,
})
type ListQuery = Static<typeof filterMembers> & { [label: `label.${string}`]: string }

const labelPrefix = 'label.'

// Labels have names of the callers' choosing, so they are a pattern; the OpenAPI document cannot say
// that about query parameters and tells it in words.
const listQuery = Type.Unsafe<ListQuery>({
  ...filterMembers,
  additionalProperties: false,
  patternProperties: {
    [`^label\\..{1,${maxLengths.label}}$`]: { type: 'string', maxLength: maxLengths.label },
  },
})

export const flowRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine, shutdown },
  done,
) => {
  app.post(
    '/flows',
    {
      schema: {
        operationId: 'createFlow',
        tags,
        summary: 'Create a flow',
        description:
          'Makes a flow in status `created`, or `running` with `start: true`, with `steps`, and for mirrored flows. With `key` and `on_conflict: use_existing` it answers 200 and the open flow that has the key.',
        'x-problems': ['key_conflict', 'limit_exceeded', 'quota_exceeded', 'url_not_allowed'],
        querystring: noQuery,
        body: ref(CreateFlowSchema),
        response: { 200: ref(FlowSchema), 201: ref(CreatedFlowSchema) },
      },
      config: needs('flows:write'),
    },
    async (request, reply) => {
      if (request.headers['if-match'] !== undefined) {
        throw invalid('if-match', 'not_applicable', 'A new flow has no revision: send no If-Match.')
      }
      const result = await engine.flows.create(
        callerOf(request),
        flowRequest(request.body),
        changeOptions(request),
      )
      changeHeaders(reply, result)
      const flow = presentFlow(result.flow)
      if (result.outcome === 'existing') return reply.code(200).send(flow)
      return reply
        .code(201)
        .header('location', `/flows/${flow.id}`)
        .send({ ...flow, ...(result.hooks && { hooks: result.hooks }) })
    },
  )

  app.get(
    '/flows',
    {
      schema: {
        operationId: 'listFlows',
        tags,
        summary: 'List flows',
        description:
          'Newest first unless `sort` says otherwise. All filters must hold. Labels filter by `label.<name>=<value>`, as in `label.tier=gold`, for any number of names.',
        'x-problems': ['cursor_mismatch'],
        'x-query-patterns': { 'label.<name>': 'Flows whose label of this name has this value.' },
        querystring: listQuery,
        response: { 200: ref(FlowPageSchema) },
      },
      config: needs('flows:read'),
    },
    async (request) => {
      const { query } = request
      const page = await engine.flows.list(
        callerOf(request),
        filterOf(query),
        query.sort ?? '-created_at',
        pageRequest(query),
      )
      return presentPage(page, presentFlow)
    },
  )

  app.get(
    '/flows/:flow_id',
    {
      schema: {
        operationId: 'getFlow',
        tags,
        summary: 'Get a flow',
        description:
          'With `wait` it answers when there is news: with `If-None-Match` as soon as the flow has another revision (304 when it has not in time), with `until=terminal` as soon as it has ended (or as it is when the time is up).',
        'x-problems': ['not_found'],
        params: flowParams,
        querystring: readQuery,
        response: { 200: ref(FlowSchema), 304: notModified },
      },
      config: { ...needs('flows:read'), longPoll: true },
    },
    async (request, reply) => {
      const known = knownRevisions(request)
      const flow = await read(known)
      reply.header('etag', etag(flow.revision))
      if (known === '*' || known?.includes(flow.revision)) return reply.code(304).send()
      return reply.code(200).send(presentFlow(flow))

      async function read(known: '*' | number[] | undefined): Promise<FlowRecord> {
        const flowId = flowIdOf(request.params)
        const { wait, until } = request.query
        if (wait === undefined) {
          if (until === undefined) return engine.flows.get(callerOf(request), flowId)
          throw invalid('?until', 'incomplete', 'Send wait beside until, such as wait=PT30S.')
        }
        const millis = waitMillis(wait)
        const target = until === 'terminal' ? { terminal: true as const } : { revision: one(known) }
        return whileWanted(reply, shutdown, (signal) =>
          engine.flows.waitFor(callerOf(request), flowId, target, millis, signal),
        )
      }
    },
  )

  app.patch(
    '/flows/:flow_id',
    {
      schema: {
        operationId: 'updateFlow',
        tags,
        summary: 'Change labels and retention',
        description:
          'Labels are merged; null removes one. `retain` says how long the flow is kept after its end. Possible in every status; both at once are two revisions.',
        'x-problems': ['not_found', 'limit_exceeded'],
        params: flowParams,
        querystring: noQuery,
        body: ref(UpdateFlowSchema),
        response: { 200: ref(FlowSchema) },
      },
      config: needs('flows:write'),
    },
    async (request, reply) => {
      const result = await engine.flows.change(
        callerOf(request),
        flowIdOf(request.params),
        updateCommand(request.body),
        changeOptions(request),
      )
      changeHeaders(reply, result)
      return presentFlow(result.flow)
    },
  )

  done()
}

/** The one revision that a long poll waits to see replaced. */
function one(known: '*' | number[] | undefined): number {
  if (known !== undefined && known !== '*' && known.length === 1 && known[0] !== undefined) {
    return known[0]
  }
  throw invalid(
    '?wait',
    'incomplete',
    'Waiting needs If-None-Match with the ETag of one flow answer, or until=terminal.',
  )
}

function updateCommand({ labels = {}, retain }: Static<typeof UpdateFlowSchema>): Command {
  if (retain === undefined) return { type: 'update_labels', labels }
  const retain_ms = retain === null ? null : parseDuration(retain, '/retain')
  return { type: 'update_retention', labels, retain_ms }
}

function filterOf(query: ListQuery): FlowFilter {
  const labels = Object.entries(query).flatMap(([member, value]): [string, string][] =>
    member.startsWith(labelPrefix) && typeof value === 'string'
      ? [[member.slice(labelPrefix.length), value]]
      : [],
  )
  return {
    ...(query.status !== undefined && { status: query.status }),
    ...(query.owner_session_key !== undefined && { owner_session_key: query.owner_session_key }),
    ...(query.controller_id !== undefined && { controller_id: query.controller_id }),
    ...(query.key !== undefined && { key: query.key }),
    ...(labels.length > 0 && { labels: Object.fromEntries(labels) }),
    ...(query.held !== undefined && { held: query.held }),
    ...(query['wait.kind'] !== undefined && { wait_kind: query['wait.kind'] }),
    ...(query['wait.topic'] !== undefined && { wait_topic: query['wait.topic'] }),
    ...(query['wait.correlation_id'] !== undefined && {
      wait_correlation_id: query['wait.correlation_id'],
    }),
    ...(query.created_after !== undefined && {
      created_after: parseTimestamp(query.created_after, '?created_after'),
    }),
    ...(query.created_before !== undefined && {
      created_before: parseTimestamp(query.created_before, '?created_before'),
    }),
  }
}
