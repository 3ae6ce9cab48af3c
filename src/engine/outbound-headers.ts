// Which headers users may add to what the service sends for them.

import { invalid } from '../domain/errors.ts'
import { pointerSegment } from '../domain/json-fault.ts'

const maxHeaders = 20

const maxValue = 1024

/** Headers that frame a message, belong to one connection, unlock something else, or tell of its trace. */
const reserved = new Set([
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'expect',
  'host',
  'keep-alive',
  'te',
  'traceparent',
  'tracestate',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** What the service says itself about each request: its signature, its event, the depth of a loop. */
const reservedFamilies = /^(?:webhook|ce|taskflow|proxy)-/

/**
 * Checks headers before they are saved.
 *
 * @param pointer where they stand in the request.
 * @returns the same by names in lower case, so that none can be there twice.
 * @throws FlowError `invalid_request`, which names the header and never repeats its value.
 */
export function checkHeaders(
  headers: Readonly<Record<string, string>>,
  pointer = '/headers',
): Record<string, string> {
  const entries = Object.entries(headers)
  if (entries.length > maxHeaders) {
    throw invalid(pointer, 'too_many', `There can be ${maxHeaders} headers: leave some out.`)
  }
  const checked = new Map<string, string>()
  for (const [given, value] of entries) {
    const at = `${pointer}/${pointerSegment(given)}`
    const name = given.toLowerCase()
    if (!/^[A-Za-z0-9-]{1,64}$/.test(given)) {
      throw invalid(at, 'format', 'A header’s name is 1 to 64 letters, digits and hyphens.')
    }
    if (reserved.has(name) || reservedFamilies.test(name)) {
      throw invalid(
        at,
        'not_allowed',
        `The service sets ${name} itself, or never sends it: leave it out.`,
      )
    }
    if (checked.has(name)) throw invalid(at, 'duplicate', `${name} is there twice: keep one.`)
    if (value.length > maxValue || !/^[\x20-\x7e]*$/.test(value)) {
      throw invalid(
        at,
        'format',
        `A header’s value is at most ${maxValue} printable ASCII characters.`,
      )
    }
    checked.set(name, value)
  }
  return Object.fromEntries(checked)
}
