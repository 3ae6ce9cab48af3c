// Tells other replicas what changed here, and hears it from them: hints that save them the wait for
// their next look. Losing all of them costs that wait and nothing else.

import { createListener, type Listener, lifeSign } from '../store/listen.ts'
import { createLoop } from './loop.ts'
import type { Report } from './notice.ts'

/** What can be hinted at; a topic's keys say which of its things changed. */
const topics = ['flows', 'steps', 'pushes', 'bindings'] as const
export type HintTopic = (typeof topics)[number]

/**
 * Called with the short forms (`hintKey`) of the keys that another replica changed, or with null when
 * there were too many to name or some may have been lost: then anything may have changed.
 */
export type HintReceiver = (keys: ReadonlySet<string> | null) => void

export interface Hints {
  /** After COMMIT. Costs next to nothing while no other replica listens. */
  publish(topic: HintTopic, keys: Iterable<string>): void
  subscribe(topic: HintTopic, receiver: HintReceiver): void
  status(): 'ok' | 'degraded'
  start(): void
  stop(): Promise<void>
}

export interface HintOptions {
  /** Where to listen; without it other replicas are only heard of by looking. */
  connectionString?: string
  applicationName?: string
  /** How often the session is tested, and how long a test may take, in milliseconds. */
  testEvery?: number
  patience?: number
}

/** The NOTIFY channel of all replicas. */
const channel = 'taskflow'
/** Two hints of a process are at least so far apart, in milliseconds. */
const window = 20
/** Keys in one hint; more are told as "many". With it a payload stays within 1,000 bytes. */
const mostKeys = 110
const many = '*'
const hello = 'hello'
const bye = 'bye'

/** The short form of a key: 32 bits. Two keys that share one cost a needless look. */
export function hintKey(key: string): string {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return (hash >>> 0).toString(36)
}

export function createHints(options: HintOptions, report: Report): Hints {
  const { testEvery = 10_000 } = options
  const receivers = new Map<HintTopic, HintReceiver[]>(topics.map((topic) => [topic, []]))
  /** Other replicas by id, with when they were heard last. */
  const peers = new Map<string, number>()
  /** Short keys to tell, by topic; null for "many". */
  let outbox = new Map<HintTopic, Set<string> | null>()
  let announce = false
  let deaf = false

  const listener: Listener | null =
    options.connectionString === undefined
      ? null
      : createListener({
          connectionString: options.connectionString,
          applicationName: options.applicationName ?? 'taskflow/listener',
          channel,
          testEvery,
          farewell: bye,
          ...(options.patience !== undefined && { patience: options.patience }),
          onMessage: receive,
          onUp() {
            if (deaf) report({ type: 'listen_recovered' })
            deaf = false
            announce = true
            sender.nudge(0)
            for (const topic of topics) deliver(topic, null)
          },
          onDown(cause) {
            deaf = true
            report({ type: 'listen_degraded', cause })
          },
        })

  /** Sends what has gathered: at once after a pause, else when the window is over. */
  const sender = createLoop({
    name: 'hints',
    interval: 60_000,
    report,
    async pass() {
      if (announce) {
        announce = false
        await listener?.tell(hello)
      }
      const told = outbox
      outbox = new Map()
      for (const [topic, keys] of told) {
        await listener?.tell(`${topic} ${keys === null ? many : [...keys].join(',')}`)
      }
      if (told.size > 0) await new Promise((resolve) => setTimeout(resolve, window))
      return outbox.size > 0 || announce ? 0 : 60_000
    },
  })

  function receive(from: string, text: string): void {
    if (text === bye) {
      peers.delete(from)
      return
    }
    peers.set(from, performance.now())
    if (text === lifeSign) return
    if (text === hello) {
      // It shall know of this process before its next test does it.
      void listener?.tell(lifeSign)
      return
    }
    const [topic, keys = many] = text.split(' ')
    if (!isTopic(topic)) return
    deliver(topic, keys === many ? null : new Set(keys.split(',')))
  }

  function deliver(topic: HintTopic, keys: ReadonlySet<string> | null): void {
    for (const receiver of receivers.get(topic) ?? []) receiver(keys)
  }

  /** Whether anybody would hear. One that says nothing for three tests is gone. */
  function hasPeers(): boolean {
    if (peers.size === 0) return false
    const oldest = performance.now() - 3 * testEvery
    for (const [id, at] of peers) if (at < oldest) peers.delete(id)
    return peers.size > 0
  }

  return {
    publish(topic, keys) {
      if (!hasPeers()) return
      let gathered = outbox.get(topic)
      if (gathered === undefined) {
        gathered = new Set()
        outbox.set(topic, gathered)
      }
      if (gathered === null) return
      for (const key of keys) gathered.add(hintKey(key))
      if (gathered.size > mostKeys) outbox.set(topic, null)
      sender.nudge(0)
    },
    subscribe(topic, receiver) {
      receivers.get(topic)?.push(receiver)
    },
    status: () => (listener?.isUp() === true ? 'ok' : 'degraded'),
    start() {
      if (listener === null) return
      listener.start()
      sender.start()
    },
    async stop() {
      await sender.stop()
      await listener?.stop()
    },
  }
}

function isTopic(text: string | undefined): text is HintTopic {
  return (topics as readonly (string | undefined)[]).includes(text)
}
