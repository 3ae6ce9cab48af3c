// Refuses requests before the event loop drowns in them: what is answered then is answered in time.

import underPressure from '@fastify/under-pressure'
import type { FastifyInstance } from 'fastify'
import { FlowError } from '../domain/errors.ts'

/** How often the delay is measured, in milliseconds. */
const sampleInterval = 500
/**
 * Measurements in a row that make a pressure. A process that stood still for a moment, as at its start or on a
 * machine that was busy, is not drowning.
 */
const lasting = 4

/**
 * @param delay mean delay of the event loop past which requests are refused, in milliseconds; 0: none is.
 */
export function shedLoad(app: FastifyInstance, delay: number): void {
  let inRow = 0
  const look = setInterval(() => {
    inRow = app.isUnderPressure() ? inRow + 1 : 0
  }, sampleInterval)
  look.unref()
  app.addHook('onClose', (_, done) => {
    clearInterval(look)
    done()
  })
  app.register(underPressure, {
    maxEventLoopDelay: delay,
    sampleInterval,
    pressureHandler(request) {
      if (inRow < lasting) return
      // The process lives, which is what these ask.
      if (request.routeOptions.url?.startsWith('/health/') === true) return
      throw new FlowError(
        'overloaded',
        'The process has more to do than it can: send the same request again shortly.',
        // Not all at once.
        { retry_after: 1 + Math.floor(Math.random() * 5) },
      )
    },
  })
}
