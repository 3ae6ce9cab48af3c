// What routes are given to work with.

import type { Engine } from '../engine/engine.ts'
import type { Sse } from './sse.ts'

export interface RouteContext {
  engine: Engine
  /** Aborts when the service stops: long polls answer at once. */
  shutdown: AbortSignal
  /** Streams; they end at the same time. */
  sse: Sse
}
