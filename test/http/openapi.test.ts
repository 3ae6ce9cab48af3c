// The OpenAPI document: the rules that make one which all generators and readers like, its examples,
// and that it tells what the service does.

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { afterAll, describe, expect, it } from 'vitest'
import { makeTwin } from '../../src/http/openapi-twin.ts'
import type { OpenApiDocument, SchemaObject } from '../../src/http/openapi-types.ts'
import { problemCodes } from '../../src/http/problem-catalogue.ts'
import {
  complain,
  idleApp,
  mediaOf,
  operationsOf,
  parametersOf,
  schemaPrefix,
} from '../support/openapi.ts'
import { operationRules } from '../support/openapi-operation-rules.ts'
import { schemaRules } from '../support/openapi-schema-rules.ts'

const checkout = join(import.meta.dirname, '../..')
const manifest: { version: string } = JSON.parse(
  await readFile(join(checkout, 'package.json'), 'utf8'),
)
const app = idleApp(manifest.version)
const routes: { method: string; url: string; hidden: boolean; operationId: unknown }[] = []
app.addHook('onRoute', ({ method, url, schema }) => {
  for (const each of [method].flat()) {
    if (each === 'HEAD') continue
    const { hide, operationId } = schema ?? {}
    routes.push({ method: each, url, hidden: hide === true, operationId })
  }
})
await app.ready()
afterAll(() => app.close())

const document: OpenApiDocument = app.openApi()
const operations = operationsOf(document)
const { schemas } = document.components

describe('the document', () => {
  it('1: is JSON in version 3.1.0, with a 3.0.3 twin', async () => {
    const answer = await app.inject('/openapi.json')
    expect(answer.headers['content-type']).toMatch(/^application\/json/)
    expect(answer.json()).toEqual(document)
    expect(document.openapi).toBe('3.1.0')
    expect(document.info.version).toBe(manifest.version)
    const twin = await app.inject('/openapi-3.0.json')
    expect(twin.json()).toMatchObject({ openapi: '3.0.3' })
  })

  describe.each([...schemaRules, ...operationRules])('$title', ({ faults, plant }) => {
    it('holds', () => {
      expect(faults(document)).toEqual([])
    })

    it('finds a planted fault', () => {
      const broken = structuredClone(document)
      plant(broken)
      expect(faults(broken)).not.toEqual([])
    })
  })

  describe('20: shows examples', () => {
    const ajv = new Ajv2020({ allErrors: true, strict: false })
    addFormats.default(ajv)
    ajv.addSchema(document, 'openapi')
    const judge = (schema: SchemaObject, value: unknown) =>
      ajv.validate({ $ref: `openapi${schema.$ref ?? ''}` }, value) ? false : ajv.errorsText()

    it('one for every schema, and it validates', () => {
      expect(
        complain(Object.entries(schemas), ([name, { examples = [] }]) => {
          if (examples.length !== 1) return `${name}: ${examples.length} examples`
          const fault = judge({ $ref: `${schemaPrefix}${name}` }, examples[0])
          return fault && `${name}: ${fault}`
        }),
      ).toEqual([])
      expect(judge({ $ref: `${schemaPrefix}Wait` }, { kind: 'timer' })).not.toBe(false)
    })

    it('one for every body that is sent or answered, and it validates', () => {
      expect(
        complain(mediaOf(document), ({ at, media: { schema, example } }) => {
          if (example === undefined) return `${at}: none`
          const fault = judge(schema, example)
          return fault && `${at}: ${fault}`
        }),
      ).toEqual([])
    })

    // Answered without asking the engine: the tool first asks whose flows these are.
    const unasked = ['/health/live', '/metrics', '/tool/taskflow', '/bindings/self']

    it('as requests that the service takes', async () => {
      const refused: string[] = []
      for (const { at, method, path, operation } of operations) {
        const parameters = parametersOf(document, operation)
        const url = path.replace(/\{(\w+)\}/g, (_, name: string) =>
          encodeURIComponent(String(parameters.find((one) => one.name === name)?.example)),
        )
        const payload = operation.requestBody?.content['application/json']?.example
        const answer = await app.inject({
          method: method.toUpperCase() as 'GET' | 'POST' | 'PUT' | 'PATCH',
          url,
          ...(payload !== undefined && {
            headers: { 'content-type': 'application/json' },
            payload: JSON.stringify(payload),
          }),
        })
        // The engine of this test fails whenever it is asked: the request has come through.
        const through = answer.statusCode === (unasked.includes(path) ? 200 : 500)
        if (!through) refused.push(`${at}: ${answer.statusCode} ${answer.body}`)
      }
      expect(refused).toEqual([])
    })

    it('of problems, with all their members', () => {
      const { examples = {} } =
        document.components.responses['Problem']?.content?.['application/problem+json'] ?? {}
      expect(Object.keys(examples).length).toBeGreaterThan(3)
      expect(
        complain(Object.entries(examples), ([name, { value }]) => {
          const fault = judge({ $ref: `${schemaPrefix}Problem` }, value)
          return fault && `${name}: ${fault}`
        }),
      ).toEqual([])
    })
  })

  it('tells of every route but the pages', () => {
    const documented = operations.map(({ at }) => at.replace(/\{(\w+)\}/g, ':$1'))
    const shown = routes.filter(({ hidden }) => !hidden)
    expect(shown.map(({ method, url }) => `${method} ${url}`).sort()).toEqual(documented.sort())
    expect(shown.filter(({ operationId }) => operationId === undefined)).toEqual([])
    const pages = /^\/($|docs|openapi|problems)/
    expect(routes.filter(({ hidden, url }) => hidden && !pages.test(url))).toEqual([])
  })

  it('tells of every problem, at the operations that can have it', () => {
    const told = new Set(operations.flatMap(({ operation }) => operation['x-problems'] ?? []))
    const { description } = document.info
    const untold = problemCodes.filter((code) => !told.has(code))
    expect(untold.filter((code) => !description.includes(`\`${code}\``))).toEqual([])
    expect(
      complain(operations, ({ at, operation }) => {
        const texts = Object.values(operation.responses).map((response) => response.description)
        const codes = operation['x-problems'] ?? []
        const missing = codes.filter((code) => !texts.some((text) => text?.includes(`\`${code}\``)))
        return (codes.length === 0 || missing.length > 0) && `${at}: ${missing}`
      }),
    ).toEqual([])
  })

  it('is what is committed in openapi/, and so is its twin', async () => {
    for (const [name, content] of [
      ['openapi.json', document],
      ['openapi-3.0.json', makeTwin(document)],
    ] as const) {
      const committed = await readFile(join(checkout, 'openapi', name), 'utf8')
      expect(committed, 'run: npm run openapi').toBe(`${JSON.stringify(content, null, 2)}\n`)
    }
  })

  it('passes the linter, and so does its twin', async () => {
    const env = {
      ...process.env,
      REDOCLY_TELEMETRY: 'off',
      REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true',
    }
    const { stderr } = await promisify(execFile)(
      join(checkout, 'node_modules/.bin/redocly'),
      ['lint', 'openapi/openapi.json', 'openapi/openapi-3.0.json'],
      { cwd: checkout, env },
    )
    expect(stderr).toContain('Your API descriptions are valid')
  })
})

describe('the 3.0 twin', () => {
  it('says nothing that only 3.1 knows', () => {
    expect(newerThan30(makeTwin(document), '')).toEqual([])
    expect(newerThan30(document, '')).not.toEqual([])
  })
})

/** Where a document uses what 3.0 does not have. */
function newerThan30(value: unknown, at: string): string[] {
  if (Array.isArray(value)) return value.flatMap((one, i) => newerThan30(one, `${at}/${i}`))
  if (typeof value !== 'object' || value === null) return []
  const found = '$ref' in value && Object.keys(value).length > 1 ? [`${at}: beside $ref`] : []
  const named = /\/(properties|schemas)$/.test(at)
  for (const [name, inner] of Object.entries(value)) {
    const here = `${at}/${name}`
    if (named) found.push(...newerThan30(inner, here))
    else if (['example', 'enum', 'mapping'].includes(name)) continue
    else if (['const', 'propertyNames', 'identifier'].includes(name)) found.push(here)
    else if (name === 'examples') found.push(...(Array.isArray(inner) ? [here] : []))
    else if (name === 'type' && (Array.isArray(inner) || inner === 'null')) found.push(here)
    else found.push(...newerThan30(inner, here))
  }
  return found
}
