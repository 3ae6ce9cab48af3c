// What an answer depends on beside its URL.

import type { FastifyReply } from 'fastify'

/** Says that an answer depends on a header of the request, beside those that it depends on already. */
export function varyBy(reply: FastifyReply, name: string): FastifyReply {
  const known = reply.getHeader('vary')
  return reply.header('vary', known === undefined ? name : `${known}, ${name}`)
}
