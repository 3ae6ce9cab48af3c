// The logger of a request, made when the request first has something to say.

import type { FastifyBaseLogger } from 'fastify'

const methods = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const

/**
 * A child of a logger, made with the first line that its level lets through. Most requests say one line or
 * none, and a child is not cheap: what it carries is rendered and searched for secrets.
 */
export function lateChild(
  logger: FastifyBaseLogger,
  bindings: Parameters<FastifyBaseLogger['child']>[0],
  options?: Parameters<FastifyBaseLogger['child']>[1],
): FastifyBaseLogger {
  let made: FastifyBaseLogger | undefined
  const child = (): FastifyBaseLogger => {
    made ??= logger.child(bindings, options)
    return made
  }
  const late = Object.create(logger) as FastifyBaseLogger
  for (const method of methods) {
    late[method] = (...args: [unknown]) => {
      if (silent(logger, method)) return
      child()[method](...args)
    }
  }
  late.child = (...args) => child().child(...args)
  return late
}

/** Pino has the method that does nothing in the place of those that its level shuts out. */
function silent(logger: FastifyBaseLogger, method: (typeof methods)[number]): boolean {
  return logger[method] === logger.silent
}
