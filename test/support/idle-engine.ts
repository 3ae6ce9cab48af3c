// An engine that must not be asked for anything, for tests of what stands in front of it.

import type { Engine } from '../../src/engine/engine.ts'

function unexpected(): never {
  throw new Error('the engine was asked for something')
}

/** Throws at every call. */
export function idleEngine(): Engine {
  return {
    flows: {
      create: unexpected,
      change: unexpected,
      get: unexpected,
      list: unexpected,
      waitFor: unexpected,
    },
    signals: { send: unexpected, get: unexpected, list: unexpected, redeliver: unexpected },
    links: { mint: unexpected, get: unexpected, resume: unexpected },
    steps: { observe: unexpected, get: unexpected, list: unexpected },
    events: { list: unexpected, feed: unexpected },
    waitEngine: {
      tick: unexpected,
      status: unexpected,
      start: unexpected,
      stop: unexpected,
    },
    status: unexpected,
    ready: unexpected,
  }
}
