// Spans of what the service does. They go to whatever OpenTelemetry SDK the process has registered; without
// one nothing is made, and traces are only handed on.

import {
  type Attributes,
  type Context,
  type Link,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { Traceparent } from '../domain/trace.ts'

/** A span that is under way. */
export interface Traced {
  /** For what it causes. */
  traceparent: Traceparent
  end(more?: { error?: string; attributes?: Attributes }): void
}

export interface SpanOptions {
  kind: 'server' | 'client' | 'internal'
  /** What it is a part of; without one it begins a trace. */
  parent?: Traceparent | null
  /** What led to it, perhaps long ago and in traces of their own. */
  links?: Iterable<Traceparent | null>
  attributes?: Attributes
  /** When it began, on the process's monotonic clock; now when absent. */
  began?: number
}

const kinds = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL }
/** As many links as the SDK keeps of one span when nobody says otherwise. */
const mostLinks = 128

function tracer(): Tracer | undefined {
  const provider = trace.getTracerProvider()
  return provider instanceof ProxyTracerProvider
    ? provider.getDelegateTracer('taskflow')
    : provider.getTracer('taskflow')
}

/** Whether anybody takes spans. */
export function isTracing(): boolean {
  return tracer() !== undefined
}

/** Begins a span; null when nobody takes spans. */
export function startSpan(name: string, options: SpanOptions): Traced | null {
  const made = tracer()
  if (made === undefined) return null
  const { kind, parent = null, links = [], attributes = {}, began } = options
  const span = made.startSpan(
    name,
    {
      kind: kinds[kind],
      attributes,
      links: linksTo(links),
      ...(began !== undefined && { startTime: performance.timeOrigin + began }),
    },
    contextOf(parent),
  )
  return {
    traceparent: traceparentOf(span.spanContext()),
    end({ error, attributes: more } = {}) {
      if (more !== undefined) span.setAttributes(more)
      if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error })
      span.end()
    },
  }
}

function linksTo(causes: Iterable<Traceparent | null>): Link[] {
  const known = new Set<Traceparent>()
  for (const cause of causes) {
    if (cause !== null && known.size < mostLinks) known.add(cause)
  }
  return [...known].map((cause) => ({ context: spanContextOf(cause) }))
}

function contextOf(parent: Traceparent | null): Context {
  return parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, spanContextOf(parent))
}

function spanContextOf(traceparent: Traceparent): SpanContext {
  const [, traceId = '', spanId = '', flags = '00'] = traceparent.split('-')
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
}

function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): Traceparent {
  return `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, '0')}`
}
