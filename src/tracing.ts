// The OpenTelemetry SDK, when variables of its own ask for it. Loaded only then; what it can be told, it
// reads from the environment itself.

import { type TracerProvider, trace } from '@opentelemetry/api'
import { ConfigError } from './config.ts'
import type { Config } from './config-schema.ts'

export interface Exporting {
  /** Sends what is left, as far as it can be sent soon. */
  stop(): Promise<void>
}

/** How long the last spans have to be sent, in milliseconds. */
const farewell = 3_000

/**
 * Sends spans to the collector that the configuration names. Does nothing when it names none, or when an
 * SDK was registered before the service began (`node --import`).
 *
 * @throws ConfigError when the SDK is not there.
 */
export async function startTracing(config: Config, version: string): Promise<Exporting | null> {
  const named =
    config.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined ||
    config.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT !== undefined
  if (!named || config.OTEL_SDK_DISABLED || config.OTEL_TRACES_EXPORTER === 'none') return null
  const { resources, tracing, exporter } = await loadSdk(config.OTEL_EXPORTER_OTLP_PROTOCOL)
  const resource = resources
    .defaultResource()
    .merge(
      resources.resourceFromAttributes({ 'service.name': 'taskflow', 'service.version': version }),
    )
    .merge(resources.detectResources({ detectors: [resources.envDetector] }))
  const provider = new tracing.BasicTracerProvider({
    resource,
    spanProcessors: [new tracing.BatchSpanProcessor(new exporter.OTLPTraceExporter())],
  })
  if (!trace.setGlobalTracerProvider(provider)) {
    await provider.shutdown()
    return null
  }
  return {
    async stop() {
      const late = new Promise<void>((resolve) => setTimeout(resolve, farewell).unref())
      await Promise.race([provider.shutdown().catch(() => {}), late])
    },
  }
}

/** As much as is needed of packages that may not be there, also not for the compiler. */
interface Sdk {
  resources: {
    defaultResource(): Resource
    resourceFromAttributes(attributes: Record<string, string>): Resource
    detectResources(config: { detectors: unknown[] }): Resource
    envDetector: unknown
  }
  tracing: {
    BasicTracerProvider: new (config: {
      resource: Resource
      spanProcessors: unknown[]
    }) => TracerProvider & { shutdown(): Promise<void> }
    BatchSpanProcessor: new (exporter: unknown) => unknown
  }
  exporter: { OTLPTraceExporter: new () => unknown }
}
interface Resource {
  merge(other: Resource): Resource
}

async function loadSdk(protocol: Config['OTEL_EXPORTER_OTLP_PROTOCOL']): Promise<Sdk> {
  const names = {
    resources: '@opentelemetry/resources',
    tracing: '@opentelemetry/sdk-trace-base',
    exporter: `@opentelemetry/exporter-trace-otlp-${protocol === 'http/json' ? 'http' : 'proto'}`,
  }
  try {
    const [resources, tracing, exporter] = await Promise.all([
      import(names.resources),
      import(names.tracing),
      import(names.exporter),
    ])
    return { resources, tracing, exporter }
  } catch (cause) {
    throw new ConfigError(
      'OTEL_* variables ask for traces, but the OpenTelemetry SDK is not installed. Run npm ci with optional packages, or set OTEL_SDK_DISABLED=true.',
      { cause },
    )
  }
}
