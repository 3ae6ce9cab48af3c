// What an operator can graph and be woken by: a registry of its own, told of everything that is reported.

import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { createDepthGauges, createProcessGauges, type EngineGauges } from './gauges.ts'
import { createInstruments } from './instruments.ts'
import type { Report } from './notice.ts'
import { createRequestMetrics, type RequestMetrics } from './request-metrics.ts'

export interface Metrics {
  /** Counts what is reported. */
  count: Report
  requests: RequestMetrics
  /** From now on shows what an engine can tell at any moment. */
  watch(read: () => EngineGauges): void
  /** Everything in the text format of Prometheus. Asks no database. */
  text(): Promise<string>
  /** The same as OpenMetrics. */
  openMetrics(): Promise<string>
}

export function createMetrics(version: string): Metrics {
  const registry = new Registry()
  let read: (() => EngineGauges) | null = null
  const count = createInstruments(registry)
  createProcessGauges(registry, () => read?.() ?? null)
  const showDepths = createDepthGauges(registry)
  const requests = createRequestMetrics(registry)
  new Gauge({
    name: 'taskflow_build_info',
    help: 'The version that runs, as a label of a constant 1.',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version }, 1)
  collectDefaultMetrics({ register: registry })

  return {
    count(notice) {
      count(notice)
      if (notice.type === 'depths_read') showDepths(notice.depths)
    },
    requests,
    watch(next) {
      read = next
    },
    text: () => registry.metrics(),
    openMetrics: async () => asOpenMetrics(await registry.metrics()),
  }
}

/**
 * The text format of Prometheus as OpenMetrics: families of counters are named without `_total`, there are
 * no empty lines, and the end is marked. Not by the registry itself: asked for OpenMetrics once, it leaves
 * the counters without their `_total` in the other format from then on.
 */
function asOpenMetrics(text: string): string {
  const counters = new Set(
    [...text.matchAll(/^# TYPE (\S+)_total counter$/gm)].map(([, name]) => name),
  )
  const lines = text.split('\n').filter((line) => line !== '')
  const named = lines.map((line) =>
    line.replace(/^# (HELP|TYPE) (\S+)_total /, (all, what, name) =>
      counters.has(name) ? `# ${what} ${name} ` : all,
    ),
  )
  return `${named.join('\n')}\n# EOF\n`
}
