// An engine that must not be asked for anything, for tests of what stands in front of it.

import type { Identity } from '../../src/engine/credentials.ts'
import type { Engine } from '../../src/engine/engine.ts'

function unexpected(): never {
  throw new Error('the engine was asked for something')
}

const everybody: Identity = {
  caller: { namespace: 'default', actor: 'anonymous' },
  grants: ['*'],
  bounds: {
    actions: ['*'],
    owner_session_key: null,
    requester_origin: null,
    controllers: null,
    timer_max_horizon_ms: null,
    rate: null,
  },
  key: null,
  rates: [],
}

/** Throws at every call. Whoever asks may ask everything. */
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
    sources: {
      create: unexpected,
      get: unexpected,
      list: unexpected,
      replace: unexpected,
      remove: unexpected,
    },
    inbound: { receive: unexpected, replay: unexpected },
    messages: { list: unexpected, get: unexpected, test: unexpected },
    hooks: {
      create: unexpected,
      get: unexpected,
      list: unexpected,
      update: unexpected,
      remove: unexpected,
      rotate: unexpected,
    },
    deliveries: {
      list: unexpected,
      get: unexpected,
      redeliver: unexpected,
      redeliverRange: unexpected,
      test: unexpected,
    },
    steps: {
      observe: unexpected,
      enqueue: unexpected,
      settle: unexpected,
      retry: unexpected,
      resolve: unexpected,
      reopen: unexpected,
      get: unexpected,
      inspect: unexpected,
      list: unexpected,
      find: unexpected,
      byId: unexpected,
    },
    queue: {
      claim: unexpected,
      standBy: unexpected,
      heartbeat: unexpected,
      release: unexpected,
      waiting: unexpected,
    },
    memos: { get: unexpected, put: unexpected },
    credentials: {
      authenticate: unexpected,
      anonymous: everybody,
      changed: unexpected,
      loop: { start: unexpected, nudge: unexpected, stop: unexpected },
    },
    bindings: {
      create: unexpected,
      get: unexpected,
      list: unexpected,
      update: unexpected,
      remove: unexpected,
      addKey: unexpected,
      removeKey: unexpected,
      mintKey: unexpected,
    },
    storage: { report: unexpected, preview: unexpected, queues: unexpected },
    controllers: {
      put: unexpected,
      get: unexpected,
      list: unexpected,
      remove: unexpected,
    },
    stepSweeper: {
      sweep: unexpected,
      nudge: unexpected,
      status: unexpected,
      start: unexpected,
      stop: unexpected,
    },
    events: { list: unexpected, feed: unexpected },
    streams: {
      flow: unexpected,
      feed: unexpected,
      nextInFeed: unexpected,
      count: unexpected,
      stop: unexpected,
    },
    explain: { flow: unexpected },
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
