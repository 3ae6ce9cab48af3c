// The metrics, for Prometheus and what reads its formats.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { needsAll } from '../access.ts'
import type { RouteContext } from '../context.ts'
import { noQuery } from '../params.ts'

const tags = ['Engine']

const plainType = 'text/plain; version=0.0.4; charset=utf-8'
const openMetricsType = 'application/openmetrics-text; version=1.0.0; charset=utf-8'

const sample = `# HELP taskflow_flows_due Flows that time should have changed. Counted up to 10,000.
# TYPE taskflow_flows_due gauge
taskflow_flows_due 0
`

export const metricsRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { metrics },
  done,
) => {
  app.get(
    '/metrics',
    {
      config: { ...needsAll('engine:admin'), untraced: true },
      schema: {
        operationId: 'getMetrics',
        tags,
        summary: 'Get the metrics of this process',
        description:
          'Counters, histograms and gauges of the process that answers, in the text format of Prometheus, or as OpenMetrics when `Accept` asks for it. Figures of the database were read some seconds ago: no request waits for them.',
        querystring: noQuery,
        response: {
          200: {
            description: 'The metrics.',
            content: {
              'text/plain': { schema: { type: 'string' }, example: sample },
              'application/openmetrics-text': {
                schema: { type: 'string' },
                example: `${sample}# EOF\n`,
              },
            },
          },
        },
      },
    },
    async ({ headers: { accept } }, reply) => {
      reply.header('vary', 'accept')
      if (wantsOpenMetrics(accept ?? '')) {
        return reply.type(openMetricsType).send(await metrics.openMetrics())
      }
      return reply.type(plainType).send(await metrics.text())
    },
  )

  done()
}

/** Whether OpenMetrics is asked for, and not less than the plain text. */
function wantsOpenMetrics(accept: string): boolean {
  const open = weightOf(accept, 'application/openmetrics-text')
  return open > 0 && open >= weightOf(accept, 'text/plain')
}

function weightOf(accept: string, type: string): number {
  const weights = accept.split(',').flatMap((range) => {
    const [name, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    if (name !== type) return []
    const weight = parameters.find((parameter) => parameter.startsWith('q='))
    return [weight === undefined ? 1 : Number(weight.slice(2))]
  })
  return Math.max(0, ...weights)
}
