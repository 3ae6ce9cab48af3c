// What routes are given to work with.

import type { Engine } from '../engine/engine.ts'

export interface RouteContext {
  engine: Engine
  /** Aborts when the service stops: long polls answer at once. */
  shutdown: AbortSignal
}
