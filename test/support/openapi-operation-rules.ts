// The rules of a document that all generators like, as far as they are about operations, names and
// the whole. Each has a planted fault that it must find.

import type { OpenApiDocument, Operation } from '../../src/http/openapi-types.ts'
import {
  complain,
  isReference,
  mediaOf,
  operationsOf,
  parametersOf,
  type Rule,
  schemaNamed,
  schemaPrefix,
  schemasOf,
} from './openapi.ts'

const problemRef = '#/components/responses/Problem'
const snakeCase = /^[a-z]+(_[a-z]+)*$/
/** Names of types and words that common languages keep for themselves. */
const typeNames = 'Error Event Object Promise Response Request Map Set Date String Number'.split(
  ' ',
)
/** What a worker is given is no list to leaf through. */
const handedOut = ['ClaimAnswer', 'SettledStep', 'ReportedOutcomes']
const keywords = 'import class from async return default public private'.split(' ')

export const operationRules: Rule[] = [
  {
    title: '2: every operation has a verb and a noun, a short summary, one tag and a curl line',
    faults: (document) => {
      const tags = document.tags.map((tag) => tag.name)
      const ids = operationsOf(document).map(({ operation }) => operation.operationId)
      return [
        ...ids.filter((id, i) => ids.indexOf(id) !== i),
        ...complain(operationsOf(document), ({ at, operation }) => {
          const { operationId, summary, description } = operation
          if (!/^[a-z]+([A-Z][a-z]+)+$/.test(operationId)) return `${at}: ${operationId}`
          if (summary.split(' ').length > 6) return `${at}: ${summary}`
          const [tag = ''] = operation.tags
          if (operation.tags.length !== 1 || !tags.includes(tag)) return `${at}: ${operation.tags}`
          return !description.includes('```sh\ncurl ') && `${at}: no curl`
        }),
      ]
    },
    plant: (document) => {
      someOperation(document, 'getFlow').operationId = 'get_flow'
    },
  },
  {
    title: '5: no query parameter with a default is required',
    faults: (document) =>
      complain(
        allParameters(document),
        ({ at, parameter: { required, schema = {} } }) =>
          required === true && 'default' in schema && at,
      ),
    plant: (document) => {
      for (const { parameter } of allParameters(document)) parameter.required = true
    },
  },
  {
    title: '13: every error is the one problem, under its own code',
    faults: (document) => {
      const { content = {} } = document.components.responses['Problem'] ?? {}
      const schema = content['application/problem+json']?.schema.$ref
      return [
        ...(Object.keys(content).length === 1 && schema === `${schemaPrefix}Problem`
          ? []
          : ['Problem']),
        ...complain(operationsOf(document), ({ at, operation }) => {
          const wrong = Object.entries(operation.responses).filter(([status, response]) => {
            const problem = isReference(response) && response.$ref === problemRef
            return !/^[1-5]\d\d$/.test(status) || problem !== Number(status) >= 400
          })
          return wrong.length > 0 && `${at}: ${wrong.map(([status]) => status)}`
        }),
      ]
    },
    plant: (document) => {
      someOperation(document, 'getFlow').responses['4XX'] = { $ref: problemRef }
    },
  },
  {
    title: '14: 204 and 304 are empty, and a 201 says where, and of a flow which revision',
    faults: (document) =>
      complain(operationsOf(document), ({ at, operation }) => {
        const { 201: created, 204: empty, 304: same } = operation.responses
        if (created !== undefined && !isReference(created)) {
          const { headers = {} } = created
          // What is recorded beside a flow makes no revision of it.
          const ofFlow = at.includes(' /flows') && !at.includes('/memo/')
          const versioned = 'ETag' in headers || !ofFlow
          if (!('Location' in headers && versioned)) return `${at} 201`
        }
        return [empty, same].some((response) => response && 'content' in response) && at
      }),
    plant: (document) => {
      const created = someOperation(document, 'createFlow').responses['201']
      if (created !== undefined && !isReference(created)) delete created.headers?.['Location']
    },
  },
  {
    title: '15: streams have paths of their own',
    faults: (document) =>
      complain(operationsOf(document), ({ at, path, operation }) => {
        const media = Object.values(operation.responses).flatMap((response) =>
          isReference(response) ? [] : Object.entries(response.content ?? {}),
        )
        const streams = media.some(([type]) => type === 'text/event-stream')
        if (streams !== path.endsWith('/stream')) return at
        const texts = media.every(([, { schema }]) => schema.type === 'string')
        return streams && (media.length > 1 || !texts || !('x-sse-event' in operation)) && at
      }),
    plant: (document) => {
      const [media] = mediaOf(document, 'responses')
      const answer = someOperation(document, 'listFlowEvents').responses['200']
      if (media === undefined || answer === undefined || isReference(answer)) return
      answer.content = { ...answer.content, 'text/event-stream': media.media }
    },
  },
  {
    title: '16: a list in a query repeats its parameter, and no object is in one',
    faults: (document) =>
      complain(allParameters(document), ({ at, parameter }) => {
        if (parameter.in !== 'query') return false
        const { schema = {}, style, explode } = parameter
        if (schema.type === 'array') return (style !== 'form' || explode !== true) && at
        return (schema.type === 'object' || style !== undefined) && at
      }),
    plant: (document) => {
      for (const { parameter } of allParameters(document)) {
        if (parameter.name === 'status') parameter.style = 'deepObject'
      }
    },
  },
  {
    title: '17: names follow one pattern each, and clash with no language',
    faults: (document) => {
      const names = Object.keys(document.components.schemas)
      const paths = Object.keys(document.paths)
      const inPaths = paths.flatMap((path) => path.match(/(?<=\{)[^}]+/g) ?? [])
      return [
        ...names.filter((name) => !/^([A-Z][a-z]+)+$/.test(name) || typeNames.includes(name)),
        ...complain(schemasOf(document), ({ at, schema }) => {
          const wrong = Object.keys(schema.properties ?? {}).filter(
            (name) => !snakeCase.test(name) || keywords.includes(name),
          )
          return wrong.length > 0 && `${at}: ${wrong}`
        }),
        ...inPaths.filter(
          (name) =>
            ![
              'flow_id',
              'run_id',
              'step_id',
              'key',
              'name',
              'signal_id',
              'token',
              'source_id',
              'message_id',
              'controller_id',
              'hook_id',
              'delivery_id',
              'binding_id',
              'key_id',
            ].includes(name),
        ),
        ...paths.filter((path) => path.startsWith('/flows/{') && !path.includes('{flow_id}')),
      ]
    },
    plant: (document) => {
      schemaNamed(document, 'Flow').properties = { from: { type: 'string' } }
    },
  },
  {
    title: '18: every list is paged in the same way',
    faults: (document) =>
      complain(operationsOf(document), ({ at, operation }) => {
        const media = mediaOf(document, 'responses').find((one) => one.at === `${at} 200`)
        const name = media?.media.schema.$ref?.slice(schemaPrefix.length) ?? ''
        const { properties = {}, required = [] } = name === '' ? {} : schemaNamed(document, name)
        const listed = operation.operationId.startsWith('list')
        if (!listed) return 'items' in properties && !handedOut.includes(name) && at
        const names = parametersOf(document, operation).map((parameter) => parameter.name)
        const whole =
          name.endsWith('Page') &&
          ['items', 'next_cursor'].every((member) => required.includes(member)) &&
          ['limit', 'cursor'].every((parameter) => names.includes(parameter))
        return !whole && at
      }),
    plant: (document) => {
      schemaNamed(document, 'StepPage').required = ['items']
    },
  },
  {
    title: '19: it says where it is served, how callers prove who they are, and its licence',
    faults: (document) => [
      ...(document.servers.map(({ url }) => url).join() === '/,http://localhost:3000'
        ? []
        : ['servers']),
      ...(document.security.some((one) => 'bearer' in one) ? [] : ['security']),
      ...(document.components.securitySchemes['bearer']?.scheme === 'bearer' ? [] : ['scheme']),
      ...(document.info.license.identifier === 'MIT OR Apache-2.0' ? [] : ['licence']),
    ],
    plant: (document) => {
      delete document.info.license.identifier
    },
  },
]

function allParameters(document: OpenApiDocument) {
  return operationsOf(document).flatMap(({ at, operation }) =>
    parametersOf(document, operation).map((parameter) => ({
      at: `${at} ${parameter.name}`,
      parameter,
    })),
  )
}

function someOperation(document: OpenApiDocument, id: string): Operation {
  const found = operationsOf(document).find(({ operation }) => operation.operationId === id)
  if (found === undefined) throw new Error(`there is no ${id}`)
  return found.operation
}
