// What the walks over all operations have in common: names of what a caller has, and requests that must be accepted.

import { expect } from 'vitest'
import type { Api } from './api.ts'

/** Names that a test gives itself, by the parameter that stands for them in paths. */
export const ownNames = {
  run_id: 'run-1',
  key: 'memo-1',
  name: 'approved',
  source_id: 'plain',
  controller_id: 'plain',
  token: 'none',
} as const

export type Method = Parameters<Api['call']>[0]

/** Sends a request with a key and answers its body; a request that is refused fails the test. */
export async function accepted(
  api: Api,
  key: string,
  method: Method,
  path: string,
  body?: unknown,
) {
  const answer = await api.call(method, path, body, { authorization: `Bearer ${key}` })
  expect([path, answer.status < 300], answer.text).toEqual([path, true])
  return answer.body
}
