// Keeps web pages away from what agents may do: a browser on this machine must not be a way in.

import type { FastifyRequest } from 'fastify'

/** What is foreign about a request, as a sentence for whoever set it up; null when nothing is. */
export type ForeignCheck = (request: FastifyRequest) => string | null

const thisMachine = ['localhost', '127.0.0.1', '[::1]']

/**
 * A page of an attacker can have its name resolve to this machine (DNS rebinding), and then sends
 * requests that look local but for their `Host`. It cannot lie about `Host` and `Origin`.
 *
 * @param names the names, without ports, that the service is reached by.
 */
export function foreignCheck(names: readonly string[]): ForeignCheck {
  const known = new Set([...thisMachine, ...names.map(bracketed)].map((name) => name.toLowerCase()))
  return ({ headers: { host = '', origin } }) => {
    if (!known.has(nameOf(`http://${host}`))) {
      return 'This Host is not known here: add its name to TASKFLOW_MCP_HOSTS.'
    }
    if (origin !== undefined && !known.has(nameOf(origin))) {
      return 'Pages of this Origin may not call: add its host to TASKFLOW_MCP_HOSTS.'
    }
    return null
  }
}

/** The host of a URL without its port; nothing that could be known when it is no URL. */
function nameOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname : ''
}

/** IPv6 addresses stand in brackets in URLs. */
function bracketed(name: string): string {
  return name.includes(':') && !name.startsWith('[') ? `[${name}]` : name
}
