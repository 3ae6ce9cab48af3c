// Who a caller is: keys become identities, with a short memory, so that a key costs a hash and a look.

import { hash, timingSafeEqual } from 'node:crypto'
import { type Bounds, boundsOf, type Grant, keyIdOf, type Rate } from '../domain/binding.ts'
import { type KnownKey, readKeys, touchKeys } from '../store/bindings.ts'
import type { Scope } from '../store/db.ts'
import type { Caller } from './change.ts'
import { gather } from './gather.ts'
import type { Hints } from './hints.ts'
import { createLoop, type Loop } from './loop.ts'
import type { Report } from './notice.ts'
import { sightMark } from './sight.ts'

/** A caller with all that it is held to. */
export interface Identity {
  caller: Caller
  grants: readonly Grant[]
  bounds: Bounds
  /** What it came with; null for who needs no binding: the first administrator, or anybody where all is open. */
  key: { id: string; binding_id: string } | null
  /** How often it may ask: by its binding, with all other keys of that, and by its own. */
  rates: readonly { id: string; rate: Rate }[]
}

export interface Credentials {
  /** The identity behind a key, or null. Throws `unavailable` when the database must be asked and is away. */
  authenticate(key: string): Promise<Identity | null>
  /** Who asks without a key; null when a key is needed. */
  anonymous: Identity | null
  /** To be called when bindings have changed: no process believes what it remembers any more. */
  changed(): void
  loop: Loop
}

export interface CredentialOptions {
  scope: Scope
  hints: Hints
  /** The key of the first administrator; without it everybody may do everything. */
  adminKey: string | null
  report: Report
}

/**
 * How long a key is believed without asking, in milliseconds. A revocation holds in every process after so
 * long at the latest, also when it is not told of it.
 */
const believed = 3_000
/** Keys remembered, wrong ones too. */
const remembered = 10_000
/** How often the times of use are written, in milliseconds. */
const touchEvery = 60_000

const everything: Bounds = {
  actions: ['*'],
  owner_session_key: null,
  requester_origin: null,
  controllers: null,
  timer_max_horizon_ms: null,
  rate: null,
}

function unbound(actor: string): Identity {
  const caller = Object.freeze({ namespace: 'default', actor })
  return { caller, grants: everything.actions, bounds: everything, key: null, rates: [] }
}

export function createCredentials(options: CredentialOptions): Credentials {
  const { scope, hints, report } = options
  const adminHash = options.adminKey === null ? null : sha256(options.adminKey)
  const admin = unbound('admin')
  const known = new Map<string, { identity: Promise<Identity | null>; until: number }>()
  let used = new Set<string>()

  hints.subscribe('bindings', () => known.clear())

  // Whoever makes keys up can ask for many: they go to the database together.
  const read = gather<string, KnownKey | null>({
    keyOf: (id) => id,
    async read(ids) {
      const found = new Map((await readKeys(scope, ids)).map((key) => [key.key_id, key]))
      return ids.map((id) => found.get(id) ?? null)
    },
    batchSize: 200,
    inFlight: 1,
  })

  async function look(text: string, mayLive: (ms: number) => void): Promise<Identity | null> {
    const id = keyIdOf(text)
    const key = id === null ? null : await read(id)
    if (key === null || !timingSafeEqual(key.hash, sha256(text))) return null
    if (key.expires_in !== null) mayLive(key.expires_in)
    const bounds = boundsOf(key, key.narrowed)
    const { owner_session_key: owner, requester_origin, controllers } = bounds
    const caller: Caller = {
      namespace: key.namespace,
      actor: key.name,
      ...(owner !== null && { owner_session_key: owner }),
      ...(requester_origin !== null && { requester_origin }),
      ...(controllers !== null && { controllers }),
      ...(bounds.timer_max_horizon_ms !== null && {
        timer_max_horizon: bounds.timer_max_horizon_ms,
      }),
    }
    return {
      caller: Object.freeze({ ...caller, replay_scope: `${key.id}${sightMark(caller)}` }),
      grants: bounds.actions,
      bounds,
      key: { id: key.key_id, binding_id: key.id },
      rates: ratesOf(key),
    }
  }

  function remember(digest: string, text: string): Promise<Identity | null> {
    const asked = performance.now()
    const entry = {
      until: asked + believed,
      // One that ends by itself is not believed beyond its end.
      identity: look(text, (ms) => {
        entry.until = Math.min(entry.until, asked + ms)
      }),
    }
    known.set(digest, entry)
    entry.identity.catch(() => known.delete(digest))
    // The oldest come first.
    const [oldest] = known.size > remembered ? known.keys() : []
    if (oldest !== undefined) known.delete(oldest)
    return entry.identity
  }

  const loop = createLoop({
    name: 'key-use',
    interval: touchEvery,
    report,
    async pass() {
      const ids = [...used]
      used = new Set()
      if (ids.length > 0) await touchKeys(scope, ids)
      return touchEvery
    },
  })

  return {
    anonymous: adminHash === null ? unbound('anonymous') : null,
    loop,
    async authenticate(text) {
      const digest = hash('sha256', text, 'base64')
      if (adminHash !== null && timingSafeEqual(adminHash, Buffer.from(digest, 'base64'))) {
        return admin
      }
      const entry = known.get(digest)
      const identity = await (entry !== undefined && entry.until > performance.now()
        ? entry.identity
        : remember(digest, text))
      if (identity?.key) used.add(identity.key.id)
      return identity
    },
    changed() {
      known.clear()
      hints.publish('bindings', ['*'])
    },
  }
}

function sha256(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}

/** A key that was minted has what is left of its binding's rate, and no more than its own. */
function ratesOf({ id, rate, key_id, narrowed }: KnownKey): Identity['rates'] {
  const own = narrowed?.rate ?? null
  return [
    ...(rate === null ? [] : [{ id, rate }]),
    ...(own === null || own === rate ? [] : [{ id: key_id, rate: own }]),
  ]
}
