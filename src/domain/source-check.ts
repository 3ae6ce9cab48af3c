// Whether a source can be defined so: its templates, its secrets, and what its scheme needs.

import { type FlowError, invalid } from './errors.ts'
import { isKeptHeader, type SourceDefinition, type Verification } from './source.ts'
import { cutTemplate, headerOf, parseTemplate } from './template.ts'

/**
 * Checks what the schema of a request cannot say.
 *
 * @param allowUnsigned whether the configuration lets sources go unverified.
 * @throws FlowError `invalid_request`, which names the member and never repeats a secret.
 */
export function checkSource(source: SourceDefinition, allowUnsigned: boolean): void {
  const { verify, secrets, map } = source
  if (verify.scheme === 'none' && !allowUnsigned) {
    throw invalid(
      '/verify/scheme',
      'not_allowed',
      'Unverified sources need TASKFLOW_ALLOW_UNSIGNED_SOURCES=true in the service’s configuration.',
    )
  }
  if (verify.scheme === 'hmac') checkSignedContent(verify)
  for (const [i, secret] of (secrets ?? []).entries()) {
    const fault = secretFault(verify, secret)
    if (fault !== null) throw invalid(`/verify/secrets/${i}`, 'format', fault)
  }
  checkMap('topic', map.topic, verify)
  checkMap('correlation_id', map.correlation_id, verify)
  if (typeof map.event_id === 'string') checkMap('event_id', map.event_id, verify)
}

function checkMap(member: string, text: string, verify: Verification): void {
  const reading = parseTemplate(text)
  if ('fault' in reading) throw templateError(`/map/${member}`, member, reading.fault)
  for (const part of reading.template) {
    if (part.kind !== 'header' || isKeptHeader(part.name, verify)) continue
    throw templateError(`/map/${member}`, member, 'reads a header that is never kept: use another')
  }
  const literal = reading.template.map((part) => (part.kind === 'literal' ? part.text : ''))
  if (literal.join('').length > 255) {
    throw templateError(`/map/${member}`, member, 'comes to more than 255 characters: shorten it')
  }
}

function templateError(pointer: string, member: string, fault: string): FlowError {
  return invalid(pointer, 'template', `${member} ${fault}.`)
}

/** A signature must cover the body, and a time that is checked must be covered by it too. */
function checkSignedContent(verify: Extract<Verification, { scheme: 'hmac' }>): void {
  const pointer = '/verify/signed_content'
  const cut = cutTemplate(verify.signed_content)
  if ('fault' in cut) throw templateError(pointer, 'signed_content', cut.fault)
  const placeholders = cut.pieces.filter((piece) => !piece.literal).map((piece) => piece.text)
  const wrong = placeholders.find(
    (text) => text !== 'body' && text !== 'timestamp' && headerOf(text) === null,
  )
  if (wrong !== undefined) {
    const fault = 'takes {body}, {timestamp} and {header:name}, and no other placeholder'
    throw templateError(pointer, 'signed_content', fault)
  }
  if (!placeholders.includes('body')) {
    throw templateError(pointer, 'signed_content', 'must hold {body}: the body has to be signed')
  }
  if (placeholders.includes('timestamp') !== (verify.timestamp_header !== null)) {
    throw templateError(
      pointer,
      'signed_content',
      verify.timestamp_header === null
        ? 'holds {timestamp}: name its header in timestamp_header'
        : 'must hold {timestamp}: a time that is not signed proves nothing',
    )
  }
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** What is wrong with a secret, without repeating any of it; null when nothing is. */
function secretFault(verify: Verification, secret: string): string | null {
  if (verify.scheme === 'standard-webhooks') {
    const key = secret.startsWith('whsec_') ? secret.slice('whsec_'.length) : secret
    return key !== '' && base64.test(key)
      ? null
      : 'Secrets of this scheme are base64 behind whsec_: send them as the sender shows them.'
  }
  if (verify.scheme === 'bearer' && !/^[\x21-\x7e]+$/.test(secret)) {
    return 'A bearer token is made of printable ASCII characters without spaces.'
  }
  return null
}
