// Judges the URL of a request before anything looks at its parts.

import type { FastifyRequest } from 'fastify'
import { FlowError, invalid } from '../domain/errors.ts'

const printable = /^[\x21-\x7e]*$/

/** What is wrong with the URL as a whole, if anything. */
export function urlFault(url: string, maxBytes: number): FlowError | undefined {
  if (url.length > maxBytes) {
    return new FlowError(
      'uri_too_long',
      `The URL is longer than ${maxBytes} bytes: shorten its query.`,
      {
        maximum: maxBytes,
      },
    )
  }
  // Node reads other bytes as Latin-1, so that a text would arrive as another than was sent.
  if (!printable.test(url)) {
    return new FlowError(
      'bad_request',
      'The URL holds bytes that must be percent-encoded as UTF-8.',
      {},
    )
  }
  return undefined
}

export function uriTooLong(maximum: number): FlowError {
  return new FlowError(
    'uri_too_long',
    `The URL is longer than ${maximum} bytes: shorten its query.`,
    {
      maximum,
    },
  )
}

/**
 * Refuses what decoding would have turned into something else: percent signs that encode nothing,
 * bytes that are not UTF-8, and NUL, which PostgreSQL cannot store.
 */
export function refuseBadEncoding(request: FastifyRequest): void {
  const url = request.raw.url ?? ''
  if (!url.includes('%')) return
  const start = url.indexOf('?')
  const pairs = start < 0 ? [] : url.slice(start + 1).split('&')
  for (const pair of pairs) {
    const [name = ''] = pair.split('=')
    if (decode(pair) !== undefined) continue
    const shown = (decode(name) ?? name).slice(0, 64)
    throw invalid(
      `?${shown}`,
      'encoding',
      'A query parameter is not percent-encoded UTF-8: encode it again.',
    )
  }
  refuseNul(request.query, '?')
  refuseNul(request.params, ':')
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

function refuseNul(values: unknown, mark: string): void {
  if (typeof values !== 'object' || values === null) return
  for (const [name, value] of Object.entries(values)) {
    if (!`${name}${[value].flat().join('')}`.includes('\0')) continue
    const pointer = mark + name.slice(0, 64).replaceAll('\0', '\ufffd')
    throw invalid(pointer, 'nul_character', 'A text holds the NUL character: remove it.')
  }
}
