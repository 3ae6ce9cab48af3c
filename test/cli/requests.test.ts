// What commands send: to the letter with --curl, for every operation and suggestion, and with a key that is never shown.

import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import openApi from '../../openapi/openapi.json' with { type: 'json' }
import { commandOf, type Suggestion } from '../../src/cli/next.ts'
import { operationsOf } from '../../src/cli/operations.ts'
import { type Noted, startNoter, type, typeLine } from '../support/terminal.ts'

let noter: Awaited<ReturnType<typeof startNoter>>
beforeAll(async () => {
  noter = await startNoter({ body: '{"id":"k1","key":"tf_test_k1_secret","items":[]}' })
})
afterAll(() => noter.stop())
beforeEach(() => {
  noter.noted.length = 0
})

const taskflow = (words: readonly string[], env: Record<string, string> = {}) =>
  type(words, { env: { TASKFLOW_URL: noter.url, ...env } })

/** What one request was, without what every client words as it likes. */
function essence({ method, url, headers, body }: Noted) {
  const told = ['authorization', 'content-type', 'if-match', 'idempotency-key']
  return { method, url, body, headers: told.map((name) => headers[name]) }
}

const id = '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15'

/** One of each command that sends a request. */
const commands: string[][] = [
  ['flow', 'list', '--status', 'waiting', '--label', "it's=a b&c"],
  ['flow', 'show', id],
  ['flow', 'events', id, '--kind', 'created', '--kind', 'started', '--after', '1'],
  ['flow', 'explain', id],
  ['flow', 'create', '--controller', 'c', '--goal', 'it\'s "done" $HOME `x` \\', '--start'],
  ['flow', 'start', id, '--if-revision', '3', '--idempotency-key', 'a key'],
  ['flow', 'wait', id, '--topic', 't', '--correlation-id', 'ä ö'],
  ['flow', 'signal', id, 'a/b c', '--payload', '{"a":[1,2.50]}'],
  ['flow', 'signal', id, '--topic', 't', '--correlation-id', 'c'],
  ['flow', 'resume', id],
  ['flow', 'update', id, '--patch', '{"a":null}', '--unset', 'b'],
  ['flow', 'finish', id],
  ['flow', 'fail', id, '--reason', 'r'],
  ['flow', 'cancel', id],
  ['flow', 'cancel', id, '--request', '--grace', 'PT1M'],
  ['flow', 'reopen', id, '--step-id', id],
  ['signal', 'send', '--topic', 't', '--correlation-id', 'c'],
  ['signal', 'list'],
  ['signal', 'show', id],
  ['signal', 'redeliver', id],
  ['step', 'list'],
  ['step', 'show', id],
  ['step', 'retry', id],
  ['step', 'skip', id],
  ['step', 'result', id, '--result', '"x"'],
  ['binding', 'create', '--name', 'n', '--action', 'flows:read', '--action', 'tool:*'],
  ['binding', 'list'],
  ['binding', 'show', id],
  ['binding', 'delete', id],
  ['key', 'create', '--binding', id, '--expires-in', 'P90D'],
  ['key', 'list', '--binding', id],
  ['key', 'mint', '--expires-in', 'PT1H', '--action', 'flows:read'],
  ['key', 'revoke', 'k1', '--binding', id],
  ['engine', 'show'],
  ['tick'],
  ['api', 'listFlows', '-p', 'status=running', '-p', 'status=waiting', '-p', 'label.tier=gold'],
  ['api', 'startFlow', '-p', `flow_id=${id}`, '-p', 'If-Match="3"', '-f', 'a=1', '-f', 'b=x y'],
]

describe('--curl', () => {
  it.each(commands)('prints the very request of: %s %s', async (...words: string[]) => {
    const typed = words.filter((word) => word !== undefined)
    const key = { TASKFLOW_KEY: 'geheim-1' }
    // JSON, since the answer is that of no real service.
    expect((await taskflow([...typed, '--json'], key)).code).toBe(0)
    const { code, out } = await taskflow([...typed, '--curl'], key)
    expect(code).toBe(0)
    expect(noter.noted).toHaveLength(1)
    expect(out).not.toContain('geheim')
    expect(out).toContain('$TASKFLOW_KEY')
    expect((await typeLine(out, key)).code).toBe(0)
    const [sent, curled] = noter.noted.map(essence)
    expect(curled).toEqual(sent)
  })

  it('says nothing of a key when there is none', async () => {
    const { out } = await taskflow(['flow', 'list', '--curl'])
    expect(out).toBe(`curl -sS ${noter.url}/flows\n`)
    expect(noter.noted).toEqual([])
  })

  it('tells the streams and the long poll as well', async () => {
    expect((await taskflow(['flow', 'follow', id, '--curl'])).out).toBe(
      `curl -sSN ${noter.url}/flows/${id}/events/stream\n`,
    )
    expect((await taskflow(['flow', 'show', id, '--wait', '5', '--curl'])).out).toContain(
      'wait=PT5S',
    )
  })
})

describe('a suggestion', () => {
  const suggestions: Suggestion[] = [
    { method: 'GET', href: `/flows/${id}` },
    { method: 'GET', href: `/flows/${id}/events` },
    { method: 'GET', href: `/flows/${id}/explain` },
    { method: 'GET', href: `/steps/${id}` },
    { method: 'GET', href: `/flows/${id}/memo/a%2Fb` },
    { method: 'GET', href: '/flows?status=waiting' },
    { method: 'POST', href: `/flows/${id}/start` },
    { method: 'POST', href: `/flows/${id}/cancel` },
    { method: 'POST', href: `/flows/${id}/request-cancel` },
    { method: 'POST', href: `/flows/${id}/finish` },
    { method: 'POST', href: `/flows/${id}/resume`, body: { wait_id: id } },
    { method: 'POST', href: `/flows/${id}/resume`, body: { state_patch: { a: 'b' } } },
    { method: 'POST', href: `/flows/${id}/resume`, body: { unknown: 1 } },
    { method: 'POST', href: `/flows/${id}/wait`, body: { kind: 'timer', after: 'PT1H' } },
    { method: 'POST', href: `/flows/${id}/signals/it's%20me` },
    { method: 'POST', href: `/flows/${id}/signals/go`, body: { payload: 'text' } },
    { method: 'POST', href: `/flows/${id}/reopen`, body: { step_id: id } },
    {
      method: 'POST',
      href: `/flows/${id}/resume-external`,
      body: { topic: '-t', correlation_id: "it's $x" },
    },
    { method: 'POST', href: `/steps/${id}/retry` },
    { method: 'POST', href: '/flows', body: { goal: 'a\nb', on_conflict: 'use_existing' } },
    { method: 'PATCH', href: `/flows/${id}/state`, body: { patch: { n: 1 } } },
    { method: 'PUT', href: '/controllers/a%2Fb', body: { url: 'https://x' } },
    { method: 'DELETE', href: `/hooks/${id}` },
  ]

  it.each(suggestions)('$method $href is a command that sends it', async (suggestion) => {
    const { code } = await typeLine(`${commandOf(suggestion)} --json`, { TASKFLOW_URL: noter.url })
    expect(code).toBe(0)
    const [sent] = noter.noted
    expect(sent?.method).toBe(suggestion.method)
    expect(decodeURIComponent(sent?.url ?? '')).toBe(decodeURIComponent(suggestion.href))
    const body = sent?.body === '' ? {} : JSON.parse(sent?.body ?? '')
    expect(body).toEqual(suggestion.body ?? {})
  })

  it('of the steps of a flow is a list of them', () => {
    const command = commandOf({ method: 'GET', href: `/flows/${id}/steps` })
    expect(command).toBe(`taskflow step list --flow ${id}`)
  })
})

describe('taskflow api', () => {
  const operations = operationsOf(openApi as unknown as Parameters<typeof operationsOf>[0])

  it('lists every operation', async () => {
    const { out } = await taskflow(['api', '--json'])
    const listed: { id: string }[] = JSON.parse(out).items
    const known = Object.values(openApi.paths).flatMap((methods) =>
      Object.values(methods).map(({ operationId }) => operationId),
    )
    expect(listed.map((one) => one.id).toSorted()).toEqual(known.toSorted())
    const table = await taskflow(['api'])
    expect(table.out.trim().split('\n')).toHaveLength(known.length + 1)
  })

  it.each(operations.map((operation) => [operation.id, operation] as const))(
    'calls %s',
    async (name, operation) => {
      const path = operation.parameters.filter((parameter) => parameter.in === 'path')
      const given = path.flatMap((parameter) => ['-p', `${parameter.name}=a b`])
      const body = operation.takesBody ? ['--input', '{"n": 1.50}'] : []
      expect((await taskflow(['api', name, ...given, ...body])).code).toBe(0)
      const [sent] = noter.noted
      expect(sent?.method).toBe(operation.method)
      expect(sent?.url).toBe(operation.path.replace(/\{[^}]+\}/g, 'a%20b'))
      expect(sent?.body).toBe(operation.takesBody ? '{"n": 1.50}' : '')
    },
  )

  it('picks one member, and takes fields as JSON or as text', async () => {
    const picked = await taskflow(['api', 'listFlows', '--pick', '.key'])
    expect(picked.out).toBe('tf_test_k1_secret\n')
    expect((await taskflow(['api', 'listFlows', '--pick', 'items'])).out).toBe('[]\n')
    await taskflow(['api', 'createFlow', '-f', 'n=1', '-f', 't=a=b', '-f', 'j={"x":[]}'])
    expect(noter.noted.at(-1)?.body).toBe('{"n":1,"t":"a=b","j":{"x":[]}}')
  })

  it('takes a body from the standard input', async () => {
    await type(['api', 'createFlow', '--input', '-'], {
      env: { TASKFLOW_URL: noter.url },
      input: '{"goal":"g"}\n',
    })
    expect(noter.noted.at(-1)?.body).toBe('{"goal":"g"}')
  })
})

describe('keys', () => {
  it('come from the flag, the environment, or a file, in this order', async () => {
    const file = join(tmpdir(), `taskflow-cli-key-${process.pid}`)
    await writeFile(file, 'from-file\n')
    const env = { TASKFLOW_KEY: 'from-env', TASKFLOW_KEY_FILE: file }
    const sent = async (words: string[], with_: Record<string, string>) => {
      await taskflow(['engine', 'show', '--json', ...words], with_)
      return noter.noted.at(-1)?.headers.authorization
    }
    expect(await sent(['--key', 'from-flag'], env)).toBe('Bearer from-flag')
    expect(await sent(['--key', `@${file}`], env)).toBe('Bearer from-file')
    expect(await sent([], env)).toBe('Bearer from-env')
    expect(await sent([], { TASKFLOW_KEY_FILE: file })).toBe('Bearer from-file')
    expect(await sent([], {})).toBeUndefined()
    const told = await taskflow(['config'], { TASKFLOW_KEY: 'tf_live_abcdef_0123456789' })
    expect(told.out).toContain('tf_liv…  (TASKFLOW_KEY)')
    expect(told.out).not.toContain('0123456789')
    const json = await taskflow(['config', '--json'])
    expect(JSON.parse(json.out)).toMatchObject({
      url: noter.url,
      url_from: 'TASKFLOW_URL',
      key: null,
    })
  })

  it('are not sent on to where an answer points', async () => {
    const away = await startNoter({ status: 302 })
    const typed = await type(['engine', 'show'], { env: { TASKFLOW_URL: away.url } })
    await away.stop()
    expect(typed.code).toBe(1)
    expect(away.noted).toHaveLength(1)
  })

  it('are made, listed and revoked by the routes of bindings, and printed alone', async () => {
    const made = await taskflow(['key', 'create', '--binding', 'b 1', '--expires-in', 'P1D'])
    expect(made.out).toBe('tf_test_k1_secret\n')
    expect(made.err).toContain('k1')
    await taskflow(['key', 'revoke', 'k1', '--binding', 'b 1'])
    await taskflow(['key', 'list', '--binding', 'b 1', '--json'])
    expect(noter.noted.map(({ method, url, body }) => [method, url, body])).toEqual([
      ['POST', '/bindings/b%201/keys', '{"expires_in":"P1D"}'],
      ['DELETE', '/bindings/b%201/keys/k1', ''],
      ['GET', '/bindings/b%201', ''],
    ])
  })

  it('of the admin are made up here, long and never twice', async () => {
    const keys = await Promise.all(
      Array.from({ length: 20 }, async () => (await taskflow(['key', 'create', '--admin'])).out),
    )
    expect(new Set(keys).size).toBe(20)
    for (const key of keys) expect(key).toMatch(/^[\w-]{43}\n$/)
    expect(noter.noted).toEqual([])
  })
})
