// What routes are given to work with.

import type { Engine } from '../engine/engine.ts'

export interface RouteContext {
  engine: Engine
  /** Aborts when the service stops: long polls answer at once. */
  shutdown: AbortSignal
  /** What stands before a path in an address for others; empty when that is not known. */
  baseUrl: string
}
