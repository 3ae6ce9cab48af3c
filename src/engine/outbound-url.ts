// Which URLs the service sends to: judged when one is saved, and again before each request.

import { isIP } from 'node:net'
import { FlowError } from '../domain/errors.ts'
import { isPublicAddress } from './net-guard.ts'

export interface OutboundRules {
  /** Lets through plain HTTP, every port, and names and addresses of private networks. */
  allowPrivate: boolean
  /** Ports beside 443. */
  allowedPorts?: readonly number[]
}

const maxLength = 2048

/** Names that never leave a machine or a network (RFC 6761, RFC 6762, and by custom of clouds). */
const privateNames = /(?:^|\.)(?:localhost|local|internal)$/

/**
 * Judges a URL by its parsed form, because that is what is connected to: the parser has made one
 * spelling of all that there are for an address or a name. Save and send its `href`, not the text.
 *
 * What a name resolves to is not looked at: it can change at any time, so that is judged when connecting.
 *
 * @throws FlowError `url_not_allowed`; its `reason` is malformed, too_long, scheme, credentials,
 *   fragment, trailing_dot, name, address or port.
 */
export function checkOutboundUrl(
  text: string,
  { allowPrivate, allowedPorts = [] }: OutboundRules,
): URL {
  if (text.length > maxLength) {
    throw notAllowed('too_long', `A URL has at most ${maxLength} characters: shorten it.`)
  }
  // The parser drops such characters in silence: the text would be another than what is sent to.
  if (/[\s\p{Cc}]/u.test(text) || !URL.canParse(text)) {
    throw notAllowed('malformed', 'This is not a URL: send one such as https://example.com/hook.')
  }
  const url = new URL(text)
  const host = url.hostname
  if (url.protocol !== 'https:' && !(allowPrivate && url.protocol === 'http:')) {
    throw notAllowed('scheme', `The URL must begin with https://, not ${url.protocol}`, host)
  }
  if (url.username !== '' || url.password !== '') {
    throw notAllowed(
      'credentials',
      'The URL must not hold a user or password: receivers check the signature instead.',
      host,
    )
  }
  if (url.href.includes('#')) {
    throw notAllowed('fragment', 'Leave out what follows the #: it is never sent.', host)
  }
  if (host.endsWith('.')) {
    throw notAllowed('trailing_dot', 'Leave out the dot at the end of the host.', host)
  }
  if (!allowPrivate) checkPublic(host, Number(url.port || 443), allowedPorts)
  return url
}

function checkPublic(host: string, port: number, allowedPorts: readonly number[]): void {
  if (privateNames.test(host)) {
    throw notAllowed(
      'name',
      'This name is of a private network: use one that the public Internet knows.',
      host,
    )
  }
  const address = literalAddress(host)
  if (address !== null && !isPublicAddress(address)) {
    throw notAllowed(
      'address',
      'This address is not of the public Internet: use one that is, or a name.',
      host,
    )
  }
  if (port !== 443 && !allowedPorts.includes(port)) {
    const ports = [443, ...allowedPorts].join(', ')
    throw notAllowed('port', `Port ${port} is not allowed: use ${ports}.`, host)
  }
}

/** The address that a host is, without the brackets of IPv6; null when it is a name. */
export function literalAddress(host: string): string | null {
  const bare = host.startsWith('[') ? host.slice(1, -1) : host
  return isIP(bare) === 0 ? null : bare
}

/** The refusal of a URL; `reason` is for programs. */
export function notAllowed(
  reason: string,
  message: string,
  url_host?: string,
): FlowError<'url_not_allowed'> {
  return new FlowError('url_not_allowed', message, {
    ...(url_host !== undefined && { url_host }),
    reason,
  })
}
