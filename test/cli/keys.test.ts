// Bindings and keys by commands, against a service that asks for keys.

import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { type ServiceProcess, startService } from '../support/service.ts'
import { type Typed, type, typeLine } from '../support/terminal.ts'

let database: TestDatabase
let service: ServiceProcess
let admin: string
let folder: string
beforeAll(async () => {
  // The key that the command makes up is one that the service takes.
  admin = (await type(['key', 'create', '--admin'])).out.trim()
  database = await createTestDatabase()
  service = await startService({ DATABASE_URL: database.url, TASKFLOW_ADMIN_KEY: admin })
  folder = await mkdtemp(join(tmpdir(), 'taskflow-keys-'))
  await chmod(folder, 0o700)
})
afterAll(async () => {
  await service.kill('SIGKILL')
  await database.drop()
  await rm(folder, { recursive: true })
})

const as = (key: string | null, ...words: string[]): Promise<Typed> =>
  type(words, {
    env: { TASKFLOW_URL: service.base, ...(key !== null && { TASKFLOW_KEY: key }) },
  })

const flow = ['--controller', 'c', '--goal', 'g', '--requester', 'r']

it('locks out who has no key, or a wrong one', async () => {
  for (const key of [null, 'wrong', `tf_live_${'0'.repeat(32)}_${'A'.repeat(43)}`]) {
    const typed = await as(key, 'flow', 'list')
    expect(typed).toMatchObject({ code: 5, out: '' })
    expect(typed.err).toMatch(/^error: .+ \(401 unauthenticated\)\n/)
    expect(typed.err).toMatch(/\n {2}try: give a key with --key or TASKFLOW_KEY/)
  }
})

it('gives a caller a key for just what it needs, and takes it back', {
  timeout: 60_000,
}, async () => {
  const name = 'cli-test'
  const actions = ['--action', 'flows:read', '--action', 'flows:write']
  const made = await as(admin, 'binding', 'create', '--name', name, ...actions, '--json')
  const binding: string = JSON.parse(made.out).id
  expect((await as(admin, 'binding', 'list')).out).toContain(name)
  expect((await as(admin, 'binding', 'show', binding)).out).toMatch(
    /^actions +flows:read flows:write$/m,
  )

  const file = join(folder, 'key.txt')
  const env = { TASKFLOW_URL: service.base, TASKFLOW_KEY: admin }
  const created = await typeLine(`taskflow key create --binding ${binding} > ${file}`, env)
  const keyId = /the id (\S+)\./.exec(created.err)?.[1] ?? ''
  const listed = await as(admin, 'key', 'list', '--binding', binding)
  expect(listed.out).toContain(keyId)

  const asCaller = (...words: string[]) =>
    type(words, { env: { TASKFLOW_URL: service.base, TASKFLOW_KEY_FILE: file } })
  const flowId: string = JSON.parse(
    (await asCaller('flow', 'create', ...flow, '--owner', 'o', '--start', '--json')).out,
  ).id
  expect((await asCaller('flow', 'show', flowId)).code).toBe(0)
  const refused = await asCaller('flow', 'cancel', flowId)
  expect(refused).toMatchObject({ code: 5, out: '', err: expect.stringContaining('403 forbidden') })
  expect((await asCaller('binding', 'show', 'self')).out).toContain('flows:read')
  expect((await asCaller('binding', 'list')).code).toBe(5)

  const minted = await asCaller('key', 'mint', '--action', 'flows:read', '--expires-in', 'PT1H')
  expect(minted.out).toMatch(/^tf_live_\S+\n$/)
  expect((await as(minted.out.trim(), 'flow', 'show', flowId)).code).toBe(0)
  expect((await as(minted.out.trim(), 'flow', 'finish', flowId)).code).toBe(5)

  const revoked = await as(admin, 'key', 'revoke', keyId, '--binding', binding)
  expect(revoked).toMatchObject({ code: 0, out: '' })
  await expect
    .poll(async () => (await asCaller('flow', 'list')).code, { timeout: 10_000, interval: 200 })
    .toBe(5)
  expect((await as(admin, 'binding', 'delete', binding)).code).toBe(0)
  expect((await as(admin, 'binding', 'show', binding)).code).toBe(3)
})

it('takes the tour with a key', { timeout: 60_000 }, async () => {
  const { code, out } = await as(admin, 'tour')
  expect(code).toBe(0)
  expect(out).toContain('That was the tour.')
  expect(out).toContain('Authorization: Bearer $TASKFLOW_KEY')
  expect(out).not.toContain(admin)
})
