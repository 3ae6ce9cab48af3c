// The rules of a document that all generators like, as far as they are about schemas. Each has a
// planted fault that it must find.

import type { OpenApiDocument, SchemaObject } from '../../src/http/openapi-types.ts'
import {
  answeredBy,
  complain,
  isNullable,
  mediaOf,
  type Rule,
  schemaNamed,
  schemaPrefix,
  schemasOf,
  sentTo,
} from './openapi.ts'

const banned =
  'anyOf allOf not if then else prefixItems patternProperties unevaluatedProperties unevaluatedItems dependentSchemas contains'.split(
    ' ',
  )

const waits = ['TimerWait', 'ExternalEventWait', 'ManualWait', 'AnyWait', 'AllWait']

/** Optional members of answers, each for a reason: they are only there when there is something to say. */
const sometimesThere = [
  'CreateFlowResult.created',
  'CreateFlowResult.flow_id',
  'CreateFlowResult.hooks',
  'CreateFlowResult.problem',
  'CreateFlowResult.revision',
  'ItemProblem.errors',
  'ItemProblem.flow_id',
  'ClaimedStep.checkpoint',
  'ClaimedStep.signal',
  'ClaimedStep.traceparent',
  'CreatedFlow.hooks',
  'DeliveredSignal.signal_id',
  'InputFault.allowed',
  'InputFault.did_you_mean',
  'LinkDecision.payload',
  'ResumeLink.schema',
  'ManualBranch.signal',
  'ManualWait.signal',
  'Move.body',
  'NextAction.body',
  'OutcomeResult.discarded',
  'OutcomeResult.problem',
  'OutcomeResult.repeated',
  'Signal.payload',
  'StepError.code',
  'StepError.details',
  ...waits.flatMap((name) =>
    ['timeout_at', 'on_timeout', 'link', 'link_expires_at', 'next'].map(
      (member) => `${name}.${member}`,
    ),
  ),
  'ToolAnswer.error',
  'ToolAnswer.flow',
  'ToolAnswer.flows',
  'ToolAnswer.message',
]

/** Members for which absent and null are two answers: no link, and one that lives as long as its wait. */
const absentOrNull = waits.map((name) => `${name}.link_expires_at`)
/** Requests whose body is the payload of a signal, which can be any value. */
const wholePayloads = ['POST /r/{token}']

/** Lists in answers that are promised never to grow. */
const closedLists = [
  'CreatedFlow.mode',
  'CreatedFlow.status',
  'Flow.mode',
  'Flow.status',
  ...['Step', 'ObservedStep', 'ClaimedStep', 'StepDetail'].flatMap((name) => [
    `${name}.runtime`,
    `${name}.status`,
  ]),
]

function inlineObject({ type, properties, oneOf, additionalProperties }: SchemaObject): boolean {
  const union = oneOf !== undefined && !isNullable(oneOf) && !isSwitch(oneOf)
  return (
    type === 'object' || properties !== undefined || additionalProperties !== undefined || union
  )
}

/** `true`, or settings under a name: generators make `boolean | Settings` of it, in both editions. */
function isSwitch(branches: SchemaObject[]): boolean {
  return branches.length === 2 && branches[0]?.type === 'boolean' && branches[1]?.$ref !== undefined
}

function optionalMembers(document: OpenApiDocument): string[] {
  return [...answeredBy(document)].flatMap((name) => {
    const { properties = {}, required = [] } = schemaNamed(document, name)
    return Object.keys(properties)
      .filter((property) => !required.includes(property))
      .map((property) => `${name}.${property}`)
  })
}

export const schemaRules: Rule[] = [
  {
    title: '3: every object has a name',
    faults: (document) => [
      ...complain(
        schemasOf(document),
        ({ at, schema, depth }) => depth > 0 && inlineObject(schema) && at,
      ),
      ...complain(
        mediaOf(document),
        // A stream is a text, whatever stands in it: rule 15.
        ({ at, media: { schema } }) =>
          schema.type !== 'string' && Object.keys(schema).join() !== '$ref' && at,
      ),
      ...Object.keys(document.components.schemas).filter((name) => /def-|\d/.test(name)),
    ],
    plant: (document) => setMember(document, 'Flow', 'wait', { type: 'object' }),
  },
  {
    title: '4: requests and answers are different, and only requests refuse unknown members',
    faults: (document) => {
      const sent = sentTo(document)
      const answered = answeredBy(document)
      const shared = ['JsonObject', 'JsonValue', 'Labels', 'LabelFilter']
      return [
        ...[...sent].filter((name) => answered.has(name) && !shared.includes(name)),
        ...complain(
          Object.entries(document.components.schemas),
          ([name, { properties, additionalProperties }]) => {
            if (properties === undefined) return false
            const open = additionalProperties === undefined
            return sent.has(name) ? additionalProperties !== false && name : !open && name
          },
        ),
      ]
    },
    plant: (document) => {
      schemaNamed(document, 'CreateFlow').additionalProperties = true
    },
  },
  {
    title: '5: no member of a body has a default',
    faults: (document) =>
      complain(schemasOf(document), ({ at, schema }) => 'default' in schema && at),
    plant: (document) =>
      setMember(document, 'CreateFlow', 'start', { type: 'boolean', default: false }),
  },
  {
    title: '6: null is said by type, or by one of two for references',
    faults: (document) =>
      complain(schemasOf(document), ({ at, schema: { $ref, type, oneOf = [], ...rest } }) => {
        if ('nullable' in rest) return `${at}: nullable`
        if ($ref !== undefined && Object.keys(rest).length > 0) return `${at}: beside $ref`
        if (Array.isArray(type) && !/^[a-z]+,null$/.test(type.join())) return `${at}: ${type}`
        const nulls = oneOf.some((branch) => branch.type === 'null')
        return nulls && !isNullable(oneOf) && `${at}: a wider union with null`
      }),
    plant: (document) =>
      setMember(document, 'Flow', 'wait', { $ref: `${schemaPrefix}Wait`, nullable: true }),
  },
  {
    title: '7: what an answer always has is required, null or not',
    faults: (document) => {
      const optional = optionalMembers(document)
      const nullable = schemasOf(document).filter(
        ({ schema }) => Array.isArray(schema.type) || isNullable(schema.oneOf ?? []),
      )
      return [
        ...optional.filter((at) => !at.startsWith('Problem.') && !sometimesThere.includes(at)),
        ...nullable
          .map(({ at }) => at)
          .filter((at) => optional.includes(at) && !absentOrNull.includes(at)),
      ]
    },
    plant: (document) => {
      const flow = schemaNamed(document, 'Flow')
      flow.required = flow.required?.filter((name) => name !== 'key') ?? []
    },
  },
  {
    title: '8: the branches of a union differ by a required tag, and all are mapped',
    faults: (document) =>
      complain(Object.entries(document.components.schemas), ([name, { oneOf, discriminator }]) => {
        if (oneOf === undefined) return false
        const { propertyName = '', mapping } = discriminator ?? {}
        const pairs = oneOf.map(({ $ref = '' }) => {
          const branch = schemaNamed(document, $ref.slice(schemaPrefix.length))
          const { type, const: value } = branch.properties?.[propertyName] ?? {}
          const told = type === 'string' && branch.required?.includes(propertyName)
          return [told ? String(value) : '', $ref]
        })
        const whole = JSON.stringify(Object.fromEntries(pairs)) === JSON.stringify(mapping)
        return !(whole && pairs.every(([tag]) => tag !== '')) && name
      }),
    plant: (document) => {
      delete schemaNamed(document, 'Wait').discriminator?.mapping?.['manual']
    },
  },
  {
    title: '9: no keyword that generators choke on',
    faults: (document) =>
      complain(schemasOf(document), ({ at, schema }) => {
        const found = banned.filter((keyword) => keyword in schema)
        return found.length > 0 && `${at}: ${found}`
      }),
    plant: (document) => {
      schemaNamed(document, 'Labels')['patternProperties'] = { '.': { type: 'string' } }
    },
  },
  {
    title: '10: only lists that never grow are closed in answers; the others are told',
    faults: (document) => {
      const sent = sentTo(document)
      const answered = answeredBy(document)
      return complain(schemasOf(document), ({ at, schema }) => {
        const [name = ''] = at.split('.')
        const closed = schema.enum !== undefined && answered.has(name) && !sent.has(name)
        if (closed) return !closedLists.includes(at) && at
        const values: unknown = schema['x-extensible-enum']
        if (values === undefined) return false
        if (!Array.isArray(values) || schema.type !== 'string') return at
        const untold = values.filter((value) => !schema.description?.includes(`\`${value}\``))
        return untold.length > 0 && `${at}: ${untold}`
      })
    },
    plant: (document) =>
      setMember(document, 'FlowEvent', 'kind', { type: 'string', enum: ['created'] }),
  },
  {
    title: '11: one name for free objects, one for free values, and no request is just a value',
    faults: (document) => {
      const { type, additionalProperties } = schemaNamed(document, 'JsonObject')
      const value = Object.keys(schemaNamed(document, 'JsonValue')).sort().join()
      return [
        ...(type === 'object' && additionalProperties === true ? [] : ['JsonObject']),
        ...(value === 'description,examples' ? [] : ['JsonValue']),
        ...complain(
          mediaOf(document, 'requestBody'),
          ({ at, media }) =>
            media.schema.$ref === `${schemaPrefix}JsonValue` && !wholePayloads.includes(at) && at,
        ),
      ]
    },
    plant: (document) => {
      schemaNamed(document, 'JsonValue').type = 'string'
    },
  },
  {
    title: '12: integers are bounded, times and durations have their formats',
    faults: (document) =>
      complain(schemasOf(document), ({ at, schema }) => {
        const types = [schema.type].flat()
        if (types.includes('number')) return `${at}: number`
        const bounded = 'minimum' in schema && 'maximum' in schema
        if (types.includes('integer') && !bounded) return `${at}: unbounded`
        const name = at.split('.').at(-1) ?? ''
        if (/(^|_)(at|since|until)$/.test(name) && schema.format !== 'date-time') return at
        const shown = schema.pattern !== undefined && schema.examples !== undefined
        return schema.format === 'duration' && !shown && at
      }),
    plant: (document) => setMember(document, 'Flow', 'revision', { type: 'integer', minimum: 0 }),
  },
]

function setMember(
  document: OpenApiDocument,
  name: string,
  member: string,
  schema: SchemaObject,
): void {
  const { properties = {} } = schemaNamed(document, name)
  if (!(member in properties)) throw new Error(`there is no ${name}.${member}`)
  properties[member] = schema
}
