// Reads bodies that HTML forms send: names and texts.

import { isUtf8 } from 'node:buffer'
import { invalid } from '../domain/errors.ts'

export const formType = 'application/x-www-form-urlencoded'

/**
 * The fields of a form, in their order.
 *
 * @throws FlowError `invalid_request` for what is not UTF-8 in percent-encoding, a NUL, and a field that is there twice.
 */
export function parseForm(bytes: Buffer): Map<string, string> {
  const fields = new Map<string, string>()
  if (!isUtf8(bytes)) throw badEncoding()
  const pairs = bytes
    .toString('utf8')
    .split('&')
    .filter((pair) => pair !== '')
  for (const pair of pairs) {
    const split = pair.indexOf('=')
    const name = decode(split < 0 ? pair : pair.slice(0, split))
    // Browsers send a line break as two characters.
    const value = split < 0 ? '' : decode(pair.slice(split + 1)).replaceAll('\r\n', '\n')
    if (fields.has(name)) {
      throw invalid('', 'repeated', 'A field of the form was sent more than once: send it once.')
    }
    fields.set(name, value)
  }
  return fields
}

function decode(text: string): string {
  let decoded: string
  try {
    decoded = decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw badEncoding()
  }
  if (!decoded.includes('\0')) return decoded
  throw invalid('', 'nul_character', 'A text holds the NUL character: remove it.')
}

function badEncoding() {
  return invalid('', 'encoding', 'The form is not percent-encoded UTF-8: encode it again.')
}
