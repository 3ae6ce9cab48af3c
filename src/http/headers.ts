// The request headers that stand beside a change or a read: preconditions and idempotency keys.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { FlowError, invalid } from '../domain/errors.ts'
import type { ChangeOptions, Reply } from '../engine/change.ts'
import { requestFingerprint } from './server.ts'

const revisionTag = /^"(0|[1-9]\d{0,14})"$/
const anyTag = /^(?:W\/)?"([\x21\x23-\x7e\x80-\xff]*)"$/
const printable = /^[\x20-\x7e]{1,255}$/

/** The preconditions of a change, read from its headers. */
export function changeOptions(request: FastifyRequest): ChangeOptions {
  const revision = expectedRevision(request)
  const key = idempotencyKey(request)
  return {
    ...(revision !== undefined && { if_match: revision }),
    ...(key !== undefined && {
      idempotency: { key, fingerprint: requestFingerprint(request) },
    }),
  }
}

function expectedRevision(request: FastifyRequest): number | undefined {
  const header = request.headers['if-match']
  if (header === undefined) return undefined
  // One strong tag only: a change is meant for one revision, and a weak tag promises none.
  const digits = revisionTag.exec(header)?.[1]
  if (digits === undefined) {
    throw invalid(
      'if-match',
      'invalid_value',
      'If-Match takes the ETag of one flow answer, such as "3" with its quotes.',
    )
  }
  return Number(digits)
}

/** What stands beside a change that is of no one flow, so that `If-Match` cannot mean anything. */
export function unconditionalOptions(request: FastifyRequest): ChangeOptions {
  if (request.headers['if-match'] === undefined) return changeOptions(request)
  throw invalid(
    'if-match',
    'not_applicable',
    'This request is not about the revision of one flow: send no If-Match.',
  )
}

function idempotencyKey(request: FastifyRequest): string | undefined {
  const header = request.headers['idempotency-key']
  if (header === undefined) return undefined
  if (typeof header !== 'string' || !printable.test(header)) {
    const message = 'Idempotency-Key takes 1 to 255 printable ASCII characters.'
    throw new FlowError('idempotency_key_invalid', message, {
      errors: [{ pointer: 'idempotency-key', code: 'invalid_value', message }],
    })
  }
  return header
}

/**
 * What `If-None-Match` names: every revision (`*`), or some. A tag that is no revision is none of
 * ours and matches nothing. Weak tags count: that is how this header compares.
 */
export function knownRevisions(request: FastifyRequest): '*' | number[] | undefined {
  const header = request.headers['if-none-match']
  if (header === undefined) return undefined
  if (header.trim() === '*') return '*'
  return header.split(',').flatMap((part) => {
    const opaque = anyTag.exec(part.trim())?.[1]
    if (opaque === undefined) {
      throw invalid(
        'if-none-match',
        'invalid_value',
        'If-None-Match takes ETags of earlier answers, such as "3" with its quotes.',
      )
    }
    return /^\d{1,15}$/.test(opaque) ? [Number(opaque)] : []
  })
}

/** Whether something is to be made only if there is nothing yet (`If-None-Match: *`). */
export function onlyIfAbsent(request: FastifyRequest): boolean {
  const header = request.headers['if-none-match']
  if (header === undefined) return false
  if (header.trim() === '*') return true
  throw invalid(
    'if-none-match',
    'invalid_value',
    'If-None-Match takes * here: record it only if there is nothing yet.',
    { allowed: ['*'] },
  )
}

export function etag(revision: number): string {
  return `"${revision}"`
}

/** Sets the headers that every answer to a change has. */
export function changeHeaders(reply: FastifyReply, result: Reply): void {
  reply.header('etag', etag(result.flow.revision))
  replayHeader(reply, result)
}

/** Says when an answer is a stored one given again. */
export function replayHeader(reply: FastifyReply, { replayed }: { replayed: boolean }): void {
  if (replayed) reply.header('idempotency-replayed', 'true')
}
